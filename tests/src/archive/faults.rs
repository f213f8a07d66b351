//! Which requests go wrong, and how.

use std::collections::BTreeMap;

use crate::random::Random;

/// What a server does instead of answering well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// 500.
    Error,
    /// 503, with a wish for patience.
    Busy,
    /// The connection is closed before any answer.
    Reset,
    /// The body breaks off in the middle.
    Cut,
    /// The body comes in drops.
    Slow,
}

const ALL: [Fault; 5] = [Fault::Error, Fault::Busy, Fault::Reset, Fault::Cut, Fault::Slow];

/// Faults by a seed, and how many there were.
#[derive(Debug)]
pub struct Faults {
    random: Random,
    share: f64,
    /// So often each.
    pub met: BTreeMap<Fault, u32>,
    /// Requests in all.
    pub requests: u32,
}

impl Faults {
    /// So many of all requests go wrong.
    pub fn new(seed: u64, share: f64) -> Self {
        Self { random: Random::new(seed), share, met: BTreeMap::new(), requests: 0 }
    }

    /// None ever.
    pub fn none() -> Self {
        Self::new(0, 0.0)
    }

    /// What happens to the next request.
    pub fn roll(&mut self) -> Option<Fault> {
        self.requests += 1;
        if !self.random.chance(self.share) {
            return None;
        }
        let fault = self.random.one_of(&ALL);
        *self.met.entry(fault).or_default() += 1;
        Some(fault)
    }
}
