//! The sources at a dataset's `uri`, and why there are none.

use std::time::Duration;

use super::names::Names;
use super::open::source_of;
use super::request::glob;
use super::{Context, archive};
use crate::dataset::{Dataset, duration};
use crate::event::{Intent, Request};
use crate::ledger::Source;
use crate::storage::local::BUCKET as MACHINE;
use crate::storage::{EntryKind, ObjectMeta, list_all};
use crate::{Error, Result};

const YEAR_MS: i64 = 365 * 24 * 3_600_000;

/// What a listing found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// The sources that the request is about, published or not, whatever its limit. As listed: without version ids.
    pub sources: Vec<Source>,
    /// Files below `uri`.
    files: usize,
    /// Of these, those that fit the pattern.
    fitting: usize,
    /// When the oldest of those that fit was written, milliseconds ago.
    oldest_ms_ago: i64,
    window: Option<Duration>,
    uri: String,
    pattern: String,
}

impl Listing {
    /// Why there is no source, with counts; `None` where there is one. What asks for older sources is called `option`, and
    /// `or_else` follows it.
    pub fn why_empty(&self, option: &str, or_else: &str) -> Option<String> {
        let Self { files, fitting, uri, pattern, .. } = self;
        let fit = if *fitting == 1 { "fits" } else { "fit" };
        match self.window {
            _ if !self.sources.is_empty() => None,
            _ if *files == 0 => Some(format!("nothing lies at {uri}: check source.uri")),
            Some(window) if *fitting > 0 => {
                let years = (self.oldest_ms_ago / YEAR_MS + 1).max(10);
                let window = duration::text(window);
                Some(format!(
                    "{fitting} {fit} the pattern `{pattern}`, 0 were modified within {window}: {option} {years}y{or_else}"
                ))
            }
            _ => {
                let lie = if *files == 1 { "file lies" } else { "files lie" };
                Some(format!("{files} {lie} at {uri}, 0 fit the pattern `{pattern}`"))
            }
        }
    }
}

/// Lists the sources at the dataset's `uri` that the request is about.
///
/// # Errors
///
/// [`Error::Dataset`] where the dataset has no `uri`, or one that leads to no folder.
pub async fn listed(ctx: &Context, dataset: &Dataset, asked: &Request) -> Result<Listing> {
    let Some((bucket, prefix)) = dataset.source_root() else {
        return Err(Error::Dataset(
            "source.uri is not set, so there is nothing to list: set it, or name sources".into(),
        ));
    };
    if asked.from.is_some() || asked.to.is_some() {
        return Err(Error::Dataset(archive::NO_DATES.into()));
    }
    let pattern = asked.pattern.as_deref().map(glob).transpose()?;
    let window = asked.modified_within.or(match asked.intent {
        Intent::Incremental => dataset.spec.source.modified_within,
        _ => None,
    });
    let now_ms = ctx.now_ms();
    let oldest_ms = window.map(|window| now_ms - i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
    let mut listing = Listing {
        window,
        uri: shown(bucket, prefix),
        pattern: asked.pattern.clone().unwrap_or_else(|| dataset.spec.source.pattern.clone()),
        ..Listing::default()
    };
    let mut names = Names::new(ctx, dataset);
    for meta in list_root(ctx, dataset).await? {
        listing.files += 1;
        let wanted = match &pattern {
            Some(glob) => dataset.below_root(bucket, &meta.key).is_some_and(|below| glob.is_match(below)),
            None => dataset.matches(bucket, &meta.key),
        };
        if !wanted {
            continue;
        }
        listing.fitting += 1;
        let modified_ms = meta.version.last_modified_ms;
        listing.oldest_ms_ago = listing.oldest_ms_ago.max(now_ms - modified_ms);
        if oldest_ms.is_none_or(|oldest_ms| modified_ms >= oldest_ms)
            && let Some(source) = names.one(source_of(bucket, meta)).await?
        {
            listing.sources.push(source);
        }
    }
    Ok(listing)
}

/// The files below the dataset's `uri`; none where it has no `uri`.
///
/// # Errors
///
/// [`Error::Dataset`] where it names a folder of this machine that is missing, or no folder.
pub(super) async fn list_root(ctx: &Context, dataset: &Dataset) -> Result<Vec<ObjectMeta>> {
    let Some((bucket, prefix)) = dataset.source_root() else { return Ok(Vec::new()) };
    let storage = ctx.stores.open(bucket).await?;
    let mut files = list_all(storage.as_ref(), prefix).await?;
    // A key that ends in a slash is a folder's marker.
    files.retain(|file| !file.key.ends_with('/'));
    if !files.is_empty() || bucket != MACHINE {
        return Ok(files);
    }
    let place = shown(bucket, prefix);
    let what = match storage.entry(prefix).await?.map(|entry| entry.kind) {
        Some(EntryKind::Folder) => return Ok(files),
        Some(kind) => format!("{place} is {kind}: name the folder that the sources lie in, and the files by `pattern`"),
        None if dataset.spec.source.uri.as_deref().is_some_and(|uri| uri.starts_with('~')) => {
            format!("{place}: no such folder: `~` is not expanded here, write the whole path")
        }
        None => format!("{place}: no such folder: check `uri`, and whether it is mounted"),
    };
    Err(dataset.error_at("source.uri", None, what))
}

/// As people write it: a path for a place on this machine.
fn shown(bucket: &str, prefix: &str) -> String {
    if bucket == MACHINE { format!("/{prefix}") } else { format!("{bucket}/{prefix}") }
}
