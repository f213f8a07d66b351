//! Removing the output of sources that are gone. The checker finds them, the finalizer removes what they left.
//!
//! A source that is gone and one that cannot be seen look the same: a mount that is down is an empty folder. So a
//! dataset's `uri` must list something, the folder of a source elsewhere must too, and where more than half of the
//! outputs would go, somebody must confirm it.

use std::collections::{HashMap, HashSet};

use super::Context;
use super::check::Answer;
use super::listing::list_root;
use super::message::Message;
use super::occupied;
use super::publish::delete_left;
use super::request::glob;
use crate::dataset::Dataset;
use crate::event::Request;
use crate::ledger::{Outcome, Pointer, transition};
use crate::storage::web::is_web;
use crate::storage::{StorageError, holds_files};
use crate::{Error, Result};

/// Finds published sources of a dataset that are gone, and has a finalizer remove their output.
///
/// # Errors
///
/// [`Error::Dataset`], and nothing is removed: where `source.uri` is missing, lists nothing or cannot
/// be read, and where too much would go without [`Request::confirm`].
pub(super) async fn request(ctx: &Context, dataset: &Dataset, asked: &Request, answer: &mut Answer) -> Result<()> {
    let found = find(ctx, dataset, asked).await.map_err(unreadable)?;
    let room = asked.limit.map_or(u64::MAX, |limit| limit.saturating_sub(answer.matched));
    let refusal = if asked.confirm { None } else { found.refusal() };
    if let (Some(refusal), false) = (&refusal, asked.dry_run) {
        return Err(Error::Dataset(refusal.clone()));
    }
    let mut bodies = Vec::new();
    for Gone { pointer, folder, .. } in found.gone.into_iter().take(usize::try_from(room).unwrap_or(usize::MAX)) {
        answer.matched += 1;
        answer.pruned.push(format!("{}/{}", pointer.bucket, pointer.key));
        let Pointer { dataset, bucket, key, .. } = pointer;
        bodies.push(Message::Prune { dataset, bucket, key, folder }.encode()?);
    }
    if let Some(refusal) = refusal {
        return Err(Error::Dataset(refusal));
    }
    if !asked.dry_run && !bodies.is_empty() {
        ctx.finalize.send(&bodies).await?;
    }
    Ok(())
}

/// What a request to prune is about.
struct Found {
    /// Published sources of the dataset, whatever the request is about.
    published: usize,
    gone: Vec<Gone>,
}

/// A published source that is not there.
struct Gone {
    pointer: Pointer,
    /// The folder that holds files still, so that the source is gone indeed; `None` where there is none to look at.
    folder: Option<String>,
    /// Its folder is gone with it.
    with_folder: bool,
}

impl Found {
    /// Why this should not be removed before somebody confirms it.
    fn refusal(&self) -> Option<String> {
        let (gone, published) = (self.gone.len(), self.published);
        let remedy = "nothing was removed: if they are gone for good, add `--yes`, or `\"confirm\": true` in an event";
        if gone.saturating_mul(2) > published {
            return Some(format!(
                "prune would remove {gone} of {published} published outputs, more than half, for their sources are gone: \
                 {remedy}"
            ));
        }
        let lost = self.gone.iter().filter(|gone| gone.with_folder).collect::<Vec<_>>();
        let first = lost.first().map(|gone| format!("{}/{}", gone.pointer.bucket, gone.pointer.key))?;
        Some(format!(
            "prune would remove the outputs of {} sources whose folder is missing or empty, such as {first}: {remedy}",
            lost.len()
        ))
    }
}

async fn find(ctx: &Context, dataset: &Dataset, asked: &Request) -> Result<Found> {
    let pattern = asked.pattern.as_deref().map(glob).transpose()?;
    let listed = listed(ctx, dataset).await?;
    let mut folders = HashMap::new();
    let mut found = Found { published: 0, gone: Vec::new() };
    for read in ctx.ledger.pointers(&dataset.spec.name).await? {
        let pointer = read.value;
        if pointer.published.is_none() {
            continue;
        }
        found.published += 1;
        let below = dataset.below_root(&pointer.bucket, &pointer.key);
        let is_asked_for = pattern.as_ref().is_none_or(|glob| glob.is_match(below.unwrap_or(&pointer.key)));
        // Somebody is publishing it.
        let is_claimed = pointer.claim.is_some();
        let is_listed = below.is_some() && listed.contains(&pointer.key);
        if !is_asked_for || is_claimed || is_listed || is_there(ctx, dataset, &pointer).await? {
            continue;
        }
        let (folder, with_folder) = match dataset.source_root() {
            _ if is_web(&pointer.bucket) => (None, false),
            Some((_, prefix)) if below.is_some() => (Some(prefix.to_owned()), false),
            _ => {
                let folder = folder_of(&pointer.key).to_owned();
                let place = (pointer.bucket.clone(), folder.clone());
                let holds_files = match folders.get(&place) {
                    Some(known) => *known,
                    None => {
                        let storage = ctx.open_source(dataset, &pointer.bucket).await?;
                        let holds_files = holds_files(storage.as_ref(), &folder).await?;
                        folders.insert(place, holds_files);
                        holds_files
                    }
                };
                (holds_files.then_some(folder), !holds_files)
            }
        };
        found.gone.push(Gone { pointer, folder, with_folder });
    }
    Ok(found)
}

/// The keys at the dataset's `uri`. Empty where there is none, or one that cannot be listed.
async fn listed(ctx: &Context, dataset: &Dataset) -> Result<HashSet<String>> {
    match dataset.source_root() {
        Some((bucket, prefix)) if !is_web(bucket) => {
            let files = list_root(ctx, dataset).await?;
            if files.is_empty() {
                let what = format!(
                    "nothing lies at {bucket}/{prefix}, so nothing was removed: check `uri`, the mount and the access; \
                     where every source is gone on purpose, leave any other file there"
                );
                return Err(dataset.error_at("source.uri", None, what));
            }
            Ok(files.into_iter().map(|file| file.key).collect())
        }
        _ => Ok(HashSet::new()),
    }
}

/// A source that cannot be looked at is not gone. Asking again costs nothing, so one dataset must not hold up the others.
fn unreadable(error: Error) -> Error {
    match error {
        Error::Storage(StorageError::Failed { .. }) => {
            Error::Dataset(format!("{error}: nothing was removed: mend the access, then prune again"))
        }
        error => error,
    }
}

async fn is_there(ctx: &Context, dataset: &Dataset, pointer: &Pointer) -> Result<bool> {
    let storage = ctx.open_source(dataset, &pointer.bucket).await?;
    Ok(storage.head(&pointer.key).await?.is_some())
}

fn folder_of(key: &str) -> &str {
    key.rfind('/').and_then(|slash| key.get(..=slash)).unwrap_or("")
}

/// The outcome of the run that is published, if it is to be pruned.
async fn prunable(ctx: &Context, dataset: &str, pointer: &Pointer, folder: Option<&str>) -> Result<Option<Outcome>> {
    let Some(published) = pointer.published.as_ref().filter(|_| pointer.claim.is_none()) else { return Ok(None) };
    let Some(before) = ctx.ledger.outcome(dataset, &published.claim.run_id).await? else { return Ok(None) };
    let storage = ctx.open_source_of(&before.run).await?;
    if storage.head(&pointer.key).await?.is_some() {
        return Ok(None);
    }
    if let Some(folder) = folder
        && !holds_files(storage.as_ref(), folder).await?
    {
        tracing::warn!(source = before.run.source.uri(), folder, "not pruned: its folder lists nothing any more");
        return Ok(None);
    }
    Ok(Some(before))
}

/// Takes a source's output out of sight, if the source is gone still and `folder`, where there is one, holds files still: the
/// pointer first, so that a crash leaves objects that redelivery or the next publication retires, and never a pointer to
/// deleted ones.
///
/// # Errors
///
/// [`Error::Occupied`] where an object that Rowmill did not write lies in the place of what is to be deleted: then nothing
/// is.
pub(super) async fn unpublish(
    ctx: &Context,
    dataset: &str,
    bucket: &str,
    key: &str,
    folder: Option<&str>,
) -> Result<()> {
    let Some(mut read) = ctx.ledger.pointer(dataset, bucket, key).await? else { return Ok(()) };
    if let Some(before) = prunable(ctx, dataset, &read.value, folder).await? {
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
