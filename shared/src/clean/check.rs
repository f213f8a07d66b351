//! The pass over one batch: conform, derive, expect, filter.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::column::Conformed;
use super::evaluate::{evaluate, false_rows, internal, untrue_rows};
use super::layout::Partition;
use super::program::{Check, names};
use super::sql::Compiled;
use super::verdict::{Mask, Verdict, add, count, without};
use super::{Cleaner, CoercedRows, whole};
use crate::dataset::{Action, OnCastError};
use crate::{Error, Result};

/// The longest value shown in an error, in characters.
const MAX_SHOWN_CHARS: usize = 100;

/// A batch with every row, conformed.
pub(super) struct Checked {
    /// The columns and derived ones.
    pub rows: RecordBatch,
    /// The partitions' values, level by level.
    pub partitions: Vec<ArrayRef>,
    /// For each of [`Cleaner::coercions`].
    pub coerced: Vec<CoercedRows>,
}

/// For each column, the rows whose value is not the source's: it broke a cast, or was computed from one that did.
type Broken = Vec<Option<Mask>>;

impl Cleaner {
    /// Gives every row its verdict, and the batch with all rows, conformed, and derived columns. `unfit` tells, for each
    /// column of the batch, the rows whose value is known not to fit its type: those hold null.
    pub(super) fn check(
        &self,
        batch: &RecordBatch,
        first_row: u64,
        unfit: &[Option<Mask>],
        verdict: &mut Verdict,
    ) -> Result<Checked> {
        let mut coerced = Vec::with_capacity(self.coercions.len());
        let mut broken = Broken::with_capacity(self.program.schema.fields().len());
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.program.schema.fields().len());
        for column in &self.columns {
            let source = column.source.and_then(|at| batch.columns().get(at));
            let mut conformed = column.conform(source, batch.num_rows()).map_err(|error| {
                Error::source(&self.source_uri, format!("column `{}`: {error}", column.field.name()))
            })?;
            if let Some(rows) = column.source.and_then(|at| unfit.get(at)?.as_ref()) {
                add(&mut conformed.unfit, rows);
            }
            if let Some(source) = source.filter(|source| source.data_type() != column.field.data_type()) {
                let rows = whole(source.len() - source.logical_null_count());
                coerced.push(CoercedRows { rows, unfit: conformed.unfit.as_ref().map_or(0, count) });
            }
            broken.push(self.judge_column(column.field.name(), &conformed, source, first_row, verdict)?);
            columns.push(conformed.array);
        }
        let mut row = self.batch_of(columns, batch.num_rows())?;
        for derived in &self.program.derived {
            let (values, failed) = self.value(derived.field.name(), &derived.value, &row, &broken, verdict)?;
            let mut inherited = read_rows(&derived.value, &broken);
            if let Some(failed) = failed {
                add(&mut inherited, &failed);
            }
            broken.push(inherited);
            let mut columns = row.columns().to_vec();
            columns.push(values);
            row = self.batch_of(columns, batch.num_rows())?;
        }
        for expectation in &self.program.expectations {
            self.expect(expectation, &row, &broken, first_row, verdict)?;
        }
        if let Some(filter) = &self.program.filter {
            let (values, _) = self.value("filter", filter, &row, &broken, verdict)?;
            if let Some(rows) = untrue_rows(&values) {
                verdict.leave_out(&rows);
            }
        }
        let mut partitions = Vec::with_capacity(self.program.partitions.len());
        for (column, partition) in &self.program.partitions {
            partitions.push(match partition {
                Partition::Column(at) => Arc::clone(row.column(*at)),
                Partition::Sql(value) => {
                    self.value(&format!("partition {}", column.name), value, &row, &broken, verdict)?.0
                }
            });
        }
        Ok(Checked { rows: row, partitions, coerced })
    }

    /// What `on_cast_error` makes of a column's faults, and the rows that have one.
    fn judge_column(
        &self,
        name: &str,
        conformed: &Conformed,
        source: Option<&ArrayRef>,
        first_row: u64,
        verdict: &mut Verdict,
    ) -> Result<Option<Mask>> {
        let mut broken = None;
        let faults = [("cast", &conformed.unfit), ("values", &conformed.unlisted)];
        for (kind, rows) in faults {
            let Some(rows) = rows else { continue };
            match self.on_cast_error {
                OnCastError::Quarantine => verdict.quarantine(format!("{kind}: {name}"), rows),
                OnCastError::Null => {
                    verdict.warn(format!("{kind}: {name}"), rows);
                    continue;
                }
                OnCastError::Fail => return Err(self.failure(kind, name, rows, source, first_row)),
            }
            add(&mut broken, rows);
        }
        if let Some(missing) = &conformed.missing {
            let missing = match &broken {
                Some(broken) => without(missing, broken),
                None => missing.clone(),
            };
            if self.on_cast_error == OnCastError::Fail && missing.count_set_bits() > 0 {
                return Err(self.failure("null", name, &missing, source, first_row));
            }
            // Null is what `on_cast_error = "null"` would make of it: there is nothing left but quarantine.
            verdict.quarantine(format!("null: {name}"), &missing);
            add(&mut broken, &missing);
        }
        Ok(broken)
    }

    /// An expression's values. Rows that make it fail go to quarantine, unless they read a value that is broken anyway.
    fn value(
        &self,
        name: &str,
        expr: &Compiled,
        row: &RecordBatch,
        broken: &Broken,
        verdict: &mut Verdict,
    ) -> Result<(ArrayRef, Option<Mask>)> {
        let evaluated = evaluate(expr, row)?;
        let Some((failed, message)) = evaluated.errors else { return Ok((evaluated.values, None)) };
        let failed = match read_rows(expr, broken) {
            Some(broken) => without(&failed, &broken),
            None => failed,
        };
        if failed.count_set_bits() > 0 {
            if !self.warned.swap(true, Ordering::Relaxed) {
                let rows = count(&failed);
                tracing::warn!(source = %self.source_uri, expression = name, rows, %message, "rows make an expression fail");
            }
            verdict.quarantine(format!("error: {name}"), &failed);
        }
        Ok((evaluated.values, Some(failed)))
    }

    fn expect(
        &self,
        expectation: &Check,
        row: &RecordBatch,
        broken: &Broken,
        first_row: u64,
        verdict: &mut Verdict,
    ) -> Result<()> {
        let (values, _) = self.value(&expectation.name, &expectation.condition, row, broken, verdict)?;
        let Some(rows) = false_rows(&values) else { return Ok(()) };
        let rows = match read_rows(&expectation.condition, broken) {
            Some(broken) => without(&rows, &broken),
            None => rows,
        };
        let Some(first) = rows.set_indices().next() else { return Ok(()) };
        match expectation.action {
            Action::Quarantine => verdict.quarantine(expectation.name.clone(), &rows),
            Action::Drop => verdict.leave_out(&rows),
            Action::Warn => verdict.warn(expectation.name.clone(), &rows),
            Action::Fail => {
                let shown: Vec<_> = names(&self.program.schema, &expectation.condition.columns)
                    .into_iter()
                    .zip(&expectation.condition.columns)
                    .filter_map(|(name, at)| Some(format!("{name} = {}", shown(row.columns().get(*at)?, first))))
                    .collect();
                return Err(Error::Contract(format!(
                    "{}: row {} breaks expectation \"{}\": {}",
                    self.source_uri,
                    first_row.saturating_add(whole(first)),
                    expectation.name,
                    shown.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// The error of `on_cast_error = "fail"`.
    fn failure(&self, kind: &str, name: &str, rows: &Mask, source: Option<&ArrayRef>, first_row: u64) -> Error {
        let first = rows.set_indices().next().unwrap_or_default();
        let value = source.map_or_else(|| "null".to_owned(), |array| shown(array, first));
        let field = self.columns.iter().map(|column| &column.field).find(|field| field.name() == name);
        let to = field.map_or_else(String::new, |field| super::types::describe(field.data_type()));
        let what = match kind {
            "cast" => format!("value {value} does not fit {to}"),
            "values" => format!("value {value} is not among the values allowed"),
            _ => "a null, which the column does not allow".to_owned(),
        };
        let row = first_row.saturating_add(whole(first));
        Error::Contract(format!("{}: column `{name}`, row {row}: {what}", self.source_uri))
    }

    /// Columns as a batch that expressions read: the first columns of the program's schema.
    fn batch_of(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let all = &self.program.schema;
        let schema = if columns.len() == all.fields().len() {
            all.clone()
        } else {
            let places: Vec<usize> = (0..columns.len()).collect();
            Arc::new(all.project(&places).map_err(internal)?)
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(internal)
    }
}

/// Rows in which an expression reads a broken value.
fn read_rows(expr: &Compiled, broken: &Broken) -> Option<Mask> {
    let mut rows = None;
    for mask in expr.columns.iter().filter_map(|at| broken.get(*at)?.as_ref()) {
        add(&mut rows, mask);
    }
    rows
}

/// A value for a message, cut to a bound.
fn shown(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    let options = FormatOptions::default();
    let Ok(formatter) = ArrayFormatter::try_new(array.as_ref(), &options) else { return "?".to_owned() };
    let Ok(text) = formatter.value(row).try_to_string() else { return "?".to_owned() };
    let cut: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    let ellipsis = if cut.len() < text.len() { "…" } else { "" };
    match array.data_type().is_string() {
        true => format!("\"{cut}{ellipsis}\""),
        false => format!("{cut}{ellipsis}"),
    }
}
