//! From what is wrong to a message that says where and what to do.

use crate::Error;

use super::position::{Locator, Position};

/// How many problems one error lists.
const MAX_LISTED: usize = 20;
/// How long one problem's words may be.
const MAX_MESSAGE_CHARACTERS: usize = 600;

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
    let locator = Locator::new(text);
    let start = |problem: &Problem| locator.as_ref().map_or(0, |locator| locator.span(&problem.path).start);
    let mut located: Vec<_> = problems.iter().map(|problem| (start(problem), problem.what.as_str())).collect();
    located.sort();
    let listed = located.iter().take(MAX_LISTED);
    let mut lines: Vec<_> =
        listed.map(|(start, what)| format!("{origin}:{}: {}", Position::of(text, *start), cut(what))).collect();
    if located.len() > MAX_LISTED {
        lines.push(format!("and {} more", located.len() - MAX_LISTED));
    }
    Error::Dataset(lines.join("\n"))
}

/// The error for a text that TOML or the file's shape refuses.
pub(super) fn shape_error(text: &str, origin: &str, error: &toml::de::Error) -> Error {
    let start = error.span().map_or(0, |span| span.start);
    Error::Dataset(format!("{origin}:{}: {}", Position::of(text, start), cut(&reword(error.message()))))
}

/// A message short enough for a log line, whatever the file made it quote.
fn cut(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE_CHARACTERS) {
        None => message.to_owned(),
        Some((end, _)) => format!("{} …", message.get(..end).unwrap_or_default()),
    }
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
        return plain_types(message);
    };
    let (word, expected) = rest.split_once("`, ").unwrap_or((rest, ""));
    let known: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
    let listed = known.join(", ");
    match closest(word, known.iter().copied()) {
        Some(near) => format!("unknown {kind} `{word}`, did you mean `{near}`? known here: {listed}"),
        None => format!("unknown {kind} `{word}`; known here: {listed}"),
    }
}

/// Says what a file should hold in TOML's words rather than Rust's.
fn plain_types(message: String) -> String {
    match message.as_str() {
        "duplicate key" => return "duplicate key: leave one of the two out".to_owned(),
        "wanted string or table" => return "expected a string".to_owned(),
        _ => {}
    }
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message };
    let plain = match expected {
        "u64" => "a whole number from 0 on",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        _ if expected.starts_with("struct ") => "a table",
        _ => return message,
    };
    format!("{found}, expected {plain}")
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
