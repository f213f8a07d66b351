//! What `run` tells: the JSON that scripts depend on, and its tables for people.

use std::collections::BTreeMap;

use rowmill::dataset::Dataset;
use rowmill::ledger::{Outcome, RowCounts, Run};
use rowmill::storage::Storage;
use serde::Serialize;

use crate::fault::Exit;
use crate::location::shown;
use crate::render::{Align, Table, bytes, count, length, plural, seconds};

/// The document of `run --json`.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// One per source.
    pub runs: Vec<RunReport>,
    /// Their sums.
    pub totals: Totals,
    /// Outputs removed because their source is gone; absent unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Vec<String>>,
    /// Nothing was done; absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// How one run ended.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// The run's id; empty where there is no run, because the source was not found.
    pub run_id: String,
    /// The dataset's name.
    pub dataset: String,
    /// What was ingested.
    pub source: SourceReport,
    /// How it ended.
    pub status: Status,
    /// Why it failed or what superseded it.
    pub error: Option<String>,
    /// Slices planned.
    pub slices: u32,
    /// From planning to publishing, milliseconds.
    pub duration_ms: u64,
    /// Rows by fate.
    pub rows: RowCounts,
    /// Quarantined rows by reason.
    pub reasons: BTreeMap<String, u64>,
    /// The parts that readers see.
    pub parts: Vec<PartReport>,
    /// The quarantine that readers see.
    pub quarantine: Vec<QuarantineReport>,
    /// For people only.
    #[serde(skip)]
    pub warnings: BTreeMap<String, u64>,
    /// For people only.
    #[serde(skip)]
    pub remarks: Vec<String>,
}

/// What was ingested.
#[derive(Debug, Clone, Serialize)]
pub struct SourceReport {
    /// Where.
    pub uri: String,
    /// Which version; empty where it was not found.
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

/// A part.
#[derive(Debug, Clone, Serialize)]
pub struct PartReport {
    /// Where.
    pub uri: String,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Rows of each row group.
    pub row_groups: Vec<u64>,
}

/// A file of quarantined rows.
#[derive(Debug, Clone, Serialize)]
pub struct QuarantineReport {
    /// Where.
    pub uri: String,
    /// Rows.
    pub rows: u64,
}

/// How a run ended, as `run` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Published.
    Complete,
    /// Failed; what was published stays.
    Failed,
    /// This version of the source is published already: the figures are those of the run that did it.
    Skipped,
    /// A newer version or a later request took its place.
    Superseded,
    /// It would be run, but for `--dry-run`.
    Planned,
    /// Ctrl-C came first: the same command resumes it.
    Interrupted,
}

impl Status {
    /// The word for it, as in the JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Superseded => "superseded",
            Self::Planned => "planned",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<rowmill::ledger::Status> for Status {
    fn from(status: rowmill::ledger::Status) -> Self {
        match status {
            rowmill::ledger::Status::Complete => Self::Complete,
            rowmill::ledger::Status::Failed => Self::Failed,
            rowmill::ledger::Status::Superseded => Self::Superseded,
        }
    }
}

/// Sums over the runs.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    /// Runs listed.
    pub runs: usize,
    /// Of these, published now.
    pub complete: usize,
    /// Of these, failed.
    pub failed: usize,
    /// Of these, published before.
    pub skipped: usize,
    /// Rows of the runs done now.
    pub rows: RowCounts,
}

impl RunReport {
    /// A run of which nothing is known but who it is.
    pub fn bare(run: &Run, status: Status, error: Option<String>) -> Self {
        Self {
            run_id: run.run_id.clone(),
            dataset: run.dataset.clone(),
            source: SourceReport {
                uri: run.source.uri(),
                etag: run.source.version.etag.clone(),
                size: run.source.size,
            },
            status,
            error,
            slices: 0,
            duration_ms: 0,
            rows: RowCounts::default(),
            reasons: BTreeMap::new(),
            parts: Vec::new(),
            quarantine: Vec::new(),
            warnings: BTreeMap::new(),
            remarks: Vec::new(),
        }
    }

    /// A source that could not even be looked up.
    pub fn unfound(dataset: &Dataset, uri: String, problem: String) -> Self {
        Self {
            run_id: String::new(),
            dataset: dataset.spec.name.clone(),
            source: SourceReport { uri, etag: String::new(), size: 0 },
            status: Status::Failed,
            error: Some(problem),
            slices: 0,
            duration_ms: 0,
            rows: RowCounts::default(),
            reasons: BTreeMap::new(),
            parts: Vec::new(),
            quarantine: Vec::new(),
            warnings: BTreeMap::new(),
            remarks: Vec::new(),
        }
    }

    /// A run that has ended.
    pub fn of(outcome: &Outcome, sink: &dyn Storage) -> Self {
        let parts = outcome.parts.iter().map(|part| PartReport {
            uri: sink.uri(&part.key),
            rows: part.rows,
            bytes: part.bytes,
            row_groups: part.row_groups.clone(),
        });
        let quarantine =
            outcome.quarantine.iter().map(|part| QuarantineReport { uri: sink.uri(&part.key), rows: part.rows });
        let error = outcome.error.as_ref().map(|failure| failure.message.clone());
        Self {
            slices: outcome.slices,
            duration_ms: u64::try_from(outcome.finished_at_ms - outcome.started_at_ms).unwrap_or(0),
            rows: outcome.rows,
            reasons: outcome.reasons.clone(),
            parts: parts.collect(),
            quarantine: quarantine.collect(),
            warnings: outcome.warnings.clone(),
            remarks: outcome.drift.iter().chain(&outcome.notes).cloned().collect(),
            ..Self::bare(&outcome.run, outcome.status.into(), error)
        }
    }

    /// Whether its figures are of rows read by this command.
    fn done_now(&self) -> bool {
        matches!(self.status, Status::Complete | Status::Failed | Status::Superseded)
    }
}

impl Report {
    /// A report of these runs.
    pub fn new(runs: Vec<RunReport>) -> Self {
        let mut totals = Totals { runs: runs.len(), ..Totals::default() };
        for run in &runs {
            match run.status {
                Status::Complete => totals.complete += 1,
                Status::Failed => totals.failed += 1,
                Status::Skipped => totals.skipped += 1,
                Status::Superseded | Status::Planned | Status::Interrupted => {}
            }
            if run.done_now() {
                totals.rows += run.rows;
            }
        }
        Self { runs, totals, ..Self::default() }
    }

    /// The exit code that the runs deserve.
    pub fn exit(&self) -> Exit {
        if self.totals.failed > 0 { Exit::Failed } else { Exit::Done }
    }

    /// The report for people.
    pub fn text(&self) -> String {
        if self.runs.is_empty() {
            return String::new();
        }
        let mut text = self.runs_table();
        let sum = |of: fn(&RunReport) -> &BTreeMap<String, u64>| {
            let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
            for run in self.runs.iter().filter(|run| run.done_now()) {
                for (reason, rows) in of(run) {
                    *sums.entry(reason).or_default() += rows;
                }
            }
            sums
        };
        text.push_str(&reasons_table("quarantined, by reason", &sum(|run| &run.reasons)));
        text.push_str(&reasons_table("kept with a warning", &sum(|run| &run.warnings)));
        text.push_str(&self.places());
        for run in &self.runs {
            if let Some(error) = &run.error {
                text.push_str(&format!("\n{}: {}\n", run.status.word(), error_of(run, error)));
            }
        }
        text
    }

    fn runs_table(&self) -> String {
        let columns = ["read", "kept", "quarantined", "filtered", "parts", "size", "seconds"];
        let mut headings = vec![("status", Align::Left), ("source", Align::Left)];
        headings.extend(columns.map(|column| (column, Align::Right)));
        let mut table = Table::new(&headings);
        for run in &self.runs {
            let rows = &run.rows;
            table.row([
                run.status.word().to_owned(),
                shown(&run.source.uri).to_owned(),
                count(rows.read),
                count(rows.kept),
                count(rows.quarantined),
                count(rows.filtered),
                length(run.parts.len()),
                bytes(run.parts.iter().map(|part| part.bytes).sum()),
                seconds(run.duration_ms),
            ]);
        }
        if self.runs.len() > 1 {
            let (rows, done) = (&self.totals.rows, || self.runs.iter().filter(|run| run.done_now()));
            table.row([
                "total".to_owned(),
                plural(done().count(), "run") + " now",
                count(rows.read),
                count(rows.kept),
                count(rows.quarantined),
                count(rows.filtered),
                length(done().map(|run| run.parts.len()).sum()),
                bytes(done().flat_map(|run| &run.parts).map(|part| part.bytes).sum()),
            ]);
        }
        table.text("")
    }

    /// The folders of what readers see.
    fn places(&self) -> String {
        let mut text = String::new();
        let parts = self.runs.iter().flat_map(|run| run.parts.iter().map(|part| part.uri.as_str()));
        let quarantine = self.runs.iter().flat_map(|run| run.quarantine.iter().map(|part| part.uri.as_str()));
        for (what, uris) in [("parts", parts.collect::<Vec<_>>()), ("quarantine", quarantine.collect())] {
            if let Some(folder) = common_folder(&uris) {
                text.push_str(&format!("{what} in {}\n", shown(folder)));
            }
        }
        if text.is_empty() { text } else { format!("\n{text}") }
    }
}

/// The error, behind its source where it does not name it.
fn error_of(run: &RunReport, error: &str) -> String {
    if error.contains(&run.source.uri) { error.to_owned() } else { format!("{}: {error}", run.source.uri) }
}

fn reasons_table(title: &str, reasons: &BTreeMap<&str, u64>) -> String {
    if reasons.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[("rows", Align::Right), (title, Align::Left)]);
    for (reason, rows) in reasons {
        table.row([count(*rows), (*reason).to_owned()]);
    }
    format!("\n{}", table.text(""))
}

/// The longest folder that holds all of them.
fn common_folder<'a>(uris: &[&'a str]) -> Option<&'a str> {
    let (first, rest) = uris.split_first()?;
    let mut folder = parent(first);
    while !rest.iter().all(|uri| uri.starts_with(folder)) {
        folder = parent(folder.trim_end_matches('/'));
        if folder.is_empty() {
            return None;
        }
    }
    Some(folder)
}

fn parent(uri: &str) -> &str {
    uri.rfind('/').and_then(|slash| uri.get(..=slash)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_folder_holds_every_file() {
        assert_eq!(common_folder(&[]), None);
        assert_eq!(common_folder(&["file:///a/b/c"]), Some("file:///a/b/"));
        assert_eq!(common_folder(&["file:///a/b/c/1", "file:///a/b/d/1"]), Some("file:///a/b/"));
        assert_eq!(common_folder(&["file:///a/bb/1", "file:///a/b/1"]), Some("file:///a/"));
    }
}
