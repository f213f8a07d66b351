//! One finalizer, step by step. Every step is one operation on the storage, as in `pipeline::finalize` and
//! `pipeline::publish`; between any two of them everybody else may go.

use super::state::{Bug, PARTS, State, number, outcome, parts, run, source};
use crate::ledger::records::{Claim, Left};
use crate::ledger::transition::{self, ClaimDecision, SourceNow};
use crate::ledger::{Pointer, Status};

/// What a finalizer does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Its run is not open yet.
    Asleep,
    LookForOutcome,
    ReadRecords,
    // claim
    ReadPointer,
    LookSourceUp,
    AskForOutcome,
    Claim,
    // fence_displaced
    FenceOutcome,
    FenceRecords,
    FenceAbort,
    FenceMade,
    NoteFenced,
    Adopt,
    HideDisplaced,
    // complete_all
    Complete,
    SettleOutcome,
    // mark_published, retire
    ReadToMark,
    Mark,
    ReadToRetire,
    Retire,
    ClearDisplaced,
    // supersede, release
    SettleSuperseded,
    ReadOwnRecords,
    AbortOwn,
    ReadToRelease,
    ReleaseMade,
    Hide,
    Release,
    // make_again
    AskBeforeAgain,
    AbortAgain,
    MadeAgain,
    ReadToNote,
    NoteMade,
    Forget,
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finalizer {
    pub run: usize,
    pub step: Step,
    /// The pointer as last read or swapped.
    read: Option<Pointer>,
    /// What the look-up told: the run's version is the newest.
    is_newest: bool,
    /// The attempt that its run's record named.
    attempt: usize,
    /// The displaced run that is being fenced, and the attempt that its record named.
    fencing: (usize, Option<usize>),
    /// The part that is next, or the parts that are left.
    at: usize,
    /// Some upload was gone.
    gone: bool,
    left: Vec<Left>,
}

impl Finalizer {
    pub fn new(run: usize, awake: bool) -> Self {
        let step = if awake { Step::LookForOutcome } else { Step::Asleep };
        let fencing = (0, None);
        Self { run, step, read: None, is_newest: false, attempt: 0, fencing, at: 0, gone: false, left: Vec::new() }
    }

    /// In how many ways its next step may go.
    pub fn ways(&self) -> usize {
        match self.step {
            Step::Asleep | Step::Done => 0,
            // Any of the parts, and an earlier completion is remembered or not.
            Step::Complete => 2 * PARTS,
            _ => 1,
        }
    }

    fn to(&mut self, step: Step) {
        self.step = step;
        self.at = 0;
    }

    fn read(&self) -> &Pointer {
        self.read.as_ref().unwrap()
    }

    pub fn go(&mut self, state: &mut State, way: usize, bug: Option<Bug>) {
        match self.step {
            Step::Asleep | Step::Done => {}
            Step::LookForOutcome => match state.runs[self.run].outcome {
                Some((status, _)) => self.conclude(status),
                None => self.to(Step::ReadRecords),
            },
            Step::ReadRecords => self.verify(state, bug),
            Step::ReadPointer => {
                self.read.clone_from(&state.pointer);
                self.to(Step::LookSourceUp);
            }
            Step::LookSourceUp => self.look_source_up(state, bug),
            Step::AskForOutcome => match state.runs[self.run].outcome {
                Some((status, _)) => self.conclude(status),
                None => self.to(Step::Claim),
            },
            Step::Claim => self.claim(state, bug),
            Step::FenceOutcome | Step::FenceRecords | Step::FenceAbort | Step::FenceMade => self.fence(state, bug),
            Step::NoteFenced => {
                let next = transition::fenced(self.read(), &run(self.fencing.0).run_id, self.left.clone());
                self.swap_and_fence(state, next, bug);
            }
            Step::Adopt => {
                let displaced = state.outcome(self.fencing.0).unwrap();
                let before = state.published_outcome(self.read());
                let next = transition::adopted(self.read(), &displaced, before.as_ref());
                self.swap_and_fence(state, next, bug);
            }
            Step::HideDisplaced => {
                let hidden = transition::to_clear(self.read(), &run(self.run).run_id);
                match hidden.get(self.at) {
                    Some(left) => {
                        state.delete(left, bug == Some(Bug::DeleteBlindly));
                        self.at += 1;
                    }
                    None => self.held(bug),
                }
            }
            Step::Complete => self.complete(state, way, bug),
            Step::SettleOutcome => {
                let status = state.settle(self.run, Status::Complete, self.attempt);
                self.conclude(status);
            }
            Step::ReadToMark | Step::Mark => self.mark(state, bug),
            Step::ReadToRetire | Step::Retire | Step::ClearDisplaced => self.retire(state, bug),
            Step::SettleSuperseded => {
                let status = state.settle(self.run, Status::Superseded, 0);
                self.conclude(status);
            }
            Step::ReadOwnRecords => match state.runs[self.run].record {
                Some(attempt) => {
                    self.attempt = attempt;
                    self.to(Step::AbortOwn);
                }
                None => self.to(Step::ReadToRelease),
            },
            Step::AbortOwn => {
                state.abort(self.run, self.attempt, self.at);
                self.next_part(Step::ReadToRelease);
            }
            Step::ReadToRelease | Step::ReleaseMade | Step::Hide | Step::Release => self.release(state, bug),
            Step::AskBeforeAgain => match state.runs[self.run].outcome {
                Some((status, _)) => self.conclude(status),
                None if bug == Some(Bug::ForgetWithoutAborts) => self.to(Step::Forget),
                None => self.to(Step::AbortAgain),
            },
            Step::AbortAgain | Step::MadeAgain | Step::ReadToNote | Step::NoteMade | Step::Forget => {
                self.make_again(state);
            }
        }
    }

    /// Goes on to the next part of its run, or after the last one to `step`. Answers whether it was the last.
    fn next_part(&mut self, step: Step) {
        self.at += 1;
        if self.at >= parts(self.run) {
            self.to(step);
        }
    }

    fn conclude(&mut self, status: Status) {
        self.left.clear();
        self.to(match status {
            Status::Complete => Step::ReadToMark,
            Status::Failed | Status::Superseded | Status::Missing => Step::ReadOwnRecords,
        });
    }

    fn verify(&mut self, state: &State, bug: Option<Bug>) {
        let Some(attempt) = state.runs[self.run].record else { return self.to(Step::Done) };
        self.attempt = attempt;
        let is_expired = (0..parts(self.run)).any(|part| state.is_gone(self.run, attempt, part));
        self.to(match is_expired {
            true => Step::AskBeforeAgain,
            false if bug == Some(Bug::CompleteBeforeClaim) => Step::Complete,
            false => Step::ReadPointer,
        });
    }

    fn decide(&self) -> ClaimDecision {
        let now = if self.is_newest { SourceNow::Current } else { SourceNow::Replaced };
        transition::decide_claim(self.read.as_ref(), "d", &source(self.run), &Claim::of(&run(self.run)), now)
    }

    fn look_source_up(&mut self, state: &State, bug: Option<Bug>) {
        self.is_newest = source(self.run).version.last_modified_ms == state.version;
        match self.decide() {
            ClaimDecision::Superseded { .. } => self.to(Step::SettleSuperseded),
            ClaimDecision::Published => self.held(bug),
            ClaimDecision::Held => self.fence_next(bug),
            ClaimDecision::Take(_) => self.to(Step::AskForOutcome),
        }
    }

    fn claim(&mut self, state: &mut State, bug: Option<Bug>) {
        let ClaimDecision::Take(next) = self.decide() else { unreachable!() };
        if !state.swap(self.read.as_ref(), (*next).clone()) {
            return self.to(Step::ReadPointer);
        }
        self.read = Some(*next);
        self.fence_next(bug);
    }

    fn held(&mut self, bug: Option<Bug>) {
        self.gone = false;
        self.to(if bug == Some(Bug::CompleteBeforeClaim) { Step::SettleOutcome } else { Step::Complete });
    }

    /// Goes on to the next displaced run that is not fenced, or to what comes after the last.
    fn fence_next(&mut self, bug: Option<Bug>) {
        let unfenced = self.read().displaced.iter().find(|displaced| !displaced.fenced);
        match unfenced.filter(|_| bug != Some(Bug::NoFence)) {
            Some(displaced) => {
                self.fencing = (number(&displaced.run_id), None);
                self.left.clear();
                self.to(Step::FenceOutcome);
            }
            None if transition::to_clear(self.read(), &run(self.run).run_id).is_empty() => self.held(bug),
            None => self.to(Step::HideDisplaced),
        }
    }

    fn swap_and_fence(&mut self, state: &mut State, next: Pointer, bug: Option<Bug>) {
        if !state.swap(self.read.as_ref(), next.clone()) {
            return self.to(Step::ReadPointer);
        }
        self.read = Some(next);
        self.fence_next(bug);
    }

    fn fence(&mut self, state: &mut State, bug: Option<Bug>) {
        let (displaced, attempt) = self.fencing;
        match (self.step, attempt) {
            (Step::FenceOutcome, _) => {
                let status = match bug {
                    Some(Bug::FenceWithoutOutcome) => Status::Superseded,
                    _ => state.settle(displaced, Status::Superseded, 0),
                };
                self.to(if status == Status::Complete { Step::Adopt } else { Step::FenceRecords });
            }
            (Step::FenceRecords, _) => {
                self.fencing.1 = state.runs[displaced].record;
                self.to(if self.fencing.1.is_some() { Step::FenceAbort } else { Step::NoteFenced });
            }
            (Step::FenceAbort, Some(attempt)) => {
                if bug != Some(Bug::FenceWithoutAborts) {
                    state.abort(displaced, attempt, self.at);
                }
                self.step = Step::FenceMade;
            }
            (_, Some(attempt)) => {
                self.left.extend(state.made(displaced, attempt, self.at));
                self.step = Step::FenceAbort;
                self.at += 1;
                if self.at >= parts(displaced) {
                    self.to(Step::NoteFenced);
                }
            }
            (_, None) => unreachable!(),
        }
    }

    /// `at` holds the parts that are done, one bit each.
    fn complete(&mut self, state: &mut State, way: usize, bug: Option<Bug>) {
        let (part, forgets) = (way / 2, way % 2 == 1);
        if part >= parts(self.run) || self.at & (1 << part) != 0 {
            return;
        }
        self.gone |= !state.complete(self.run, self.attempt, part, forgets);
        self.at |= 1 << part;
        if self.at + 1 == 1 << parts(self.run) {
            self.to(match self.gone {
                true => Step::AskBeforeAgain,
                false if bug == Some(Bug::CompleteBeforeClaim) => Step::ReadPointer,
                false => Step::SettleOutcome,
            });
        }
    }

    fn mark(&mut self, state: &mut State, bug: Option<Bug>) {
        if self.step == Step::ReadToMark {
            self.read.clone_from(&state.pointer);
            let is_mine = state.holds_claim(self.run) && bug != Some(Bug::MarkNothing);
            return self.to(if is_mine { Step::Mark } else { Step::ReadToRetire });
        }
        let own = state.outcome(self.run).unwrap();
        let before = state.published_outcome(self.read());
        let next = transition::published(self.read(), &own, before.as_ref());
        if bug == Some(Bug::MarkBlindly) {
            state.pointer = Some(next);
            return self.to(Step::ReadToRetire);
        }
        let is_swapped = state.swap(self.read.as_ref(), next);
        self.to(if is_swapped { Step::ReadToRetire } else { Step::ReadToMark });
    }

    fn retire(&mut self, state: &mut State, bug: Option<Bug>) {
        match self.step {
            Step::ReadToRetire => {
                self.read.clone_from(&state.pointer);
                let Some(pointer) = &self.read else { return self.to(Step::Done) };
                let is_mine = pointer.published.as_ref().is_some_and(|it| it.claim.run_id == run(self.run).run_id);
                if !is_mine || pointer.claim.is_some() || pointer.displaced.is_empty() {
                    return self.finish();
                }
                self.left = match bug {
                    Some(Bug::NoRetire) => Vec::new(),
                    // Every key, as if no key of its own were among them.
                    Some(Bug::DeleteBlindly) => {
                        transition::to_retire(pointer, &outcome(self.run, Status::Superseded, 0))
                    }
                    _ => transition::to_retire(pointer, &outcome(self.run, Status::Complete, self.attempt)),
                };
                self.to(if self.left.is_empty() { Step::ClearDisplaced } else { Step::Retire });
            }
            Step::Retire => {
                if let Some(left) = self.left.pop() {
                    state.delete(&left, bug == Some(Bug::DeleteBlindly));
                }
                if self.left.is_empty() {
                    self.to(Step::ClearDisplaced);
                }
            }
            _ => {
                let next = transition::retired(self.read(), &self.read().displaced, &[]);
                let is_swapped = state.swap(self.read.as_ref(), next);
                if is_swapped { self.finish() } else { self.to(Step::ReadToRetire) }
            }
        }
    }

    fn release(&mut self, state: &mut State, bug: Option<Bug>) {
        match self.step {
            Step::ReadToRelease => {
                self.read.clone_from(&state.pointer);
                self.left.clear();
                match (state.holds_claim(self.run), state.runs[self.run].record) {
                    (false, _) => self.finish(),
                    (true, Some(attempt)) => {
                        self.attempt = attempt;
                        self.to(Step::ReleaseMade);
                    }
                    (true, None) => self.to(Step::Hide),
                }
            }
            Step::ReleaseMade => {
                state.abort(self.run, self.attempt, self.at);
                self.left.extend(state.made(self.run, self.attempt, self.at));
                self.next_part(Step::Hide);
            }
            Step::Hide => {
                let next = self.released();
                let hidden = transition::to_hide(&next, &run(self.run).run_id);
                match hidden.get(self.at) {
                    Some(left) => {
                        state.delete(left, bug == Some(Bug::DeleteBlindly));
                        self.at += 1;
                    }
                    None => self.to(Step::Release),
                }
            }
            _ => {
                let next = self.released();
                let is_swapped = state.swap(self.read.as_ref(), next);
                if is_swapped { self.finish() } else { self.to(Step::ReadToRelease) }
            }
        }
    }

    fn released(&self) -> Pointer {
        transition::released(self.read(), &run(self.run).run_id, self.left.clone())
    }

    fn make_again(&mut self, state: &mut State) {
        match self.step {
            Step::AbortAgain => {
                state.abort(self.run, self.attempt, self.at);
                if self.at == 0 {
                    self.left.clear();
                }
                self.next_part(Step::MadeAgain);
            }
            Step::MadeAgain => {
                self.left.extend(state.made(self.run, self.attempt, self.at));
                let next = if self.left.is_empty() { Step::Forget } else { Step::ReadToNote };
                self.next_part(next);
            }
            Step::ReadToNote => {
                self.read.clone_from(&state.pointer);
                self.to(Step::NoteMade);
            }
            Step::NoteMade => {
                let run = run(self.run);
                let left = self.left.clone();
                let next = transition::shown_by_failure(self.read.as_ref(), &run.source, "d", &run.run_id, left);
                let is_swapped = state.swap(self.read.as_ref(), next);
                self.to(if is_swapped { Step::Forget } else { Step::ReadToNote });
            }
            _ => {
                let record = &mut state.runs[self.run].record;
                if *record == Some(self.attempt) {
                    *record = None;
                }
                self.finish();
            }
        }
    }

    /// Nothing of what it knew matters any more.
    fn finish(&mut self) {
        *self = Self { step: Step::Done, ..Self::new(self.run, true) };
    }
}
