//! The protocol under seeded faults and interleavings: crashes between any two storage operations, lost replies, stale
//! finalizers, duplicate and lost messages, sources that change. `ROWMILL_SEED=n` runs one seed with its trace,
//! `ROWMILL_SEEDS=n` runs n of them.

mod dice;
mod faulty;
mod happenings;
mod processor;
mod queues;
mod quiescence;
mod reader;
mod world;

use std::collections::BTreeMap;

use dice::{Dice, Odds};
use world::World;

/// How many seeds run by default: some seconds.
const DEFAULT_SEEDS: u64 = 400;

/// What each default set of seeds must have met.
const HIT: [&str; 27] = [
    "a content returned",
    "completed long ago",
    "crashed",
    "dead letter",
    "deleted",
    "delivered twice",
    "event lost",
    "failed before its effect",
    "found an upload gone",
    "frozen",
    "gave up on a run",
    "kept from deleting another run's object",
    "lost a condition",
    "message lost",
    "newest version taken back",
    "overwritten",
    "prune asked",
    "reordered",
    "reply lost after its effect",
    "reprocess requested",
    "retried by a person",
    "thawed",
    "two finalizers at once",
    "upload expired",
    "run complete",
    "run failed",
    "run superseded",
];

/// Prints the trace of a seed that fails.
struct Trace(u64, Dice);

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var("ROWMILL_SEED").is_ok() {
            for line in &self.1.state().trace {
                println!("{line}");
            }
            println!("ROWMILL_SEED={} runs this again", self.0);
        }
    }
}

fn simulate(seed: u64) -> BTreeMap<&'static str, u64> {
    let mut world = World::new(seed);
    let _trace = Trace(seed, world.dice.clone());
    let odds = world.mix();
    world.dice.state().odds = odds;
    world.overwrite();
    for _ in 0..100 + world.dice.below(700) {
        world.happen();
        if world.dice.hits(300) {
            world.deliver();
        }
        world.step();
    }
    world.dice.state().odds = Odds::default();
    world.dice.note("QUIET".into());
    world.settle();
    while !world.frozen.is_empty() {
        world.thaw();
        world.drain();
    }
    world.settle();
    world.assert_settled();
    world.dice.state().counts.clone()
}

#[test]
fn whatever_fails_and_in_whatever_order_every_run_ends_and_readers_see_one_run_whole() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("ROWMILL_SEED") {
        simulate(seed);
        return;
    }
    let mut counts = BTreeMap::new();
    let seeds = number("ROWMILL_SEEDS");
    for seed in 0..seeds.unwrap_or(DEFAULT_SEEDS) {
        for (what, times) in simulate(seed) {
            *counts.entry(what).or_insert(0) += times;
        }
    }
    println!("{counts:#?}");
    if seeds.is_none_or(|seeds| seeds >= DEFAULT_SEEDS) {
        for what in HIT {
            assert!(counts.contains_key(what), "no seed met: {what}");
        }
    }
}
