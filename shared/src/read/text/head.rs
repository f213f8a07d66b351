//! What a file's beginning tells: where its records start, what its columns are called, and what they look like.

use std::borrow::Cow;

use arrow::datatypes::DataType;

use super::column::{ColumnBuilder, UNFIT, trimmed, usual};
use super::csv::{Dialect, Field, record, undouble};
use super::csv_reader::{BYTE_ORDER_MARK, Nulls};
use super::encoding::{decode, decode_lossy, utf16};
use super::fetch::Chunks;
use super::inflate::{Inflow, Limits, Packing};
use super::number;
use super::shape::TextShape;
use crate::dataset::{ColumnType, Format, Notation, Rule, TimeUnit, Written};
use crate::plan::LineEnd;
use crate::read::SourceFile;
use crate::{Error, Result};

/// Bytes of the object that are read.
pub const SAMPLE_BYTES: u64 = 1 << 20;
/// Plain bytes that are looked at.
const PLAIN_BYTES: usize = 2 << 20;
/// The most columns that a header may name.
const MAX_COLUMNS: usize = 10_000;

/// A text file's beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Bytes before the first record: a byte order mark, a header. Of the plain bytes, if the file is compressed.
    pub header_bytes: u64,
    /// Lines before the first record.
    pub header_lines: u64,
    /// CSV: the columns' names. Without a header, or in an empty file: none, but as many as the first record has fields.
    pub names: Vec<Option<String>>,
    /// CSV: what each column's values in the sample are, as far as they are alike; `string` otherwise.
    pub types: Vec<ColumnType>,
    /// CSV: what ends a line.
    pub line_end: LineEnd,
    /// CSV: the first record's text, where it has one field.
    pub one_field: Option<String>,
    /// CSV: why the file has no record.
    pub empty: Option<Empty>,
    /// How many records the whole file has, judged by the sample.
    pub about_records: u64,
}

/// Why a CSV file has no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// It has no byte.
    NoByte,
    /// It holds white space.
    Blank,
    /// It ends with its header.
    HeaderOnly,
}

impl std::fmt::Display for Empty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoByte => "the file is empty: it has no byte",
            Self::Blank => "the file is empty: it holds nothing but white space",
            Self::HeaderOnly => "the file is empty: it has a header and no record",
        })
    }
}

/// Looks at a file's beginning.
///
/// # Errors
///
/// [`Error::Source`] for a header without sense, a file in another encoding or damaged; [`Error::Limit`] for too many
/// columns or a header that does not end.
pub async fn head(source: &SourceFile, shape: &TextShape) -> Result<Head> {
    let sample = sampled(source, shape.expansion).await?;
    let mut head = look(&sample.bytes, sample.is_whole, shape).map_err(|problem| source.error(problem))?;
    let shape = shape.clone().with_line_end(head.line_end);
    let records = u128::from(records(&sample.bytes, &head, &shape));
    let packed = u128::from(sample.packed_bytes.max(1));
    head.about_records = u64::try_from(records * u128::from(source.size) / packed).unwrap_or(u64::MAX);
    Ok(head)
}

pub(super) struct Sample {
    /// Plain bytes.
    pub bytes: Vec<u8>,
    /// The object's bytes that they came from.
    pub packed_bytes: u64,
    /// Whether they are all.
    pub is_whole: bool,
}

/// A source's first bytes. `expansion` bounds the plain ones per packed byte.
pub(super) async fn sampled(source: &SourceFile, expansion: u64) -> Result<Sample> {
    let read = source.size.min(SAMPLE_BYTES);
    let chunks = Chunks::of(source.clone(), 0..read);
    let limits = Limits { uri: source.uri(), expansion };
    let packing = Packing::of(&source.key);
    let is_all = read == source.size;
    let sample = tokio::task::spawn_blocking(move || sample(chunks, packing, limits, is_all));
    sample.await.map_err(|error| Error::Internal(format!("reading a sample: {error}")))?
}

/// Whole records behind the header, the last one perhaps cut.
pub(super) fn records(bytes: &[u8], head: &Head, shape: &TextShape) -> u64 {
    let (mut at, mut records, mut none) = (usize::try_from(head.header_bytes).unwrap_or(usize::MAX), 0, Vec::new());
    while let Some(found) = record::<false>(shape.dialect(), bytes, at, true, &mut none) {
        at = found.next;
        records += u64::from(!found.is_blank());
    }
    records
}

/// The first plain bytes.
fn sample(chunks: Chunks, packing: Packing, limits: Limits, is_all: bool) -> Result<Sample> {
    let mut inflow = Inflow::new(chunks, packing, limits)?;
    let mut bytes = Vec::new();
    let is_whole = loop {
        match inflow.fill(&mut bytes) {
            Ok(true) if bytes.len() < PLAIN_BYTES => {}
            Ok(more) => break is_all && !more,
            // Packed data that is only read to a part seems cut off.
            Err(Error::Source { .. }) if !is_all => break false,
            Err(error) => return Err(error),
        }
    };
    Ok(Sample { bytes, packed_bytes: inflow.used(), is_whole })
}

pub(super) fn look(bytes: &[u8], is_whole: bool, shape: &TextShape) -> Result<Head, String> {
    if let Some(name) = utf16(bytes) {
        return Err(format!("it is {name}, and text is read as UTF-8 or in an encoding of single bytes: convert it"));
    }
    let has_mark = bytes.starts_with(BYTE_ORDER_MARK);
    if let Some(encoding) = shape.encoding.filter(|_| has_mark) {
        let name = encoding.name();
        return Err(format!("it begins as UTF-8 does, with a byte order mark, and [csv] encoding says {name}"));
    }
    let mut at = if has_mark { BYTE_ORDER_MARK.len() } else { 0 };
    let mut head = Head { header_bytes: wide(at), ..Head::default() };
    if shape.format != Format::Csv {
        return Ok(head);
    }
    let is_blank = bytes.get(at..).is_none_or(|bytes| bytes.trim_ascii().is_empty());
    if is_whole && is_blank && (shape.has_header() || bytes.get(at..).is_none_or(<[u8]>::is_empty)) {
        head.empty = Some(if bytes.is_empty() { Empty::NoByte } else { Empty::Blank });
        return Ok(head);
    }
    head.line_end = line_end(shape.dialect(), bytes, at, is_whole);
    let shape = &shape.clone().with_line_end(head.line_end);
    let (mut lines, mut fields) = (0, Vec::new());
    let first = loop {
        match record::<true>(shape.dialect(), bytes, at, is_whole, &mut fields) {
            Some(found) if found.is_blank() => {
                lines += found.lines;
                at = found.next;
            }
            found => break found,
        }
    };
    let Some(first) = first else {
        return match is_whole {
            // Line ends, without a header.
            true => Ok(Head { empty: Some(Empty::Blank), ..head }),
            false => Err(format!("its first record does not end within {} bytes: is it CSV?", bytes.len())),
        };
    };
    if fields.len() > MAX_COLUMNS {
        return Err(format!("its first record has {} fields, above the limit of {MAX_COLUMNS}", fields.len()));
    }
    head.names = vec![None; fields.len()];
    if let [only] = fields.as_slice() {
        let text = bytes.get(only.start..only.end).unwrap_or_default();
        head.one_field = Some(decode_lossy(shape.encoding, text).trim().to_owned());
    }
    if shape.has_header() {
        if let Some(problem) = first.problem {
            return Err(format!("its header cannot be read: {problem}"));
        }
        head.names = header(bytes, &fields, shape)?;
        head.header_bytes = wide(first.next);
        head.header_lines = lines + first.lines;
        at = first.next;
        let is_over = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'\n' | b'\r'));
        head.empty = (is_whole && bytes.get(at..).is_none_or(is_over)).then_some(Empty::HeaderOnly);
    }
    head.types = types(bytes, at, is_whole, shape, head.names.len());
    Ok(head)
}

/// What ends the first line, be it a record or blank: the same ends the others.
pub(super) fn line_end(dialect: Dialect, bytes: &[u8], at: usize, is_whole: bool) -> LineEnd {
    let either = Dialect { returns: true, ..dialect };
    let first = record::<false>(either, bytes, at, is_whole, &mut Vec::new());
    match first.and_then(|first| bytes.get(first.end..first.next)) {
        Some(b"\r") => LineEnd::Return,
        _ => LineEnd::Feed,
    }
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn header(bytes: &[u8], fields: &[Field], shape: &TextShape) -> Result<Vec<Option<String>>, String> {
    let quote = shape.dialect().quote.unwrap_or(b'"');
    let mut names: Vec<Option<String>> = Vec::new();
    for field in fields {
        let text = bytes.get(field.start..field.end).unwrap_or_default();
        let mut plain = Vec::new();
        if field.doubled {
            undouble(text, quote, &mut plain)
        } else {
            plain.extend_from_slice(text)
        }
        let name = match shape.encoding {
            None => String::from_utf8(plain).map_err(|_| {
                "its header is not UTF-8: convert it, or write its encoding in [csv], such as encoding = \"latin1\""
                    .to_owned()
            })?,
            Some(encoding) => decode(encoding, &plain)
                .map(Cow::into_owned)
                .ok_or_else(|| format!("its header is not {}: write another encoding in [csv]", encoding.name()))?,
        };
        let name = name.trim().to_owned();
        if !name.is_empty() && names.contains(&Some(name.clone())) {
            return Err(format!("its header names `{name}` twice: rename one of the two"));
        }
        names.push((!name.is_empty()).then_some(name));
    }
    Ok(names)
}

/// A column that values are tried in: what it takes is what the reader takes.
#[derive(Debug)]
struct Trial {
    /// `None`: a value did not fit.
    column: Option<ColumnBuilder>,
    /// Values that wait to be cast together. A column of words is out at its first.
    patience: usize,
}

impl Trial {
    fn of(data_type: &DataType, notation: &Notation) -> Self {
        Self { column: ColumnBuilder::written(data_type, notation).ok(), patience: 1 }
    }

    fn push(&mut self, text: &[u8]) {
        const MOST_WAITING: usize = 1_024;
        let Some(column) = &mut self.column else { return };
        column.push(text);
        if column.waiting() >= self.patience && self.fits() {
            self.patience = (2 * self.patience).min(MOST_WAITING);
        }
    }

    fn rule_out(&mut self) {
        self.column = None;
    }

    /// Whether every value fits.
    fn fits(&mut self) -> bool {
        let finished = self.column.as_mut().map(ColumnBuilder::finish);
        let fits = finished.is_some_and(|finished| finished.is_ok_and(|finished| finished.unfit.is_none()));
        if !fits {
            self.rule_out();
        }
        fits
    }
}

/// What a column's values may all be.
#[derive(Debug)]
struct Guess {
    seen: bool,
    /// Whether one of them has a digit: words such as `nan` make no column of numbers.
    digit: bool,
    integer: Trial,
    float: Trial,
    date: bool,
    timestamp: bool,
    /// How dates and timestamps are written, where that is not as usual.
    dates: Option<Rule>,
    timestamps: Option<Rule>,
    spelt: String,
}

impl Guess {
    fn fresh(notation: &Notation) -> Self {
        Self {
            seen: false,
            digit: false,
            integer: Trial::of(&DataType::Int64, notation),
            float: Trial::of(&DataType::Float64, notation),
            date: true,
            timestamp: true,
            dates: notation.rule(Written::Date),
            timestamps: notation.rule(Written::Timestamp),
            spelt: String::new(),
        }
    }

    fn narrow(&mut self, text: &[u8]) {
        /// Digits that are exact as `float64`.
        const EXACT_DIGITS: usize = 15;
        let text = trimmed(text);
        let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
        self.seen = true;
        self.digit |= text.iter().any(u8::is_ascii_digit);
        // A code such as a postal one: as a number it would lose its zeros.
        if matches!(digits, [b'0', b'0'..=b'9', ..]) {
            self.integer.rule_out();
            self.float.rule_out();
        }
        self.integer.push(text);
        // An identifier more likely than a measure, and float64 would round it.
        if digits.len() > EXACT_DIGITS && digits.iter().all(u8::is_ascii_digit) {
            self.float.rule_out();
        }
        self.float.push(text);
        self.date = self.date && usual(self.dates.as_ref(), text, &mut self.spelt).and_then(number::date).is_some();
        self.timestamp = self.timestamp
            && usual(self.timestamps.as_ref(), text, &mut self.spelt)
                .is_some_and(|text| !text.ends_with(b"Z") && number::timestamp(text, 6).is_some());
    }

    fn column_type(mut self) -> ColumnType {
        if !self.seen {
            ColumnType::String
        } else if self.digit && self.integer.fits() {
            ColumnType::Int(64)
        } else if self.digit && self.float.fits() {
            ColumnType::Float(64)
        } else if self.date {
            ColumnType::Date
        } else if self.timestamp {
            ColumnType::Timestamp { unit: TimeUnit::Microsecond, zone: None }
        } else {
            ColumnType::String
        }
    }
}

/// Whether the record taken for the header looks like data: its values are what the columns' are, where those are no strings.
pub(super) fn is_data(bytes: &[u8], head: &Head, shape: &TextShape) -> bool {
    let first = bytes.get(..usize::try_from(head.header_bytes).unwrap_or(usize::MAX)).unwrap_or_default();
    let from = if first.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let first = types(first, from, true, shape, head.names.len());
    let mut typed = head.types.iter().zip(&first).filter(|(found, _)| **found != ColumnType::String).peekable();
    typed.peek().is_some() && typed.all(|(_, first)| *first != ColumnType::String)
}

/// What each column's values in the sample are.
fn types(bytes: &[u8], from: usize, is_whole: bool, shape: &TextShape, columns: usize) -> Vec<ColumnType> {
    let mut guesses: Vec<Guess> = std::iter::repeat_with(|| Guess::fresh(&shape.notation)).take(columns).collect();
    let nulls = Nulls::of(shape);
    let (mut at, mut fields) = (from, Vec::new());
    while let Some(found) = record::<true>(shape.dialect(), bytes, at, is_whole, &mut fields) {
        at = found.next;
        if found.is_blank() || found.problem.is_some() || fields.len() != columns {
            continue;
        }
        for (guess, field) in guesses.iter_mut().zip(&fields) {
            let text = nulls.value(bytes.get(field.start..field.end).unwrap_or_default());
            if nulls.is_null(text, field.quoted) {
                continue;
            }
            match shape.encoding {
                None => guess.narrow(text),
                Some(encoding) => guess.narrow(decode(encoding, text).as_deref().map_or(UNFIT, str::as_bytes)),
            }
        }
    }
    guesses.into_iter().map(Guess::column_type).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, StringArray};
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::clean::TextCast;
    use crate::dataset::Dataset;

    fn looked(text: &str) -> Head {
        let dataset = Dataset::parse(super::super::tests::CSV, "t").unwrap();
        look(text.as_bytes(), true, &TextShape::new(&dataset, &[]).unwrap()).unwrap()
    }

    fn inferred(values: &[String]) -> String {
        looked(&format!("a\n{}\n", values.join("\n"))).types[0].to_string()
    }

    #[rstest]
    #[case(&[".79", "12.5"], "float64")]
    #[case(&["-.5"], "float64")]
    #[case(&["5."], "float64")]
    #[case(&["1e3", "2E-2"], "float64")]
    #[case(&["+1", " 2 "], "int64")]
    #[case(&["+1.5", "NaN", "inf"], "float64")]
    #[case(&["0.30000000000000004"], "float64")]
    #[case(&["9223372036854775807"], "int64")]
    #[case(&["9223372036854775808"], "string")]
    #[case(&["9007199254740993", "1.5"], "string")]
    #[case(&["nan", "inf"], "string")]
    #[case(&["1e400"], "string")]
    #[case(&["007", "8"], "string")]
    #[case(&["-007.5"], "string")]
    #[case(&["0", "-0.5"], "float64")]
    #[case(&["1,5"], "string")]
    #[case(&["-"], "string")]
    #[case(&["2020-01-01T10:00", "2020-01-02 10:00:01"], "timestamp(us)")]
    #[case(&[" 2020-01-01 "], "date")]
    fn values_tell_the_type_that_the_casts_give_them(#[case] values: &[&str], #[case] expected: &str) {
        let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
        assert_eq!(inferred(&quoted), expected);
    }

    #[rstest]
    #[case("", Some(Empty::NoByte), LineEnd::Feed)]
    #[case("\u{feff}", Some(Empty::Blank), LineEnd::Feed)]
    #[case(" \r\n\t\n", Some(Empty::Blank), LineEnd::Feed)]
    #[case("a,b", Some(Empty::HeaderOnly), LineEnd::Feed)]
    #[case("a,b\r\n\r\n", Some(Empty::HeaderOnly), LineEnd::Feed)]
    #[case("a,b\r\r", Some(Empty::HeaderOnly), LineEnd::Return)]
    #[case("a,b\n1,2", None, LineEnd::Feed)]
    #[case("a,b\r1,2", None, LineEnd::Return)]
    #[case("\"a\rb\",c\n1,2\r", None, LineEnd::Feed)]
    #[case("\"a\nb\",c\r1,2\n", None, LineEnd::Return)]
    fn the_first_line_tells_what_ends_lines(#[case] text: &str, #[case] empty: Option<Empty>, #[case] end: LineEnd) {
        let head = looked(text);
        assert_eq!((head.empty, head.line_end), (empty, end));
    }

    fn number() -> impl Strategy<Value = String> {
        prop_oneof![
            8 => "[+-]?[0-9]{1,4}",
            8 => "[+-]?[0-9]{0,3}\\.[0-9]{0,3}",
            2 => "[+-]?[0-9]{0,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{0,3})?",
            2 => " ?[0-9]{1,3}\\.?[0-9]? ?",
            1 => "[+-]?(inf|nan|Infinity|NaN)",
            1 => "[0-9a-fxE_.+-]{1,6}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn what_is_inferred_as_numbers_casts_without_a_row_set_aside(
            values in proptest::collection::vec(number().prop_filter("a field", |text| !text.trim().is_empty()), 1..6),
        ) {
            let texts: ArrayRef = Arc::new(StringArray::from(values.clone()));
            let fits = |to: &DataType| TextCast::plan(to).unwrap().apply(&texts).unwrap().null_count() == 0;
            let (integers, floats) = (fits(&DataType::Int64), fits(&DataType::Float64));
            let unsigned = |text: &str| text.trim().trim_start_matches(['+', '-']).to_owned();
            let is_code = |text: &String| matches!(unsigned(text).as_bytes(), [b'0', b'0'..=b'9', ..]);
            let is_long = |text: &String| {
                unsigned(text).len() > 15 && unsigned(text).bytes().all(|byte| byte.is_ascii_digit())
            };
            let is_word = !values.iter().any(|text| text.bytes().any(|byte| byte.is_ascii_digit()));
            let expected = match () {
                () if is_word || values.iter().any(is_code) => "string",
                () if integers => "int64",
                () if floats && !values.iter().any(is_long) => "float64",
                () => "string",
            };
            prop_assert_eq!(inferred(&values), expected, "{:?}", values);
        }
    }
}
