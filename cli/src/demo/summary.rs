//! Before and after, as tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rowmill::dataset::Dataset;

use super::Places;
use super::inspect::{self, Inspected};
use crate::fault::Fault;
use crate::location::shown;
use crate::paste::Paste;
use crate::render::{Align, Table, bytes, count, length, plural, seconds};
use crate::report::Report;
use crate::show::fates;
use crate::types::{Columns, changes};

/// The files as they came.
pub fn before(files: &[Inspected]) -> String {
    let mut table = shape_table("file");
    for file in files {
        table.row(shape(&file.file, file.bytes, &[file.row_groups.as_slice()]));
    }
    format!("before\n{}\n", table.text("  "))
}

/// The parts as they are now.
#[derive(Debug)]
pub struct After {
    /// The columns of every part.
    columns: Columns,
    schemas: usize,
}

impl After {
    /// Reads the footer of every part.
    pub fn read(report: &Report) -> Result<Self, Fault> {
        let mut schemas: Vec<Columns> = Vec::new();
        for part in report.runs.iter().flat_map(|run| &run.parts) {
            let columns = inspect::read(Path::new(shown(&part.uri)))?.columns;
            if !schemas.contains(&columns) {
                schemas.push(columns);
            }
        }
        let count = schemas.len();
        Ok(Self { columns: schemas.into_iter().next().unwrap_or_default(), schemas: count })
    }

    /// Row groups, types, rows, reasons, time.
    pub fn text(
        &self,
        dataset: &Dataset,
        before: &[Inspected],
        report: &Report,
        took: Duration,
        workers: usize,
    ) -> String {
        let wanted = dataset.spec.output.row_group_rows;
        let mut text = format!("after: row groups of {} rows, less those set aside\n", count(wanted));
        let mut table = shape_table("source");
        for run in &report.runs {
            let name = run.source.uri.rsplit('/').next().unwrap_or_default();
            let groups: Vec<&[u64]> = run.parts.iter().map(|part| part.row_groups.as_slice()).collect();
            table.row(shape(name, run.parts.iter().map(|part| part.bytes).sum(), &groups));
        }
        text.push_str(&table.text("  "));
        text.push_str(&self.types(before));
        let rows = &report.totals.rows;
        text.push_str(&format!("\nrows: {}\n", fates(rows)));
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for (reason, rows) in report.runs.iter().flat_map(|run| &run.reasons) {
            *reasons.entry(reason).or_default() += rows;
        }
        if !reasons.is_empty() {
            let mut table = Table::new(&[("rows", Align::Right), ("quarantined, by reason", Align::Left)]);
            for (reason, rows) in reasons {
                table.row([count(rows), reason.to_owned()]);
            }
            text.push_str(&table.text("  "));
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        text.push_str(&format!(
            "\ntime: {} s with {}: {} rows a second\n",
            seconds(took_ms),
            plural(workers, "worker"),
            count(rows.read.saturating_mul(1_000) / took_ms)
        ));
        for run in report.runs.iter().filter(|run| run.error.is_some()) {
            let error = run.error.as_deref().unwrap_or_default();
            text.push_str(&format!("{}: {}: {error}\n", run.status.word(), run.source.uri));
        }
        text
    }

    /// The columns that any file had otherwise.
    fn types(&self, before: &[Inspected]) -> String {
        let table = changes(before.iter().map(|file| &file.columns), &self.columns);
        let schemas =
            if self.schemas == 1 { "one schema in every part".to_owned() } else { plural(self.schemas, "schema") };
        format!("\ntypes: {schemas}\n{}", table.text("  "))
    }
}

fn shape_table(what: &str) -> Table {
    Table::new(&[
        (what, Align::Left),
        ("files", Align::Right),
        ("size", Align::Right),
        ("rows", Align::Right),
        ("row groups", Align::Right),
        ("smallest", Align::Right),
        ("largest", Align::Right),
    ])
}

fn shape(name: &str, size: u64, files: &[&[u64]]) -> [String; 7] {
    let groups: Vec<u64> = files.iter().flat_map(|groups| groups.iter().copied()).collect();
    [
        name.to_owned(),
        length(files.len()),
        bytes(size),
        count(groups.iter().sum()),
        length(groups.len()),
        count(groups.iter().min().copied().unwrap_or(0)),
        count(groups.iter().max().copied().unwrap_or(0)),
    ]
}

/// Where to look and what to try.
pub fn where_next(places: &Places) -> String {
    let sink = places.sink.display();
    let run = Paste::new("run").option("--dataset", places.dataset.display()).option("--sink", &sink);
    let trips = places.trips.display().to_string();
    if !places.kept {
        return "\nthe files are removed now; to look at them\n  rowmill demo --keep rowmill-demo\n".to_owned();
    }
    format!(
        "\nlook at\n  {sink}/fhvhv/              the parts\n  {sink}/_quarantine/fhvhv/  the rows set aside, each with its \
         reasons\n\ntry next\n  {}    # skips what is published\n  {}\n  {}\n  {}\n",
        run.clone().arg(&trips),
        run.option("--intent", "reprocess").arg(&trips),
        Paste::new("runs").option("--sink", &sink),
        Paste::new("check").arg(places.dataset.display().to_string()).arg(&trips),
    )
}
