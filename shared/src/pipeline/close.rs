//! Ending runs without publishing: failed and superseded. Only the outcome is settled here and the uploads taken back;
//! the finalizer closes the marker, so that it is the one place where a run's end is told.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::{Context, open};
use crate::cost::Took;
use crate::ledger::identity::{Purpose, same_version};
use crate::ledger::records::{FORMAT, PendingPart};
use crate::ledger::{
    Coerced, Failure, Outcome, Plan, ReportError, RowCounts, Run, SliceRecord, SliceResult, Stamped, Status,
};
use crate::storage::list_all;
use crate::{Result, telemetry};

/// How many storage calls a closing or publishing run makes at once.
const CALLS_AT_ONCE: usize = 32;

/// Makes the calls, many at once, and answers their results in order; the first error ends it.
pub(crate) async fn at_once<'a, T: Send>(calls: impl Iterator<Item = BoxFuture<'a, Result<T>>>) -> Result<Vec<T>> {
    // Collected first: a lazy iterator in a stream would have to outlive every lifetime its closure names.
    let calls: Vec<_> = calls.collect();
    stream::iter(calls).buffered(CALLS_AT_ONCE).try_collect().await
}

/// The sums over a run's records.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub rows: RowCounts,
    pub reasons: BTreeMap<String, u64>,
    pub dropped: BTreeMap<String, u64>,
    pub warnings: BTreeMap<String, u64>,
    pub drift: Vec<String>,
    pub coerced: Vec<Coerced>,
    pub report_errors: Vec<ReportError>,
}

impl Sums {
    pub(crate) fn of(records: &[Stamped<SliceRecord>]) -> Self {
        let mut sums = Self::default();
        for record in records {
            let SliceResult::Done(done) = &record.value.result else { continue };
            sums.rows += done.rows;
            add(&mut sums.reasons, &done.reasons);
            add(&mut sums.dropped, &done.dropped);
            add(&mut sums.warnings, &done.warnings);
            Coerced::add(&mut sums.coerced, &done.coerced);
            for error in &done.report_errors {
                // One slice's words tell enough of a report.
                if !sums.report_errors.iter().any(|known| known.report == error.report) {
                    sums.report_errors.push(error.clone());
                }
            }
            for line in &done.drift {
                if !sums.drift.contains(line) {
                    sums.drift.push(line.clone());
                }
            }
        }
        sums
    }
}

fn add(sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, count) in more {
        *sums.entry(name.clone()).or_default() += count;
    }
}

/// All uploads of a run's records.
pub(crate) fn pending(records: &[Stamped<SliceRecord>]) -> impl Iterator<Item = &PendingPart> {
    records.iter().flat_map(|record| match &record.value.result {
        SliceResult::Done(done) => done.parts.iter().chain(&done.quarantine).collect::<Vec<_>>(),
        SliceResult::Failed(_) => Vec::new(),
    })
}

/// Aborts every upload that the records name. What is gone already is fine.
pub(crate) async fn abort_all<'a>(ctx: &Context, pending: impl Iterator<Item = &'a PendingPart>) -> Result<()> {
    let sink = ctx.ledger.sink();
    let aborts = pending
        .map(|part| async move { Ok(sink.abort_upload(&part.upload.key, &part.upload.upload_id).await?) }.boxed());
    at_once(aborts).await?;
    Ok(())
}

/// An outcome with nothing in it but who and how.
pub(crate) fn bare_outcome(
    ctx: &Context,
    run: &Run,
    plan: Option<&Plan>,
    status: Status,
    error: Option<Failure>,
) -> Outcome {
    let now_ms = ctx.now_ms();
    Outcome {
        format: FORMAT,
        run: run.clone(),
        status,
        error,
        slices: plan.map_or(0, |plan| u32::try_from(plan.slices.len()).unwrap_or(u32::MAX)),
        rows: RowCounts::default(),
        reasons: BTreeMap::new(),
        dropped: BTreeMap::new(),
        warnings: BTreeMap::new(),
        drift: Vec::new(),
        coerced: Vec::new(),
        parts: Vec::new(),
        quarantine: Vec::new(),
        report_errors: Vec::new(),
        notes: plan.map(|plan| plan.notes.clone()).unwrap_or_default(),
        started_at_ms: plan.map_or(now_ms, |plan| plan.created_at_ms),
        finished_at_ms: now_ms,
        took: None,
    }
}

/// What a run took that is not published.
fn took(plan: Option<&Plan>, records: &[Stamped<SliceRecord>]) -> Took {
    Took::of(plan, records.iter().map(|record| &record.value), None)
}

/// Closes a run as failed: records the outcome, then takes back what was uploaded. What was published stays.
pub async fn fail(ctx: &Context, run: &Run, failure: Failure) -> Result<Outcome> {
    let plan = ctx.ledger.plan(&run.dataset, &run.run_id).await?;
    let records = ctx.ledger.slices(&run.dataset, &run.run_id).await?;
    let sums = Sums::of(&records);
    let outcome = Outcome {
        rows: sums.rows,
        reasons: sums.reasons,
        dropped: sums.dropped,
        warnings: sums.warnings,
        drift: sums.drift,
        coerced: sums.coerced,
        took: Some(took(plan.as_ref(), &records)),
        ..bare_outcome(ctx, run, plan.as_ref(), Status::Failed, Some(failure))
    };
    settle(ctx, outcome, &records).await
}

/// Closes a run whose file a web server has not. Nobody need be woken for it: archives have gaps.
///
/// `tell`: there is no marker whose removal tells of the run's end, for it was never opened.
pub async fn missing(ctx: &Context, run: &Run, tell: bool) -> Result<Outcome> {
    if let Some(outcome) = ctx.ledger.outcome(&run.dataset, &run.run_id).await? {
        return Ok(outcome);
    }
    let message = format!("{}: the server has no such file: ask for it again when it is there", run.source.uri());
    let failure = Failure { kind: "missing".into(), message };
    let plan = ctx.ledger.plan(&run.dataset, &run.run_id).await?;
    let records = ctx.ledger.slices(&run.dataset, &run.run_id).await?;
    let outcome = bare_outcome(ctx, run, plan.as_ref(), Status::Missing, Some(failure));
    let outcome = settle(ctx, outcome, &records).await?;
    if tell {
        telemetry::run_ended(&outcome);
    }
    Ok(outcome)
}

/// Closes a run as superseded by one that is published of the same version and cut otherwise, and opens a retry, whose plan
/// takes over that run's slices.
pub async fn recut(ctx: &Context, run: &Run, by: &str) -> Result<Outcome> {
    let storage = ctx.open_source_of(run).await?;
    let now = storage.head(&run.source.key).await?;
    if now.is_some_and(|meta| same_version(&meta.version, &run.source.version)) {
        let dataset = ctx.current(&run.dataset, &run.config).await?;
        let generation = ctx.clock.new_id();
        let retry = Run::new(&run.dataset, &dataset.hash, Purpose::Retry, &generation, run.source.clone());
        open::open(ctx, &dataset, retry, false).await?;
    }
    supersede(ctx, run, &format!("run {by}, which is published with other slices: it is tried again with those")).await
}

/// Closes a run as superseded and, where a newer version of the source did it, sees that this version is ingested.
pub async fn supersede(ctx: &Context, run: &Run, by: &str) -> Result<Outcome> {
    let plan = ctx.ledger.plan(&run.dataset, &run.run_id).await?;
    let records = ctx.ledger.slices(&run.dataset, &run.run_id).await?;
    let failure = Failure { kind: "superseded".into(), message: format!("superseded by {by}") };
    enqueue_newest(ctx, run).await?;
    let bare = bare_outcome(ctx, run, plan.as_ref(), Status::Superseded, Some(failure));
    let outcome = Outcome { took: Some(took(plan.as_ref(), &records)), ..bare };
    settle(ctx, outcome, &records).await
}

/// Settles the outcome, and aborts the uploads unless the run turns out to be complete.
async fn settle(ctx: &Context, outcome: Outcome, records: &[Stamped<SliceRecord>]) -> Result<Outcome> {
    let outcome = ctx.ledger.settle_outcome(outcome).await?;
    if outcome.status == Status::Complete {
        return Ok(outcome);
    }
    let hidden = |part: &&PendingPart| !outcome.quarantine.iter().any(|shown| shown.key == part.upload.key);
    abort_all(ctx, pending(records).filter(hidden)).await?;
    Ok(outcome)
}

/// Opens the incremental run of the source's newest version, if that is not the run's own.
async fn enqueue_newest(ctx: &Context, run: &Run) -> Result<()> {
    let storage = ctx.open_source_of(run).await?;
    let Some(meta) = storage.head(&run.source.key).await? else { return Ok(()) };
    if same_version(&meta.version, &run.source.version) {
        return Ok(());
    }
    let dataset = ctx.current(&run.dataset, &run.config).await?;
    let source = open::source_of(&run.source.bucket, meta);
    open::open_incremental(ctx, &dataset, source, open::Eagerness::default()).await?;
    Ok(())
}

/// Deletes quarantine that a run which did not complete made visible and its outcome does not name: another finalizer
/// completed it before this outcome was settled. Its folder is the run's own, so what lies there is no other run's.
/// Call it once the run's uploads are aborted.
pub(crate) async fn hide_quarantine(ctx: &Context, outcome: &Outcome) -> Result<()> {
    let run = &outcome.run;
    let Some(plan) = ctx.ledger.plan(&run.dataset, &run.run_id).await? else { return Ok(()) };
    let sink = ctx.ledger.sink();
    for object in list_all(sink.as_ref(), &plan.quarantine_folder).await? {
        if !outcome.quarantine.iter().any(|shown| shown.key == object.key) {
            sink.delete_if(&object.key, &object.version.etag).await?;
        }
    }
    Ok(())
}
