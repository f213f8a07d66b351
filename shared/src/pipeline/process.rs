//! The processor's use case: plan a source, clean a slice.

use super::Context;
use super::close;
use super::heal::missing;
use super::message::Message;
use super::slice::{clean_slice, source_file};
use crate::clean::Cleaner;
use crate::ledger::identity::{Run, same_version};
use crate::ledger::records::FORMAT;
use crate::ledger::{Failure, Plan, SliceRecord, SliceResult, Status, keys};
use crate::plan::admission::{self, Shape};
use crate::read::parquet::{Footer, find_pages, read_again, read_from_start};
use crate::{Error, Result, plan, telemetry};

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
pub async fn process(ctx: &Context, message: Message) -> Result<Processed> {
    match message {
        Message::File { run } => file(ctx, &run).await,
        Message::Slice { dataset, run_id, slice } => {
            let Some(plan) = ctx.ledger.plan(&dataset, &run_id).await? else {
                return Err(Error::Internal(format!("run {run_id}: a slice came, and there is no plan")));
            };
            one_slice(ctx, &plan, slice).await
        }
        message => Err(Error::Format {
            what: "message".to_owned(),
            problem: format!("run {}: not for a processor: only `file` and `slice` are", message.run_id()),
        }),
    }
}

/// Plans a run and sends its slices; a run of one slice is cleaned at once.
async fn file(ctx: &Context, run: &Run) -> Result<Processed> {
    if ctx.ledger.outcome(&run.dataset, &run.run_id).await?.is_some() {
        ctx.finalize
            .send(&[Message::Run { dataset: run.dataset.clone(), run_id: run.run_id.clone() }.encode()?])
            .await?;
        return Ok(Processed::EndedBefore);
    }
    let plan = match ctx.ledger.plan(&run.dataset, &run.run_id).await? {
        Some(plan) => plan,
        None => match make_plan(ctx, run).await {
            Ok(plan) => ctx.ledger.settle_plan(plan).await?,
            Err(error) => return ended_by(ctx, run, error).await,
        },
    };
    tracing::info!(run_id = run.run_id, rows = plan.rows, slices = plan.slices.len(), "planned");
    let recorded = ctx.ledger.recorded(&run.dataset, &run.run_id).await?;
    let messages = missing(&plan, &recorded);
    match messages.as_slice() {
        [] => {
            ctx.finalize.send(&[Message::of_run(run).encode()?]).await?;
            Ok(Processed::Planned { sent: 0 })
        }
        [Message::Slice { slice, .. }] => one_slice(ctx, &plan, *slice).await,
        _ => {
            ctx.work.send(&messages.iter().map(Message::encode).collect::<Result<Vec<_>>>()?).await?;
            Ok(Processed::Planned { sent: messages.len() })
        }
    }
}

/// Settles the run that a permanent error ends; gives a transient one back.
async fn ended_by(ctx: &Context, run: &Run, error: Error) -> Result<Processed> {
    match error {
        Error::SourceChanged { .. } => close::supersede(ctx, run, "a newer version of the source").await?,
        error if error.is_permanent() => close::fail(ctx, run, Failure::from(&error)).await?,
        error => return Err(error),
    };
    ctx.finalize.send(&[Message::of_run(run).encode()?]).await?;
    Ok(Processed::Stopped)
}

async fn make_plan(ctx: &Context, run: &Run) -> Result<Plan> {
    let created_at_ms = ctx.now_ms();
    let dataset = ctx.config(&run.config).await?;
    let file = source_file(ctx.stores.as_ref(), &run.source).await?;
    let footer = Footer::read(&file).await?;
    // Compiles the contract and the SQL against this very schema, so that what can never work fails before any row.
    Cleaner::new(&dataset, &footer.schema, &file.uri())?;
    let output = &dataset.spec.output;
    let wanted = Shape { row_group_rows: output.row_group_rows, slice_row_groups: output.slice_row_groups };
    let (row_group_rows, slices, shape_note) = match earlier_slices(ctx, run).await? {
        Some(earlier) if earlier.rows == footer.total_rows => (earlier.row_group_rows, earlier.slices, None),
        _ => {
            let (shape, note) = match ctx.limits.memory_bytes {
                None => (wanted, None),
                Some(limit) => {
                    let shape = admission::admit(&footer.widths(), wanted, limit)?;
                    (shape, admission::note(wanted, shape, limit))
                }
            };
            let limit = ctx.limits.plan_slices;
            let slices = plan::slices(footer.total_rows, shape.row_group_rows, shape.slice_row_groups, limit)?;
            (shape.row_group_rows, slices, note)
        }
    };
    let pages = find_pages(&file, &footer, &slices).await?;
    let notes = shape_note.into_iter().chain(read_from_start(&footer, &slices, &pages));
    let notes = notes.chain(read_again(&footer, &slices, &pages)).collect();
    Ok(Plan {
        format: FORMAT,
        run: run.clone(),
        rows: footer.total_rows,
        slices,
        row_group_rows,
        parts_folder: keys::parts(&dataset, run),
        quarantine_folder: keys::quarantine(&dataset, run),
        pages: (!pages.row_groups.is_empty()).then_some(pages),
        notes,
        created_at_ms,
    })
}

/// The plan of the run that is published for this very object version: a reprocess keeps its boundaries, so that a
/// reader sees each part old or new, and never a row twice.
async fn earlier_slices(ctx: &Context, run: &Run) -> Result<Option<Plan>> {
    let pointer = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
    let Some(published) = pointer.and_then(|pointer| pointer.value.published) else { return Ok(None) };
    if !run.purpose.publishes() || !same_version(&published.claim.version, &run.source.version) {
        return Ok(None);
    }
    ctx.ledger.plan(&run.dataset, &published.claim.run_id).await
}

/// Cleans one slice and records it, unless that is done; sends the run to a finalizer when it was the last.
async fn one_slice(ctx: &Context, plan: &Plan, index: u32) -> Result<Processed> {
    let run = &plan.run;
    if let Some(outcome) = ctx.ledger.outcome(&run.dataset, &run.run_id).await? {
        if outcome.status != Status::Complete {
            // An earlier try may have recorded uploads after the run had ended, and died: the finalizer aborts them.
            ctx.finalize.send(&[Message::of_run(run).encode()?]).await?;
        }
        return Ok(Processed::EndedBefore);
    }
    let mut failed = false;
    if ctx.ledger.slice(&run.dataset, &run.run_id, index).await?.is_none() {
        let attempt = ctx.clock.new_id();
        let result = match clean_slice(ctx, plan, index, &attempt).await {
            Ok(done) => SliceResult::Done(Box::new(done)),
            Err(error @ Error::SourceChanged { .. }) => return ended_by(ctx, run, error).await,
            Err(error) if error.is_permanent() => {
                failed = true;
                SliceResult::Failed(Failure::from(&error))
            }
            Err(error) => return Err(error),
        };
        record(ctx, plan, index, attempt, result).await?;
    }
    let recorded = ctx.ledger.recorded(&run.dataset, &run.run_id).await?;
    if failed || missing(plan, &recorded).is_empty() {
        ctx.finalize.send(&[Message::of_run(run).encode()?]).await?;
    }
    Ok(Processed::Recorded)
}

/// Puts the slice's record. Uploads are aborted only once a record was read that names other ones, or the run ended:
/// a put whose reply was lost may be this one.
async fn record(ctx: &Context, plan: &Plan, index: u32, attempt: String, result: SliceResult) -> Result<()> {
    let run = &plan.run;
    let record = SliceRecord {
        format: FORMAT,
        run_id: run.run_id.clone(),
        slice: index,
        attempt,
        recorded_at_ms: ctx.now_ms(),
        result,
    };
    let mine = ctx.ledger.record_slice(&run.dataset, &record).await?;
    telemetry::slice_ended(run, &record);
    let SliceResult::Done(done) = &record.result else { return Ok(()) };
    let lost = !mine
        && ctx
            .ledger
            .slice(&run.dataset, &run.run_id, index)
            .await?
            .is_some_and(|there| there.value.attempt != record.attempt);
    let too_late = ctx.ledger.outcome(&run.dataset, &run.run_id).await?.is_some();
    if lost || too_late {
        close::abort_all(ctx, done.parts.iter().chain(&done.quarantine)).await?;
    }
    Ok(())
}
