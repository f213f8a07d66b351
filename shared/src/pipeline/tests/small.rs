//! A small file is cleaned by whoever planned it; what there is no time for is sent.

use std::sync::Mutex;

use async_trait::async_trait;

use super::fixture::Stack;
use crate::ledger::identity::{Purpose, Run};
use crate::ledger::{Plan, RowCounts, SliceDone, Status};
use crate::pipeline::convert::Convert;
use crate::pipeline::message::Message;
use crate::pipeline::process::{Processed, process};
use crate::pipeline::{Context, Limits};
use crate::{Error, Result};

/// Cleans slices to nothing, each in ten seconds.
#[derive(Default)]
struct Slow {
    cleaned: Mutex<Vec<u32>>,
    /// The slice that is stopped, and the one that can never be cleaned.
    stops_at: Option<u32>,
    fails_at: Option<u32>,
    /// How long a slice takes, by the stack's clock.
    takes: Option<std::sync::Arc<crate::simulation::Hand>>,
}

#[async_trait]
impl Convert for Slow {
    async fn plan(&self, _: &Context, _: &Run, _: Option<&Plan>) -> Result<Plan> {
        unreachable!("it is planned")
    }

    async fn clean(&self, _: &Context, plan: &Plan, index: u32, _: &str) -> Result<SliceDone> {
        if self.stops_at == Some(index) {
            return Err(Error::Deadline(0));
        }
        if self.fails_at == Some(index) {
            return Err(Error::source(plan.run.source.uri(), "page 3 is corrupt"));
        }
        if let Some(clock) = &self.takes {
            clock.now_ms.fetch_add(10_000, std::sync::atomic::Ordering::SeqCst);
        }
        self.cleaned.lock().unwrap().push(index);
        let rows = RowCounts { read: 10, kept: 0, quarantined: 0, filtered: 10, written: 0 };
        Ok(SliceDone { rows, ..SliceDone::default() })
    }
}

/// A planned run of five slices, and its message.
async fn five(stack: &mut Stack) -> (Plan, Message) {
    stack.ctx.limits = Limits::default();
    let source = stack.source("in/a.parquet", "small").await;
    let plan = stack.planned(&source, Purpose::Incremental, "", 5).await;
    let message = Message::File { run: Box::new(plan.run.clone()) };
    (plan, message)
}

fn slices(stack: &Stack) -> Vec<u32> {
    let slice = |message| match message {
        Message::Slice { slice, .. } => slice,
        other => panic!("not a slice: {other:?}"),
    };
    stack.work.take().into_iter().map(slice).collect()
}

#[tokio::test]
async fn every_slice_of_a_small_file_is_cleaned_in_one_invocation_and_the_run_is_published() {
    let mut stack = Stack::new();
    let (plan, message) = five(&mut stack).await;
    let convert = Slow::default();
    assert_eq!(process(&stack.ctx, &convert, message.clone()).await.unwrap(), Processed::Recorded);
    assert_eq!(*convert.cleaned.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert!(stack.work.take().is_empty());
    assert_eq!(stack.finalizing.take(), [Message::of_run(&plan.run)]);
    // Delivered once more, nothing is cleaned again.
    process(&stack.ctx, &convert, message).await.unwrap();
    assert_eq!(convert.cleaned.lock().unwrap().len(), 5);
    assert_eq!(stack.finalized(&plan).await.status, Status::Complete);
}

#[tokio::test]
async fn a_file_of_the_threshold_and_above_fans_out() {
    let mut stack = Stack::new();
    let (mut plan, _) = five(&mut stack).await;
    plan.run.source.size = stack.dataset.spec.source.small_bytes;
    let message = Message::File { run: Box::new(plan.run.clone()) };
    let convert = Slow::default();
    assert_eq!(process(&stack.ctx, &convert, message).await.unwrap(), Processed::Planned { sent: 5 });
    assert_eq!(slices(&stack), [0, 1, 2, 3, 4]);
    plan.run.source.size -= 1;
    let message = Message::File { run: Box::new(plan.run) };
    assert_eq!(process(&stack.ctx, &convert, message).await.unwrap(), Processed::Recorded);
}

#[tokio::test]
async fn slices_that_there_is_no_time_for_are_sent() {
    let mut stack = Stack::new();
    let (_, message) = five(&mut stack).await;
    let convert = Slow { takes: Some(stack.clock.clone()), ..Slow::default() };
    // Time for three slices of ten seconds and for half of another, before the margin.
    let ctx = stack.ctx.until(stack.ctx.now_ms() + 35_000 + stack.ctx.limits.deadline_margin_ms);
    assert_eq!(process(&ctx, &convert, message.clone()).await.unwrap(), Processed::Planned { sent: 2 });
    assert_eq!((convert.cleaned.lock().unwrap().clone(), slices(&stack)), (vec![0, 1, 2], vec![3, 4]));
    assert!(stack.finalizing.take().is_empty(), "two slices are missing");
    // A second delivery takes up what is missing.
    assert_eq!(process(&stack.ctx, &convert, message).await.unwrap(), Processed::Recorded);
    assert_eq!(*convert.cleaned.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(stack.finalizing.take().len(), 1);
}

#[tokio::test]
async fn a_slice_that_is_stopped_on_the_way_is_sent_with_those_behind_it() {
    let mut stack = Stack::new();
    let (_, message) = five(&mut stack).await;
    let convert = Slow { stops_at: Some(1), ..Slow::default() };
    assert_eq!(process(&stack.ctx, &convert, message).await.unwrap(), Processed::Planned { sent: 4 });
    assert_eq!(slices(&stack), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_slice_that_fails_ends_a_small_files_run() {
    let mut stack = Stack::new();
    let (plan, message) = five(&mut stack).await;
    let convert = Slow { fails_at: Some(2), ..Slow::default() };
    process(&stack.ctx, &convert, message).await.unwrap();
    assert_eq!(*convert.cleaned.lock().unwrap(), [0, 1], "nothing is cleaned in vain");
    assert!(stack.work.take().is_empty());
    assert_eq!(stack.finalizing.take().len(), 1);
    let outcome = stack.finalized(&plan).await;
    assert_eq!((outcome.status, outcome.error.unwrap().kind.as_str()), (Status::Failed, "source"));
}
