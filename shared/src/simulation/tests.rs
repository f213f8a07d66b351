//! `ROWMILL_SEED=n` runs one seed and prints its trace, `ROWMILL_SEEDS=n` runs n of them.

use super::{Crashes, Report, run, trace};

/// How many seeds run by default: some 60 seconds on two processors.
const DEFAULT_SEEDS: u64 = 20_000;

/// Faults and races that the default seeds must meet.
const FAULTS: [&str; 44] = [
    "a content returned",
    "a stale finalizer woke up",
    "applied mid-run",
    "batch partly failed",
    "channel down",
    "channel took it and did not say so",
    "completed long ago",
    "condition lost",
    "crash",
    "crash before the acknowledgement",
    "dead letter",
    "deleted mid-run",
    "event lost",
    "gave up on a run",
    "kept from deleting another run's object",
    "killed every time",
    "message delivered twice",
    "message lost",
    "messages reordered",
    "newest version taken back",
    "operation failed",
    "overwritten mid-run",
    "prune asked",
    "redrive asked",
    "relist",
    "reply lost",
    "reprocess asked",
    "reprocessed mid-run",
    "retried by a person",
    "run complete",
    "run failed",
    "run refused to touch somebody's object",
    "run superseded",
    "sink copied",
    "slept past its visibility",
    "somebody's object moved away",
    "somebody's object put",
    "stopped before the deadline",
    "sweep",
    "test subset asked",
    "two finalizers at once",
    "upload expired",
    "upload found gone",
    "visibility expired under its consumer",
];

/// Side effects before and after which a process must have crashed.
const STEPS: [&str; 44] = [
    "check: keep config",
    "check: own prefix",
    "check: put marker",
    "check: send finalize",
    "check: send work",
    "check: touch marker",
    "finalize: abort upload",
    "finalize: adopt displaced",
    "finalize: claim",
    "finalize: clear displaced",
    "finalize: complete part",
    "finalize: complete quarantine",
    "finalize: delete marker",
    "finalize: delete notice",
    "finalize: delete part",
    "finalize: delete quarantine",
    "finalize: forget slice record",
    "finalize: keep config",
    "finalize: mark published",
    "finalize: note fenced",
    "finalize: note left",
    "finalize: put marker",
    "finalize: put notice",
    "finalize: put notified",
    "finalize: put outcome",
    "finalize: put slice record",
    "finalize: release claim",
    "finalize: send work",
    "finalize: tell",
    "finalize: touch marker",
    "finalize: touch notice",
    "finalize: unpublish",
    "process: abort upload",
    "process: begin part",
    "process: begin quarantine",
    "process: keep config",
    "process: put marker",
    "process: put outcome",
    "process: put plan",
    "process: put slice record",
    "process: put upload part",
    "process: send finalize",
    "process: send work",
    "process: touch marker",
];

/// Steps of publishing before which a finalizer must have slept until a later run was published.
const STALE: [&str; 10] = [
    "finalize: abort upload",
    "finalize: claim",
    "finalize: clear displaced",
    "finalize: complete part",
    "finalize: complete quarantine",
    "finalize: delete marker",
    "finalize: forget slice record",
    "finalize: mark published",
    "finalize: note left",
    "finalize: put outcome",
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn tell(report: &Report) {
    let by_side_effect = |name: &&String| name.contains(": ");
    for (name, tally) in report.faults.iter().filter(|(name, _)| !by_side_effect(name)) {
        println!("{:>9} {name}", tally.injected);
    }
    println!("side effects: done, crashed before, crashed after, stale");
    for (name, crashes) in &report.crashes {
        let Crashes { done, before, after, stale } = crashes;
        println!("{done:>9} {before:>9} {after:>9} {stale:>9} {name}");
    }
    println!("{} seeds, {} runs, {} rows compared", report.seeds, report.all.runs, report.all.rows);
}

#[test]
fn whatever_fails_and_in_whatever_order_every_run_ends_and_readers_see_one_run_whole() {
    if let Some(seed) = number("ROWMILL_SEED") {
        let (lines, broken) = trace(seed);
        println!("{}", lines.join("\n"));
        assert!(broken.is_none(), "{broken:#?}");
        return;
    }
    let report = run(0..number("ROWMILL_SEEDS").unwrap_or(DEFAULT_SEEDS));
    tell(&report);
    assert_kept(&report);
    if report.seeds >= DEFAULT_SEEDS {
        assert_met(&report);
    }
}

fn assert_kept(report: &Report) {
    for failed in &report.failures {
        println!("ROWMILL_SEED={} breaks: {:?} {}", failed.seed, failed.broken.promise, failed.broken.problem);
    }
    if let Some(failed) = report.failures.first() {
        println!("{}", trace(failed.seed).0.join("\n"));
        panic!(
            "{} of {} seeds break a promise: the trace of seed {} is above",
            report.failures.len(),
            report.seeds,
            failed.seed
        );
    }
}

/// A simulation proves nothing about what it never met.
fn assert_met(report: &Report) {
    let faults = FAULTS.iter().filter(|name| report.faults.get(**name).is_none_or(|tally| tally.injected == 0));
    let crashes = |name: &str| report.crashes.get(name).copied().unwrap_or_default();
    let steps = STEPS.iter().filter(|name| crashes(name).before == 0 || crashes(name).after == 0);
    let stale = STALE.iter().filter(|name| crashes(name).stale == 0);
    let missed: Vec<_> = faults.chain(steps).chain(stale).collect();
    assert!(missed.is_empty(), "no seed met: {missed:?}");
    let unknown: Vec<_> = report.crashes.keys().filter(|name| !STEPS.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "side effects that no list names: {unknown:?}");
}
