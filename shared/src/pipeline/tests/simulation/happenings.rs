//! What the world does to a run: sources change, requests come, uploads expire, time passes.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use super::dice::Odds;
use super::world::{BUCKET, KEY, World};
use crate::Result;
use crate::ledger::identity::{Purpose, Run};
use crate::pipeline::heal::heal;
use crate::pipeline::message::Message;
use crate::pipeline::open::{Eagerness, open, open_incremental, source_of};
use crate::storage::{ObjectMeta, ObjectVersion, Storage};

/// Longer than a run may stall.
pub const LONG_MS: i64 = 25 * 60_000;

impl World {
    /// A seed's own mixture of faults; every fourth has none but races.
    pub fn mix(&self) -> Odds {
        let dice = &self.dice;
        if dice.hits(250) {
            return Odds { duplicate: 200, freeze: 20, ..Odds::default() };
        }
        Odds {
            fails_before: dice.below(30),
            reply_lost: dice.below(30),
            crash: dice.below(15),
            freeze: dice.below(25),
            message_lost: dice.below(60),
            duplicate: dice.below(300),
            expire: dice.below(60),
        }
    }

    /// Perhaps something happens.
    pub fn happen(&mut self) {
        let expire = self.dice.odds().expire;
        match self.dice.below(1_000) {
            0..=11 => self.overwrite(),
            12..=15 => self.delete(),
            16..=21 => self.take_back(),
            22..=31 => self.reprocess(),
            32..=34 => self.event("retry", "retried by a person"),
            35..=37 => self.prune(),
            38..=52 => self.sweep(),
            53..=60 => self.pass(LONG_MS),
            61..=80 => self.thaw(),
            roll if roll < 81 + expire / 2 => self.expire(),
            _ => {}
        }
    }

    fn event(&mut self, body: &str, count: &'static str) {
        self.dice.count(count);
        if self.dice.hits(self.dice.odds().message_lost) {
            self.dice.count("event lost");
        } else {
            self.events.add(body.to_owned());
        }
    }

    /// Writes the source: one of two contents, so that a content often returns.
    pub fn overwrite(&mut self) {
        self.pass(1_000);
        let etag = ["A", "B"][self.dice.index(2)].to_owned();
        let mut versions = self.versions.lock().unwrap();
        if versions.iter().rev().skip(1).any(|meta| meta.version.etag == etag) {
            self.dice.count("a content returned");
        }
        let last_modified_ms = self.ctx.now_ms();
        let version_id = self.versioned.then(|| format!("v{last_modified_ms}"));
        let version = ObjectVersion { version_id, etag, last_modified_ms };
        self.dice.note(format!("SOURCE is {version:?}"));
        versions.push(ObjectMeta { key: KEY.into(), size: 9, version, metadata: BTreeMap::new() });
        drop(versions);
        self.event("created", "overwritten");
    }

    fn delete(&mut self) {
        self.pass(1_000);
        let last_modified_ms = self.ctx.now_ms();
        let version = ObjectVersion { version_id: None, etag: String::new(), last_modified_ms };
        let marker = ObjectMeta { key: KEY.into(), size: 0, version, metadata: BTreeMap::new() };
        self.versions.lock().unwrap().push(marker);
        self.dice.count("deleted");
        self.dice.note("SOURCE deleted".into());
    }

    /// Deletes the newest version, or the delete marker, of a bucket that keeps versions.
    fn take_back(&mut self) {
        let mut versions = self.versions.lock().unwrap();
        if self.versioned && versions.len() > 1 {
            versions.pop();
            self.dice.count("newest version taken back");
            self.dice.note(format!("SOURCE back to {:?}", versions.last().map(|meta| &meta.version)));
        }
    }

    /// The checker's work on an event, or the relist's.
    pub fn opening(&self, retry: bool) -> Pin<Box<dyn Future<Output = Result<()>>>> {
        let (ctx, dataset) = (self.ctx.clone(), Arc::clone(&self.dataset));
        Box::pin(async move {
            let storage = ctx.stores.open(BUCKET).await?;
            let Some(meta) = storage.head(KEY).await? else { return Ok(()) };
            let source = source_of(BUCKET, meta);
            let eagerness = Eagerness { resend: false, retry };
            open_incremental(&ctx, &dataset, source, eagerness).await?;
            Ok(())
        })
    }

    fn reprocess(&mut self) {
        self.dice.count("reprocess requested");
        let (ctx, dataset) = (self.ctx.clone(), Arc::clone(&self.dataset));
        let work = Box::pin(async move {
            let generation = ctx.clock.new_id();
            let storage = ctx.stores.open(BUCKET).await?;
            let Some(meta) = storage.head(KEY).await? else { return Ok(()) };
            let source = source_of(BUCKET, meta);
            let run = Run::new("trips", &dataset.hash, Purpose::Reprocess, &generation, source);
            open(&ctx, &dataset, run, false).await?;
            Ok(())
        });
        self.spawn("reprocess".into(), work, None);
    }

    fn prune(&mut self) {
        self.dice.count("prune asked");
        let message = Message::Prune { dataset: "trips".into(), bucket: BUCKET.into(), key: KEY.into() };
        self.finalizing.add(message.encode().unwrap());
    }

    pub fn sweep(&mut self) {
        self.dice.count("swept");
        let ctx = self.ctx.clone();
        self.spawn("heal".into(), Box::pin(async move { heal(&ctx, false).await.map(drop) }), None);
    }

    /// Aborts an upload behind our back.
    fn expire(&mut self) {
        let open = self.sink.open_uploads();
        if open.is_empty() {
            return;
        }
        let upload = &open[self.dice.index(open.len())];
        let aborted = self.sink.abort_upload(&upload.key, &upload.upload_id);
        futures::FutureExt::now_or_never(aborted).unwrap().unwrap();
        self.dice.count("upload expired");
        self.dice.note(format!("EXPIRED {} {}", upload.upload_id, upload.key));
    }
}
