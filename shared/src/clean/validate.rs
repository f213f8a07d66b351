//! What can be told of a dataset's casts and SQL before any source is seen.

use arrow::datatypes::Field;

use super::{column, layout, program, types, unknown};
use crate::dataset::{Dataset, Notation};
use crate::read::text::encoding;
use crate::{Error, Result};

/// Checks a dataset's casts, defaults and SQL: syntax and functions always; columns and types where the contract tells
/// them. Without a contract, or one that keeps extra columns, a name that it lacks may be the source's:
/// [`Cleaner::new`](super::Cleaner::new) tells.
///
/// # Errors
///
/// [`Error::Dataset`] with the file's line and column, each problem on a line of its own.
pub fn validate(dataset: &Dataset) -> Result<()> {
    let spec = &dataset.spec.schema;
    let mut problems = Vec::new();
    if let Some(csv) = &dataset.spec.csv
        && let Err(what) = encoding(csv)
    {
        problems.push(program::located(dataset, "csv.encoding", None, &what));
    }
    for (index, rule) in spec.casts.iter().enumerate() {
        let from = rule.from.as_ref().and_then(types::arrow_type);
        let planned = match from {
            Some(from) => column::plan_cast(&from, &rule.to, rule.round, &Notation::default()).map(drop),
            None => column::output_type(&rule.to).map(drop),
        };
        if let Err(what) = planned {
            problems.push(program::located(dataset, &format!("schema.casts[{index}].to"), None, &what));
        }
    }
    let mut fields = Vec::new();
    for (index, declared) in spec.columns.iter().enumerate() {
        let path = format!("schema.columns[{index}]");
        match column::output_type(&declared.data_type) {
            Err(what) => problems.push(program::located(dataset, &format!("{path}.type"), None, &what)),
            Ok(to) => {
                if let Err(what) = column::default_value(declared, &to) {
                    problems.push(program::located(dataset, &format!("{path}.default"), None, &what));
                }
                fields.push(Field::new(&declared.name, to, true));
            }
        }
    }
    if problems.is_empty() {
        let open = unknown::is_open(dataset);
        let program = program::compile(dataset, &fields, open);
        let mut row = fields;
        match program {
            Ok(program) => row = program.schema.fields().iter().map(|field| field.as_ref().clone()).collect(),
            Err(Error::Dataset(text)) => problems.push(text),
            Err(error) => return Err(error),
        }
        let unsure = open || !problems.is_empty();
        row.extend(layout::lineage_fields(dataset.spec.output.lineage));
        match crate::reports::validate(dataset, row, unsure) {
            Err(Error::Dataset(text)) => problems.push(text),
            checked => checked?,
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Error::Dataset(problems.join("\n"))),
    }
}
