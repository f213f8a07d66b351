//! `[[reports]]`: figures over the rows that a dataset keeps, kept up to date with what is published.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// Reports of one dataset: each is computed over every row.
const MAX_REPORTS: usize = 64;
/// Measures of one report, and the same of groups: each is a column of the result.
const MAX_COLUMNS: usize = 256;
/// The longest name of a report, which names its files.
const MAX_NAME_BYTES: usize = 64;

/// One of `[[reports]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportSpec {
    /// Names its files: letters, digits, `_` and `-`.
    pub name: String,
    /// SQL over a row that tells which are counted; absent: all that are kept.
    #[serde(rename = "where")]
    pub condition: Option<String>,
    /// What rows are grouped by, such as a column or a time bucket. Empty: all rows are one group.
    #[serde(default)]
    pub group_by: Vec<GroupSpec>,
    /// What is told of each group.
    pub measures: Vec<MeasureSpec>,
    /// SQL over groups and measures, by name, and aggregates, that tells which groups are told.
    pub having: Option<String>,
}

/// One entry of `group_by`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpec {
    /// The column's name in the report.
    pub name: String,
    /// SQL over a row.
    pub expr: String,
    /// Whether it was written as a table.
    pub named: bool,
}

/// One entry of `measures`: a column of the report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureSpec {
    /// The column's name in the report.
    pub name: String,
    /// SQL over aggregates of rows, such as `round(avg(tip_amount), 2)`.
    pub expr: String,
}

impl<'de> Deserialize<'de> for GroupSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            name: String,
            expr: String,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = GroupSpec;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a column, SQL such as \"date_trunc('hour', pickup)\", or { name, expr }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<GroupSpec, E> {
                let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                let name = quoted.filter(|name| !name.contains('"')).unwrap_or(text);
                Ok(GroupSpec { name: name.to_owned(), expr: text.to_owned(), named: false })
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<GroupSpec, M::Error> {
                let Table { name, expr } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(GroupSpec { name, expr, named: true })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// The key path of an entry of `group_by`'s SQL.
pub(crate) fn group_path(report: usize, group: usize, spec: &GroupSpec) -> String {
    let key = if spec.named { ".expr" } else { "" };
    format!("reports[{report}].group_by[{group}]{key}")
}

/// What is wrong with the reports, as far as the file alone tells: key path and words. `label` and `sql` judge a name and
/// an expression.
pub(super) fn problems(
    reports: &[ReportSpec],
    label: impl Fn(&str) -> Result<(), String>,
    sql: impl Fn(&str) -> Result<(), String>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if reports.len() > MAX_REPORTS {
        let what = format!("{} reports, above the limit of {MAX_REPORTS}: write fewer", reports.len());
        return vec![("reports".to_owned(), what)];
    }
    for (index, report) in reports.iter().enumerate() {
        let path = format!("reports[{index}]");
        let mut check = |path: String, result: Result<(), String>| {
            if let Err(what) = result {
                found.push((path, what));
            }
        };
        check(format!("{path}.name"), name(&report.name));
        if reports.iter().take(index).any(|other| other.name.eq_ignore_ascii_case(&report.name)) {
            check(format!("{path}.name"), Err(format!("a second report named `{}`: rename one", report.name)));
        }
        for (key, expr) in [("where", &report.condition), ("having", &report.having)] {
            check(format!("{path}.{key}"), expr.as_deref().map_or(Ok(()), &sql));
        }
        if report.measures.is_empty() {
            let what = "no measures: write one such as { name = \"rows\", expr = \"count(*)\" }";
            check(format!("{path}.measures"), Err(what.to_owned()));
        }
        for (key, entries) in [("group_by", report.group_by.len()), ("measures", report.measures.len())] {
            if entries > MAX_COLUMNS {
                let what = format!("{entries} entries, above the limit of {MAX_COLUMNS}: write fewer");
                check(format!("{path}.{key}"), Err(what));
            }
        }
        let groups = report.group_by.iter().enumerate().map(|(at, group)| {
            let path = format!("{path}.group_by[{at}]");
            let named = if group.named { format!("{path}.name") } else { path };
            (named, group_path(index, at, group), group.name.as_str(), group.expr.as_str())
        });
        let measures = report.measures.iter().enumerate().map(|(at, measure)| {
            let path = format!("{path}.measures[{at}]");
            (format!("{path}.name"), format!("{path}.expr"), measure.name.as_str(), measure.expr.as_str())
        });
        let mut taken: Vec<String> = Vec::new();
        for (name_path, expr_path, name, expr) in groups.chain(measures) {
            check(name_path.clone(), label(name));
            check(expr_path, sql(expr));
            let lower = name.to_lowercase();
            if taken.contains(&lower) {
                let what = format!("a second column named `{name}` (ignoring case): name one otherwise");
                check(name_path, Err(what));
            }
            taken.push(lower);
        }
    }
    found
}

/// A report's name is a file's name.
fn name(text: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && text.len() <= MAX_NAME_BYTES && text.chars().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "bad name `{text}`: write up to {MAX_NAME_BYTES} letters, digits, `_` and `-`, a letter or digit first"
    ))
}
