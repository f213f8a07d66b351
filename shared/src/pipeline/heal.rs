//! The sweep: every run ends, whatever was lost on the way.
//!
//! It reads the markers of unfinished runs and nothing else of the ledger's history. A run that made progress since the
//! last sweep is left alone, and so is every run while messages wait in the work queue: theirs may be among them.

use super::message::Message;
use super::{Context, close, notices};
use crate::Result;
use crate::ledger::records::{FORMAT, Open};
use crate::ledger::{Failure, Plan, SliceRecord, SliceResult, Stamped};

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healed {
    /// Runs looked at.
    pub open: u64,
    /// Runs restarted.
    pub restarted: u64,
    /// Runs closed because restarting did not help.
    pub closed: u64,
    /// The runs restarted or closed.
    pub runs: Vec<String>,
    /// Notices of ended runs that are to be delivered again.
    pub notices: u64,
}

/// What a sweep does about one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It moves, or may be waiting its turn.
    Leave,
    /// It moved: note it.
    Note,
    /// Send again what is missing.
    Restart,
    /// Record what is missing as failed.
    GiveUp,
}

fn decide(open: &Open, recorded: u32, now_ms: i64, stall_ms: i64, restarts: u32, backlog: bool) -> Step {
    if recorded != open.recorded {
        return Step::Note;
    }
    if backlog || now_ms - open.progress_at_ms < stall_ms {
        return Step::Leave;
    }
    if open.restarts >= restarts { Step::GiveUp } else { Step::Restart }
}

/// Restarts what open runs lack.
pub async fn heal(ctx: &Context, dry_run: bool) -> Result<Healed> {
    let mut healed = Healed { notices: notices::sweep(ctx, dry_run).await?, ..Healed::default() };
    let opens = ctx.ledger.open_runs().await?;
    if opens.is_empty() {
        return Ok(healed);
    }
    let backlog = ctx.work.waiting().await? > 0;
    for open in opens {
        healed.open += 1;
        let run = &open.value.run;
        let recorded = ctx.ledger.recorded(&run.dataset, &run.run_id).await?;
        let count = u32::try_from(recorded.len()).unwrap_or(u32::MAX);
        let limits = &ctx.limits;
        let step = decide(&open.value, count, ctx.now_ms(), limits.stall_ms, limits.restarts, backlog);
        if dry_run || step == Step::Leave {
            continue;
        }
        let mut noted = Open { progress_at_ms: ctx.now_ms(), recorded: count, restarts: 0, ..open.value.clone() };
        if step != Step::Note {
            noted.restarts = open.value.restarts + 1;
        }
        if !ctx.ledger.touch(&open, &noted).await? || step == Step::Note {
            continue;
        }
        healed.runs.push(run.run_id.clone());
        if step == Step::GiveUp {
            healed.closed += 1;
            let message = Message::GiveUp { dataset: run.dataset.clone(), run_id: run.run_id.clone() };
            ctx.finalize.send(&[message.encode()?]).await?;
        } else {
            healed.restarted += 1;
            restart(ctx, &open, &recorded).await?;
        }
    }
    Ok(healed)
}

/// Sends again what a run lacks: its plan, its slices, or its end.
async fn restart(ctx: &Context, open: &Stamped<Open>, recorded: &[u32]) -> Result<()> {
    let run = &open.value.run;
    let Some(plan) = ctx.ledger.plan(&run.dataset, &run.run_id).await? else {
        return ctx.work.send(&[Message::File { run: Box::new(run.clone()) }.encode()?]).await;
    };
    let messages = missing(&plan, recorded);
    tracing::warn!(run_id = run.run_id, slices = messages.len(), "stalled: sent again");
    if messages.is_empty() || ctx.ledger.outcome(&run.dataset, &run.run_id).await?.is_some() {
        return ctx.finalize.send(&[Message::of_run(run).encode()?]).await;
    }
    ctx.work.send(&messages.iter().map(Message::encode).collect::<Result<Vec<_>>>()?).await
}

/// Records what a run misses as failed, so that it ends. The finalizer's part of the sweep.
pub(super) async fn give_up(ctx: &Context, dataset: &str, run_id: &str) -> Result<()> {
    let Some(open) = ctx.ledger.open_run(run_id).await? else { return Ok(()) };
    let failure = Failure {
        kind: "killed".into(),
        message: format!(
            "no progress after {} restarts: killed by memory or time? raise the processor's memory or timeout, \
             or lower output.row_group_rows",
            ctx.limits.restarts
        ),
    };
    let Some(plan) = ctx.ledger.plan(dataset, run_id).await? else {
        close::fail(ctx, &open.value.run, failure).await?;
        return Ok(());
    };
    let recorded = ctx.ledger.recorded(dataset, run_id).await?;
    for message in missing(&plan, &recorded) {
        let Message::Slice { slice, .. } = message else { continue };
        let record = SliceRecord {
            format: FORMAT,
            run_id: run_id.to_owned(),
            slice,
            attempt: ctx.clock.new_id(),
            recorded_at_ms: ctx.now_ms(),
            usage: None,
            result: SliceResult::Failed(failure.clone()),
        };
        ctx.ledger.record_slice(dataset, &record).await?;
    }
    Ok(())
}

/// The messages of slices that have no record.
pub(super) fn missing(plan: &Plan, recorded: &[u32]) -> Vec<Message> {
    let missing = plan.slices.iter().map(|slice| slice.index).filter(|index| !recorded.contains(index));
    let message = |slice| Message::Slice { dataset: plan.run.dataset.clone(), run_id: plan.run.run_id.clone(), slice };
    missing.map(message).collect()
}
