//! Sinks that were restored or copied, and objects that somebody else put where parts lie.

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::primitives::ByteStream;
use rowmill::ledger::Status;
use rowmill_tests::command::rowmill;
use rowmill_tests::trips::{Row, Trip, parquet, trips};
use serde_json::json;

use crate::bench::Bench;

fn expected(trips: &[Trip]) -> Vec<Row> {
    trips.iter().filter_map(Trip::expected).collect()
}

/// Puts every object of the dataset's output anew, whole: their ETags are no longer those of uploads in parts.
async fn restored(bench: &Bench, prefix: &str) -> Result<usize> {
    let sink = bench.stack.output("SinkBucket")?;
    let keys = bench.keys(prefix).await?;
    for key in &keys {
        let before = bench.s3.head_object().bucket(sink).key(key).send().await?;
        let body = ByteStream::from(bench.object(key).await?);
        let put = bench.s3.put_object().bucket(sink).key(key).body(body).send().await?;
        ensure!(before.e_tag() != put.e_tag(), "{key}: the copy has the same ETag");
    }
    Ok(keys.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_retires_every_part_of_a_restored_sink() -> Result<()> {
    let bench = Bench::applied("restored", 1_000).await?;
    bench.put("a.parquet", parquet(&trips(0, 4_500), 4_500)?).await?;
    bench.ingested("a.parquet").await?;
    assert_eq!(restored(&bench, "restored/").await?, 5);
    assert_eq!(restored(&bench, "_quarantine/restored/").await?, 5);
    let newer = trips(0, 700);
    bench.put("a.parquet", parquet(&newer, 700)?).await?;
    let outcome = bench.ingested("a.parquet").await?;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    assert_eq!(bench.rows(&outcome.parts).await?, expected(&newer));
    assert_eq!(bench.keys("restored/").await?, [outcome.parts[0].key.clone()]);
    assert_eq!(bench.keys("_quarantine/restored/").await?.len(), outcome.quarantine.len());
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_removes_all_of_a_restored_sink() -> Result<()> {
    let bench = Bench::applied("restoredprune", 1_000).await?;
    bench.put("a.parquet", parquet(&trips(0, 2_500), 2_500)?).await?;
    bench.put("b.parquet", parquet(&trips(0, 500), 500)?).await?;
    bench.put("c.parquet", parquet(&trips(0, 500), 500)?).await?;
    for file in ["a.parquet", "b.parquet", "c.parquet"] {
        bench.ingested(file).await?;
    }
    restored(&bench, "restoredprune/").await?;
    bench.s3.delete_object().bucket(&bench.source_bucket).key(bench.key("a.parquet")).send().await?;
    let answer = bench.ask("prune").await?;
    assert_eq!(answer["pruned"].as_array().map(Vec::len), Some(1), "{answer}");
    bench.quiet().await?;
    let left = bench.keys("restoredprune/").await?;
    assert!(left.len() == 2 && left.iter().all(|key| !key.contains("a.parquet")), "{left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_meets_somebodys_object_publishes_nothing_and_names_it() -> Result<()> {
    let bench = Bench::applied("occupied", 1_000).await?;
    bench.put("a.parquet", parquet(&trips(0, 4_500), 4_500)?).await?;
    let old = bench.ingested("a.parquet").await?;
    let (sink, taken) = (bench.stack.output("SinkBucket")?, &old.parts[3].key);
    let body = ByteStream::from_static(b"compacted by hand");
    bench.s3.put_object().bucket(sink).key(taken).body(body).send().await?;

    let newer = trips(0, 1_700);
    bench.put("a.parquet", parquet(&newer, 1_700)?).await?;
    let failed = bench.ingested("a.parquet").await?;
    let error = failed.error.context("it failed")?;
    assert_eq!((failed.status, error.kind.as_str()), (Status::Failed, "occupied"), "{}", error.message);
    assert!(error.message.contains(taken), "{}", error.message);
    assert_eq!(bench.rows(&old.parts[..3]).await?, expected(&trips(0, 3_000)), "what was published stays");
    assert_eq!(&bench.object(taken).await?[..], b"compacted by hand");

    bench.s3.delete_object().bucket(sink).key(taken).send().await?;
    let request = json!({"intent": "redrive", "runs": [failed.run.run_id]});
    let answer = bench.stack.invoke("CheckerFunction", &request).await?;
    let retry = answer["runs"][0].as_str().context("a retry")?;
    let outcome = bench.ended(retry).await?;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    assert_eq!(bench.rows(&outcome.parts).await?, expected(&newer));
    assert_eq!(bench.keys("occupied/").await?.len(), 2);
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_was_copied_to_another_bucket_is_reprocessed_without_a_row_twice() -> Result<()> {
    let bench = Bench::applied("copied", 1_000).await?;
    bench.put("a.parquet", parquet(&trips(0, 2_500), 2_500)?).await?;
    bench.ingested("a.parquet").await?;
    let copy = format!("{}-copy", bench.stack.output("SinkBucket")?);
    bench.s3.create_bucket().bucket(&copy).send().await?;
    let mut keys = vec![rowmill::ledger::keys::config(&bench.dataset.hash)];
    for prefix in ["copied/", "_quarantine/copied/", "_rowmill/sources/copied/", "_rowmill/runs/copied/"] {
        keys.extend(bench.keys(prefix).await?);
    }
    for key in keys {
        let body = ByteStream::from(bench.object(&key).await?);
        bench.s3.put_object().bucket(&copy).key(&key).body(body).send().await?;
    }
    let file = tempfile::NamedTempFile::new()?;
    // Partitioned otherwise: no part of before is replaced by one of the same key.
    std::fs::write(file.path(), format!("{}partition_by = [\"shared_flag\"]\n", bench.dataset.text))?;
    let sink = format!("s3://{copy}");
    let source = format!("s3://{}/{}", bench.source_bucket, bench.key("a.parquet"));
    let mut command = rowmill()?;
    command.args(["run", "--dataset"]).arg(file.path()).args([
        "--sink",
        &sink,
        "--intent",
        "reprocess",
        "--json",
        &source,
    ]);
    let output = command.envs(bench.stack.environment()).output()?;
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    assert_eq!(report["totals"]["complete"], 1, "{report}");
    let listed = bench.s3.list_objects_v2().bucket(&copy).prefix("copied/").send().await?;
    let there: Vec<&str> = listed.contents().iter().filter_map(|object| object.key()).collect();
    let parts = report["runs"][0]["parts"].as_array().context("parts")?;
    assert_eq!(there.len(), parts.len(), "{there:?}: {report}");
    assert!(there.iter().all(|key| key.contains("shared_flag=")), "{there:?}");
    Ok(())
}
