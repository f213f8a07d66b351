//! The pass over one batch: conform, derive, expect, filter.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::column::{Column, Conformed};
use super::distinct::Distinct;
use super::evaluate::{evaluate, false_rows, internal, untrue_rows};
use super::layout::Partition;
use super::program::{Check, names};
use super::shown::Shown;
use super::sql::Compiled;
use super::verdict::{Fault, FaultKind, Mask, Verdict, add, count, without};
use super::{Cleaner, CoercedRows, whole};
use crate::coded;
use crate::dataset::{Action, OnCastError};
use crate::{Error, Result};

/// Every row of a batch, conformed.
pub(super) struct Checked {
    /// The columns, some perhaps as codes, and derived ones.
    pub columns: Vec<ArrayRef>,
    /// The partitions' values, level by level.
    pub partitions: Vec<ArrayRef>,
    /// For each of [`Cleaner::coercions`].
    pub coerced: Vec<CoercedRows>,
}

/// For each column, the rows whose value is not the source's: it broke a cast, or was computed from one that did.
type Broken = Vec<Option<Mask>>;

impl Cleaner {
    /// Gives every row its verdict, and the columns of all rows: conformed, then derived. `unfit` tells, for each column of
    /// the batch, the rows whose value is known not to fit its type: those hold null.
    pub(super) fn check(
        &self,
        batch: &RecordBatch,
        first_row: u64,
        unfit: &[Option<Mask>],
        verdict: &mut Verdict,
    ) -> Result<Checked> {
        let rows = batch.num_rows();
        let mut coerced = Vec::with_capacity(self.coercions.len());
        let mut broken = Broken::with_capacity(self.program.schema.fields().len());
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.program.schema.fields().len());
        let mut distinct: Vec<Option<Arc<Distinct>>> = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter().enumerate() {
            let source = column.source.and_then(|at| batch.columns().get(at));
            let mut conformed = self.conform(column, source, rows).map_err(|error| {
                Error::source(&self.source_uri, format!("column `{}`: {error}", column.field.name()))
            })?;
            if let Some(rows) = column.source.and_then(|at| unfit.get(at)?.as_ref()) {
                add(&mut conformed.unfit, rows);
            }
            let declared = column.source.and_then(|at| self.source_schema.fields().get(at));
            let is_cast = declared.is_some_and(|declared| declared.data_type() != column.field.data_type());
            if let Some(source) = source.filter(|_| is_cast) {
                let rows = whole(source.len() - source.logical_null_count());
                coerced.push(CoercedRows { rows, unfit: conformed.unfit.as_ref().map_or(0, count) });
            }
            broken.push(self.judge_column(at, &conformed, source, first_row, verdict)?);
            columns.push(conformed.array);
            distinct.push(conformed.distinct);
        }
        let mut row = self.batch_of(self.read_by_rows(&columns, &distinct, rows)?, rows)?;
        for derived in &self.program.derived {
            let (values, failed) = self.value(derived.field.name(), &derived.value, &row, &broken, verdict)?;
            let mut inherited = read_rows(&derived.value, &broken);
            if let Some(failed) = failed {
                add(&mut inherited, &failed);
            }
            broken.push(inherited);
            columns.push(values.clone());
            let mut read = row.columns().to_vec();
            read.push(values);
            row = self.batch_of(read, rows)?;
        }
        for (number, expectation) in self.program.expectations.iter().enumerate() {
            let falses = match only_coded(&expectation.condition, &distinct) {
                None => self.falses(expectation, &row, &broken, verdict)?,
                Some((at, values)) => {
                    let asked = |values: ArrayRef| self.batch_of_one(at, values);
                    match columns.get(at) {
                        Some(codes) => match values.false_rows(number, &expectation.condition, codes, asked)? {
                            Some(falses) => falses,
                            None => {
                                let mut read = row.columns().to_vec();
                                if let (Some(slot), Some(field)) =
                                    (read.get_mut(at), self.program.schema.fields().get(at))
                                {
                                    *slot = coded::unpack(codes, field.data_type()).map_err(internal)?;
                                }
                                self.falses(expectation, &self.batch_of(read, rows)?, &broken, verdict)?
                            }
                        },
                        None => None,
                    }
                }
            };
            self.expect(expectation, falses, &columns, &broken, first_row, verdict)?;
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
        Ok(Checked { columns, partitions, coerced })
    }

    fn conform(&self, column: &Column, source: Option<&ArrayRef>, rows: usize) -> Result<Conformed, ArrowError> {
        let declared = column.source.and_then(|at| self.source_schema.fields().get(at)).map(|field| field.data_type());
        let (Some(array), Some(declared)) = (source, declared) else { return column.conform(source, rows) };
        let Some(codes) = coded::parts(array, declared) else { return column.conform(source, rows) };
        match column.conform_coded(codes)? {
            Some(conformed) => Ok(conformed),
            None => column.conform(Some(&coded::unpack(array, declared)?), rows),
        }
    }

    /// The columns as expressions read them row by row: codes written out where one does.
    fn read_by_rows(
        &self,
        columns: &[ArrayRef],
        distinct: &[Option<Arc<Distinct>>],
        rows: usize,
    ) -> Result<Vec<ArrayRef>> {
        let program = &self.program;
        let by_rows = program.expectations.iter().map(|check| &check.condition);
        let by_rows = by_rows.filter(|condition| only_coded(condition, distinct).is_none());
        let others = program.derived.iter().map(|derived| &derived.value).chain(&program.filter);
        let mut read: BTreeSet<usize> = by_rows.chain(others).flat_map(|expr| expr.columns.iter().copied()).collect();
        for (_, partition) in &program.partitions {
            match partition {
                Partition::Column(at) => drop(read.insert(*at)),
                Partition::Sql(value) => read.extend(&value.columns),
            }
        }
        let mut plain = Vec::with_capacity(columns.len());
        for (at, (column, field)) in columns.iter().zip(program.schema.fields()).enumerate() {
            plain.push(match coded::parts(column, field.data_type()) {
                Some(_) if !read.contains(&at) => self.placeholders.column(field.data_type(), rows),
                _ => coded::unpack(column, field.data_type()).map_err(internal)?,
            });
        }
        Ok(plain)
    }

    /// A batch of which an expression reads one column.
    fn batch_of_one(&self, at: usize, values: ArrayRef) -> Result<RecordBatch> {
        let rows = values.len();
        let fields = self.program.schema.fields().iter().enumerate();
        let columns = fields.map(|(place, field)| match place == at {
            // A column that is a dictionary by its type has been given its values.
            true => arrow::compute::cast(&values, field.data_type()).map_err(internal),
            false => Ok(new_null_array(field.data_type(), rows)),
        });
        self.batch_of(columns.collect::<Result<_>>()?, rows)
    }

    /// What `on_cast_error` makes of a column's faults, and the rows that have one.
    fn judge_column(
        &self,
        at: usize,
        conformed: &Conformed,
        source: Option<&ArrayRef>,
        first_row: u64,
        verdict: &mut Verdict,
    ) -> Result<Option<Mask>> {
        let name = self.columns.get(at).map_or("", |column| column.field.name().as_str());
        let fault = |kind| Fault { kind, column: at };
        let mut broken = None;
        let faults = [("cast", FaultKind::Cast, &conformed.unfit), ("values", FaultKind::Values, &conformed.unlisted)];
        for (kind, fault_kind, rows) in faults {
            let Some(rows) = rows else { continue };
            match self.on_cast_error {
                OnCastError::Quarantine => {
                    verdict.quarantine_values(format!("{kind}: {name}"), fault(fault_kind), rows);
                }
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
            verdict.quarantine_values(format!("null: {name}"), fault(FaultKind::Null), &missing);
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

    /// The rows in which an expectation is false.
    fn falses(
        &self,
        expectation: &Check,
        row: &RecordBatch,
        broken: &Broken,
        verdict: &mut Verdict,
    ) -> Result<Option<Mask>> {
        let (values, _) = self.value(&expectation.name, &expectation.condition, row, broken, verdict)?;
        Ok(false_rows(&values))
    }

    fn expect(
        &self,
        expectation: &Check,
        falses: Option<Mask>,
        columns: &[ArrayRef],
        broken: &Broken,
        first_row: u64,
        verdict: &mut Verdict,
    ) -> Result<()> {
        let Some(rows) = falses else { return Ok(()) };
        let rows = match read_rows(&expectation.condition, broken) {
            Some(broken) => without(&rows, &broken),
            None => rows,
        };
        let Some(first) = rows.set_indices().next() else { return Ok(()) };
        match expectation.action {
            Action::Quarantine => verdict.quarantine(expectation.name.clone(), &rows),
            Action::Drop => verdict.drop(expectation.name.clone(), &rows),
            Action::Warn => verdict.warn(expectation.name.clone(), &rows),
            Action::Fail => {
                let shown: Vec<_> = names(&self.program.schema, &expectation.condition.columns)
                    .into_iter()
                    .zip(&expectation.condition.columns)
                    .filter_map(|(name, at)| Some(format!("{name} = {}", shown(columns.get(*at)?, first))))
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

/// The column that an expression reads, where it is one only, and coded.
fn only_coded<'a>(expr: &Compiled, distinct: &'a [Option<Arc<Distinct>>]) -> Option<(usize, &'a Arc<Distinct>)> {
    let mut columns = expr.columns.iter();
    match (columns.next(), columns.next()) {
        (Some(only), None) => Some((*only, distinct.get(*only)?.as_ref()?)),
        _ => None,
    }
}

/// A column of nulls for each type, kept for its memory.
#[derive(Debug, Default)]
pub(super) struct Placeholders(Mutex<HashMap<DataType, ArrayRef>>);

impl Placeholders {
    fn column(&self, data_type: &DataType, rows: usize) -> ArrayRef {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(data_type) {
            Some(column) if column.len() >= rows => column.slice(0, rows),
            _ => {
                let column = new_null_array(data_type, rows);
                known.insert(data_type.clone(), column.clone());
                column
            }
        }
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

/// A value for a message.
fn shown(array: &ArrayRef, row: usize) -> String {
    Shown::of(array.as_ref()).of_row(row).unwrap_or_else(|| "null".to_owned())
}
