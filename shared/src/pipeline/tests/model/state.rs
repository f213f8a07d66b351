//! What the model remembers.

use stateright::{Model, Property};

use super::finalizer::{Finalizer, Step};
use super::promises::PROMISES;
use crate::ledger::identity::Purpose;
use crate::ledger::records::{Claim, FORMAT, Left, Visible};
use crate::ledger::{Outcome, Pointer, RowCounts, Run, Source, Status};
use crate::storage::ObjectVersion;

/// Parts that a source's output has at most.
pub const PARTS: usize = 2;
/// The runs: of the first version, of a request for it, of a newer version that makes one part less.
pub const RUNS: usize = 3;
const RUN_PARTS: [usize; RUNS] = [2, 2, 1];
/// How often a run's record may be made.
const ATTEMPTS: usize = 2;

/// A precaution that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    NoFence,
    FenceWithoutOutcome,
    FenceWithoutAborts,
    CompleteBeforeClaim,
    MarkBlindly,
    MarkNothing,
    DeleteBlindly,
    NoRetire,
    ForgetWithoutAborts,
}

/// What may happen.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The run of each finalizer.
    pub finalizers: Vec<usize>,
    /// Crashes, each followed by a redelivery.
    pub crashes: u8,
    /// Uploads that the lifecycle rule aborts too early.
    pub expirations: u8,
    pub bug: Option<Bug>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Upload {
    None,
    Open,
    Aborted,
    Completed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunState {
    /// The attempt that its record names; `None` between a record that was forgotten and the next.
    pub record: Option<usize>,
    pub uploads: [[Upload; PARTS]; ATTEMPTS],
    /// How it ended, and which attempt its manifest names.
    pub outcome: Option<(Status, usize)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// Stands for its own ETag: its epoch grows with each change.
    pub pointer: Option<Pointer>,
    /// The newest version of the source.
    pub version: i64,
    pub runs: [RunState; RUNS],
    /// Run and attempt that made what lies at each part's key.
    pub objects: [Option<(usize, usize)>; PARTS],
    pub finalizers: Vec<Finalizer>,
    /// A run was recorded as complete while not all of its parts lay there.
    pub false_manifest: bool,
    pub crashes: u8,
    pub expirations: u8,
}

/// One step of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A finalizer does its next step, in one of several ways.
    Go(usize, Step, usize),
    /// A finalizer dies, and its message is delivered again.
    Crash(usize),
    /// The source is overwritten, and the run of its new version gets ready.
    Overwrite,
    /// An upload that the record of a run names is aborted by the lifecycle rule.
    Expire(usize, usize),
    /// A processor makes a slice again.
    MakeAgain(usize),
}

pub fn name(run: usize) -> String {
    format!("r{run}")
}

pub fn number(run_id: &str) -> usize {
    run_id.trim_start_matches('r').parse().unwrap()
}

pub fn key(part: usize) -> String {
    format!("p{part}")
}

pub fn part_of(key: &str) -> usize {
    key.trim_start_matches('p').parse().unwrap()
}

pub fn etag(run: usize, attempt: usize) -> String {
    format!("{run}-{attempt}")
}

pub fn source(run: usize) -> Source {
    let last_modified_ms = i64::from(run == 2);
    let version = ObjectVersion { version_id: None, etag: "e".to_owned(), last_modified_ms };
    Source { bucket: "s3://b".to_owned(), key: "k".to_owned(), version, size: 1 }
}

pub fn run(run: usize) -> Run {
    let (purpose, generation) = if run == 1 { (Purpose::Reprocess, "1") } else { (Purpose::Incremental, "") };
    let generation = generation.to_owned();
    Run { run_id: name(run), dataset: "d".to_owned(), config: "c".to_owned(), generation, purpose, source: source(run) }
}

pub fn parts(run: usize) -> usize {
    RUN_PARTS[run]
}

/// The outcome as its record would be.
pub fn outcome(number: usize, status: Status, attempt: usize) -> Outcome {
    let visible = |part| Visible {
        key: key(part),
        etag: etag(number, attempt),
        rows: 1,
        bytes: 1,
        row_groups: vec![1],
        crc64: String::new(),
    };
    let count = if status == Status::Complete { parts(number) } else { 0 };
    Outcome {
        format: FORMAT,
        run: run(number),
        status,
        error: None,
        slices: 1,
        rows: RowCounts::default(),
        reasons: Default::default(),
        dropped: Default::default(),
        warnings: Default::default(),
        coerced: Vec::new(),
        drift: Vec::new(),
        parts: (0..count).map(visible).collect(),
        quarantine: Vec::new(),
        report_errors: Vec::new(),
        notes: Vec::new(),
        started_at_ms: 0,
        took: None,
        finished_at_ms: 0,
    }
}

impl State {
    pub fn outcome(&self, run: usize) -> Option<Outcome> {
        self.runs[run].outcome.map(|(status, attempt)| outcome(run, status, attempt))
    }

    /// The outcome of the run that readers see.
    pub fn published_outcome(&self, pointer: &Pointer) -> Option<Outcome> {
        self.outcome(number(&pointer.published.as_ref()?.claim.run_id))
    }

    pub fn holds_claim(&self, run: usize) -> bool {
        let claim: Option<&Claim> = self.pointer.as_ref().and_then(|pointer| pointer.claim.as_ref());
        claim.is_some_and(|claim| claim.run_id == name(run))
    }

    /// Compare-and-swap: `false` where another writer was first.
    pub fn swap(&mut self, read: Option<&Pointer>, next: Pointer) -> bool {
        if self.pointer.as_ref() != read {
            return false;
        }
        self.pointer = Some(next);
        true
    }

    /// Puts the outcome if absent, and answers the one that lies there.
    pub fn settle(&mut self, run: usize, status: Status, attempt: usize) -> Status {
        if self.runs[run].outcome.is_none() && status == Status::Complete {
            self.false_manifest |= (0..parts(run)).any(|part| self.objects[part] != Some((run, attempt)));
        }
        self.runs[run].outcome.get_or_insert((status, attempt)).0
    }

    pub fn abort(&mut self, run: usize, attempt: usize, part: usize) {
        let upload = &mut self.runs[run].uploads[attempt][part];
        if *upload == Upload::Open {
            *upload = Upload::Aborted;
        }
    }

    /// What this upload made, if it lies there still.
    pub fn made(&self, run: usize, attempt: usize, part: usize) -> Option<Left> {
        (self.objects[part] == Some((run, attempt))).then(|| Left {
            key: key(part),
            etag: etag(run, attempt),
            content: None,
        })
    }

    pub fn is_gone(&self, run: usize, attempt: usize, part: usize) -> bool {
        self.runs[run].uploads[attempt][part] != Upload::Open && self.made(run, attempt, part).is_none()
    }

    /// Completes an upload: whether it is the run's own object that lies there, as far as the storage tells. `forgets`
    /// where the storage does not remember an earlier completion.
    pub fn complete(&mut self, run: usize, attempt: usize, part: usize, forgets: bool) -> bool {
        match self.runs[run].uploads[attempt][part] {
            Upload::Open => {
                self.runs[run].uploads[attempt][part] = Upload::Completed;
                self.objects[part] = Some((run, attempt));
                true
            }
            Upload::Completed if !forgets => true,
            _ => self.made(run, attempt, part).is_some(),
        }
    }

    /// Deletes an object if it still is the one that was left.
    pub fn delete(&mut self, left: &Left, blindly: bool) {
        let part = part_of(&left.key);
        if blindly || self.objects[part].is_some_and(|(run, attempt)| etag(run, attempt) == left.etag) {
            self.objects[part] = None;
        }
    }

    pub fn is_in_scope(&self, run: usize) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer.run == run)
    }

    /// Nobody has anything left to do.
    pub fn is_quiet(&self) -> bool {
        let is_overwritten = !self.is_in_scope(2) || self.version == 1;
        let is_made = (0..RUNS).all(|run| self.runs[run].record.is_some() || self.runs[run].outcome.is_some());
        is_overwritten && is_made && self.finalizers.iter().all(|finalizer| finalizer.step == Step::Done)
    }
}

impl Model for Scope {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let runs = [0, 1, 2].map(|run| {
            let mut uploads = [[Upload::None; PARTS]; ATTEMPTS];
            if self.finalizers.contains(&run) {
                uploads[0][..parts(run)].fill(Upload::Open);
            }
            RunState { record: Some(0), uploads, outcome: None }
        });
        let finalizers = self.finalizers.iter().map(|run| Finalizer::new(*run, *run != 2)).collect();
        let (crashes, expirations) = (self.crashes, self.expirations);
        let objects = [None; PARTS];
        let false_manifest = false;
        vec![State { pointer: None, version: 0, runs, objects, finalizers, false_manifest, crashes, expirations }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (index, finalizer) in state.finalizers.iter().enumerate() {
            for way in 0..finalizer.ways() {
                actions.push(Action::Go(index, finalizer.step, way));
            }
            if state.crashes > 0 && !matches!(finalizer.step, Step::Asleep | Step::LookForOutcome | Step::Done) {
                actions.push(Action::Crash(index));
            }
        }
        if state.version == 0 && state.is_in_scope(2) {
            actions.push(Action::Overwrite);
        }
        for run in (0..RUNS).filter(|run| state.is_in_scope(*run)) {
            match state.runs[run].record {
                None => actions.push(Action::MakeAgain(run)),
                Some(attempt) if state.expirations > 0 => {
                    let is_open = |part: &usize| state.runs[run].uploads[attempt][*part] == Upload::Open;
                    actions.extend((0..PARTS).filter(is_open).map(|part| Action::Expire(run, part)));
                }
                Some(_) => {}
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Go(index, _, way) => {
                let mut finalizer = next.finalizers[index].clone();
                finalizer.go(&mut next, way, self.bug);
                next.finalizers[index] = finalizer;
            }
            Action::Crash(index) => {
                next.crashes -= 1;
                next.finalizers[index] = Finalizer::new(state.finalizers[index].run, true);
            }
            Action::Overwrite => {
                next.version = 1;
                for finalizer in next.finalizers.iter_mut().filter(|finalizer| finalizer.run == 2) {
                    *finalizer = Finalizer::new(2, true);
                }
            }
            Action::Expire(run, part) => {
                next.expirations -= 1;
                let attempt = state.runs[run].record?;
                next.abort(run, attempt, part);
            }
            Action::MakeAgain(run) => {
                if state.runs[run].outcome.is_none() {
                    next.runs[run].record = Some(1);
                    next.runs[run].uploads[1][..parts(run)].fill(Upload::Open);
                } else {
                    next.runs[run].record = Some(0);
                }
                // The processor's message to finalizers.
                let waits = |finalizer: &&mut Finalizer| finalizer.run == run && finalizer.step == Step::Done;
                match next.finalizers.iter_mut().find(waits) {
                    Some(finalizer) => *finalizer = Finalizer::new(run, true),
                    None => return None,
                }
            }
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        PROMISES.iter().map(|(name, holds)| Property::always(name, *holds)).collect()
    }
}
