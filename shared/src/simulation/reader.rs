//! A reader who looks after every change, and what must hold then. It parses each ledger object once, when it is written,
//! and looks again only at what a change can have touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::dice::Dice;
use super::handmade::{Content, crc64, rows_of};
use super::report::Promise::{self, Duplicated, Early, Lost};
use super::steps;
use crate::ledger::identity::same_version;
use crate::ledger::{Outcome, Plan, Pointer, SliceDone, SliceRecord, SliceResult, Status, keys};
use crate::storage::MemoryStorage;

/// What was ever written, parsed.
#[derive(Debug, Default)]
pub struct Seen {
    pub plans: BTreeMap<String, Plan>,
    /// By run; as first written.
    pub outcomes: BTreeMap<String, (Bytes, Outcome)>,
    /// Every record that a slice ever had.
    pub records: BTreeMap<String, BTreeMap<u32, Vec<SliceRecord>>>,
    /// By key in the ledger, as it lies there now.
    pub pointers: BTreeMap<String, Pointer>,
    /// Runs that were ever open, and those that are.
    pub opened: BTreeSet<String>,
    pub open: BTreeSet<String>,
    /// Everything outside the ledger, as it lies there now.
    pub visible: BTreeMap<String, Content>,
    /// Keys at which somebody put an object of their own, and whether it lies there still.
    pub foreign: BTreeMap<String, bool>,
}

#[derive(Debug)]
pub struct Reader {
    sink: Arc<MemoryStorage>,
    dice: Dice,
    seen: Mutex<Seen>,
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> T {
    serde_json::from_slice(bytes).unwrap()
}

/// What follows `prefix` up to the next slash.
fn word_after<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    key.strip_prefix(prefix)?.split('/').next()
}

impl Reader {
    pub fn new(sink: Arc<MemoryStorage>, dice: &Dice) -> Self {
        Self { sink, dice: dice.clone(), seen: Mutex::default() }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which transition a swap of the pointer at `key` is.
    pub fn swap(&self, key: &str, bytes: &[u8]) -> &'static str {
        steps::swap(self.seen().pointers.get(key), &parsed(bytes))
    }

    /// The run that readers see of the source that `run_id` ingests.
    pub fn published_beside(&self, run_id: &str) -> Option<String> {
        let seen = self.seen();
        let source = &seen.plans.get(run_id)?.run.source;
        let pointer = seen.pointers.get(&keys::pointer("trips", &source.bucket, &source.key))?;
        Some(pointer.published.as_ref()?.claim.run_id.clone())
    }

    pub fn written(&self, key: &str, bytes: &Bytes) {
        let mut seen = self.seen();
        if key.starts_with(keys::SOURCES) {
            let pointer: Pointer = parsed(bytes);
            let before = seen.pointers.insert(key.to_owned(), pointer);
            self.look_at_pointer(&seen, key, before.as_ref());
        } else if let Some(run_id) = key.strip_prefix(keys::OPEN) {
            seen.opened.insert(run_id.to_owned());
            seen.open.insert(run_id.to_owned());
        } else if let Some(run_id) = word_after(key, "_rowmill/runs/trips/") {
            if key.ends_with("plan.json") {
                seen.plans.insert(run_id.to_owned(), parsed(bytes));
            } else if key.ends_with("outcome.json") {
                let outcome: Outcome = parsed(bytes);
                if let Some((first, _)) = seen.outcomes.get(run_id)
                    && first != bytes
                {
                    self.dice.broken(Duplicated, format!("run {run_id} has two outcomes"));
                }
                self.look_at_outcome(&seen, &outcome);
                seen.outcomes.entry(run_id.to_owned()).or_insert_with(|| (bytes.clone(), outcome));
            } else if !key.ends_with("notified.json") {
                let record: SliceRecord = parsed(bytes);
                seen.records.entry(run_id.to_owned()).or_default().entry(record.slice).or_default().push(record);
            }
        }
    }

    pub fn deleted(&self, key: &str) {
        let mut seen = self.seen();
        if let Some(run_id) = key.strip_prefix(keys::OPEN) {
            seen.open.remove(run_id);
        } else if key.ends_with("outcome.json") || key.ends_with("plan.json") {
            self.dice.broken(Lost, format!("{key} was deleted"));
        }
        if seen.foreign.get(key).copied().unwrap_or_default() {
            self.dice.broken(Lost, format!("somebody's object at {key} was deleted"));
        }
        if let Some(content) = seen.visible.remove(key) {
            self.look_at_source(&seen, &content.run_id);
        }
    }

    /// Somebody put an object of their own at `key`.
    pub fn occupied(&self, key: &str) {
        let mut seen = self.seen();
        seen.visible.remove(key);
        seen.foreign.insert(key.to_owned(), true);
    }

    /// Somebody moved their objects away.
    pub fn vacated(&self) {
        self.seen().foreign.values_mut().for_each(|is_there| *is_there = false);
    }

    /// An upload became an object.
    pub fn completed(&self, key: &str) {
        let Some(bytes) = self.sink.object(key) else { return };
        let mut seen = self.seen();
        if seen.foreign.remove(key).unwrap_or_default() {
            self.dice.broken(Lost, format!("somebody's object at {key} was replaced"));
        }
        let Some(content) = Content::decode(&bytes).filter(|content| content.key == key) else {
            return self.dice.broken(Lost, format!("{key} is torn: {bytes:?}"));
        };
        let run_id = content.run_id.clone();
        self.look_at_slices(&seen, key, &content, &bytes);
        seen.visible.insert(key.to_owned(), content);
        self.look_at_source(&seen, &run_id);
    }

    /// Nothing is visible before every slice of its run is recorded and every row has one fate.
    fn look_at_slices(&self, seen: &Seen, key: &str, content: &Content, bytes: &Bytes) {
        let Some(plan) = seen.plans.get(&content.run_id) else {
            return self.dice.broken(Early, format!("{key} is visible before its run is planned"));
        };
        let records = seen.records.get(&content.run_id);
        let (mut read, mut named) = (0, false);
        for slice in &plan.slices {
            let tries = records.and_then(|records| records.get(&slice.index)).into_iter().flatten();
            let done: Vec<&SliceDone> = tries
                .filter_map(|record| match &record.result {
                    SliceResult::Done(done) => Some(done.as_ref()),
                    SliceResult::Failed(_) => None,
                })
                .collect();
            let Some(last) = done.last() else {
                return self.dice.broken(Early, format!("{key} is visible before slice {} is recorded", slice.index));
            };
            let rows = last.rows;
            if !rows.conserved() || rows.read != slice.rows.end - slice.rows.start {
                self.dice.broken(Lost, format!("{key} is visible, and rows of slice {} are lost", slice.index));
            }
            read += rows.read;
            let parts = done.iter().flat_map(|done| done.parts.iter().chain(&done.quarantine));
            named |= parts.filter(|part| part.upload.key == key).any(|part| {
                part.rows == content.end - content.first
                    && part.upload.size == bytes.len() as u64
                    && part.upload.crc64 == crc64(bytes)
            });
        }
        if read != rows_of(&plan.run.source.version) {
            self.dice.broken(Lost, format!("{key} is visible, and {read} rows of its source were read"));
        }
        if !named {
            self.dice.broken(Early, format!("{key} is visible, and no record names it so"));
        }
    }

    /// A manifest's parts lie there, as it says.
    fn look_at_outcome(&self, seen: &Seen, outcome: &Outcome) {
        if outcome.status != Status::Complete {
            return;
        }
        let run = &outcome.run;
        let rows = outcome.rows;
        if !rows.conserved() || rows.read != rows_of(&run.source.version) {
            self.dice.broken(Lost, format!("run {}: rows do not add up: {rows:?}", run.run_id));
        }
        let in_parts: u64 = outcome.parts.iter().map(|part| part.rows).sum();
        let set_aside: u64 = outcome.quarantine.iter().map(|part| part.rows).sum();
        if (in_parts, set_aside) != (rows.written, rows.quarantined) {
            self.dice.broken(Lost, format!("run {}: its manifest holds {in_parts} rows of {rows:?}", run.run_id));
        }
        for part in outcome.parts.iter().chain(&outcome.quarantine) {
            let content = seen.visible.get(&part.key).filter(|content| content.run_id == run.run_id);
            let bytes = self.sink.object(&part.key).unwrap_or_default();
            let is_whole = part.bytes == bytes.len() as u64 && part.crc64 == crc64(&bytes);
            if content.is_none() || !is_whole {
                self.dice.broken(Lost, format!("run {} is complete, and {} is not its own", run.run_id, part.key));
            }
        }
    }

    fn look_at_pointer(&self, seen: &Seen, key: &str, before: Option<&Pointer>) {
        let pointer = &seen.pointers[key];
        if before.is_some_and(|before| before.epoch >= pointer.epoch) {
            self.dice.broken(Duplicated, format!("the pointer goes back: {pointer:?}"));
        }
        let published = pointer.published.as_ref();
        if let Some(published) = published.filter(|_| before.and_then(|it| it.published.as_ref()) != published) {
            let run_id = &published.claim.run_id;
            match seen.outcomes.get(run_id) {
                Some((_, outcome)) if outcome.status == Status::Complete => {
                    let parts: Vec<&String> = outcome.parts.iter().map(|part| &part.key).collect();
                    let own = |key: &&String| match seen.visible.get(*key) {
                        Some(content) => content.run_id == *run_id,
                        None => seen.foreign.contains_key(*key),
                    };
                    if parts != published.parts.iter().collect::<Vec<_>>() || !parts.iter().all(own) {
                        self.dice.broken(Lost, format!("run {run_id} is published without all of its parts"));
                    }
                }
                _ => self.dice.broken(Early, format!("run {run_id} is published before its outcome")),
            }
        }
        let run = pointer.published.iter().map(|it| &it.claim).chain(&pointer.claim).next();
        if let Some(claim) = run {
            self.look_at_source(seen, &claim.run_id);
        }
    }

    /// What a glob over one source's parts finds: nothing missing, nothing of a run that has no business there.
    fn look_at_source(&self, seen: &Seen, run_id: &str) {
        let Some(plan) = seen.plans.get(run_id) else { return };
        if !plan.run.purpose.publishes() {
            return;
        }
        let folder = &plan.parts_folder;
        let source = &plan.run.source;
        let pointer = seen.pointers.get(&keys::pointer("trips", &source.bucket, &source.key));
        let published = pointer.and_then(|pointer| pointer.published.as_ref());
        for part in published.iter().flat_map(|published| &published.parts) {
            if !seen.visible.contains_key(part) && !seen.foreign.contains_key(part) {
                self.dice.broken(Lost, format!("{part} is published and not there"));
            }
        }
        let below = || seen.visible.range(folder.clone()..).take_while(|(key, _)| key.starts_with(folder.as_str()));
        for (key, content) in below() {
            if let Some((promise, problem)) = owner(pointer, key, content) {
                self.dice.broken(promise, format!("{key}: {problem}: {pointer:?}"));
            }
        }
        let Some(published) = published else { return };
        let is_same = |content: &Content| {
            let plan = seen.plans.get(&content.run_id);
            plan.is_some_and(|plan| same_version(&plan.run.source.version, &published.claim.version))
        };
        let is_foreign = seen.foreign.keys().any(|key| key.starts_with(folder.as_str()));
        if !is_foreign && below().all(|(_, content)| is_same(content)) {
            let slices = |content: &Content| seen.plans[&content.run_id].slices.clone();
            let mut at = 0;
            for (key, content) in below() {
                let slice = slices(content).into_iter().find(|slice| slice.rows.contains(&content.first));
                let Some(slice) = slice.filter(|slice| slice.rows.start == at) else {
                    return self.dice.broken(
                        Duplicated,
                        format!("a glob does not see every row once: {key} does not go on at row {at}: {pointer:?}"),
                    );
                };
                at = slice.rows.end;
            }
            if at != rows_of(&published.claim.version) {
                self.dice.broken(Lost, format!("a glob sees {at} rows only: {pointer:?}"));
            }
        }
    }
}

/// What is wrong with `content` lying at `key`.
fn owner(pointer: Option<&Pointer>, key: &str, content: &Content) -> Option<(Promise, &'static str)> {
    let Some(pointer) = pointer else { return Some((Early, "visible without a claim")) };
    let run_id = &content.run_id;
    let claims = pointer.published.iter().map(|published| &published.claim).chain(&pointer.claim);
    if claims.into_iter().any(|claim| claim.run_id == *run_id) {
        return None;
    }
    let Some(displaced) = pointer.displaced.iter().find(|displaced| displaced.run_id == *run_id) else {
        return Some((Duplicated, "of a run that is retired or never claimed"));
    };
    let noted = !displaced.fenced || displaced.visible.iter().any(|left| left.key == key);
    (!noted).then_some((Duplicated, "left by a displaced run and noted nowhere"))
}
