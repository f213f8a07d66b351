//! What is stopped again and again ends its run, and says what to set.

use super::fixture::Stack;
use crate::ledger::Status;
use crate::ledger::identity::{Purpose, Run};
use crate::pipeline::deadline::{Stopped, stopped};
use crate::pipeline::finalize::{Finalized, handle};
use crate::pipeline::message::Message;

#[tokio::test]
async fn a_slice_that_is_stopped_every_time_is_sent_again_twice_and_then_fails_its_run() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.planned(&source, Purpose::Incremental, "", 2).await;
    stack.recorded(&plan, 0, 0).await;
    let run_id = plan.run.run_id.clone();
    let message = Message::Slice { dataset: "trips".into(), run_id: run_id.clone(), slice: 1 };
    let mut stops = 0;
    for expected in 1..3 {
        assert_eq!(stopped(&stack.ctx, &message, stops).await.unwrap(), Stopped::SentAgain { stops: expected });
        let (again, counted) = stack.work.take_counted().pop().unwrap();
        assert_eq!((&again, counted), (&message, expected));
        stops = counted;
    }
    assert_eq!(stopped(&stack.ctx, &message, stops).await.unwrap(), Stopped::GivenUp);
    assert!(stack.work.take().is_empty());
    let end = stack.finalizing.take().pop().unwrap();
    let Finalized::Ended(outcome) = handle(&stack.ctx, end).await.unwrap() else { panic!("not ended") };
    assert_eq!(outcome.status, Status::Failed);
    let error = outcome.error.unwrap();
    assert_eq!(error.kind, "deadline");
    assert!(error.message.contains("slice 1") && error.message.contains("ProcessorTimeout"), "{}", error.message);
    assert_eq!(stack.sink.open_uploads(), []);
    assert!(stack.ctx.ledger.open_runs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_plan_that_is_never_ready_in_time_fails_its_run() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let run = Run::new("trips", &stack.dataset.hash, Purpose::Incremental, "", source);
    stack.ctx.ledger.open(&run, 0).await.unwrap();
    let message = Message::File { run: Box::new(run.clone()) };
    assert_eq!(stopped(&stack.ctx, &message, 2).await.unwrap(), Stopped::GivenUp);
    handle(&stack.ctx, stack.finalizing.take().pop().unwrap()).await.unwrap();
    let outcome = stack.ctx.ledger.outcome("trips", &run.run_id).await.unwrap().unwrap();
    assert!(outcome.error.unwrap().message.contains("the plan was stopped 3 times"));
    assert!(stack.ctx.ledger.open_runs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_slice_that_another_delivery_finished_keeps_its_record() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
    let message = Message::File { run: Box::new(plan.run.clone()) };
    assert_eq!(stopped(&stack.ctx, &message, 2).await.unwrap(), Stopped::GivenUp);
    assert_eq!(stack.finalized(&plan).await.status, Status::Complete);
    stack.assert_only(&plan).await;
}
