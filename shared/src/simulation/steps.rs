//! Names of side effects, told from what an operation is about to change.

use crate::ledger::{Pointer, keys};

/// What a write to `key` is. `swaps` where it replaces what lies there.
pub fn put(key: &str, swaps: bool) -> &'static str {
    if key.starts_with(keys::OPEN) {
        return if swaps { "touch marker" } else { "put marker" };
    }
    if key.starts_with(keys::RUNS) {
        return match key {
            key if key.ends_with("plan.json") => "put plan",
            key if key.ends_with("outcome.json") => "put outcome",
            key if key.ends_with("notified.json") => "put notified",
            _ => "put slice record",
        };
    }
    if key.starts_with(keys::NOTICES) {
        return if swaps { "touch notice" } else { "put notice" };
    }
    if key == keys::PREFIXES { "own prefix" } else { "keep config" }
}

/// What a deletion of `key` is.
pub fn delete(key: &str) -> &'static str {
    match key {
        key if key.starts_with(keys::OPEN) => "delete marker",
        key if key.starts_with(keys::NOTICES) => "delete notice",
        key if key.starts_with(keys::RUNS) => "forget slice record",
        key if key.contains(keys::QUARANTINE) => "delete quarantine",
        _ => "delete part",
    }
}

/// What an operation on an upload to `key` is.
pub fn upload(key: &str, part: &'static str, quarantine: &'static str) -> &'static str {
    if key.contains(keys::QUARANTINE) { quarantine } else { part }
}

/// Which transition of the pointer a swap is.
pub fn swap(old: Option<&Pointer>, new: &Pointer) -> &'static str {
    let published = old.and_then(|old| old.published.as_ref());
    let claim = old.and_then(|old| old.claim.as_ref());
    if published != new.published.as_ref() {
        return match (&new.published, &new.claim) {
            (None, _) => "unpublish",
            (Some(_), Some(_)) => "adopt displaced",
            (Some(_), None) => "mark published",
        };
    }
    match (claim, &new.claim) {
        (_, Some(new)) if claim != Some(new) => return "claim",
        (Some(_), None) => return "release claim",
        _ => {}
    }
    if new.displaced.is_empty() {
        return "clear displaced";
    }
    let fenced = |pointer: &Pointer| pointer.displaced.iter().filter(|displaced| displaced.fenced).count();
    let known = old.map_or(0, |old| old.displaced.len());
    if new.displaced.len() == known && old.map_or(0, fenced) < fenced(new) { "note fenced" } else { "note left" }
}

/// How much more often a process crashes or sleeps around this side effect: what seldom comes up has its turn as well.
pub fn weight(step: &str) -> u64 {
    match step {
        "adopt displaced" | "delete part" | "note fenced" | "note left" | "release claim" | "unpublish" => 25,
        "claim" | "clear displaced" | "complete part" | "complete quarantine" | "delete quarantine" => 8,
        "send finalize" => 10,
        "mark published" | "put outcome" | "put slice record" => 6,
        "abort upload" | "delete marker" | "forget slice record" => 3,
        _ => 1,
    }
}
