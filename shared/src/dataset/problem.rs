//! From what is wrong to a message that says where and what to do.

use crate::Error;

use super::position::{Position, span};

/// How many problems one error lists.
const MAX_LISTED: usize = 20;

/// Something wrong with a value that parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The key path, such as `expectations[2].expr`.
    pub path: String,
    /// What is wrong, and what to do.
    pub what: String,
}

/// The error for problems with values, in the order of the file, each on a line of its own.
pub(super) fn values_error(text: &str, origin: &str, problems: &[Problem]) -> Error {
    let mut located: Vec<_> = problems
        .iter()
        .map(|problem| {
            let start = span(text, &problem.path).map_or(0, |span| span.start);
            (Position::of(text, start), problem.what.as_str())
        })
        .collect();
    located.sort();
    let mut lines: Vec<_> =
        located.iter().take(MAX_LISTED).map(|(position, what)| format!("{origin}:{position}: {what}")).collect();
    if located.len() > MAX_LISTED {
        lines.push(format!("and {} more", located.len() - MAX_LISTED));
    }
    Error::Dataset(lines.join("\n"))
}

/// The error for a text that TOML or the file's shape refuses.
pub(super) fn shape_error(text: &str, origin: &str, error: &toml::de::Error) -> Error {
    let start = error.span().map_or(0, |span| span.start);
    Error::Dataset(format!("{origin}:{}: {}", Position::of(text, start), reword(error.message())))
}

/// Puts serde's words into the file's: keys and values rather than fields and variants, with a suggestion.
fn reword(message: &str) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("missing key {rest}: add it to this table");
    }
    let (kind, rest) = if let Some(rest) = message.strip_prefix("unknown field `") {
        ("key", rest)
    } else if let Some(rest) = message.strip_prefix("unknown variant `") {
        ("value", rest)
    } else {
        return message;
    };
    let (word, expected) = rest.split_once("`, ").unwrap_or((rest, ""));
    let known: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
    let listed = known.join(", ");
    match closest(word, known.iter().copied()) {
        Some(near) => format!("unknown {kind} `{word}`, did you mean `{near}`? known here: {listed}"),
        None => format!("unknown {kind} `{word}`; known here: {listed}"),
    }
}

/// The known word that `word` is most likely a slip of, if one is near: a third of its letters may differ.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const MAX_WORD_BYTES: usize = 256;
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let lower = word.to_lowercase();
    let distances = known.into_iter().filter(|candidate| candidate.len() <= MAX_WORD_BYTES).map(|candidate| {
        let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
        (distance, candidate)
    });
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    let length = lower.chars().count().max(candidate.chars().count());
    (distance * 3 <= length).then_some(candidate)
}
