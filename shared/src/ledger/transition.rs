//! The pointer's transitions, as pure decisions over values. [`crate::pipeline`] reads, asks here, and swaps.

use std::collections::HashSet;

use super::identity::{Source, same_version};
use super::keys;
use super::records::{Claim, Displaced, FORMAT, Left, Outcome, Pointer, Published};

/// What a look-up of the source told a run that wants to claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceNow {
    /// The run's version is the newest.
    Current,
    /// Another version has taken its place.
    Replaced,
    /// There is no such object any more.
    Deleted,
}

/// What a run that wants to publish finds.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimDecision {
    /// It may: swap the pointer to this value.
    Take(Box<Pointer>),
    /// It has claimed already: go on publishing.
    Held,
    /// It is published already: go on retiring.
    Published,
    /// Another run's claim, or a newer object, goes before it.
    Superseded {
        /// Who, for the outcome.
        by: String,
    },
}

/// Whether `run` may claim `pointer`, read before the source was looked up.
pub fn decide_claim(
    pointer: Option<&Pointer>,
    dataset: &str,
    source: &Source,
    claim: &Claim,
    now: SourceNow,
) -> ClaimDecision {
    let published = pointer.and_then(|pointer| pointer.published.as_ref()).map(|published| &published.claim);
    if published.is_some_and(|published| published.run_id == claim.run_id) {
        return ClaimDecision::Published;
    }
    // Whatever has happened to the source since: some of the run's objects may be in place, and either it puts the others
    // beside them, or the run that displaces it retires what it left.
    if pointer.and_then(|pointer| pointer.claim.as_ref()).is_some_and(|held| held.run_id == claim.run_id) {
        return ClaimDecision::Held;
    }
    if now == SourceNow::Replaced {
        return ClaimDecision::Superseded { by: "a newer version of the source".to_owned() };
    }
    if let Some(pointer) = pointer {
        for other in published.into_iter().chain(pointer.claim.as_ref()) {
            if other.run_id != claim.run_id && goes_before(other, claim, now) {
                return ClaimDecision::Superseded { by: format!("run {}", other.run_id) };
            }
        }
    }
    let mut next = pointer.cloned().unwrap_or_else(|| fresh(dataset, source));
    next.epoch += 1;
    if let Some(lost) = next.claim.replace(claim.clone()) {
        displace(
            &mut next.displaced,
            Displaced { run_id: lost.run_id, fenced: false, over_published: false, visible: Vec::new() },
        );
    }
    ClaimDecision::Take(Box::new(next))
}

/// The pointer of a source that has none.
fn fresh(dataset: &str, source: &Source) -> Pointer {
    Pointer {
        format: FORMAT,
        dataset: dataset.to_owned(),
        bucket: source.bucket.clone(),
        key: source.key.clone(),
        epoch: 0,
        published: None,
        claim: None,
        displaced: Vec::new(),
    }
}

/// Whether `other` goes before `claim`: a later generation of the same version, or a later version.
fn goes_before(other: &Claim, claim: &Claim, now: SourceNow) -> bool {
    if same_version(&other.version, &claim.version) {
        return other.generation > claim.generation;
    }
    match now {
        // The look-up came after the pointer was read, so another version in the pointer is an older one.
        SourceNow::Current => false,
        SourceNow::Replaced => true,
        SourceNow::Deleted => other.version.last_modified_ms > claim.version.last_modified_ms,
    }
}

fn displace(displaced: &mut Vec<Displaced>, entry: Displaced) {
    match displaced.iter_mut().find(|known| known.run_id == entry.run_id) {
        Some(known) => {
            known.fenced = known.fenced && entry.fenced;
            let there: HashSet<Left> = known.visible.iter().cloned().collect();
            known.visible.extend(entry.visible.into_iter().filter(|left| !there.contains(left)));
        }
        None => displaced.push(entry),
    }
}

/// The pointer once a displaced run is fenced and what it left is known.
pub fn fenced(pointer: &Pointer, run_id: &str, visible: Vec<Left>) -> Pointer {
    let mut next = pointer.clone();
    next.epoch += 1;
    displace(
        &mut next.displaced,
        Displaced { run_id: run_id.to_owned(), fenced: false, over_published: false, visible },
    );
    for entry in &mut next.displaced {
        if entry.run_id == run_id {
            entry.fenced = true;
        }
    }
    next
}

/// The pointer once `run_id`, which left `visible`, gives its claim back.
pub fn released(pointer: &Pointer, run_id: &str, visible: Vec<Left>) -> Pointer {
    let mut next = fenced(pointer, run_id, visible);
    next.claim = None;
    let parts: HashSet<&str> =
        next.published.iter().flat_map(|published| &published.parts).map(String::as_str).collect();
    for entry in &mut next.displaced {
        entry.over_published |= entry.visible.iter().any(|left| parts.contains(left.key.as_str()));
    }
    next
}

/// The pointer that names objects which a failed run shows, so that the next publication retires them.
pub fn shown_by_failure(
    pointer: Option<&Pointer>,
    source: &Source,
    dataset: &str,
    run_id: &str,
    visible: Vec<Left>,
) -> Pointer {
    let mut next = pointer.cloned().unwrap_or_else(|| fresh(dataset, source));
    next.epoch += 1;
    displace(
        &mut next.displaced,
        Displaced { run_id: run_id.to_owned(), fenced: true, over_published: false, visible },
    );
    next
}

/// The pointer once a run that holds the claim has all its objects in place. `before` is the outcome of the run that
/// was published until now, whose objects are to be retired.
pub fn published(pointer: &Pointer, outcome: &Outcome, before: Option<&Outcome>) -> Pointer {
    let mut next = pointer.clone();
    next.epoch += 1;
    next.claim = None;
    if let Some(before) = before {
        let visible = before.parts.iter().chain(&before.quarantine).map(Left::from).collect();
        displace(
            &mut next.displaced,
            Displaced { run_id: before.run.run_id.clone(), fenced: true, over_published: false, visible },
        );
    }
    for entry in &mut next.displaced {
        // Every part of the new run lies at its key by now.
        entry.over_published = false;
    }
    next.published = Some(Published {
        claim: Claim::of(&outcome.run),
        parts: outcome.parts.iter().map(|part| part.key.clone()).collect(),
    });
    next
}

/// The pointer once a displaced run turns out to have been complete: readers see it, and the claim stays.
pub fn adopted(pointer: &Pointer, outcome: &Outcome, before: Option<&Outcome>) -> Pointer {
    let mut next = published(pointer, outcome, before);
    next.claim.clone_from(&pointer.claim);
    next.displaced.retain(|displaced| displaced.run_id != outcome.run.run_id);
    next
}

/// What is to be deleted of what fenced runs left: all but objects over published parts, and but for quarantine that others
/// than `run_id`, which gives its claim back, show.
pub fn to_hide(pointer: &Pointer, run_id: &str) -> Vec<Left> {
    let published: HashSet<&str> =
        pointer.published.iter().flat_map(|published| &published.parts).map(String::as_str).collect();
    let mut hidden = Vec::new();
    for displaced in pointer.displaced.iter().filter(|displaced| displaced.fenced) {
        let own = displaced.run_id == run_id;
        let left = displaced.visible.iter().filter(|left| !published.contains(left.key.as_str()));
        hidden.extend(left.filter(|left| own || !left.key.starts_with(keys::QUARANTINE)).cloned());
    }
    hidden
}

/// What is to be deleted before `run_id`, which holds the claim, completes anything: what others than itself left. Its own
/// parts, noted when a record of theirs was forgotten, stay: made again they are the same bytes, so a delete could meet what
/// another finalizer of the run has just completed.
pub fn to_clear(pointer: &Pointer, run_id: &str) -> Vec<Left> {
    let mut others = pointer.clone();
    others.displaced.retain(|displaced| displaced.run_id != run_id);
    to_hide(&others, "")
}

/// What is to be deleted now that `outcome` is published: what displaced runs left and this one does not have.
pub fn to_retire(pointer: &Pointer, outcome: &Outcome) -> Vec<Left> {
    let current: HashSet<&str> =
        outcome.parts.iter().chain(&outcome.quarantine).map(|visible| visible.key.as_str()).collect();
    let left = pointer.displaced.iter().flat_map(|displaced| &displaced.visible);
    left.filter(|left| !current.contains(left.key.as_str())).cloned().collect()
}

/// The pointer once these entries are retired. One that says more by now stays, and so does what was not deleted because
/// another object lies there: the next publication meets it and says so.
pub fn retired(pointer: &Pointer, listed: &[Displaced], changed: &[Left]) -> Pointer {
    let mut next = pointer.clone();
    next.epoch += 1;
    next.displaced.retain_mut(|displaced| {
        if !listed.contains(displaced) {
            return true;
        }
        displaced.visible.retain(|left| changed.contains(left));
        !displaced.visible.is_empty()
    });
    next
}

/// The pointer of a source that is gone and whose output is to go as well.
pub fn unpublished(pointer: &Pointer, before: &Outcome) -> Pointer {
    let mut next = pointer.clone();
    next.epoch += 1;
    next.published = None;
    let visible = before.parts.iter().chain(&before.quarantine).map(Left::from).collect();
    displace(
        &mut next.displaced,
        Displaced { run_id: before.run.run_id.clone(), fenced: true, over_published: false, visible },
    );
    next
}
