//! The dataset's expressions, compiled for one schema: derived columns, expectations and the filter.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::evaluate::internal;
use super::layout::{self, Partition};
use super::sql::{Compiled, Problem, Scope};
use super::types;
use crate::dataset::{Action, Dataset, PartitionSpec, TransformSpec};
use crate::{Error, Result};

/// The planner recurses, and unoptimised takes up to 80 KiB of stack for one level of an expression, of which
/// `sql::MAX_OPERATIONS` allows 500. Memory that is not touched is not used.
const PLANNER_STACK_BYTES: usize = 64 << 20;

/// What runs over the conformed columns. Each expression sees the conformed columns and every derived column; a
/// derived column sees those before it.
#[derive(Debug)]
pub(super) struct Program {
    pub derived: Vec<Derived>,
    pub expectations: Vec<Check>,
    pub filter: Option<Compiled>,
    /// The levels of the output's partitions, by name.
    pub partitions: Vec<(layout::PartitionColumn, Partition)>,
    /// Conformed and derived columns, all nullable: a row on its way to quarantine has nulls anywhere.
    pub schema: Arc<Schema>,
}

#[derive(Debug)]
pub(super) struct Derived {
    pub field: Field,
    pub value: Compiled,
}

#[derive(Debug)]
pub(super) struct Check {
    pub name: String,
    pub action: Action,
    pub condition: Compiled,
}

/// Compiles a dataset's expressions against the conformed columns. With `open`, columns beyond those may exist, and
/// what names them is left out of the program: only its syntax and functions were checked.
///
/// # Errors
///
/// [`Error::Dataset`] with the file's line and column for every expression that is wrong.
pub(super) fn compile(dataset: &Dataset, columns: &[Field], open: bool) -> Result<Program> {
    let spec = &dataset.spec;
    let nothing = spec.expectations.is_empty()
        && spec.transform == TransformSpec::default()
        && spec.output.partition_by.is_empty();
    if nothing {
        return compile_here(dataset, columns, open);
    }
    on_planner_stack(|| compile_here(dataset, columns, open))
}

/// Calls the planner on a thread with the stack that it needs. A panic is its error.
pub(crate) fn on_planner_stack<T: Send>(plan: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let planner = std::thread::Builder::new().name("sql".to_owned()).stack_size(PLANNER_STACK_BYTES);
        let planner = planner.spawn_scoped(scope, plan).map_err(internal)?;
        planner.join().unwrap_or_else(|_| Err(Error::Internal("the SQL planner panicked".to_owned())))
    })
}

fn compile_here(dataset: &Dataset, columns: &[Field], open: bool) -> Result<Program> {
    let mut compiler = Compiler {
        fields: columns.iter().map(|field| field.clone().with_nullable(true)).collect(),
        open,
        dataset,
        problems: Vec::new(),
    };
    let mut derived = Vec::new();
    for (index, column) in dataset.spec.transform.columns.iter().enumerate() {
        let path = format!("transform.columns[{index}]");
        if let Some(twin) = compiler.fields.iter().find(|field| field.name().eq_ignore_ascii_case(&column.name)) {
            let what = format!("the source has a column `{}` already: name this one otherwise", twin.name());
            compiler.report(&format!("{path}.name"), Problem { at: None, what });
            continue;
        }
        if let Some(value) = compiler.expression(&format!("{path}.expr"), &column.expr, false) {
            let field = Field::new(&column.name, value.data_type.clone(), true);
            compiler.fields.push(field.clone());
            derived.push(Derived { field, value });
        }
    }
    let mut expectations = Vec::new();
    for (index, expectation) in dataset.spec.expectations.iter().enumerate() {
        let path = format!("expectations[{index}].expr");
        if let Some(condition) = compiler.expression(&path, &expectation.expr, true) {
            expectations.push(Check { name: expectation.name.clone(), action: expectation.action, condition });
        }
    }
    let filter = dataset.spec.transform.filter.as_deref();
    let filter = filter.and_then(|filter| compiler.expression("transform.filter", filter, true));
    let entries = dataset.spec.output.partition_by.iter().enumerate();
    let partitions = entries.filter_map(|(index, entry)| compiler.partition(index, entry)).collect();
    let Compiler { fields, problems, .. } = compiler;
    if problems.is_empty() {
        Ok(Program { derived, expectations, filter, partitions, schema: Arc::new(Schema::new(fields)) })
    } else {
        Err(Error::Dataset(problems.join("\n")))
    }
}

struct Compiler<'a> {
    fields: Vec<Field>,
    open: bool,
    dataset: &'a Dataset,
    problems: Vec<String>,
}

impl Compiler<'_> {
    fn expression(&mut self, path: &str, sql: &str, boolean: bool) -> Option<Compiled> {
        let schema = Arc::new(Schema::new(self.fields.clone()));
        let scope = if self.open { Scope::open(schema) } else { Scope::closed(schema) };
        let compiled = if boolean { scope.compile_boolean(sql) } else { scope.compile(sql).and_then(storable) };
        compiled.unwrap_or_else(|problem| {
            self.report(path, problem);
            None
        })
    }

    fn partition(&mut self, index: usize, entry: &PartitionSpec) -> Option<(layout::PartitionColumn, Partition)> {
        let path = match entry {
            PartitionSpec::Sql { named: true, .. } => format!("output.partition_by[{index}].expr"),
            _ => format!("output.partition_by[{index}]"),
        };
        let (partition, data_type) = match entry {
            PartitionSpec::Column(name) => match layout::find_column(name, &self.fields, self.open) {
                Ok(place) => (Partition::Column(place?), self.fields.get(place?)?.data_type().clone()),
                Err(problem) => {
                    self.report(&path, problem);
                    return None;
                }
            },
            PartitionSpec::Sql { name, expr, .. } => {
                if let Some(twin) = self.fields.iter().find(|field| field.name().eq_ignore_ascii_case(name)) {
                    let what = format!(
                        "the output has a column `{}` already: write {{ name = \"…\", expr = \"{expr}\" }} with another name",
                        twin.name()
                    );
                    self.report(&path, Problem { at: None, what });
                    return None;
                }
                let value = self.expression(&path, expr, false)?;
                let data_type = value.data_type.clone();
                (Partition::Sql(Box::new(value)), data_type)
            }
        };
        if let Err(problem) = layout::nameable(entry, &data_type) {
            self.report(&path, problem);
            return None;
        }
        let column = layout::PartitionColumn { name: entry.name().to_owned(), expr: entry.expr().to_owned() };
        Some((column, partition))
    }

    fn report(&mut self, path: &str, problem: Problem) {
        self.problems.push(located(self.dataset, path, problem.at, &problem.what));
    }
}

/// The text of a problem with its place in the dataset's file.
pub(crate) fn located(dataset: &Dataset, path: &str, at: Option<crate::dataset::Position>, what: &str) -> String {
    match dataset.error_at(path, at, what) {
        Error::Dataset(text) => text,
        other => other.to_string(),
    }
}

/// A derived column's value in a type that every reader of the output knows.
pub(crate) fn storable(compiled: Option<Compiled>) -> Result<Option<Compiled>, Problem> {
    let Some(compiled) = compiled else { return Ok(None) };
    let data_type = match types::logical_type(&compiled.data_type) {
        DataType::Null => {
            let what = "the expression is always NULL and has no type: give it one with CAST".to_owned();
            return Err(Problem { at: None, what });
        }
        DataType::Interval(_) | DataType::Duration(_) => {
            let what = "the expression gives an interval, which Parquet readers do not share: \
                        make it a number, such as date_part('epoch', a) - date_part('epoch', b)";
            return Err(Problem { at: None, what: what.to_owned() });
        }
        DataType::Utf8 => DataType::Utf8,
        DataType::Binary => DataType::Binary,
        _ => compiled.data_type.clone(),
    };
    Ok(Some(Compiled { data_type, ..compiled }))
}

/// The columns that an expression reads, by name, for messages.
pub(super) fn names<'a>(schema: &'a Schema, columns: &BTreeSet<usize>) -> Vec<&'a str> {
    columns.iter().filter_map(|at| schema.fields().get(*at)).map(|field| field.name().as_str()).collect()
}
