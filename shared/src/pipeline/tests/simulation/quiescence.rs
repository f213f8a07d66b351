//! What must hold once faults have stopped, messages are worked off and sweeps find nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::happenings::LONG_MS;
use super::world::{BUCKET, KEY, World};
use crate::ledger::identity::same_version;
use crate::ledger::{Outcome, Pointer, SliceRecord, SliceResult, Status, keys};

impl World {
    fn ledger<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.sink.objects().get(key).map(|bytes| serde_json::from_slice(bytes).unwrap())
    }

    fn is_open(&self) -> bool {
        self.sink.objects().keys().any(|key| key.starts_with(keys::OPEN))
    }

    /// Works, relists and sweeps until every run has ended.
    pub fn settle(&mut self) {
        for _ in 0..30 {
            self.drain();
            let opening = self.opening(false);
            self.spawn("relist".into(), opening, None);
            self.drain();
            if !self.is_open() {
                return;
            }
            self.pass(LONG_MS);
            self.sweep();
        }
        panic!("runs stay open");
    }

    pub fn assert_settled(&self) {
        let outcomes: Vec<Outcome> = self
            .reader
            .opened()
            .iter()
            .map(|run_id| {
                let outcome = self.ledger(&keys::outcome("trips", run_id));
                outcome.unwrap_or_else(|| panic!("run {run_id} has no outcome"))
            })
            .collect();
        for outcome in &outcomes {
            self.dice.count(match outcome.status {
                Status::Complete => "run complete",
                Status::Failed => "run failed",
                Status::Superseded => "run superseded",
            });
            assert_eq!(outcome.status == Status::Complete, outcome.error.is_none(), "{outcome:?}");
        }
        let pointer: Option<Pointer> = self.ledger(&keys::pointer("trips", BUCKET, KEY));
        self.assert_newest(pointer.as_ref(), &outcomes);
        self.assert_visible(pointer.as_ref(), &outcomes);
        self.assert_uploads();
    }

    fn assert_newest(&self, pointer: Option<&Pointer>, outcomes: &[Outcome]) {
        let newest = self.versions.lock().unwrap().last().filter(|meta| meta.size > 0).cloned();
        let Some(newest) = newest else { return };
        let published = pointer.and_then(|pointer| pointer.published.as_ref());
        let is_published = published.is_some_and(|it| same_version(&it.claim.version, &newest.version));
        let failed = outcomes.iter().any(|outcome| {
            outcome.status == Status::Failed && same_version(&outcome.run.source.version, &newest.version)
        });
        assert!(is_published || failed, "{:?} is neither published nor failed: {pointer:?}", newest.version);
    }

    fn assert_visible(&self, pointer: Option<&Pointer>, outcomes: &[Outcome]) {
        let run = pointer.and_then(|pointer| pointer.published.as_ref()).map(|it| it.claim.run_id.clone());
        let outcome = run.as_ref().and_then(|run| outcomes.iter().find(|outcome| outcome.run.run_id == *run));
        let parts: BTreeMap<String, String> =
            outcome.iter().flat_map(|it| &it.parts).map(|part| (part.key.clone(), part.etag.clone())).collect();
        let content = |key: &String| format!("{} {key}", run.as_deref().unwrap_or_default());
        let expected: BTreeMap<String, String> = parts.keys().map(|key| (key.clone(), content(key))).collect();
        let objects = self.sink.objects();
        let below = |prefix: &'static str| objects.iter().filter(move |(key, _)| key.starts_with(prefix));
        let seen: BTreeMap<String, String> =
            below("trips/").map(|(key, bytes)| (key.clone(), String::from_utf8_lossy(bytes).into_owned())).collect();
        // A run that could not go on after its claim, as its uploads had expired, leaves what it laid over published parts.
        let over: BTreeSet<&String> =
            pointer.iter().flat_map(|it| &it.displaced).flat_map(|it| &it.visible).map(|left| &left.key).collect();
        assert_eq!(seen.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "readers: {pointer:#?}");
        let seen: BTreeMap<_, _> = seen.into_iter().filter(|(key, _)| !over.contains(key)).collect();
        let expected: BTreeMap<_, _> = expected.into_iter().filter(|(key, _)| !over.contains(key)).collect();
        assert_eq!(seen, expected, "readers see exactly the published run: {pointer:#?}");
        if let Some(pointer) = pointer {
            assert!(pointer.claim.is_none(), "a claim stays: {pointer:#?}");
            for displaced in &pointer.displaced {
                let status = outcomes.iter().find(|outcome| outcome.run.run_id == displaced.run_id).unwrap().status;
                // A note may be made twice, and its objects be gone already: who looks below sees no more than is expected.
                if status == Status::Complete {
                    self.dice.count("a note of retired objects stays");
                }
            }
        }
        let own: BTreeSet<String> = outcome.iter().flat_map(|it| &it.quarantine).map(|it| it.key.clone()).collect();
        let mut shown = own.clone();
        // A stale finalizer may note again what has been retired since: the next retirement finds it gone.
        shown.extend(pointer.iter().flat_map(|it| &it.displaced).flat_map(|it| &it.visible).map(|it| it.key.clone()));
        let set_aside: BTreeSet<String> = below("_quarantine/").map(|(key, _)| key.clone()).collect();
        assert!(
            own.is_subset(&set_aside) && set_aside.is_subset(&shown),
            "{set_aside:?}: the quarantine is the published run's and that of failures since: {pointer:#?}"
        );
    }

    /// No upload is open that a record names, or whose owner lived to take it back.
    fn assert_uploads(&self) {
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
        for upload in self.sink.open_uploads() {
            if let Some(record) = named.get(&upload.upload_id) {
                panic!("{upload:?} stays open, and {record} names it");
            }
            let (owner, died) = {
                let state = self.dice.state();
                let owner = state.owners[&upload.upload_id];
                (owner, state.died.contains(&owner))
            };
            assert!(died, "{upload:?} stays open, and task {owner} ended well");
            self.dice.count("upload left to the lifecycle rule");
        }
    }
}
