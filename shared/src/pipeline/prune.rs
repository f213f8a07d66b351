//! Removing the output of sources that are gone. The checker finds them, the finalizer removes what they left.

use super::Context;
use super::check::Answer;
use super::message::Message;
use super::occupied;
use super::publish::delete_left;
use super::request::glob;
use crate::dataset::Dataset;
use crate::event::Request;
use crate::ledger::{Outcome, Pointer, transition};
use crate::{Error, Result};

/// Finds published sources of a dataset that are gone, and has a finalizer remove their output.
pub(super) async fn request(ctx: &Context, dataset: &Dataset, asked: &Request, answer: &mut Answer) -> Result<()> {
    let pattern = asked.pattern.as_deref().map(glob).transpose()?;
    let mut bodies = Vec::new();
    for read in ctx.ledger.pointers(&dataset.spec.name).await? {
        let pointer = &read.value;
        let below = dataset.below_root(&pointer.bucket, &pointer.key).unwrap_or(&pointer.key);
        if !pattern.as_ref().is_none_or(|glob| glob.is_match(below)) || !is_prunable(ctx, dataset, pointer).await? {
            continue;
        }
        if asked.limit == Some(answer.matched) {
            break;
        }
        answer.matched += 1;
        answer.pruned.push(format!("{}/{}", pointer.bucket, pointer.key));
        let (bucket, key) = (pointer.bucket.clone(), pointer.key.clone());
        bodies.push(Message::Prune { dataset: dataset.spec.name.clone(), bucket, key }.encode()?);
    }
    if !asked.dry_run && !bodies.is_empty() {
        ctx.finalize.send(&bodies).await?;
    }
    Ok(())
}

/// Whether the source is published, nobody is publishing it, and it is gone.
async fn is_prunable(ctx: &Context, dataset: &Dataset, pointer: &Pointer) -> Result<bool> {
    if pointer.published.is_none() || pointer.claim.is_some() {
        return Ok(false);
    }
    let storage = ctx.open_source(dataset, &pointer.bucket).await?;
    Ok(storage.head(&pointer.key).await?.is_none())
}

/// The outcome of the run that is published, if it is to be pruned.
async fn prunable(ctx: &Context, dataset: &str, pointer: &Pointer) -> Result<Option<Outcome>> {
    let Some(published) = pointer.published.as_ref().filter(|_| pointer.claim.is_none()) else { return Ok(None) };
    let Some(before) = ctx.ledger.outcome(dataset, &published.claim.run_id).await? else { return Ok(None) };
    let storage = ctx.open_source_of(&before.run).await?;
    Ok(storage.head(&pointer.key).await?.is_none().then_some(before))
}

/// Takes a source's output out of sight, if the source is gone still: the pointer first, so that a crash leaves objects
/// that redelivery or the next publication retires, and never a pointer to deleted ones.
///
/// # Errors
///
/// [`Error::Occupied`] where an object that Rowmill did not write lies in the place of what is to be deleted: then nothing
/// is.
pub(super) async fn unpublish(ctx: &Context, dataset: &str, bucket: &str, key: &str) -> Result<()> {
    let Some(mut read) = ctx.ledger.pointer(dataset, bucket, key).await? else { return Ok(()) };
    if let Some(before) = prunable(ctx, dataset, &read.value).await? {
        let foreign = occupied::foreign(ctx, &read.value, Some(&before), &[]).await?;
        if let Some(objects) = occupied::names(&foreign) {
            return Err(Error::Occupied(format!(
                "the output of {}, which is gone, stays: {objects}, which no run of it wrote: move it out of the sink, then \
                 prune again",
                before.run.source.uri()
            )));
        }
        let next = transition::unpublished(&read.value, &before);
        let Some(etag) = ctx.ledger.swap_pointer(Some(&read.etag), &next).await? else { return Ok(()) };
        read.value = next;
        read.etag = etag;
    }
    if read.value.published.is_some() || read.value.claim.is_some() {
        return Ok(());
    }
    let left: Vec<_> = read.value.displaced.iter().flat_map(|displaced| displaced.visible.clone()).collect();
    let changed = delete_left(ctx, &left).await?;
    let next = transition::retired(&read.value, &read.value.displaced, &changed);
    ctx.ledger.swap_pointer(Some(&read.etag), &next).await?;
    match &ctx.reports {
        Some(reports) => reports.refresh(ctx, dataset, None).await,
        None => Ok(()),
    }
}
