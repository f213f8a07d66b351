//! Where CSV records and fields end (RFC 4180, and what is found in the wild).
//!
//! A field that begins with a quote ends at the next quote that is not doubled; delimiters and line ends within are its
//! own. A quote within a field that does not begin with one is a character as any other. A line ends at a line feed,
//! with or without a carriage return before it. Lines without a character are no records.
//!
//! One function tells records apart, for the planner that cuts a file and for the reader that parses a piece of it: so a
//! boundary in a plan is where a reader from the file's start would have found one.

use memchr::{memchr, memchr_iter, memchr2};

/// What tells fields apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields. `None`: a record is one field, whatever it holds.
    pub delimiter: Option<u8>,
    /// Around fields that hold delimiters, line ends or quotes.
    pub quote: Option<u8>,
}

/// Lines as they are: one record each, without fields. NDJSON's.
pub const LINES: Dialect = Dialect { delimiter: None, quote: None };

/// A field: bytes within the buffer, without the quotes around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub start: usize,
    pub end: usize,
    pub quoted: bool,
    /// Whether it holds doubled quotes.
    pub doubled: bool,
}

/// A record's place in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub start: usize,
    /// Behind its last character; the line end is not part of it.
    pub end: usize,
    /// Where the next record starts.
    pub next: usize,
    /// Line ends from `start` to `next`.
    pub lines: u64,
    /// Whether a line end closed it, rather than the end of the data.
    pub closed: bool,
    /// Why its fields cannot be told.
    pub problem: Option<&'static str>,
}

/// A quoted field that something other than a delimiter follows.
pub const BEHIND_QUOTE: &str = "csv: text behind a closing quote";
/// A quote that the data never closes.
pub const UNCLOSED: &str = "csv: a quote is not closed";

impl Record {
    /// Whether the line holds no character, so that it is none.
    pub fn is_blank(&self) -> bool {
        self.start == self.end
    }
}

/// The record that starts at `from`, its fields put into `fields` if `SPLIT`. `None` where more bytes must come to tell;
/// never if `at_end`, as long as there are bytes from `from`.
pub fn record<const SPLIT: bool>(
    dialect: Dialect,
    bytes: &[u8],
    from: usize,
    at_end: bool,
    fields: &mut Vec<Field>,
) -> Option<Record> {
    if SPLIT {
        fields.clear();
    }
    let rest = bytes.get(from..).filter(|rest| !rest.is_empty())?;
    let found = match dialect.quote {
        Some(quote) => memchr2(quote, b'\n', rest),
        None => memchr(b'\n', rest),
    };
    let (end, closed) = match found.and_then(|at| Some((at, *rest.get(at)?))) {
        Some((at, b'\n')) => (from + at, true),
        Some(_) => return careful::<SPLIT>(dialect, bytes, from, at_end, fields),
        None if at_end => (bytes.len(), false),
        None => return None,
    };
    let next = if closed { end + 1 } else { end };
    let end = without_return(bytes, from, end);
    if SPLIT && let Some(delimiter) = dialect.delimiter {
        let mut start = from;
        for at in memchr_iter(delimiter, bytes.get(from..end).unwrap_or_default()) {
            fields.push(Field { start, end: from + at, quoted: false, doubled: false });
            start = from + at + 1;
        }
        fields.push(Field { start, end, quoted: false, doubled: false });
    }
    Some(Record { start: from, end, next, lines: u64::from(closed), closed, problem: None })
}

fn without_return(bytes: &[u8], from: usize, end: usize) -> usize {
    match end.checked_sub(1).and_then(|last| bytes.get(last)) {
        Some(b'\r') if end > from => end - 1,
        _ => end,
    }
}

/// A record that holds a quote somewhere.
fn careful<const SPLIT: bool>(
    dialect: Dialect,
    bytes: &[u8],
    from: usize,
    at_end: bool,
    fields: &mut Vec<Field>,
) -> Option<Record> {
    let quote = dialect.quote.unwrap_or(b'"');
    // Without a delimiter, a line end is all that ends a field.
    let delimiter = dialect.delimiter.unwrap_or(b'\n');
    let mut problem = None;
    let mut at = from;
    let (end, next, closed) = loop {
        let begins_with_quote = bytes.get(at) == Some(&quote);
        let mut field = Field { start: at, end: at, quoted: begins_with_quote, doubled: false };
        // Where to look for what ends the field.
        let mut behind = at;
        if begins_with_quote {
            field.start = at + 1;
            match closing_quote(bytes, field.start, quote, at_end) {
                Closing::At { place, doubled } => {
                    field.doubled = doubled;
                    field.end = place;
                    behind = place + 1;
                }
                Closing::Open => return None,
                Closing::Never => {
                    field.end = bytes.len();
                    behind = bytes.len();
                    problem = Some(UNCLOSED);
                }
            }
        }
        let rest = bytes.get(behind..).unwrap_or_default();
        let stop = memchr2(delimiter, b'\n', rest).map(|stop| behind + stop);
        let (stop, is_line_end, is_delimiter) = match stop {
            Some(stop) if bytes.get(stop) == Some(&b'\n') => (stop, true, false),
            Some(stop) => (stop, false, true),
            None if at_end => (bytes.len(), false, false),
            None => return None,
        };
        let text_end = if is_delimiter { stop } else { without_return(bytes, behind, stop) };
        if !begins_with_quote {
            field.end = text_end;
        } else if text_end > behind {
            problem = problem.or(Some(BEHIND_QUOTE));
        }
        if SPLIT {
            fields.push(field);
        }
        if !is_delimiter {
            break (text_end, if is_line_end { stop + 1 } else { stop }, is_line_end);
        }
        at = stop + 1;
    };
    let within = bytes.get(from..next).unwrap_or_default();
    let lines = u64::try_from(memchr_iter(b'\n', within).count()).unwrap_or(u64::MAX);
    Some(Record { start: from, end, next, lines, closed, problem })
}

enum Closing {
    At {
        place: usize,
        doubled: bool,
    },
    /// More bytes must come.
    Open,
    /// None will.
    Never,
}

fn closing_quote(bytes: &[u8], from: usize, quote: u8, at_end: bool) -> Closing {
    let mut at = from;
    let mut doubled = false;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr(quote, rest)) {
        let place = at + found;
        match bytes.get(place + 1) {
            Some(next) if *next == quote => {
                doubled = true;
                at = place + 2;
            }
            None if !at_end => return Closing::Open,
            _ => return Closing::At { place, doubled },
        }
    }
    if at_end { Closing::Never } else { Closing::Open }
}

/// Appends a field's text, doubled quotes as one.
pub fn undouble(text: &[u8], quote: u8, into: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr(quote, rest) {
        into.extend_from_slice(rest.get(..=at).unwrap_or_default());
        // The second of the two; a lone one, which no quoted field holds, would stay.
        let skip = if rest.get(at + 1) == Some(&quote) { 2 } else { 1 };
        rest = rest.get(at + skip..).unwrap_or_default();
    }
    into.extend_from_slice(rest);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const COMMAS: Dialect = Dialect { delimiter: Some(b','), quote: Some(b'"') };

    /// Every record's fields, read from a buffer that holds all.
    fn parsed(text: &[u8]) -> Vec<(Vec<String>, Option<&'static str>)> {
        let (mut records, mut fields, mut at) = (Vec::new(), Vec::new(), 0);
        while let Some(record) = record::<true>(COMMAS, text, at, true, &mut fields) {
            let shown = fields.iter().map(|field| {
                let mut plain = Vec::new();
                undouble(&text[field.start..field.end], if field.doubled { b'"' } else { b'\n' }, &mut plain);
                String::from_utf8_lossy(&plain).into_owned()
            });
            if !record.is_blank() {
                records.push((shown.collect(), record.problem));
            }
            at = record.next;
        }
        records
    }

    #[rstest]
    #[case::plain("a,b\nc,d\n", &["a|b", "c|d"])]
    #[case::no_last_line_end("a,b\nc,d", &["a|b", "c|d"])]
    #[case::carriage_returns("a,b\r\n\r\nc,\r\n", &["a|b", "c|"])]
    #[case::quotes("\"a,\"\"x\"\"\",\"b\nc\"\r\n\"\",d\n", &["a,\"x\"|b\nc", "|d"])]
    #[case::a_quote_inside_is_a_character("5\" disk,b\nc,d\"\n", &["5\" disk|b", "c|d\""])]
    #[case::blank_lines("\n\na\n\n", &["a"])]
    #[case::empty_fields(",\n", &["|"])]
    fn fields_are_told_apart(#[case] text: &str, #[case] expected: &[&str]) {
        let records: Vec<_> = parsed(text.as_bytes()).into_iter().map(|(fields, _)| fields.join("|")).collect();
        assert_eq!(records, expected);
    }

    #[test]
    fn what_cannot_be_told_is_named() {
        assert_eq!(parsed(b"\"a\"b,c\nd,e\n")[0].1, Some(BEHIND_QUOTE));
        assert_eq!(parsed(b"\"a\"b,c\nd,e\n")[1].0, ["d", "e"]);
        assert_eq!(parsed(b"a,\"b\nc,d\n")[0].1, Some(UNCLOSED));
    }

    proptest! {
        #[test]
        fn records_cover_any_bytes_once_and_do_not_depend_on_what_is_in_hand(
            text in proptest::collection::vec(proptest::sample::select(b"ab,\"\n\r".to_vec()), 0..60),
        ) {
            let (mut at, mut fields, mut split) = (0, Vec::new(), Vec::new());
            while at < text.len() {
                let whole = record::<false>(COMMAS, &text, at, true, &mut fields).unwrap();
                prop_assert!(whole.next > at && whole.start == at && whole.end <= whole.next);
                prop_assert_eq!(record::<true>(COMMAS, &text, at, true, &mut split).unwrap(), whole);
                for end in at..=text.len() {
                    // With a part of it in hand the answer is the same, or that more must come.
                    if let Some(early) = record::<false>(COMMAS, &text[..end], at, false, &mut fields) {
                        prop_assert_eq!(early, whole);
                    }
                }
                at = whole.next;
            }
        }
    }
}
