//! What the output says of a row beyond its values: where it came from, and which partition it belongs to.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, DictionaryArray, Int32Array, StringArray, UInt64Array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Int32Type, SchemaRef};
use arrow::error::ArrowError;

use super::Cleaner;
use super::quarantine::{ROW, SOURCE};
use super::sql::{Compiled, Problem};
use super::types;
use super::verdict::Mask;
use crate::dataset::{Lineage, PartitionSpec, closest};

/// The run's id.
pub const RUN: &str = "_rowmill_run";

/// One level of a partition's folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionColumn {
    /// What stands before the `=`.
    pub name: String,
    /// The value as the dataset's file has it.
    pub expr: String,
}

/// Where a partition's value comes from.
#[derive(Debug)]
pub(super) enum Partition {
    /// A column of the row, by place. It is no column of the part: the folder tells it.
    Column(usize),
    Sql(Box<Compiled>),
}

/// The lineage columns of the output.
pub(super) fn lineage_fields(lineage: Lineage) -> Vec<Field> {
    let wanted = [
        (lineage.source, SOURCE, types::dictionary_type()),
        (lineage.row, ROW, DataType::UInt64),
        (lineage.run, RUN, types::dictionary_type()),
    ];
    let wanted = wanted.into_iter().filter(|(wanted, ..)| *wanted);
    wanted.map(|(_, name, data_type)| Field::new(name, data_type, false)).collect()
}

impl Cleaner {
    /// The lineage columns of a batch of `rows` rows. `number` tells where in the source a row was.
    pub(super) fn lineage_columns(
        &self,
        number: impl Fn(usize) -> u64,
        rows: usize,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        if self.lineage.source {
            columns.push(constant(&self.source_uri, rows)?);
        }
        if self.lineage.row {
            columns.push(Arc::new(UInt64Array::from_iter_values((0..rows).map(number))));
        }
        if self.lineage.run {
            columns.push(constant(&self.run_id, rows)?);
        }
        Ok(columns)
    }
}

impl Cleaner {
    /// The columns of a row, as a report sees them: conformed, derived, and lineage; also those that only folders tell.
    pub(crate) fn row_fields(&self) -> Vec<Field> {
        let own = self.program.schema.fields().iter().map(|field| field.as_ref().clone());
        own.chain(lineage_fields(self.lineage)).collect()
    }

    /// One column of [`Cleaner::row_fields`], of kept rows and their partitions' values.
    pub(crate) fn row_column<'a>(
        &self,
        at: usize,
        kept: &'a [ArrayRef],
        partitions: &'a [ArrayRef],
    ) -> Option<&'a ArrayRef> {
        let Some(stored) = &self.stored else { return kept.get(at) };
        let own = self.program.schema.fields().len();
        if at >= own {
            return kept.get(stored.len() + at - own);
        }
        match stored.binary_search(&at) {
            Ok(place) => kept.get(place),
            Err(_) => {
                let told = |(_, partition): &(PartitionColumn, Partition)| matches!(partition, Partition::Column(c) if *c == at);
                partitions.get(self.program.partitions.iter().position(told)?)
            }
        }
    }
}

/// One text in every row, stored once.
fn constant(text: &str, rows: usize) -> Result<ArrayRef, ArrowError> {
    let values = Arc::new(StringArray::from_iter_values([text]));
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from(vec![0; rows]), values)?))
}

/// The values of the kept rows.
pub(super) fn kept_values(values: Vec<ArrayRef>, kept: Option<&Mask>) -> Result<Vec<ArrayRef>, ArrowError> {
    let Some(kept) = kept else { return Ok(values) };
    let kept = BooleanArray::new(kept.clone(), None);
    values.iter().map(|array| filter(array, &kept)).collect()
}

/// The columns of the row that reach the part: all but those that folders tell. `None`: all.
pub(super) fn stored_columns(fields: usize, partitions: &[(PartitionColumn, Partition)]) -> Option<Vec<usize>> {
    let told =
        |at: &usize| partitions.iter().any(|(_, partition)| matches!(partition, Partition::Column(c) if c == at));
    let stored: Vec<usize> = (0..fields).filter(|at| !told(at)).collect();
    (stored.len() < fields).then_some(stored)
}

/// The column that a partition names, among the row's; `None` where it may be one not known yet.
pub(super) fn find_column(name: &str, fields: &[Field], open: bool) -> Result<Option<usize>, Problem> {
    let found = fields.iter().position(|field| field.name() == name);
    if found.is_some() || open {
        return Ok(found);
    }
    let hint = match closest(name, fields.iter().map(|field| field.name().as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "name a column of the output, or write { name = \"…\", expr = \"…\" }".to_owned(),
    };
    Err(Problem { at: None, what: format!("unknown column `{name}`: {hint}") })
}

/// Refuses values that make no folder's name.
pub(super) fn nameable(entry: &PartitionSpec, found: &DataType) -> Result<(), Problem> {
    let logical = types::logical_type(found);
    let fits = logical.is_integer()
        || matches!(
            logical,
            DataType::Boolean
                | DataType::Utf8
                | DataType::Date32
                | DataType::Decimal128(..)
                | DataType::Timestamp(_, None)
        );
    if fits {
        return Ok(());
    }
    let hint = match logical {
        DataType::Timestamp(..) => "write date(…) of it",
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "make it whole, such as cast(… as bigint)",
        _ => "partition by text, a whole number, a date or a bool",
    };
    let what = format!("partition `{}` is {}, which names no folder: {hint}", entry.name(), types::describe(found));
    Err(Problem { at: None, what })
}

/// Why lineage columns cannot stand beside the output's own.
pub(super) fn clash(lineage: &[Field], fields: &[Field]) -> Result<(), String> {
    let clash = |own: &&Field| lineage.iter().any(|field| field.name().eq_ignore_ascii_case(own.name()));
    match fields.iter().find(clash) {
        Some(field) => Err(format!(
            "the output has a column `{}` already: rename it in [schema] columns, or leave it out of output.lineage",
            field.name()
        )),
        None => Ok(()),
    }
}

/// The part's columns, for the error where none are left.
pub(super) fn expect_columns(schema: &SchemaRef) -> Result<(), String> {
    match schema.fields().is_empty() {
        true => Err("partition_by names every column of the output, so that none is left for the parts".to_owned()),
        false => Ok(()),
    }
}
