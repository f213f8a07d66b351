//! What the world does to a run: sources change, requests come, uploads expire, time passes.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::FutureExt;

use super::dice::Odds;
use super::world::{DATASETS, Task, World};
use crate::event::{Intent, Request, Trigger};
use crate::ledger::{SliceResult, Status};
use crate::pipeline::check::check;
use crate::pipeline::open::Eagerness;
use crate::pipeline::request::request;
use crate::storage::{ObjectMeta, ObjectVersion, Storage};

/// What somebody puts where a part lies.
const FOREIGN: &[u8] = b"compacted by hand";

/// Longer than a run may stall.
pub const LONG_MS: i64 = 25 * 60_000;

impl World {
    /// A seed's own mixture of faults; every fourth has none but races.
    pub fn mix(&self) -> Odds {
        let dice = &self.dice;
        if dice.hits(250) {
            return Odds { duplicate: 200, freeze: 25, invisible: 40, ..Odds::default() };
        }
        Odds {
            fails_before: dice.below(30),
            reply_lost: dice.below(30),
            crash: dice.below(30),
            freeze: dice.below(40),
            message_lost: dice.below(60),
            duplicate: dice.below(300),
            invisible: dice.below(60),
            expire: dice.below(60),
            copied: dice.below(30),
            foreign: if dice.hits(200) { 10 } else { 0 },
        }
    }

    /// Perhaps something happens.
    pub fn happen(&mut self) {
        let Odds { expire, invisible, copied, foreign, .. } = self.dice.odds();
        // While a finalizer sleeps, what comes next to its source is what it may be stale to.
        if self.frozen.iter().any(Task::finalizes) && self.dice.hits(40) {
            return if self.dice.hits(600) { self.ask(Intent::Reprocess, "reprocess asked") } else { self.overwrite() };
        }
        match self.dice.below(1_000) {
            0..=11 => self.overwrite(),
            12..=14 => self.delete(),
            15..=19 => self.take_back(),
            20..=28 => self.ask(Intent::Reprocess, "reprocess asked"),
            29..=30 => self.ask(Intent::TestSubset, "test subset asked"),
            31..=33 => self.ask(Intent::Prune, "prune asked"),
            34..=37 => self.redrive(),
            38..=39 => self.retry(),
            40..=43 => self.apply(),
            44..=51 => self.ask(Intent::Heal, "sweep"),
            52..=61 => self.pass(LONG_MS),
            62..=91 => self.thaw(),
            roll if roll < 92 + invisible => self.show_again(),
            roll if roll < 92 + invisible + expire => self.expire(),
            roll if roll < 92 + invisible + expire + copied => self.copy_sink(),
            roll if roll < 92 + invisible + expire + copied + foreign => self.put_foreign(),
            roll if roll < 92 + invisible + expire + copied + 2 * foreign => drop(self.move_foreign_away()),
            _ => {}
        }
    }

    fn key(&self) -> &'static str {
        self.keys[self.dice.index(self.keys.len())]
    }

    /// Counts what happens to a source while a run of it is open.
    fn count_mid_run(&self, key: &str, count: &'static str) {
        let seen = self.reader.seen();
        let is_open = |run_id: &String| seen.plans.get(run_id).is_some_and(|plan| plan.run.source.key == key);
        if seen.open.iter().any(is_open) {
            self.dice.count(count);
        }
    }

    /// Writes a source: one of two contents, so that a content often returns; sometimes within the same second.
    pub fn overwrite(&mut self) {
        let key = self.key();
        self.put_source(key);
    }

    pub fn put_source(&mut self, key: &'static str) {
        self.pass(if self.dice.hits(100) { 10 } else { 1_000 });
        let etag = ["A", "B"][self.dice.index(2)].to_owned();
        self.count_mid_run(key, "overwritten mid-run");
        let mut all = self.sources.versions();
        let versions = all.entry(key).or_default();
        if versions.len() > 1 && versions.iter().rev().skip(1).any(|meta| meta.version.etag == etag) {
            self.dice.count("a content returned");
        }
        let now_ms = self.ctx.now_ms();
        let version_id = self.versioned.then(|| format!("v{}", self.ctx.clock.new_id()));
        let version = ObjectVersion { version_id, etag, last_modified_ms: now_ms - now_ms.rem_euclid(1_000) };
        self.dice.note(|| format!("SOURCE {key} is {version:?}"));
        versions.push(ObjectMeta { key: key.into(), size: 9, version, metadata: BTreeMap::new() });
        drop(all);
        if self.dice.hits(self.dice.odds().message_lost) {
            self.dice.count("event lost");
        } else {
            self.events.add(key.to_owned());
        }
    }

    fn delete(&mut self) {
        self.pass(1_000);
        let key = self.key();
        self.count_mid_run(key, "deleted mid-run");
        let version = ObjectVersion { version_id: None, etag: String::new(), last_modified_ms: self.ctx.now_ms() };
        let marker = ObjectMeta { key: key.into(), size: 0, version, metadata: BTreeMap::new() };
        self.sources.versions().entry(key).or_default().push(marker);
        self.dice.note(|| format!("SOURCE {key} deleted"));
    }

    /// Deletes the newest version, or the delete marker, of a bucket that keeps versions.
    fn take_back(&mut self) {
        let key = self.key();
        let mut all = self.sources.versions();
        let versions = all.entry(key).or_default();
        if self.versioned && versions.len() > 1 {
            versions.pop();
            self.dice.count("newest version taken back");
            self.dice.note(|| format!("SOURCE {key} back to {:?}", versions.last().map(|meta| &meta.version)));
        }
    }

    /// Sends the checker a request.
    pub fn ask(&mut self, intent: Intent, count: &'static str) {
        if intent == Intent::Reprocess {
            for key in self.keys {
                self.count_mid_run(key, "reprocessed mid-run");
            }
        }
        self.dice.count(count);
        let dataset = (intent != Intent::Heal).then(|| "trips".to_owned());
        // There are so few sources that each is often more than half of them.
        let asked = Request { intent, dataset, confirm: intent == Intent::Prune, ..Request::default() };
        let ctx = self.ctx.clone();
        let work = Box::pin(async move { check(&ctx, Trigger::Request(asked)).await.map(drop) });
        self.spawn("check", count.to_owned(), work);
    }

    /// Retries the runs that failed.
    fn redrive(&mut self) {
        let seen = self.reader.seen();
        let failed = seen.outcomes.values().filter(|(_, outcome)| outcome.status == Status::Failed);
        let runs: Vec<String> = failed.map(|(_, outcome)| outcome.run.run_id.clone()).take(2).collect();
        drop(seen);
        if runs.is_empty() {
            return;
        }
        self.dice.count("redrive asked");
        let asked = Request { intent: Intent::Redrive, runs, ..Request::default() };
        let ctx = self.ctx.clone();
        let work = Box::pin(async move { check(&ctx, Trigger::Request(asked)).await.map(drop) });
        self.spawn("check", "redrive".to_owned(), work);
    }

    /// Names sources on a command line: what failed is tried again.
    fn retry(&mut self) {
        self.dice.count("retried by a person");
        let (ctx, dataset) = (self.ctx.clone(), DATASETS[self.applied].clone());
        let work = Box::pin(async move {
            let eagerness = Eagerness { resend: false, retry: true };
            request(&ctx, &[dataset], &Request::default(), eagerness).await.map(drop)
        });
        self.spawn("check", "retry".to_owned(), work);
    }

    /// Applies another dataset file.
    pub fn apply(&mut self) {
        self.applied = self.dice.index(DATASETS.len());
        if !self.reader.seen().open.is_empty() {
            self.dice.count("applied mid-run");
        }
        let dataset = &DATASETS[self.applied];
        let key = crate::ledger::keys::dataset(&dataset.spec.name);
        let put = self.sink.put(&key, Bytes::copy_from_slice(dataset.text.as_bytes()));
        put.now_or_never().unwrap().unwrap();
        self.dice.note(|| format!("APPLIED {}", self.applied));
    }

    /// Aborts an upload behind our back.
    fn expire(&mut self) {
        let open = self.sink.open_uploads();
        if open.is_empty() {
            return;
        }
        let upload = &open[self.dice.index(open.len())];
        self.sink.abort_upload(&upload.key, &upload.upload_id).now_or_never().unwrap().unwrap();
        self.dice.count("upload expired");
        self.dice.note(|| format!("EXPIRED {} {}", upload.upload_id, upload.key));
    }

    /// Puts every part and quarantine file anew with the same bytes, as a copied or restored sink has them.
    pub fn copy_sink(&mut self) {
        if self.reader.seen().visible.is_empty() {
            return;
        }
        for (key, bytes) in self.sink.objects().into_iter().filter(|(key, _)| !key.starts_with("_rowmill/")) {
            self.sink.put(&key, bytes).now_or_never().unwrap().unwrap();
        }
        self.dice.count("sink copied");
        self.dice.note(|| "SINK COPIED".into());
    }

    /// Somebody puts an object where a part lies or is to lie. Not while a finalizer works or sleeps: from its check to its
    /// completion nothing keeps others from writing there.
    pub fn put_foreign(&mut self) {
        if self.tasks.iter().chain(&self.frozen).any(Task::finalizes) {
            return;
        }
        let seen = self.reader.seen();
        let records =
            seen.open.iter().filter_map(|run_id| seen.records.get(run_id)).flat_map(|slices| slices.values().flatten());
        let pending = records.flat_map(|record| match &record.result {
            SliceResult::Done(done) => done.parts.iter().map(|part| part.upload.key.clone()).collect(),
            SliceResult::Failed(_) => Vec::new(),
        });
        let keys = seen.visible.keys().cloned().chain(pending).filter(|key| key.starts_with("trips/"));
        let keys: Vec<String> = keys.collect();
        drop(seen);
        if keys.is_empty() {
            return;
        }
        let key = &keys[self.dice.index(keys.len())];
        self.sink.put(key, Bytes::from_static(FOREIGN)).now_or_never().unwrap().unwrap();
        self.reader.occupied(key);
        self.dice.count("somebody's object put");
        self.dice.note(|| format!("FOREIGN {key}"));
    }

    /// Moves away what somebody put where parts lie. True where there was any.
    pub fn move_foreign_away(&mut self) -> bool {
        let there = self.reader.seen().foreign.clone().into_iter().filter(|(_, is_there)| *is_there);
        let keys: Vec<String> = there.map(|(key, _)| key).collect();
        for key in &keys {
            self.sink.delete(key).now_or_never().unwrap().unwrap();
            self.dice.count("somebody's object moved away");
            self.dice.note(|| format!("FOREIGN MOVED AWAY {key}"));
        }
        self.reader.vacated();
        !keys.is_empty()
    }
}
