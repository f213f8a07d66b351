//! The embedded run: the same use cases, over a folder and an in-process queue.
//!
//! Nothing here knows what a run is: it takes triggers' messages from two [`MemoryQueue`]s and hands them to the use
//! cases that the functions call, until both queues are empty. What survives the process is the ledger alone, as when
//! deployed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Context;
use super::finalize::{self, Finalized};
use super::formats::Formats;
use super::message::Message;
use super::process::{Processed, process};
use super::retry::{self, Retried};
use crate::ledger::Outcome;
use crate::queue::MemoryQueue;
use crate::queue::memory::Delivery;
use crate::{Error, Result};

/// How often a message is tried before the embedded run gives up; the run stays open and the next command resumes it. A
/// dataset's `[retry]` goes before this.
pub const MAX_RECEIVES: u32 = 5;

/// The wait before the second try; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// What happened, for whoever watches.
#[derive(Debug)]
pub enum Progress {
    /// A file was planned into so many slices.
    Planned {
        /// The run.
        run_id: String,
        /// Slices on their way.
        slices: usize,
    },
    /// A slice is recorded.
    Recorded {
        /// The run.
        run_id: String,
    },
    /// A run ended.
    Ended(Box<Outcome>),
    /// A message was tried [`MAX_RECEIVES`] times, or no further try can help; its run stays open.
    GaveUp {
        /// The run; for the output of a source that is gone, the source's URI.
        run_id: String,
        /// The last error.
        error: Error,
    },
}

/// Works both queues until they are empty, with at most `workers` messages in hand at once.
///
/// # Errors
///
/// Only where a task of this process ended abnormally: a message's own error is told as [`Progress::GaveUp`].
pub async fn drain(
    ctx: &Context,
    work: &Arc<MemoryQueue>,
    finalizing: &Arc<MemoryQueue>,
    workers: usize,
    mut watch: impl FnMut(Progress),
) -> Result<()> {
    let formats = Arc::new(Formats::default());
    let mut in_hand: JoinSet<Option<Progress>> = JoinSet::new();
    loop {
        while in_hand.len() < workers.max(1) {
            // The end of one run goes before the beginning of the next: fewer runs are open at once.
            let Some((queue, delivery)) = next(finalizing).or_else(|| next(work)) else { break };
            in_hand.spawn(deliver(ctx.clone(), Arc::clone(&formats), queue, delivery));
        }
        let Some(ended) = in_hand.join_next().await else { return Ok(()) };
        let progress = ended.map_err(|error| Error::Internal(format!("a worker ended abnormally: {error}")))?;
        if let Some(progress) = progress {
            watch(progress);
        }
    }
}

fn next(queue: &Arc<MemoryQueue>) -> Option<(Arc<MemoryQueue>, Delivery)> {
    queue.try_receive().map(|delivery| (Arc::clone(queue), delivery))
}

/// Handles one delivery as a function would: acknowledged when done, given back on an error.
async fn deliver(ctx: Context, formats: Arc<Formats>, queue: Arc<MemoryQueue>, delivery: Delivery) -> Option<Progress> {
    let error = match handle(&ctx, &formats, &delivery.body).await {
        Ok(progress) => {
            queue.ack(delivery.id);
            return progress;
        }
        Err(error) => error,
    };
    tracing::warn!(%error, receives = delivery.receive_count, "message failed");
    match by_policy(&ctx, &delivery, &error).await {
        Some(Retried::Later { after }) => {
            tokio::time::sleep(after).await;
            queue.nack(delivery.id);
            return None;
        }
        Some(Retried::GivenUp) => {
            queue.ack(delivery.id);
            return None;
        }
        None => {}
    }
    if delivery.receive_count < MAX_RECEIVES && !error.is_permanent() {
        tokio::time::sleep(FIRST_BACKOFF * (1 << delivery.receive_count.min(8))).await;
        queue.nack(delivery.id);
        return None;
    }
    queue.ack(delivery.id);
    let run_id = match Message::decode(&delivery.body) {
        Ok(Message::Prune { bucket, key, .. }) => format!("{bucket}/{key}"),
        Ok(message) => message.run_id().to_owned(),
        Err(_) => String::new(),
    };
    Some(Progress::GaveUp { run_id, error })
}

/// What the dataset's own policy makes of a failed delivery. A finalizer's message has no dead-letter queue here, so that its
/// attempts are counted as well.
async fn by_policy(ctx: &Context, delivery: &Delivery, error: &Error) -> Option<Retried> {
    let message = Message::decode(&delivery.body).ok()?;
    let policy = retry::policy(ctx, &message).await?;
    let retried = retry::failed(ctx, policy, &message, delivery.receive_count, error).await.ok()?;
    let exhausted = u64::from(delivery.receive_count) >= policy.attempts;
    Some(retried).filter(|retried| *retried == Retried::GivenUp || !exhausted)
}

async fn handle(ctx: &Context, formats: &Formats, body: &str) -> Result<Option<Progress>> {
    match Message::decode(body)? {
        message @ (Message::Run { .. }
        | Message::GiveUp { .. }
        | Message::Missing { .. }
        | Message::Notice { .. }
        | Message::Prune { .. }) => match finalize::handle(ctx, message).await? {
            Finalized::Ended(outcome) => Ok(Some(Progress::Ended(outcome))),
            Finalized::Waiting { .. } | Finalized::Pruned | Finalized::Noticed => Ok(None),
        },
        message @ (Message::File { .. } | Message::Slice { .. }) => {
            let run_id = message.run_id().to_owned();
            Ok(match process(ctx, formats, message).await? {
                Processed::Planned { sent } => Some(Progress::Planned { run_id, slices: sent }),
                Processed::Recorded => Some(Progress::Recorded { run_id }),
                Processed::Stopped | Processed::EndedBefore => None,
            })
        }
    }
}
