//! Requests of a schedule or a person: relist, reprocess, test_subset, prune, redrive.

use futures::FutureExt;
use globset::{GlobBuilder, GlobMatcher};

use super::check::Answer;
use super::close::at_once;
use super::listing::listed;
use super::open::{Eagerness, is_published, open, open_incremental, source_of};
use super::{Context, archive, prune};
use crate::dataset::Dataset;
use crate::event::{Intent, Request};
use crate::ledger::identity::{Purpose, Run, Source};
use crate::ledger::{Outcome, Status};
use crate::{Error, Result};

/// Sources looked up at once while relisting.
const OPENED_AT_ONCE: usize = 16;

/// Does what a request asks for, for `datasets`. A problem with one dataset or run is told in the answer and does not
/// stop the others.
pub async fn request(ctx: &Context, datasets: &[Dataset], asked: &Request, eagerness: Eagerness) -> Result<Answer> {
    let request_id = ctx.clock.new_id();
    let mut answer = Answer { request_id, dry_run: asked.dry_run, ..Answer::default() };
    let has_dates = asked.from.is_some() || asked.to.is_some();
    if has_dates && asked.intent == Intent::Prune {
        return Err(Error::Dataset("`from` and `to` do not narrow prune: use `pattern`".into()));
    }
    if has_dates && !datasets.iter().any(|dataset| dataset.archive().is_some()) {
        return Err(Error::Dataset(archive::NO_DATES.into()));
    }
    if asked.intent == Intent::Redrive {
        redrive(ctx, datasets, asked, &mut answer).await?;
        return Ok(answer);
    }
    let fits = |dataset: &Dataset| asked.intent == Intent::Prune || dataset.archive().is_some() == has_dates;
    let some_fit = datasets.iter().any(fits);
    for dataset in datasets {
        // A request that names no dataset is about those that it makes sense for: a schedule's about what can be listed,
        // one of dates about archives.
        if asked.dataset.is_none() && some_fit && !fits(dataset) {
            continue;
        }
        let done = match own_prefix(ctx, dataset, asked).await {
            Err(refused) => Err(refused),
            Ok(()) => match asked.intent {
                Intent::Prune => prune::request(ctx, dataset, asked, &mut answer).await,
                _ if dataset.archive().is_some() => archive::request(ctx, dataset, asked, eagerness, &mut answer).await,
                _ => relist(ctx, dataset, asked, eagerness, &mut answer).await,
            },
        };
        if let Err(error) = done {
            if !error.is_permanent() {
                return Err(error);
            }
            tracing::error!(dataset = dataset.spec.name, %error, "request failed");
            let what = if let Error::Dataset(what) = error { what } else { error.to_string() };
            answer.problems.push(format!("{}: {what}", dataset.spec.name));
        }
    }
    Ok(answer)
}

/// Sees that no other dataset writes below the prefix of one that is to publish. A trial has a folder of its own.
async fn own_prefix(ctx: &Context, dataset: &Dataset, asked: &Request) -> Result<()> {
    match asked.intent {
        Intent::Incremental | Intent::Reprocess if asked.dry_run => ctx.ledger.check_prefix(dataset).await,
        Intent::Incremental | Intent::Reprocess => ctx.ledger.own_prefix(dataset).await,
        Intent::TestSubset | Intent::Prune | Intent::Heal | Intent::Redrive => Ok(()),
    }
}

/// Lists a dataset's sources and opens a run of each that the request is about, several at once.
async fn relist(
    ctx: &Context,
    dataset: &Dataset,
    asked: &Request,
    eagerness: Eagerness,
    answer: &mut Answer,
) -> Result<()> {
    let default_limit = if asked.intent == Intent::TestSubset { 1 } else { u64::MAX };
    let mut left = asked.limit.unwrap_or(default_limit);
    let listing = listed(ctx, dataset, asked).await?;
    let why_empty = listing.why_empty("modified_within", "");
    answer.notes.extend(why_empty.map(|why| format!("{}: {why}", dataset.spec.name)));
    let mut listed = listing.sources.into_iter().peekable();
    while left > 0 && listed.peek().is_some() {
        let batch = usize::try_from(left).unwrap_or(usize::MAX).min(OPENED_AT_ONCE);
        let request_id = answer.request_id.clone();
        let one = |source| open_listed(ctx, dataset, source, asked, eagerness, request_id.clone()).boxed();
        for (one, taken) in at_once(listed.by_ref().take(batch).map(one)).await? {
            left -= u64::from(taken);
            answer.add(one);
        }
    }
    Ok(())
}

/// Opens a run of a source as it was listed. False where that takes nothing of the request's limit: the request leaves the
/// source alone, or it is gone again.
async fn open_listed(
    ctx: &Context,
    dataset: &Dataset,
    listed: Source,
    asked: &Request,
    eagerness: Eagerness,
    request_id: String,
) -> Result<(Answer, bool)> {
    let mut answer = Answer { request_id, matched: 1, ..Answer::default() };
    if leaves_alone(ctx, dataset, &listed, asked).await? {
        answer.skipped = 1;
        return Ok((answer, false));
    }
    // A listing tells no version id; a look-up does.
    let storage = ctx.open_source(dataset, &listed.bucket).await?;
    let Some(meta) = storage.head(&listed.key).await? else { return Ok((answer, false)) };
    let source = source_of(&listed.bucket, meta);
    open_asked(ctx, dataset, source, asked, eagerness, &mut answer).await?;
    Ok((answer, true))
}

/// Whether the request is not about this source, as far as the ledger tells: an incremental one leaves alone what is
/// published, one for stale sources all that another dataset file did not publish.
pub(super) async fn leaves_alone(ctx: &Context, dataset: &Dataset, source: &Source, asked: &Request) -> Result<bool> {
    if asked.intent != Intent::Incremental && !asked.stale {
        return Ok(false);
    }
    let name = &dataset.spec.name;
    let pointer = ctx.ledger.pointer(name, &source.bucket, &source.key).await?.map(|stamped| stamped.value);
    if !asked.stale {
        return Ok(is_published(pointer.as_ref(), source));
    }
    let Some(published) = pointer.and_then(|pointer| pointer.published) else { return Ok(true) };
    let outcome = ctx.ledger.outcome(name, &published.claim.run_id).await?;
    Ok(outcome.is_some_and(|outcome| outcome.run.config == dataset.hash))
}

pub(super) fn glob(pattern: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    let glob = glob.map_err(|error| Error::Dataset(format!("pattern `{pattern}`: {error}")))?;
    Ok(glob.compile_matcher())
}

/// Opens one source's run as the request's intent has it.
pub async fn open_asked(
    ctx: &Context,
    dataset: &Dataset,
    source: Source,
    asked: &Request,
    eagerness: Eagerness,
    answer: &mut Answer,
) -> Result<()> {
    let purpose = match asked.intent {
        Intent::Reprocess => Purpose::Reprocess,
        Intent::TestSubset => Purpose::TestSubset,
        Intent::Incremental | Intent::Prune | Intent::Heal | Intent::Redrive => Purpose::Incremental,
    };
    let generation = if purpose == Purpose::Incremental { "" } else { answer.request_id.as_str() };
    let run = Run::new(&dataset.spec.name, &dataset.hash, purpose, generation, source);
    if asked.dry_run {
        answer.runs.push(run.run_id);
        return Ok(());
    }
    let opened = match purpose {
        Purpose::Incremental => open_incremental(ctx, dataset, run.source, eagerness).await?,
        Purpose::Reprocess | Purpose::Retry | Purpose::TestSubset => open(ctx, dataset, run, eagerness.resend).await?,
    };
    answer.count(opened);
    Ok(())
}

/// Opens a new generation of each failed run that is named.
async fn redrive(ctx: &Context, datasets: &[Dataset], asked: &Request, answer: &mut Answer) -> Result<()> {
    for id in &asked.runs {
        let mut found = None;
        for dataset in datasets {
            if let Some(outcome) = ctx.ledger.outcome(&dataset.spec.name, id).await? {
                found = Some((dataset, outcome));
                break;
            }
        }
        match found {
            Some((dataset, outcome)) => retry(ctx, dataset, &outcome, asked.dry_run, answer).await?,
            None => answer.problems.push(format!("run {id}: no such run has ended")),
        }
    }
    Ok(())
}

/// Opens a new generation of a failed run, of the source's newest version.
async fn retry(ctx: &Context, dataset: &Dataset, failed: &Outcome, dry_run: bool, answer: &mut Answer) -> Result<()> {
    let (id, source) = (&failed.run.run_id, &failed.run.source);
    answer.matched += 1;
    if !matches!(failed.status, Status::Failed | Status::Missing) {
        answer.skipped += 1;
        answer.problems.push(format!("run {id}: it has not failed, and only failed runs are retried: use `reprocess`"));
        return Ok(());
    }
    let storage = ctx.open_source(dataset, &source.bucket).await?;
    let Some(meta) = storage.head(&source.key).await? else {
        answer.skipped += 1;
        answer.problems.push(format!("run {id}: {} is gone", source.uri()));
        return Ok(());
    };
    let purpose = match failed.run.purpose {
        Purpose::TestSubset => Purpose::TestSubset,
        Purpose::Incremental | Purpose::Reprocess | Purpose::Retry => Purpose::Retry,
    };
    let source = source_of(&source.bucket, meta);
    let run = Run::new(&dataset.spec.name, &dataset.hash, purpose, &answer.request_id, source);
    if dry_run {
        answer.runs.push(run.run_id);
        return Ok(());
    }
    let opened = open(ctx, dataset, run, false).await?;
    answer.count(opened);
    Ok(())
}
