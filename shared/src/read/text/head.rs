//! What a file's beginning tells: where its records start, what its columns are called, and what they look like.

use std::borrow::Cow;

use super::csv::{Field, record, undouble};
use super::csv_reader::{BYTE_ORDER_MARK, Nulls};
use super::encoding::{decode, utf16};
use super::fetch::Chunks;
use super::inflate::{Inflow, Limits, Packing};
use super::number;
use super::shape::TextShape;
use crate::dataset::{ColumnType, Format, Notation, TimeUnit, Written};
use crate::read::SourceFile;
use crate::{Error, Result};

/// Bytes of the object that are read.
const SAMPLE_BYTES: u64 = 1 << 20;
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
    /// How many records the whole file has, judged by the sample.
    pub about_records: u64,
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
    let records = u128::from(records(&sample.bytes, &head, shape));
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
            true => Ok(head),
            false => Err(format!("its first record does not end within {} bytes: is it CSV?", bytes.len())),
        };
    };
    if fields.len() > MAX_COLUMNS {
        return Err(format!("its first record has {} fields, above the limit of {MAX_COLUMNS}", fields.len()));
    }
    head.names = vec![None; fields.len()];
    if shape.has_header() {
        if let Some(problem) = first.problem {
            return Err(format!("its header cannot be read: {problem}"));
        }
        head.names = header(bytes, &fields, shape)?;
        head.header_bytes = wide(first.next);
        head.header_lines = lines + first.lines;
        at = first.next;
    }
    head.types = types(bytes, at, is_whole, shape, head.names.len());
    Ok(head)
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

/// What a column's values may all be.
#[derive(Debug, Clone, Copy)]
struct Guess {
    seen: bool,
    integer: bool,
    float: bool,
    date: bool,
    timestamp: bool,
}

impl Guess {
    fn narrow(&mut self, text: &[u8]) {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        // A code such as a postal one: as a number it would lose its zeros.
        let is_code = matches!(digits, [b'0', b'0'..=b'9', ..]) || digits.first() == Some(&b'+');
        self.seen = true;
        self.integer &= !is_code && number::integer(text).is_some();
        self.float &= !is_code && number::float64(text).is_some();
        self.date = self.date && number::date(text).is_some();
        self.timestamp = self.timestamp && !text.ends_with(b"Z") && number::timestamp(text, 6).is_some();
    }

    /// The same for a text in another notation.
    fn narrow_written(&mut self, text: &[u8], notation: &Notation) {
        let mut spelt = String::new();
        let mut narrowed = |what: Written| {
            let text = match notation.rule(what) {
                None => text,
                Some(rule) => std::str::from_utf8(text)
                    .ok()
                    .and_then(|text| rule.respell(text, &mut spelt))
                    .map_or(&b""[..], str::as_bytes),
            };
            let mut guess = *self;
            guess.narrow(text);
            guess
        };
        let [numbers, dates, timestamps] = [Written::Number, Written::Date, Written::Timestamp].map(&mut narrowed);
        *self = Self { date: dates.date, timestamp: timestamps.timestamp, ..numbers };
    }

    fn column_type(self) -> ColumnType {
        match self {
            Self { seen: false, .. } => ColumnType::String,
            Self { integer: true, .. } => ColumnType::Int(64),
            Self { float: true, .. } => ColumnType::Float(64),
            Self { date: true, .. } => ColumnType::Date,
            Self { timestamp: true, .. } => ColumnType::Timestamp { unit: TimeUnit::Microsecond, zone: None },
            _ => ColumnType::String,
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
    let fresh = Guess { seen: false, integer: true, float: true, date: true, timestamp: true };
    let mut guesses = vec![fresh; columns];
    let nulls = Nulls::of(shape);
    let (mut at, mut fields) = (from, Vec::new());
    while let Some(found) = record::<true>(shape.dialect(), bytes, at, is_whole, &mut fields) {
        at = found.next;
        if found.is_blank() || found.problem.is_some() || fields.len() != columns {
            continue;
        }
        for (guess, field) in guesses.iter_mut().zip(&fields) {
            let text = bytes.get(field.start..field.end).unwrap_or_default();
            match nulls.is_null(text, field.quoted) {
                true => {}
                false if shape.notation.is_usual() => guess.narrow(text),
                false => guess.narrow_written(text, &shape.notation),
            }
        }
    }
    guesses.into_iter().map(Guess::column_type).collect()
}
