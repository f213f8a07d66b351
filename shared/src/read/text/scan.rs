//! The planner's pass over a text file: where records start, so that slices can.

use std::ops::Range;

use super::csv::{Dialect, record};
use super::fetch::Chunks;
use crate::{Error, Result};

/// A slice of a text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Bytes: from a record's start to the next piece's, or the file's end.
    pub bytes: Range<u64>,
    /// Records, counted from the file's first.
    pub records: Range<u64>,
    /// The line of its first byte, from 1.
    pub line: u64,
}

/// Where to begin and where to cut.
#[derive(Debug, Clone, Copy)]
pub struct Scan {
    pub dialect: Dialect,
    /// Bytes that go before the first record: a byte order mark and a header; and the lines of them.
    pub header_bytes: u64,
    pub header_lines: u64,
    /// A piece ends with the first record that reaches so many bytes.
    pub block_bytes: u64,
    /// The largest record.
    pub record_bytes: u64,
}

/// Tells records apart as the reader does, from the file's start, and cuts behind the record that fills a block.
#[derive(Debug)]
struct Cutter {
    scan: Scan,
    /// Offset in the file of the next record's start.
    offset: u64,
    records: u64,
    line: u64,
    open: Piece,
    done: Vec<Piece>,
}

/// Cuts a file that comes in chunks.
///
/// # Errors
///
/// [`Error::Limit`] for a record above the limit; what reading gives.
pub(super) async fn cut(mut chunks: Chunks, scan: Scan, uri: &str) -> Result<Vec<Piece>> {
    let start = Piece { bytes: scan.header_bytes..scan.header_bytes, records: 0..0, line: scan.header_lines + 1 };
    let line = start.line;
    let mut cutter = Cutter { scan, offset: scan.header_bytes, records: 0, line, open: start, done: Vec::new() };
    let mut window: Vec<u8> = Vec::new();
    while let Some(chunk) = chunks.next_async().await? {
        window.extend_from_slice(&chunk);
        let used = cutter.take(&window, false, uri)?;
        window.drain(..used);
        if u64::try_from(window.len()).unwrap_or(u64::MAX) > scan.record_bytes {
            return Err(too_long(uri, cutter.line, scan.record_bytes));
        }
    }
    cutter.take(&window, true, uri)?;
    cutter.close();
    Ok(cutter.done)
}

/// The error for a record above the limit.
pub(super) fn too_long(uri: &str, line: u64, limit: u64) -> Error {
    Error::Limit {
        what: format!("{uri}: bytes of the record at line {line}"),
        value: limit.saturating_add(1),
        limit,
        remedy:
            "look for a quote that is not closed, or lines that end with carriage returns where others end with line \
                 feeds; if the record is what it should be, raise source.record_bytes"
                .to_owned(),
    }
}

impl Cutter {
    /// Takes the records that are whole; answers the bytes used.
    fn take(&mut self, window: &[u8], at_end: bool, uri: &str) -> Result<usize> {
        let mut at = 0;
        let mut none = Vec::new();
        while let Some(record) = record::<false>(self.scan.dialect, window, at, at_end, &mut none) {
            let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
            if wide(record.end - record.start) > self.scan.record_bytes {
                return Err(too_long(uri, self.line, self.scan.record_bytes));
            }
            let bytes = wide(record.next - at);
            self.offset += bytes;
            self.line += record.lines;
            self.records += u64::from(!record.is_blank());
            at = record.next;
            self.open.bytes.end = self.offset;
            self.open.records.end = self.records;
            if self.open.bytes.end - self.open.bytes.start >= self.scan.block_bytes {
                self.close();
            }
        }
        Ok(at)
    }

    fn close(&mut self) {
        let next = Piece { bytes: self.offset..self.offset, records: self.records..self.records, line: self.line };
        let piece = std::mem::replace(&mut self.open, next);
        if !piece.bytes.is_empty() {
            self.done.push(piece);
        }
    }
}
