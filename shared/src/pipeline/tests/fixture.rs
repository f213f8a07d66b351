//! A stack in memory: a source bucket, a sink, two queues that keep what was sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Clock;
use crate::dataset::Dataset;
use crate::ledger::identity::{Purpose, Run, Source};
use crate::ledger::records::{FORMAT, PendingPart};
use crate::ledger::{Outcome, Plan, Pointer, RowCounts, SliceDone, SliceRecord, SliceResult, keys};
use crate::pipeline::finalize::{Finalized, finalize};
use crate::pipeline::message::Message;
use crate::pipeline::open::source_of;
use crate::pipeline::publish::ATTEMPT;
use crate::pipeline::{Context, Limits};
use crate::plan;
use crate::queue::Queue;
use crate::simulation::Hand;
use crate::storage::{Content, MemoryStorage, MemoryStores, Storage};
use crate::write::PendingUpload;
use crate::{Error, Result};

pub const DATASET: &str = r#"
name = "trips"
[source]
uri = "s3://source/in/"
pattern = "*.parquet"
format = "parquet"
[output]
prefix = "trips/"
"#;

/// A queue that keeps what was sent.
#[derive(Debug, Default)]
pub struct Sent {
    bodies: Mutex<Vec<String>>,
    pub backlog: AtomicU64,
    /// Whether sending fails.
    pub refuses: AtomicBool,
}

impl Sent {
    pub fn take(&self) -> Vec<Message> {
        self.take_counted().into_iter().map(|(message, _)| message).collect()
    }

    /// Each with how often it was stopped.
    pub fn take_counted(&self) -> Vec<(Message, u32)> {
        let bodies = std::mem::take(&mut *self.bodies.lock().unwrap());
        bodies.iter().map(|body| Message::decode_counted(body).unwrap()).collect()
    }
}

#[async_trait]
impl Queue for Sent {
    async fn send(&self, bodies: &[String]) -> Result<()> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Error::Queue { queue: "test".into(), problem: "refused".into() });
        }
        self.bodies.lock().unwrap().extend_from_slice(bodies);
        Ok(())
    }

    async fn waiting(&self) -> Result<u64> {
        Ok(self.backlog.load(Ordering::SeqCst))
    }
}

pub struct Stack {
    pub ctx: Context,
    pub clock: Arc<Hand>,
    pub sink: Arc<MemoryStorage>,
    pub bucket: Arc<MemoryStorage>,
    pub work: Arc<Sent>,
    pub finalizing: Arc<Sent>,
    pub dataset: Dataset,
}

impl Stack {
    pub fn new() -> Self {
        let clock = Arc::new(Hand { now_ms: AtomicI64::new(1_000_000), ids: AtomicU64::new(0) });
        let stores = Arc::new(MemoryStores::new(clock.clone()).with_min_part_bytes(1));
        let (sink, bucket) = (stores.bucket("sink"), stores.bucket("source"));
        let (work, finalizing) = (Arc::new(Sent::default()), Arc::new(Sent::default()));
        // A slice is a message of its own, so that a test can deliver each as it likes.
        let limits = Limits { small_whole: false, ..Limits::default() };
        let ctx = Context::new(sink.clone(), stores, work.clone(), finalizing.clone(), clock.clone(), limits);
        let dataset = Dataset::parse(DATASET, "trips.toml").unwrap();
        Self { ctx, clock, sink, bucket, work, finalizing, dataset }
    }

    pub fn pass(&self, ms: i64) {
        self.clock.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Writes a source and looks it up. A second passes, so that every write is another version.
    pub async fn source(&self, key: &str, content: &str) -> Source {
        self.pass(1_000);
        self.bucket.put(key, Bytes::copy_from_slice(content.as_bytes())).await.unwrap();
        source_of("s3://source", self.bucket.head(key).await.unwrap().unwrap())
    }

    /// Opens a run and plans `slices` slices of 10 rows.
    pub async fn planned(&self, source: &Source, purpose: Purpose, generation: &str, slices: u64) -> Plan {
        let run = Run::new("trips", &self.dataset.hash, purpose, generation, source.clone());
        self.ctx.ledger.keep_config(&self.dataset).await.unwrap();
        self.ctx.ledger.open(&run, self.ctx.now_ms()).await.unwrap();
        let plan = Plan {
            format: FORMAT,
            follows: None,
            rows: slices * 10,
            slices: plan::slices(slices * 10, 10, 1, 1_000).unwrap(),
            row_group_rows: 10,
            parts_folder: keys::parts(&self.dataset, &run),
            quarantine_folder: keys::quarantine(&self.dataset, &run),
            pages: None,
            text: None,
            notes: Vec::new(),
            created_at_ms: self.ctx.now_ms(),
            usage: None,
            run,
        };
        self.ctx.ledger.settle_plan(plan).await.unwrap()
    }

    async fn upload(&self, key: String, run_id: &str, rows: u64) -> PendingPart {
        let attempt = self.clock.new_id();
        let metadata = BTreeMap::from([(ATTEMPT.to_owned(), attempt.clone())]);
        let upload_id = self.sink.begin_upload(&key, &metadata).await.unwrap();
        let content = Bytes::from(format!("{run_id} {key}"));
        let Content { bytes: size, crc64 } = Content::of(&content);
        let part = self.sink.put_part(&key, &upload_id, 1, content).await.unwrap();
        let upload = PendingUpload { key, upload_id, attempt, parts: vec![part], size, crc64 };
        PendingPart { upload, rows, row_groups: vec![rows] }
    }

    /// Records one slice as a processor would, with `quarantined` of its 10 rows set aside.
    pub async fn recorded(&self, plan: &Plan, index: u32, quarantined: u64) -> SliceRecord {
        let run_id = &plan.run.run_id;
        let kept = 10 - quarantined;
        let mut quarantine = Vec::new();
        if quarantined > 0 {
            quarantine.push(self.upload(keys::part(&plan.quarantine_folder, index), run_id, quarantined).await);
        }
        let done = SliceDone {
            rows: RowCounts { read: 10, kept, quarantined, filtered: 0, written: kept },
            parts: vec![self.upload(keys::part(&plan.parts_folder, index), run_id, kept).await],
            quarantine,
            ..SliceDone::default()
        };
        let record = SliceRecord {
            format: FORMAT,
            run_id: run_id.clone(),
            slice: index,
            attempt: self.clock.new_id(),
            recorded_at_ms: self.ctx.now_ms(),
            usage: None,
            result: SliceResult::Done(Box::new(done)),
        };
        assert!(self.ctx.ledger.record_slice("trips", &record).await.unwrap());
        record
    }

    /// A run with all its slices recorded.
    pub async fn ready(&self, source: &Source, purpose: Purpose, generation: &str, slices: u64) -> Plan {
        let plan = self.planned(source, purpose, generation, slices).await;
        for slice in &plan.slices {
            self.recorded(&plan, slice.index, 0).await;
        }
        plan
    }

    pub async fn finalized(&self, plan: &Plan) -> Outcome {
        match finalize(&self.ctx, "trips", &plan.run.run_id).await.unwrap() {
            Finalized::Ended(outcome) => *outcome,
            other => panic!("not ended: {other:?}"),
        }
    }

    pub async fn pointer(&self, source: &Source) -> Pointer {
        self.ctx.ledger.pointer("trips", &source.bucket, &source.key).await.unwrap().unwrap().value
    }

    /// Puts every object below `prefix` anew with the same bytes, as `aws s3 sync` does: they have other ETags.
    pub async fn copy(&self, prefix: &str) {
        for (key, bytes) in self.sink.objects().into_iter().filter(|(key, _)| key.starts_with(prefix)) {
            let before = self.sink.head(&key).await.unwrap().unwrap().version.etag;
            assert_ne!(self.sink.put(&key, bytes).await.unwrap(), before);
        }
    }

    /// What a reader who globs `prefix` sees: key and content.
    pub fn seen(&self, prefix: &str) -> Vec<(String, String)> {
        let objects = self.sink.objects();
        let seen = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        seen.map(|(key, bytes)| (key.clone(), String::from_utf8_lossy(bytes).into_owned())).collect()
    }

    /// Asserts that readers see exactly `plan`'s parts, and that nothing is left open.
    pub async fn assert_only(&self, plan: &Plan) {
        self.assert_readers_see(plan).await;
        assert!(self.ctx.ledger.open_runs().await.unwrap().is_empty(), "every run is closed");
    }

    /// Asserts that readers see exactly `plan`'s parts, and that no upload is left open.
    pub async fn assert_readers_see(&self, plan: &Plan) {
        let expected: Vec<_> = plan
            .slices
            .iter()
            .map(|slice| keys::part(&plan.parts_folder, slice.index))
            .map(|key| (key.clone(), format!("{} {key}", plan.run.run_id)))
            .collect();
        assert_eq!(self.seen("trips/"), expected);
        assert_eq!(self.sink.open_uploads(), []);
    }
}
