//! What a simulation found.

use std::collections::BTreeMap;

use serde::Serialize;

/// A side effect of a use case: `("finalize", "put outcome")`.
pub type Step = (&'static str, &'static str);

/// Which kind of promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// A row, a part or a run went missing.
    Lost,
    /// A row was seen twice, a run ended twice, or a retired part remained.
    Duplicated,
    /// Something was visible before its run was verified.
    Early,
    /// Something was left behind, or never ended.
    Unfinished,
}

/// A broken promise.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// What was found where.
    pub problem: String,
}

/// A seed that broke a promise.
#[derive(Debug, Clone, Serialize)]
pub struct Failed {
    /// `ROWMILL_SEED` runs it again.
    pub seed: u64,
    /// What was broken.
    pub broken: Broken,
}

/// What became of the seeds in which one fault or race came up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How often it came up.
    pub injected: u64,
    /// Runs that ended in those seeds.
    pub runs: u64,
    /// Rows that readers saw at the end of those seeds, each compared with its source.
    pub rows: u64,
    /// Seeds in which something was lost.
    pub lost: u64,
    /// Seeds in which something was there twice.
    pub duplicated: u64,
    /// Seeds in which something was visible too early.
    pub early: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.injected += other.injected;
        self.runs += other.runs;
        self.rows += other.rows;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.early += other.early;
    }
}

/// What happened around one side effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Crashes {
    /// How often it was had.
    pub done: u64,
    /// How often a process crashed just before it.
    pub before: u64,
    /// How often one crashed after it, and before its next.
    pub after: u64,
    /// How often one slept before it, and woke up when a later run was published.
    pub stale: u64,
}

/// What a simulation found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Over all seeds; `injected` is the sum over all faults.
    pub all: Tally,
    /// By fault or race; crashes by side effect as well: `crash before finalize: put outcome`.
    pub faults: BTreeMap<String, Tally>,
    /// By use case and side effect: `finalize: put outcome`.
    pub crashes: BTreeMap<String, Crashes>,
    /// The seeds that broke a promise, ascending.
    pub failures: Vec<Failed>,
}

impl Report {
    /// Adds what other seeds found.
    pub fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.all.add(&other.all);
        for (name, tally) in &other.faults {
            self.faults.entry(name.clone()).or_default().add(tally);
        }
        for (name, crashes) in other.crashes {
            let sum = self.crashes.entry(name).or_default();
            sum.done += crashes.done;
            sum.before += crashes.before;
            sum.after += crashes.after;
            sum.stale += crashes.stale;
        }
        self.failures.extend(other.failures);
        self.failures.sort_by_key(|failed| failed.seed);
    }
}
