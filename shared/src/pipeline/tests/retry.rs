//! A fifth of the tasks fails, at random, and is tried five times, two seconds apart: what the old flow was tested with. Time
//! passes as the queues' messages become visible, and no real second does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::fixture::DATASET;
use crate::clock::Clock;
use crate::dataset::{Dataset, RetrySpec};
use crate::failing::arm;
use crate::ledger::identity::{Purpose, Run};
use crate::ledger::records::{FORMAT, PendingPart};
use crate::ledger::{Outcome, Plan, RowCounts, SliceDone, Status, keys};
use crate::pipeline::convert::Convert;
use crate::pipeline::finalize;
use crate::pipeline::message::Message;
use crate::pipeline::open::{self, source_of};
use crate::pipeline::process::process;
use crate::pipeline::publish::ATTEMPT;
use crate::pipeline::retry::{Retried, failed, policy};
use crate::pipeline::{Context, Limits};
use crate::queue::MemoryQueue;
use crate::simulation::Hand;
use crate::storage::{MemoryStores, Storage};
use crate::write::PendingUpload;
use crate::{Result, plan};

/// Longer than the test.
const VISIBILITY: Duration = Duration::from_secs(1 << 30);

/// Three slices of ten rows, each of which becomes one part.
struct Plain;

#[async_trait]
impl Convert for Plain {
    async fn plan(&self, ctx: &Context, run: &Run, _: Option<&Plan>) -> Result<Plan> {
        let dataset = ctx.config(&run.config).await?;
        Ok(Plan {
            format: FORMAT,
            run: run.clone(),
            follows: None,
            rows: 30,
            slices: plan::slices(30, 10, 1, 10)?,
            row_group_rows: 10,
            parts_folder: keys::parts(&dataset, run),
            quarantine_folder: keys::quarantine(&dataset, run),
            pages: None,
            text: None,
            notes: Vec::new(),
            created_at_ms: ctx.now_ms(),
            usage: None,
        })
    }

    async fn clean(&self, ctx: &Context, plan: &Plan, index: u32, attempt: &str) -> Result<SliceDone> {
        let (sink, key) = (ctx.ledger.sink(), keys::part(&plan.parts_folder, index));
        let metadata = BTreeMap::from([(ATTEMPT.to_owned(), attempt.to_owned())]);
        let upload_id = sink.begin_upload(&key, &metadata).await?;
        let content = Bytes::from(format!("{key} {}", plan.run.run_id));
        let size = content.len() as u64;
        let parts = vec![sink.put_part(&key, &upload_id, 1, content).await?];
        let upload = PendingUpload { key, upload_id, attempt: attempt.to_owned(), parts, size, crc64: "0".repeat(16) };
        let rows = RowCounts { read: 10, kept: 10, quarantined: 0, filtered: 0, written: 10 };
        let parts = vec![PendingPart { upload, rows: 10, row_groups: vec![10] }];
        Ok(SliceDone { rows, parts, ..SliceDone::default() })
    }
}

struct Flow {
    ctx: Context,
    clock: Arc<Hand>,
    bucket: Arc<dyn Storage>,
    work: Arc<MemoryQueue>,
    finalizing: Arc<MemoryQueue>,
    dataset: Dataset,
    /// Milliseconds between a failed receive and the next, over all messages.
    waits: Vec<i64>,
    /// The most receives of a message of each run.
    receives: BTreeMap<String, u32>,
}

impl Flow {
    fn new(retry: &str) -> Self {
        let clock = Arc::new(Hand::default());
        clock.now_ms.store(1_000_000, Ordering::SeqCst);
        let stores = Arc::new(MemoryStores::new(clock.clone()).with_min_part_bytes(1));
        let (sink, bucket) = (stores.bucket("sink"), stores.bucket("source"));
        let queue = |name| Arc::new(MemoryQueue::new(name, clock.clone(), VISIBILITY, u32::MAX));
        let (work, finalizing) = (queue("work"), queue("finalize"));
        let (sink, armed_work, armed_finalize) = arm(sink, Arc::clone(&work) as _, Arc::clone(&finalizing) as _);
        let ctx = Context::new(sink, stores, armed_work, armed_finalize, clock.clone(), Limits::default());
        let dataset = Dataset::parse(&format!("{DATASET}row_group_rows = 10\n{retry}"), "trips.toml").unwrap();
        let (waits, receives) = (Vec::new(), BTreeMap::new());
        Self { ctx, clock, bucket, work, finalizing, dataset, waits, receives }
    }

    async fn open(&self, name: &str) -> Run {
        let key = format!("in/{name}");
        self.bucket.put(&key, Bytes::from(name.to_owned())).await.unwrap();
        let source = source_of("s3://source", self.bucket.head(&key).await.unwrap().unwrap());
        let run = Run::new("trips", &self.dataset.hash, Purpose::Incremental, "", source);
        open::open(&self.ctx, &self.dataset, run.clone(), false).await.unwrap();
        run
    }

    /// Works both queues as the functions do, until nothing is left.
    async fn drain(&mut self) {
        while !self.work.is_empty() || !self.finalizing.is_empty() {
            let queues = [Arc::clone(&self.finalizing), Arc::clone(&self.work)];
            let received = queues.iter().find_map(|queue| Some((queue, queue.try_receive()?)));
            let Some((queue, delivery)) = received else {
                self.clock.now_ms.fetch_add(100, Ordering::SeqCst);
                continue;
            };
            let message = Message::decode(&delivery.body).unwrap();
            let most = self.receives.entry(message.run_id().to_owned()).or_default();
            *most = (*most).max(delivery.receive_count);
            let done = match &message {
                Message::Run { .. } => finalize::handle(&self.ctx, message.clone()).await.map(drop),
                _ => process(&self.ctx, &Plain, message.clone()).await.map(drop),
            };
            let Err(error) = done else {
                queue.ack(delivery.id);
                continue;
            };
            let policy = policy(&self.ctx, &message).await.unwrap_or_default();
            match failed(&self.ctx, policy, &message, delivery.receive_count, &error).await {
                Ok(Retried::GivenUp) => queue.ack(delivery.id),
                Ok(Retried::Later { after }) => {
                    self.waits.push(i64::try_from(after.as_millis()).unwrap());
                    queue.hide(delivery.id, after)
                }
                Err(_) => queue.hide(delivery.id, policy.ceiling),
            };
        }
    }

    async fn outcome(&self, run: &Run) -> Outcome {
        self.ctx.ledger.outcome("trips", &run.run_id).await.unwrap().unwrap()
    }
}

const OLD_FLOW: &str = "[retry]\nattempts = 5\nbackoff = \"2s\"\nceiling = \"2s\"\n";

#[tokio::test]
async fn a_fifth_of_the_tasks_fails_and_every_run_ends_complete_or_with_its_last_error() {
    let mut flow = Flow::new(OLD_FLOW);
    let mut runs = Vec::new();
    for number in 0..120 {
        runs.push(flow.open(&format!("{number} fail=upload.begin:before:1in5:error.parquet")).await);
    }
    flow.drain().await;
    let (mut complete, mut gave_up) = (0, 0);
    for run in &runs {
        let outcome = flow.outcome(run).await;
        let receives = flow.receives[&run.run_id];
        match outcome.status {
            Status::Complete => {
                assert!(receives <= 5, "{receives}");
                assert!(outcome.rows.read > 0 && outcome.rows.conserved());
                complete += 1;
            }
            _ => {
                let error = outcome.error.unwrap();
                assert_eq!((error.kind.as_str(), receives), ("storage", 5), "{error:?}");
                assert!(error.message.contains("failed 5 times") && error.message.contains("failpoint"), "{error:?}");
                gave_up += 1;
            }
        }
    }
    println!("{complete} complete, {gave_up} gave up, {} waits", flow.waits.len());
    assert!(complete >= 115 && flow.waits.len() > 60, "{complete} of {}, {} waits", runs.len(), flow.waits.len());
    assert!(flow.waits.iter().all(|wait_ms| (1_500..=2_000).contains(wait_ms)), "two seconds apart: {:?}", flow.waits);
    assert!(flow.ctx.ledger.open_runs().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_fails_every_time_ends_its_run_after_its_attempts_with_the_last_error() {
    let mut flow = Flow::new("[retry]\nattempts = 3\n");
    let slice = flow.open("1 fail=upload.begin:before:every:error.parquet").await;
    let plan = flow.open("2 fail=plan.put:before:every:error.parquet").await;
    let began_ms = flow.clock.now_ms();
    flow.drain().await;
    for (run, what) in [(slice, "slice "), (plan, "the plan")] {
        let outcome = flow.outcome(&run).await;
        assert_eq!((outcome.status, flow.receives[&run.run_id]), (Status::Failed, 3));
        let message = outcome.error.unwrap().message;
        assert!(
            message.starts_with(what) && message.contains("failed 3 times") && message.contains("redrive"),
            "{message}"
        );
    }
    let passed_ms = flow.clock.now_ms() - began_ms;
    assert!((4_000..10_000).contains(&passed_ms), "two waits, of 2 and 4 seconds less a quarter: {passed_ms}");
}

#[tokio::test]
async fn a_finalizers_message_is_never_given_up_here() {
    let mut flow = Flow::new("[retry]\nattempts = 2\nbackoff = \"1s\"\nceiling = \"1s\"\n");
    let calls: Vec<String> = (1..=6).map(|call| format!("outcome.put:before:{call}:error")).collect();
    let run = flow.open(&format!("1 fail={}.parquet", calls.join(","))).await;
    flow.drain().await;
    assert_eq!(flow.outcome(&run).await.status, Status::Complete);
    assert_eq!(flow.receives[&run.run_id], 7);
}

#[tokio::test]
async fn a_run_without_a_policy_of_its_own_has_the_default() {
    let flow = Flow::new("");
    let run = flow.open("1.parquet").await;
    let message = Message::File { run: Box::new(run) };
    assert_eq!(policy(&flow.ctx, &message).await, None);
    assert_eq!((RetrySpec::default().attempts, RetrySpec::default().backoff), (10, Duration::from_secs(2)));
}
