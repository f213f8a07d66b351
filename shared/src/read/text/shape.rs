//! How a text source is read: what the dataset file says, and what the plan found.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use encoding_rs::Encoding;

use super::csv::{Dialect, LINES};
use super::encoding::encoding;
use crate::dataset::{ColumnSpec, Condition, CsvSpec, Dataset, Format, Keep, Notation};
use crate::plan::LineEnd;
use crate::{Error, Result};

/// What a reader needs to know besides the bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct TextShape {
    /// CSV or NDJSON.
    pub format: Format,
    /// CSV: the dialect.
    pub csv: CsvSpec,
    /// CSV: what ends a line.
    pub line_end: LineEnd,
    /// CSV: the encoding, unless it is UTF-8.
    pub(super) encoding: Option<&'static Encoding>,
    /// CSV: how numbers, dates and timestamps are written.
    pub(super) notation: Notation,
    /// NDJSON: the columns, with their paths.
    pub mapped: Vec<ColumnSpec>,
    /// NDJSON: which records are kept.
    pub keep: Vec<Condition>,
    /// The rows' columns: names of the source, types that are read.
    pub schema: SchemaRef,
    /// Bytes of a slice, about.
    pub block_bytes: u64,
    /// The largest record.
    pub record_bytes: u64,
    /// NDJSON: arrays and objects in one another.
    pub depth: u32,
    /// Decompressed bytes per compressed byte.
    pub expansion: u64,
}

impl TextShape {
    /// The shape of a dataset's sources, whose columns are given.
    pub fn new(dataset: &Dataset, columns: &[(String, DataType)]) -> Result<Self> {
        let source = &dataset.spec.source;
        let keep = match &source.keep {
            Some(keep) => Keep::parse(keep).map_err(Error::Dataset)?.0,
            None => Vec::new(),
        };
        let fields: Vec<Field> =
            columns.iter().map(|(name, data_type)| Field::new(name, data_type.clone(), true)).collect();
        let csv = dataset.spec.csv.clone().unwrap_or_default();
        Ok(Self {
            format: source.format,
            encoding: encoding(&csv).map_err(|what| dataset.error_at("csv.encoding", None, what))?,
            notation: dataset.notation(),
            csv,
            line_end: LineEnd::default(),
            mapped: if source.format == Format::Ndjson { dataset.spec.schema.columns.clone() } else { Vec::new() },
            keep,
            schema: Arc::new(Schema::new(fields)),
            block_bytes: source.block_bytes,
            record_bytes: source.record_bytes,
            depth: source.depth,
            expansion: source.expansion,
        })
    }

    /// The same for a file whose lines end so.
    #[must_use]
    pub fn with_line_end(self, line_end: LineEnd) -> Self {
        Self { line_end, ..self }
    }

    /// The shape of a CSV in this dialect, without columns: enough to look at its beginning.
    pub(super) fn of_csv(csv: CsvSpec) -> Result<Self, String> {
        Ok(Self {
            format: Format::Csv,
            encoding: encoding(&csv)?,
            notation: Notation::of(&csv),
            csv,
            line_end: LineEnd::default(),
            mapped: Vec::new(),
            keep: Vec::new(),
            schema: Arc::new(Schema::empty()),
            block_bytes: 0,
            record_bytes: 0,
            depth: 0,
            expansion: u64::MAX,
        })
    }

    /// What tells records apart.
    pub(super) fn dialect(&self) -> Dialect {
        match self.format {
            Format::Csv => {
                let byte = |text: &str| text.bytes().next();
                let returns = self.line_end == LineEnd::Return;
                Dialect { delimiter: byte(&self.csv.delimiter), quote: byte(&self.csv.quote), returns }
            }
            _ => LINES,
        }
    }

    /// What decides where records start: plans of different layouts do not share boundaries.
    pub fn layout(&self) -> String {
        match self.format {
            Format::Csv => {
                let CsvSpec { delimiter, quote, header, .. } = &self.csv;
                let line_end = if self.line_end == LineEnd::Return { " line_end=return" } else { "" };
                format!("csv delimiter={delimiter:?} quote={quote:?} header={header}{line_end}")
            }
            _ => "lines".to_owned(),
        }
    }

    /// Whether the first record is a header.
    pub fn has_header(&self) -> bool {
        self.format == Format::Csv && self.csv.header
    }
}
