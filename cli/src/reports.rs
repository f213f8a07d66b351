//! `rowmill report`: a dataset's reports, as they lie in the sink.

use rowmill::ledger::{Ledger, keys};
use rowmill::reports::Shown;
use rowmill::storage::{Storage, list_all};
use serde_json::Value;

use crate::args::ReportArgs;
use crate::fault::{Exit, Fault};
use crate::location::shown;
use crate::paste::Paste;
use crate::render::{self, Align, Table, count, length};
use crate::report::ReportPlace;
use crate::stack::ledger_at;

/// The largest report that is shown, bytes.
const MAX_BYTES: u64 = 256 << 20;
/// Groups shown to people behind a run.
pub const FEW: usize = 20;

/// Runs the command.
pub async fn report(args: ReportArgs) -> Result<Exit, Fault> {
    let ledger = ledger_at(&args.place).await?;
    let mut reports = all(&ledger, &args.dataset).await?;
    if reports.is_empty() {
        return Err(Fault::usage(format!(
            "dataset {}: no reports here: they are written once a source is published by a dataset file with [[reports]]",
            args.dataset
        )));
    }
    if let Some(name) = &args.report {
        let known: Vec<String> = reports.iter().map(|report| report.report.clone()).collect();
        reports.retain(|report| report.report == *name);
        if reports.is_empty() {
            let known = known.join(", ");
            return Err(Fault::usage(format!("dataset {}: no report {name}: it has {known}", args.dataset)));
        }
    }
    if args.json {
        render::print_json(&serde_json::json!({ "reports": reports }));
        return Ok(Exit::Done);
    }
    let texts: Vec<String> = reports.iter().map(|report| text(report, ledger.sink().as_ref(), None)).collect();
    render::print(&texts.join("\n"));
    Ok(Exit::Done)
}

/// Every report of a dataset, by name.
pub async fn all(ledger: &Ledger, dataset: &str) -> Result<Vec<Shown>, Fault> {
    let sink = ledger.sink();
    let mut reports = Vec::new();
    for object in list_all(sink.as_ref(), &keys::reports(dataset)).await.map_err(rowmill::Error::from)? {
        if !object.key.ends_with(".json") {
            continue;
        }
        let Some(read) = sink.get(&object.key, MAX_BYTES).await.map_err(rowmill::Error::from)? else { continue };
        let parsed = serde_json::from_slice(&read.bytes);
        reports.push(parsed.map_err(|error| Fault::usage(format!("{}: {error}", sink.uri(&object.key))))?);
    }
    Ok(reports)
}

/// Where a report lies and what it is about, for the JSON of `run`.
pub fn place(report: &Shown, sink: &dyn Storage) -> ReportPlace {
    ReportPlace {
        report: report.report.clone(),
        uri: sink.uri(&keys::report(&report.dataset, &report.report, "parquet")),
        complete: report.complete,
        problems: report.problems.clone(),
        sources: report.sources,
        rows: report.rows,
        groups: report.groups.len(),
    }
}

/// A report for people; with at most so many groups, and the command that shows them all.
pub fn text(report: &Shown, sink: &dyn Storage, few: Option<(usize, &Paste)>) -> String {
    let most = few.map_or(usize::MAX, |(most, _)| most);
    let uri = sink.uri(&keys::report(&report.dataset, &report.report, "parquet"));
    let rows = count(report.rows);
    let sources = if report.sources == 1 { "source" } else { "sources" };
    let mut text =
        format!("{}: {rows} rows of {} {sources}, {}\n\n", report.report, count(report.sources), shown(&uri));
    let is_figure = |column: &rowmill::reports::Column| {
        ["int", "uint", "float", "decimal"].iter().any(|kind| column.data_type.starts_with(kind))
    };
    let align = |column| if is_figure(column) { Align::Right } else { Align::Left };
    let headings: Vec<(&str, Align)> =
        report.columns.iter().map(|column| (column.name.as_str(), align(column))).collect();
    if let ([group], true) = (report.groups.as_slice(), headings.len() > 8) {
        // One group of many measures reads better downwards.
        let mut table = Table::bare(&[Align::Left, Align::Right]);
        for column in &report.columns {
            table.row([column.name.clone(), cell(group.get(&column.name))]);
        }
        text.push_str(&table.text("  "));
    } else if !headings.is_empty() {
        let mut table = Table::new(&headings);
        for group in report.groups.iter().take(most) {
            table.row(report.columns.iter().map(|column| cell(group.get(&column.name))));
        }
        text.push_str(&table.text("  "));
    }
    let more = report.groups.len().saturating_sub(most);
    if let Some((_, all)) = few.filter(|_| more > 0) {
        let all = all.clone().arg(&report.report);
        text.push_str(&format!("  and {} more: {all}\n", length(more)));
    }
    for problem in &report.problems {
        text.push_str(&format!("note: {} is not complete: {problem}\n", report.report));
    }
    text
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
