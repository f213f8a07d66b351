//! A report of what is published, kept by finalizers that work at once.

use anyhow::{Context, Result};
use rowmill::dataset::Dataset;
use rowmill::ledger::{Status, keys};
use rowmill_tests::stack::eventually;
use rowmill_tests::trips::{Trip, parquet, trips};
use serde_json::{Value, json};

use crate::bench::{Bench, PATIENCE};

const REPORT: &str = "[[reports]]\nname = \"flags\"\ngroup_by = [\"shared_flag\"]\nmeasures = [\
    { name = \"trips\", expr = \"count(*)\" }, { name = \"first\", expr = \"min(number)\" }, \
    { name = \"dearest\", expr = \"arg_max(number, fare)\" }]\n";

/// What the report tells of these trips.
fn expected(trips: &[Trip]) -> Vec<Value> {
    let kept: Vec<_> = trips.iter().filter_map(Trip::expected).collect();
    let flag = |flag: Option<&str>| {
        let rows: Vec<_> = kept.iter().filter(|row| row.2.as_deref() == flag).collect();
        let dearest = rows.iter().rev().max_by(|one, other| one.1.total_cmp(&other.1))?;
        let first = rows.iter().map(|row| row.0).min()?;
        Some(json!({ "shared_flag": flag, "trips": rows.len(), "first": first, "dearest": dearest.0 }))
    };
    [Some("N"), Some("Y"), None].into_iter().filter_map(flag).collect()
}

async fn told(bench: &Bench) -> Result<Option<Value>> {
    let key = keys::report(&bench.dataset.spec.name, "flags", "json");
    let object = bench.ledger.sink().get(&key, 1 << 20).await?;
    object.map(|object| serde_json::from_slice(&object.bytes).context("the report is no JSON")).transpose()
}

/// Waits until the report tells exactly of these trips.
async fn tells(bench: &Bench, trips: &[Trip]) -> Result<()> {
    let wanted = Value::from(expected(trips));
    let tells = || async {
        let report = told(bench).await?;
        Ok(report.filter(|report| report["groups"] == wanted && report["complete"] == json!(true)).map(|_| ()))
    };
    eventually("the report of all trips", PATIENCE, tells).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_tells_of_every_source_that_is_published_and_of_a_reprocess() -> Result<()> {
    const FILES: i64 = 6;
    let mut bench = Bench::new("reports", 1_000).await?;
    let text = format!("{}{REPORT}", bench.dataset.text);
    bench.dataset = Dataset::parse(&text, "test.toml")?;
    bench.ledger.apply(&bench.dataset).await?;
    let mut all = Vec::new();
    for file in 0..FILES {
        let trips = trips(file * 10_000, 2_500);
        bench.put(&format!("{file}.parquet"), parquet(&trips, 1_000)?).await?;
        all.extend(trips);
    }
    for file in 0..FILES {
        let outcome = bench.ingested(&format!("{file}.parquet")).await?;
        assert_eq!((outcome.status, outcome.report_errors.len()), (Status::Complete, 0), "{:?}", outcome.error);
    }
    // Every run is closed, so the report tells of all of them.
    assert_eq!(told(&bench).await?.context("no report")?["groups"], Value::from(expected(&all)));

    let changed = format!("{text}[transform]\nfilter = \"fare < 100\"\n");
    bench.dataset = Dataset::parse(&changed, "test.toml")?;
    bench.ledger.apply(&bench.dataset).await?;
    bench.ask("reprocess").await?;
    all.retain(|trip| trip.fare < 100.0);
    tells(&bench, &all).await?;
    bench.quiet().await
}
