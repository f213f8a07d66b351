//! Whole readers over bytes in memory: what they deliver, and that nothing makes them panic or hang.

mod damaged;
mod splits;
mod written;

use std::io::Write;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::{TextReader, TextShape, TextSlice, head, split};
use crate::Result;
use crate::clean::{text_columns, text_types};
use crate::dataset::Dataset;
use crate::read::SourceFile;
use crate::read::testing::OneFile;

/// A dataset of CSV without a contract.
pub const CSV: &str = "name = \"t\"\n[source]\nformat = \"csv\"\n[output]\nprefix = \"t/\"\n";

/// What a source gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Read {
    /// Rows, each value as text.
    pub rows: Vec<Vec<Option<String>>>,
    /// Records read.
    pub records: u64,
    /// Records that could not be read: row number, line, text, reason.
    pub bad: Vec<(u64, u64, String, &'static str)>,
    /// Slices.
    pub slices: usize,
}

/// A source with this name and these bytes.
pub fn source(key: &str, bytes: &[u8]) -> SourceFile {
    let (_, mut source) = OneFile::new(bytes.to_vec()).source();
    source.key = key.to_owned();
    source
}

/// Reads a source as the pipeline would: its head, then its slices, one after the other.
pub async fn read(dataset: &str, key: &str, bytes: &[u8]) -> Result<Read> {
    let dataset = Dataset::parse(dataset, "t").unwrap();
    let source = source(key, bytes);
    let shape = TextShape::new(&dataset, &[])?;
    let head = head(&source, &shape).await?;
    let names = match dataset.spec.schema.columns.as_slice() {
        [] => head.names.iter().map(|name| name.clone().unwrap_or("?".to_owned())).collect(),
        columns => columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>(),
    };
    let columns = text_columns(&dataset, &names, &head.types, "t")?;
    let shape = TextShape::new(&dataset, &text_types(&columns)?)?.with_line_end(head.line_end);
    let is_split = !key.ends_with(".gz") && !key.ends_with(".zst") && source.size > shape.block_bytes;
    let slice = |bytes: std::ops::Range<u64>, first_record, line| TextSlice {
        at_start: bytes.start == 0,
        at_end: bytes.end == source.size,
        bytes,
        first_record,
        line,
        row_group_rows: 1_000,
    };
    let slices: Vec<_> = if is_split {
        let pieces = split(&source, &shape, &head).await?;
        let mut end = head.header_bytes;
        for piece in &pieces {
            assert_eq!(piece.bytes.start, end, "pieces lie side by side");
            end = piece.bytes.end;
        }
        assert_eq!(end, source.size, "pieces reach the end");
        pieces
            .into_iter()
            .map(|piece| (slice(piece.bytes, piece.records.start, piece.line), Some(piece.records.end)))
            .collect()
    } else {
        vec![(slice(0..source.size, 0, 1), None)]
    };
    let mut all = Read { slices: slices.len(), ..Read::default() };
    for (slice, end) in slices {
        let mut reader = TextReader::open(&source, &shape, slice.clone())?;
        let mut first = slice.first_record;
        while let Some(batch) = reader.next().await? {
            first += batch.read();
            all.records += batch.read();
            for (record, why) in &batch.bad {
                let record = &batch.records[*record];
                let text = String::from_utf8_lossy(batch.text(record)).into_owned();
                all.bad.push((record.number, record.line, text, why));
            }
            for row in 0..batch.rows.num_rows() {
                let value = |column: &arrow::array::ArrayRef| {
                    let text = cast(&column.slice(row, 1), &DataType::Utf8).unwrap();
                    text.is_valid(0).then(|| text.as_string::<i32>().value(0).to_owned())
                };
                all.rows.push(batch.rows.columns().iter().map(value).collect());
            }
        }
        assert_eq!(reader.covered(), Some(&slice.bytes));
        assert_eq!(end.unwrap_or(first), first, "the planner counted what the reader read");
    }
    Ok(all)
}

/// [`read`] outside an asynchronous test.
pub fn read_now(dataset: &str, key: &str, bytes: &[u8]) -> Result<Read> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(read(dataset, key, bytes))
}

/// A gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Values as [`Read::rows`] has them; `-` is null.
pub fn row(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| (*text != "-").then(|| (*text).to_owned())).collect()
}
