//! Publishing: claim the pointer, fence what the claim displaces, complete the uploads, mark, retire.
//!
//! The order is the protocol: the pointer is read before the source is looked up, and no upload is completed unless the
//! claim was held after its slice's record was read.

use std::collections::HashSet;

use futures::FutureExt;

use super::Context;
use super::close::{at_once, bare_outcome, pending};
use super::occupied;
use crate::Result;
use crate::ledger::identity::same_version;
use crate::ledger::records::{Claim, Displaced, Left, PendingPart, Visible};
use crate::ledger::transition::{self, ClaimDecision, SourceNow};
use crate::ledger::{Failure, Outcome, Plan, Pointer, Run, SliceRecord, SliceResult, Stamped, Status};
use crate::storage::{CompleteOutcome, DeleteOutcome, delete_content, find_content};

/// The metadata entry that tells which attempt made an object.
pub(crate) const ATTEMPT: &str = "rowmill-attempt";

/// Whether a run may go on publishing.
pub(super) enum Claimed {
    /// It holds the claim, and what it displaced is fenced.
    Held,
    /// Another run, or a newer version of the source, goes before it.
    Superseded {
        /// Which.
        by: String,
    },
    /// It holds the claim, but what is published of this very version is cut otherwise: to put its parts in the place of
    /// those, one by one, would show rows twice or not at all.
    CutOtherwise {
        /// The published run.
        by: String,
    },
    /// It holds the claim, but objects that Rowmill did not write lie where it is to publish or to delete.
    Occupied(Failure),
    /// Another finalizer has ended it meanwhile.
    Ended(Box<Outcome>),
}

/// Claims the pointer and fences what the claim displaces. Starts again from the read whenever a swap is lost.
pub(super) async fn claim(ctx: &Context, plan: &Plan, records: &[Stamped<SliceRecord>]) -> Result<Claimed> {
    let run = &plan.run;
    let source = &run.source;
    let mine = Claim::of(run);
    let storage = ctx.open_source_of(run).await?;
    loop {
        let read = ctx.ledger.pointer(&run.dataset, &source.bucket, &source.key).await?;
        let now = match storage.head(&source.key).await? {
            None => SourceNow::Deleted,
            Some(meta) if same_version(&meta.version, &source.version) => SourceNow::Current,
            Some(_) => SourceNow::Replaced,
        };
        let (pointer, etag) = match &read {
            Some(stamped) => (Some(&stamped.value), Some(stamped.etag.as_str())),
            None => (None, None),
        };
        let held = match transition::decide_claim(pointer, &run.dataset, source, &mine, now) {
            ClaimDecision::Superseded { by } => return Ok(Claimed::Superseded { by }),
            ClaimDecision::Published => return Ok(Claimed::Held),
            ClaimDecision::Held => read,
            ClaimDecision::Take(next) => {
                // A run that has ended must not claim again: what it published may have been pruned since, and its
                // claim would name as published what is gone. Asked between the read and the swap, so that a pointer
                // that moves after the answer loses the swap.
                if let Some(outcome) = ctx.ledger.outcome(&run.dataset, &run.run_id).await? {
                    return Ok(Claimed::Ended(Box::new(outcome)));
                }
                let swapped = ctx.ledger.swap_pointer(etag, &next).await?;
                swapped.map(|etag| Stamped { value: *next, etag })
            }
        };
        let Some(held) = held else { continue };
        if let Some(held) = fence_displaced(ctx, held).await? {
            // Asked only now: what was displaced may have turned out to be complete, and is published since.
            if let Some(by) = cut_otherwise(ctx, plan, &held).await? {
                return Ok(Claimed::CutOtherwise { by });
            }
            let published = published_outcome(ctx, &held).await?;
            let foreign = occupied::foreign(ctx, &held, published.as_ref(), records).await?;
            if let Some(failure) = occupied::refusal(run, &foreign) {
                return Ok(Claimed::Occupied(failure));
            }
            // Parts that were never published go first: cut otherwise, they would show rows of this version twice.
            delete_left(ctx, &transition::to_clear(&held, &plan.run.run_id)).await?;
            return Ok(Claimed::Held);
        }
    }
}

/// The run that is published of this very version, if its slices are others than those of `plan`: it was published after
/// the plan was made.
async fn cut_otherwise(ctx: &Context, plan: &Plan, pointer: &Pointer) -> Result<Option<String>> {
    let Some(published) = &pointer.published else { return Ok(None) };
    if !same_version(&published.claim.version, &plan.run.source.version) {
        return Ok(None);
    }
    if plan.follows.as_ref() == Some(&published.claim.run_id) {
        // It has its own slices although it knew that run: its records are told apart by another dialect.
        return Ok(None);
    }
    let there = ctx.ledger.plan(&pointer.dataset, &published.claim.run_id).await?;
    Ok(there.filter(|there| there.slices != plan.slices).map(|there| there.run.run_id))
}

/// Fences every displaced run that is not known to be. `None` where another claim came in between.
async fn fence_displaced(ctx: &Context, mut held: Stamped<Pointer>) -> Result<Option<Pointer>> {
    let unfenced: Vec<String> = held
        .value
        .displaced
        .iter()
        .filter(|displaced| !displaced.fenced)
        .map(|displaced| displaced.run_id.clone())
        .collect();
    for run_id in unfenced {
        let next = match fence(ctx, &held.value.dataset, &run_id).await? {
            Fenced::Left(left) => transition::fenced(&held.value, &run_id, left),
            Fenced::Complete(outcome) => {
                let before = published_outcome(ctx, &held.value).await?;
                transition::adopted(&held.value, &outcome, before.as_ref())
            }
        };
        let Some(etag) = ctx.ledger.swap_pointer(Some(&held.etag), &next).await? else { return Ok(None) };
        held = Stamped { value: next, etag };
    }
    Ok(Some(held.value))
}

/// What fencing a run found.
enum Fenced {
    /// It ended unpublished, and this is what it completed before.
    Left(Vec<Left>),
    /// It had all its objects in place; only the pointer did not say so yet.
    Complete(Box<Outcome>),
}

/// Makes sure that a displaced run completes nothing from now on, and answers what it completed before.
///
/// Its outcome is settled first: a stale finalizer that wakes up finds it, and one that is past that point finds its
/// uploads gone.
async fn fence(ctx: &Context, dataset: &str, run_id: &str) -> Result<Fenced> {
    let Some(plan) = ctx.ledger.plan(dataset, run_id).await? else { return Ok(Fenced::Left(Vec::new())) };
    let failure = Failure { kind: "superseded".into(), message: "superseded by a later claim".into() };
    let outcome = bare_outcome(ctx, &plan.run, Some(&plan), Status::Superseded, Some(failure));
    let outcome = ctx.ledger.settle_outcome(outcome).await?;
    if outcome.status == Status::Complete {
        return Ok(Fenced::Complete(Box::new(outcome)));
    }
    let records = ctx.ledger.slices(dataset, run_id).await?;
    let sink = ctx.ledger.sink();
    let aborts = pending(&records).map(|part| {
        async move {
            sink.abort_upload(&part.upload.key, &part.upload.upload_id).await?;
            Ok(made(ctx, part).await?.map(|etag| left(part, etag)))
        }
        .boxed()
    });
    Ok(Fenced::Left(at_once(aborts).await?.into_iter().flatten().collect()))
}

/// The ETag of the object that this upload has become. Found by its bytes where the storage does not know the upload any
/// more, as in a sink that was copied or restored: no two runs make the same bytes.
pub(super) async fn made(ctx: &Context, part: &PendingPart) -> Result<Option<String>> {
    let (sink, upload) = (ctx.ledger.sink(), &part.upload);
    let known = sink.made_by(&upload.key, &upload.upload_id, ATTEMPT, &upload.attempt).await?;
    match known {
        Some(etag) => Ok(Some(etag)),
        None => Ok(find_content(sink.as_ref(), &upload.key, &part.content()).await?),
    }
}

/// A part that a displaced run completed.
fn left(part: &PendingPart, etag: String) -> Left {
    Left { key: part.upload.key.clone(), etag, content: Some(part.content()) }
}

/// The outcome of the run that readers see.
pub(super) async fn published_outcome(ctx: &Context, pointer: &Pointer) -> Result<Option<Outcome>> {
    match &pointer.published {
        Some(published) => ctx.ledger.outcome(&pointer.dataset, &published.claim.run_id).await,
        None => Ok(None),
    }
}

/// The uploads of all records, each with its slice's index.
pub(super) fn of_slices(records: &[Stamped<SliceRecord>]) -> impl Iterator<Item = (u32, &PendingPart)> {
    records.iter().flat_map(|record| match &record.value.result {
        SliceResult::Done(done) => {
            done.parts.iter().chain(&done.quarantine).map(|part| (record.value.slice, part)).collect::<Vec<_>>()
        }
        SliceResult::Failed(_) => Vec::new(),
    })
}

/// How completing went.
pub(super) enum Completed {
    /// Every object lies at its key.
    All { parts: Vec<Visible>, quarantine: Vec<Visible> },
    /// The uploads of these slices are gone, and what lies at their keys is not their own.
    SomeGone(Vec<u32>),
}

/// Completes every upload, all at once.
pub(super) async fn complete_all(ctx: &Context, records: &[Stamped<SliceRecord>]) -> Result<Completed> {
    let completions =
        of_slices(records).map(|(slice, part)| async move { Ok((slice, complete(ctx, part).await?)) }.boxed());
    let completions = at_once(completions).await?;
    let mut gone: Vec<u32> =
        completions.iter().filter(|(_, visible)| visible.is_none()).map(|(slice, _)| *slice).collect();
    gone.dedup();
    if !gone.is_empty() {
        return Ok(Completed::SomeGone(gone));
    }
    let quarantined: HashSet<&str> = records
        .iter()
        .filter_map(|record| match &record.value.result {
            SliceResult::Done(done) => Some(done.quarantine.iter().map(|part| part.upload.key.as_str())),
            SliceResult::Failed(_) => None,
        })
        .flatten()
        .collect();
    let visible = completions.into_iter().filter_map(|(_, visible)| visible);
    let (quarantine, parts) = visible.partition(|visible: &Visible| quarantined.contains(visible.key.as_str()));
    Ok(Completed::All { parts, quarantine })
}

/// Completes one upload: `None` where it is gone and what lies at its key is not its own.
pub(super) async fn complete(ctx: &Context, part: &PendingPart) -> Result<Option<Visible>> {
    let (sink, upload) = (ctx.ledger.sink(), &part.upload);
    let etag = match sink.complete_upload(&upload.key, &upload.upload_id, &upload.parts).await? {
        CompleteOutcome::Completed { etag } => Some(etag),
        CompleteOutcome::Gone => made(ctx, part).await?,
    };
    Ok(etag.map(|etag| Visible {
        key: upload.key.clone(),
        etag,
        rows: part.rows,
        bytes: upload.size,
        row_groups: part.row_groups.clone(),
        crc64: upload.crc64.clone(),
    }))
}

/// Marks the pointer published, unless a later claim has come: then that run retires this one.
pub(super) async fn mark_published(ctx: &Context, outcome: &Outcome) -> Result<()> {
    let run = &outcome.run;
    loop {
        let read = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
        let Some(read) = read else { return Ok(()) };
        if read.value.claim.as_ref().is_none_or(|claim| claim.run_id != run.run_id) {
            return Ok(());
        }
        let before = published_outcome(ctx, &read.value).await?;
        let next = transition::published(&read.value, outcome, before.as_ref());
        if ctx.ledger.swap_pointer(Some(&read.etag), &next).await?.is_some() {
            return Ok(());
        }
    }
}

/// Notes in the pointer what uploads of a record that is about to be forgotten have become: whoever displaces or
/// releases the run could not learn it from a record any more.
pub(super) async fn note_made(ctx: &Context, run: &Run, record: &Stamped<SliceRecord>) -> Result<()> {
    let mut objects = Vec::new();
    for part in pending(std::slice::from_ref(record)) {
        if let Some(etag) = made(ctx, part).await? {
            objects.push(left(part, etag));
        }
    }
    while !objects.is_empty() {
        let read = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
        let (pointer, etag) = (read.as_ref().map(|read| &read.value), read.as_ref().map(|read| read.etag.as_str()));
        let next = transition::shown_by_failure(pointer, &run.source, &run.dataset, &run.run_id, objects.clone());
        if ctx.ledger.swap_pointer(etag, &next).await?.is_some() {
            break;
        }
    }
    Ok(())
}

/// Gives back the claim of a run that ended without being published, and hides what it and those it displaced completed.
/// What lies over a published part stays, noted for the next publication to replace: to delete it would leave readers a gap.
pub(super) async fn release(ctx: &Context, run: &Run) -> Result<()> {
    loop {
        let read = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
        let Some(read) = read else { return Ok(()) };
        if read.value.claim.as_ref().is_none_or(|claim| claim.run_id != run.run_id) {
            return Ok(());
        }
        let Fenced::Left(left) = fence(ctx, &run.dataset, &run.run_id).await? else { return Ok(()) };
        let next = transition::released(&read.value, &run.run_id, left);
        let hidden = transition::to_hide(&next, &run.run_id);
        // Before the swap, so that a crash in between leaves the claim, and redelivery does this again.
        delete_left(ctx, &hidden).await?;
        if ctx.ledger.swap_pointer(Some(&read.etag), &next).await?.is_some() {
            return Ok(());
        }
    }
}

/// Deletes what earlier runs left and this one does not have, as long as no later run has claimed, and then what the
/// pointer says of them.
pub(super) async fn retire(ctx: &Context, outcome: &Outcome) -> Result<()> {
    let run = &outcome.run;
    let mut listed: Option<(Vec<Displaced>, Vec<Left>)> = None;
    loop {
        let read = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
        let Some(read) = read else { return Ok(()) };
        let published = read.value.published.as_ref().is_some_and(|published| published.claim.run_id == run.run_id);
        let entries = read.value.displaced.iter().filter(|displaced| !displaced.over_published);
        let entries: Vec<Displaced> = entries.cloned().collect();
        if !published || read.value.claim.is_some() || entries.is_empty() {
            return Ok(());
        }
        // What is noted while this goes on, such as quarantine that a failed run shows, is for the next publication.
        let (retired, changed) = match listed.take() {
            Some(done) => done,
            None => {
                let changed = delete_left(ctx, &transition::to_retire(&read.value, outcome)).await?;
                (entries, changed)
            }
        };
        let next = transition::retired(&read.value, &retired, &changed);
        if ctx.ledger.swap_pointer(Some(&read.etag), &next).await?.is_some() {
            return Ok(());
        }
        listed = Some((retired, changed));
    }
}

/// Deletes objects that are still what they were, by their ETag or by their bytes. Answers those at whose keys something
/// else lies by now: that is left alone.
pub(super) async fn delete_left(ctx: &Context, left: &[Left]) -> Result<Vec<Left>> {
    let sink = ctx.ledger.sink().as_ref();
    let delete = |left: &Left| {
        let left = left.clone();
        async move {
            let deleted = delete_content(sink, &left.key, &left.etag, left.content.as_ref()).await?;
            Ok((deleted == DeleteOutcome::Changed).then_some(left))
        }
        .boxed()
    };
    let changed: Vec<Left> = at_once(left.iter().map(delete)).await?.into_iter().flatten().collect();
    for left in &changed {
        tracing::warn!(object = sink.uri(&left.key), "not deleted: another object lies there by now");
    }
    Ok(changed)
}

/// Notes in the pointer what a failed run shows, so that the next publication retires it.
pub(super) async fn note_shown(ctx: &Context, outcome: &Outcome) -> Result<()> {
    let run = &outcome.run;
    let left: Vec<Left> = outcome.quarantine.iter().map(Left::from).collect();
    loop {
        let read = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
        let (pointer, etag) = match &read {
            Some(stamped) => (Some(&stamped.value), Some(stamped.etag.as_str())),
            None => (None, None),
        };
        let noted = pointer.is_some_and(|pointer| pointer.displaced.iter().any(|known| known.run_id == run.run_id));
        if noted {
            return Ok(());
        }
        let next = transition::shown_by_failure(pointer, &run.source, &run.dataset, &run.run_id, left.clone());
        if ctx.ledger.swap_pointer(etag, &next).await?.is_some() {
            return Ok(());
        }
    }
}
