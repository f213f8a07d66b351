//! The finalizer's use case: verify, claim, fence, complete, record, retire.
//!
//! Every step is idempotent and is found out from the ledger, so that a crash anywhere is a redelivery. The order is
//! the protocol: records are read before the pointer, the pointer before the source, and no upload is completed unless
//! the claim was held after its record was read.

use futures::FutureExt;

use super::Context;
use super::close::{self, Sums, abort_all, at_once, bare_outcome, pending};
use super::message::Message;
use super::publish::{self, Claimed, Completed, complete, complete_all, of_slices};
use super::verify::{self, Verdict};
use super::{heal, notices, prune};
use crate::cost::Took;
use crate::ledger::records::PendingPart;
use crate::ledger::{Failure, Outcome, Plan, SliceRecord, SliceResult, Stamped, Status};
use crate::{Error, Result, telemetry};

/// What a finalize message led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Finalized {
    /// The run has ended; this is its outcome, now or since earlier.
    Ended(Box<Outcome>),
    /// Slices are missing; whoever records the last one sends another message.
    Waiting {
        /// How many.
        missing: usize,
    },
    /// The output of a source that is gone was removed, or is to stay after all.
    Pruned,
    /// Somebody was told how a run ended, or will be.
    Noticed,
}

/// Handles one message of the finalize queue.
pub async fn handle(ctx: &Context, message: Message) -> Result<Finalized> {
    let ctx = &ctx.from_now();
    match message {
        Message::Run { dataset, run_id } => finalize(ctx, &dataset, &run_id).await,
        Message::GiveUp { dataset, run_id } => {
            heal::give_up(ctx, &dataset, &run_id).await?;
            // Reports may be what it stalls at. The next run brings them up to date, or stalls itself.
            finalize(&ctx.clone().with_reports(None), &dataset, &run_id).await
        }
        Message::Notice { dataset, run_id } => {
            notices::again(ctx, &dataset, &run_id).await?;
            Ok(Finalized::Noticed)
        }
        Message::Prune { dataset, bucket, key, folder } => {
            prune::unpublish(ctx, &dataset, &bucket, &key, folder.as_deref()).await?;
            Ok(Finalized::Pruned)
        }
        Message::Missing { run } => {
            let outcome = close::missing(ctx, &run, true).await?;
            conclude(ctx, outcome).await.map(ended)
        }
        Message::File { .. } | Message::Slice { .. } => Err(Error::Format {
            what: "message".to_owned(),
            problem: "not for a finalizer: messages of kind `file` and `slice` are for processors".to_owned(),
        }),
    }
}

/// Ends the run if it is ready.
pub async fn finalize(ctx: &Context, dataset: &str, run_id: &str) -> Result<Finalized> {
    if let Some(outcome) = ctx.ledger.outcome(dataset, run_id).await? {
        return conclude(ctx, outcome).await.map(ended);
    }
    let Some(plan) = ctx.ledger.plan(dataset, run_id).await? else {
        return Ok(Finalized::Waiting { missing: 0 });
    };
    let records = ctx.ledger.slices(dataset, run_id).await?;
    let config = ctx.config(&plan.run.config).await?;
    match verify::verify(&plan, records.iter().map(|record| &record.value), config.spec.output.max_quarantined) {
        Verdict::Missing(missing) => return Ok(Finalized::Waiting { missing }),
        Verdict::Failed(failure) => {
            let outcome = close::fail(ctx, &plan.run, failure).await?;
            return conclude(ctx, outcome).await.map(ended);
        }
        Verdict::TooMuchQuarantined(failure) => return fail_showing(ctx, &plan, &records, failure).await.map(ended),
        Verdict::Verified => {}
    }
    let expired = expired(ctx, &records).await?;
    if !expired.is_empty() {
        return make_again(ctx, &plan, &records, &expired).await;
    }
    if plan.run.purpose.publishes() {
        let outcome = match publish::claim(ctx, &plan, &records).await? {
            Claimed::Held => None,
            Claimed::Superseded { by } => Some(close::supersede(ctx, &plan.run, &by).await?),
            Claimed::CutOtherwise { by } => Some(close::recut(ctx, &plan.run, &by).await?),
            Claimed::Occupied(failure) => Some(close::fail(ctx, &plan.run, failure).await?),
            Claimed::Ended(outcome) => Some(*outcome),
        };
        if let Some(outcome) = outcome {
            return conclude(ctx, outcome).await.map(ended);
        }
    }
    match complete_all(ctx, &records).await? {
        Completed::All { parts, quarantine } => {
            let sums = Sums::of(&records);
            let outcome = Outcome {
                rows: sums.rows,
                reasons: sums.reasons,
                dropped: sums.dropped,
                warnings: sums.warnings,
                drift: sums.drift,
                coerced: sums.coerced,
                report_errors: sums.report_errors,
                parts,
                quarantine,
                took: Some(took(ctx, &plan, &records)),
                ..bare_outcome(ctx, &plan.run, Some(&plan), Status::Complete, None)
            };
            let outcome = ctx.ledger.settle_outcome(outcome).await?;
            conclude(ctx, outcome).await.map(ended)
        }
        Completed::SomeGone(gone) => make_again(ctx, &plan, &records, &gone).await,
    }
}

fn ended(outcome: Outcome) -> Finalized {
    Finalized::Ended(Box::new(outcome))
}

/// Does what is left once the outcome is recorded. A redelivered message starts here.
async fn conclude(ctx: &Context, outcome: Outcome) -> Result<Outcome> {
    let run = &outcome.run;
    match outcome.status {
        Status::Complete if run.purpose.publishes() => {
            publish::mark_published(ctx, &outcome).await?;
            publish::retire(ctx, &outcome).await?;
            if let Some(reports) = &ctx.reports {
                reports.refresh(ctx, &run.dataset, Some(&run.config)).await?;
            }
        }
        Status::Complete => {}
        Status::Failed | Status::Superseded | Status::Missing => {
            if !outcome.quarantine.is_empty() && run.purpose.publishes() {
                publish::note_shown(ctx, &outcome).await?;
            }
            let records = ctx.ledger.slices(&run.dataset, &run.run_id).await?;
            let hidden = |part: &&PendingPart| !outcome.quarantine.iter().any(|shown| shown.key == part.upload.key);
            abort_all(ctx, pending(&records).filter(hidden)).await?;
            close::hide_quarantine(ctx, &outcome).await?;
            if run.purpose.publishes() {
                publish::release(ctx, run).await?;
            }
        }
    }
    if ctx.ledger.open_run(&run.run_id).await?.is_some() {
        // The notice before the marker goes, and told of after: a crash in between leaves one of the two for the sweep.
        let notice = notices::put(ctx, &outcome).await?;
        telemetry::run_ended(&outcome);
        ctx.ledger.close(&run.run_id).await?;
        if let Some(notice) = notice {
            notices::first(ctx, &outcome, notice).await;
        }
    }
    Ok(outcome)
}

/// What a run took until now.
fn took(ctx: &Context, plan: &Plan, records: &[Stamped<SliceRecord>]) -> Took {
    Took::of(Some(plan), records.iter().map(|record| &record.value), Some(ctx.usage(ctx.began_ms)))
}

/// The slices whose uploads are neither open nor completed: expired, or aborted by someone else.
async fn expired(ctx: &Context, records: &[Stamped<SliceRecord>]) -> Result<Vec<u32>> {
    let sink = ctx.ledger.sink();
    let checks = of_slices(records).map(|(slice, part)| {
        async move {
            let upload = &part.upload;
            let there =
                sink.upload_is_open(&upload.key, &upload.upload_id).await? || publish::made(ctx, part).await?.is_some();
            Ok((!there).then_some(slice))
        }
        .boxed()
    });
    let mut gone: Vec<u32> = at_once(checks).await?.into_iter().flatten().collect();
    gone.dedup();
    Ok(gone)
}

/// Has slices made again whose uploads are gone.
///
/// A slice may have several uploads, of which one is gone: the others are aborted before the record that names them is
/// forgotten, or a stale finalizer could still complete them when nobody else knows of them. Only the records that were
/// found wanting are forgotten: one that another finalizer had made again meanwhile stays.
async fn make_again(ctx: &Context, plan: &Plan, records: &[Stamped<SliceRecord>], slices: &[u32]) -> Result<Finalized> {
    let (dataset, run_id) = (&plan.run.dataset, &plan.run.run_id);
    // The uploads of a run that has ended are gone for that reason, and its records tell what it left.
    if let Some(outcome) = ctx.ledger.outcome(dataset, run_id).await? {
        return conclude(ctx, outcome).await.map(ended);
    }
    let mut bodies = Vec::new();
    for record in records.iter().filter(|record| slices.contains(&record.value.slice)) {
        abort_all(ctx, pending(std::slice::from_ref(record))).await?;
        if plan.run.purpose.publishes() {
            publish::note_made(ctx, &plan.run, record).await?;
        }
        ctx.ledger.forget_slice(dataset, record).await?;
        let slice = record.value.slice;
        bodies.push(Message::Slice { dataset: dataset.clone(), run_id: run_id.clone(), slice }.encode()?);
    }
    ctx.work.send(&bodies).await?;
    Ok(Finalized::Waiting { missing: slices.len() })
}

/// Closes a run that set too much aside: its quarantine is shown, its parts are not.
async fn fail_showing(
    ctx: &Context,
    plan: &Plan,
    records: &[Stamped<SliceRecord>],
    failure: Failure,
) -> Result<Outcome> {
    let quarantine = records.iter().flat_map(|record| match &record.value.result {
        SliceResult::Done(done) => done.quarantine.iter().collect::<Vec<_>>(),
        SliceResult::Failed(_) => Vec::new(),
    });
    let shown = at_once(quarantine.map(|part| complete(ctx, part).boxed())).await?;
    let sums = Sums::of(records);
    let outcome = Outcome {
        rows: sums.rows,
        reasons: sums.reasons,
        dropped: sums.dropped,
        warnings: sums.warnings,
        drift: sums.drift,
        coerced: sums.coerced,
        quarantine: shown.into_iter().flatten().collect(),
        took: Some(took(ctx, plan, records)),
        ..bare_outcome(ctx, &plan.run, Some(plan), Status::Failed, Some(failure))
    };
    let outcome = ctx.ledger.settle_outcome(outcome).await?;
    conclude(ctx, outcome).await
}
