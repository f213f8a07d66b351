//! What a CSV's dialect seems to be, judged by its beginning, for those who write a dataset file.

use super::csv::{Dialect, record};
use super::csv_reader::BYTE_ORDER_MARK;
use super::head::{Empty, Head, is_data, line_end, look, records, sampled};
use super::shape::TextShape;
use crate::Result;
use crate::dataset::{ColumnType, CsvSpec};
use crate::plan::LineEnd;
use crate::read::SourceFile;

/// Delimiters that are tried, the likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Records that are looked at to find the delimiter.
const MOST_RECORDS: usize = 10_000;
/// What is proposed for a file that is not UTF-8.
const LATIN1: &str = "latin1";

/// What a CSV's beginning tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Sniffed {
    /// The dialect, as `[csv]` says it.
    pub csv: CsvSpec,
    /// Whether the sample is UTF-8. Otherwise the encoding is a guess.
    pub is_utf8: bool,
    /// The columns' names, `column_1` and so on where the file has none, and the types that a run infers.
    pub columns: Vec<(String, ColumnType)>,
    /// Columns that are numbers only with a decimal comma.
    pub decimal_commas: usize,
    /// Plain bytes of the sample.
    pub sample_bytes: u64,
    /// Whether the sample is the whole file.
    pub is_whole: bool,
    /// Records of the sample, without the header.
    pub records: u64,
    /// Records of the file, judged by the sample.
    pub about_records: u64,
    /// Of the records looked at, the header among them, how many have as many fields as there are columns.
    pub alike: usize,
    /// The records looked at.
    pub looked_at: usize,
}

/// Judges a CSV by the sample that a run infers its types from.
///
/// # Errors
///
/// [`crate::Error::Source`] for a file that is empty, damaged, in UTF-16, or has a header without sense.
pub async fn sniff(source: &SourceFile) -> Result<Sniffed> {
    // The sample is bounded, however far the file swells.
    let sample = sampled(source, u64::MAX).await?;
    let judged = judge(&sample.bytes, sample.is_whole).map_err(|problem| source.error(problem))?;
    let Judged { shape, head, found, is_utf8, decimal_commas } = judged;
    if let Some(empty @ (Empty::NoByte | Empty::Blank)) = head.empty {
        return Err(source.error(format!("{empty}, so there is nothing to judge by")));
    }
    let records = records(&sample.bytes, &head, &shape);
    let about = u128::from(records) * u128::from(source.size) / u128::from(sample.packed_bytes.max(1));
    let names = head.names.into_iter().enumerate();
    let names = names.map(|(at, name)| name.unwrap_or_else(|| format!("column_{}", at + 1)));
    Ok(Sniffed {
        csv: shape.csv,
        is_utf8,
        columns: names.zip(head.types).collect(),
        decimal_commas,
        sample_bytes: u64::try_from(sample.bytes.len()).unwrap_or(u64::MAX),
        is_whole: sample.is_whole,
        records,
        about_records: if sample.is_whole { records } else { u64::try_from(about).unwrap_or(u64::MAX) },
        alike: found.alike,
        looked_at: found.records,
    })
}

struct Judged {
    shape: TextShape,
    head: Head,
    found: Tally,
    is_utf8: bool,
    decimal_commas: usize,
}

fn judge(bytes: &[u8], is_whole: bool) -> Result<Judged, String> {
    let is_utf8 = is_utf8(bytes, is_whole);
    let (dialect, found) = dialect(bytes, is_whole);
    let text = |byte: Option<u8>| byte.map(|byte| char::from(byte).to_string()).unwrap_or_default();
    let mut csv = CsvSpec {
        delimiter: text(dialect.delimiter),
        quote: text(dialect.quote),
        encoding: (!is_utf8).then(|| LATIN1.to_owned()),
        ..CsvSpec::default()
    };
    let with = |csv: &CsvSpec| -> Result<(TextShape, Head), String> {
        let shape = TextShape::of_csv(csv.clone())?;
        let head = look(bytes, is_whole, &shape)?;
        Ok((shape.with_line_end(head.line_end), head))
    };
    let (mut shape, mut head) = match with(&csv) {
        Ok(found) => found,
        Err(problem) => {
            // Data in the place of a header may name a column twice.
            csv.header = false;
            let found = with(&csv)?;
            if found.1.types.iter().all(|found| *found == ColumnType::String) {
                return Err(problem);
            }
            found
        }
    };
    let mut decimal_commas = 0;
    if dialect.delimiter != Some(b',') {
        let commas = CsvSpec { decimal: Some(",".to_owned()), ..csv.clone() };
        let (comma_shape, comma_head) = with(&commas)?;
        decimal_commas = numbers(&comma_head).saturating_sub(numbers(&head));
        if decimal_commas > 0 {
            (csv, shape, head) = (commas, comma_shape, comma_head);
        }
    }
    if csv.header && is_data(bytes, &head, &shape) {
        csv.header = false;
        (shape, head) = with(&csv)?;
    }
    Ok(Judged { shape, head, found, is_utf8, decimal_commas })
}

/// Whether the bytes are UTF-8, but for a character that the sample's end cuts.
fn is_utf8(bytes: &[u8], is_whole: bool) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => !is_whole && error.error_len().is_none(),
    }
}

fn numbers(head: &Head) -> usize {
    head.types.iter().filter(|found| matches!(found, ColumnType::Int(_) | ColumnType::Float(_))).count()
}

/// How well a dialect tells a sample's records apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tally {
    /// How many fields most records have.
    fields: usize,
    /// Records that have so many, and can be read.
    alike: usize,
    records: usize,
}

impl Tally {
    fn of(dialect: Dialect, bytes: &[u8], is_whole: bool) -> Self {
        let mut counts: Vec<(usize, usize)> = Vec::new();
        let mut at = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let (mut fields, mut records) = (Vec::new(), 0);
        let returns = line_end(dialect, bytes, at, is_whole) == LineEnd::Return;
        let dialect = Dialect { returns, ..dialect };
        while records < MOST_RECORDS
            && let Some(found) = record::<true>(dialect, bytes, at, is_whole, &mut fields)
        {
            at = found.next;
            if found.is_blank() {
                continue;
            }
            records += 1;
            if found.problem.is_some() {
                continue;
            }
            match counts.iter_mut().find(|(known, _)| *known == fields.len()) {
                Some((_, alike)) => *alike += 1,
                None => counts.push((fields.len(), 1)),
            }
        }
        let (fields, alike) = counts.into_iter().max_by_key(|(fields, alike)| (*alike, *fields)).unwrap_or((0, 0));
        Self { fields, alike, records }
    }

    /// The better a dialect, the more records are alike: in thousandths, then by how many fields they have.
    fn merit(&self) -> (usize, usize) {
        match self.fields {
            0 | 1 => (0, 0),
            // Commas in prose.
            _ if self.alike * 2 < self.records => (0, 0),
            fields => (self.alike.saturating_mul(1_000) / self.records.max(1), fields),
        }
    }
}

/// The delimiter and the quote that make the records most alike. One column: a comma.
fn dialect(bytes: &[u8], is_whole: bool) -> (Dialect, Tally) {
    let quotes = [Some(b'"'), None];
    let dialects = quotes.iter().flat_map(|quote| {
        DELIMITERS.iter().map(|delimiter| Dialect { delimiter: Some(*delimiter), quote: *quote, returns: false })
    });
    let mut tallies = dialects.map(|dialect| (dialect, Tally::of(dialect, bytes, is_whole)));
    let first = tallies.next();
    let plain = Dialect { delimiter: Some(b','), quote: Some(b'"'), returns: false };
    let first = first.unwrap_or((plain, Tally { fields: 0, alike: 0, records: 0 }));
    // Of equals the first, which is the likelier.
    tallies.fold(first, |best, other| if other.1.merit() > best.1.merit() { other } else { best })
}
