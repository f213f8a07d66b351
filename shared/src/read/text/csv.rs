//! Where CSV records and fields end (RFC 4180, and what is found in the wild).
//!
//! A field that begins with a quote ends at the next quote that is not doubled; delimiters and line ends within are its
//! own. A quote within a field that does not begin with one is a character as any other. A line ends at a line feed,
//! with or without a carriage return before it; in files whose first line ends with a carriage return alone
//! ([`Dialect::returns`]), at such a one too. Lines without a character are no records.
//!
//! One function tells records apart, for the planner that cuts a file and for the reader that parses a piece of it: so a
//! boundary in a plan is where a reader from the file's start would have found one.

use memchr::{memchr, memchr_iter, memchr2, memchr3};

/// What tells fields apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields. `None`: a record is one field, whatever it holds.
    pub delimiter: Option<u8>,
    /// Around fields that hold delimiters, line ends or quotes.
    pub quote: Option<u8>,
    /// Whether a carriage return alone ends a line, besides a line feed and the two together.
    pub returns: bool,
}

/// Lines as they are: one record each, without fields. NDJSON's.
pub const LINES: Dialect = Dialect { delimiter: None, quote: None, returns: false };

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
    let found = match (dialect.quote, dialect.returns) {
        (Some(quote), false) => memchr2(quote, b'\n', rest),
        (None, false) => memchr(b'\n', rest),
        (Some(quote), true) => memchr3(quote, b'\n', b'\r', rest),
        (None, true) => memchr2(b'\n', b'\r', rest),
    };
    let (end, next, closed) = match found.and_then(|at| Some((from + at, *rest.get(at)?))) {
        Some((at, b'\n')) => (without_return(bytes, from, at), at + 1, true),
        Some((at, b'\r')) => (at, behind_return(bytes, at, at_end)?, true),
        Some(_) => return careful::<SPLIT>(dialect, bytes, from, at_end, fields),
        None if at_end => (without_return(bytes, from, bytes.len()), bytes.len(), false),
        None => return None,
    };
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

/// Where the line behind a carriage return starts; `None` where a line feed may still come.
fn behind_return(bytes: &[u8], at: usize, at_end: bool) -> Option<usize> {
    match bytes.get(at + 1) {
        Some(b'\n') => Some(at + 2),
        None if !at_end => None,
        _ => Some(at + 1),
    }
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
        let stop = match dialect.returns {
            false => memchr2(delimiter, b'\n', rest),
            true => memchr3(delimiter, b'\n', b'\r', rest),
        };
        let stop = stop.and_then(|at| Some((behind + at, *rest.get(at)?)));
        // Where the field's text ends, and where the next line starts if the line ends here.
        let (text_end, next_line) = match stop {
            Some((at, b'\n')) => (without_return(bytes, behind, at), Some(at + 1)),
            Some((at, b'\r')) => (at, Some(behind_return(bytes, at, at_end)?)),
            Some((at, _)) => (at, None),
            None if at_end => (without_return(bytes, behind, bytes.len()), Some(bytes.len())),
            None => return None,
        };
        if !begins_with_quote {
            field.end = text_end;
        } else if text_end > behind {
            problem = problem.or(Some(BEHIND_QUOTE));
        }
        if SPLIT {
            fields.push(field);
        }
        if let Some(next) = next_line {
            break (text_end, next, stop.is_some());
        }
        at = text_end + 1;
    };
    let lines = line_ends(bytes.get(from..next).unwrap_or_default(), dialect.returns);
    Some(Record { start: from, end, next, lines, closed, problem })
}

fn line_ends(text: &[u8], returns: bool) -> u64 {
    let feeds = memchr_iter(b'\n', text).count();
    let alone = |at: &usize| text.get(at + 1) != Some(&b'\n');
    let returns = if returns { memchr_iter(b'\r', text).filter(alone).count() } else { 0 };
    u64::try_from(feeds + returns).unwrap_or(u64::MAX)
}

/// Whether a record is lines that a carriage return alone ends: at least two of them have `columns` fields.
pub fn holds_lines(dialect: Dialect, record: &[u8], columns: usize) -> bool {
    if dialect.returns || memchr(b'\r', record).is_none() {
        return false;
    }
    let dialect = Dialect { returns: true, ..dialect };
    let (mut at, mut whole, mut fields) = (0, 0, Vec::new());
    while let Some(line) = self::record::<true>(dialect, record, at, true, &mut fields) {
        at = line.next;
        whole += usize::from(!line.is_blank() && line.problem.is_none() && fields.len() == columns);
    }
    whole >= 2
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

    const COMMAS: Dialect = Dialect { delimiter: Some(b','), quote: Some(b'"'), returns: false };
    const RETURNS: Dialect = Dialect { returns: true, ..COMMAS };

    fn parsed(text: &[u8]) -> Vec<(Vec<String>, Option<&'static str>)> {
        parsed_as(COMMAS, text)
    }

    /// Every record's fields, read from a buffer that holds all.
    fn parsed_as(dialect: Dialect, text: &[u8]) -> Vec<(Vec<String>, Option<&'static str>)> {
        let (mut records, mut fields, mut at) = (Vec::new(), Vec::new(), 0);
        while let Some(record) = record::<true>(dialect, text, at, true, &mut fields) {
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

    #[rstest]
    #[case::alone("a,b\rc,d\r", &["a|b", "c|d"])]
    #[case::no_last_line_end("a,b\r\rc,d", &["a|b", "c|d"])]
    #[case::quoted("\"a\r\",\"b\r\nc\"\r\"\",d\r", &["a\r|b\r\nc", "|d"])]
    #[case::a_quote_inside_is_a_character("5\" disk,b\rc,d\r", &["5\" disk|b", "c|d"])]
    #[case::mixed("a,b\rc,d\ne,f\r\n\"g\",h\r", &["a|b", "c|d", "e|f", "g|h"])]
    fn carriage_returns_end_lines_where_the_first_line_ends_so(#[case] text: &str, #[case] expected: &[&str]) {
        let records: Vec<_> =
            parsed_as(RETURNS, text.as_bytes()).into_iter().map(|(fields, _)| fields.join("|")).collect();
        assert_eq!(records, expected);
    }

    #[test]
    fn a_record_of_lines_is_told_from_one_with_a_carriage_return() {
        assert!(holds_lines(COMMAS, b"3,4\r5,6", 2) && holds_lines(COMMAS, b"3,4\r5\r\"7\",8\r", 2));
        assert!(holds_lines(COMMAS, b"a\rb", 1));
        for record in [&b"3,4\r5"[..], b"3,4,\"5\r6\"", b"3\r,4", b"3,4,5,6"] {
            assert!(!holds_lines(COMMAS, record, 2), "{record:?}");
        }
        assert!(!holds_lines(COMMAS, b"a\r", 1) && !holds_lines(COMMAS, b"\"a\rb\"", 1));
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
            returns in any::<bool>(),
        ) {
            let dialect = Dialect { returns, ..COMMAS };
            let mut counted = 0;
            let (mut at, mut fields, mut split) = (0, Vec::new(), Vec::new());
            while at < text.len() {
                let whole = record::<false>(dialect, &text, at, true, &mut fields).unwrap();
                prop_assert!(whole.next > at && whole.start == at && whole.end <= whole.next);
                prop_assert_eq!(record::<true>(dialect, &text, at, true, &mut split).unwrap(), whole);
                for end in at..=text.len() {
                    // With a part of it in hand the answer is the same, or that more must come.
                    if let Some(early) = record::<false>(dialect, &text[..end], at, false, &mut fields) {
                        prop_assert_eq!(early, whole);
                    }
                }
                counted += whole.lines;
                at = whole.next;
            }
            prop_assert_eq!(counted, line_ends(&text, returns));
        }
    }
}
