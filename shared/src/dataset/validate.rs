//! What a file's shape cannot say: bounds, names, and values that must fit each other.

use std::collections::BTreeMap;

use globset::Glob;

use super::problem::Problem;
use super::{CastRule, ColumnSpec, ColumnType, DatasetSpec, Otherwise, OutputSpec, PartitionSpec, TransformSpec};
use super::{default_value, layout, report};

const MAX_NAME_BYTES: usize = 64;
const MAX_LABEL_BYTES: usize = 256;
const MAX_EXPR_BYTES: usize = 65_536;
const MAX_PREFIX_BYTES: usize = 256;
const MAX_ENTRIES: usize = 10_000;
const MAX_ROW_GROUP_ROWS: u64 = 1 << 27;
const MAX_SLICE_ROW_GROUPS: u64 = 1_024;
/// Columns of the quarantine's own, and of lineage.
const RESERVED: &str = "_rowmill_";

/// Everything wrong with the file's values, as far as the file alone tells.
pub(super) fn problems(spec: &DatasetSpec) -> Vec<Problem> {
    let mut found = Found::default();
    found.bounded("schema.columns", spec.schema.columns.len());
    found.bounded("schema.casts", spec.schema.casts.len());
    found.bounded("expectations", spec.expectations.len());
    found.bounded("transform.columns", spec.transform.columns.len());
    if !found.0.is_empty() {
        return found.0;
    }
    found.check("name", name(&spec.name));
    for (index, cast) in spec.schema.casts.iter().enumerate() {
        cast_rule(&mut found, &format!("schema.casts[{index}]"), cast);
    }
    for (index, column) in spec.schema.columns.iter().enumerate() {
        contract_column(&mut found, &format!("schema.columns[{index}]"), column);
    }
    contract_names(&mut found, &spec.schema.columns);
    expectations(&mut found, spec);
    transform(&mut found, &spec.transform, &spec.schema.columns);
    output(&mut found, &spec.output);
    for (path, what) in report::problems(&spec.reports, column_name, sql) {
        found.add(path, what);
    }
    found.0.extend(super::text::problems(spec));
    found.0.extend(super::ending::problems(spec));
    found.0
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.0.push(Problem { path: path.into(), what: what.into() });
    }

    fn check(&mut self, path: impl Into<String>, result: Result<(), String>) {
        if let Err(what) = result {
            self.add(path, what);
        }
    }

    fn bounded(&mut self, path: &str, entries: usize) {
        if entries > MAX_ENTRIES {
            self.add(path, format!("{entries} entries, above the limit of {MAX_ENTRIES}: write fewer"));
        }
    }
}

/// A dataset's name is a folder's name in the ledger.
fn name(text: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if text.is_empty() {
        return Err("the name is empty: write one such as `trips`".to_owned());
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(format!(
            "the name has {} bytes, above the limit of {MAX_NAME_BYTES}: write a shorter one",
            text.len()
        ));
    }
    if !text.chars().all(allowed) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(format!("bad name `{text}`: write letters, digits, `_` and `-`, a letter or digit first"));
    }
    Ok(())
}

/// A column's or an expectation's name.
fn label(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("the name is empty: write one".to_owned());
    }
    if text.len() > MAX_LABEL_BYTES {
        return Err(format!(
            "the name has {} bytes, above the limit of {MAX_LABEL_BYTES}: write a shorter one",
            text.len()
        ));
    }
    if text.chars().any(char::is_control) {
        return Err("the name holds a control character: leave it out".to_owned());
    }
    Ok(())
}

fn column_name(text: &str) -> Result<(), String> {
    label(text)?;
    let reserved = text.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED));
    if reserved {
        return Err(format!("column names that start with `{RESERVED}` are the quarantine's: write another"));
    }
    Ok(())
}

fn sql(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("the expression is empty: write SQL, or leave the entry out".to_owned());
    }
    if text.len() > MAX_EXPR_BYTES {
        return Err(format!(
            "the expression has {} bytes, above the limit of {MAX_EXPR_BYTES}: write a shorter one",
            text.len()
        ));
    }
    Ok(())
}

fn cast_rule(found: &mut Found, path: &str, rule: &CastRule) {
    if rule.column.is_none() && rule.from.is_none() {
        found.add(path, "the cast matches nothing: give it `column`, `from` or both");
    }
    if let Some(pattern) = &rule.column {
        found.check(format!("{path}.column"), column_pattern(pattern));
    }
    target(found, path, "to", &rule.to, &rule.values, rule.otherwise);
    rounding(found, path, &rule.to, rule.round);
}

fn column_pattern(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() || pattern.len() > MAX_LABEL_BYTES {
        return Err(format!("a pattern has 1 to {MAX_LABEL_BYTES} bytes: write one such as `*flag*`"));
    }
    Glob::new(pattern).map(|_| ()).map_err(|error| format!("bad pattern `{pattern}`: {}", error.kind()))
}

fn contract_column(found: &mut Found, path: &str, column: &ColumnSpec) {
    found.check(format!("{path}.name"), column_name(&column.name));
    for (index, alias) in column.aliases.iter().enumerate() {
        found.check(format!("{path}.aliases[{index}]"), label(alias));
    }
    target(found, path, "type", &column.data_type, &column.values, column.otherwise);
    rounding(found, path, &column.data_type, column.round);
    if let Some(default) = &column.default
        && column.data_type != ColumnType::Null
    {
        found.check(format!("{path}.default"), default_value::fits(default, &column.data_type, &column.values));
    }
}

/// The type that a cast or a column asks for, and the values it allows.
fn target(found: &mut Found, path: &str, key: &str, to: &ColumnType, values: &[String], otherwise: Otherwise) {
    if *to == ColumnType::Null {
        found.add(format!("{path}.{key}"), "`null` is a type only for `from`: write the type that values become");
    }
    found.bounded(&format!("{path}.values"), values.len());
    if !values.is_empty() && !to.is_text() {
        found.add(
            format!("{path}.values"),
            format!("`values` needs a `string` or `dictionary` column, this one is `{to}`"),
        );
    }
    if values.is_empty() && otherwise == Otherwise::Null {
        found.add(format!("{path}.otherwise"), "`otherwise` needs `values`: list the values allowed");
    }
}

fn rounding(found: &mut Found, path: &str, to: &ColumnType, round: bool) {
    if round && !matches!(to, ColumnType::Decimal { .. }) {
        found.add(format!("{path}.round"), format!("`round` needs a `decimal` column, this one is `{to}`"));
    }
}

/// No two columns share a name or an alias, ignoring case: a source's column must lead to one of them.
fn contract_names(found: &mut Found, columns: &[ColumnSpec]) {
    let mut taken: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    let mut claim =
        |found: &mut Found, path: String, index: usize, text: &str, owner| match taken.get(&text.to_lowercase()) {
            Some((other, other_name)) if *other != index => found.add(
                path,
                format!("`{text}` already leads to column `{other_name}` (names match without case): rename one"),
            ),
            Some(_) => {}
            None => {
                taken.insert(text.to_lowercase(), (index, owner));
            }
        };
    for (index, column) in columns.iter().enumerate() {
        claim(found, format!("schema.columns[{index}].name"), index, &column.name, column.name.as_str());
    }
    for (index, column) in columns.iter().enumerate() {
        for (nth, alias) in column.aliases.iter().enumerate() {
            let path = format!("schema.columns[{index}].aliases[{nth}]");
            claim(found, path, index, alias, column.name.as_str());
        }
    }
}

fn expectations(found: &mut Found, spec: &DatasetSpec) {
    let mut names = BTreeMap::new();
    for (index, expectation) in spec.expectations.iter().enumerate() {
        let path = format!("expectations[{index}]");
        found.check(format!("{path}.name"), label(&expectation.name));
        found.check(format!("{path}.expr"), sql(&expectation.expr));
        if names.insert(expectation.name.as_str(), index).is_some() {
            found.add(
                format!("{path}.name"),
                format!(
                    "a second expectation named `{}`: rename one, for names are the reasons given",
                    expectation.name
                ),
            );
        }
    }
}

fn transform(found: &mut Found, transform: &TransformSpec, contract: &[ColumnSpec]) {
    if let Some(filter) = &transform.filter {
        found.check("transform.filter", sql(filter));
    }
    let mut names: BTreeMap<String, &str> =
        contract.iter().map(|column| (column.name.to_lowercase(), column.name.as_str())).collect();
    for (index, column) in transform.columns.iter().enumerate() {
        let path = format!("transform.columns[{index}]");
        found.check(format!("{path}.name"), column_name(&column.name));
        found.check(format!("{path}.expr"), sql(&column.expr));
        if let Some(other) = names.insert(column.name.to_lowercase(), &column.name) {
            found.add(
                format!("{path}.name"),
                format!("a second column named `{}` (besides `{other}`, ignoring case): rename one", column.name),
            );
        }
    }
}

fn output(found: &mut Found, output: &OutputSpec) {
    found.check("output.prefix", prefix(&output.prefix));
    if !(1..=MAX_ROW_GROUP_ROWS).contains(&output.row_group_rows) {
        let what = format!("`row_group_rows` is {}: write 1 to {MAX_ROW_GROUP_ROWS}", output.row_group_rows);
        found.add("output.row_group_rows", what);
    }
    if !(1..=MAX_SLICE_ROW_GROUPS).contains(&output.slice_row_groups) {
        let what = format!("`slice_row_groups` is {}: write 1 to {MAX_SLICE_ROW_GROUPS}", output.slice_row_groups);
        found.add("output.slice_row_groups", what);
    }
    if !(0.0..=1.0).contains(&output.max_quarantined) {
        let what = format!("`max_quarantined` is {}: write a share from 0 to 1, such as 0.05", output.max_quarantined);
        found.add("output.max_quarantined", what);
    }
    for (path, what) in layout::problems(&output.partition_by, output.max_partitions) {
        found.add(path, what);
    }
    for (index, entry) in output.partition_by.iter().enumerate() {
        let path = format!("output.partition_by[{index}]");
        let named = match entry {
            PartitionSpec::Sql { named: true, .. } => format!("{path}.name"),
            _ => path.clone(),
        };
        found.check(named, label(entry.name()));
        found.check(path, sql(entry.expr()));
    }
}

/// The output's folder: inside the sink, visible to readers, and none of Rowmill's own.
fn prefix(text: &str) -> Result<(), String> {
    let folder = text.trim_end_matches('/');
    if folder.is_empty() && !text.starts_with('/') {
        return Err("the prefix is empty: write a folder such as `trips/`".to_owned());
    }
    if text.starts_with('/') || text.contains("://") {
        return Err(format!("prefix `{text}` is absolute: write a folder of the sink such as `trips/`"));
    }
    if text.len() > MAX_PREFIX_BYTES {
        return Err(format!(
            "the prefix has {} bytes, above the limit of {MAX_PREFIX_BYTES}: write a shorter one",
            text.len()
        ));
    }
    for component in folder.split('/') {
        if component.is_empty() || component == "." || component == ".." {
            return Err(format!("prefix `{text}` holds an empty, `.` or `..` folder: write plain names"));
        }
        if component.starts_with(['_', '.']) {
            return Err(format!(
                "folder `{component}` of the prefix starts with `{}`, so readers would not see it: rename it",
                component.chars().take(1).collect::<String>()
            ));
        }
        if component.chars().any(|c| c.is_control() || c == '\\') {
            return Err("the prefix holds a control character or a backslash: write plain names".to_owned());
        }
    }
    if folder.split('/').next() == Some("test_pipeline") {
        return Err("`test_pipeline` is where test runs write: write another folder".to_owned());
    }
    Ok(())
}
