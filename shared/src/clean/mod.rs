//! Rows on their way from a source to the output: conformed to the contract, checked, transformed, or set aside.
//!
//! A pure step over record batches, in this order:
//!
//! 1. **Conform.** Columns are found by name (exactly, by alias, without case) and cast, checked ([`Cleaner::new`]
//!    plans it, the table of casts is in `cast.rs`). A value that does not fit its type, is outside its list of values
//!    or is a null where none is allowed makes its row a *cast error*, which `on_cast_error` decides about.
//! 2. **Derive** the columns of `[transform]`, each from the conformed columns and the derived ones before it.
//! 3. **Expect.** Every expectation sees every row, whatever the others said; NULL passes. A row whose value broke a
//!    cast passes the expectations that read this value: there is nothing to check.
//! 4. **Filter.** Rows where the filter is not true (false or NULL) are left out.
//!
//! 5. **Place.** Lineage columns are added, and each kept row gets the values of its partition.
//!
//! Each row has one fate: quarantine wins over leaving out (by `drop` or by the filter), which wins over keeping. A row
//! that makes an expression fail (a division by zero, a sum that overflows) goes to quarantine. A row in quarantine has
//! every reason that was found, in words that show the value ([`REASONS`]), and as it is counted ([`REASON_KEYS`]):
//!
//! | counted as | the row |
//! |---|---|
//! | `cast: COLUMN` | has a value that does not fit the column's type |
//! | `values: COLUMN` | has a value outside the column's list |
//! | `null: COLUMN` | has a null where the column allows none |
//! | `NAME` | breaks the expectation of that name |
//! | `error: NAME` | makes the expectation, derived column or filter (`error: filter`) of that name fail |
//! | `error: partition NAME` | makes the partition's expression fail |
//!
//! So the answer for a row depends on that row alone, not on batches, threads or neighbours.

mod cast;
mod check;
mod column;
mod decimal;
mod distinct;
mod drift;
pub(crate) mod evaluate;
pub(crate) mod functions;
mod idle_casts;
mod layout;
mod numeric;
mod objects;
pub(crate) mod program;
mod quarantine;
mod resolve;
mod shown;
pub(crate) mod sql;
mod text;
pub(crate) mod types;
mod unknown;
mod untouched;
mod validate;
mod values;
mod verdict;
mod widen;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

pub use idle_casts::idle_casts;
pub use layout::{PartitionColumn, RUN};
pub use quarantine::{LINE, RAW, REASON_KEYS, REASONS, ROW, SOURCE, VALUES};
pub use resolve::Drift;
pub(crate) use text::TextCast;
pub use text::{text_columns, text_types};
pub use unknown::unknown_columns;
pub use untouched::{Inspector, Untouched};
pub use validate::validate;
pub use widen::{Widest, declared, is_widening, widest};

use crate::coded;
use crate::dataset::{CastRule, Dataset, Lineage, OnCastError};
use crate::ledger::{Coerced, RowCounts};
use crate::selected::SelectedRows;
use crate::{Error, Result};
use check::{Checked, Placeholders};
use column::Column;
use evaluate::internal;
use program::Program;
use verdict::{Mask, Verdict, count};

/// A dataset's contract, expectations and transform, compiled for one source's schema. Shared between threads.
#[derive(Debug)]
pub struct Cleaner {
    source_uri: String,
    source_schema: SchemaRef,
    output_schema: SchemaRef,
    columns: Vec<Column>,
    on_cast_error: OnCastError,
    program: Program,
    drift: Vec<Drift>,
    /// The columns that are cast, in the output's order, with no rows yet.
    coercions: Vec<Coerced>,
    lineage: Lineage,
    /// The run that lineage names.
    run_id: String,
    /// The levels of a partition's folders.
    partitions: Vec<PartitionColumn>,
    /// The columns that the part stores, where folders tell others.
    stored: Option<Vec<usize>>,
    /// What stands for columns that no expression asks rows of.
    placeholders: Placeholders,
    /// Whether a failing expression was logged: once tells enough.
    warned: AtomicBool,
}

/// What became of a batch's rows.
#[derive(Debug, Clone)]
pub struct Cleaned<K = RecordBatch> {
    /// Rows for the output, in the source's order, of [`Cleaner::output_schema`], columns that came as codes as codes
    /// ([`crate::coded`]). The batch itself where nothing had to be done.
    pub kept: K,
    /// Rows for quarantine, of [`Cleaner::quarantine_schema`]; `None` where there are none.
    pub quarantined: Option<RecordBatch>,
    /// Rows by fate; `written` equals `kept`.
    pub counts: RowCounts,
    /// Rows in quarantine by reason. A row may have several, so the sum may be larger than the rows.
    pub reasons: BTreeMap<String, u64>,
    /// Rows left out by an expectation whose action is `drop`, by its name. A row that breaks several counts for each; one
    /// in quarantine for none. Of a text, records of which the expectation left out a row.
    pub dropped: BTreeMap<String, u64>,
    /// Rows that broke an expectation whose action is `warn` (by its name), or whose value became null for it did not
    /// fit (`cast: COLUMN`, `values: COLUMN`), whatever became of them.
    pub warnings: BTreeMap<String, u64>,
    /// The partitions' values of the kept rows, for each of [`Cleaner::partitions`].
    pub partitions: Vec<ArrayRef>,
    /// The rows cast, for each of [`Cleaner::coercions`].
    pub coerced: Vec<CoercedRows>,
}

/// What became of a cast column's values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CoercedRows {
    /// Rows that had a value.
    pub rows: u64,
    /// Of these, rows whose value did not fit.
    pub unfit: u64,
}

impl Cleaned<SelectedRows> {
    /// The same with the kept rows as a batch of their own.
    fn into_batch(self) -> Result<Cleaned> {
        let Self { kept, quarantined, counts, reasons, dropped, warnings, partitions, coerced } = self;
        let kept = kept.into_batch().map_err(internal)?;
        Ok(Cleaned { kept, quarantined, counts, reasons, dropped, warnings, partitions, coerced })
    }
}

impl Cleaner {
    /// Compiles `dataset` for sources of the schema `source`. `source_uri` is written beside quarantined rows.
    ///
    /// # Errors
    ///
    /// [`Error::Contract`] where this source cannot fulfil the dataset: a column is missing, ambiguous, too many, or of
    /// a type that cannot be cast; an expression names a column that is not there.
    pub fn new(dataset: &Dataset, source: &Schema, source_uri: &str) -> Result<Self> {
        let broken = |problem: String| Error::Contract(format!("{source_uri}: {problem}"));
        let mut drift = Vec::new();
        let columns = conforming_columns(dataset, source, &mut drift).map_err(broken)?;
        let conformed: Vec<Field> = columns.iter().map(|column| column.field.clone()).collect();
        let program = program::compile(dataset, &conformed, false).map_err(|error| match error {
            Error::Dataset(problems) => broken(problems),
            other => other,
        })?;
        let coercions = coercions(&columns, source);
        let output: Vec<Field> =
            conformed.into_iter().chain(program.derived.iter().map(|derived| derived.field.clone())).collect();
        let lineage = dataset.spec.output.lineage;
        let lineage_fields = layout::lineage_fields(lineage);
        layout::clash(&lineage_fields, &output).map_err(broken)?;
        let partitions = program.partitions.iter().map(|(column, _)| column.clone()).collect();
        let stored = layout::stored_columns(output.len(), &program.partitions);
        let mut output_schema = Schema::new(output);
        if let Some(stored) = &stored {
            output_schema = output_schema.project(stored).map_err(internal)?;
        }
        if !lineage_fields.is_empty() {
            let fields = output_schema.fields().iter().cloned();
            output_schema = Schema::new(fields.chain(lineage_fields.into_iter().map(Arc::new)).collect::<Vec<_>>());
        }
        if output_schema.fields() == source.fields() {
            // Nothing changes: what else the source says of itself still holds.
            output_schema = source.clone();
        }
        let output_schema = Arc::new(output_schema);
        if stored.is_some() {
            layout::expect_columns(&output_schema).map_err(broken)?;
        }
        Ok(Self {
            source_uri: source_uri.to_owned(),
            source_schema: Arc::new(source.clone()),
            output_schema,
            columns,
            on_cast_error: dataset.spec.schema.on_cast_error,
            placeholders: Placeholders::default(),
            program,
            drift,
            coercions,
            lineage,
            run_id: String::new(),
            partitions,
            stored,
            warned: AtomicBool::new(false),
        })
    }

    /// The same for the run that lineage is to name.
    #[must_use]
    pub fn of_run(self, run_id: &str) -> Self {
        Self { run_id: run_id.to_owned(), ..self }
    }

    /// The levels of a partition's folders, from the outside in; empty where the output is not partitioned.
    pub fn partitions(&self) -> &[PartitionColumn] {
        &self.partitions
    }

    /// The columns that are cast, with no rows yet: what [`Cleaned::coerced`] counts.
    pub fn coercions(&self) -> &[Coerced] {
        &self.coercions
    }

    /// The output's schema: the contract's columns in order, extra ones in the source's order, derived ones, lineage.
    /// Without the columns that partitions are named by.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.output_schema
    }

    /// The quarantine's schema, the same for every source of every dataset.
    pub fn quarantine_schema(&self) -> &SchemaRef {
        &quarantine::SCHEMA
    }

    /// How the source differs from what the dataset's file declares.
    pub fn drift(&self) -> &[Drift] {
        &self.drift
    }

    /// Cleans a batch of the source, whose columns may come as codes ([`crate::coded`]). `first_row` is the number of its
    /// first row in the source, from 0.
    ///
    /// # Errors
    ///
    /// [`Error::Contract`] naming column or expectation, row and value where `on_cast_error` or an expectation's action
    /// is `fail`; [`Error::Source`] where the batch has not the source's schema.
    pub fn clean(&self, batch: &RecordBatch, first_row: u64) -> Result<Cleaned> {
        self.select(batch, first_row)?.into_batch()
    }

    /// The same, and the rows that are not kept are passed over rather than left out: no column is copied.
    ///
    /// # Errors
    ///
    /// As [`Cleaner::clean`].
    pub fn select(&self, batch: &RecordBatch, first_row: u64) -> Result<Cleaned<SelectedRows>> {
        self.expect_schema(batch)?;
        let mut verdict = Verdict::new(batch.num_rows());
        let Checked { columns, partitions, coerced } = self.check(batch, first_row, &[], &mut verdict)?;
        let kept_rows = verdict.kept();
        let partitions = layout::kept_values(partitions, kept_rows.as_ref()).map_err(internal)?;
        let number = |row: usize| first_row.saturating_add(whole(row));
        let lineage = self.lineage_columns(number, batch.num_rows()).map_err(internal)?;
        let kept = self.kept(columns, batch.num_rows(), kept_rows, lineage)?;
        let quarantined = quarantine::rows(batch, &verdict, &self.columns, &self.source_uri, first_row);
        let quarantined = quarantined.map_err(internal)?;
        let counts = RowCounts {
            read: whole(verdict.rows()),
            kept: whole(kept.num_rows()),
            quarantined: verdict.quarantined.as_ref().map_or(0, count),
            filtered: verdict.filtered(),
            written: whole(kept.num_rows()),
        };
        if !counts.conserved() {
            return Err(Error::Internal(format!("{}: rows were lost at row {first_row}: {counts:?}", self.source_uri)));
        }
        let (reasons, dropped) = (verdict.reason_counts(), verdict.dropped_counts());
        Ok(Cleaned { kept, quarantined, counts, reasons, dropped, warnings: verdict.warnings, partitions, coerced })
    }

    fn expect_schema(&self, batch: &RecordBatch) -> Result<()> {
        let (found, wanted) = (batch.schema_ref(), &self.source_schema);
        if Arc::ptr_eq(found, wanted) {
            return Ok(());
        }
        let same = found.fields().len() == wanted.fields().len()
            && found.fields().iter().zip(wanted.fields()).all(|(found, wanted)| {
                Arc::ptr_eq(found, wanted)
                    || (found.name() == wanted.name() && coded::represents(found.data_type(), wanted.data_type()))
            });
        if same {
            return Ok(());
        }
        Err(Error::source(
            &self.source_uri,
            "a batch has not the schema that the source announced: is the file corrupt?",
        ))
    }

    /// The kept rows under the output's schema, whose columns say which of them allow nulls.
    fn kept(
        &self,
        columns: Vec<ArrayRef>,
        rows: usize,
        kept_rows: Option<Mask>,
        lineage: Vec<ArrayRef>,
    ) -> Result<SelectedRows> {
        let mut columns = match &self.stored {
            Some(stored) => stored.iter().filter_map(|at| columns.get(*at)).cloned().collect(),
            None => columns,
        };
        columns.extend(lineage);
        let mut schema = self.output_schema.clone();
        let same = |(field, column): (&Arc<Field>, &ArrayRef)| field.data_type() == column.data_type();
        if !schema.fields().iter().zip(&columns).all(same) {
            let found = schema.fields().iter().zip(&columns);
            let found = found.map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()));
            schema = Arc::new(Schema::new(found.collect::<Vec<_>>()));
        }
        SelectedRows::try_new(schema, columns, rows, kept_rows).map_err(|error| Error::source(&self.source_uri, error))
    }
}

/// The columns whose type is not the source's.
fn coercions(columns: &[Column], source: &Schema) -> Vec<Coerced> {
    let found = |column: &Column| Some(source.fields().get(column.source?)?.data_type().clone());
    let cast = columns.iter().filter_map(|column| Some((&column.field, found(column)?)));
    let cast = cast.filter(|(field, from)| field.data_type() != from);
    let coerced = |(field, from): (&Field, arrow::datatypes::DataType)| Coerced {
        column: field.name().clone(),
        from: types::describe(&from),
        to: types::describe(field.data_type()),
        widening: is_widening(&from, field.data_type()),
        rows: 0,
        unfit: 0,
    };
    cast.map(coerced).collect()
}

/// The output's columns before derived ones.
fn conforming_columns(dataset: &Dataset, source: &Schema, drift: &mut Vec<Drift>) -> Result<Vec<Column>, String> {
    let spec = &dataset.spec.schema;
    let resolved = resolve::resolve(spec, source, drift)?;
    let mut columns = Vec::with_capacity(spec.columns.len() + resolved.extras.len());
    let notation = dataset.notation();
    for (column, place) in spec.columns.iter().zip(&resolved.contract) {
        let found = place.and_then(|at| Some((at, source.fields().get(at)?.data_type())));
        columns.push(Column::contract(column, found, &notation)?);
        note_coercion(drift, &columns, found.map(|(_, from)| from));
    }
    let rules = CompiledRules::new(&spec.casts)?;
    for at in resolved.extras {
        let Some(field) = source.fields().get(at) else { continue };
        let column = match rules.first_match(field) {
            Some(rule) => Column::cast(field, at, rule, &notation, spec.on_cast_error == OnCastError::Null)
                .map_err(|problem| format!("column `{}`: {problem}", field.name()))?,
            None => Column::kept(field, at),
        };
        columns.push(column);
        note_coercion(drift, &columns, Some(field.data_type()));
    }
    Ok(columns)
}

fn note_coercion(drift: &mut Vec<Drift>, columns: &[Column], from: Option<&arrow::datatypes::DataType>) {
    if let (Some(column), Some(from)) = (columns.last(), from)
        && column.field.data_type() != from
    {
        drift.push(resolve::coerced(column.field.name(), from, column.field.data_type()));
    }
}

/// The cast rules with their patterns.
struct CompiledRules<'a>(Vec<(Option<globset::GlobMatcher>, &'a CastRule)>);

impl<'a> CompiledRules<'a> {
    fn new(rules: &'a [CastRule]) -> Result<Self, String> {
        let compiled = rules.iter().map(|rule| {
            let glob = match &rule.column {
                Some(pattern) => {
                    let glob = globset::GlobBuilder::new(pattern).case_insensitive(true).build();
                    Some(glob.map_err(|error| format!("cast rule: {error}"))?.compile_matcher())
                }
                None => None,
            };
            Ok((glob, rule))
        });
        compiled.collect::<Result<_, String>>().map(Self)
    }

    fn first_match(&self, field: &Field) -> Option<&'a CastRule> {
        let first = self.fitting(field).next()?;
        self.0.get(first).map(|(_, rule)| *rule)
    }

    /// The rules that fit a column, by index. The first of them applies.
    fn fitting(&self, field: &Field) -> impl Iterator<Item = usize> {
        let fits = move |(glob, rule): &(Option<globset::GlobMatcher>, &CastRule)| {
            glob.as_ref().is_none_or(|glob| glob.is_match(field.name()))
                && rule.from.as_ref().is_none_or(|from| types::matches(from, field.data_type()))
        };
        self.0.iter().enumerate().filter(move |(_, entry)| fits(entry)).map(|(index, _)| index)
    }
}

fn whole(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
