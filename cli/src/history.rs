//! Runs as the ledger tells of them, for people.

use std::collections::BTreeMap;

use rowmill::ledger::records::Open;
use rowmill::ledger::{Ledger, Outcome, Plan, Run, Status, keys};
use rowmill::storage::list_all;

use crate::args::{StatusArg, WhereArgs};
use crate::fault::Fault;
use crate::paste::Paste;

/// A run as one listing of the ledger shows it.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// The dataset's name.
    pub dataset: String,
    /// The run's id.
    pub run_id: String,
    /// When the ledger last changed for it, milliseconds since 1970-01-01 UTC.
    pub changed_at_ms: i64,
    /// Slices recorded.
    pub recorded: usize,
    /// It has an outcome.
    pub ended: bool,
    /// Its marker, where it is unfinished.
    pub open: Option<Open>,
}

/// A run, read.
#[derive(Debug)]
pub struct Known {
    /// What the listing showed.
    pub entry: Entry,
    /// Who it is.
    pub run: Option<Run>,
    /// Its plan, where it has one.
    pub plan: Option<Plan>,
    /// How it ended, where it did.
    pub outcome: Option<Outcome>,
}

impl Known {
    /// The run's status as `runs` tells it.
    pub fn status(&self) -> StatusArg {
        match self.outcome.as_ref().map(|outcome| outcome.status) {
            None => StatusArg::Open,
            Some(Status::Complete) => StatusArg::Complete,
            Some(Status::Failed) => StatusArg::Failed,
            Some(Status::Superseded) => StatusArg::Superseded,
            Some(Status::Missing) => StatusArg::Missing,
        }
    }

    /// When it started, milliseconds since 1970-01-01 UTC.
    pub fn started_at_ms(&self) -> i64 {
        let outcome = self.outcome.as_ref().map(|outcome| outcome.started_at_ms);
        let plan = || self.plan.as_ref().map(|plan| plan.created_at_ms);
        let open = || self.entry.open.as_ref().map(|open| open.opened_at_ms);
        outcome.or_else(plan).or_else(open).unwrap_or(self.entry.changed_at_ms)
    }
}

/// The word for a status, as in the ledger.
pub fn word(status: StatusArg) -> &'static str {
    match status {
        StatusArg::Open => "open",
        StatusArg::Complete => "complete",
        StatusArg::Failed => "failed",
        StatusArg::Superseded => "superseded",
        StatusArg::Missing => "missing",
    }
}

/// Every run of the ledger, the one that changed last first: one listing, and the markers of unfinished runs.
pub async fn entries(ledger: &Ledger, dataset: Option<&str>) -> Result<Vec<Entry>, Fault> {
    let folder = dataset.map_or_else(|| keys::RUNS.to_owned(), |name| format!("{}{name}/", keys::RUNS));
    let mut entries: BTreeMap<(String, String), Entry> = BTreeMap::new();
    for object in list_all(ledger.sink().as_ref(), &folder).await? {
        let Some(below) = object.key.strip_prefix(keys::RUNS) else { continue };
        let mut names = below.splitn(3, '/');
        let (Some(dataset), Some(run_id), Some(file)) = (names.next(), names.next(), names.next()) else { continue };
        let entry = entry(&mut entries, dataset, run_id);
        entry.changed_at_ms = entry.changed_at_ms.max(object.version.last_modified_ms);
        entry.ended |= file == "outcome.json";
        entry.recorded += usize::from(file.starts_with("slices/"));
    }
    for open in ledger.open_runs().await? {
        let run = &open.value.run;
        if dataset.is_some_and(|name| name != run.dataset) {
            continue;
        }
        let entry = entry(&mut entries, &run.dataset, &run.run_id);
        entry.changed_at_ms = entry.changed_at_ms.max(open.value.opened_at_ms);
        entry.open = Some(open.value);
    }
    let mut entries: Vec<Entry> = entries.into_values().collect();
    entries.sort_by(|left, right| right.changed_at_ms.cmp(&left.changed_at_ms).then(left.run_id.cmp(&right.run_id)));
    Ok(entries)
}

fn entry<'a>(entries: &'a mut BTreeMap<(String, String), Entry>, dataset: &str, run_id: &str) -> &'a mut Entry {
    entries.entry((dataset.to_owned(), run_id.to_owned())).or_insert_with(|| Entry {
        dataset: dataset.to_owned(),
        run_id: run_id.to_owned(),
        ..Entry::default()
    })
}

/// Reads a run.
pub async fn read(ledger: &Ledger, entry: Entry) -> Result<Known, Fault> {
    let outcome = if entry.ended { ledger.outcome(&entry.dataset, &entry.run_id).await? } else { None };
    let plan = if outcome.is_some() { None } else { ledger.plan(&entry.dataset, &entry.run_id).await? };
    let run = outcome.as_ref().map(|outcome| &outcome.run).or(plan.as_ref().map(|plan| &plan.run));
    let run = run.or(entry.open.as_ref().map(|open| &open.run)).cloned();
    Ok(Known { entry, run, plan, outcome })
}

/// What to do about a run that is open while nobody works on it.
pub fn to_go_on(place: &WhereArgs) -> String {
    match &place.stack {
        Some(_) => format!("`{}` now, or wait for the sweep", Paste::new("trigger").arg("heal").at(place)),
        None => "run the command that began it again".to_owned(),
    }
}

/// The run that an id, or enough of its beginning, names.
pub async fn find(ledger: &Ledger, place: &WhereArgs, id: &str) -> Result<Entry, Fault> {
    let mut fitting: Vec<Entry> = entries(ledger, None).await?;
    fitting.retain(|entry| !id.is_empty() && entry.run_id.starts_with(id));
    match (fitting.pop(), fitting.len()) {
        (Some(entry), 0) => Ok(entry),
        (None, _) => {
            let runs = Paste::new("runs").at(place);
            Err(Fault::usage(format!("run {id}: no such run in this ledger: `{runs}` lists them")))
        }
        (Some(_), more) => {
            Err(Fault::usage(format!("run {id}: {} runs begin so: give more of the id", more.saturating_add(1))))
        }
    }
}
