//! What a source's name asks for: which call is to fail, on which side of it, and how.

use std::str::FromStr;

use sha2::{Digest, Sha256};

/// What a name holds for each failpoint.
const MARK: &str = "fail=";
/// What stands between several failpoints of one name.
const SEPARATOR: char = ',';

/// One failpoint: `fail=<point>:<before|after>:<1|2|…|every|1in5>:<crash|hang|error>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failpoint {
    /// The side effect, such as `plan.put`.
    pub point: String,
    /// On which side of it.
    pub when: When,
    /// Which call of it.
    pub call: Call,
    /// How.
    pub action: Action,
}

/// Which calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// This one, from 1, over all invocations that handle the source.
    Number(u32),
    /// Every one.
    Every,
    /// One in so many, at random: which ones, the source's name decides.
    OneIn(u32),
}

impl Call {
    /// Whether call `number` of a source of this name is to fail.
    pub fn asks_for(self, name: &str, number: u32) -> bool {
        match self {
            Self::Number(asked) => asked == number,
            Self::Every => true,
            Self::OneIn(many) => {
                let digest = Sha256::digest(format!("{number} {name}").as_bytes());
                let roll = digest.iter().take(2).fold(0_u32, |roll, byte| roll * 256 + u32::from(*byte));
                u64::from(roll) * u64::from(many) < 65_536
            }
        }
    }
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
            "every" => Call::Every,
            call => match call.strip_prefix("1in") {
                Some(many) => Call::OneIn(many.parse().map_err(|_| wrong())?),
                None => Call::Number(call.parse().map_err(|_| wrong())?),
            },
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
    fn a_chance_is_the_same_for_one_name_and_comes_true_over_many() {
        let asked = failpoints("7 fail=upload.begin:before:1in5:error.parquet");
        assert_eq!(asked[0].call, Call::OneIn(5));
        let names: Vec<String> = (0..1_000).map(|number| format!("{number}.parquet")).collect();
        let fails = |call| names.iter().filter(|name| Call::OneIn(5).asks_for(name, call)).count();
        assert_eq!(fails(1), fails(1));
        assert!((1..=5).all(|call| (150..250).contains(&fails(call))), "{:?}", [fails(1), fails(2)]);
    }

    #[test]
    fn a_name_may_ask_for_several() {
        let asked = failpoints("7 fail=plan.put:before:1:crash,slice.put:after:every:error.parquet");
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0].call, Call::Number(1));
        assert_eq!((asked[1].when, asked[1].call, asked[1].action), (When::After, Call::Every, Action::Error));
        assert!(failpoints("7 fail=plan.put:sometime:1:crash.parquet").is_empty());
        assert!(failpoints("clean.parquet").is_empty());
    }
}
