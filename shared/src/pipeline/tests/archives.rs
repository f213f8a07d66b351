//! Archives by date: which files a request opens runs of, and what becomes of those that are not there.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::civil::Date;

use super::fixture::Stack;
use crate::dataset::Dataset;
use crate::event::{Intent, Request};
use crate::ledger::Status;
use crate::pipeline::check::Answer;
use crate::pipeline::finalize::{Finalized, handle};
use crate::pipeline::message::Message;
use crate::pipeline::open::Eagerness;
use crate::pipeline::request::request;
use crate::storage::web::{Origin, WebRules, is_web};
use crate::storage::{MemoryStorage, Storage, StorageError, StorageResult, Stores};
use crate::{Error, Result};

const ARCHIVE: &str = r#"
name = "pushes"
[source]
uri = "https://data.example.org/{date:%Y-%m-%d}-{hour}.json.gz"
format = "parquet"
[output]
prefix = "pushes/"
"#;

/// A web server beside the stack's buckets.
#[derive(Debug)]
struct Beside {
    inner: Arc<dyn Stores>,
    site: Arc<MemoryStorage>,
}

#[async_trait]
impl Stores for Beside {
    async fn open(&self, bucket: &str) -> StorageResult<Arc<dyn Storage>> {
        self.inner.open(bucket).await
    }

    async fn open_source(&self, bucket: &str, rules: &WebRules) -> StorageResult<Arc<dyn Storage>> {
        if !is_web(bucket) {
            return self.open(bucket).await;
        }
        let refused = |problem: String| StorageError::BadKey { uri: bucket.to_owned(), problem };
        rules.check(&Origin::parse(bucket).map_err(refused)?).map_err(refused)?;
        Ok(Arc::clone(&self.site) as _)
    }
}

struct Archived {
    stack: Stack,
    site: Arc<MemoryStorage>,
    dataset: Dataset,
}

impl Archived {
    /// A server with the hours of 2015-01-01 from `hours`.
    async fn with(hours: impl Iterator<Item = i8>) -> Self {
        let mut stack = Stack::new();
        let site = Arc::new(MemoryStorage::new("site", stack.clock.clone()));
        stack.ctx.stores = Arc::new(Beside { inner: stack.ctx.stores.clone(), site: Arc::clone(&site) });
        let archived = Self { stack, site, dataset: Dataset::parse(ARCHIVE, "pushes.toml").unwrap() };
        for hour in hours {
            archived.put(hour).await;
        }
        archived
    }

    async fn put(&self, hour: i8) {
        self.site.put(&format!("2015-01-01-{hour}.json.gz"), Bytes::from_static(b"events")).await.unwrap();
    }

    async fn try_ask(&self, asked: Request) -> Result<Answer> {
        request(&self.stack.ctx, std::slice::from_ref(&self.dataset), &asked, Eagerness::default()).await
    }

    async fn ask(&self, asked: Request) -> Answer {
        self.try_ask(asked).await.unwrap()
    }

    /// Handles what finalizers were sent.
    async fn finalize(&self) -> Vec<Finalized> {
        let mut ended = Vec::new();
        for message in self.stack.finalizing.take() {
            ended.push(handle(&self.stack.ctx, message).await.unwrap());
        }
        ended
    }
}

fn day(text: &str) -> Option<Date> {
    Some(text.parse().unwrap())
}

fn first_day() -> Request {
    Request { from: day("2015-01-01"), to: day("2015-01-01"), ..Request::default() }
}

#[tokio::test]
async fn a_day_is_24_runs_hour_0_and_the_last_day_included_and_asked_again_none() {
    let archived = Archived::with(0..24).await;
    let answer = archived.ask(first_day()).await;
    assert_eq!((answer.matched, answer.enqueued, answer.skipped, answer.missing), (24, 24, 0, 0));
    let mut keys: Vec<String> = Vec::new();
    for message in archived.stack.work.take() {
        let Message::File { run } = message else { panic!("not a file") };
        assert_eq!(run.source.bucket, "https://data.example.org");
        assert_eq!(
            archived.dataset.output_folder(&run.source.bucket, &run.source.key),
            format!("pushes/{}/", run.source.key)
        );
        keys.push(run.source.key);
    }
    let expected: Vec<String> = (0..24).map(|hour| format!("2015-01-01-{hour}.json.gz")).collect();
    assert_eq!(keys, expected);
    let again = archived.ask(first_day()).await;
    assert_eq!((again.matched, again.enqueued, again.skipped), (24, 0, 24), "their runs are open");
}

#[tokio::test]
async fn a_dry_run_and_a_limit_hold_as_for_any_source() {
    let archived = Archived::with(0..24).await;
    let dry = archived.ask(Request { dry_run: true, ..first_day() }).await;
    assert_eq!((dry.matched, dry.enqueued, dry.runs.len()), (24, 0, 24));
    assert!(archived.stack.work.take().is_empty());
    let limited = archived.ask(Request { limit: Some(5), ..first_day() }).await;
    assert_eq!((limited.enqueued, archived.stack.work.take().len()), (5, 5));
    let narrowed = archived.ask(Request { pattern: Some("*-2?.json.gz".into()), ..first_day() }).await;
    assert_eq!((narrowed.matched, narrowed.enqueued), (4, 4));
    let trial = archived.ask(Request { intent: Intent::TestSubset, ..first_day() }).await;
    assert_eq!((trial.matched, trial.enqueued), (1, 1));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_recorded_as_missing_once_and_found_by_the_next_request() {
    let archived = Archived::with((0..24).filter(|hour| *hour != 7)).await;
    let answer = archived.ask(first_day()).await;
    assert_eq!((answer.matched, answer.enqueued, answer.missing), (24, 23, 1));
    assert!(answer.problems.is_empty());
    let ended = archived.finalize().await;
    let [Finalized::Ended(outcome)] = ended.as_slice() else { panic!("{ended:?}") };
    assert_eq!((outcome.status, outcome.run.source.key.as_str()), (Status::Missing, "2015-01-01-7.json.gz"));
    assert_eq!(outcome.error.as_ref().unwrap().kind, "missing");
    // The second request leaves no second record.
    archived.ask(first_day()).await;
    let ended = archived.finalize().await;
    assert_eq!(ended, [Finalized::Ended(outcome.clone())]);
    // It comes late.
    archived.put(7).await;
    let late = archived.ask(first_day()).await;
    assert_eq!((late.enqueued, late.missing), (1, 0));
    let open = archived.stack.ctx.ledger.open_runs().await.unwrap();
    assert_eq!(open.len(), 24, "a missing file has no marker");
}

#[tokio::test]
async fn what_a_request_lacks_is_told() {
    let archived = Archived::with(0..0).await;
    for (asked, why) in [
        (Request::default(), "`from` and `to` are missing"),
        (Request { to: None, ..first_day() }, "`to` is missing"),
        (Request { from: None, ..first_day() }, "`from` is missing"),
        (Request { from: day("2015-01-02"), ..first_day() }, "after `to`"),
        (Request { to: day("2019-01-01"), ..first_day() }, "above the limit of 10000"),
        (Request { modified_within: Some(std::time::Duration::from_secs(1)), ..first_day() }, "not for archives"),
    ] {
        let answer = archived.ask(asked).await;
        assert!(answer.problems.len() == 1 && answer.problems[0].contains(why), "{why}: {answer:?}");
    }
    let pruned = archived.try_ask(Request { intent: Intent::Prune, ..first_day() }).await;
    assert!(pruned.unwrap_err().to_string().contains("do not narrow prune"));
}

#[tokio::test]
async fn dates_are_for_archives_and_archives_for_dates() {
    let archived = Archived::with(0..24).await;
    archived.stack.source("in/a.parquet", "1").await;
    let (ctx, trips) = (&archived.stack.ctx, archived.stack.dataset.clone());
    let ask = async |datasets: &[Dataset], asked: Request| request(ctx, datasets, &asked, Eagerness::default()).await;
    let error = ask(std::slice::from_ref(&trips), first_day()).await.unwrap_err();
    assert!(error.to_string().contains("this is none"), "{error}");
    let both = [trips.clone(), archived.dataset.clone()];
    let dated = ask(&both, first_day()).await.unwrap();
    assert_eq!((dated.enqueued, dated.problems.len()), (24, 0));
    // A schedule asks for what can be listed.
    let relisted = ask(&both, Request::default()).await.unwrap();
    assert_eq!((relisted.matched, relisted.problems.len()), (1, 0));
    // Named, it must fit.
    let named = Request { dataset: Some("trips".into()), ..first_day() };
    let answer = ask(&both, named).await.unwrap();
    assert!(answer.problems[0].contains("this is none"), "{answer:?}");
}

#[tokio::test]
async fn a_host_that_the_dataset_does_not_name_is_not_asked() {
    let archived = Archived::with(0..24).await;
    let elsewhere = "https://elsewhere.example.org";
    let looked = super::super::archive::look_up(&archived.stack.ctx, &archived.dataset, elsewhere, "a.gz").await;
    let Err(Error::Storage(StorageError::BadKey { problem, .. })) = looked else { panic!("{looked:?}") };
    assert!(problem.contains("does not name the host"), "{problem}");
}
