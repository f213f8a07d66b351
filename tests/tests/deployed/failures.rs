//! What cannot succeed ends as a failed run that says why.

use anyhow::Result;
use bytes::Bytes;
use rowmill::dataset::Dataset;
use rowmill::ledger::Status;
use rowmill_tests::trips::{parquet, trips};
use serde_json::json;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_file_ends_as_a_failed_run_with_its_reason_an_alarm_metric_and_empty_queues() -> Result<()> {
    let bench = Bench::applied("corrupt", 1_000).await?;
    bench.put("not parquet.parquet", Bytes::from_static(b"number,fare\n1,2.5\n")).await?;
    let outcome = bench.ingested("not parquet.parquet").await?;
    assert_eq!(outcome.status, Status::Failed);
    let message = outcome.error.map(|error| error.message).unwrap_or_default();
    assert!(message.contains("not%20parquet.parquet") || message.contains("not parquet.parquet"), "{message}");
    assert!(message.contains("not a Parquet file"), "{message}");
    bench.quiet().await?;
    let run_id = outcome.run.run_id;
    bench.said(r#""RunsFailed":1"#, &run_id).await?;
    let answer = bench.ask("").await?;
    assert_eq!((&answer["enqueued"], &answer["skipped"]), (&json!(0), &json!(1)), "it is not tried for ever: {answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_fails_the_run_and_shows_nothing() -> Result<()> {
    let bench = Bench::applied("damaged", 1_000).await?;
    let mut bytes = parquet(&trips(0, 5_000), 5_000)?.to_vec();
    // The header of the first page, behind the magic number.
    for byte in bytes.iter_mut().skip(4).take(12) {
        *byte = 0xff;
    }
    bench.put("a.parquet", Bytes::from(bytes)).await?;
    let outcome = bench.ingested("a.parquet").await?;
    assert_eq!(outcome.status, Status::Failed, "{outcome:?}");
    assert!(bench.keys("damaged/").await?.is_empty());
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_on_a_column_that_the_source_lacks_is_told_by_its_place_in_the_file_as_it_was_applied() -> Result<()> {
    let mut bench = Bench::new("lacking", 1_000).await?;
    bench.dataset = Dataset::parse(&bench.dataset.text.replace("fare >= 0", "fares >= 0"), "test.toml")?;
    bench.ledger.apply(&bench.dataset).await?;
    bench.put("a.parquet", parquet(&trips(0, 500), 500)?).await?;
    let outcome = bench.ingested("a.parquet").await?;
    let message = outcome.error.map(|error| error.message).unwrap_or_default();
    let cited = format!("the dataset file as it was applied (configs/{}.toml):", bench.dataset.hash);
    assert!(message.contains(&cited) && message.contains("unknown column `fares`"), "{message}");
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_file_that_is_wrong_is_told_by_name_and_the_other_datasets_go_on() -> Result<()> {
    let bench = Bench::applied("neighbour", 1_000).await?;
    let broken = "_rowmill/datasets/broken.toml";
    let sink = bench.ledger.sink();
    sink.put(broken, Bytes::from_static(b"name = \"broken\"\n[output\n")).await?;
    bench.put("a.parquet", parquet(&trips(0, 2_000), 2_000)?).await?;
    assert_eq!(bench.ingested("a.parquet").await?.status, Status::Complete);
    bench.said(r#""DatasetsRefused":1"#, r#""Dataset":"broken""#).await?;
    sink.delete(broken).await?;
    bench.quiet().await
}
