//! Rows out of CSV and NDJSON: byte ranges in, typed batches out, with what could not be read told record by record.
//!
//! A blocking thread takes a slice's bytes as they come (`fetch`), unpacks them (`inflate`), tells records apart
//! (`csv`) and turns fields into columns (`column`). What it holds is bounded: chunks on their way, one window of
//! plain bytes, the batches that wait. The planner's part is [`head`], which looks at a file's beginning, and [`split`].

mod column;
mod csv;
mod csv_reader;
mod encoding;
mod escape;
mod fetch;
mod gzip;
mod head;
mod inflate;
mod json;
mod json_reader;
mod number;
mod prefilter;
mod reader;
mod scan;
mod shape;
mod sniff;
mod tree;
mod unzstd;
mod window;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use encoding_rs::Encoding;

pub(crate) use encoding::encoding;
pub use head::{Empty, Head, SAMPLE_BYTES, head};
pub use inflate::Packing;
pub use reader::TextReader;
pub use scan::Piece;
pub use shape::TextShape;
pub use sniff::{Sniffed, sniff};

use super::SourceFile;
use crate::Result;

/// Whether text can become values of a type while it is read; other types are read as strings, and cast by `clean`.
pub fn reads(data_type: &DataType) -> bool {
    column::reads(data_type)
}

/// Cuts a file that is not compressed into pieces of `block_bytes`, each ending where a record does.
///
/// # Errors
///
/// [`crate::Error::Limit`] for a record above the limit; what reading gives.
pub async fn split(source: &SourceFile, shape: &TextShape, head: &Head) -> Result<Vec<Piece>> {
    let chunks = fetch::Chunks::of(source.clone(), head.header_bytes..source.size);
    let scan = scan::Scan {
        dialect: shape.dialect(),
        header_bytes: head.header_bytes,
        header_lines: head.header_lines,
        block_bytes: shape.block_bytes,
        record_bytes: shape.record_bytes,
    };
    scan::cut(chunks, scan, &source.uri()).await
}

/// The slice that a reader reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextSlice {
    /// Bytes of the object.
    pub bytes: Range<u64>,
    /// The number of its first record, from 0.
    pub first_record: u64,
    /// The line of its first byte, from 1.
    pub line: u64,
    /// Whether a byte order mark and a header may come first: they are passed over.
    pub at_start: bool,
    /// Whether the file ends with it.
    pub at_end: bool,
    /// A batch ends where so many records, or a multiple, have been read.
    pub row_group_rows: u64,
}

/// Where a record came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its text, in [`TextBatch::bytes`].
    pub bytes: Range<usize>,
    /// Its number in the source, from 0.
    pub number: u64,
    /// The line that it starts in, from 1.
    pub line: u64,
}

/// Tells the fields of a CSV record apart, once more, for those who set it aside.
#[derive(Debug)]
pub struct Fields {
    dialect: csv::Dialect,
    nulls: csv_reader::Nulls,
    encoding: Option<&'static Encoding>,
}

impl Fields {
    /// The fields as text; nulls, and fields that cannot be decoded, are `None`.
    pub fn of(&self, record: &[u8]) -> Vec<Option<String>> {
        let mut fields = Vec::new();
        csv::record::<true>(self.dialect, record, 0, true, &mut fields);
        let text = |field: &csv::Field| {
            let text = record.get(field.start..field.end).unwrap_or_default();
            if self.nulls.is_null(self.nulls.value(text), field.quoted) {
                return None;
            }
            let mut plain = Vec::new();
            match self.dialect.quote.filter(|_| field.doubled) {
                Some(quote) => csv::undouble(text, quote, &mut plain),
                None => plain.extend_from_slice(text),
            }
            match self.encoding {
                None => String::from_utf8(plain).ok(),
                Some(encoding) => encoding::decode(encoding, &plain).map(Cow::into_owned),
            }
        };
        fields.iter().map(text).collect()
    }

    /// The record as text; what cannot be decoded is replaced by U+FFFD.
    pub fn raw<'r>(&self, record: &'r [u8]) -> Cow<'r, str> {
        encoding::decode_lossy(self.encoding, record)
    }

    /// Whether a record is read as UTF-8 and is not.
    pub fn is_other_encoding(&self, record: &[u8]) -> bool {
        self.encoding.is_none() && std::str::from_utf8(record).is_err()
    }
}

/// Finds the values of a JSON record, once more, for those who set it aside.
#[derive(Debug)]
pub struct Paths {
    tree: tree::Tree,
    depth: u32,
}

/// A value as a JSON record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// A string without its quotes and escapes; anything else as it is written.
    pub text: String,
    /// Whether it is a string.
    pub is_string: bool,
}

impl Paths {
    /// A column's value in a row that the record makes, by index; `None` for null.
    pub fn value(&self, record: &[u8], row: usize, column: usize) -> Option<Written> {
        let mut walk = json::Walk::default();
        walk.through(&self.tree, record, self.depth).ok()?;
        let found = walk.found(&self.tree, row, column)?;
        let text = String::from_utf8_lossy(walk.text(record, found)?).into_owned();
        Some(Written { text, is_string: !matches!(found, json::Found::Bare(_)) })
    }
}

/// Records, and the rows made of them.
#[derive(Debug)]
pub struct TextBatch {
    /// The rows. A value that does not fit its type is null.
    pub rows: RecordBatch,
    /// For each column, the rows whose value does not fit its type.
    pub unfit: Vec<Option<BooleanBuffer>>,
    /// The records that were parsed.
    pub records: Vec<Origin>,
    /// For each row, its record by index; `None` where row and record are one.
    pub row_records: Option<Vec<usize>>,
    /// Records that made no row because they could not be read, by index, and why.
    pub bad: Vec<(usize, &'static str)>,
    /// Records that were passed over because the dataset does not keep them.
    pub skipped: u64,
    /// Records that make rows of an array and have none.
    pub without_array: u64,
    /// The bytes that records are in.
    pub bytes: Arc<Vec<u8>>,
    /// CSV: what tells a record's fields apart.
    pub fields: Option<Arc<Fields>>,
    /// NDJSON: what finds a record's values.
    pub paths: Option<Arc<Paths>>,
    /// Whether an output row group ends here.
    pub ends_row_group: bool,
}

impl TextBatch {
    /// Records read.
    pub fn read(&self) -> u64 {
        self.skipped + u64::try_from(self.records.len()).unwrap_or(u64::MAX)
    }

    /// A record's text.
    pub fn text(&self, record: &Origin) -> &[u8] {
        self.bytes.get(record.bytes.clone()).unwrap_or_default()
    }
}
