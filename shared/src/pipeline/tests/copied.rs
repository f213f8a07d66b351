//! Sinks that were copied, restored or touched, and objects that somebody else put where parts lie.

use bytes::Bytes;

use super::fixture::Stack;
use crate::Error;
use crate::ledger::identity::Purpose;
use crate::ledger::{Plan, Status, keys};
use crate::pipeline::{prune, publish};
use crate::storage::Storage;

const FOREIGN: &[u8] = b"compacted by hand";

/// A published run of three slices, one with quarantine.
async fn published(stack: &Stack) -> Plan {
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.planned(&source, Purpose::Incremental, "", 30).await;
    for slice in &plan.slices {
        stack.recorded(&plan, slice.index, u64::from(slice.index == 0)).await;
    }
    assert_eq!(stack.finalized(&plan).await.status, Status::Complete);
    plan
}

fn part(plan: &Plan, slice: u32) -> String {
    keys::part(&plan.parts_folder, slice)
}

#[tokio::test]
async fn in_a_copied_sink_a_new_version_retires_every_part_and_quarantine_file_of_the_old_one() {
    let stack = Stack::new();
    published(&stack).await;
    stack.copy("trips/").await;
    stack.copy("_quarantine/").await;
    let source = stack.source("in/a.parquet", "2").await;
    let new = stack.ready(&source, Purpose::Incremental, "", 2).await;
    assert_eq!(stack.finalized(&new).await.status, Status::Complete);
    stack.assert_only(&new).await;
    assert!(stack.seen("_quarantine/").is_empty());
    assert!(stack.pointer(&source).await.displaced.is_empty());
}

#[tokio::test]
async fn in_a_sink_that_was_copied_while_a_run_published_the_next_run_finds_what_that_one_had_completed() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let stale = stack.ready(&source, Purpose::Incremental, "", 3).await;
    publish::claim(&stack.ctx, &stale, &[]).await.unwrap();
    let records = stack.ctx.ledger.slices("trips", &stale.run.run_id).await.unwrap();
    publish::complete_all(&stack.ctx, &records).await.map(drop).unwrap();
    stack.copy("trips/").await;
    let source = stack.source("in/a.parquet", "2").await;
    let new = stack.ready(&source, Purpose::Incremental, "", 2).await;
    assert_eq!(stack.finalized(&new).await.status, Status::Complete);
    stack.finalized(&stale).await;
    stack.assert_only(&new).await;
}

#[tokio::test]
async fn in_a_sink_that_was_copied_while_a_run_published_that_run_goes_on() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 3).await;
    publish::claim(&stack.ctx, &plan, &[]).await.unwrap();
    let records = stack.ctx.ledger.slices("trips", &plan.run.run_id).await.unwrap();
    publish::complete_all(&stack.ctx, &records).await.map(drop).unwrap();
    stack.copy("trips/").await;
    assert_eq!(stack.finalized(&plan).await.status, Status::Complete);
    stack.assert_only(&plan).await;
}

#[tokio::test]
async fn in_a_copied_sink_prune_removes_every_part() {
    let stack = Stack::new();
    let plan = published(&stack).await;
    stack.copy("trips/").await;
    stack.bucket.delete("in/a.parquet").await.unwrap();
    let source = &plan.run.source;
    prune::unpublish(&stack.ctx, "trips", &source.bucket, &source.key, None).await.unwrap();
    assert!(stack.seen("trips/").is_empty());
    assert!(stack.seen("_quarantine/").is_empty());
}

/// Puts an object at the key of slice `at`, ingests a new version of two slices, and expects that nothing changes.
async fn refused(at: u32) {
    let stack = Stack::new();
    let old = published(&stack).await;
    let key = part(&old, at);
    stack.sink.put(&key, Bytes::from_static(FOREIGN)).await.unwrap();
    let before = stack.seen("trips/");
    let source = stack.source("in/a.parquet", "2").await;
    let new = stack.ready(&source, Purpose::Incremental, "", 2).await;
    let outcome = stack.finalized(&new).await;
    let failure = outcome.error.unwrap();
    assert_eq!((outcome.status, failure.kind.as_str()), (Status::Failed, "occupied"));
    for word in [key.as_str(), "17 bytes", "then redrive run", "s3://source/in/a.parquet"] {
        assert!(failure.message.contains(word), "{}", failure.message);
    }
    assert_eq!(stack.seen("trips/"), before, "nothing is published, deleted or replaced");
    assert_eq!(stack.sink.open_uploads(), []);
    assert_eq!(stack.pointer(&source).await.published.unwrap().claim.run_id, old.run.run_id);

    stack.sink.delete(&key).await.unwrap();
    let again = stack.ready(&source, Purpose::Retry, "01B", 2).await;
    assert_eq!(stack.finalized(&again).await.status, Status::Complete);
    stack.assert_only(&again).await;
}

#[tokio::test]
async fn a_run_that_would_have_to_leave_somebodys_object_beside_its_parts_fails_before_it_publishes() {
    refused(7).await;
}

#[tokio::test]
async fn a_run_that_would_replace_somebodys_object_fails_before_it_publishes() {
    refused(1).await;
}

#[tokio::test]
async fn an_object_at_the_key_of_a_sources_first_part_is_not_replaced() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 2).await;
    stack.sink.put(&part(&plan, 1), Bytes::from_static(FOREIGN)).await.unwrap();
    let outcome = stack.finalized(&plan).await;
    assert_eq!(outcome.error.unwrap().kind, "occupied");
    assert_eq!(stack.seen("trips/"), [(part(&plan, 1), String::from_utf8_lossy(FOREIGN).into_owned())]);
}

#[tokio::test]
async fn prune_leaves_all_of_an_output_that_somebody_changed_and_says_so() {
    let stack = Stack::new();
    let plan = published(&stack).await;
    stack.sink.put(&part(&plan, 7), Bytes::from_static(FOREIGN)).await.unwrap();
    let before = stack.seen("trips/");
    stack.bucket.delete("in/a.parquet").await.unwrap();
    let source = &plan.run.source;
    let refused = prune::unpublish(&stack.ctx, "trips", &source.bucket, &source.key, None).await.unwrap_err();
    assert!(matches!(&refused, Error::Occupied(words) if words.contains(&part(&plan, 7))), "{refused}");
    assert!(refused.is_permanent());
    assert_eq!(stack.seen("trips/"), before);
    assert!(stack.pointer(source).await.published.is_some());
}

#[tokio::test]
async fn a_part_that_was_deleted_by_hand_is_in_nobodys_way() {
    let stack = Stack::new();
    let old = published(&stack).await;
    stack.sink.delete(&part(&old, 0)).await.unwrap();
    stack.sink.delete(&part(&old, 9)).await.unwrap();
    let source = stack.source("in/a.parquet", "2").await;
    let new = stack.ready(&source, Purpose::Incremental, "", 2).await;
    assert_eq!(stack.finalized(&new).await.status, Status::Complete);
    stack.assert_only(&new).await;
}

#[tokio::test]
async fn an_object_that_comes_while_a_run_retires_is_left_and_stays_noted_for_the_next_publication() {
    let stack = Stack::new();
    let old = published(&stack).await;
    let source = stack.source("in/a.parquet", "2").await;
    let new = stack.ready(&source, Purpose::Incremental, "", 2).await;
    let records = stack.ctx.ledger.slices("trips", &new.run.run_id).await.unwrap();
    assert!(matches!(publish::claim(&stack.ctx, &new, &records).await.unwrap(), publish::Claimed::Held));
    let completed = publish::complete_all(&stack.ctx, &records).await.unwrap();
    assert!(matches!(completed, publish::Completed::All { .. }));
    stack.sink.put(&part(&old, 7), Bytes::from_static(FOREIGN)).await.unwrap();
    // Past its check: another finalizer of this run found the place free.
    let outcome = crate::ledger::Outcome {
        parts: match completed {
            publish::Completed::All { parts, .. } => parts,
            publish::Completed::SomeGone(_) => Vec::new(),
        },
        ..crate::pipeline::close::bare_outcome(&stack.ctx, &new.run, Some(&new), Status::Complete, None)
    };
    let outcome = stack.ctx.ledger.settle_outcome(outcome).await.unwrap();
    publish::mark_published(&stack.ctx, &outcome).await.unwrap();
    publish::retire(&stack.ctx, &outcome).await.unwrap();
    assert!(stack.seen("trips/").iter().any(|(key, _)| *key == part(&old, 7)));
    let left: Vec<String> =
        stack.pointer(&source).await.displaced.into_iter().flat_map(|it| it.visible).map(|left| left.key).collect();
    assert_eq!(left, [part(&old, 7)]);
    let next = stack.ready(&source, Purpose::Reprocess, "01B", 2).await;
    assert_eq!(stack.finalized(&next).await.error.unwrap().kind, "occupied");
}
