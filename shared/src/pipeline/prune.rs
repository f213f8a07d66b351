//! Removing the output of sources that are gone. The checker finds them, the finalizer removes what they left.

use super::Context;
use super::check::Answer;
use super::message::Message;
use super::publish::delete_left;
use super::request::glob;
use crate::Result;
use crate::dataset::Dataset;
use crate::event::Request;
use crate::ledger::{Pointer, transition};

/// Finds published sources of a dataset that are gone, and has a finalizer remove their output.
pub(super) async fn request(ctx: &Context, dataset: &Dataset, asked: &Request, answer: &mut Answer) -> Result<()> {
    let pattern = asked.pattern.as_deref().map(glob).transpose()?;
    let mut bodies = Vec::new();
    for read in ctx.ledger.pointers(&dataset.spec.name).await? {
        let pointer = &read.value;
        let below = dataset.below_root(&pointer.bucket, &pointer.key).unwrap_or(&pointer.key);
        if !pattern.as_ref().is_none_or(|glob| glob.is_match(below)) || !is_prunable(ctx, pointer).await? {
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
async fn is_prunable(ctx: &Context, pointer: &Pointer) -> Result<bool> {
    if pointer.published.is_none() || pointer.claim.is_some() {
        return Ok(false);
    }
    let storage = ctx.stores.open(&pointer.bucket).await?;
    Ok(storage.head(&pointer.key).await?.is_none())
}

/// Takes a source's output out of sight, if the source is gone still: the pointer first, so that a crash leaves objects
/// that redelivery or the next publication retires, and never a pointer to deleted ones.
pub(super) async fn unpublish(ctx: &Context, dataset: &str, bucket: &str, key: &str) -> Result<()> {
    let Some(mut read) = ctx.ledger.pointer(dataset, bucket, key).await? else { return Ok(()) };
    if is_prunable(ctx, &read.value).await? {
        let published = read.value.published.as_ref().map(|published| published.claim.run_id.clone());
        let Some(before) = ctx.ledger.outcome(dataset, &published.unwrap_or_default()).await? else { return Ok(()) };
        let next = transition::unpublished(&read.value, &before);
        let Some(etag) = ctx.ledger.swap_pointer(Some(&read.etag), &next).await? else { return Ok(()) };
        read.value = next;
        read.etag = etag;
    }
    if read.value.published.is_some() || read.value.claim.is_some() {
        return Ok(());
    }
    let left: Vec<_> = read.value.displaced.iter().flat_map(|displaced| displaced.visible.clone()).collect();
    delete_left(ctx, &left).await?;
    ctx.ledger.swap_pointer(Some(&read.etag), &transition::retired(&read.value, &read.value.displaced)).await?;
    match &ctx.reports {
        Some(reports) => reports.refresh(ctx, dataset, None).await,
        None => Ok(()),
    }
}
