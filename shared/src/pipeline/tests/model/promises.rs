//! What must hold in every state.

use super::state::{PARTS, RUNS, Scope, State, Upload, etag, key, name, number, part_of, parts};
use crate::ledger::{Pointer, Status};

type Promise = fn(&Scope, &State) -> bool;

pub const PROMISES: [(&str, Promise); 7] = [
    ("readers see no gap", no_gap),
    ("whoever shows a part answers for it", answered_for),
    ("what is published lies there", in_place),
    ("a complete run had all its parts in place", complete),
    ("in the end every run has ended", ended),
    ("in the end no upload is open", nothing_open),
    ("in the end readers see the newest run and nothing else", newest),
];

fn published(pointer: Option<&Pointer>) -> impl Iterator<Item = (usize, usize)> {
    let published = pointer.and_then(|pointer| pointer.published.as_ref());
    published.into_iter().flat_map(|it| it.parts.iter().map(|key| (number(&it.claim.run_id), part_of(key))))
}

fn no_gap(_: &Scope, state: &State) -> bool {
    published(state.pointer.as_ref()).all(|(_, part)| state.objects[part].is_some())
}

/// The pointer names the run of each part that is there, so that somebody retires it.
fn answered_for(_: &Scope, state: &State) -> bool {
    (0..PARTS).all(|part| {
        let Some((run, attempt)) = state.objects[part] else { return true };
        let Some(pointer) = &state.pointer else { return false };
        let run_id = name(run);
        let claims = pointer.published.iter().map(|it| &it.claim).chain(&pointer.claim);
        claims.into_iter().any(|claim| claim.run_id == run_id)
            || pointer.displaced.iter().any(|displaced| displaced.run_id == run_id && !displaced.fenced)
            || is_noted(pointer, run, attempt, part)
    })
}

fn is_noted(pointer: &Pointer, run: usize, attempt: usize, part: usize) -> bool {
    let mut left = pointer.displaced.iter().flat_map(|displaced| &displaced.visible);
    left.any(|left| left.key == key(part) && left.etag == etag(run, attempt))
}

/// While nobody publishes, the parts of the published run are its own, or noted as laid over them.
fn in_place(_: &Scope, state: &State) -> bool {
    let Some(pointer) = state.pointer.as_ref().filter(|pointer| pointer.claim.is_none()) else { return true };
    published(Some(pointer)).all(|(run, part)| match state.objects[part] {
        Some((there, attempt)) => there == run || is_noted(pointer, there, attempt, part),
        None => false,
    })
}

/// All parts of a manifest lay there when it was written, and a run is published only if it is complete.
fn complete(_: &Scope, state: &State) -> bool {
    let is_complete = |run: usize| matches!(state.runs[run].outcome, Some((Status::Complete, _)));
    !state.false_manifest && published(state.pointer.as_ref()).all(|(run, _)| is_complete(run))
}

fn ended(_: &Scope, state: &State) -> bool {
    let has_ended = |run: usize| !state.is_in_scope(run) || state.runs[run].outcome.is_some();
    !state.is_quiet()
        || ((0..RUNS).all(has_ended) && state.pointer.as_ref().is_some_and(|pointer| pointer.claim.is_none()))
}

fn nothing_open(_: &Scope, state: &State) -> bool {
    !state.is_quiet() || state.runs.iter().all(|run| !run.uploads.iter().flatten().any(|it| *it == Upload::Open))
}

fn newest(_: &Scope, state: &State) -> bool {
    if !state.is_quiet() {
        return true;
    }
    let Some(newest) = (0..RUNS).rev().find(|run| state.is_in_scope(*run)) else { return true };
    let own = |part: usize| state.objects[part].is_some_and(|(run, _)| run == newest);
    let published: Vec<(usize, usize)> = published(state.pointer.as_ref()).collect();
    published == (0..parts(newest)).map(|part| (newest, part)).collect::<Vec<_>>()
        && (0..PARTS).all(|part| if part < parts(newest) { own(part) } else { state.objects[part].is_none() })
}
