//! Expressions over batches, where one row's error is that row's alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::concat;
use arrow::record_batch::RecordBatch;
use datafusion_common::DataFusionError;

use super::sql::Compiled;
use crate::{Error, Result};

/// An expression's value for every row.
#[derive(Debug)]
pub(crate) struct Evaluated {
    /// The values; null where the row gave an error.
    pub values: ArrayRef,
    /// The rows that gave an error, and what the first of them said; `None` where none did.
    pub errors: Option<(BooleanBuffer, String)>,
}

/// Evaluates an expression over a batch. Where a row fails it (a division by zero, a sum that overflows), halves are
/// evaluated, down to the row: so the answer for a row does not depend on its neighbours.
pub(crate) fn evaluate(compiled: &Compiled, batch: &RecordBatch) -> Result<Evaluated> {
    match whole(compiled, batch) {
        Ok(values) => Ok(Evaluated { values, errors: None }),
        Err(error) => {
            let mut pieces = Vec::new();
            let mut failed = vec![false; batch.num_rows()];
            by_halves(compiled, batch, 0, batch.num_rows(), &mut pieces, &mut failed);
            let pieces: Vec<_> = pieces.iter().map(AsRef::as_ref).collect();
            let values = match pieces.as_slice() {
                [] => new_null_array(&compiled.data_type, 0),
                pieces => concat(pieces).map_err(internal)?,
            };
            let failed = BooleanBuffer::from(failed);
            let errors = (failed.count_set_bits() > 0).then(|| (failed, error.find_root().message().into_owned()));
            Ok(Evaluated { values, errors })
        }
    }
}

fn by_halves(
    compiled: &Compiled,
    batch: &RecordBatch,
    start: usize,
    rows: usize,
    pieces: &mut Vec<ArrayRef>,
    failed: &mut [bool],
) {
    if rows == 0 {
        return;
    }
    // The whole batch is known to fail; a single row of it may still be all there is.
    if rows < batch.num_rows() || rows == 1 {
        match whole(compiled, &batch.slice(start, rows)) {
            Ok(values) => return pieces.push(values),
            Err(_) if rows == 1 => {
                if let Some(flag) = failed.get_mut(start) {
                    *flag = true;
                }
                return pieces.push(new_null_array(&compiled.data_type, 1));
            }
            Err(_) => {}
        }
    }
    let half = rows / 2;
    by_halves(compiled, batch, start, half, pieces, failed);
    by_halves(compiled, batch, start + half, rows - half, pieces, failed);
}

fn whole(compiled: &Compiled, batch: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
    // Some functions panic on some values (DataFusion 55.2: `date_trunc` of the first microsecond that there is). The
    // expression holds no state that a panic could leave half done.
    let evaluated = catch_unwind(AssertUnwindSafe(|| compiled.expr.evaluate(batch)?.into_array(batch.num_rows())));
    let values = evaluated.unwrap_or_else(|_| Err(DataFusionError::Execution("a function panicked".to_owned())))?;
    if values.data_type() == &compiled.data_type {
        Ok(values)
    } else {
        Ok(arrow::compute::cast(&values, &compiled.data_type)?)
    }
}

/// The rows where a boolean is false: those that break an expectation. NULL is not false.
pub(super) fn false_rows(values: &ArrayRef) -> Option<BooleanBuffer> {
    let booleans = values.as_boolean_opt()?;
    let broken = match booleans.nulls() {
        Some(valid) => &!booleans.values() & valid.inner(),
        None => !booleans.values(),
    };
    (broken.count_set_bits() > 0).then_some(broken)
}

/// The rows where a boolean is not true: those that a filter leaves out. NULL is not true.
pub(crate) fn untrue_rows(values: &ArrayRef) -> Option<BooleanBuffer> {
    let booleans = values.as_boolean_opt()?;
    let untrue = match booleans.nulls() {
        Some(valid) => !&(booleans.values() & valid.inner()),
        None => !booleans.values(),
    };
    (untrue.count_set_bits() > 0).then_some(untrue)
}

/// An Arrow error that no data can cause.
pub(crate) fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}
