//! A reader who globs the parts after every change, and what must hold then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::ledger::{Plan, Pointer, keys};
use crate::storage::MemoryStorage;

#[derive(Debug, Default)]
struct Seen {
    /// Outcomes by key, as first written.
    outcomes: BTreeMap<String, Bytes>,
    /// Slice records that were ever there.
    recorded: BTreeSet<String>,
    /// Runs that were ever open.
    opened: BTreeSet<String>,
}

#[derive(Debug)]
pub struct Reader {
    sink: Arc<MemoryStorage>,
    seen: Mutex<Seen>,
}

impl Reader {
    pub fn new(sink: Arc<MemoryStorage>) -> Self {
        Self { sink, seen: Mutex::default() }
    }

    pub fn opened(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).opened.iter().cloned().collect()
    }

    /// Looks at the sink after an operation that may have changed it.
    pub fn look(&self, operation: &str, key: &str) {
        if !matches!(operation, "put" | "put_if" | "delete" | "delete_if" | "complete_upload") {
            return;
        }
        let objects = self.sink.objects();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if key.ends_with("outcome.json") {
            let now = objects.get(key).unwrap_or_else(|| panic!("{key}: an outcome vanished"));
            let first = seen.outcomes.entry(key.to_owned()).or_insert_with(|| now.clone());
            assert_eq!(first, now, "{key}: a run has one outcome");
        } else if key.contains("/slices/") && objects.contains_key(key) {
            seen.recorded.insert(key.to_owned());
        } else if let Some(run_id) = key.strip_prefix(keys::OPEN) {
            seen.opened.insert(run_id.to_owned());
        } else if operation == "complete_upload"
            && let Some(content) = objects.get(key)
        {
            whole_and_verified(&objects, &seen, key, content);
        }
        drop(seen);
        if key.starts_with("trips/") || key.starts_with(keys::SOURCES) {
            published_is_there(&objects);
        }
    }
}

fn whole_and_verified(objects: &BTreeMap<String, Bytes>, seen: &Seen, key: &str, content: &Bytes) {
    let content = String::from_utf8_lossy(content);
    let (run_id, rest) = content.split_once(' ').unwrap_or_default();
    assert_eq!(rest, key, "a part is whole");
    let plan: Plan = serde_json::from_slice(&objects[&keys::plan("trips", run_id)]).unwrap();
    for slice in &plan.slices {
        let record = keys::slice("trips", run_id, slice.index);
        assert!(seen.recorded.contains(&record), "{key} is visible before {record} was");
    }
}

/// Readers never see a gap: what the pointer names lies there, whoever is publishing.
fn published_is_there(objects: &BTreeMap<String, Bytes>) {
    let pointers = objects.iter().filter(|(key, _)| key.starts_with(keys::SOURCES));
    for (_, bytes) in pointers {
        let pointer: Pointer = serde_json::from_slice(bytes).unwrap();
        for part in pointer.published.iter().flat_map(|published| &published.parts) {
            assert!(objects.contains_key(part), "{part} is published and not there");
        }
    }
}
