//! A file lands and its rows come out, once.

use std::time::Instant;

use anyhow::{Context, Result};
use rowmill::dataset::Dataset;
use rowmill::ledger::Status;
use rowmill::ledger::identity::Purpose;
use rowmill_tests::trips::{Row, Trip, parquet, trips};
use serde_json::json;

use crate::bench::Bench;

fn expected(trips: &[Trip]) -> Vec<Row> {
    trips.iter().filter_map(Trip::expected).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_under_a_key_with_a_space_and_a_plus_comes_out_row_by_row() -> Result<()> {
    let bench = Bench::applied("flow", 1_000).await?;
    let trips = trips(0, 4_500);
    let started = Instant::now();
    bench.put("a b+c 100%.parquet", parquet(&trips, 700)?).await?;
    let outcome = bench.ingested("a b+c 100%.parquet").await?;
    println!("event to outcome, cold, 5 slices: {} ms", started.elapsed().as_millis());

    assert_eq!((outcome.status, outcome.slices), (Status::Complete, 5), "{:?}", outcome.error);
    assert_eq!(outcome.rows.read, 4_500);
    assert!(outcome.rows.conserved() && outcome.rows.kept == outcome.rows.written);
    assert_eq!(bench.rows(&outcome.parts).await?, expected(&trips));
    let quarantined: u64 = outcome.quarantine.iter().map(|file| file.rows).sum();
    assert_eq!((quarantined, outcome.rows.quarantined), (outcome.rows.quarantined, 4_500 - outcome.rows.kept));
    assert_eq!(outcome.reasons["fare is not negative"], 90);
    for (slice, part) in outcome.parts.iter().enumerate() {
        assert!(part.key.ends_with(&format!("part-{slice:05}.parquet")) && part.row_groups.len() == 1);
    }
    assert_eq!(bench.keys("flow/").await?.len(), 5, "nothing but the parts is in the folder");

    let started = Instant::now();
    bench.put("small.parquet", parquet(&trips[..500], 500)?).await?;
    bench.ingested("small.parquet").await?;
    println!("event to outcome, warm, 1 slice: {} ms", started.elapsed().as_millis());
    let took = outcome.took.context("it says what it took")?;
    assert!(took.gb_seconds > 0.0 && took.dollars.is_some_and(|dollars| dollars > 0.0), "{took:?}");
    assert_eq!(took.invocations, 8, "a checker, a plan, 5 slices, a finalizer");
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_an_expectation_drops_are_counted_by_its_name_over_all_slices() -> Result<()> {
    let mut bench = Bench::new("dropping", 1_000).await?;
    let text = bench.dataset.text.replace("expr = \"fare >= 0\"", "expr = \"fare >= 0\"\naction = \"drop\"");
    bench.dataset = Dataset::parse(&text, "test.toml")?;
    bench.ledger.apply(&bench.dataset).await?;
    let trips = trips(0, 4_500);
    bench.put("a.parquet", parquet(&trips, 700)?).await?;
    let outcome = bench.ingested("a.parquet").await?;
    assert_eq!((outcome.status, outcome.slices), (Status::Complete, 5), "{:?}", outcome.error);
    let fits = |trip: &&Trip| i32::try_from(trip.number).is_ok();
    let negative = trips.iter().filter(|trip| trip.fare < 0.0).filter(fits).count();
    let negative = u64::try_from(negative)?;
    assert_eq!((outcome.rows.filtered, outcome.dropped.get("fare is not negative")), (negative, Some(&negative)));
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_any_kind_stay_apart_and_inside_the_datasets_folder() -> Result<()> {
    let mut bench = Bench::new("kinds", 1_000).await?;
    let text = bench.dataset.text.replace("**.parquet", "**");
    bench.dataset = Dataset::parse(&text, "test.toml")?;
    bench.ledger.apply(&bench.dataset).await?;
    // No line feed: the emulator's IAM takes no pattern to match one.
    let longest = 1_024 - bench.key("").len();
    let names = [
        "../up.parquet".to_owned(),
        "a/../../../b.parquet".to_owned(),
        "./here.parquet".to_owned(),
        "_rowmill/open/x".to_owned(),
        "%2E%2E/%00.parquet".to_owned(),
        "tab\tand delete\u{7f}.parquet".to_owned(),
        "\u{202e}é😀 \u{301}.parquet".to_owned(),
        "?versionId=1&x=<y>#z;\"'\\.parquet".to_owned(),
        "é/".repeat(longest / 3) + "x",
        "x".repeat(longest),
    ];
    for (number, name) in names.iter().enumerate() {
        bench.put(name, parquet(&trips(0, 100 + i64::try_from(number)?), 1_000)?).await?;
    }
    let mut named = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let outcome = bench.ingested(name).await?;
        assert_eq!(outcome.status, Status::Complete, "{name:?}: {:?}", outcome.error);
        assert_eq!(bench.rows(&outcome.parts).await?, expected(&trips(0, 100 + i64::try_from(number)?)), "{name:?}");
        named.extend(outcome.parts.into_iter().map(|part| part.key));
    }
    named.sort();
    named.dedup();
    assert_eq!((named.len(), bench.keys("kinds/").await?), (names.len(), named.clone()));
    assert!(named.iter().all(|key| key.len() <= 1_024), "{named:#?}");
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_twice_changes_nothing() -> Result<()> {
    let bench = Bench::applied("twice", 1_000).await?;
    bench.put("a.parquet", parquet(&trips(0, 2_000), 2_000)?).await?;
    let outcome = bench.ingested("a.parquet").await?;
    let record = json!({
        "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bench.source_bucket}, "object": {"key": "twice+in/a.parquet"}},
    });
    let answer = bench.stack.invoke("CheckerFunction", &json!({"Records": [record.clone(), record]})).await?;
    assert_eq!((&answer["enqueued"], &answer["skipped"]), (&json!(0), &json!(1)), "{answer}");
    assert_eq!(bench.ingested("a.parquet").await?, outcome);
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_replaces_the_old_one_and_retires_what_it_has_no_more() -> Result<()> {
    let bench = Bench::applied("versions", 1_000).await?;
    bench.put("a.parquet", parquet(&trips(0, 3_000), 3_000)?).await?;
    let old = bench.ingested("a.parquet").await?;
    let trips = trips(10_000, 1_500);
    bench.put("a.parquet", parquet(&trips, 1_500)?).await?;
    let new = bench.ingested("a.parquet").await?;
    assert_ne!(old.run.run_id, new.run.run_id);
    assert_eq!(bench.rows(&new.parts).await?, expected(&trips));
    assert_eq!(bench.keys("versions/").await?.len(), 2, "the third part is retired");
    assert_eq!(bench.keys("_quarantine/versions/").await?.len(), new.quarantine.len());
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reprocess_gives_the_same_rows_under_the_same_keys() -> Result<()> {
    let bench = Bench::applied("again", 1_000).await?;
    let trips = trips(0, 2_500);
    bench.put("a.parquet", parquet(&trips, 2_500)?).await?;
    let old = bench.ingested("a.parquet").await?;
    let answer = bench.ask("reprocess").await?;
    let generation = answer["request_id"].as_str().unwrap_or_default();
    let run = bench.run("a.parquet", Purpose::Reprocess, generation).await?;
    assert_eq!(answer["runs"], json!([run.run_id]), "{answer}");
    let new = bench.ended(&run.run_id).await?;
    assert_eq!(new.status, Status::Complete);
    let keys =
        |parts: &[rowmill::ledger::records::Visible]| parts.iter().map(|part| part.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&old.parts), keys(&new.parts));
    assert_eq!(bench.keys("again/").await?, keys(&new.parts));
    assert_eq!(bench.rows(&new.parts).await?, expected(&trips));
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_subset_takes_the_first_file_to_a_folder_of_its_own() -> Result<()> {
    let bench = Bench::applied("trial", 1_000).await?;
    let trips = trips(0, 1_200);
    bench.put("a.parquet", parquet(&trips, 1_200)?).await?;
    bench.put("b.parquet", parquet(&trips, 1_200)?).await?;
    bench.ingested("a.parquet").await?;
    bench.ingested("b.parquet").await?;
    let published = bench.keys("trial/").await?;
    let answer = bench.ask("test_subset").await?;
    assert_eq!(answer["matched"], json!(1), "{answer}");
    let generation = answer["request_id"].as_str().unwrap_or_default();
    let run = bench.run("a.parquet", Purpose::TestSubset, generation).await?;
    let outcome = bench.ended(&run.run_id).await?;
    assert_eq!(bench.rows(&outcome.parts).await?, expected(&trips));
    assert_eq!(bench.keys(&format!("test_pipeline/run-{generation}/trial/")).await?.len(), 2);
    assert_eq!(bench.keys("trial/").await?, published);
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relist_ingests_a_file_whose_event_was_lost() -> Result<()> {
    let bench = Bench::new("relist", 1_000).await?;
    let trips = trips(0, 900);
    // No dataset wants it yet, so its event leads to nothing.
    bench.put("lost.parquet", parquet(&trips, 900)?).await?;
    bench.said("no dataset wants this object", "relist in/lost.parquet").await?;
    bench.ledger.apply(&bench.dataset).await?;
    let answer = bench.ask("").await?;
    assert_eq!((&answer["matched"], &answer["enqueued"]), (&json!(1), &json!(1)), "{answer}");
    let outcome = bench.ingested("lost.parquet").await?;
    assert_eq!(bench.rows(&outcome.parts).await?, expected(&trips));
    let answer = bench.ask("").await?;
    assert_eq!((&answer["enqueued"], &answer["skipped"]), (&json!(0), &json!(1)), "{answer}");
    bench.quiet().await
}
