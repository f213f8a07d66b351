//! The seed, and everything that it decides: chances, whose turn it is. What was hit is counted here.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::report::{Broken, Crashes, Promise, Step};

/// Chances in thousandths; a seed has its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Odds {
    pub fails_before: u64,
    pub reply_lost: u64,
    pub crash: u64,
    pub freeze: u64,
    pub message_lost: u64,
    pub duplicate: u64,
    pub invisible: u64,
    pub expire: u64,
    pub copied: u64,
    pub foreign: u64,
}

/// The side effects that a task is about to have, and the last that it had.
#[derive(Debug, Default)]
pub struct Marks {
    pub pending: Vec<&'static str>,
    pub last: Option<&'static str>,
}

#[derive(Debug, Default)]
pub struct State {
    seed: u64,
    pub odds: Odds,
    pub counts: BTreeMap<&'static str, u64>,
    /// What happened around each side effect.
    pub crashes: BTreeMap<Step, Crashes>,
    /// What happened, where somebody wants to read it.
    pub trace: Option<Vec<String>>,
    /// One storage operation may happen while this is set.
    token: bool,
    /// The task that is polled, and its use case.
    pub task: u64,
    pub use_case: &'static str,
    pub marks: BTreeMap<u64, Marks>,
    /// Who began an upload.
    pub owners: BTreeMap<String, u64>,
    /// Tasks that did not end well: what they had not recorded is left to the lifecycle rule.
    pub died: BTreeSet<u64>,
    /// The polled task's process is killed.
    pub kill: bool,
    /// The first promise that was broken.
    pub broken: Option<Broken>,
}

#[derive(Debug, Clone, Default)]
pub struct Dice(Arc<Mutex<State>>);

/// A side effect that a task waits to have.
struct Pending<'a> {
    dice: &'a Dice,
    task: u64,
    step: &'static str,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(marks) = self.dice.state().marks.get_mut(&self.task)
            && let Some(at) = marks.pending.iter().position(|step| *step == self.step)
        {
            marks.pending.swap_remove(at);
        }
    }
}

impl Dice {
    pub fn new(seed: u64, traced: bool) -> Self {
        let dice = Self::default();
        dice.state().seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
        dice.state().trace = traced.then(Vec::new);
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

    /// Adds a line to the trace, if there is one.
    pub fn note(&self, line: impl FnOnce() -> String) {
        let mut state = self.state();
        let task = state.task;
        if let Some(trace) = &mut state.trace {
            trace.push(format!("[{task}] {}", line()));
        }
    }

    /// Tells that a promise is broken; the first time is what is reported.
    pub fn broken(&self, promise: Promise, problem: impl Into<String>) {
        let problem = problem.into();
        self.note(|| format!("BROKEN {promise:?}: {problem}"));
        self.state().broken.get_or_insert(Broken { promise, problem });
    }

    pub fn is_broken(&self) -> bool {
        self.state().broken.is_some()
    }

    /// Hands the polled task the right to one storage operation.
    pub fn give(&self, task: u64, use_case: &'static str) {
        let mut state = self.state();
        (state.task, state.use_case, state.token) = (task, use_case, true);
    }

    /// Waits for the next turn: every storage operation is a place where any other task may come in between. `step` names
    /// the side effect that it is to have.
    pub async fn turn(&self, step: Option<&'static str>) {
        let mut pending = None;
        let mut asked = false;
        poll_fn(|context| {
            let mut state = self.state();
            if asked && state.token {
                state.token = false;
                return Poll::Ready(());
            }
            if !asked {
                asked = true;
                let task = state.task;
                if let Some(step) = step {
                    state.marks.entry(task).or_default().pending.push(step);
                    pending = Some(Pending { dice: self, task, step });
                }
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        drop(pending);
    }

    /// Notes that the polled task had this side effect.
    pub fn had(&self, step: &'static str) {
        let mut state = self.state();
        let (task, use_case) = (state.task, state.use_case);
        state.marks.entry(task).or_default().last = Some(step);
        state.crashes.entry((use_case, step)).or_default().done += 1;
    }
}
