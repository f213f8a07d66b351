//! Opening: one run per version, whatever is delivered how often.

use std::sync::atomic::Ordering;

use super::fixture::{DATASET, Stack};
use crate::dataset::Dataset;
use crate::event::{Intent, ObjectCreated, Request, Trigger};
use crate::ledger::identity::Purpose;
use crate::ledger::{Failure, Source};
use crate::pipeline::check::{Answer, check};
use crate::pipeline::close;
use crate::pipeline::finalize::handle;
use crate::pipeline::message::Message;
use crate::pipeline::open::{Eagerness, Opened, Skip, open_incremental};
use crate::storage::Storage;

fn created(source: &Source) -> Trigger {
    Trigger::Object(ObjectCreated {
        bucket: source.bucket.clone(),
        key: source.key.clone(),
        version_id: None,
        etag: None,
        size: None,
        sequencer: None,
    })
}

async fn ask(stack: &Stack, request: Request) -> Answer {
    check(&stack.ctx, Trigger::Request(request)).await.unwrap()
}

#[tokio::test]
async fn the_same_event_twice_sends_one_message() {
    let stack = Stack::new();
    stack.ctx.ledger.apply(&stack.dataset).await.unwrap();
    let source = stack.source("in/a b+c.parquet", "1").await;
    let first = check(&stack.ctx, created(&source)).await.unwrap();
    let second = check(&stack.ctx, created(&source)).await.unwrap();
    assert_eq!((first.enqueued, second.enqueued, second.skipped), (1, 0, 1));
    assert_eq!(stack.work.take().len(), 1);
}

#[tokio::test]
async fn a_published_version_is_skipped_and_a_changed_dataset_file_does_not_change_that() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
    stack.finalized(&plan).await;
    let changed = Dataset::parse(&format!("{DATASET}row_group_rows = 7\n"), "trips.toml").unwrap();
    stack.ctx.ledger.apply(&changed).await.unwrap();
    assert_eq!(check(&stack.ctx, created(&source)).await.unwrap().skipped, 1);
    assert_eq!(ask(&stack, Request::default()).await.skipped, 1);
    assert_eq!(ask(&stack, Request { intent: Intent::Reprocess, ..Request::default() }).await.enqueued, 1);
}

#[tokio::test]
async fn a_request_for_stale_sources_reprocesses_those_that_another_dataset_file_published() {
    let stack = Stack::new();
    let changed = Dataset::parse(&format!("{DATASET}row_group_rows = 7\n"), "trips.toml").unwrap();
    stack.ctx.ledger.apply(&changed).await.unwrap();
    for key in ["in/a.parquet", "in/b.parquet"] {
        let source = stack.source(key, "1").await;
        let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
        stack.finalized(&plan).await;
    }
    stack.source("in/new.parquet", "1").await;
    let stale = Request { intent: Intent::Reprocess, stale: true, ..Request::default() };
    let dry = ask(&stack, Request { dry_run: true, ..stale.clone() }).await;
    assert_eq!((dry.matched, dry.enqueued, dry.skipped, dry.runs.len()), (3, 0, 1, 2));
    let one = ask(&stack, Request { limit: Some(1), ..stale.clone() }).await;
    assert_eq!((one.enqueued, one.skipped), (1, 0));
    let one = Request { pattern: Some("b.*".into()), ..stale.clone() };
    let runs = ask(&stack, one).await.runs;
    let open = stack.ctx.ledger.open_run(&runs[0]).await.unwrap().unwrap().value.run;
    assert_eq!((open.purpose, &open.config), (Purpose::Reprocess, &changed.hash));

    stack.ctx.ledger.apply(&stack.dataset).await.unwrap();
    let answer = ask(&stack, stale).await;
    assert_eq!((answer.enqueued, answer.skipped), (0, 3), "this file published both, and `new` is for a plain request");
}

#[tokio::test]
async fn the_relist_finds_a_file_whose_event_was_lost() {
    let stack = Stack::new();
    stack.ctx.ledger.apply(&stack.dataset).await.unwrap();
    stack.source("in/a.parquet", "1").await;
    stack.source("in/folder/b.parquet", "1").await;
    stack.source("other/c.parquet", "1").await;
    let answer = ask(&stack, Request::default()).await;
    assert_eq!((answer.matched, answer.enqueued), (1, 1), "`*` does not cross a slash, and uri bounds the listing");
    let dry = ask(&stack, Request { pattern: Some("**".into()), dry_run: true, ..Request::default() }).await;
    assert_eq!((dry.matched, dry.enqueued, dry.runs.len()), (2, 0, 2));
}

#[tokio::test]
async fn a_failed_version_waits_for_a_redrive_which_opens_a_new_generation() {
    let stack = Stack::new();
    stack.ctx.ledger.apply(&stack.dataset).await.unwrap();
    let source = stack.source("in/a.parquet", "1").await;
    check(&stack.ctx, created(&source)).await.unwrap();
    let Some(Message::File { run }) = stack.work.take().pop() else { panic!("no file message") };
    close::fail(&stack.ctx, &run, Failure { kind: "source".into(), message: "broken".into() }).await.unwrap();
    assert_eq!(ask(&stack, Request::default()).await.skipped, 1, "the relist does not try for ever");
    let redrive = Request { intent: Intent::Redrive, runs: vec![run.run_id.clone()], ..Request::default() };
    let answer = ask(&stack, redrive).await;
    assert_eq!(answer.enqueued, 1);
    assert_ne!(answer.runs.first(), Some(&run.run_id));
}

#[tokio::test]
async fn a_dataset_file_that_is_wrong_does_not_stop_the_others() {
    let stack = Stack::new();
    stack.ctx.ledger.apply(&stack.dataset).await.unwrap();
    stack.sink.put("_rowmill/datasets/broken.toml", bytes::Bytes::from_static(b"name = ")).await.unwrap();
    let source = stack.source("in/a.parquet", "1").await;
    assert_eq!(check(&stack.ctx, created(&source)).await.unwrap().enqueued, 1);
}

#[tokio::test]
async fn prune_removes_the_output_of_a_source_that_is_gone_and_a_new_one_is_ingested_again() {
    let stack = Stack::new();
    stack.ctx.ledger.apply(&stack.dataset).await.unwrap();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 2).await;
    stack.finalized(&plan).await;
    // It is the only output there is.
    let prune = Request { intent: Intent::Prune, confirm: true, ..Request::default() };
    stack.source("in/not-ingested.txt", "1").await;
    assert!(ask(&stack, prune.clone()).await.pruned.is_empty(), "the source is there");
    stack.bucket.delete("in/a.parquet").await.unwrap();
    assert_eq!(ask(&stack, prune).await.pruned, ["s3://source/in/a.parquet"]);
    for message in stack.finalizing.take() {
        handle(&stack.ctx, message).await.unwrap();
    }
    assert!(stack.seen("trips/").is_empty());
    let again = stack.source("in/a.parquet", "1").await;
    assert_eq!(check(&stack.ctx, created(&again)).await.unwrap().enqueued, 1);
}

#[tokio::test]
async fn a_version_that_comes_back_after_a_newer_one_was_taken_back_is_ingested_again() {
    let stack = Stack::new();
    stack.ctx.ledger.apply(&stack.dataset).await.unwrap();
    let first = stack.source("in/a.parquet", "1").await;
    let old = stack.ready(&first, Purpose::Incremental, "", 1).await;
    let second = stack.source("in/a.parquet", "2").await;
    stack.finalized(&old).await;
    stack.work.take();
    let new = stack.ready(&second, Purpose::Incremental, "", 1).await;
    stack.finalized(&new).await;
    // A bucket that keeps versions answers the first one again once the second is deleted.
    let opened = open_incremental(&stack.ctx, &stack.dataset, first.clone(), Eagerness::default()).await.unwrap();
    let Opened::Enqueued(run) = opened else { panic!("{opened:?}") };
    assert_eq!((run.purpose, run.source), (Purpose::Retry, first));
}

#[tokio::test]
async fn a_run_between_its_outcome_and_its_pointer_is_resumed_and_not_made_again() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
    let outcome = stack.finalized(&plan).await;
    let read = stack.ctx.ledger.pointer("trips", &source.bucket, &source.key).await.unwrap().unwrap();
    let mut crashed = read.value.clone();
    crashed.claim = crashed.published.take().map(|published| published.claim);
    stack.ctx.ledger.swap_pointer(Some(&read.etag), &crashed).await.unwrap().unwrap();
    stack.ctx.ledger.open(&outcome.run, stack.ctx.now_ms()).await.unwrap();
    let opened = open_incremental(&stack.ctx, &stack.dataset, source, Eagerness::default()).await.unwrap();
    let (Opened::Enqueued(run) | Opened::Skipped { run, why: Skip::Open }) = opened else { panic!("{opened:?}") };
    assert_eq!(run.run_id, plan.run.run_id);
    stack.finalized(&plan).await;
    stack.assert_only(&plan).await;
}

#[tokio::test]
async fn a_trigger_that_failed_before_it_sent_is_made_up_for_by_its_retry() {
    let stack = Stack::new();
    stack.ctx.ledger.apply(&stack.dataset).await.unwrap();
    let source = stack.source("in/a.parquet", "1").await;
    stack.work.refuses.store(true, Ordering::SeqCst);
    assert!(check(&stack.ctx, created(&source)).await.is_err());
    stack.work.refuses.store(false, Ordering::SeqCst);
    assert_eq!(check(&stack.ctx, created(&source)).await.unwrap().enqueued, 1);
    assert_eq!(check(&stack.ctx, created(&source)).await.unwrap().enqueued, 0);
}
