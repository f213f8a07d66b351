//! Reports through the whole protocol: exactly what is published is told, whoever crashed or came first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, Float64Array, Int64Array, RecordBatch};
use async_trait::async_trait;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use rstest::rstest;
use serde_json::{Value, json};

use super::fixture::Stack;
use crate::clock::SystemClock;
use crate::dataset::Dataset;
use crate::event::{Intent, Request};
use crate::ledger::{Outcome, Run, Status, keys};
use crate::pipeline::formats::Formats;
use crate::pipeline::message::Message;
use crate::pipeline::open::{Eagerness, Opened, open_incremental, source_of};
use crate::pipeline::refresh::Refresh;
use crate::pipeline::{Context, Limits, finalize, heal, process, request};
use crate::reports::Reports;
use crate::storage::{LocalStorage, Storage};
use crate::{Error, Result};

const ZONES: &str = "[[reports]]\nname = \"zones\"\ngroup_by = [\"zone\"]\nmeasures = [\
    { name = \"n\", expr = \"count(*)\" }, { name = \"sum\", expr = \"sum(fare)\" }, \
    { name = \"best\", expr = \"arg_max(number, fare)\" }]\n";

fn file(rules: &str) -> Dataset {
    let text = format!(
        "name = \"trips\"\n[source]\nuri = \"s3://source/in/\"\npattern = \"*.parquet\"\nformat = \"parquet\"\n\
         [output]\nprefix = \"trips/\"\nrow_group_rows = 100\nmax_quarantined = 1.0\n{rules}"
    );
    Dataset::parse(&text, "trips.toml").unwrap()
}

fn stack(rules: &str) -> Stack {
    let mut stack = Stack { dataset: file(rules), ..Stack::new() };
    stack.ctx = stack.ctx.with_reports(Some(Arc::new(Reports)));
    stack
}

/// Trips numbered from `first`, zones 0 to 2 in turn, each with its number as its fare; row groups of `group` rows.
fn trips(first: i64, rows: i64, group: usize) -> Bytes {
    let numbers: Vec<i64> = (first..first + rows).collect();
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("number", Arc::new(Int64Array::from(numbers.clone())) as Arc<dyn Array>, true),
        ("zone", Arc::new(numbers.iter().map(|n| Some(n % 3)).collect::<Int64Array>()), true),
        ("fare", Arc::new(numbers.iter().map(|n| Some(*n as f64)).collect::<Float64Array>()), true),
    ])
    .unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    Bytes::from(writer.into_inner().unwrap())
}

/// What [`ZONES`] tells of trips with these numbers.
fn zones(numbers: impl IntoIterator<Item = i64> + Clone) -> Vec<Value> {
    let zone = |zone| {
        let here: Vec<i64> = numbers.clone().into_iter().filter(|n| n % 3 == zone).collect();
        let last = here.iter().max()?;
        Some(json!({ "zone": zone, "n": here.len(), "sum": here.iter().sum::<i64>() as f64, "best": last }))
    };
    (0..3).filter_map(zone).collect()
}

async fn delivered(stack: &Stack, key: &str, file: Bytes) -> Run {
    stack.pass(1_000);
    stack.bucket.put(key, file).await.unwrap();
    let source = source_of("s3://source", stack.bucket.head(key).await.unwrap().unwrap());
    match open_incremental(&stack.ctx, &stack.dataset, source, Eagerness::default()).await.unwrap() {
        Opened::Enqueued(run) => run,
        other => panic!("{other:?}"),
    }
}

async fn worked(stack: &Stack) {
    loop {
        let work = stack.work.take();
        if work.is_empty() {
            return;
        }
        for message in work {
            process::process(&stack.ctx, &Formats::default(), message).await.unwrap();
        }
    }
}

async fn work_off(stack: &Stack) {
    loop {
        worked(stack).await;
        let ends = stack.finalizing.take();
        if ends.is_empty() {
            return;
        }
        for message in ends {
            finalize::handle(&stack.ctx, message).await.unwrap();
        }
    }
}

async fn ingested(stack: &Stack, key: &str, file: Bytes) -> Outcome {
    let run = delivered(stack, key, file).await;
    work_off(stack).await;
    stack.ctx.ledger.outcome("trips", &run.run_id).await.unwrap().unwrap()
}

async fn report(ctx: &Context, name: &str) -> Option<Value> {
    let object = ctx.ledger.sink().get(&keys::report("trips", name, "json"), 1 << 30).await.unwrap();
    object.map(|object| serde_json::from_slice(&object.bytes).unwrap())
}

async fn assert_zones(stack: &Stack, numbers: impl IntoIterator<Item = i64> + Clone) {
    let report = report(&stack.ctx, "zones").await.unwrap();
    assert_eq!((&report["complete"], &report["problems"]), (&json!(true), &json!([])));
    assert_eq!(report["groups"], Value::from(zones(numbers)));
    assert!(stack.ctx.ledger.open_runs().await.unwrap().is_empty(), "every run is closed");
}

async fn reprocess(stack: &Stack, dataset: &Dataset) {
    stack.pass(1_000);
    let asked = Request { intent: Intent::Reprocess, ..Request::default() };
    request::request(&stack.ctx, std::slice::from_ref(dataset), &asked, Eagerness::default()).await.unwrap();
    work_off(stack).await;
}

#[tokio::test]
async fn every_source_that_is_published_is_told_once() {
    let stack = stack(ZONES);
    for (index, from) in [0, 1_000, 250].into_iter().enumerate() {
        let outcome = ingested(&stack, &format!("in/{index}.parquet"), trips(from, 250, 1_000)).await;
        assert_eq!((outcome.status, outcome.slices), (Status::Complete, 3), "{:?}", outcome.error);
    }
    assert_zones(&stack, (0..500).chain(1_000..1_250)).await;
    let report = report(&stack.ctx, "zones").await.unwrap();
    assert_eq!((&report["sources"], &report["rows"]), (&json!(3), &json!(750)));
}

#[tokio::test]
async fn a_new_version_takes_the_place_of_the_old_one() {
    let stack = stack(ZONES);
    ingested(&stack, "in/a.parquet", trips(0, 300, 1_000)).await;
    ingested(&stack, "in/b.parquet", trips(600, 100, 1_000)).await;
    ingested(&stack, "in/a.parquet", trips(2_000, 150, 1_000)).await;
    assert_zones(&stack, (600..700).chain(2_000..2_150)).await;
}

#[tokio::test]
async fn a_reprocess_tells_the_rows_as_they_are_kept_now() {
    let stack = stack(ZONES);
    ingested(&stack, "in/a.parquet", trips(0, 300, 1_000)).await;
    ingested(&stack, "in/b.parquet", trips(600, 100, 1_000)).await;
    let changed = file(&format!("{ZONES}[transform]\nfilter = \"number % 2 = 0\"\n"));
    reprocess(&stack, &changed).await;
    assert_zones(&stack, (0..300).chain(600..700).step_by(2)).await;
}

#[tokio::test]
async fn a_source_that_is_pruned_is_told_no_more() {
    let stack = stack(ZONES);
    ingested(&stack, "in/a.parquet", trips(0, 300, 1_000)).await;
    ingested(&stack, "in/b.parquet", trips(600, 100, 1_000)).await;
    stack.bucket.delete("in/a.parquet").await.unwrap();
    let asked = Request { intent: Intent::Prune, ..Request::default() };
    request::request(&stack.ctx, std::slice::from_ref(&stack.dataset), &asked, Eagerness::default()).await.unwrap();
    work_off(&stack).await;
    assert_zones(&stack, 600..700).await;
}

#[tokio::test]
async fn a_trial_touches_no_report() {
    let stack = stack(ZONES);
    ingested(&stack, "in/a.parquet", trips(0, 300, 1_000)).await;
    let before = stack.seen("_reports/");
    let asked = Request { intent: Intent::TestSubset, ..Request::default() };
    request::request(&stack.ctx, std::slice::from_ref(&stack.dataset), &asked, Eagerness::default()).await.unwrap();
    work_off(&stack).await;
    assert_eq!(
        (stack.seen("_reports/"), stack.seen("test_pipeline/").iter().any(|(key, _)| key.contains("report"))),
        (before, false)
    );
    let figures = stack.sink.objects().into_iter().filter(|(key, _)| key.ends_with("/figures/00000.json"));
    assert_eq!(figures.count(), 1, "of the run that publishes alone");
}

#[tokio::test]
async fn a_report_that_fails_is_told_and_costs_no_row() {
    let broken = "[[reports]]\nname = \"broken\"\nmeasures = [{ name = \"m\", expr = \"avg(nothing_like_it)\" }]\n";
    let stack = stack(&format!("{ZONES}{broken}"));
    let outcome = ingested(&stack, "in/a.parquet", trips(0, 250, 1_000)).await;
    assert_eq!((outcome.status, outcome.rows.kept, outcome.parts.len()), (Status::Complete, 250, 3));
    assert_eq!(outcome.report_errors.len(), 1, "once for all slices: {:?}", outcome.report_errors);
    assert_eq!(outcome.report_errors[0].report, "broken");
    assert!(outcome.report_errors[0].message.contains("unknown column `nothing_like_it`"));
    assert_zones(&stack, 0..250).await;
    let broken = report(&stack.ctx, "broken").await.unwrap();
    assert_eq!(broken["complete"], json!(false));
    assert!(broken["problems"][0].as_str().unwrap().contains("in/a.parquet: "), "{broken}");
    assert!(stack.sink.head(&keys::report("trips", "broken", "parquet")).await.unwrap().is_none());
}

#[tokio::test]
async fn rows_set_aside_or_left_out_are_not_told() {
    let rules = "[[expectations]]\nname = \"e\"\nexpr = \"number >= 50\"\n[[expectations]]\nname = \"d\"\n\
                 expr = \"number < 200\"\naction = \"drop\"\n";
    let stack = stack(&format!("{ZONES}{rules}"));
    let outcome = ingested(&stack, "in/a.parquet", trips(0, 250, 1_000)).await;
    assert_eq!((outcome.rows.kept, outcome.rows.quarantined, outcome.rows.filtered), (150, 50, 50));
    assert_zones(&stack, 50..200).await;
}

#[rstest]
#[case::cleaned(1_000, "")]
#[case::copied(100, "")]
#[case::copied_where_every_row_passes(100, "[[expectations]]\nname = \"e\"\nexpr = \"number <> 150\"\n")]
#[tokio::test]
async fn row_groups_that_are_copied_are_told_like_those_that_are_cleaned(#[case] group: usize, #[case] rules: &str) {
    let count = "[[reports]]\nname = \"count\"\nmeasures = [{ name = \"n\", expr = \"count(*)\" }]\n";
    let stack = stack(&format!("compression = \"keep\"\nslice_row_groups = 2\n{ZONES}{count}{rules}"));
    let outcome = ingested(&stack, "in/a.parquet", trips(0, 350, group)).await;
    let kept = |n: &i64| rules.is_empty() || *n != 150;
    assert_zones(&stack, (0..350).filter(kept).collect::<Vec<_>>()).await;
    let count = report(&stack.ctx, "count").await.unwrap();
    assert_eq!(count["groups"], json!([{ "n": outcome.rows.kept }]));
}

#[tokio::test]
async fn reports_that_the_dataset_file_has_no_more_go() {
    let stack = stack(ZONES);
    ingested(&stack, "in/a.parquet", trips(0, 250, 1_000)).await;
    assert_eq!(stack.seen("_reports/").len(), 2);
    let without = file("");
    reprocess(&stack, &without).await;
    assert_eq!(stack.seen("_reports/"), []);
}

/// Dies so often before reports are brought up to date.
#[derive(Debug)]
struct Dying(AtomicUsize);

#[async_trait]
impl Refresh for Dying {
    async fn refresh(&self, ctx: &Context, dataset: &str, config: Option<&str>) -> Result<()> {
        if self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(Error::Internal("killed".to_owned()));
        }
        Reports.refresh(ctx, dataset, config).await
    }
}

#[tokio::test]
async fn a_crash_between_publication_and_the_report_is_healed_by_the_sweep() {
    let mut stack = stack(ZONES);
    ingested(&stack, "in/a.parquet", trips(0, 250, 1_000)).await;
    stack.ctx = stack.ctx.with_reports(Some(Arc::new(Dying(AtomicUsize::new(2)))));
    let run = delivered(&stack, "in/b.parquet", trips(600, 100, 1_000)).await;
    worked(&stack).await;
    for message in stack.finalizing.take() {
        assert!(finalize::handle(&stack.ctx, message).await.is_err());
    }
    let pointer = stack.pointer(&run.source).await;
    assert_eq!(pointer.published.unwrap().claim.run_id, run.run_id, "published, and the message is lost");
    let told = report(&stack.ctx, "zones").await.unwrap();
    assert_eq!(told["sources"], json!(1), "and not told yet");
    // The first sweep notes the slices that are recorded, the second sends it again in vain, the third heals.
    for _ in 0..3 {
        stack.pass(Limits::default().stall_ms + 1);
        heal::heal(&stack.ctx, false).await.unwrap();
        for message in stack.finalizing.take() {
            let _ = finalize::handle(&stack.ctx, message).await;
        }
    }
    assert_zones(&stack, (0..250).chain(600..700)).await;
}

#[tokio::test]
async fn a_run_whose_report_never_comes_ends_all_the_same() {
    let mut stack = stack(ZONES);
    stack.ctx = stack.ctx.with_reports(Some(Arc::new(Dying(AtomicUsize::new(usize::MAX)))));
    let run = delivered(&stack, "in/a.parquet", trips(0, 250, 1_000)).await;
    worked(&stack).await;
    for _ in 0..10 {
        stack.pass(Limits::default().stall_ms + 1);
        heal::heal(&stack.ctx, false).await.unwrap();
        for message in stack.finalizing.take() {
            let _ = finalize::handle(&stack.ctx, message).await;
        }
    }
    assert!(stack.ctx.ledger.open_runs().await.unwrap().is_empty());
    assert_eq!(stack.ctx.ledger.outcome("trips", &run.run_id).await.unwrap().unwrap().status, Status::Complete);
    // The next run brings it all up to date.
    stack.ctx = stack.ctx.with_reports(Some(Arc::new(Reports)));
    ingested(&stack, "in/b.parquet", trips(600, 100, 1_000)).await;
    assert_zones(&stack, (0..250).chain(600..700)).await;
}

#[tokio::test]
async fn a_file_that_another_finalizer_left_halfway_is_made_again() {
    let stack = stack(ZONES);
    let outcome = ingested(&stack, "in/a.parquet", trips(0, 250, 1_000)).await;
    let good = stack.seen("_reports/");
    for (key, _) in &good {
        stack.sink.put(key, Bytes::from_static(b"stale")).await.unwrap();
        Reports.refresh(&stack.ctx, "trips", Some(&outcome.run.config)).await.unwrap();
        assert_eq!(stack.seen("_reports/"), good);
    }
}

#[tokio::test]
async fn a_report_that_is_up_to_date_is_not_written_again() {
    let stack = stack(ZONES);
    let outcome = ingested(&stack, "in/a.parquet", trips(0, 250, 1_000)).await;
    let manifest = || async { stack.ctx.ledger.sink().head(&keys::report_manifest("trips")).await.unwrap().unwrap() };
    let before = manifest().await.version;
    stack.pass(1_000);
    finalize::handle(&stack.ctx, Message::of_run(&outcome.run)).await.unwrap();
    assert_eq!(manifest().await.version, before);
}

/// Real tasks over a real folder: what is told in the end is what is published.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn finalizers_at_once_of_different_sources_leave_a_report_of_all() {
    const SOURCES: i64 = 12;
    let folder = tempfile::tempdir().unwrap();
    let mut stack = stack(ZONES);
    let sink: Arc<dyn Storage> = Arc::new(LocalStorage::new(folder.path()));
    let (work, ends) = (stack.work.clone(), stack.finalizing.clone());
    stack.ctx = Context::new(sink, stack.ctx.stores.clone(), work, ends, Arc::new(SystemClock), Limits::default())
        .with_reports(Some(Arc::new(Reports)));
    for source in 0..SOURCES {
        delivered(&stack, &format!("in/{source}.parquet"), trips(source * 100, 100, 1_000)).await;
    }
    worked(&stack).await;
    let ended: Vec<_> = stack
        .finalizing
        .take()
        .into_iter()
        .map(|message| {
            let ctx = stack.ctx.clone();
            tokio::spawn(async move { finalize::handle(&ctx, message).await })
        })
        .collect();
    assert_eq!(ended.len(), 12);
    for ended in ended {
        ended.await.unwrap().unwrap();
    }
    assert_zones(&stack, 0..SOURCES * 100).await;
}
