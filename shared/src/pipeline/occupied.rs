//! Objects that Rowmill did not write, at keys where a run is about to publish, replace or delete.
//!
//! What lies at such a key is known from the pointer and the records: a part of the published run, what a displaced run
//! left, or the run's own. Anything else is somebody's: a part that was edited or compacted by hand, the output of another
//! dataset, a file that was put there. It is never replaced or deleted. The run fails before it publishes a row, because
//! what it could not retire would be read beside its own parts.

use std::collections::BTreeMap;

use futures::FutureExt;

use super::Context;
use super::close::{at_once, pending};
use super::publish::made;
use crate::Result;
use crate::ledger::records::{Left, PendingPart};
use crate::ledger::{Failure, Outcome, Pointer, Run, SliceRecord, Stamped};
use crate::storage::find_content;

/// How many objects a message names.
const NAMED: usize = 3;

/// An object that no run of the source wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Foreign {
    /// Where.
    pub uri: String,
    /// How long it is.
    pub bytes: u64,
}

/// What may lie at one key.
#[derive(Debug, Default)]
struct Expected<'a> {
    left: Vec<Left>,
    own: Option<&'a PendingPart>,
}

/// The objects that neither the published run, nor a displaced one, nor the run with these records wrote, at the keys of all
/// of them.
pub(super) async fn foreign(
    ctx: &Context,
    pointer: &Pointer,
    published: Option<&Outcome>,
    records: &[Stamped<SliceRecord>],
) -> Result<Vec<Foreign>> {
    let mut expected: BTreeMap<String, Expected<'_>> = BTreeMap::new();
    let shown = published.iter().flat_map(|outcome| outcome.parts.iter().chain(&outcome.quarantine)).map(Left::from);
    let left = pointer.displaced.iter().flat_map(|displaced| displaced.visible.iter().cloned());
    for left in shown.chain(left) {
        expected.entry(left.key.clone()).or_default().left.push(left);
    }
    for part in pending(records) {
        expected.entry(part.upload.key.clone()).or_default().own = Some(part);
    }
    let checks = expected.iter().map(|(key, expected)| check(ctx, key, expected).boxed());
    Ok(at_once(checks).await?.into_iter().flatten().collect())
}

async fn check(ctx: &Context, key: &str, expected: &Expected<'_>) -> Result<Option<Foreign>> {
    let sink = ctx.ledger.sink();
    let Some(meta) = sink.head(key).await? else { return Ok(None) };
    if expected.left.iter().any(|left| left.etag == meta.version.etag) {
        return Ok(None);
    }
    if let Some(own) = expected.own
        && made(ctx, own).await?.is_some()
    {
        return Ok(None);
    }
    for content in expected.left.iter().filter_map(|left| left.content.as_ref()) {
        if find_content(sink.as_ref(), key, content).await?.is_some() {
            return Ok(None);
        }
    }
    Ok(Some(Foreign { uri: sink.uri(key), bytes: meta.size }))
}

/// Why a run is not published; `None` where nothing is in its way.
pub(super) fn refusal(run: &Run, foreign: &[Foreign]) -> Option<Failure> {
    let message = format!(
        "{}, which no run of {} in dataset {} wrote: nothing was published or deleted, because its rows would be read \
         beside those of this run. Move it out of the sink, then redrive run {}",
        names(foreign)?,
        run.source.uri(),
        run.dataset,
        run.run_id
    );
    Some(Failure { kind: "occupied".into(), message })
}

/// The objects in words: the first few by name.
pub(super) fn names(foreign: &[Foreign]) -> Option<String> {
    let named: Vec<String> =
        foreign.iter().take(NAMED).map(|object| format!("{} ({} bytes)", object.uri, object.bytes)).collect();
    let more = match foreign.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match foreign.len() {
        0 => None,
        1 => Some(format!("an object lies at {}", named.join(""))),
        _ => Some(format!("objects lie at {}{more}", named.join(", "))),
    }
}
