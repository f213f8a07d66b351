//! Whether all rows pass as they are, told from the columns that matter.
//!
//! A column is looked at only where its values may change or an expression reads it. What a row comes to depends on its
//! values alone, so a column that is judged by itself is judged by its distinct values; columns that one expression reads
//! together are judged row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::check::Placeholders;
use super::column::{Column, Passes};
use super::evaluate::internal;
use super::{Cleaner, conforming_columns, program};
use crate::dataset::{Dataset, Lineage};
use crate::{Error, Result};

/// How to tell whether rows of a source pass unchanged.
#[derive(Debug)]
pub struct Untouched {
    /// Columns that are judged each by its distinct values.
    pub by_value: Inspector,
    /// Columns that are judged together, row by row.
    pub by_row: Inspector,
    /// Both, row by row: decides where the distinct values say no, for a value may be listed and not used.
    pub all: Inspector,
}

/// Looks at some columns of a source.
#[derive(Debug)]
pub struct Inspector {
    /// The columns, by their place in the source, ascending: those of the batches to judge.
    pub columns: Vec<usize>,
    cleaner: Cleaner,
    /// The places among them of those that may come out changed.
    changing: Vec<usize>,
}

impl Inspector {
    /// The schema of the batches to judge.
    pub fn schema(&self) -> &SchemaRef {
        &self.cleaner.source_schema
    }

    /// Whether every row of the batch passes unchanged: then how often it broke expectations that only warn. A row that
    /// ends the run does not pass.
    pub fn pass(&self, batch: &RecordBatch, first_row: u64) -> Result<Option<BTreeMap<String, u64>>> {
        if self.columns.is_empty() {
            return Ok(Some(BTreeMap::new()));
        }
        let cleaned = match self.cleaner.clean(batch, first_row) {
            Ok(cleaned) => cleaned,
            Err(Error::Contract(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if cleaned.counts.kept != cleaned.counts.read {
            return Ok(None);
        }
        for &at in &self.changing {
            let (Some(after), Some(before)) = (cleaned.kept.columns().get(at), batch.columns().get(at)) else {
                return Err(Error::Internal(format!("{}: a column was lost", self.cleaner.source_uri)));
            };
            if cast(after, before.data_type()).map_err(internal)? != before.clone() {
                return Ok(None);
            }
        }
        Ok(Some(cleaned.warnings))
    }
}

impl Cleaner {
    /// How to tell whether rows pass unchanged. `None` where they never do: a column is made, moved, renamed or of
    /// another type, or partitions take the rows. `dataset` is the one that this was compiled from.
    pub fn untouched(&self, dataset: &Dataset) -> Result<Option<Untouched>> {
        if !self.partitions.is_empty() || self.lineage != Lineage::default() {
            return Ok(None);
        }
        let fields = self.source_schema.fields();
        let in_place = |(at, (column, field)): (usize, (&Column, &Arc<Field>))| {
            column.source == Some(at) && column.field.name() == field.name()
        };
        let same_columns = self.columns.len() == fields.len() && self.program.derived.is_empty();
        if !same_columns || !self.columns.iter().zip(fields).enumerate().all(in_place) {
            return Ok(None);
        }
        let mut changing = BTreeSet::new();
        for (at, (column, field)) in self.columns.iter().zip(fields).enumerate() {
            match column.passes(field) {
                Passes::Always => {}
                Passes::ByValue => drop(changing.insert(at)),
                Passes::Never => return Ok(None),
            }
        }
        let (mut by_value, mut by_row) = (changing.clone(), BTreeSet::new());
        let expected = self.program.expectations.iter().map(|check| &check.condition);
        for condition in expected.chain(&self.program.filter) {
            match condition.columns.len() {
                0 => return Ok(None),
                1 => by_value.extend(&condition.columns),
                _ => by_row.extend(&condition.columns),
            }
        }
        let all: BTreeSet<usize> = by_value.union(&by_row).copied().collect();
        by_value.retain(|at| !by_row.contains(at));
        Ok(Some(Untouched {
            by_value: self.inspector(dataset, &by_value, &changing)?,
            by_row: self.inspector(dataset, &by_row, &changing)?,
            all: self.inspector(dataset, &all, &changing)?,
        }))
    }

    fn inspector(&self, dataset: &Dataset, columns: &BTreeSet<usize>, changing: &BTreeSet<usize>) -> Result<Inspector> {
        let changing = columns.iter().enumerate().filter(|(_, column)| changing.contains(column)).map(|(at, _)| at);
        Ok(Inspector {
            columns: columns.iter().copied().collect(),
            cleaner: self.narrowed(dataset, columns)?,
            changing: changing.collect(),
        })
    }

    /// The cleaner of a source that has these columns only, with the expressions that read no others.
    fn narrowed(&self, dataset: &Dataset, columns: &BTreeSet<usize>) -> Result<Self> {
        let broken = |problem: String| Error::Contract(format!("{}: {problem}", self.source_uri));
        let mut dataset = dataset.clone();
        let within = |read: &BTreeSet<usize>| read.is_subset(columns);
        let mut checks = self.program.expectations.iter();
        dataset.spec.expectations.retain(|_| checks.next().is_some_and(|check| within(&check.condition.columns)));
        if !self.program.filter.as_ref().is_some_and(|filter| within(&filter.columns)) {
            dataset.spec.transform.filter = None;
        }
        let places: Vec<usize> = columns.iter().copied().collect();
        let source = self.source_schema.project(&places).map_err(internal)?;
        let every = conforming_columns(&dataset, &self.source_schema, &mut Vec::new()).map_err(broken)?;
        let kept = every.into_iter().enumerate().filter(|(at, _)| columns.contains(at)).map(|(_, column)| column);
        let mut kept: Vec<Column> = kept.collect();
        kept.iter_mut().enumerate().for_each(|(place, column)| column.source = Some(place));
        let fields: Vec<Field> = kept.iter().map(|column| column.field.clone()).collect();
        Ok(Self {
            source_uri: self.source_uri.clone(),
            source_schema: Arc::new(source),
            program: program::compile(&dataset, &fields, false)?,
            output_schema: Arc::new(Schema::new(fields)),
            columns: kept,
            on_cast_error: self.on_cast_error,
            placeholders: Placeholders::default(),
            drift: Vec::new(),
            coercions: Vec::new(),
            lineage: Lineage::default(),
            run_id: String::new(),
            partitions: Vec::new(),
            stored: None,
            // What it meets the whole cleaner will meet again, and tell.
            warned: AtomicBool::new(true),
        })
    }
}
