//! The sweep: whatever was lost, every run ends.

use std::sync::atomic::Ordering;

use super::fixture::Stack;
use crate::ledger::Status;
use crate::ledger::identity::Purpose;
use crate::pipeline::finalize::{Finalized, handle};
use crate::pipeline::heal::heal;
use crate::pipeline::message::Message;

const LONG_MS: i64 = 30 * 60_000;

#[tokio::test]
async fn a_run_that_moves_or_waits_its_turn_is_left_alone() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.planned(&source, Purpose::Incremental, "", 3).await;
    assert_eq!(heal(&stack.ctx, false).await.unwrap().restarted, 0, "it has just begun");
    stack.pass(LONG_MS);
    stack.recorded(&plan, 0, 0).await;
    assert_eq!(heal(&stack.ctx, false).await.unwrap().restarted, 0, "it has moved");
    stack.pass(LONG_MS);
    stack.work.backlog.store(5, Ordering::SeqCst);
    assert_eq!(heal(&stack.ctx, false).await.unwrap().restarted, 0, "its messages may be waiting");
    assert!(stack.work.take().is_empty());
}

#[tokio::test]
async fn lost_messages_are_sent_again_each_kind_of_them() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.planned(&source, Purpose::Incremental, "", 2).await;
    stack.recorded(&plan, 1, 0).await;
    heal(&stack.ctx, false).await.unwrap();
    stack.pass(LONG_MS);
    assert_eq!(heal(&stack.ctx, false).await.unwrap().restarted, 1);
    assert!(matches!(stack.work.take().as_slice(), [Message::Slice { slice: 0, .. }]));
    stack.recorded(&plan, 0, 0).await;
    heal(&stack.ctx, false).await.unwrap();
    stack.pass(LONG_MS);
    heal(&stack.ctx, false).await.unwrap();
    assert!(matches!(stack.finalizing.take().as_slice(), [Message::Run { .. }]));
    stack.finalized(&plan).await;
    stack.assert_only(&plan).await;
}

#[tokio::test]
async fn a_slice_that_is_killed_every_time_ends_the_run_as_failed_with_what_to_set() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.planned(&source, Purpose::Incremental, "", 2).await;
    stack.recorded(&plan, 0, 0).await;
    heal(&stack.ctx, false).await.unwrap();
    for _ in 0..3 {
        stack.pass(LONG_MS);
        assert_eq!(heal(&stack.ctx, false).await.unwrap().restarted, 1);
    }
    stack.pass(LONG_MS);
    assert_eq!(heal(&stack.ctx, false).await.unwrap().closed, 1);
    let Some(given_up @ Message::GiveUp { .. }) = stack.finalizing.take().pop() else { panic!("not given up") };
    let Finalized::Ended(outcome) = handle(&stack.ctx, given_up).await.unwrap() else { panic!("not ended") };
    assert_eq!(outcome.status, Status::Failed);
    let error = outcome.error.unwrap();
    assert_eq!(error.kind, "killed");
    assert!(error.message.contains("raise the processor's memory or timeout"), "{}", error.message);
    assert_eq!(stack.sink.open_uploads(), []);
    assert!(stack.ctx.ledger.open_runs().await.unwrap().is_empty());
}
