//! The finalizer's use case: verify, claim, fence, complete, record, retire.
//!
//! Every step is idempotent and is found out from the ledger, so that a crash anywhere is a redelivery. The order is
//! the protocol: records are read before the pointer, the pointer before the source, and no upload is completed unless
//! the claim was held after its record was read.

use futures::FutureExt;

use super::Context;
use super::close::{self, Sums, abort_all, at_once, bare_outcome, pending, settle};
use super::message::Message;
use super::verify::{self, Verdict};
use crate::ledger::identity::same_version;
use crate::ledger::records::{Claim, Left, PendingPart, Visible};
use crate::ledger::transition::{self, ClaimDecision, SourceNow};
use crate::ledger::{Failure, Outcome, Plan, Pointer, Run, SliceRecord, SliceResult, Stamped, Status};
use crate::storage::CompleteOutcome;
use crate::{Result, telemetry};

/// The metadata entry that tells which attempt made an object.
pub const ATTEMPT: &str = "rowmill-attempt";

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
        Verdict::Failed(failure) => return close::fail(ctx, &plan.run, failure).await.map(ended),
        Verdict::TooMuchQuarantined(failure) => return fail_showing(ctx, &plan, &records, failure).await.map(ended),
        Verdict::Verified => {}
    }
    let expired = expired(ctx, &records).await?;
    if !expired.is_empty() {
        return make_again(ctx, &plan, &expired).await;
    }
    if plan.run.purpose.publishes() {
        if let Claimed::Superseded { by } = claim(ctx, &plan.run).await? {
            return close::supersede(ctx, &plan.run, &by).await.map(ended);
        }
    }
    match complete_all(ctx, &records).await? {
        Completed::All { parts, quarantine } => {
            let sums = Sums::of(&records);
            let outcome = Outcome {
                rows: sums.rows,
                reasons: sums.reasons,
                warnings: sums.warnings,
                drift: sums.drift,
                parts,
                quarantine,
                ..bare_outcome(ctx, &plan.run, Some(&plan), Status::Complete, None)
            };
            let outcome = settle(ctx, outcome, &records).await?;
            conclude(ctx, outcome).await.map(ended)
        }
        Completed::SomeGone(gone) => make_again(ctx, &plan, &gone).await,
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
            mark_published(ctx, &outcome).await?;
            retire(ctx, &outcome).await?;
        }
        Status::Complete => {}
        Status::Failed | Status::Superseded => {
            if !outcome.quarantine.is_empty() && run.purpose.publishes() {
                note_shown(ctx, &outcome).await?;
            }
            let records = ctx.ledger.slices(&run.dataset, &run.run_id).await?;
            let hidden = |part: &&PendingPart| !outcome.quarantine.iter().any(|shown| shown.key == part.upload.key);
            abort_all(ctx, pending(&records).filter(hidden)).await?;
        }
    }
    if ctx.ledger.open_run(&run.run_id).await?.is_some() {
        telemetry::run_ended(&outcome);
        ctx.ledger.close(&run.run_id).await?;
    }
    Ok(outcome)
}

enum Claimed {
    Held,
    Superseded { by: String },
}

/// Claims the pointer and fences what the claim displaces. Starts again from the read whenever a swap is lost.
async fn claim(ctx: &Context, run: &Run) -> Result<Claimed> {
    let source = &run.source;
    let mine = Claim::of(run);
    let storage = ctx.stores.open(&source.bucket).await?;
    loop {
        let read = ctx.ledger.pointer(&run.dataset, &source.bucket, &source.key).await?;
        let now = match storage.head(&source.key).await? {
            None => SourceNow::Deleted,
            Some(meta) if same_version(&meta.version, &source.version) => SourceNow::Current,
            Some(_) => SourceNow::Replaced,
        };
        let (pointer, etag) = match &read {
            Some(stamped) => (Some(&stamped.value), Some(stamped.etag.as_str())),
            None => (None, None),
        };
        let held = match transition::decide_claim(pointer, &run.dataset, source, &mine, now) {
            ClaimDecision::Superseded { by } => return Ok(Claimed::Superseded { by }),
            ClaimDecision::Published => return Ok(Claimed::Held),
            ClaimDecision::Held => read,
            ClaimDecision::Take(next) => {
                let swapped = ctx.ledger.swap_pointer(etag, &next).await?;
                swapped.map(|etag| Stamped { value: *next, etag })
            }
        };
        let Some(held) = held else { continue };
        if fence_displaced(ctx, held).await? {
            return Ok(Claimed::Held);
        }
    }
}

/// Fences every displaced run that is not known to be. `Ok(false)` where another claim came in between.
async fn fence_displaced(ctx: &Context, mut held: Stamped<Pointer>) -> Result<bool> {
    let unfenced: Vec<String> = held
        .value
        .displaced
        .iter()
        .filter(|displaced| !displaced.fenced)
        .map(|displaced| displaced.run_id.clone())
        .collect();
    for run_id in unfenced {
        let left = fence(ctx, &held.value.dataset, &run_id).await?;
        let next = transition::fenced(&held.value, &run_id, left);
        let Some(etag) = ctx.ledger.swap_pointer(Some(&held.etag), &next).await? else { return Ok(false) };
        held = Stamped { value: next, etag };
    }
    Ok(true)
}

/// Makes sure that a displaced run completes nothing from now on, and answers what it completed before.
///
/// Its outcome is settled first: a stale finalizer that wakes up finds it, and one that is past that point finds its
/// uploads gone.
async fn fence(ctx: &Context, dataset: &str, run_id: &str) -> Result<Vec<Left>> {
    let Some(plan) = ctx.ledger.plan(dataset, run_id).await? else { return Ok(Vec::new()) };
    let failure = Failure { kind: "superseded".into(), message: "superseded by a later claim".into() };
    let outcome = bare_outcome(ctx, &plan.run, Some(&plan), Status::Superseded, Some(failure));
    let outcome = ctx.ledger.settle_outcome(outcome).await?;
    if outcome.status == Status::Complete {
        return Ok(outcome.parts.iter().chain(&outcome.quarantine).map(Left::from).collect());
    }
    let records = ctx.ledger.slices(dataset, run_id).await?;
    let sink = ctx.ledger.sink();
    let aborts = pending(&records).map(|part| {
        async move {
            let upload = &part.upload;
            sink.abort_upload(&upload.key, &upload.upload_id).await?;
            let made = sink.made_by(&upload.key, &upload.upload_id, ATTEMPT, &upload.attempt).await?;
            Ok(made.map(|etag| Left { key: upload.key.clone(), etag }))
        }
        .boxed()
    });
    Ok(at_once(aborts).await?.into_iter().flatten().collect())
}

/// The slices whose uploads are neither open nor completed: expired, or aborted by someone else.
async fn expired(ctx: &Context, records: &[Stamped<SliceRecord>]) -> Result<Vec<u32>> {
    let sink = ctx.ledger.sink();
    let checks = of_slices(records).map(|(slice, part)| {
        async move {
            let upload = &part.upload;
            let there = sink.upload_is_open(&upload.key, &upload.upload_id).await?
                || sink.made_by(&upload.key, &upload.upload_id, ATTEMPT, &upload.attempt).await?.is_some();
            Ok((!there).then_some(slice))
        }
        .boxed()
    });
    let mut gone: Vec<u32> = at_once(checks).await?.into_iter().flatten().collect();
    gone.dedup();
    Ok(gone)
}

fn of_slices(records: &[Stamped<SliceRecord>]) -> impl Iterator<Item = (u32, &PendingPart)> {
    records.iter().flat_map(|record| match &record.value.result {
        SliceResult::Done(done) => {
            done.parts.iter().chain(&done.quarantine).map(|part| (record.value.slice, part)).collect::<Vec<_>>()
        }
        SliceResult::Failed(_) => Vec::new(),
    })
}

/// Has slices made again whose uploads are gone.
async fn make_again(ctx: &Context, plan: &Plan, slices: &[u32]) -> Result<Finalized> {
    let (dataset, run_id) = (&plan.run.dataset, &plan.run.run_id);
    let mut bodies = Vec::new();
    for &slice in slices {
        if let Some(record) = ctx.ledger.slice(dataset, run_id, slice).await? {
            ctx.ledger.forget_slice(dataset, &record).await?;
        }
        bodies.push(Message::Slice { dataset: dataset.clone(), run_id: run_id.clone(), slice }.encode()?);
    }
    ctx.work.send(&bodies).await?;
    Ok(Finalized::Waiting { missing: slices.len() })
}

enum Completed {
    All { parts: Vec<Visible>, quarantine: Vec<Visible> },
    SomeGone(Vec<u32>),
}

/// Completes every upload, all at once.
async fn complete_all(ctx: &Context, records: &[Stamped<SliceRecord>]) -> Result<Completed> {
    let completions =
        of_slices(records).map(|(slice, part)| async move { Ok((slice, complete(ctx, part).await?)) }.boxed());
    let completions = at_once(completions).await?;
    let mut gone: Vec<u32> =
        completions.iter().filter(|(_, visible)| visible.is_none()).map(|(slice, _)| *slice).collect();
    gone.dedup();
    if !gone.is_empty() {
        return Ok(Completed::SomeGone(gone));
    }
    let quarantined: Vec<&str> = records
        .iter()
        .filter_map(|record| match &record.value.result {
            SliceResult::Done(done) => Some(done.quarantine.iter().map(|part| part.upload.key.as_str())),
            SliceResult::Failed(_) => None,
        })
        .flatten()
        .collect();
    let visible = completions.into_iter().filter_map(|(_, visible)| visible);
    let (quarantine, parts) = visible.partition(|visible: &Visible| quarantined.contains(&visible.key.as_str()));
    Ok(Completed::All { parts, quarantine })
}

/// Completes one upload: `None` where it is gone and what lies at its key is not its own.
async fn complete(ctx: &Context, part: &PendingPart) -> Result<Option<Visible>> {
    let (sink, upload) = (ctx.ledger.sink(), &part.upload);
    let etag = match sink.complete_upload(&upload.key, &upload.upload_id, &upload.parts).await? {
        CompleteOutcome::Completed { etag } => Some(etag),
        CompleteOutcome::Gone => sink.made_by(&upload.key, &upload.upload_id, ATTEMPT, &upload.attempt).await?,
    };
    Ok(etag.map(|etag| Visible {
        key: upload.key.clone(),
        etag,
        rows: part.rows,
        bytes: upload.size,
        row_groups: part.row_groups.clone(),
        crc64: upload.crc64.clone(),
    }))
}

/// Marks the pointer published, unless a later claim has come: then that run retires this one.
async fn mark_published(ctx: &Context, outcome: &Outcome) -> Result<()> {
    let run = &outcome.run;
    loop {
        let read = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
        let Some(read) = read else { return Ok(()) };
        if read.value.claim.as_ref().is_none_or(|claim| claim.run_id != run.run_id) {
            return Ok(());
        }
        let before = match &read.value.published {
            Some(published) => ctx.ledger.outcome(&run.dataset, &published.claim.run_id).await?,
            None => None,
        };
        let next = transition::published(&read.value, outcome, before.as_ref());
        if ctx.ledger.swap_pointer(Some(&read.etag), &next).await?.is_some() {
            return Ok(());
        }
    }
}

/// Deletes what earlier runs left and this one does not have, as long as no later run has claimed.
async fn retire(ctx: &Context, outcome: &Outcome) -> Result<()> {
    let run = &outcome.run;
    let read = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
    let Some(read) = read else { return Ok(()) };
    let published = read.value.published.as_ref().is_some_and(|published| published.claim.run_id == run.run_id);
    if !published || read.value.claim.is_some() || read.value.displaced.is_empty() {
        return Ok(());
    }
    delete_left(ctx, &transition::to_retire(&read.value, outcome)).await?;
    ctx.ledger.swap_pointer(Some(&read.etag), &transition::retired(&read.value)).await?;
    Ok(())
}

/// Deletes objects that are still what they were.
pub(crate) async fn delete_left(ctx: &Context, left: &[Left]) -> Result<()> {
    let sink = ctx.ledger.sink();
    let deletes = left.iter().map(|left| async move { Ok(sink.delete_if(&left.key, &left.etag).await?) }.boxed());
    at_once(deletes).await?;
    Ok(())
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
        warnings: sums.warnings,
        drift: sums.drift,
        quarantine: shown.into_iter().flatten().collect(),
        ..bare_outcome(ctx, &plan.run, Some(plan), Status::Failed, Some(failure))
    };
    let outcome = ctx.ledger.settle_outcome(outcome).await?;
    conclude(ctx, outcome).await
}

/// Notes in the pointer what a failed run shows, so that the next publication retires it.
async fn note_shown(ctx: &Context, outcome: &Outcome) -> Result<()> {
    let run = &outcome.run;
    let left: Vec<Left> = outcome.quarantine.iter().map(Left::from).collect();
    loop {
        let read = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
        let (pointer, etag) = match &read {
            Some(stamped) => (Some(&stamped.value), Some(stamped.etag.as_str())),
            None => (None, None),
        };
        let noted = pointer.is_some_and(|pointer| pointer.displaced.iter().any(|known| known.run_id == run.run_id));
        if noted {
            return Ok(());
        }
        let next = transition::shown_by_failure(pointer, &run.source, &run.dataset, &run.run_id, left.clone());
        if ctx.ledger.swap_pointer(etag, &next).await?.is_some() {
            return Ok(());
        }
    }
}
