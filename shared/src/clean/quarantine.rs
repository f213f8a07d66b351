//! Rows set aside: where each came from, its own values, and why it was set aside.
//!
//! Every quarantine file of every dataset and format has these columns and types, so that readers take all of them as one
//! table, whatever the sources' own columns and types were. What differs from source to source lies in [`VALUES`] and
//! [`RAW`].

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, LargeStringBuilder, ListBuilder, RecordBatch, StringBuilder, UInt64Array, UInt64Builder};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::column::Column;
use super::objects::{Objects, options};
use super::shown::Shown;
use super::types;
use super::verdict::{Fault, FaultKind, Reason, Verdict};

/// Why: a list of texts, each the name of an expectation, `error: NAME`, what is wrong with a record, or a column with its
/// value and what was wanted of it: `amt: "abc" is no decimal(8,2)`.
pub const REASONS: &str = "_rowmill_reasons";
/// The same reasons, in the same order, as a run's record counts them: `cast: amt`.
pub const REASON_KEYS: &str = "_rowmill_reason_keys";
/// The source's URI.
pub const SOURCE: &str = "_rowmill_source";
/// The row's number in the source, from 0.
pub const ROW: &str = "_rowmill_row";
/// Of text: the line that the record starts in, from 1.
pub const LINE: &str = "_rowmill_line";
/// Of text: the record as it stands in the source, decoded; what cannot be is replaced by U+FFFD.
pub const RAW: &str = "_rowmill_raw";
/// The source's columns and values, as a JSON object; null for NDJSON, where [`RAW`] is one.
pub const VALUES: &str = "_rowmill_values";

/// The quarantine's schema. Long texts have 64-bit offsets: those of one batch may exceed 2 GiB.
pub(super) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(REASONS, DataType::List(Arc::new(reason_item())), false),
        Field::new(REASON_KEYS, DataType::List(Arc::new(key_item())), false),
        Field::new(SOURCE, DataType::Utf8, false),
        Field::new(ROW, DataType::UInt64, false),
        Field::new(LINE, DataType::UInt64, true),
        Field::new(RAW, DataType::LargeUtf8, true),
        Field::new(VALUES, DataType::LargeUtf8, true),
    ]))
});

fn reason_item() -> Field {
    Field::new("item", DataType::LargeUtf8, false)
}

fn key_item() -> Field {
    Field::new("item", DataType::Utf8, false)
}

/// Where a row that is set aside came from.
pub(super) struct Place<'a> {
    pub source: &'a str,
    pub number: u64,
    pub line: Option<u64>,
}

/// Gathers rows of [`SCHEMA`].
pub(super) struct Rows {
    reasons: ListBuilder<LargeStringBuilder>,
    keys: ListBuilder<StringBuilder>,
    sources: StringBuilder,
    numbers: Vec<u64>,
    lines: UInt64Builder,
    raw: LargeStringBuilder,
    values: LargeStringBuilder,
}

impl Rows {
    pub fn new() -> Self {
        Self {
            reasons: ListBuilder::new(LargeStringBuilder::new()).with_field(reason_item()),
            keys: ListBuilder::new(StringBuilder::new()).with_field(key_item()),
            sources: StringBuilder::new(),
            numbers: Vec::new(),
            lines: UInt64Builder::new(),
            raw: LargeStringBuilder::new(),
            values: LargeStringBuilder::new(),
        }
    }

    /// Adds a reason to the row that [`add`](Self::add) adds next.
    pub fn because(&mut self, key: &str, text: &str) {
        self.keys.values().append_value(key);
        self.reasons.values().append_value(text);
    }

    pub fn add(&mut self, place: &Place, raw: Option<&str>, values: Option<&str>) {
        self.reasons.append(true);
        self.keys.append(true);
        self.sources.append_value(place.source);
        self.numbers.push(place.number);
        self.lines.append_option(place.line);
        self.raw.append_option(raw);
        self.values.append_option(values);
    }

    pub fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.reasons.finish()),
            Arc::new(self.keys.finish()),
            Arc::new(self.sources.finish()),
            Arc::new(UInt64Array::from(self.numbers)),
            Arc::new(self.lines.finish()),
            Arc::new(self.raw.finish()),
            Arc::new(self.values.finish()),
        ];
        RecordBatch::try_new(SCHEMA.clone(), columns)
    }
}

/// The quarantined rows of a batch, whose columns may come as codes; `None` where there are none.
pub(super) fn rows(
    source: &RecordBatch,
    verdict: &Verdict,
    columns: &[Column],
    uri: &str,
    first_row: u64,
) -> Result<Option<RecordBatch>, ArrowError> {
    let Some(quarantined) = &verdict.quarantined else { return Ok(None) };
    let originals = filter_record_batch(source, &quarantined.clone().into())?;
    let options = options();
    let mut objects = Objects::of(&originals, &options);
    let value = |reason: &Reason| {
        let column = columns.get(reason.fault.as_ref()?.column)?;
        source.columns().get(column.source?).map(|array| Shown::of(array.as_ref()))
    };
    let reasons: Vec<(&Reason, Option<Shown>)> = verdict.reasons.iter().map(|reason| (reason, value(reason))).collect();
    let mut rows = Rows::new();
    for (at, row) in quarantined.set_indices().enumerate() {
        for (reason, value) in reasons.iter().filter(|(reason, _)| reason.rows.value(row)) {
            let text = match (&reason.fault, value) {
                (Some(fault), Some(value)) => described(fault, columns, value.of_row(row).as_deref()),
                (Some(fault), None) => described(fault, columns, None),
                (None, _) => reason.key.clone(),
            };
            rows.because(&reason.key, &text);
        }
        let number = first_row.saturating_add(u64::try_from(row).unwrap_or(u64::MAX));
        let place = Place { source: uri, number, line: None };
        rows.add(&place, None, Some(&objects.row(at)));
    }
    rows.finish().map(Some)
}

/// A column's fault in words. `value` is what the source has there, as it is shown; `None` for null.
pub(super) fn described(fault: &Fault, columns: &[Column], value: Option<&str>) -> String {
    let Some(column) = columns.get(fault.column) else { return String::new() };
    let (name, shown) = (column.field.name(), value.unwrap_or("null"));
    match (fault.kind, value) {
        (FaultKind::Cast, _) => format!("{name}: {shown} is no {}", type_name(column.field.data_type())),
        (FaultKind::Values, _) => format!("{name}: {shown} is not among the values allowed"),
        (FaultKind::Null, None) => format!("{name}: null, and the contract says nullable = false"),
        (FaultKind::Null, Some(_)) => format!("{name}: {shown} becomes null, and the contract says nullable = false"),
    }
}

/// The type as a dataset file has it.
fn type_name(wanted: &DataType) -> String {
    match wanted {
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        other => types::describe(other),
    }
}
