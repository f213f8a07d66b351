//! Where in a dataset file a value stands.

use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A place in a text. Both count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The character in the line.
    pub column: u64,
}

impl Position {
    /// Where every text starts.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Where the byte `offset` of `text` stands; the end of `text` where the offset is beyond it.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.char_indices().take_while(|(at, _)| *at < offset).map(|(_, character)| character);
        before.fold(Self::START, Self::after)
    }

    fn after(self, character: char) -> Self {
        match character {
            '\n' => Self { line: self.line + 1, column: 1 },
            _ => Self { line: self.line, column: self.column + 1 },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A dataset file parsed once more, for the places of its values.
pub(super) struct Locator<'t> {
    root: DeTable<'t>,
}

impl<'t> Locator<'t> {
    /// `None` where the text is no TOML.
    pub fn new(text: &'t str) -> Option<Self> {
        DeTable::parse(text).ok().map(|root| Self { root: root.into_inner() })
    }

    /// Bytes of the value at a key path such as `expectations[2].expr`. A path that leads beyond what is written gives
    /// the nearest value around it: so a missing key is shown at the table that lacks it.
    pub fn span(&self, path: &str) -> Range<usize> {
        let mut found = 0..0;
        let mut table = Some(&self.root);
        for step in path.split('.') {
            let (key, index) = match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
                Some((key, index)) => (key, index.parse::<usize>().ok()),
                None => (step, None),
            };
            let Some(mut value) = table.and_then(|table| table.get(key)) else { return found };
            if let Some(index) = index {
                match value.get_ref().as_array().and_then(|array| array.get(index)) {
                    Some(element) => value = element,
                    None => return value.span(),
                }
            }
            found = value.span();
            table = match value.get_ref() {
                DeValue::Table(inner) => Some(inner),
                _ => None,
            };
        }
        found
    }
}

/// The byte offset, in a TOML string literal as written, of the character at `within` of the string it stands for.
/// The end of the content where the string ends before.
pub(super) fn offset_in_literal(literal: &str, within: Position) -> usize {
    let (quote, escapes) = match literal {
        _ if literal.starts_with("\"\"\"") => ("\"\"\"", true),
        _ if literal.starts_with("'''") => ("'''", false),
        _ if literal.starts_with('"') => ("\"", true),
        _ => ("'", false),
    };
    let mut rest = literal.strip_prefix(quote).unwrap_or(literal);
    rest = rest.strip_suffix(quote).unwrap_or(rest);
    if quote.len() == 3 {
        // A newline right behind the opening quotes is not part of the string.
        rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')).unwrap_or(rest);
    }
    let content_end = literal.len() - if literal.len() >= 2 * quote.len() { quote.len() } else { 0 };
    let mut at = Position::START;
    while at < within {
        let Some((character, tail)) = next_character(rest, escapes) else { break };
        if let Some(character) = character {
            at = at.after(character);
        }
        rest = tail;
    }
    content_end.saturating_sub(rest.len())
}

/// Takes one character of the string off its literal form; `None` within where the form stands for no character.
fn next_character(rest: &str, escapes: bool) -> Option<(Option<char>, &str)> {
    let mut characters = rest.chars();
    let first = characters.next()?;
    if first != '\\' || !escapes {
        return Some((Some(first), characters.as_str()));
    }
    let kind = characters.next()?;
    if kind.is_whitespace() {
        return Some((None, characters.as_str().trim_start()));
    }
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    for _ in 0..digits {
        characters.next()?;
    }
    // Of the characters that escapes stand for, only the newline matters to a position.
    let stands_for = if kind == 'n' { '\n' } else { kind };
    Some((Some(stands_for), characters.as_str()))
}
