//! What must hold once faults have stopped, messages are worked off and sweeps find nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::handmade::rows_of;
use super::happenings::LONG_MS;
use super::reader::Seen;
use super::report::Promise::{Duplicated, Lost, Unfinished};
use super::sources::BUCKET;
use super::world::World;
use crate::event::Intent;
use crate::ledger::identity::same_version;
use crate::ledger::{Outcome, Pointer, SliceRecord, SliceResult, Status, keys};
use crate::storage::ObjectVersion;

/// What was compared at the end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Compared {
    pub runs: u64,
    pub rows: u64,
}

impl World {
    /// Works, relists and sweeps until every run has ended.
    pub fn settle(&mut self) {
        for _ in 0..30 {
            self.drain();
            self.ask(Intent::Incremental, "relist");
            self.drain();
            if (self.reader.seen().open.is_empty() && !self.owes_notices()) || self.dice.is_broken() {
                return;
            }
            self.pass(LONG_MS);
            self.ask(Intent::Heal, "sweep");
        }
        let open = self.reader.seen().open.clone();
        let owes = self.owes_notices();
        self.dice.broken(Unfinished, format!("runs stay open: {open:?}, notices are left: {owes}"));
    }

    fn owes_notices(&self) -> bool {
        self.sink.objects().iter().any(|(key, _)| key.starts_with(keys::NOTICES))
    }

    /// Every run that ended was told of, unless it was a trial.
    fn compare_notices(&self, outcome: &Outcome) {
        let run = &outcome.run;
        let told = self.heard.lock().unwrap().get(&run.run_id).copied().unwrap_or(0);
        if (told > 0) != run.purpose.publishes() {
            self.dice.broken(Unfinished, format!("run {} was told of {told} times: {run:?}", run.run_id));
        }
        if told > 1 {
            self.dice.count("told of twice");
        }
    }

    /// Compares what lies there with what ought to.
    pub fn compare(&self) -> Compared {
        let seen = self.reader.seen();
        let mut compared = Compared::default();
        for run_id in &seen.opened {
            let Some((_, outcome)) = seen.outcomes.get(run_id) else {
                self.dice.broken(Unfinished, format!("run {run_id} has no outcome"));
                continue;
            };
            compared.runs += 1;
            self.compare_notices(outcome);
            if outcome.error.as_ref().is_some_and(|error| error.kind == "occupied") {
                self.dice.count("run refused to touch somebody's object");
            }
            self.dice.count(match outcome.status {
                Status::Complete => "run complete",
                Status::Failed => "run failed",
                Status::Superseded => "run superseded",
                Status::Missing => "run missing",
            });
            if (outcome.status == Status::Complete) != outcome.error.is_none() {
                self.dice.broken(Unfinished, format!("its status and its error disagree: {outcome:?}"));
            }
        }
        for key in self.keys {
            let pointer = seen.pointers.get(&keys::pointer("trips", BUCKET, key));
            self.compare_newest(&seen, key, pointer);
            if let Some(pointer) = pointer {
                compared.rows += self.compare_source(&seen, pointer);
            }
        }
        self.compare_uploads();
        compared
    }

    /// The newest version is what readers see, or its run failed.
    fn compare_newest(&self, seen: &Seen, key: &str, pointer: Option<&Pointer>) {
        let Some(newest) = self.sources.newest(key) else { return };
        let published = pointer.and_then(|pointer| pointer.published.as_ref());
        // A listing tells no version id: equal bytes of the same second count as the same version to it.
        let is_listed = |version: &ObjectVersion| {
            version.etag == newest.version.etag && version.last_modified_ms == newest.version.last_modified_ms
        };
        let is_published = published.is_some_and(|it| is_listed(&it.claim.version));
        let failed = seen.outcomes.values().any(|(_, outcome)| {
            let source = &outcome.run.source;
            outcome.status == Status::Failed && source.key == key && is_listed(&source.version)
        });
        if !is_published && !failed {
            let problem = format!("{:?} of {key} is neither published nor failed: {pointer:?}", newest.version);
            self.dice.broken(Lost, problem);
        }
    }

    /// Readers see the published run, all of it and nothing else. Answers how many rows that is.
    fn compare_source(&self, seen: &Seen, pointer: &Pointer) -> u64 {
        if pointer.claim.is_some() {
            self.dice.broken(Unfinished, format!("a claim stays: {pointer:?}"));
        }
        let published = pointer.published.as_ref().and_then(|it| seen.outcomes.get(&it.claim.run_id));
        let outcome = published.map(|(_, outcome)| outcome);
        // A run that could not go on after its claim, as its uploads had expired, leaves what it laid over published parts.
        // A stale finalizer may note again what has been retired since: the next retirement finds it gone.
        let noted: BTreeSet<&String> =
            pointer.displaced.iter().flat_map(|displaced| &displaced.visible).map(|left| &left.key).collect();
        self.count_notes(seen, pointer);
        let is_of_source = |run_id: &String| {
            seen.plans
                .get(run_id)
                .is_some_and(|plan| plan.run.source.key == pointer.key && plan.run.purpose.publishes())
        };
        let rows = outcome.map_or(0, |outcome| rows_of(&outcome.run.source.version));
        let mut fates = vec![0_u64; usize::try_from(rows).unwrap()];
        let own: BTreeSet<&String> =
            outcome.iter().flat_map(|it| it.parts.iter().chain(&it.quarantine)).map(|visible| &visible.key).collect();
        for (key, content) in seen.visible.iter().filter(|(_, content)| is_of_source(&content.run_id)) {
            let is_part = !key.starts_with(keys::QUARANTINE);
            if !own.contains(key) && (is_part || !noted.contains(key)) {
                self.dice.broken(Duplicated, format!("{key} of a run that readers do not see: {pointer:?}"));
            }
            let Some(outcome) = outcome.filter(|_| own.contains(key)) else { continue };
            let is_over = content.run_id != outcome.run.run_id;
            if is_over && !noted.contains(key) {
                self.dice.broken(Lost, format!("{key} is of run {}: {pointer:?}", content.run_id));
            }
            let version = &seen.plans[&content.run_id].run.source.version;
            if is_over && !same_version(version, &outcome.run.source.version) {
                self.dice.count("a part of a version that failed stays over a published one");
            }
            for row in content.first..content.end {
                if let Some(fate) = fates.get_mut(usize::try_from(row).unwrap()) {
                    *fate += 1;
                }
            }
        }
        let mut is_foreign = false;
        for key in own {
            is_foreign |= seen.foreign.contains_key(key);
            if !seen.visible.contains_key(key) && !seen.foreign.contains_key(key) {
                self.dice.broken(Lost, format!("{key} of the published run is missing: {pointer:?}"));
            }
        }
        let Some(outcome) = outcome else { return 0 };
        if is_foreign {
            self.dice.count("what somebody put over a published part outlasted the run");
            return 0;
        }
        let twice = fates.iter().filter(|fate| **fate > 1).count();
        let none = fates.iter().filter(|fate| **fate == 0).count() as u64;
        let is_mixed = seen.visible.iter().any(|(key, content)| {
            noted.contains(key) && is_of_source(&content.run_id) && content.run_id != outcome.run.run_id
        });
        if !is_mixed && (twice > 0 || none != outcome.rows.filtered) {
            let problem = format!("{twice} rows twice and {none} not at all, {:?}: {pointer:?}", outcome.rows);
            self.dice.broken(if twice > 0 { Duplicated } else { Lost }, problem);
        }
        rows
    }

    fn count_notes(&self, seen: &Seen, pointer: &Pointer) {
        let status = |run_id: &String| seen.outcomes.get(run_id).map(|(_, Outcome { status, .. })| *status);
        if pointer.displaced.iter().any(|displaced| status(&displaced.run_id) == Some(Status::Complete)) {
            self.dice.count("a note of retired objects stays");
        }
    }

    /// No upload is open that a record names, or whose owner lived to take it back.
    fn compare_uploads(&self) {
        let open = self.sink.open_uploads();
        if open.is_empty() {
            return;
        }
        let objects = self.sink.objects();
        let records = objects.iter().filter(|(key, _)| key.contains("/slices/"));
        let mut named = BTreeMap::new();
        for (key, bytes) in records {
            let record: SliceRecord = serde_json::from_slice(bytes).unwrap();
            let SliceResult::Done(done) = record.result else { continue };
            for part in done.parts.iter().chain(&done.quarantine) {
                named.insert(part.upload.upload_id.clone(), key.clone());
            }
        }
        for upload in open {
            if let Some(record) = named.get(&upload.upload_id) {
                self.dice.broken(Unfinished, format!("{upload:?} stays open, and {record} names it"));
            }
            let state = self.dice.state();
            let owner = state.owners[&upload.upload_id];
            let died = state.died.contains(&owner);
            drop(state);
            if !died {
                self.dice.broken(Unfinished, format!("{upload:?} stays open, and task {owner} ended well"));
            }
            self.dice.count("upload left to the lifecycle rule");
        }
    }
}
