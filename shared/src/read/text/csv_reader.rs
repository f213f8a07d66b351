//! CSV records into columns.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use encoding_rs::Encoding;

use super::column::{ColumnBuilder, trimmed};
use super::csv::{Dialect, Field, Record, holds_lines, record, undouble};
use super::encoding::{self, decode, encode};
use super::reader::Parse;
use super::shape::TextShape;
use super::window::Window;
use super::{Fields, Origin, TextBatch, TextSlice};
use crate::{Error, Result};

/// A record with fewer fields than there are columns, and one with more.
pub const SHORT: &str = "csv: too few fields";
pub const LONG: &str = "csv: too many fields";

/// The byte order mark that some programs put before UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Parses records.
#[derive(Debug)]
pub(super) struct CsvReader {
    dialect: Dialect,
    splitter: Arc<Fields>,
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    fields: Vec<Field>,
    scratch: Vec<u8>,
    next_record: u64,
    line: u64,
    /// Whether a byte order mark, and whether a header is still to be passed over.
    mark: bool,
    header: bool,
    at_end: bool,
    closed: bool,
}

/// What stands for null.
#[derive(Debug)]
pub(super) struct Nulls {
    empty: bool,
    texts: Vec<Vec<u8>>,
    quoted: bool,
    trim: bool,
    encoding: Option<&'static Encoding>,
}

impl Nulls {
    pub fn of(shape: &TextShape) -> Self {
        let texts = shape.csv.nulls.iter().filter(|text| !text.is_empty());
        let texts = texts.filter_map(|text| encode(shape.encoding, text));
        Self {
            empty: shape.csv.nulls.iter().any(String::is_empty),
            texts: texts.collect(),
            quoted: shape.csv.quoted_nulls,
            trim: shape.csv.trim,
            encoding: shape.encoding,
        }
    }

    /// A field's value: without white space around it, where the dataset says so.
    pub fn value<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        match self.encoding {
            _ if !self.trim => text,
            None => trimmed(text),
            Some(encoding) => encoding::trimmed(encoding, text),
        }
    }

    pub fn is_null(&self, text: &[u8], quoted: bool) -> bool {
        if quoted && !self.quoted {
            return false;
        }
        if text.is_empty() { self.empty } else { self.texts.iter().any(|null| null == text) }
    }
}

impl CsvReader {
    pub fn new(shape: &TextShape, slice: &TextSlice) -> Result<Self, String> {
        let column = |data_type| ColumnBuilder::written(data_type, &shape.notation);
        let columns = shape.schema.fields().iter().map(|field| column(field.data_type()));
        Ok(Self {
            dialect: shape.dialect(),
            splitter: Arc::new(Fields { dialect: shape.dialect(), nulls: Nulls::of(shape), encoding: shape.encoding }),
            schema: shape.schema.clone(),
            columns: columns.collect::<Result<_, _>>()?,
            fields: Vec::new(),
            scratch: Vec::new(),
            next_record: slice.first_record,
            line: slice.line,
            mark: slice.at_start,
            header: slice.at_start && shape.has_header(),
            at_end: slice.at_end,
            closed: true,
        })
    }

    /// The next record that is one; the window moves past it.
    fn record(&mut self, window: &mut Window, bytes: &[u8]) -> Result<Option<(Record, u64)>> {
        if self.mark && (bytes.len() >= BYTE_ORDER_MARK.len() || window.ended) {
            self.mark = false;
            if bytes.starts_with(BYTE_ORDER_MARK) {
                window.at = BYTE_ORDER_MARK.len();
            }
        }
        if self.mark {
            return Ok(None);
        }
        loop {
            let found = record::<true>(self.dialect, bytes, window.at, window.ended, &mut self.fields);
            let Some(found) = found else { return Ok(None) };
            let line = self.line;
            window.allow(found.end - found.start, line)?;
            window.at = found.next;
            self.line += found.lines;
            self.closed = found.closed;
            if found.is_blank() {
                continue;
            }
            if std::mem::take(&mut self.header) {
                continue;
            }
            return Ok(Some((found, line)));
        }
    }

    /// Refuses a record that is several, ended by carriage returns alone, in a file whose lines end otherwise: set aside,
    /// it would stand for any number of rows.
    fn refuse_mixed(&self, window: &Window, record: &[u8], line: u64) -> Result<()> {
        match holds_lines(self.dialect, record, self.columns.len()) {
            true => Err(window.error(format!(
                "line {line} and what follows end with a carriage return alone, lines before with a line feed: write one \
                 line end throughout, or quote fields that hold carriage returns"
            ))),
            false => Ok(()),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let quote = self.dialect.quote.unwrap_or(b'"');
        for (column, field) in self.columns.iter_mut().zip(&self.fields) {
            let text = self.splitter.nulls.value(bytes.get(field.start..field.end).unwrap_or_default());
            if column.is_skipped() || self.splitter.nulls.is_null(text, field.quoted) {
                column.push_null();
                continue;
            }
            let text = if field.doubled {
                self.scratch.clear();
                undouble(text, quote, &mut self.scratch);
                &self.scratch
            } else {
                text
            };
            match self.splitter.encoding {
                None => column.push(text),
                Some(encoding) => match decode(encoding, text) {
                    Some(text) => column.push(text.as_bytes()),
                    None => column.push_unfit(),
                },
            }
        }
    }
}

impl Parse for CsvReader {
    fn batch(&mut self, window: &mut Window, most: u64) -> Result<Option<TextBatch>> {
        let bytes = Arc::clone(&window.bytes);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut records = Vec::new();
        let mut bad = Vec::new();
        while records.len() < most {
            let Some((record, line)) = self.record(window, &bytes)? else { break };
            let problem = record.problem.or_else(|| match self.fields.len().cmp(&self.columns.len()) {
                std::cmp::Ordering::Less => Some(SHORT),
                std::cmp::Ordering::Equal => None,
                std::cmp::Ordering::Greater => Some(LONG),
            });
            if problem.is_some() || self.columns.len() == 1 {
                self.refuse_mixed(window, bytes.get(record.start..record.end).unwrap_or_default(), line)?;
            }
            match problem {
                Some(problem) => bad.push((records.len(), problem)),
                None => self.push(&bytes),
            }
            records.push(Origin { bytes: record.start..record.end, number: self.next_record, line });
            self.next_record += 1;
        }
        if records.is_empty() {
            return Ok(None);
        }
        let (rows, unfit) = finish(&mut self.columns, &self.schema, records.len() - bad.len())?;
        let row_records = (!bad.is_empty()).then(|| {
            let mut bad = bad.iter().map(|(record, _)| *record).peekable();
            (0..records.len()).filter(|record| bad.next_if_eq(record).is_none()).collect()
        });
        Ok(Some(TextBatch {
            rows,
            unfit,
            records,
            row_records,
            bad,
            skipped: 0,
            without_array: 0,
            bytes,
            fields: Some(Arc::clone(&self.splitter)),
            paths: None,
            ends_row_group: false,
        }))
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn closed(&self) -> bool {
        self.closed || self.at_end
    }
}

type Rows = (RecordBatch, Vec<Option<arrow::buffer::BooleanBuffer>>);

/// The columns' batch, and which values do not fit.
pub(super) fn finish(columns: &mut [ColumnBuilder], schema: &SchemaRef, rows: usize) -> Result<Rows> {
    let wrong = |error: arrow::error::ArrowError| Error::Internal(format!("columns of text: {error}"));
    let mut arrays = Vec::with_capacity(columns.len());
    let mut unfit = Vec::with_capacity(columns.len());
    for column in columns {
        let finished = column.finish().map_err(wrong)?;
        arrays.push(finished.array);
        unfit.push(finished.unfit);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options).map_err(wrong)?;
    Ok((batch, unfit))
}
