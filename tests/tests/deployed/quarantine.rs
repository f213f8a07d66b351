//! Rows set aside on the deployed stack.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::bench::Bench;

fn file(columns: Vec<(&str, ArrayRef)>) -> Result<Bytes> {
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None)?;
    writer.write(&batch)?;
    Ok(Bytes::from(writer.into_inner()?))
}

/// The columns of a quarantine file, and its first row's values.
async fn set_aside(bench: &Bench, source: &str) -> Result<(String, String)> {
    let outcome = bench.ingested(source).await?;
    ensure!(outcome.rows.quarantined == 1, "{:?}: {:?}", outcome.rows, outcome.error);
    let part = outcome.quarantine.first().context("a quarantine file")?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bench.object(&part.key).await?)?;
    let columns = format!("{:?}", reader.schema().fields());
    let rows = reader.build()?.next().context("a row")??;
    let values = rows.column_by_name("_rowmill_values").context("no values")?;
    Ok((columns, values.as_string_opt::<i64>().context("values are no text")?.value(0).to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quarantine_of_drifting_months_has_one_schema() -> Result<()> {
    let bench = Bench::applied("aside", 1_000).await?;
    let numbers = || 0..100;
    let fares = |n: i32| if n == 7 { -1.0 } else { f64::from(n) };
    let flags = || Arc::new(StringArray::from_iter_values(numbers().map(|_| "Y"))) as ArrayRef;
    let january = file(vec![
        ("number", Arc::new(Int64Array::from_iter_values(numbers().map(i64::from)))),
        ("fare", Arc::new(Float64Array::from_iter_values(numbers().map(fares)))),
        ("shared_flag", flags()),
    ])?;
    #[allow(clippy::cast_possible_truncation)]
    let february = file(vec![
        ("number", Arc::new(Int32Array::from_iter_values(numbers()))),
        ("fare", Arc::new(Float32Array::from_iter_values(numbers().map(|n| fares(n) as f32)))),
        ("shared_flag", flags()),
        ("tolls", Arc::new(Float32Array::from_iter_values(numbers().map(|_| 0.5)))),
    ])?;
    bench.put("january.parquet", january).await?;
    bench.put("february.parquet", february).await?;
    let (january, values) = set_aside(&bench, "january.parquet").await?;
    assert_eq!(values, r#"{"number":7,"fare":-1.0,"shared_flag":"Y"}"#);
    let (february, values) = set_aside(&bench, "february.parquet").await?;
    assert_eq!(values, r#"{"number":7,"fare":-1.0,"shared_flag":"Y","tolls":0.5}"#);
    assert_eq!(january, february);
    bench.quiet().await
}
