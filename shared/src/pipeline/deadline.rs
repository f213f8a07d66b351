//! Messages whose work did not end before its invocation did.
//!
//! A processor that stops before its deadline sends its message again rather than have it returned: the new message tells how
//! often that happened, and does not wait until the queue shows the old one again. A slice that is stopped a few times
//! in a row needs a longer or a larger invocation, which no further delivery gives it: it is recorded as failed.

use super::message::Message;
use super::{Context, close, heal};
use crate::Result;
use crate::ledger::records::FORMAT;
use crate::ledger::{Failure, Run, SliceRecord, SliceResult};

/// What became of a message that was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It was sent again, and says how often it was stopped.
    SentAgain {
        /// Stops until now.
        stops: u32,
    },
    /// What it asked for is recorded as failed, and a finalizer closes the run.
    GivenUp,
}

/// Takes care of `message`, whose work was just stopped, after `before` earlier stops. Its own delivery is done with once
/// this returned.
pub async fn stopped(ctx: &Context, message: &Message, before: u32) -> Result<Stopped> {
    let stops = before.saturating_add(1);
    let left_ms = ctx.deadline_ms.map(|deadline_ms| deadline_ms - ctx.now_ms());
    tracing::warn!(run_id = message.run_id(), stops, left_ms, "stopped before the deadline");
    if stops < ctx.limits.deadline_stops {
        ctx.work.send(&[message.encode_stopped(stops)?]).await?;
        return Ok(Stopped::SentAgain { stops });
    }
    give_up(ctx, message, &|what| failure(ctx, what, stops)).await?;
    Ok(Stopped::GivenUp)
}

/// Records what a message asked for as failed, each thing in the words of `failure`, and has a finalizer close the run.
pub(super) async fn give_up(
    ctx: &Context,
    message: &Message,
    failure: &(dyn Fn(&str) -> Failure + Sync),
) -> Result<()> {
    let (dataset, run_id) = match message {
        Message::File { run } => {
            give_up_file(ctx, run, failure).await?;
            (&run.dataset, &run.run_id)
        }
        Message::Slice { dataset, run_id, slice } => {
            give_up_slice(ctx, dataset, run_id, *slice, failure).await?;
            (dataset, run_id)
        }
        // Nothing else is given up: it is left to its queue.
        Message::Run { .. }
        | Message::GiveUp { .. }
        | Message::Missing { .. }
        | Message::Notice { .. }
        | Message::Prune { .. } => return Ok(()),
    };
    let end = Message::Run { dataset: dataset.clone(), run_id: run_id.clone() };
    ctx.finalize.send(&[end.encode()?]).await
}

/// A file message plans, and cleans where there is one slice.
async fn give_up_file(ctx: &Context, run: &Run, failure: &(dyn Fn(&str) -> Failure + Sync)) -> Result<()> {
    let Some(plan) = ctx.ledger.plan(&run.dataset, &run.run_id).await? else {
        close::fail(ctx, run, failure("the plan")).await?;
        return Ok(());
    };
    let recorded = ctx.ledger.recorded(&run.dataset, &run.run_id).await?;
    for message in heal::missing(&plan, &recorded) {
        let Message::Slice { slice, .. } = message else { continue };
        give_up_slice(ctx, &run.dataset, &run.run_id, slice, failure).await?;
    }
    Ok(())
}

async fn give_up_slice(
    ctx: &Context,
    dataset: &str,
    run_id: &str,
    slice: u32,
    failure: &(dyn Fn(&str) -> Failure + Sync),
) -> Result<()> {
    let record = SliceRecord {
        format: FORMAT,
        run_id: run_id.to_owned(),
        slice,
        attempt: ctx.clock.new_id(),
        recorded_at_ms: ctx.now_ms(),
        usage: None,
        result: SliceResult::Failed(failure(&format!("slice {slice}"))),
    };
    // Where another delivery finished it meanwhile, that record stays.
    ctx.ledger.record_slice(dataset, &record).await?;
    Ok(())
}

fn failure(ctx: &Context, what: &str, stops: u32) -> Failure {
    let message = format!(
        "{what} was stopped {stops} times, {} ms before its function's deadline each time: raise the stack's ProcessorTimeout, \
         or ProcessorMemory for more cores, or lower output.row_group_rows or output.slice_row_groups; then redrive",
        ctx.limits.deadline_margin_ms
    );
    Failure { kind: "deadline".to_owned(), message }
}
