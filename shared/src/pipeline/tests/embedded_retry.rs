//! A dataset's `[retry]` on one machine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::SystemClock;
use crate::dataset::Dataset;
use crate::failing::arm;
use crate::ledger::Status;
use crate::ledger::identity::{Purpose, Run};
use crate::pipeline::embedded::{Progress, drain};
use crate::pipeline::open::{open, source_of};
use crate::pipeline::{Context, Limits};
use crate::queue::MemoryQueue;
use crate::storage::{MemoryStores, Storage};

/// Ingests one source of this name, and answers how its run ended, if it did, and what was given up for now.
async fn ingested(retry: &str, name: &str) -> (Option<(Status, String)>, usize) {
    let clock = Arc::new(SystemClock);
    let stores = Arc::new(MemoryStores::new(clock.clone()));
    let queue = |name| Arc::new(MemoryQueue::new(name, clock.clone(), Duration::from_secs(3_600), u32::MAX));
    let (sources, sink, work, finalize) = (stores.bucket("source"), stores.bucket("sink"), queue("work"), queue("end"));
    let (sink, armed_work, armed_finalize) = arm(sink, Arc::clone(&work) as _, Arc::clone(&finalize) as _);
    let ctx = Context::new(sink, stores, armed_work, armed_finalize, clock, Limits::default());
    let text = format!("name = \"t\"\n[source]\nformat = \"csv\"\n[output]\nprefix = \"t/\"\n{retry}");
    let dataset = Dataset::parse(&text, "t").unwrap();
    sources.put(name, Bytes::from_static(b"a\n1\n2\n")).await.unwrap();
    let source = source_of("s3://source", sources.head(name).await.unwrap().unwrap());
    let run = Run::new("t", &dataset.hash, Purpose::Incremental, "", source);
    open(&ctx, &dataset, run.clone(), false).await.unwrap();
    let mut gave_up = 0;
    drain(&ctx, &work, &finalize, 2, |progress| gave_up += usize::from(matches!(progress, Progress::GaveUp { .. })))
        .await
        .unwrap();
    let outcome = ctx.ledger.outcome("t", &run.run_id).await.unwrap();
    (outcome.map(|outcome| (outcome.status, outcome.error.map(|error| error.message).unwrap_or_default())), gave_up)
}

const QUICK: &str = "[retry]\nattempts = 3\nbackoff = \"10ms\"\nceiling = \"20ms\"\n";

#[tokio::test]
async fn what_fails_every_time_ends_its_run_after_the_attempts_that_the_dataset_allows() {
    let (ended, gave_up) = ingested(QUICK, "a fail=plan.put:before:every:error.parquet").await;
    let (status, message) = ended.unwrap();
    assert_eq!((status, gave_up), (Status::Failed, 0));
    assert!(message.contains("the plan failed 3 times"), "{message}");
}

#[tokio::test]
async fn what_fails_less_often_is_complete() {
    let name = "a fail=plan.put:before:1:error,slice.put:before:1:error,outcome.put:before:1:error.parquet";
    assert_eq!(ingested(QUICK, name).await, (Some((Status::Complete, String::new())), 0));
}

#[tokio::test]
async fn without_a_policy_the_run_stays_open_for_the_next_command() {
    let (ended, gave_up) = ingested("", "a fail=plan.put:before:every:error.parquet").await;
    assert_eq!((ended, gave_up), (None, 1));
}
