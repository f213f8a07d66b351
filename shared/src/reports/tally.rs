//! A report in the making: rows or figures go in, figures or the result come out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::compute::{CastOptions, SortColumn, SortOptions, cast_with_options, filter, filter_record_batch};
use arrow::compute::{lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion_common::DataFusionError;
use datafusion_expr::{EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::GroupsAccumulatorAdapter;

use super::compile::Report;
use super::figures::{self, ReportFigures};
use super::keys::Keys;
use super::{MAX_GROUPS, too_many_groups};
use crate::clean::evaluate::{evaluate, untrue_rows};
use crate::clean::sql::Compiled;

/// Packed figures of one report: the ledger reads its objects whole.
const MAX_PACKED_BYTES: usize = 8 << 20;

/// A report in the making. Errors are words for the report's reader; after one, it is not to be used.
#[derive(Debug)]
pub(super) struct Tally {
    report: Arc<Report>,
    keys: Keys,
    accumulators: Accumulators,
    rows: u64,
    left_out: u64,
    problem: Option<String>,
}

/// One of each aggregate. They may be sent to another thread, not shared with it: so nobody reaches them but who has them
/// for himself.
struct Accumulators(Mutex<Vec<Box<dyn GroupsAccumulator>>>);

impl Accumulators {
    fn get(&mut self) -> &mut [Box<dyn GroupsAccumulator>] {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Accumulators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accumulators")
    }
}

/// A finished report.
#[derive(Debug)]
pub(super) struct Told {
    /// Groups, then measures; sorted by groups.
    pub batch: RecordBatch,
    pub rows: u64,
    pub left_out: u64,
    /// What a reader should know.
    pub problems: Vec<String>,
}

impl Tally {
    pub(super) fn new(report: Arc<Report>) -> Result<Self, String> {
        let types: Vec<DataType> = report.groups.iter().map(|(field, _)| field.data_type().clone()).collect();
        let keys = Keys::new(&types).map_err(words)?;
        let mut accumulators = Vec::with_capacity(report.aggregates.len());
        for aggregate in &report.aggregates {
            let function = Arc::clone(&aggregate.function);
            let accumulator: Box<dyn GroupsAccumulator> = match function.groups_accumulator_supported() {
                true => function.create_groups_accumulator().map_err(planned)?,
                false => Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())),
            };
            accumulators.push(accumulator);
        }
        let accumulators = Accumulators(Mutex::new(accumulators));
        Ok(Self { report, keys, accumulators, rows: 0, left_out: 0, problem: None })
    }

    pub(super) fn report(&self) -> &Report {
        &self.report
    }

    /// Takes rows, of which `column` tells the columns that the report reads, perhaps in other encodings.
    pub(super) fn update<'a>(
        &mut self,
        rows: usize,
        column: impl Fn(&str) -> Option<&'a ArrayRef>,
    ) -> Result<(), String> {
        let fields = self.report.rows.fields();
        let columns = fields.iter().map(|field| {
            let found = column(field.name()).ok_or_else(|| format!("column `{}` is not there", field.name()))?;
            fitted(found, field.data_type()).map_err(words)
        });
        let columns = columns.collect::<Result<Vec<_>, String>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.report.rows), columns, &options);
        self.update_batch(batch.map_err(words)?)
    }

    fn update_batch(&mut self, mut batch: RecordBatch) -> Result<(), String> {
        let report = Arc::clone(&self.report);
        if let Some(condition) = &report.condition {
            let (values, failed) = self.evaluated(condition, &batch)?;
            self.leave_out(failed.as_ref());
            if let Some(untrue) = untrue_rows(&values) {
                batch = filter_record_batch(&batch, &BooleanArray::new(!&untrue, None)).map_err(words)?;
            }
        }
        let mut failed: Option<BooleanArray> = None;
        let mut values = Vec::with_capacity(report.groups.len() + report.inputs.len());
        for expr in report.groups.iter().map(|(_, expr)| expr).chain(&report.inputs) {
            let (array, rows) = self.evaluated(expr, &batch)?;
            failed = match (failed, rows) {
                (Some(one), Some(other)) => Some(arrow::compute::or(&one, &other).map_err(words)?),
                (one, other) => one.or(other),
            };
            values.push(array);
        }
        let mut rows = batch.num_rows();
        if let Some(failed) = &failed {
            self.leave_out(Some(failed));
            let good = BooleanArray::new(!failed.values(), None);
            rows = good.true_count();
            values = values.iter().map(|array| filter(array, &good)).collect::<Result<_, _>>().map_err(words)?;
        }
        if rows == 0 {
            return Ok(());
        }
        let inputs = values.split_off(report.groups.len());
        let numbers = self.keys.number(&values, rows).map_err(words)?;
        self.expect_groups()?;
        for (aggregate, accumulator) in report.aggregates.iter().zip(self.accumulators.get()) {
            let taken: Vec<ArrayRef> = aggregate.inputs.iter().filter_map(|at| inputs.get(*at)).cloned().collect();
            let chosen = aggregate.filter.and_then(|at| inputs.get(at)).and_then(|array| array.as_boolean_opt());
            accumulator.update_batch(&taken, &numbers, chosen, self.keys.len()).map_err(planned)?;
        }
        self.rows += whole(rows);
        Ok(())
    }

    /// An expression's values, and the rows for which it failed.
    fn evaluated(&mut self, expr: &Compiled, batch: &RecordBatch) -> Result<(ArrayRef, Option<BooleanArray>), String> {
        let evaluated = evaluate(expr, batch).map_err(|error| error.to_string())?;
        let Some((failed, message)) = evaluated.errors else { return Ok((evaluated.values, None)) };
        self.problem.get_or_insert(message);
        Ok((evaluated.values, Some(BooleanArray::new(failed, None))))
    }

    fn leave_out(&mut self, failed: Option<&BooleanArray>) {
        self.left_out += failed.map_or(0, |failed| whole(failed.true_count()));
    }

    fn expect_groups(&self) -> Result<(), String> {
        if self.keys.len() > MAX_GROUPS { Err(too_many_groups()) } else { Ok(()) }
    }

    /// Figures of the same report, whose columns may have narrower types, unpacked. An error is theirs alone.
    pub(super) fn unpack(&self, figures: &ReportFigures) -> Result<Vec<Vec<ArrayRef>>, String> {
        let types = self.state_types()?;
        let wanted = types.iter().map(Vec::len).sum::<usize>();
        let unpacked = figures.batches()?.into_iter().map(|batch| {
            if batch.num_columns() != wanted {
                return Err(format!("its figures have {} columns in the place of {wanted}", batch.num_columns()));
            }
            let columns = batch.columns().iter().zip(types.iter().flatten());
            columns.map(|(column, data_type)| fitted(column, data_type).map_err(words)).collect()
        });
        unpacked.collect()
    }

    /// Takes figures and what [`Tally::unpack`] made of them.
    pub(super) fn merge(&mut self, figures: &ReportFigures, unpacked: Vec<Vec<ArrayRef>>) -> Result<(), String> {
        let widths: Vec<usize> = self.state_types()?.iter().map(Vec::len).collect();
        for columns in unpacked {
            let rows = columns.first().map_or(0, |column| column.len());
            let mut columns = columns.into_iter();
            let mut widths = widths.iter().copied();
            let groups: Vec<ArrayRef> = columns.by_ref().take(widths.next().unwrap_or(0)).collect();
            let numbers = self.keys.number(&groups, rows).map_err(words)?;
            self.expect_groups()?;
            for (accumulator, width) in self.accumulators.get().iter_mut().zip(widths) {
                let states: Vec<ArrayRef> = columns.by_ref().take(width).collect();
                accumulator.merge_batch(&states, &numbers, self.keys.len()).map_err(planned)?;
            }
        }
        self.rows += figures.rows;
        self.left_out += figures.left_out;
        if self.problem.is_none() {
            self.problem.clone_from(&figures.problem);
        }
        Ok(())
    }

    /// The types of the groups, and of each aggregate's state.
    fn state_types(&self) -> Result<Vec<Vec<DataType>>, String> {
        let groups = self.report.groups.iter().map(|(field, _)| field.data_type().clone()).collect();
        let mut types = vec![groups];
        for aggregate in &self.report.aggregates {
            let fields = aggregate.function.state_fields().map_err(planned)?;
            types.push(fields.iter().map(|field| field.data_type().clone()).collect());
        }
        Ok(types)
    }

    /// The figures: what [`Tally::merge`] takes.
    pub(super) fn figures(mut self) -> Result<ReportFigures, String> {
        let mut states = String::new();
        if self.keys.len() > 0 {
            let mut columns = self.keys.values().map_err(words)?;
            for accumulator in self.accumulators.get() {
                columns.extend(accumulator.state(EmitTo::All).map_err(planned)?);
            }
            let fields = columns.iter().enumerate();
            let fields = fields.map(|(at, column)| Field::new(at.to_string(), column.data_type().clone(), true));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            states = figures::pack(&batch_of(schema, columns, self.keys.len())?)?;
        }
        if states.len() > MAX_PACKED_BYTES {
            return Err(format!("its figures take more than {MAX_PACKED_BYTES} bytes: group by something coarser"));
        }
        Ok(ReportFigures {
            definition: self.report.definition.clone(),
            rows: self.rows,
            left_out: self.left_out,
            problem: self.problem,
            error: None,
            groups: whole(self.keys.len()),
            columns: figures::pack_schema(&self.report.rows)?,
            states,
        })
    }

    /// The report.
    pub(super) fn told(mut self) -> Result<Told, String> {
        let mut columns = self.keys.values().map_err(words)?;
        let mut rows = self.keys.len();
        if rows > 0 {
            for accumulator in self.accumulators.get() {
                columns.push(accumulator.evaluate(EmitTo::All).map_err(planned)?);
            }
        } else if self.keys.is_whole() {
            // The group of all rows is there without any: what its aggregates tell of nothing.
            rows = 1;
            for aggregate in &self.report.aggregates {
                let nothing = aggregate.function.create_accumulator().and_then(|mut nothing| nothing.evaluate());
                columns.push(nothing.and_then(|value| value.to_array()).map_err(planned)?);
            }
        }
        let report = &self.report;
        let mut problems = Vec::new();
        if self.left_out > 0 {
            let why = self.problem.as_deref().unwrap_or("its sql failed");
            problems.push(format!("{} rows are left out: {why}", self.left_out));
        }
        let told = report.told.fields();
        let columns = match rows {
            0 => told.iter().map(|field| new_empty_array(field.data_type())).collect(),
            _ => {
                let fitting = columns.iter().zip(told).map(|(column, field)| fitted(column, field.data_type()));
                fitting.collect::<Result<Vec<_>, _>>().map_err(words)?
            }
        };
        let told = batch_of(Arc::clone(&report.told), columns, rows)?;
        let mut fields: Vec<Field> = told.schema_ref().fields().iter().map(|field| field.as_ref().clone()).collect();
        let mut columns = told.columns().to_vec();
        for (field, measure) in &report.measures {
            columns.push(value(field.name(), measure, &told, &mut problems)?);
            fields.push(field.clone());
        }
        let mut batch = batch_of(Arc::new(Schema::new(fields)), columns, rows)?;
        if let Some(having) = &report.having {
            let values = value("having", having, &batch, &mut problems)?;
            if let Some(untrue) = untrue_rows(&values) {
                batch = filter_record_batch(&batch, &BooleanArray::new(!&untrue, None)).map_err(words)?;
            }
        }
        let groups = report.groups.len();
        let kept = (0..groups).chain(report.told.fields().len()..batch.num_columns());
        let batch = batch.project(&kept.collect::<Vec<_>>()).map_err(words)?;
        let batch = sorted(&batch, groups).map_err(words)?;
        Ok(Told { batch, rows: self.rows, left_out: self.left_out, problems })
    }
}

/// An expression over groups. Where it fails it is null, and a problem tells so.
fn value(name: &str, expr: &Compiled, groups: &RecordBatch, problems: &mut Vec<String>) -> Result<ArrayRef, String> {
    let evaluated = evaluate(expr, groups).map_err(|error| error.to_string())?;
    if let Some((failed, message)) = evaluated.errors {
        problems.push(format!("{name} is null in {} groups: {message}", failed.count_set_bits()));
    }
    Ok(evaluated.values)
}

/// Rows in the order of their first `groups` columns, nulls last.
fn sorted(batch: &RecordBatch, groups: usize) -> Result<RecordBatch, ArrowError> {
    if groups == 0 || batch.num_rows() < 2 {
        return Ok(batch.clone());
    }
    let options = Some(SortOptions { descending: false, nulls_first: false });
    let columns = batch.columns().iter().take(groups);
    let columns: Vec<SortColumn> = columns.map(|values| SortColumn { values: Arc::clone(values), options }).collect();
    take_record_batch(batch, &lexsort_to_indices(&columns, None)?)
}

fn batch_of(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, String> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(words)
}

/// The column as this type; an error where a value does not fit.
fn fitted(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type {
        return Ok(Arc::clone(column));
    }
    cast_with_options(column, data_type, &CastOptions { safe: false, ..CastOptions::default() })
}

fn words(error: ArrowError) -> String {
    error.to_string()
}

fn planned(error: DataFusionError) -> String {
    error.find_root().message().into_owned()
}

fn whole(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
