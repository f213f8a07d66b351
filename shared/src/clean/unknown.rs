//! Columns that a dataset's SQL names and its contract does not: only a source can tell whether they exist.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::sql::Scope;
use super::{layout, program};
use crate::dataset::report::group_path;
use crate::dataset::{Dataset, ExtraColumns, Format, PartitionSpec, Position, closest};

/// Whether a source may bring columns that the contract does not name. The columns of NDJSON are those of the contract.
pub(super) fn is_open(dataset: &Dataset) -> bool {
    let schema = &dataset.spec.schema;
    let is_ndjson = dataset.spec.source.format == Format::Ndjson;
    schema.columns.is_empty() || (schema.extra_columns == ExtraColumns::Keep && !is_ndjson)
}

/// A line for each column that an expression, a partition or a report of the dataset names and that no contract names:
/// where, with line and column of the dataset's file, and the nearest name of the contract. Empty where the contract tells
/// all columns: then [`validate`](super::validate) refuses other names.
pub fn unknown_columns(dataset: &Dataset) -> Vec<String> {
    if !is_open(dataset) {
        return Vec::new();
    }
    // A parser that panics is told of by `validate`.
    program::on_planner_stack(|| Ok(names(dataset))).unwrap_or_default()
}

fn names(dataset: &Dataset) -> Vec<String> {
    let spec = &dataset.spec;
    let mut names = Names { dataset, known: Vec::new(), told: BTreeSet::new(), lines: Vec::new() };
    names.known.extend(spec.schema.columns.iter().map(|column| column.name.clone()));
    for (index, column) in spec.transform.columns.iter().enumerate() {
        names.read(&format!("transform.columns[{index}].expr"), &column.expr, &[]);
        names.known.push(column.name.clone());
    }
    for (index, expectation) in spec.expectations.iter().enumerate() {
        names.read(&format!("expectations[{index}].expr"), &expectation.expr, &[]);
    }
    if let Some(filter) = &spec.transform.filter {
        names.read("transform.filter", filter, &[]);
    }
    for (index, partition) in spec.output.partition_by.iter().enumerate() {
        let path = format!("output.partition_by[{index}]");
        match partition {
            PartitionSpec::Column(name) if names.known.contains(name) => {}
            PartitionSpec::Column(name) => names.tell(&path, name, None),
            PartitionSpec::Sql { expr, named: true, .. } => names.read(&format!("{path}.expr"), expr, &[]),
            PartitionSpec::Sql { expr, .. } => names.read(&path, expr, &[]),
        }
    }
    names.known.extend(layout::lineage_fields(spec.output.lineage).iter().map(|field| field.name().clone()));
    for (index, report) in spec.reports.iter().enumerate() {
        names.read_report(index, report);
    }
    names.lines
}

struct Names<'a> {
    dataset: &'a Dataset,
    /// Columns that exist in every source.
    known: Vec<String>,
    /// Names told already, in lower case.
    told: BTreeSet<String>,
    lines: Vec<String>,
}

impl Names<'_> {
    /// Tells the names in an expression that are neither known nor among `others`.
    fn read(&mut self, path: &str, expr: &str, others: &[&str]) {
        let names = self.known.iter().map(String::as_str).chain(others.iter().copied());
        let fields: Vec<_> = names.map(|name| Field::new(name, DataType::Null, true)).collect();
        for (name, at) in Scope::open(Arc::new(Schema::new(fields))).unknown_names(expr) {
            self.tell(path, &name, at);
        }
    }

    /// Measures may name groups, and `having` measures besides.
    fn read_report(&mut self, index: usize, report: &crate::dataset::ReportSpec) {
        if let Some(condition) = &report.condition {
            self.read(&format!("reports[{index}].where"), condition, &[]);
        }
        for (at, group) in report.group_by.iter().enumerate() {
            self.read(&group_path(index, at, group), &group.expr, &[]);
        }
        let mut others: Vec<&str> = report.group_by.iter().map(|group| group.name.as_str()).collect();
        for (at, measure) in report.measures.iter().enumerate() {
            self.read(&format!("reports[{index}].measures[{at}].expr"), &measure.expr, &others);
        }
        others.extend(report.measures.iter().map(|measure| measure.name.as_str()));
        if let Some(having) = &report.having {
            self.read(&format!("reports[{index}].having"), having, &others);
        }
    }

    fn tell(&mut self, path: &str, name: &str, at: Option<Position>) {
        if !self.told.insert(name.to_lowercase()) {
            return;
        }
        let hint = match closest(name, self.known.iter().map(String::as_str)) {
            Some(near) => format!(" (did you mean `{near}`?)"),
            None => String::new(),
        };
        let what = format!("`{name}` is named by no contract{hint}");
        self.lines.push(program::located(self.dataset, path, at, &what));
    }
}
