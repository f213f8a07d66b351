//! The order of events about one object, and what becomes of those that repeat it.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::iter;

use super::{Ignored, Item, Trigger};

/// Compares two S3 sequencers of **one key**: the shorter is padded with zeros on the right, then they are compared as
/// strings. Between keys the order means nothing. (S3 user guide, "Event message structure".)
pub fn sequencer_cmp(a: &str, b: &str) -> Ordering {
    let length = a.len().max(b.len());
    let padded_a = a.bytes().chain(iter::repeat(b'0')).take(length);
    let padded_b = b.bytes().chain(iter::repeat(b'0')).take(length);
    padded_a.cmp(padded_b)
}

/// Leaves one item per object: the one with the newest sequencer, and the last one where the sequencers do not tell.
/// The others become [`Ignored::Duplicate`] and keep their place and message.
pub(super) fn collapse(items: &mut [Item]) {
    let mut kept: HashMap<(String, String), (usize, Option<String>)> = HashMap::new();
    let mut repeated = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Ok(Trigger::Object(object)) = &item.result else { continue };
        let name = (object.bucket.clone(), object.key.clone());
        let candidate = (index, object.sequencer.clone());
        let Some(earlier) = kept.get_mut(&name) else {
            kept.insert(name, candidate);
            continue;
        };
        let is_older = match (&candidate.1, &earlier.1) {
            (Some(new), Some(old)) => sequencer_cmp(new, old) == Ordering::Less,
            _ => false,
        };
        repeated.push(if is_older { index } else { std::mem::replace(earlier, candidate).0 });
    }
    for index in repeated {
        if let Some(item) = items.get_mut(index) {
            item.result = Ok(Trigger::Ignored(Ignored::Duplicate));
        }
    }
}
