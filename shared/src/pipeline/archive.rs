//! Archives by date: which files a request is about, and what the server says of each.
//!
//! A file's run needs the file's version, so every file is looked up before its run is opened. One that the server has not
//! is no failure: that it was missing is recorded, once for each file, and the next request looks again.

use futures::FutureExt;

use super::Context;
use super::check::Answer;
use super::close::at_once;
use super::message::Message;
use super::open::{Eagerness, source_of};
use super::request::{glob, leaves_alone, open_asked};
use crate::dataset::Dataset;
use crate::event::{Intent, Request};
use crate::ledger::identity::{Purpose, Run, Source};
use crate::storage::{ObjectVersion, StorageError};
use crate::{Error, Result};

/// What `from` and `to` are told where no file is named by date.
pub(super) const NO_DATES: &str =
    "`from` and `to` are for archives, whose source.uri names files by `{date}`: this is none, use `pattern`";

/// Files looked up at once. Servers that are open to all are not to be pressed.
const LOOKED_UP_AT_ONCE: usize = 16;

/// What a look-up of one file found.
#[derive(Debug, Clone, PartialEq)]
pub enum Looked {
    /// The file as it is now.
    Found(Source),
    /// The server has no such file. The run that records it: the same one for every request.
    Missing(Run),
    /// The server did not say.
    Unknown {
        /// The file.
        uri: String,
        /// What it did instead.
        problem: String,
    },
}

/// The keys of an archive's files that a request is about, and their bucket.
///
/// # Errors
///
/// [`Error::Dataset`] for a request without days, or of too many files.
pub fn keys<'a>(dataset: &'a Dataset, asked: &Request) -> Result<(&'a str, Vec<String>)> {
    let wrong = |what: &str| Error::Dataset(what.to_owned());
    let (Some(archive), Some((bucket, _))) = (dataset.archive(), dataset.source_root()) else {
        return Err(wrong(NO_DATES));
    };
    let (Some(from), Some(to)) = (asked.from, asked.to) else {
        let missing = if asked.from.is_some() {
            "`to` is"
        } else if asked.to.is_some() {
            "`from` is"
        } else {
            "`from` and `to` are"
        };
        let files = if archive.is_hourly() { "hours" } else { "days" };
        return Err(wrong(&format!(
            "{missing} missing: source.uri names files by date, so say which {files}, such as from 2015-01-01 to 2015-01-31"
        )));
    };
    if asked.modified_within.is_some() {
        return Err(wrong("`modified_within` is not for archives: `from` and `to` tell their files"));
    }
    let mut keys = archive.keys(from, to).map_err(Error::Dataset)?;
    if let Some(pattern) = asked.pattern.as_deref() {
        let glob = glob(pattern)?;
        keys.retain(|key| dataset.below_root(bucket, key).is_some_and(|below| glob.is_match(below)));
    } else {
        keys.retain(|key| dataset.matches(bucket, key));
    }
    Ok((bucket, keys))
}

/// Looks one file of a web server up.
///
/// # Errors
///
/// [`Error::Storage`] where the dataset does not allow to ask that server.
pub async fn look_up(ctx: &Context, dataset: &Dataset, bucket: &str, key: &str) -> Result<Looked> {
    let storage = ctx.open_source(dataset, bucket).await?;
    Ok(match storage.head(key).await {
        Ok(Some(meta)) => Looked::Found(source_of(bucket, meta)),
        Ok(None) => Looked::Missing(missing_run(dataset, bucket, key)),
        Err(StorageError::Failed { uri, problem, .. } | StorageError::BadKey { uri, problem }) => {
            Looked::Unknown { uri, problem }
        }
        Err(error) => return Err(error.into()),
    })
}

/// Looks up the first of these files, several at once; in order. At most `limit` of them, so that a request for a few looks
/// up no more than it needs.
pub async fn look_first_up(
    ctx: &Context,
    dataset: &Dataset,
    bucket: &str,
    keys: &[String],
    limit: u64,
) -> Result<Vec<Looked>> {
    let batch = usize::try_from(limit).unwrap_or(usize::MAX).min(LOOKED_UP_AT_ONCE);
    at_once(keys.iter().take(batch).map(|key| look_up(ctx, dataset, bucket, key).boxed())).await
}

/// The run that records a file as missing. It is named by where the file would lie and by nothing else, so that any number
/// of requests leaves one record.
pub fn missing_run(dataset: &Dataset, bucket: &str, key: &str) -> Run {
    let version = ObjectVersion { version_id: None, etag: String::new(), last_modified_ms: 0 };
    let source = Source { bucket: bucket.to_owned(), key: key.to_owned(), version, size: 0 };
    Run::new(&dataset.spec.name, &dataset.hash, Purpose::Incremental, "", source)
}

/// Has a finalizer record that a file is missing: it is the one place where the ends of runs are told.
pub async fn note_missing(ctx: &Context, dataset: &Dataset, run: &Run) -> Result<()> {
    ctx.ledger.keep_config(dataset).await?;
    ctx.finalize.send(&[Message::Missing { run: Box::new(run.clone()) }.encode()?]).await
}

/// Opens a run of each file that a request is about and that the server has. What is published, missing or not to be told
/// takes nothing of the request's limit.
pub(super) async fn request(
    ctx: &Context,
    dataset: &Dataset,
    asked: &Request,
    eagerness: Eagerness,
    answer: &mut Answer,
) -> Result<()> {
    let default_limit = if asked.intent == Intent::TestSubset { 1 } else { u64::MAX };
    let mut left = asked.limit.unwrap_or(default_limit);
    let (bucket, keys) = keys(dataset, asked)?;
    let mut keys = keys.iter().peekable();
    while left > 0 && keys.peek().is_some() {
        let batch = usize::try_from(left).unwrap_or(usize::MAX).min(LOOKED_UP_AT_ONCE);
        let request_id = answer.request_id.clone();
        let one = |key| one(ctx, dataset, (bucket, key), asked, eagerness, request_id.clone()).boxed();
        for (one, taken) in at_once(keys.by_ref().take(batch).map(one)).await? {
            left -= u64::from(taken);
            answer.add(one);
        }
    }
    Ok(())
}

/// Opens a run of one file. False where that takes nothing of the request's limit.
async fn one(
    ctx: &Context,
    dataset: &Dataset,
    (bucket, key): (&str, &String),
    asked: &Request,
    eagerness: Eagerness,
    request_id: String,
) -> Result<(Answer, bool)> {
    let mut answer = Answer { request_id, matched: 1, ..Answer::default() };
    let source = match look_up(ctx, dataset, bucket, key).await? {
        Looked::Found(source) => source,
        Looked::Missing(run) => {
            answer.missing = 1;
            if !asked.dry_run && asked.intent != Intent::TestSubset {
                note_missing(ctx, dataset, &run).await?;
            }
            return Ok((answer, false));
        }
        Looked::Unknown { uri, problem } => {
            tracing::error!(uri, problem, "not looked up");
            answer.problems.push(format!("{uri}: {problem}"));
            return Ok((answer, false));
        }
    };
    if leaves_alone(ctx, dataset, &source, asked).await? {
        answer.skipped = 1;
        return Ok((answer, false));
    }
    open_asked(ctx, dataset, source, asked, eagerness, &mut answer).await?;
    Ok((answer, true))
}
