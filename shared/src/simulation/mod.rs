//! The protocol under seeded faults and interleavings: the real use cases over a sink and queues in memory, with a clock
//! that moves when told. Between any two storage operations a process may crash, sleep, or another may come; replies get
//! lost, messages come twice, late or never, sources change. A reader looks after every change.
//!
//! [`run`] is for tests and for the table of faults. The module panics where its own workings are wrong: link it into no
//! function.

mod dice;
mod faulty;
mod handmade;
mod happenings;
mod listener;
mod queues;
mod quiet;
mod reader;
mod report;
mod sources;
mod steps;
#[cfg(test)]
mod tests;
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

pub use report::{Broken, Crashes, Failed, Promise, Report, Tally};

use crate::event::Intent;
use dice::{Dice, Odds};
use quiet::Compared;
#[cfg(test)]
pub(crate) use world::Hand;
use world::World;

/// Simulates every seed, on as many threads as the machine has. The same seeds give the same report.
pub fn run(seeds: Range<u64>) -> Report {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let every = |first: u64| {
        let mut report = Report::default();
        for seed in (seeds.start + first..seeds.end).step_by(usize::try_from(threads).unwrap_or(1)) {
            report.add(one(seed));
        }
        report
    };
    let mut report = Report::default();
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(move || every(first))).collect();
        for part in parts {
            report.add(part.join().unwrap());
        }
    });
    report
}

/// Simulates one seed, and answers what happened, line by line, and what was broken.
pub fn trace(seed: u64) -> (Vec<String>, Option<Broken>) {
    let dice = Dice::new(seed, true);
    let report = ended(seed, &dice);
    let lines = dice.state().trace.take().unwrap_or_default();
    (lines, report.failures.into_iter().next().map(|failed| failed.broken))
}

fn one(seed: u64) -> Report {
    ended(seed, &Dice::new(seed, false))
}

/// Runs a seed to its end. A panic in the code under test breaks a promise as well.
fn ended(seed: u64, dice: &Dice) -> Report {
    let compared = catch_unwind(AssertUnwindSafe(|| simulate(dice))).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        dice.broken(Promise::Unfinished, format!("a panic: {}", words.unwrap_or_default()));
        Compared::default()
    });
    let state = dice.state();
    let is = |promise| u64::from(state.broken.as_ref().is_some_and(|broken| broken.promise == promise));
    let tally = Tally {
        injected: 0,
        runs: compared.runs,
        rows: compared.rows,
        lost: is(Promise::Lost),
        duplicated: is(Promise::Duplicated),
        early: is(Promise::Early),
    };
    let mut report = Report { seeds: 1, all: tally, ..Report::default() };
    for (name, count) in &state.counts {
        report.faults.insert((*name).to_owned(), Tally { injected: *count, ..tally });
        report.all.injected += count;
    }
    for ((use_case, step), crashes) in &state.crashes {
        let faults =
            [("crash before", crashes.before), ("crash after", crashes.after), ("stale before", crashes.stale)];
        for (fault, injected) in faults.into_iter().filter(|(_, injected)| *injected > 0) {
            report.faults.insert(format!("{fault} {use_case}: {step}"), Tally { injected, ..tally });
        }
        report.crashes.insert(format!("{use_case}: {step}"), *crashes);
    }
    report.failures.extend(state.broken.clone().map(|broken| Failed { seed, broken }));
    report
}

fn simulate(dice: &Dice) -> Compared {
    let mut world = World::new(dice.clone());
    world.apply();
    let odds = world.mix();
    dice.state().odds = odds;
    for key in world.keys {
        world.put_source(key);
    }
    for _ in 0..40 + dice.below(120) {
        world.happen();
        world.work(2);
    }
    if !world.frozen.is_empty() {
        // Whoever sleeps now is displaced, by runs that crash as well.
        dice.state().odds = Odds { freeze: 0, message_lost: 0, ..odds };
        world.ask(Intent::Reprocess, "reprocess asked");
        world.work(250);
    }
    if dice.is_broken() {
        return Compared::default();
    }
    dice.state().odds = Odds::default();
    dice.note(|| "QUIET".into());
    world.settle();
    if !world.frozen.is_empty() && dice.hits(500) {
        // Whoever sleeps still is to wake up in a world that has moved on.
        world.ask(Intent::Reprocess, "reprocess asked");
        world.settle();
    }
    while !world.frozen.is_empty() {
        world.thaw();
        world.drain();
    }
    world.settle();
    if dice.hits(300) {
        world.copy_sink();
        world.ask(Intent::Reprocess, "reprocess asked");
        world.settle();
    }
    if dice.hits(100) {
        world.put_foreign();
        world.ask(Intent::Reprocess, "reprocess asked");
        world.settle();
    }
    if world.move_foreign_away() || !world.reader.seen().foreign.is_empty() {
        // What runs refused to touch is out of their way: the next ones publish.
        world.ask(Intent::Reprocess, "reprocess asked");
        world.settle();
    }
    world.compare()
}
