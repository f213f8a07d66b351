//! What a source's name asks for: which call is to fail, on which side of it, and how.

use std::str::FromStr;

/// What a name holds for each failpoint.
const MARK: &str = "fail=";
/// What stands between several failpoints of one name.
const SEPARATOR: char = ',';

/// One failpoint: `fail=<point>:<before|after>:<1|2|…|every>:<crash|hang|error>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failpoint {
    /// The side effect, such as `plan.put`.
    pub point: String,
    /// On which side of it.
    pub when: When,
    /// Which call of it, from 1, over all invocations that handle the source; `None`: every one.
    pub call: Option<u32>,
    /// How.
    pub action: Action,
}

/// The side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing was done.
    Before,
    /// It took effect, and nobody hears of it.
    After,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The process dies.
    Crash,
    /// The call never returns.
    Hang,
    /// The call answers with an error.
    Error,
}

impl When {
    /// As the name spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

impl FromStr for Failpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: not <point>:<before|after>:<call>:<crash|hang|error>");
        let fields: Vec<&str> = text.split(':').collect();
        let &[point, when, call, action] = fields.as_slice() else { return Err(wrong()) };
        let when = match when {
            "before" => When::Before,
            "after" => When::After,
            _ => return Err(wrong()),
        };
        let call = match call {
            "every" => None,
            number => Some(number.parse().map_err(|_| wrong())?),
        };
        let action = match action {
            "crash" => Action::Crash,
            "hang" => Action::Hang,
            "error" => Action::Error,
            _ => return Err(wrong()),
        };
        Ok(Self { point: point.to_owned(), when, call, action })
    }
}

/// The file name in `text` (a key, or JSON that holds one) that asks for failpoints.
pub fn armed_name(text: &str) -> Option<&str> {
    let at = text.find(MARK)?;
    let (before, after) = text.split_at_checked(at)?;
    let ends_name = |character: char| matches!(character, '/' | '"');
    let start = before.rfind(ends_name).map_or(0, |slash| slash + 1);
    let end = at + after.find(ends_name).unwrap_or(after.len());
    text.get(start..end)
}

/// The failpoints of a file name such as `7 fail=plan.put:before:1:crash,slice.put:after:2:error.parquet`. What is no
/// failpoint is left out, and told in the log: a test that counts what fired notices.
pub fn failpoints(name: &str) -> Vec<Failpoint> {
    let Some((_, list)) = name.split_once(MARK) else { return Vec::new() };
    let list = list.strip_suffix(".parquet").unwrap_or(list);
    let parse = |text: &str| text.parse().inspect_err(|error| tracing::error!(%error, name, "bad failpoint")).ok();
    list.split(SEPARATOR).filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_name_is_found_in_keys_and_in_json() {
        let name = "7 fail=plan.put:before:1:crash.parquet";
        for text in [
            format!("d in/{name}"),
            format!("d/{name}/part-00000.parquet"),
            format!(r#"{{"source":{{"key":"d in/{name}","size":1}}}}"#),
            name.to_owned(),
        ] {
            assert_eq!(armed_name(&text), Some(name), "{text}");
        }
        assert_eq!(armed_name("d/clean.parquet/part-00000.parquet"), None);
    }

    #[test]
    fn a_name_may_ask_for_several() {
        let asked = failpoints("7 fail=plan.put:before:1:crash,slice.put:after:every:error.parquet");
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0].call, Some(1));
        assert_eq!((asked[1].when, asked[1].call, asked[1].action), (When::After, None, Action::Error));
        assert!(failpoints("7 fail=plan.put:sometime:1:crash.parquet").is_empty());
        assert!(failpoints("clean.parquet").is_empty());
    }
}
