//! What an operator does, with the `rowmill` command against the stack.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rowmill::dataset::Dataset;
use rowmill::ledger::Status;
use rowmill::ledger::identity::Purpose;
use rowmill::storage::Stores;
use rowmill_tests::command::rowmill;
use rowmill_tests::trips::{parquet, trips};
use serde_json::Value;

use crate::bench::Bench;

fn run(bench: &Bench, arguments: &[&str]) -> Result<Output> {
    let mut command = rowmill()?;
    command.args(arguments).args(["--stack", &bench.stack.name]).envs(bench.stack.environment());
    Ok(command.output()?)
}

fn json(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })
}

/// A part that is gone is seen by `show`; a request for stale sources rewrites what another dataset file published, once.
#[tokio::test(flavor = "multi_thread")]
async fn show_sees_what_is_gone_and_a_request_for_stale_sources_makes_it_again() -> Result<()> {
    let bench = Bench::applied("stale", 1_000).await?;
    bench.put("a.parquet", parquet(&trips(0, 1_500), 1_500)?).await?;
    let first = bench.ingested("a.parquet").await?;
    let sink = bench.ledger.sink();
    let gone = first.parts.last().context("no part")?;
    sink.delete(&gone.key).await?;
    let shown = run(&bench, &["show", &first.run.run_id])?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.lines().any(|line| line.contains(&gone.key) && line.ends_with("gone")), "{text}");
    let shown = json(&run(&bench, &["show", &first.run.run_id, "--json"])?)?;
    assert_eq!(shown["damaged"], serde_json::json!([{ "uri": sink.uri(&gone.key), "problem": "gone" }]));

    let stale = ["trigger", "reprocess", "--stale", "--dataset", "stale", "--json"];
    let none = json(&run(&bench, &stale)?)?;
    assert_eq!((&none["enqueued"], &none["skipped"]), (&0.into(), &1.into()), "{none}");
    let changed = Dataset::parse(&format!("# another\n{}", bench.dataset.text), "test.toml")?;
    bench.ledger.apply(&changed).await?;
    let asked = json(&run(&bench, &stale)?)?;
    assert_eq!(asked["enqueued"], 1, "{asked}");
    let again = bench.ended(asked["runs"][0].as_str().context("no run")?).await?;
    assert_eq!((again.status, again.run.config.as_str()), (Status::Complete, changed.hash.as_str()));
    assert_eq!((u64::try_from(bench.rows(&again.parts).await?.len())?, again.rows), (first.rows.kept, first.rows));
    assert_eq!(json(&run(&bench, &stale)?)?["enqueued"], 0);
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_trigger_runs_show_and_redrive_work_on_the_stack() -> Result<()> {
    let bench = Bench::new("operated", 1_000).await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), &bench.dataset.text)?;
    bench.put("a.parquet", parquet(&trips(0, 1_500), 1_500)?).await?;
    bench.put("b.parquet", Bytes::from_static(b"PAR1 nothing PAR1")).await?;

    let path = file.path().to_string_lossy().into_owned();
    let applied = run(&bench, &["apply", &path])?;
    ensure!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));

    let triggered = run(&bench, &["trigger", "", "--dataset", "operated", "--json"])?;
    assert_eq!(json(&triggered)?["enqueued"], 2);
    bench.ingested("a.parquet").await?;
    let failed = bench.ingested("b.parquet").await?.run.run_id;

    let runs = json(&run(&bench, &["runs", "--dataset", "operated", "--json"])?)?.to_string();
    assert!(runs.contains(&failed) && runs.contains("complete"), "{runs}");
    let shown = json(&run(&bench, &["show", &failed, "--json"])?)?.to_string();
    assert!(shown.contains("failed"), "{shown}");

    bench.put("b.parquet", parquet(&trips(0, 700), 700)?).await?;
    let redriven = run(&bench, &["redrive", &failed, "--json"])?;
    ensure!(redriven.status.success(), "{}", String::from_utf8_lossy(&redriven.stderr));
    let generation = json(&redriven)?["request_id"].as_str().unwrap_or_default().to_owned();
    let retry = bench.run("b.parquet", Purpose::Retry, &generation).await?;
    bench.ended(&retry.run_id).await?;
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_bucket_that_is_emptied_prunes_nothing_and_more_than_half_wants_a_yes() -> Result<()> {
    let bench = Bench::applied("emptied", 1_000).await?;
    let names = ["a.parquet", "b.parquet", "c.parquet"];
    for name in names {
        bench.put(name, parquet(&trips(0, 500), 500)?).await?;
    }
    for name in names {
        bench.ingested(name).await?;
    }
    let published = bench.keys("emptied/").await?;
    assert_eq!(published.len(), 3);
    let source = bench.stores.open(&format!("s3://{}", bench.source_bucket)).await?;
    for name in names {
        source.delete(&bench.key(name)).await?;
    }
    for more in [&["--json"] as &[&str], &["--yes", "--json"]] {
        let pruned = run(&bench, &[&["trigger", "prune", "--dataset", "emptied"], more].concat())?;
        assert_eq!(pruned.status.code(), Some(1));
        let problems = json(&pruned)?["problems"].to_string();
        assert!(problems.contains("nothing lies at"), "{problems}");
    }
    bench.quiet().await?;
    assert_eq!(bench.keys("emptied/").await?, published);

    bench.put("c.parquet", parquet(&trips(0, 500), 500)?).await?;
    bench.ingested("c.parquet").await?;
    let refused = json(&run(&bench, &["trigger", "prune", "--dataset", "emptied", "--json"])?)?;
    assert!(refused["problems"].to_string().contains("2 of 3 published outputs"), "{refused}");
    bench.quiet().await?;
    assert_eq!(bench.keys("emptied/").await?, published);
    let confirmed = json(&run(&bench, &["trigger", "prune", "--dataset", "emptied", "--yes", "--json"])?)?;
    assert_eq!(confirmed["pruned"].as_array().map(Vec::len), Some(2), "{confirmed}");
    bench.quiet().await?;
    assert_eq!(bench.keys("emptied/").await?.len(), 1);
    Ok(())
}
