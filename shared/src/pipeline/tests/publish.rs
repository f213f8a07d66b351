//! Publishing: nothing before it is verified, everything once it is, and redelivery changes nothing.

use super::fixture::Stack;
use crate::ledger::identity::Purpose;
use crate::ledger::{Failure, SliceRecord, SliceResult, Status, keys};
use crate::pipeline::finalize::{Finalized, finalize};
use crate::pipeline::message::Message;
use crate::storage::Storage;

#[tokio::test]
async fn nothing_is_visible_before_the_last_slice_is_recorded() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.planned(&source, Purpose::Incremental, "", 3).await;
    stack.recorded(&plan, 0, 0).await;
    stack.recorded(&plan, 2, 0).await;
    let finalized = finalize(&stack.ctx, "trips", &plan.run.run_id).await.unwrap();
    assert_eq!(finalized, Finalized::Waiting { missing: 1 });
    assert!(stack.seen("trips/").is_empty());

    stack.recorded(&plan, 1, 4).await;
    let outcome = stack.finalized(&plan).await;
    assert_eq!(outcome.status, Status::Failed, "4 of 30 rows are above the limit of 5 %");
}

#[tokio::test]
async fn a_complete_run_shows_every_part_and_leaves_nothing_open() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 3).await;
    let outcome = stack.finalized(&plan).await;
    assert_eq!((outcome.status, outcome.rows.read, outcome.parts.len()), (Status::Complete, 30, 3));
    stack.assert_only(&plan).await;
    let pointer = stack.pointer(&source).await;
    assert_eq!(pointer.published.unwrap().claim.run_id, plan.run.run_id);
    assert!(pointer.claim.is_none() && pointer.displaced.is_empty());
}

#[tokio::test]
async fn redelivery_after_publication_changes_nothing() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 2).await;
    let first = stack.finalized(&plan).await;
    let before = stack.sink.objects();
    stack.pass(5_000);
    assert_eq!(stack.finalized(&plan).await, first);
    assert_eq!(stack.sink.objects(), before);
}

#[tokio::test]
async fn a_newer_version_replaces_each_part_in_place_and_retires_the_rest() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let old = stack.planned(&source, Purpose::Incremental, "", 30).await;
    for slice in &old.slices {
        stack.recorded(&old, slice.index, u64::from(slice.index == 0)).await;
    }
    stack.finalized(&old).await;
    assert_eq!(stack.seen("_quarantine/").len(), 1);

    let source = stack.source("in/a.parquet", "2").await;
    let new = stack.ready(&source, Purpose::Incremental, "", 2).await;
    stack.finalized(&new).await;
    stack.assert_only(&new).await;
    assert!(stack.seen("_quarantine/").is_empty(), "the old quarantine is retired as well");
}

#[tokio::test]
async fn a_failed_slice_fails_the_run_and_what_was_published_stays() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let old = stack.ready(&source, Purpose::Incremental, "", 2).await;
    stack.finalized(&old).await;

    let new = stack.planned(&source, Purpose::Reprocess, "01B", 2).await;
    let mut record = stack.recorded(&new, 0, 0).await;
    let failure = Failure { kind: "source".into(), message: "page 3 is corrupt".into() };
    record = SliceRecord { slice: 1, result: SliceResult::Failed(failure.clone()), ..record };
    stack.ctx.ledger.record_slice("trips", &record).await.unwrap();
    let outcome = stack.finalized(&new).await;
    assert_eq!((outcome.status, outcome.error), (Status::Failed, Some(failure)));
    stack.assert_only(&old).await;
}

#[tokio::test]
async fn too_much_quarantined_fails_the_run_shows_the_rows_and_the_next_run_retires_them() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let old = stack.ready(&source, Purpose::Incremental, "", 2).await;
    stack.finalized(&old).await;

    let bad = stack.planned(&source, Purpose::Reprocess, "01B", 2).await;
    for slice in &bad.slices {
        stack.recorded(&bad, slice.index, 9).await;
    }
    let outcome = stack.finalized(&bad).await;
    assert_eq!((outcome.status, outcome.quarantine.len(), outcome.parts.len()), (Status::Failed, 2, 0));
    assert_eq!(stack.seen("_quarantine/").len(), 2);
    stack.assert_only(&old).await;

    let good = stack.ready(&source, Purpose::Reprocess, "01C", 2).await;
    stack.finalized(&good).await;
    stack.assert_only(&good).await;
    assert!(stack.seen("_quarantine/").is_empty());
}

#[tokio::test]
async fn rows_that_do_not_add_up_are_never_published() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.planned(&source, Purpose::Incremental, "", 1).await;
    let mut record = stack.recorded(&plan, 0, 0).await;
    let key = keys::slice("trips", &plan.run.run_id, 0);
    stack.sink.delete(&key).await.unwrap();
    let SliceResult::Done(done) = &mut record.result else { unreachable!() };
    done.rows.kept -= 1;
    stack.ctx.ledger.record_slice("trips", &record).await.unwrap();
    let outcome = stack.finalized(&plan).await;
    assert_eq!(outcome.error.unwrap().kind, "conservation");
    assert!(stack.seen("trips/").is_empty());
}

#[tokio::test]
async fn an_upload_that_expired_is_made_again_before_anything_is_shown() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 2).await;
    let gone = stack.sink.open_uploads().pop().unwrap();
    stack.sink.abort_upload(&gone.key, &gone.upload_id).await.unwrap();
    let finalized = finalize(&stack.ctx, "trips", &plan.run.run_id).await.unwrap();
    assert_eq!(finalized, Finalized::Waiting { missing: 1 });
    assert!(stack.seen("trips/").is_empty());
    let Some(Message::Slice { slice, .. }) = stack.work.take().pop() else { panic!("no slice was sent") };
    stack.recorded(&plan, slice, 0).await;
    stack.finalized(&plan).await;
    stack.assert_only(&plan).await;
}

#[tokio::test]
async fn a_test_subset_touches_neither_the_pointer_nor_what_is_published() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let old = stack.ready(&source, Purpose::Incremental, "", 1).await;
    stack.finalized(&old).await;
    let pointer = stack.pointer(&source).await;
    let trial = stack.ready(&source, Purpose::TestSubset, "01T", 1).await;
    stack.finalized(&trial).await;
    assert_eq!(stack.pointer(&source).await, pointer);
    assert_eq!(stack.seen("test_pipeline/run-01T/trips/").len(), 1);
    stack.assert_only(&old).await;
}
