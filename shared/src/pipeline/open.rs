//! Opening runs: the step that every trigger ends in.

use super::Context;
use super::message::Message;
use crate::Result;
use crate::dataset::Dataset;
use crate::ledger::identity::{Purpose, Run, Source, same_version};
use crate::ledger::records::Open;
use crate::ledger::{Pointer, Status};
use crate::storage::ObjectMeta;

/// What became of one source and one dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// A message is on its way.
    Enqueued(Run),
    /// Nothing to do.
    Skipped {
        /// The run that makes it unnecessary.
        run: Run,
        /// Why.
        why: Skip,
    },
}

/// Why a source is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// This object version is published.
    Published,
    /// A run of this object version has not ended; the sweep restarts it if it is stuck.
    Open,
    /// A run of this object version failed: mend the cause, then `redrive` or `reprocess`.
    Failed,
    /// A later request for this version is publishing it.
    Superseded,
}

/// Whether the pointer says that readers see this version.
pub fn is_published(pointer: Option<&Pointer>, source: &Source) -> bool {
    let published = pointer.and_then(|pointer| pointer.published.as_ref());
    published.is_some_and(|published| same_version(&published.claim.version, &source.version))
}

/// Whether a run of this version is publishing: a claim whose run ended otherwise publishes nothing.
async fn is_claimed(ctx: &Context, pointer: Option<&Pointer>, source: &Source) -> Result<bool> {
    let claim = pointer.and_then(|pointer| pointer.claim.as_ref());
    let Some(claim) = claim.filter(|claim| same_version(&claim.version, &source.version)) else { return Ok(false) };
    let Some(pointer) = pointer else { return Ok(false) };
    let outcome = ctx.ledger.outcome(&pointer.dataset, &claim.run_id).await?;
    Ok(outcome.is_none_or(|outcome| outcome.status == Status::Complete))
}

/// The source that a look-up found in `bucket`.
pub fn source_of(bucket: &str, meta: ObjectMeta) -> Source {
    Source { bucket: bucket.to_owned(), key: meta.key, version: meta.version, size: meta.size }
}

/// How eager an opening is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Eagerness {
    /// Send the message again where the run is open already: the embedded queue does not survive its process.
    pub resend: bool,
    /// Give a run that failed another try under a new generation: a person asked for this very source.
    pub retry: bool,
}

/// Opens the incremental run of `source`, unless its version is published, open or failed.
pub async fn open_incremental(
    ctx: &Context,
    dataset: &Dataset,
    source: Source,
    eagerness: Eagerness,
) -> Result<Opened> {
    let run = Run::new(&dataset.spec.name, &dataset.hash, Purpose::Incremental, "", source);
    let pointer = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
    if is_published(pointer.as_ref().map(|stamped| &stamped.value), &run.source) {
        return Ok(Opened::Skipped { run, why: Skip::Published });
    }
    let Some(outcome) = ctx.ledger.outcome(&run.dataset, &run.run_id).await? else {
        return open(ctx, dataset, run, eagerness.resend).await;
    };
    let why = match outcome.status {
        Status::Failed if !eagerness.retry => Skip::Failed,
        // By a later request for this very version, which will publish it.
        Status::Superseded if is_claimed(ctx, pointer.as_ref().map(|stamped| &stamped.value), &run.source).await? => {
            Skip::Superseded
        }
        // The outcome is written and the pointer is about to be, unless the finalizer died in between.
        Status::Complete if ctx.ledger.open_run(&run.run_id).await?.is_some() => {
            return open(ctx, dataset, run, eagerness.resend).await;
        }
        Status::Complete | Status::Failed | Status::Superseded | Status::Missing => {
            let pointer = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
            if is_published(pointer.as_ref().map(|stamped| &stamped.value), &run.source) {
                return Ok(Opened::Skipped { run, why: Skip::Published });
            }
            // The same version has come back: where it was missing for a while, after its output was pruned, or after a newer version was taken back.
            let retry = Run::new(&run.dataset, &dataset.hash, Purpose::Retry, &ctx.clock.new_id(), run.source);
            return open(ctx, dataset, retry, eagerness.resend).await;
        }
    };
    Ok(Opened::Skipped { run, why })
}

/// Opens `run`: marks it open, sends it to a processor, notes that it was sent. In this order, so that a crash in
/// between leaves a marker that the next try, or the sweep, finds and sends again.
pub async fn open(ctx: &Context, dataset: &Dataset, run: Run, resend: bool) -> Result<Opened> {
    ctx.ledger.keep_config(dataset).await?;
    let open = ctx.ledger.open(&run, ctx.now_ms()).await?;
    let Some(open) = open.filter(|open| resend || !open.value.sent) else {
        return Ok(Opened::Skipped { run, why: Skip::Open });
    };
    let message = Message::File { run: Box::new(run.clone()) };
    ctx.work.send(&[message.encode()?]).await?;
    if !open.value.sent {
        // Lost where a sweep was first, or the run has ended already: either way nobody needs the note.
        ctx.ledger.touch(&open, &Open { sent: true, ..open.value.clone() }).await?;
    }
    Ok(Opened::Enqueued(run))
}
