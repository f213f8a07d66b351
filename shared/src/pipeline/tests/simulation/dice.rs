//! The seed, and everything that it decides: chances, whose turn it is, what was hit.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

/// Chances in thousandths; a seed has its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Odds {
    pub fails_before: u64,
    pub reply_lost: u64,
    pub crash: u64,
    pub freeze: u64,
    pub message_lost: u64,
    pub duplicate: u64,
    pub expire: u64,
}

#[derive(Debug, Default)]
pub struct State {
    seed: u64,
    pub odds: Odds,
    pub counts: BTreeMap<&'static str, u64>,
    pub trace: Vec<String>,
    /// One storage operation may happen while this is set.
    token: bool,
    /// The task that is polled.
    pub task: u64,
    /// Who began an upload.
    pub owners: BTreeMap<String, u64>,
    /// Tasks that did not end well: what they had not recorded is left to the lifecycle rule.
    pub died: BTreeSet<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct Dice(Arc<Mutex<State>>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let dice = Self::default();
        dice.state().seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
        dice
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number below `bound` (SplitMix64).
    pub fn below(&self, bound: u64) -> u64 {
        let mut state = self.state();
        state.seed = state.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    pub fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// True `thousandths` times in 1,000.
    pub fn hits(&self, thousandths: u64) -> bool {
        thousandths > 0 && self.below(1_000) < thousandths
    }

    pub fn odds(&self) -> Odds {
        self.state().odds
    }

    pub fn count(&self, what: &'static str) {
        *self.state().counts.entry(what).or_default() += 1;
    }

    pub fn note(&self, line: String) {
        let mut state = self.state();
        let task = state.task;
        state.trace.push(format!("[{task}] {line}"));
    }

    /// Hands the polled task the right to one storage operation.
    pub fn give(&self, task: u64) {
        let mut state = self.state();
        (state.task, state.token) = (task, true);
    }

    /// Waits for the next turn: every storage operation is a place where any other task may come in between.
    pub async fn turn(&self) {
        let mut asked = false;
        poll_fn(|context| {
            let mut state = self.state();
            if asked && state.token {
                state.token = false;
                return Poll::Ready(());
            }
            asked = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}
