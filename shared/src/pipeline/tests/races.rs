//! Races that must end well: newer versions, later requests, stale finalizers, crashes between two steps.

use super::fixture::Stack;
use crate::ledger::identity::Purpose;
use crate::ledger::records::{Claim, Left};
use crate::ledger::transition::{ClaimDecision, SourceNow};
use crate::ledger::{Failure, SliceRecord, Stamped, Status, transition};
use crate::pipeline::finalize::finalize;
use crate::pipeline::message::Message;
use crate::pipeline::{close, publish};
use crate::storage::{CompleteOutcome, Storage};

#[tokio::test]
async fn a_source_overwritten_before_the_claim_supersedes_the_run_which_enqueues_the_new_version() {
    let stack = Stack::new();
    let first = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&first, Purpose::Incremental, "", 2).await;
    let second = stack.source("in/a.parquet", "2").await;
    let outcome = stack.finalized(&plan).await;
    assert_eq!(outcome.status, Status::Superseded);
    assert!(stack.seen("trips/").is_empty());
    assert_eq!(stack.sink.open_uploads(), []);
    let Some(Message::File { run }) = stack.work.take().pop() else { panic!("no file message") };
    assert_eq!(run.source, second);
}

#[tokio::test]
async fn a_source_that_returns_to_its_first_content_is_a_new_version() {
    let stack = Stack::new();
    let first = stack.source("in/a.parquet", "A").await;
    let old = stack.ready(&first, Purpose::Incremental, "", 1).await;
    stack.source("in/a.parquet", "B").await;
    let again = stack.source("in/a.parquet", "A").await;
    assert_eq!(stack.finalized(&old).await.status, Status::Superseded);
    let new = stack.ready(&again, Purpose::Incremental, "", 1).await;
    assert_ne!(old.run.run_id, new.run.run_id);
    stack.finalized(&new).await;
    stack.assert_only(&new).await;
}

#[tokio::test]
async fn a_source_deleted_after_its_slices_were_read_is_published() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
    stack.bucket.delete("in/a.parquet").await.unwrap();
    assert_eq!(stack.finalized(&plan).await.status, Status::Complete);
    stack.assert_only(&plan).await;
}

#[tokio::test]
async fn an_earlier_request_gives_way_to_a_later_one() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let early = stack.ready(&source, Purpose::Reprocess, "01A", 2).await;
    let late = stack.ready(&source, Purpose::Reprocess, "01B", 2).await;
    stack.finalized(&late).await;
    assert_eq!(stack.finalized(&early).await.status, Status::Superseded);
    stack.assert_only(&late).await;
}

/// Claims for `plan` as its finalizer would, and stops there: a crash, or a process that sleeps.
async fn claim_only(stack: &Stack, plan: &crate::ledger::Plan) {
    let source = &plan.run.source;
    let read = stack.ctx.ledger.pointer("trips", &source.bucket, &source.key).await.unwrap();
    let (pointer, etag) = (read.as_ref().map(|read| &read.value), read.as_ref().map(|read| read.etag.as_str()));
    let decision = transition::decide_claim(pointer, "trips", source, &Claim::of(&plan.run), SourceNow::Current);
    let ClaimDecision::Take(next) = decision else { panic!("{decision:?}") };
    assert!(stack.ctx.ledger.swap_pointer(etag, &next).await.unwrap().is_some());
}

#[tokio::test]
async fn a_finalizer_that_crashed_after_any_number_of_completions_is_finished_by_redelivery() {
    for completed in 0..=3 {
        let stack = Stack::new();
        let source = stack.source("in/a.parquet", "1").await;
        let plan = stack.ready(&source, Purpose::Incremental, "", 3).await;
        claim_only(&stack, &plan).await;
        complete_some(&stack, &plan, completed).await;
        assert_eq!(stack.finalized(&plan).await.status, Status::Complete);
        stack.assert_only(&plan).await;
    }
}

async fn complete_some(stack: &Stack, plan: &crate::ledger::Plan, count: usize) {
    let records = stack.ctx.ledger.slices("trips", &plan.run.run_id).await.unwrap();
    for part in close::pending(&records).take(count) {
        let upload = &part.upload;
        let completed = stack.sink.complete_upload(&upload.key, &upload.upload_id, &upload.parts).await.unwrap();
        assert!(matches!(completed, CompleteOutcome::Completed { .. }));
    }
}

async fn completes_nothing(stack: &Stack, records: &[Stamped<SliceRecord>]) {
    for part in close::pending(records) {
        let upload = &part.upload;
        let completed = stack.sink.complete_upload(&upload.key, &upload.upload_id, &upload.parts).await.unwrap();
        assert_eq!(completed, CompleteOutcome::Gone);
    }
}

#[tokio::test]
async fn a_stale_claim_is_fenced_and_whatever_it_completed_is_retired() {
    for completed in 0..=3 {
        let stack = Stack::new();
        let source = stack.source("in/a.parquet", "1").await;
        let stale = stack.ready(&source, Purpose::Incremental, "", 3).await;
        claim_only(&stack, &stale).await;
        complete_some(&stack, &stale, completed).await;

        let late = stack.ready(&source, Purpose::Reprocess, "01B", 1).await;
        assert_eq!(stack.finalized(&late).await.status, Status::Complete);
        assert_eq!(stack.finalized(&stale).await.status, Status::Superseded, "the stale finalizer wakes up");
        stack.assert_only(&late).await;
    }
}

#[tokio::test]
async fn a_run_that_holds_the_claim_goes_on_even_if_the_source_was_overwritten_since() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 3).await;
    claim_only(&stack, &plan).await;
    complete_some(&stack, &plan, 1).await;
    stack.source("in/a.parquet", "2").await;
    // Half of it is visible, and the new version's run may fail: only going on leaves no half behind.
    assert_eq!(stack.finalized(&plan).await.status, Status::Complete);
    stack.assert_only(&plan).await;
}

#[tokio::test]
async fn a_finalizer_that_was_about_to_complete_when_it_was_fenced_completes_nothing() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let stale = stack.ready(&source, Purpose::Incremental, "", 3).await;
    claim_only(&stack, &stale).await;
    let records = stack.ctx.ledger.slices("trips", &stale.run.run_id).await.unwrap();
    let late = stack.ready(&source, Purpose::Reprocess, "01B", 1).await;
    stack.finalized(&late).await;
    // It read its records and held the claim before it fell asleep, so completing is the next thing it does.
    completes_nothing(&stack, &records).await;
    stack.finalized(&stale).await;
    stack.assert_only(&late).await;
}

/// Ends a run as after a crash between the outcome and the pointer.
async fn complete_unmarked(stack: &Stack, plan: &crate::ledger::Plan) {
    let outcome = stack.finalized(plan).await;
    let source = &plan.run.source;
    let read = stack.ctx.ledger.pointer("trips", &source.bucket, &source.key).await.unwrap().unwrap();
    let mut crashed = read.value.clone();
    crashed.published = None;
    crashed.claim = Some(Claim::of(&outcome.run));
    stack.ctx.ledger.swap_pointer(Some(&read.etag), &crashed).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_run_whose_outcome_is_written_but_whose_pointer_is_not_is_retired_as_if_published() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let early = stack.ready(&source, Purpose::Incremental, "", 3).await;
    complete_unmarked(&stack, &early).await;
    let source = stack.source("in/a.parquet", "2").await;
    let late = stack.ready(&source, Purpose::Incremental, "", 1).await;
    stack.finalized(&late).await;
    stack.finalized(&early).await;
    stack.assert_only(&late).await;
}

#[tokio::test]
async fn two_finalizers_at_once_publish_once() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 3).await;
    let (left, right) = tokio::join!(stack.finalized(&plan), stack.finalized(&plan));
    assert_eq!(left, right);
    stack.assert_only(&plan).await;
}

/// A run of one slice with a part and a quarantine file, of which the quarantine's upload is gone.
async fn half_expired(stack: &Stack, source: &crate::ledger::Source) -> crate::ledger::Plan {
    let plan = stack.planned(source, Purpose::Incremental, "", 30).await;
    for slice in &plan.slices {
        stack.recorded(&plan, slice.index, u64::from(slice.index == 0)).await;
    }
    let gone = stack.sink.open_uploads().into_iter().find(|upload| upload.key.starts_with("_quarantine/")).unwrap();
    stack.sink.abort_upload(&gone.key, &gone.upload_id).await.unwrap();
    plan
}

#[tokio::test]
async fn no_upload_outlives_the_record_that_names_it() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = half_expired(&stack, &source).await;
    claim_only(&stack, &plan).await;
    let stale = stack.ctx.ledger.slices("trips", &plan.run.run_id).await.unwrap();
    finalize(&stack.ctx, "trips", &plan.run.run_id).await.unwrap();
    stack.recorded(&plan, 0, 0).await;
    let late = stack.ready(&source, Purpose::Reprocess, "01B", 1).await;
    stack.finalized(&late).await;
    // A finalizer that had read the first record wakes up.
    completes_nothing(&stack, &stale).await;
    stack.finalized(&plan).await;
    stack.assert_only(&late).await;
}

#[tokio::test]
async fn a_run_that_fails_after_its_claim_hides_what_it_completed_and_gives_the_claim_back() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 3).await;
    claim_only(&stack, &plan).await;
    complete_some(&stack, &plan, 1).await;
    let failure = crate::ledger::Failure { kind: "killed".into(), message: "no progress".into() };
    crate::pipeline::close::fail(&stack.ctx, &plan.run, failure).await.unwrap();
    assert_eq!(stack.finalized(&plan).await.status, Status::Failed);
    assert!(stack.seen("trips/").is_empty());
    assert!(stack.pointer(&source).await.claim.is_none());
    assert_eq!(stack.sink.open_uploads(), []);
}

#[tokio::test]
async fn a_run_that_has_ended_does_not_claim_again_after_its_output_was_pruned() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
    stack.finalized(&plan).await;
    stack.bucket.delete("in/a.parquet").await.unwrap();
    crate::pipeline::prune::unpublish(&stack.ctx, "trips", &source.bucket, &source.key, None).await.unwrap();
    // A finalizer that had looked for an outcome before there was one comes to its claim only now.
    let claimed = crate::pipeline::publish::claim(&stack.ctx, &plan, &[]).await.unwrap();
    assert!(matches!(claimed, crate::pipeline::publish::Claimed::Ended(_)));
    assert!(stack.pointer(&source).await.claim.is_none());
}

#[tokio::test]
async fn a_version_whose_claimant_ended_unpublished_is_ingested_again_when_it_comes_back() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
    claim_only(&stack, &plan).await;
    crate::pipeline::close::supersede(&stack.ctx, &plan.run, "a newer version of the source").await.unwrap();
    // Its finalizer died before it gave the claim back.
    let eagerness = crate::pipeline::open::Eagerness::default();
    let opened = crate::pipeline::open::open_incremental(&stack.ctx, &stack.dataset, source, eagerness).await.unwrap();
    assert!(matches!(opened, crate::pipeline::open::Opened::Enqueued(_)), "{opened:?}");
}

/// Fails a run that has claimed, as when its uploads are gone and its source with them.
async fn fail_after_claim(stack: &Stack, plan: &crate::ledger::Plan) {
    publish::claim(&stack.ctx, plan, &[]).await.unwrap();
    let failure = Failure { kind: "source_missing".into(), message: "gone".into() };
    close::fail(&stack.ctx, &plan.run, failure).await.unwrap();
    assert_eq!(stack.finalized(plan).await.status, Status::Failed);
}

#[tokio::test]
async fn a_run_that_fails_after_its_claim_hides_what_the_run_it_fenced_had_completed() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let stale = stack.ready(&source, Purpose::Incremental, "", 3).await;
    claim_only(&stack, &stale).await;
    complete_some(&stack, &stale, 2).await;
    let late = stack.ready(&source, Purpose::Reprocess, "01B", 3).await;
    fail_after_claim(&stack, &late).await;
    stack.finalized(&stale).await;
    assert!(stack.seen("trips/").is_empty(), "two parts of three, of a run that is superseded");
    assert!(stack.pointer(&source).await.claim.is_none());
}

#[tokio::test]
async fn a_run_that_fails_after_its_claim_leaves_a_run_visible_that_was_complete() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let early = stack.ready(&source, Purpose::Incremental, "", 3).await;
    complete_unmarked(&stack, &early).await;
    let late = stack.ready(&source, Purpose::Reprocess, "01B", 3).await;
    fail_after_claim(&stack, &late).await;
    stack.assert_only(&early).await;
    assert_eq!(stack.pointer(&source).await.published.unwrap().claim.run_id, early.run.run_id);
}

#[tokio::test]
async fn a_run_cut_otherwise_than_what_is_published_of_the_same_version_gives_way_to_a_retry_with_those_slices() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    // Planned before the other was published, under a dataset file that cut otherwise.
    let other = stack.ready(&source, Purpose::Reprocess, "01B", 1).await;
    let published = stack.ready(&source, Purpose::Incremental, "", 3).await;
    stack.finalized(&published).await;
    assert_eq!(stack.finalized(&other).await.status, Status::Superseded);
    stack.assert_readers_see(&published).await;
    assert!(stack.pointer(&source).await.claim.is_none());
    let Some(Message::File { run }) = stack.work.take().pop() else { panic!("no retry") };
    assert_eq!((run.purpose, &run.source), (Purpose::Retry, &source));
    assert!(run.generation > published.run.generation);
}

#[tokio::test]
async fn quarantine_that_another_finalizer_showed_before_the_run_ended_otherwise_is_hidden() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let bad = stack.planned(&source, Purpose::Incremental, "", 2).await;
    for slice in &bad.slices {
        stack.recorded(&bad, slice.index, 9).await;
    }
    // One finalizer shows the quarantine and sleeps before it records why; another run's claim ends this one meanwhile.
    let records = stack.ctx.ledger.slices("trips", &bad.run.run_id).await.unwrap();
    for part in close::pending(&records).filter(|part| part.upload.key.starts_with("_quarantine/")) {
        stack.sink.complete_upload(&part.upload.key, &part.upload.upload_id, &part.upload.parts).await.unwrap();
    }
    close::supersede(&stack.ctx, &bad.run, "a later request").await.unwrap();
    assert_eq!(stack.finalized(&bad).await.status, Status::Superseded);
    assert!(stack.seen("_quarantine/").is_empty(), "no outcome names it, so nothing would ever retire it");
    assert_eq!(stack.sink.open_uploads(), []);
}

#[tokio::test]
async fn a_part_that_was_complete_when_its_record_was_forgotten_is_retired_all_the_same() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.planned(&source, Purpose::Incremental, "", 30).await;
    for slice in &plan.slices {
        stack.recorded(&plan, slice.index, u64::from(slice.index == 29)).await;
    }
    claim_only(&stack, &plan).await;
    // Its last slice has a part, which is completed, and a quarantine, whose upload expires.
    let records = stack.ctx.ledger.slices("trips", &plan.run.run_id).await.unwrap();
    let last: Vec<_> = close::pending(&records[29..]).collect();
    stack.sink.complete_upload(&last[0].upload.key, &last[0].upload.upload_id, &last[0].upload.parts).await.unwrap();
    stack.sink.abort_upload(&last[1].upload.key, &last[1].upload.upload_id).await.unwrap();
    finalize(&stack.ctx, "trips", &plan.run.run_id).await.unwrap();
    assert!(stack.ctx.ledger.slice("trips", &plan.run.run_id, 29).await.unwrap().is_none(), "it is to be made again");

    let newer = stack.source("in/a.parquet", "2").await;
    let late = stack.ready(&newer, Purpose::Incremental, "", 1).await;
    stack.finalized(&late).await;
    stack.assert_readers_see(&late).await;
}

#[tokio::test]
async fn what_a_failed_run_notes_while_another_retires_stays_for_the_next_publication() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let left = vec![Left { key: "_quarantine/q".into(), etag: "e".into(), content: None }];
    let pointer = transition::shown_by_failure(None, &source, "trips", "before", Vec::new());
    let noted = transition::shown_by_failure(Some(&pointer), &source, "trips", "failed", left.clone());
    let retired = transition::retired(&noted, &pointer.displaced, &[]);
    assert_eq!(retired.displaced.len(), 1);
    assert_eq!((retired.displaced[0].run_id.as_str(), &retired.displaced[0].visible), ("failed", &left));
    assert!(retired.epoch > noted.epoch);
}

#[tokio::test]
async fn what_a_displaced_run_had_completed_is_gone_before_a_run_cut_otherwise_completes_anything() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let stale = stack.ready(&source, Purpose::Incremental, "", 3).await;
    claim_only(&stack, &stale).await;
    complete_some(&stack, &stale, 3).await;
    let late = stack.ready(&source, Purpose::Reprocess, "01B", 1).await;
    assert!(matches!(publish::claim(&stack.ctx, &late, &[]).await.unwrap(), publish::Claimed::Held));
    assert!(stack.seen("trips/").is_empty(), "rows would be seen in its parts and in the others");
    stack.finalized(&late).await;
    stack.finalized(&stale).await;
    stack.assert_only(&late).await;
}
