//! Telling how runs ended: after publication, at least once, and never in its way.
//!
//! The finalizer puts a notice before it closes a run's marker, and tries the channels once when the run is closed. What a
//! channel did not take stays, and the sweep hands it to a finalizer again, with waits that double up to an hour, until a
//! day has passed: then it is dropped, which raises an alarm. Who delivers a notice first moves its `next_at_ms`, by
//! compare-and-swap: two at once tell nobody twice, and one that dies is followed by another. Once every channel took it or was
//! given up on, `notified.json` in the run's folder says so, and the notice goes.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::Context;
use super::message::Message;
use crate::dataset::Ending;
use crate::ledger::records::{FORMAT, Notice, Notified};
use crate::ledger::{Outcome, Stamped, Status};
use crate::notify::{Channels, Problem, Told, compose};
use crate::{Result, telemetry};

/// How long who delivers a notice may take over it, milliseconds: longer than any channel's timeout.
const LEASE_MS: i64 = 30_000;
/// The wait after the first attempt, milliseconds; it doubles with each further one.
const FIRST_WAIT_MS: i64 = 1_000;
/// The longest wait.
const LONGEST_WAIT_MS: i64 = 3_600_000;
/// Notices that one sweep hands on.
const SWEPT_AT_ONCE: usize = 500;

/// Puts the notice of a run that ended, if somebody wants it and it was not told of yet. `Some` where it is the caller's to
/// deliver.
pub(super) async fn put(ctx: &Context, outcome: &Outcome) -> Result<Option<Stamped<Notice>>> {
    let run = &outcome.run;
    if ctx.channels.is_none() || !run.purpose.publishes() || !is_wanted(ctx, outcome).await? {
        return Ok(None);
    }
    // A finalizer that slept may come long after another one told of the run.
    if ctx.ledger.notified(&run.dataset, &run.run_id).await?.is_some() {
        return Ok(None);
    }
    let now_ms = ctx.now_ms();
    let notice = Notice {
        format: FORMAT,
        dataset: run.dataset.clone(),
        run_id: run.run_id.clone(),
        lease: ctx.clock.new_id(),
        put_at_ms: now_ms,
        attempts: 1,
        next_at_ms: now_ms + LEASE_MS,
        told: Vec::new(),
        problems: BTreeMap::new(),
    };
    ctx.ledger.put_notice(notice).await
}

async fn is_wanted(ctx: &Context, outcome: &Outcome) -> Result<bool> {
    let ending = match outcome.status {
        Status::Complete => Ending::Complete,
        Status::Failed => Ending::Failed,
        Status::Superseded => Ending::Superseded,
        // The request that looked for the file has told so.
        Status::Missing => return Ok(false),
    };
    match ctx.config(&outcome.run.config).await {
        Ok(dataset) => Ok(dataset.spec.notify.on.contains(&ending)),
        // A run whose dataset file is gone or wrong has ended as well.
        Err(error) if error.is_permanent() => Ok(true),
        Err(error) => Err(error),
    }
}

/// Delivers a notice that was just put. What goes wrong is left to the sweep: the run has ended.
pub(super) async fn first(ctx: &Context, outcome: &Outcome, notice: Stamped<Notice>) {
    if let Err(error) = deliver(ctx, outcome, notice, true).await {
        tracing::warn!(run_id = outcome.run.run_id, %error, "notice left to the sweep");
    }
}

/// Delivers a run's notice, if one is left and due.
pub(super) async fn again(ctx: &Context, dataset: &str, run_id: &str) -> Result<()> {
    let Some(read) = ctx.ledger.notice(run_id).await? else { return Ok(()) };
    let outcome = ctx.ledger.outcome(dataset, run_id).await?;
    let (Some(outcome), Some(_)) = (outcome, &ctx.channels) else {
        // The channels were taken away meanwhile.
        return ctx.ledger.forget_notice(run_id).await;
    };
    let now_ms = ctx.now_ms();
    if now_ms < read.value.next_at_ms {
        return Ok(());
    }
    let attempts = read.value.attempts.saturating_add(1);
    let (lease, next_at_ms) = (ctx.clock.new_id(), now_ms + LEASE_MS);
    let mine = Notice { lease, attempts, next_at_ms, ..read.value.clone() };
    let Some(etag) = ctx.ledger.change_notice(&read, &mine).await? else { return Ok(()) };
    deliver(ctx, &outcome, Stamped { value: mine, etag }, false).await
}

/// Tells the channels that did not take the notice yet, all at once, and records what became of it. `spare` leaves out those
/// that were down a moment ago.
async fn deliver(ctx: &Context, outcome: &Outcome, notice: Stamped<Notice>, spare: bool) -> Result<()> {
    let Some(channels) = &ctx.channels else { return Ok(()) };
    let sink = ctx.ledger.sink();
    let message = compose(outcome, &|key| sink.uri(key));
    let now_ms = ctx.now_ms();
    let left = channels.all().iter().filter(|channel| !notice.value.told.iter().any(|told| told == channel.name()));
    let telling = left.map(|channel| async {
        let name = channel.name();
        let told = match spare && channels.rests(name, now_ms) {
            true => Err(Problem::Down("not tried: it was down a moment ago".to_owned())),
            false => channel.tell(&message).await,
        };
        (name.to_owned(), told)
    });
    let told = join_all(telling).await;
    note_down(channels, &told, now_ms);
    match decide(&notice.value, told, ctx.now_ms(), ctx.limits.notice_ms) {
        Decision::Settled(notified) => {
            for (channel, problem) in &notified.dropped {
                telemetry::notice_dropped(&outcome.run, channel, problem, notified.at_ms);
            }
            ctx.ledger.settle_notice(&outcome.run.dataset, &notified).await
        }
        Decision::Later(next) => {
            tracing::warn!(run_id = next.run_id, attempts = next.attempts, problems = ?next.problems, "notice not delivered");
            ctx.ledger.change_notice(&notice, &next).await?;
            Ok(())
        }
    }
}

fn note_down(channels: &Channels, told: &[(String, Told)], now_ms: i64) {
    for (name, told) in told {
        if matches!(told, Err(Problem::Down(_))) {
            channels.rest(name, now_ms);
        }
    }
}

/// What becomes of a notice after an attempt.
#[derive(Debug, PartialEq)]
enum Decision {
    /// Every channel took it or was given up on.
    Settled(Notified),
    /// It is tried again.
    Later(Notice),
}

fn decide(notice: &Notice, told: Vec<(String, Told)>, now_ms: i64, notice_ms: i64) -> Decision {
    let mut next = Notice { problems: BTreeMap::new(), ..notice.clone() };
    let mut dropped = BTreeMap::new();
    let too_old = now_ms - notice.put_at_ms >= notice_ms;
    for (name, told) in told {
        match told {
            Ok(()) => next.told.push(name),
            Err(Problem::Refused(problem)) => {
                dropped.insert(name, problem);
            }
            Err(Problem::Down(problem)) if too_old => {
                dropped.insert(name, problem);
            }
            Err(Problem::Down(problem)) => {
                next.problems.insert(name, problem);
            }
        }
    }
    if next.problems.is_empty() {
        let Notice { run_id, told, .. } = next;
        return Decision::Settled(Notified { format: FORMAT, run_id, at_ms: now_ms, told, dropped });
    }
    // One that refused the message for good is asked again with the others: they are few, and it says the same.
    next.problems.extend(dropped);
    next.next_at_ms = now_ms.saturating_add(wait_ms(notice.attempts));
    Decision::Later(next)
}

/// The wait after so many attempts.
fn wait_ms(attempts: u32) -> i64 {
    let doubled = FIRST_WAIT_MS.checked_shl(attempts.saturating_sub(1).min(30)).unwrap_or(i64::MAX);
    doubled.clamp(FIRST_WAIT_MS, LONGEST_WAIT_MS)
}

/// Hands the notices that are due to a finalizer, and answers how many.
pub(super) async fn sweep(ctx: &Context, dry_run: bool) -> Result<u64> {
    let now_ms = ctx.now_ms();
    let notices = ctx.ledger.notices(SWEPT_AT_ONCE).await?;
    let due = notices.into_iter().map(|read| read.value).filter(|notice| notice.next_at_ms <= now_ms);
    let bodies: Result<Vec<String>> =
        due.map(|notice| Message::Notice { dataset: notice.dataset, run_id: notice.run_id }.encode()).collect();
    let bodies = bodies?;
    if !dry_run && !bodies.is_empty() {
        ctx.finalize.send(&bodies).await?;
    }
    Ok(u64::try_from(bodies.len()).unwrap_or(u64::MAX))
}

/// Delivers every notice of `dataset` that is due now, and answers how long until the next one is, milliseconds. For a run
/// on one machine, which has no sweep.
///
/// # Errors
///
/// Where the ledger cannot be read or written: what a channel says is no error.
pub async fn tell_left(ctx: &Context, dataset: &str) -> Result<Option<i64>> {
    if ctx.channels.is_none() {
        return Ok(None);
    }
    let of_dataset = |read: &Stamped<Notice>| read.value.dataset == dataset;
    for read in ctx.ledger.notices(SWEPT_AT_ONCE).await?.into_iter().filter(of_dataset) {
        again(ctx, dataset, &read.value.run_id).await?;
    }
    let left = ctx.ledger.notices(SWEPT_AT_ONCE).await?;
    let now_ms = ctx.now_ms();
    Ok(left.iter().filter(|read| of_dataset(read)).map(|read| (read.value.next_at_ms - now_ms).max(0)).min())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn notice(attempts: u32) -> Notice {
        Notice {
            format: FORMAT,
            dataset: "d".into(),
            run_id: "r".into(),
            lease: "l".into(),
            put_at_ms: 1_000,
            attempts,
            next_at_ms: 0,
            told: vec!["topic".into()],
            problems: BTreeMap::new(),
        }
    }

    fn down() -> Vec<(String, Told)> {
        vec![("webhook".to_owned(), Err(Problem::Down("status 503".into())))]
    }

    #[test]
    fn a_notice_waits_longer_each_time_and_is_dropped_after_a_day() {
        const DAY_MS: i64 = 24 * 3_600_000;
        let waits: Vec<i64> = [1, 2, 3, 12, 13, 60, u32::MAX]
            .map(|attempts| match decide(&notice(attempts), down(), 5_000, DAY_MS) {
                Decision::Later(next) => next.next_at_ms - 5_000,
                Decision::Settled(_) => -1,
            })
            .to_vec();
        assert_eq!(waits, [1_000, 2_000, 4_000, 2_048_000, 3_600_000, 3_600_000, 3_600_000]);
        let Decision::Settled(notified) = decide(&notice(30), down(), 1_000 + DAY_MS, DAY_MS) else { unreachable!() };
        assert_eq!(notified.told, ["topic"]);
        assert_eq!(notified.dropped.get("webhook").unwrap(), "status 503");
    }

    #[test]
    fn what_a_channel_will_never_take_is_dropped_at_once() {
        let refused = vec![("webhook".to_owned(), Err(Problem::Refused("status 400".into())))];
        let Decision::Settled(notified) = decide(&notice(1), refused, 5_000, 1_000_000) else { unreachable!() };
        assert_eq!((notified.told.len(), notified.dropped.len()), (1, 1));
    }

    #[test]
    fn a_channel_that_took_it_is_not_told_again() {
        let mut told = down();
        told.push(("log".to_owned(), Ok(())));
        let Decision::Later(next) = decide(&notice(1), told, 5_000, 1_000_000) else { unreachable!() };
        assert_eq!(next.told, ["topic", "log"]);
        assert_eq!(next.problems.len(), 1);
    }
}
