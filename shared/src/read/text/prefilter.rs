//! Which records cannot match `source.keep`, told without parsing them.
//!
//! A JSON string holds a printable ASCII character as it is, or as `\u00XX` (RFC 8259, section 7); quote, backslash and
//! slash may be written otherwise. So a record in which `"VALUE"` does not occur, nor an escape that stands for one of
//! VALUE's characters, has no string VALUE.

use memchr::memmem::Finder;

use super::escape::hex4;
use crate::dataset::{Condition, Scalar};

/// Looks for what a condition needs.
#[derive(Debug)]
pub(super) struct Prefilter {
    /// For each condition that can be told: one of these must occur.
    needed: Vec<Vec<Finder<'static>>>,
    /// The characters of all of them.
    characters: [bool; 128],
    escape: Finder<'static>,
}

impl Prefilter {
    pub fn new(conditions: &[Condition]) -> Self {
        let mut characters = [false; 128];
        let mut needed = Vec::new();
        for condition in conditions {
            let texts: Option<Vec<&str>> = condition.values.iter().map(plain).collect();
            let Some(texts) = texts else { continue };
            for byte in texts.iter().flat_map(|text| text.bytes()) {
                if let Some(known) = characters.get_mut(usize::from(byte)) {
                    *known = true;
                }
            }
            let finders = texts.iter().map(|text| Finder::new(format!("\"{text}\"").as_bytes()).into_owned());
            needed.push(finders.collect());
        }
        Self { needed, characters, escape: Finder::new(b"\\u00").into_owned() }
    }

    /// Whether the record cannot match. What does not even look like an object is left to those who parse.
    pub fn excludes(&self, line: &[u8]) -> bool {
        let missing = |finders: &Vec<Finder<'static>>| finders.iter().all(|finder| finder.find(line).is_none());
        line.first() == Some(&b'{')
            && line.last() == Some(&b'}')
            && self.needed.iter().any(missing)
            && !self.is_escaped(line)
    }

    /// Whether one of the characters is written as an escape.
    fn is_escaped(&self, line: &[u8]) -> bool {
        self.escape.find_iter(line).any(|at| {
            let code = line.get(at + 2..).and_then(|digits| hex4(digits).ok()).map(|(code, _)| code);
            let known = code.and_then(|code| self.characters.get(usize::try_from(code).ok()?));
            known.is_some_and(|known| *known)
        })
    }
}

/// A text whose characters JSON writes as they are, or as an escape of four digits.
fn plain(value: &Scalar) -> Option<&str> {
    match value {
        Scalar::Text(text) => {
            let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\' | b'/');
            text.bytes().all(is_plain).then_some(text.as_str())
        }
        Scalar::Bare(_) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dataset::Keep;

    #[test]
    fn only_what_cannot_match_is_excluded() {
        let prefilter = Prefilter::new(&Keep::parse("type = 'PushEvent'").unwrap().0);
        for line in [r#"{"type":"WatchEvent"}"#, r#"{"type":"Push","x":"Event"}"#, r#"{"x":"\u003c PushEvent \u00e4"}"#]
        {
            assert!(prefilter.excludes(line.as_bytes()), "{line}");
        }
        for line in [
            r#"{"type":"PushEvent"}"#,
            r#"{"type":"\u0050ushEvent"}"#,
            r#"{"type":"Push\u0045vent"}"#,
            r#"{"x":"PushEvent"}"#,
            "cut off",
            r#"{"type":"WatchEv"#,
        ] {
            assert!(!prefilter.excludes(line.as_bytes()), "{line}");
        }
        let any = Prefilter::new(&Keep::parse("size = 3").unwrap().0);
        assert!(!any.excludes(b"{}"));
        let slash = Prefilter::new(&Keep::parse("ref = 'refs/heads'").unwrap().0);
        assert!(!slash.excludes(br#"{"ref":"refs\/heads"}"#));
    }
}
