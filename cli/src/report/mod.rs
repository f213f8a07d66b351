//! What `run` tells: the JSON that scripts depend on, and (in `text`) its tables for people.

mod text;

use std::collections::BTreeMap;

use rowmill::cost::Took;
use rowmill::dataset::Dataset;
use rowmill::ledger::{Coerced, Outcome, RowCounts, Run};
use rowmill::storage::Storage;
use serde::Serialize;

use crate::fault::Exit;
use crate::intact::Damaged;

/// The document of `run --json`.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// One per source.
    pub runs: Vec<RunReport>,
    /// Their sums.
    pub totals: Totals,
    /// What a person should know of all of them; absent where there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Outputs removed because their source is gone; absent unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Vec<String>>,
    /// The dataset's reports, as they are now; absent where it has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<ReportPlace>,
    /// Reports of the dataset file that nobody has written yet: they come with the next source that is ingested or
    /// reprocessed. Absent where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports_to_come: Vec<String>,
    /// Nothing was done; absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// One of the dataset's reports.
#[derive(Debug, Clone, Serialize)]
pub struct ReportPlace {
    /// Its name.
    pub report: String,
    /// Where it lies, as Parquet.
    pub uri: String,
    /// Whether it tells of every row that is published.
    pub complete: bool,
    /// What is missing or failed, in words.
    pub problems: Vec<String>,
    /// Published sources that it tells of.
    pub sources: u64,
    /// Rows counted.
    pub rows: u64,
    /// Groups told.
    pub groups: usize,
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
    /// Filtered rows that an expectation with the action `drop` left out, by its name; a row may break several.
    pub dropped: BTreeMap<String, u64>,
    /// Rows kept all the same, by what is wrong with them.
    pub warnings: BTreeMap<String, u64>,
    /// How the source differs from what the dataset's file declares.
    pub drift: Vec<String>,
    /// Columns that were cast, and how many rows.
    pub coerced: Vec<Coerced>,
    /// The parts that readers see.
    pub parts: Vec<PartReport>,
    /// The quarantine that readers see.
    pub quarantine: Vec<QuarantineReport>,
    /// What it took; null where it has not ended.
    pub took: Option<Took>,
    /// What a person should know of the run.
    pub notes: Vec<String>,
    /// It is published under another dataset file than this command's, and skipped all the same; absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// Parts and quarantine files of what is published that are gone or have another size; absent where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<Damaged>,
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
    /// A web server had no such file: the next request looks again.
    Missing,
    /// It would be run, but for `--dry-run`.
    Planned,
    /// Ctrl-C came first: the same command resumes it.
    Interrupted,
    /// It was given up for now, after an error that may pass: the same command resumes it.
    Open,
}

impl Status {
    /// The word for it, as in the JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Superseded => "superseded",
            Self::Missing => "missing",
            Self::Planned => "planned",
            Self::Interrupted => "interrupted",
            Self::Open => "open",
        }
    }
}

impl From<rowmill::ledger::Status> for Status {
    fn from(status: rowmill::ledger::Status) -> Self {
        match status {
            rowmill::ledger::Status::Complete => Self::Complete,
            rowmill::ledger::Status::Failed => Self::Failed,
            rowmill::ledger::Status::Superseded => Self::Superseded,
            rowmill::ledger::Status::Missing => Self::Missing,
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
    /// Of these, given up for now, and to be resumed; absent where there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub open: usize,
    /// Of these, published before under another dataset file; absent where there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub stale: usize,
    /// Of these, published before, and now with parts that are gone or changed; absent where there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub damaged: usize,
    /// Of these, files that a web server has not; absent where there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub missing: usize,
    /// Rows of the runs done now.
    pub rows: RowCounts,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
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
            dropped: BTreeMap::new(),
            warnings: BTreeMap::new(),
            drift: Vec::new(),
            coerced: Vec::new(),
            parts: Vec::new(),
            quarantine: Vec::new(),
            took: None,
            notes: Vec::new(),
            stale: false,
            damaged: Vec::new(),
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
            dropped: BTreeMap::new(),
            warnings: BTreeMap::new(),
            drift: Vec::new(),
            coerced: Vec::new(),
            parts: Vec::new(),
            quarantine: Vec::new(),
            took: None,
            notes: Vec::new(),
            stale: false,
            damaged: Vec::new(),
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
            dropped: outcome.dropped.clone(),
            warnings: outcome.warnings.clone(),
            drift: outcome.drift.clone(),
            coerced: outcome.coerced.clone(),
            parts: parts.collect(),
            quarantine: quarantine.collect(),
            took: outcome.took.clone(),
            notes: notes(outcome),
            ..Self::bare(&outcome.run, outcome.status.into(), error)
        }
    }

    /// Whether somebody has to look after it.
    fn is_wrong(&self) -> bool {
        match self.status {
            Status::Failed | Status::Open => true,
            Status::Complete | Status::Skipped => self.error.is_some(),
            Status::Superseded | Status::Missing | Status::Planned | Status::Interrupted => false,
        }
    }

    /// Whether its figures are of rows read by this command.
    fn done_now(&self) -> bool {
        matches!(self.status, Status::Complete | Status::Failed | Status::Superseded)
    }
}

/// What a person should know of a run.
fn notes(outcome: &Outcome) -> Vec<String> {
    let of_report = |error: &rowmill::ledger::ReportError| format!("report {}: {}", error.report, error.message);
    outcome.notes.iter().cloned().chain(outcome.report_errors.iter().map(of_report)).collect()
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
                Status::Missing => totals.missing += 1,
                Status::Open => totals.open += 1,
                Status::Superseded | Status::Planned | Status::Interrupted => {}
            }
            totals.stale += usize::from(run.stale);
            totals.damaged += usize::from(!run.damaged.is_empty());
            if run.done_now() {
                totals.rows += run.rows;
            }
        }
        Self { runs, totals, ..Self::default() }
    }

    /// The exit code that the runs deserve.
    pub fn exit(&self) -> Exit {
        if self.runs.iter().any(RunReport::is_wrong) { Exit::Failed } else { Exit::Done }
    }
}
