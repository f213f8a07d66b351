//! Drift from month to month is harmless: one schema comes out, and no row is lost.

use std::fs::File;

use anyhow::{Context, Result};
use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rowmill::dataset::Dataset;
use rowmill::ledger::Status;
use rowmill_tests::embedded::ingest;
use rowmill_tests::months::drifted;
use rowmill_tests::stack::repository;

const ROWS: i64 = 1_500;

#[tokio::test(flavor = "multi_thread")]
async fn every_drifted_month_comes_out_in_one_schema_with_every_row() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dataset =
        Dataset::parse(&std::fs::read_to_string(repository().join("infra/datasets/fhvhv.toml"))?, "fhvhv.toml")?;
    let months = drifted(ROWS)?;
    let mut files = Vec::new();
    for (index, (_, month)) in months.iter().enumerate() {
        let file = folder.path().join(format!("fhvhv_tripdata_{index}.parquet"));
        std::fs::write(&file, month.clone().parquet()?)?;
        files.push(file);
    }
    let paths: Vec<_> = files.iter().map(std::path::PathBuf::as_path).collect();
    let sink = folder.path().join("sink");
    let outcomes = ingest(&dataset, &paths, &sink, 2).await?;

    let mut schema: Option<SchemaRef> = None;
    for ((name, _), outcome) in months.iter().zip(&outcomes) {
        assert_eq!(outcome.status, Status::Complete, "{name}: {:?}", outcome.error);
        assert_eq!((outcome.rows.read, outcome.rows.kept), (1_500, 1_500), "{name}: {:?}", outcome.reasons);
        let part = outcome.parts.first().with_context(|| format!("{name}: no part"))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(sink.join(&part.key))?)?;
        let fields = reader.schema().fields().clone();
        let first = schema.get_or_insert_with(|| reader.schema().clone());
        assert_eq!(first.fields(), &fields, "{name}");
        let mut row = 0;
        for batch in reader.build()? {
            let batch = batch?;
            let numbers = batch.column_by_name("driver_pay").context("driver_pay")?.as_primitive::<Float32Type>();
            for number in numbers.values() {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let expected = row as f32;
                assert!((number - expected).abs() < f32::EPSILON, "{name}: row {row} is {number}");
                row += 1;
            }
            let flags = batch.column_by_name("access_a_ride_flag").context("access_a_ride_flag")?;
            let flags = flags.as_any_dictionary();
            assert_eq!(flags.keys().null_count(), flags.len(), "{name}: a single space is no flag");
        }
        assert_eq!(row, ROWS, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_sets_its_row_aside_and_no_other() -> Result<()> {
    use rowmill_tests::months::Month;
    let folder = tempfile::tempdir()?;
    let text = std::fs::read_to_string(repository().join("infra/datasets/fhvhv.toml"))?;
    let dataset = Dataset::parse(&text, "fhvhv.toml")?;
    let month = Month::new(ROWS).with_overflow("trip_time", 7)?;
    let file = folder.path().join("fhvhv_tripdata_2024-01.parquet");
    std::fs::write(&file, month.parquet()?)?;
    let outcomes = ingest(&dataset, &[&file], &folder.path().join("sink"), 2).await?;
    let outcome = outcomes.first().context("one run")?;
    assert_eq!((outcome.rows.kept, outcome.rows.quarantined), (1_499, 1), "{:?}", outcome.error);
    assert_eq!(outcome.reasons.keys().collect::<Vec<_>>(), ["cast: trip_time"]);
    Ok(())
}
