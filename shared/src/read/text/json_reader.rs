//! NDJSON records into rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::column::ColumnBuilder;
use super::csv::{LINES, record};
use super::csv_reader::{BYTE_ORDER_MARK, finish};
use super::json::{Found, Walk};
use super::prefilter::Prefilter;
use super::reader::Parse;
use super::shape::TextShape;
use super::tree::Tree;
use super::window::Window;
use super::{Origin, Paths, TextBatch, TextSlice};
use crate::Result;
use crate::dataset::{Condition, Scalar};

/// A record whose rows would repeat more text than a batch may hold.
pub const TOO_WIDE: &str = "json: its rows are too large";
/// The text that one record's rows may hold, bytes.
const ROWS_BYTES: usize = 64 << 20;
/// The text that a batch holds before it ends, bytes.
const BATCH_BYTES: usize = 16 << 20;

/// Parses records.
#[derive(Debug)]
pub(super) struct JsonReader {
    paths: Arc<Paths>,
    keep: Vec<Condition>,
    prefilter: Prefilter,
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    walk: Walk,
    next_record: u64,
    line: u64,
    mark: bool,
    closed: bool,
}

/// What is made of a batch's records, so far.
#[derive(Debug, Default)]
struct Made {
    records: Vec<Origin>,
    row_records: Vec<usize>,
    bad: Vec<(usize, &'static str)>,
    skipped: u64,
    without_array: u64,
    bytes: usize,
}

impl JsonReader {
    pub fn new(shape: &TextShape, slice: &TextSlice) -> Result<Self, String> {
        let columns = shape.schema.fields().iter().map(|field| ColumnBuilder::new(field.data_type()));
        Ok(Self {
            paths: Arc::new(Paths { tree: Tree::of(&shape.mapped, &shape.keep)?, depth: shape.depth }),
            prefilter: Prefilter::new(&shape.keep),
            keep: shape.keep.clone(),
            schema: shape.schema.clone(),
            columns: columns.collect::<Result<_, _>>()?,
            walk: Walk::default(),
            next_record: slice.first_record,
            line: slice.line,
            mark: slice.at_start,
            closed: true,
        })
    }

    fn take(&mut self, bytes: &[u8], origin: Origin, made: &mut Made) {
        let line = bytes.get(origin.bytes.clone()).unwrap_or_default();
        if self.prefilter.excludes(line) {
            made.skipped += 1;
            return;
        }
        let walked = self
            .walk
            .through(&self.paths.tree, line, self.paths.depth)
            .and_then(|()| if self.rows_bytes(line) > ROWS_BYTES { Err(TOO_WIDE) } else { Ok(()) });
        match walked {
            Ok(()) if self.is_kept(line) => {
                let index = made.records.len();
                made.records.push(origin);
                made.bytes += self.rows_bytes(line);
                self.push(line, index, made);
            }
            Ok(()) => made.skipped += 1,
            Err(problem) => {
                made.bad.push((made.records.len(), problem));
                made.records.push(origin);
            }
        }
    }

    fn is_kept(&self, line: &[u8]) -> bool {
        self.keep.iter().zip(&self.paths.tree.conditions).all(|(condition, slot)| {
            let Some(found) = self.walk.record.get(*slot) else { return false };
            let Some(text) = self.walk.text(line, found) else { return false };
            condition.values.iter().any(|value| match (value, found) {
                (Scalar::Text(wanted), Found::Text(_) | Found::Plain(_)) => wanted.as_bytes() == text,
                (Scalar::Bare(wanted), Found::Bare(_)) => wanted.as_bytes() == text,
                _ => false,
            })
        })
    }

    /// The text that the record's rows hold.
    fn rows_bytes(&self, line: &[u8]) -> usize {
        let length = |found: &Found| self.walk.text(line, found).map_or(0, <[u8]>::len);
        let rows = if self.paths.tree.array.is_some() { self.walk.rows } else { 1 };
        let once: usize = self.walk.elements.iter().map(length).sum();
        // What a row costs besides its text.
        const ROW_BYTES: usize = 16;
        let each = self.walk.record.iter().map(length).sum::<usize>() + ROW_BYTES * self.columns.len();
        once.saturating_add(each.saturating_mul(rows))
    }

    fn push(&mut self, line: &[u8], record: usize, made: &mut Made) {
        let rows = if self.paths.tree.array.is_some() { self.walk.rows } else { 1 };
        if self.paths.tree.array.is_some() && !self.walk.has_array {
            made.without_array += 1;
        }
        for row in 0..rows {
            made.row_records.push(record);
            for (at, column) in self.columns.iter_mut().enumerate() {
                let found = self.walk.found(&self.paths.tree, row, at);
                match found.and_then(|found| self.walk.text(line, found)) {
                    Some(text) => column.push(text),
                    None => column.push_null(),
                }
            }
        }
    }
}

impl Parse for JsonReader {
    fn batch(&mut self, window: &mut Window, most: u64) -> Result<Option<TextBatch>> {
        let bytes = Arc::clone(&window.bytes);
        if self.mark && (bytes.len() >= BYTE_ORDER_MARK.len() || window.ended) {
            self.mark = false;
            if bytes.starts_with(BYTE_ORDER_MARK) {
                window.at = BYTE_ORDER_MARK.len();
            }
        }
        let mut made = Made::default();
        let mut read = 0;
        let mut none = Vec::new();
        while read < most && made.bytes < BATCH_BYTES && !self.mark {
            let Some(found) = record::<false>(LINES, &bytes, window.at, window.ended, &mut none) else { break };
            window.at = found.next;
            let line = self.line;
            self.line += found.lines;
            self.closed = found.closed;
            let text = bytes.get(found.start..found.end).unwrap_or_default();
            if found.is_blank() {
                continue;
            }
            window.allow(found.end - found.start, line)?;
            let trimmed = text.trim_ascii_end().len();
            let origin = Origin { bytes: found.start..found.start + trimmed, number: self.next_record, line };
            self.next_record += 1;
            read += 1;
            self.take(&bytes, origin, &mut made);
        }
        if read == 0 {
            return Ok(None);
        }
        let (rows, unfit) = finish(&mut self.columns, &self.schema, made.row_records.len())?;
        Ok(Some(TextBatch {
            rows,
            unfit,
            records: made.records,
            row_records: Some(made.row_records),
            bad: made.bad,
            skipped: made.skipped,
            without_array: made.without_array,
            bytes,
            fields: None,
            paths: Some(Arc::clone(&self.paths)),
            ends_row_group: false,
        }))
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn closed(&self) -> bool {
        self.closed
    }
}
