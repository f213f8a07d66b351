//! What is wrong with an event.

use crate::Error;

/// How many characters of an event an error repeats at most.
const MAX_QUOTED_CHARS: usize = 80;

/// A record or request that cannot be understood. Decoding the same payload again gives the same error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at} {what}: {remedy}")]
pub struct EventError {
    /// Where, as a path from the payload's root `$`. It goes on through JSON that is kept in a string:
    /// `$.Records[0].body.Records[1].s3.object.key`.
    pub at: String,
    /// What is wrong there. Text from the event is quoted and cut to a bounded length.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl EventError {
    pub(super) fn new(at: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl From<EventError> for Error {
    fn from(error: EventError) -> Self {
        Self::Format { what: format!("event {}", error.at), problem: format!("{}: {}", error.what, error.remedy) }
    }
}

/// `text` in quotes, control characters escaped, cut to a bounded length.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", cut(text))
}

/// The beginning of `text`, with an ellipsis where something is left out.
pub(super) fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let mut beginning: String = chars.by_ref().take(MAX_QUOTED_CHARS).collect();
    if chars.next().is_some() {
        beginning.push('…');
    }
    beginning
}
