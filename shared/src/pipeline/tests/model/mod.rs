//! The publish protocol, checked exhaustively in small scopes: a few runs of one source, finalizers that are each stalled
//! for as long as it takes at any step, a crash, an expired upload, a source overwritten at any time.
//!
//! Steps are named and ordered as in `pipeline::finalize` and `pipeline::publish`; what they decide is decided by
//! `ledger::transition` itself. Slices and their counts are out of scope: a run has one record, which names one upload for
//! each of its parts. [`Bug`] leaves out one precaution at a time, to show that the check finds what each is for.

mod finalizer;
mod promises;
mod state;

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use promises::PROMISES;
use state::{Bug, Scope};

/// Checks a scope until `enough` is found, or else to its end: how many states it has, and which promises are broken, each
/// with a way there.
fn check(scope: Scope, enough: HasDiscoveries) -> (usize, Vec<String>) {
    let checker = scope.checker().threads(2).finish_when(enough).spawn_bfs().join();
    let ways = checker.discoveries().into_iter().map(|(name, path)| {
        let way: Vec<String> = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
        format!("{name}: {}", way.join(", "))
    });
    let mut broken: Vec<String> = ways.collect();
    broken.sort();
    (checker.unique_state_count(), broken)
}

fn holds(scope: Scope) {
    let (states, broken) = check(scope, HasDiscoveries::AnyFailures);
    println!("{states} states");
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(states > 1_000, "{states} states: the scope is empty");
}

/// Leaving a precaution out breaks this promise.
fn breaks(bug: Bug, scope: Scope, promise: &'static str) {
    assert!(PROMISES.iter().any(|(name, _)| *name == promise), "no such promise: {promise}");
    let (states, broken) = check(Scope { bug: Some(bug), ..scope }, HasDiscoveries::AnyOf(BTreeSet::from([promise])));
    println!("{bug:?}: {states} states, {broken:#?}");
    assert!(broken.iter().any(|way| way.starts_with(promise)), "{bug:?} does not break: {promise}: {broken:#?}");
}

/// The run of a version, and that of a newer one.
fn overwritten() -> Scope {
    Scope { finalizers: vec![0, 2], ..Scope::default() }
}

/// A run, and a later request for the same version.
fn reprocessed() -> Scope {
    Scope { finalizers: vec![0, 1], ..Scope::default() }
}

#[test]
fn a_run_and_the_run_of_a_newer_version_keep_every_promise_though_one_crashes() {
    holds(Scope { crashes: 1, ..overwritten() });
}

#[test]
fn a_run_and_a_reprocess_keep_every_promise_though_one_crashes() {
    holds(Scope { crashes: 1, ..reprocessed() });
}

#[test]
fn two_finalizers_of_one_run_and_one_of_a_newer_version_keep_every_promise() {
    holds(Scope { finalizers: vec![0, 0, 2], ..Scope::default() });
}

#[test]
fn two_finalizers_of_one_run_and_one_of_a_reprocess_keep_every_promise_though_one_crashes() {
    holds(Scope { finalizers: vec![0, 0, 1], crashes: 1, ..Scope::default() });
}

#[test]
fn three_runs_keep_every_promise() {
    holds(Scope { finalizers: vec![0, 1, 2], ..Scope::default() });
}

#[test]
fn a_run_whose_upload_expires_and_a_reprocess_keep_every_promise() {
    holds(Scope { expirations: 1, ..reprocessed() });
}

#[test]
fn without_the_fence_a_stale_finalizer_overwrites_what_is_published() {
    breaks(Bug::NoFence, reprocessed(), "what is published lies there");
}

#[test]
fn a_fence_that_settles_no_outcome_lets_a_displaced_run_end_as_complete() {
    breaks(Bug::FenceWithoutOutcome, reprocessed(), "a complete run had all its parts in place");
}

#[test]
fn a_fence_that_aborts_nothing_lets_a_displaced_run_complete_its_uploads() {
    breaks(Bug::FenceWithoutAborts, reprocessed(), "what is published lies there");
}

#[test]
fn completing_before_the_claim_shows_a_part_that_nobody_answers_for() {
    breaks(Bug::CompleteBeforeClaim, reprocessed(), "whoever shows a part answers for it");
}

#[test]
fn marking_the_pointer_without_compare_and_swap_loses_a_claim() {
    breaks(Bug::MarkBlindly, reprocessed(), "whoever shows a part answers for it");
}

#[test]
fn a_pointer_that_is_never_marked_leaves_a_claim() {
    breaks(Bug::MarkNothing, reprocessed(), "in the end every run has ended");
}

#[test]
fn retiring_whatever_lies_at_a_displaced_key_loses_a_part() {
    breaks(Bug::DeleteBlindly, overwritten(), "readers see no gap");
}

#[test]
fn retiring_nothing_leaves_parts_of_earlier_runs() {
    breaks(Bug::NoRetire, overwritten(), "in the end readers see the newest run and nothing else");
}

#[test]
fn forgetting_a_record_whose_uploads_are_open_leaves_one_open() {
    let scope = Scope { finalizers: vec![0], expirations: 1, ..Scope::default() };
    breaks(Bug::ForgetWithoutAborts, scope, "in the end no upload is open");
}
