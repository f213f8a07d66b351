//! Rows set aside: the source's columns and types, and why, whence and which row.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, ListBuilder, StringArray, StringBuilder, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::verdict::Verdict;
use crate::coded;

/// Why: a list of reasons, each the name of an expectation or `cast: COLUMN`, `values: COLUMN`, `null: COLUMN`,
/// `error: NAME`.
pub const REASONS: &str = "_rowmill_reasons";
/// The source's URI.
pub const SOURCE: &str = "_rowmill_source";
/// The row's number in the source, from 0.
pub const ROW: &str = "_rowmill_row";

/// The quarantine's schema for a source.
///
/// # Errors
///
/// A text, where the source has columns named as the quarantine's own.
pub(super) fn schema(source: &Schema) -> Result<SchemaRef, String> {
    let own = [
        Field::new(REASONS, DataType::List(Arc::new(reason_item())), false),
        Field::new(SOURCE, DataType::Utf8, false),
        Field::new(ROW, DataType::UInt64, false),
    ];
    let clash =
        source.fields().iter().find(|field| own.iter().any(|own| own.name().eq_ignore_ascii_case(field.name())));
    if let Some(field) = clash {
        return Err(format!("the source's column `{}` is named as one of the quarantine's: rename it", field.name()));
    }
    let fields: Vec<_> = source.fields().iter().cloned().chain(own.into_iter().map(Arc::new)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// The quarantined rows of a batch as the source has them, with their reasons; `None` where there are none.
pub(super) fn rows(
    schema: &SchemaRef,
    source: &RecordBatch,
    verdict: &Verdict,
    uri: &str,
    first_row: u64,
) -> Result<Option<RecordBatch>, ArrowError> {
    let Some(quarantined) = &verdict.quarantined else { return Ok(None) };
    let originals = filter_record_batch(source, &BooleanArray::new(quarantined.clone(), None))?;
    let mut reasons = ListBuilder::new(StringBuilder::new()).with_field(reason_item());
    let mut numbers = Vec::with_capacity(originals.num_rows());
    for row in quarantined.set_indices() {
        for (reason, rows) in &verdict.reasons {
            if rows.value(row) {
                reasons.values().append_value(reason);
            }
        }
        reasons.append(true);
        numbers.push(first_row.saturating_add(u64::try_from(row).unwrap_or(u64::MAX)));
    }
    let uris = StringArray::from_iter_values(std::iter::repeat_n(uri, numbers.len()));
    let plain = originals.columns().iter().zip(schema.fields());
    let plain = plain.map(|(column, field)| coded::unpack(column, field.data_type()));
    let mut columns: Vec<ArrayRef> = plain.collect::<Result<_, _>>()?;
    columns.push(Arc::new(reasons.finish()));
    columns.push(Arc::new(uris));
    columns.push(Arc::new(UInt64Array::from(numbers)));
    RecordBatch::try_new(schema.clone(), columns).map(Some)
}

pub(super) fn reason_item() -> Field {
    Field::new("item", DataType::Utf8, false)
}
