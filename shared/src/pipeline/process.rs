//! The processor's use case: plan a source, clean a slice. What depends on a source's format is behind [`Convert`].

use super::Context;
use super::close;
use super::convert::Convert;
use super::heal::missing;
use super::message::Message;
use crate::ledger::identity::{Run, same_version};
use crate::ledger::records::FORMAT;
use crate::ledger::{Failure, Plan, SliceRecord, SliceResult, Status};
use crate::storage::web::is_web;
use crate::{Error, Result, telemetry};

/// What a work message led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Processed {
    /// The source is planned; so many slices are on their way.
    Planned {
        /// Slices sent.
        sent: usize,
    },
    /// The slice is recorded, by this invocation or an earlier one.
    Recorded,
    /// The run ended before; there was nothing to do.
    EndedBefore,
    /// The run cannot go on: its outcome is settled, and a finalizer closes it.
    Stopped,
}

/// Handles one message of the work queue. A transient error gives the message back; everything else is recorded.
pub async fn process(ctx: &Context, convert: &dyn Convert, message: Message) -> Result<Processed> {
    let ctx = &ctx.from_now();
    match message {
        Message::File { run } => file(ctx, convert, &run).await,
        Message::Slice { dataset, run_id, slice } => {
            let Some(plan) = ctx.ledger.plan(&dataset, &run_id).await? else {
                return Err(Error::Internal(format!("run {run_id}: a slice came, and there is no plan")));
            };
            one_slice(ctx, convert, &plan, slice).await
        }
        message => Err(Error::Format {
            what: "message".to_owned(),
            problem: format!("run {}: not for a processor: only `file` and `slice` are", message.run_id()),
        }),
    }
}

/// Plans a run and sends its slices; a run of one slice is cleaned at once.
async fn file(ctx: &Context, convert: &dyn Convert, run: &Run) -> Result<Processed> {
    if ctx.ledger.outcome(&run.dataset, &run.run_id).await?.is_some() {
        ctx.finalize
            .send(&[Message::Run { dataset: run.dataset.clone(), run_id: run.run_id.clone() }.encode()?])
            .await?;
        return Ok(Processed::EndedBefore);
    }
    let plan = match ctx.ledger.plan(&run.dataset, &run.run_id).await? {
        Some(plan) => plan,
        None => match make_plan(ctx, convert, run).await {
            Ok(plan) => ctx.ledger.settle_plan(plan).await?,
            Err(error) => return ended_by(ctx, run, error).await,
        },
    };
    telemetry::planned(&plan);
    let recorded = ctx.ledger.recorded(&run.dataset, &run.run_id).await?;
    let messages = missing(&plan, &recorded);
    match messages.as_slice() {
        [] => {
            ctx.finalize.send(&[Message::of_run(run).encode()?]).await?;
            Ok(Processed::Planned { sent: 0 })
        }
        [Message::Slice { slice, .. }] => one_slice(&ctx.from_now(), convert, &plan, *slice).await,
        _ if is_small(ctx, run).await? => all_slices(ctx, convert, &plan, &messages).await,
        _ => send(ctx, &messages).await,
    }
}

/// Whether the file is cleaned by the invocation that planned it.
async fn is_small(ctx: &Context, run: &Run) -> Result<bool> {
    Ok(ctx.limits.small_whole && run.source.size < ctx.config(&run.config).await?.spec.source.small_bytes)
}

async fn send(ctx: &Context, messages: &[Message]) -> Result<Processed> {
    ctx.work.send(&messages.iter().map(Message::encode).collect::<Result<Vec<_>>>()?).await?;
    Ok(Processed::Planned { sent: messages.len() })
}

/// Cleans the slices of a small file, one after the other. What the invocation has no time for is sent, to be cleaned by
/// invocations of its own: as many stops as a slice is allowed are then its own as well.
async fn all_slices(ctx: &Context, convert: &dyn Convert, plan: &Plan, messages: &[Message]) -> Result<Processed> {
    let mut longest_ms = 0;
    for (at, message) in messages.iter().enumerate() {
        let Message::Slice { slice, .. } = message else { continue };
        let rest = messages.get(at..).unwrap_or_default();
        if ctx.left_ms().is_some_and(|left_ms| left_ms <= longest_ms) {
            return send(ctx, rest).await;
        }
        let began_ms = ctx.now_ms();
        match clean_and_record(&ctx.from_now(), convert, plan, *slice).await {
            Ok((Processed::Recorded, Fate::Cleaned)) => longest_ms = longest_ms.max(ctx.now_ms() - began_ms),
            // The run ends here: the other slices would be cleaned for nothing.
            Ok((processed, _)) => return Ok(processed),
            Err(Error::Deadline(_)) => return send(ctx, rest).await,
            Err(error) => return Err(error),
        }
    }
    Ok(Processed::Recorded)
}

/// Settles the run that a permanent error ends; gives a transient one back.
async fn ended_by(ctx: &Context, run: &Run, error: Error) -> Result<Processed> {
    match error {
        Error::SourceChanged { .. } => close::supersede(ctx, run, "a newer version of the source").await?,
        Error::SourceMissing { .. } if is_web(&run.source.bucket) => close::missing(ctx, run, false).await?,
        error if error.is_permanent() => close::fail(ctx, run, Failure::from(&error)).await?,
        error => return Err(error),
    };
    ctx.finalize.send(&[Message::of_run(run).encode()?]).await?;
    Ok(Processed::Stopped)
}

async fn make_plan(ctx: &Context, convert: &dyn Convert, run: &Run) -> Result<Plan> {
    let earlier = earlier_plan(ctx, run).await?;
    let plan = convert.plan(ctx, run, earlier.as_ref()).await?;
    Ok(Plan { follows: earlier.map(|earlier| earlier.run.run_id), usage: Some(ctx.usage(ctx.began_ms)), ..plan })
}

/// The plan of the run that is published for this very object version: a reprocess keeps its boundaries, so that a
/// reader sees each part old or new, and never a row twice.
async fn earlier_plan(ctx: &Context, run: &Run) -> Result<Option<Plan>> {
    let pointer = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
    let Some(published) = pointer.and_then(|pointer| pointer.value.published) else { return Ok(None) };
    if !run.purpose.publishes() || !same_version(&published.claim.version, &run.source.version) {
        return Ok(None);
    }
    ctx.ledger.plan(&run.dataset, &published.claim.run_id).await
}

/// Cleans one slice and records it, unless that is done; sends the run to a finalizer when it was the last.
async fn one_slice(ctx: &Context, convert: &dyn Convert, plan: &Plan, index: u32) -> Result<Processed> {
    clean_and_record(ctx, convert, plan, index).await.map(|(processed, _)| processed)
}

/// What became of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is cleaned, now or since earlier.
    Cleaned,
    /// It can never be, or there is no run any more that needs it.
    Failed,
}

async fn clean_and_record(ctx: &Context, convert: &dyn Convert, plan: &Plan, index: u32) -> Result<(Processed, Fate)> {
    let run = &plan.run;
    if let Some(outcome) = ctx.ledger.outcome(&run.dataset, &run.run_id).await? {
        if outcome.status != Status::Complete {
            // An earlier try may have recorded uploads after the run had ended, and died: the finalizer aborts them.
            ctx.finalize.send(&[Message::of_run(run).encode()?]).await?;
        }
        return Ok((Processed::EndedBefore, Fate::Failed));
    }
    let mut fate = Fate::Cleaned;
    if ctx.ledger.slice(&run.dataset, &run.run_id, index).await?.is_none() {
        let attempt = ctx.clock.new_id();
        let result = match convert.clean(ctx, plan, index, &attempt).await {
            Ok(done) => SliceResult::Done(Box::new(done)),
            Err(error) if ends_run(run, &error) => {
                return ended_by(ctx, run, error).await.map(|processed| (processed, Fate::Failed));
            }
            Err(error) if error.is_permanent() => {
                fate = Fate::Failed;
                SliceResult::Failed(Failure::from(&error))
            }
            Err(error) => return Err(error),
        };
        record(ctx, plan, index, attempt, result).await?;
    }
    let recorded = ctx.ledger.recorded(&run.dataset, &run.run_id).await?;
    if fate == Fate::Failed || missing(plan, &recorded).is_empty() {
        ctx.finalize.send(&[Message::of_run(run).encode()?]).await?;
    }
    Ok((Processed::Recorded, fate))
}

/// Whether an error is the source's as a whole, and no failure of the slice.
fn ends_run(run: &Run, error: &Error) -> bool {
    match error {
        Error::SourceChanged { .. } => true,
        Error::SourceMissing { .. } => is_web(&run.source.bucket),
        _ => false,
    }
}

/// Puts the slice's record, or takes the uploads back where the record that lies there is not this one, or the run ended.
///
/// After a put that lost, the record is read back: a put whose reply was lost may have been this one. A record that has
/// vanished since was forgotten, and its uploads aborted first: so these are aborted already, or no record ever named them.
async fn record(ctx: &Context, plan: &Plan, index: u32, attempt: String, result: SliceResult) -> Result<()> {
    let run = &plan.run;
    let record = SliceRecord {
        format: FORMAT,
        run_id: run.run_id.clone(),
        slice: index,
        attempt,
        recorded_at_ms: ctx.now_ms(),
        usage: Some(ctx.usage(ctx.began_ms)),
        result,
    };
    let mut mine = ctx.ledger.record_slice(&run.dataset, &record).await?;
    telemetry::slice_ended(run, &record);
    let SliceResult::Done(done) = &record.result else { return Ok(()) };
    if !mine {
        let there = ctx.ledger.slice(&run.dataset, &run.run_id, index).await?;
        mine = there.is_some_and(|there| there.value.attempt == record.attempt);
    }
    let too_late = ctx.ledger.outcome(&run.dataset, &run.run_id).await?.is_some();
    if !mine || too_late {
        close::abort_all(ctx, done.parts.iter().chain(&done.quarantine)).await?;
    }
    Ok(())
}
