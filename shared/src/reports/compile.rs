//! A report of the dataset's file, compiled for the columns of a row.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_sql::sqlparser::ast::{Expr as Ast, Spanned, VisitMut, VisitorMut};
use sha2::{Digest, Sha256};

use super::extract::{Aggregate, Aggregates};
use crate::clean::Cleaner;
use crate::clean::functions::{callable, spelt_out};
use crate::clean::program::{located, on_planner_stack, storable};
use crate::clean::sql::{self, Compiled, Problem, Scope};
use crate::clean::types::logical_type;
use crate::dataset::report::group_path;
use crate::dataset::{Dataset, ReportSpec};
use crate::{Error, Result};

/// A report, compiled.
#[derive(Debug)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// The columns that it reads, logical types, all nullable: those of the batches that it takes.
    pub(super) rows: SchemaRef,
    /// Which rows are counted.
    pub(super) condition: Option<Compiled>,
    pub(super) groups: Vec<(Field, Compiled)>,
    pub(super) inputs: Vec<Compiled>,
    pub(super) aggregates: Vec<Aggregate>,
    /// Groups and aggregates.
    pub(super) told: SchemaRef,
    /// Over `told`.
    pub(super) measures: Vec<(Field, Compiled)>,
    /// Over `told` and the measures behind.
    pub(super) having: Option<Compiled>,
    /// What tells whether figures are of this report: they merge where it is the same.
    pub(super) definition: String,
}

/// Something wrong with a report: the key path in the dataset's file, and what.
type Wrong = (String, Problem);

/// Checks the reports of a dataset whose rows have these columns. With `open`, there may be others.
///
/// # Errors
///
/// [`Error::Dataset`] with the file's line and column, each problem on a line of its own.
pub fn validate(dataset: &Dataset, columns: Vec<Field>, open: bool) -> Result<()> {
    if dataset.spec.reports.is_empty() {
        return Ok(());
    }
    let rows = logical(columns);
    let problems = on_planner_stack(|| {
        let wrong = (0..dataset.spec.reports.len()).filter_map(|index| {
            let scope = if open { Scope::open(rows.clone()) } else { Scope::closed(rows.clone()) };
            let spec = dataset.spec.reports.get(index)?;
            compile_over(spec, index, &scope).err()
        });
        Ok(wrong.flatten().map(|(path, problem)| located(dataset, &path, problem.at, &problem.what)).collect())
    })?;
    let problems: Vec<String> = problems;
    if problems.is_empty() { Ok(()) } else { Err(Error::Dataset(problems.join("\n"))) }
}

/// Checks the reports of a dataset for the rows that `cleaner` gives of one source.
///
/// # Errors
///
/// As [`validate`].
pub fn validate_for(dataset: &Dataset, cleaner: &Cleaner) -> Result<()> {
    validate(dataset, cleaner.row_fields(), false)
}

impl Report {
    /// Compiles the report with this index for rows of exactly these columns, of which it then takes those that it reads.
    ///
    /// # Errors
    ///
    /// [`Error::Dataset`] as [`validate`].
    pub fn compile(dataset: &Dataset, index: usize, columns: Vec<Field>) -> Result<Self> {
        let rows = logical(columns);
        let compiled = on_planner_stack(|| {
            let Some(spec) = dataset.spec.reports.get(index) else {
                return Err(Error::Internal(format!("dataset {}: no report {index}", dataset.spec.name)));
            };
            let told = |wrong: Vec<Wrong>| {
                let lines = wrong.iter().map(|(path, problem)| located(dataset, path, problem.at, &problem.what));
                Error::Dataset(lines.collect::<Vec<_>>().join("\n"))
            };
            let wide = compile_over(spec, index, &Scope::closed(rows.clone())).map_err(told)?;
            let Some(wide) = wide else { return Ok(None) };
            let read = wide.read();
            if read.len() == rows.fields().len() {
                return Ok(Some(wide));
            }
            let narrow = rows.project(&read.into_iter().collect::<Vec<_>>());
            let narrow = narrow.map_err(|error| Error::Internal(format!("report {}: {error}", spec.name)))?;
            compile_over(spec, index, &Scope::closed(Arc::new(narrow))).map_err(told)
        })?;
        compiled.ok_or_else(|| Error::Internal(format!("dataset {}: report {index} is unsure", dataset.spec.name)))
    }

    /// The columns of a row that it reads.
    fn read(&self) -> BTreeSet<usize> {
        let groups = self.groups.iter().map(|(_, group)| group);
        let all = self.condition.iter().chain(groups).chain(&self.inputs);
        all.flat_map(|expr| expr.columns.iter().copied()).collect()
    }

    /// The result's columns: groups, then measures.
    pub fn columns(&self) -> Vec<Field> {
        self.groups.iter().chain(&self.measures).map(|(field, _)| field.clone()).collect()
    }
}

/// Columns as reports read them: without dictionaries and other encodings, and nullable.
fn logical(columns: Vec<Field>) -> SchemaRef {
    let plain = |field: Field| Field::new(field.name(), logical_type(field.data_type()), true);
    Arc::new(Schema::new(columns.into_iter().map(plain).collect::<Vec<_>>()))
}

/// Compiles a report. `None` where some of it names columns that the rows may have and this scope does not know.
fn compile_over(spec: &ReportSpec, index: usize, rows: &Scope) -> Result<Option<Report>, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let mut sure = true;
    let mut condition = None;
    let mut texts = Vec::new();
    if let Some(text) = &spec.condition {
        let path = format!("reports[{index}].where");
        let compiled = row_expression(rows, text, &mut texts).and_then(sql::boolean);
        condition = settle(compiled, path, &mut sure, &mut wrong);
    }
    texts.push(String::from("group by"));
    let mut groups = Vec::new();
    for (at, group) in spec.group_by.iter().enumerate() {
        let compiled = row_expression(rows, &group.expr, &mut texts).and_then(storable).and_then(groupable);
        if let Some(compiled) = settle(compiled, group_path(index, at, group), &mut sure, &mut wrong) {
            groups.push((Field::new(&group.name, compiled.data_type.clone(), true), compiled));
        }
    }
    let mut aggregates = Aggregates::default();
    let mut extracted = Vec::new();
    for (at, measure) in spec.measures.iter().enumerate() {
        let path = format!("reports[{index}].measures[{at}].expr");
        let ast = aggregates.extract(rows, &measure.expr);
        extracted.push((path.clone(), settle(ast, path, &mut sure, &mut wrong)));
    }
    let having_path = format!("reports[{index}].having");
    let having = spec.having.as_deref().map(|text| aggregates.extract(rows, text));
    let having = having.and_then(|ast| settle(ast, having_path.clone(), &mut sure, &mut wrong));
    if !sure || !wrong.is_empty() {
        return if wrong.is_empty() { Ok(None) } else { Err(wrong) };
    }
    let told: Vec<Field> = groups.iter().map(|(field, _)| field.clone()).chain(aggregates.fields()).collect();
    let told = Arc::new(Schema::new(told));
    let scope = Scope::closed(told.clone());
    let mut measures = Vec::new();
    for ((path, ast), measure) in extracted.into_iter().zip(&spec.measures) {
        let Some(ast) = ast else { continue };
        let compiled = over_groups(&scope, rows, ast).and_then(storable);
        if let Some(compiled) = settle(compiled, path, &mut sure, &mut wrong) {
            measures.push((Field::new(&measure.name, compiled.data_type.clone(), true), compiled));
        }
    }
    let mut compiled_having = None;
    if let Some(ast) = having.filter(|_| wrong.is_empty()) {
        let fields = told.fields().iter().map(|field| field.as_ref().clone());
        let fields = fields.chain(measures.iter().map(|(field, _)| field.clone())).collect::<Vec<_>>();
        let scope = Scope::closed(Arc::new(Schema::new(fields)));
        let compiled = over_groups(&scope, rows, ast).and_then(sql::boolean);
        compiled_having = settle(compiled, having_path, &mut sure, &mut wrong);
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let Aggregates { found, inputs } = aggregates;
    texts.push(String::from("aggregates"));
    texts.extend(found.iter().map(|aggregate| aggregate.text.clone()));
    Ok(Some(Report {
        name: spec.name.clone(),
        rows: rows.schema().clone(),
        condition,
        groups,
        inputs,
        aggregates: found,
        told,
        measures,
        having: compiled_having,
        definition: definition(&texts),
    }))
}

fn settle<T>(result: Result<Option<T>, Problem>, path: String, sure: &mut bool, wrong: &mut Vec<Wrong>) -> Option<T> {
    match result {
        Ok(Some(value)) => return Some(value),
        Ok(None) => *sure = false,
        Err(problem) => wrong.push((path, problem)),
    }
    None
}

/// Compiles an expression over a row, and notes its text with columns spelt as they are.
fn row_expression(rows: &Scope, text: &str, texts: &mut Vec<String>) -> Result<Option<Compiled>, Problem> {
    let mut ast = sql::parse(text)?;
    if !rows.resolve_names(&mut ast)? {
        return Ok(None);
    }
    texts.push(ast.to_string());
    let compiled = rows.logical(ast).and_then(|logical| rows.physical(logical));
    compiled.map(Some).map_err(|error| sql::planning_problem(&error))
}

/// Refuses groups of nested values.
fn groupable(compiled: Option<Compiled>) -> Result<Option<Compiled>, Problem> {
    let Some(compiled) = compiled else { return Ok(None) };
    let data_type = logical_type(&compiled.data_type);
    if data_type.is_nested() {
        let what = "rows are grouped by plain values: name a field of the struct, or an element of the list";
        return Err(Problem { at: None, what: what.to_owned() });
    }
    Ok(Some(Compiled { data_type, ..compiled }))
}

/// Compiles what is left of an expression once its aggregates are taken out.
fn over_groups(told: &Scope, rows: &Scope, mut ast: Ast) -> Result<Option<Compiled>, Problem> {
    let mut outside = Outside { told: told.schema(), rows: rows.schema() };
    if let ControlFlow::Break(problem) = VisitMut::visit(&mut ast, &mut outside) {
        return Err(problem);
    }
    told.compile_parsed(ast)
}

/// Tells of columns of a row that stand outside of an aggregate.
struct Outside<'a> {
    told: &'a Schema,
    rows: &'a Schema,
}

impl VisitorMut for Outside<'_> {
    type Break = Problem;

    fn pre_visit_expr(&mut self, expr: &mut Ast) -> ControlFlow<Problem> {
        if let Ast::Function(function) = expr
            && spelt_out(function).is_none()
            && let Err(what) = callable(function)
        {
            return ControlFlow::Break(Problem { at: sql::position(function.name.span().start), what });
        }
        let Ast::Identifier(ident) = expr else { return ControlFlow::Continue(()) };
        let has = |schema: &Schema| schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(&ident.value));
        if has(self.told) || !has(self.rows) {
            return ControlFlow::Continue(());
        }
        let name = &ident.value;
        let what = format!(
            "column `{name}` stands outside of an aggregate: put it in one, such as avg({name}), or in group_by"
        );
        ControlFlow::Break(Problem { at: sql::position(ident.span.start), what })
    }
}

/// SHA-256 of the texts, each behind its length: 64 hex digits.
fn definition(texts: &[String]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_be_bytes());
        hash.update(text.as_bytes());
    }
    crate::ledger::identity::hex(&hash.finalize(), 32)
}
