//! CSV and NDJSON on the deployed stack: the values that DuckDB reads from the same files, row by row.
//!
//! How the digests were worked out stands beside them in the library's tests of the same files, `pipeline/tests/text.rs`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rowmill::dataset::Dataset;
use rowmill::ledger::{Outcome, RowCounts, Status};
use sha2::{Digest, Sha256};

use crate::bench::Bench;

const PUSHES: &str = include_str!("../../../infra/datasets/gharchive_push.toml");

fn corpus(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("ROWMILL_CORPUS").map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: {test}: ROWMILL_CORPUS is not set");
    }
    found
}

/// A bench whose dataset is this one, with its sources where the bench puts them.
async fn bench(name: &str, text: impl FnOnce(&str) -> String) -> Result<Bench> {
    let mut bench = Bench::new(name, 1_000).await?;
    let uri = format!("s3://{}/{name} in/", bench.source_bucket);
    bench.dataset = Dataset::parse(&text(&uri), "test.toml")?;
    bench.ledger.apply(&bench.dataset).await?;
    Ok(bench)
}

/// Null as a zero byte, timestamps as microseconds, whole floats without a point.
fn shown(array: &ArrayRef, row: usize) -> Result<String> {
    if array.is_null(row) {
        return Ok("\0".to_owned());
    }
    Ok(match array.data_type() {
        DataType::Timestamp(..) => cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_string(),
        _ => cast(array, &DataType::Utf8)?.as_string::<i32>().value(row).to_owned(),
    })
}

/// SHA-256 over all values, row by row: each followed by 0x1f, each row by 0x1e.
async fn digest(bench: &Bench, outcome: &Outcome) -> Result<String> {
    let mut hash = Sha256::new();
    for part in &outcome.parts {
        let bytes: Bytes = bench.object(&part.key).await?;
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
            let batch: RecordBatch = batch?;
            for row in 0..batch.num_rows() {
                for column in batch.columns() {
                    hash.update(shown(column, row)?.as_bytes());
                    hash.update([0x1f]);
                }
                hash.update([0x1e]);
            }
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_github_archive_comes_out_commit_by_commit() -> Result<()> {
    let Some(corpus) = corpus("an_hour_of_github_archive_comes_out_commit_by_commit") else { return Ok(()) };
    let hour = "2015-01-01-15.json.gz";
    let bench = bench("archive", |uri| PUSHES.replace("s3://gharchive/", uri).replace("\"gharchive_push", "\"archive"));
    let bench = bench.await?;
    bench.put(hour, std::fs::read(corpus.join("gharchive").join(hour))?.into()).await?;
    let outcome = bench.ingested(hour).await?;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    let rows = RowCounts { read: 11_351, kept: 5_815, quarantined: 0, filtered: 5_536, written: 10_109 };
    assert_eq!(outcome.rows, rows);
    let digest = digest(&bench, &outcome).await?;
    assert_eq!(digest, "ccad45616c414e4cbf22f04af3ff71360486274fdcbd288d3b1ce7f789e3ed00");
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_is_cut_into_blocks_that_functions_read_side_by_side() -> Result<()> {
    let Some(corpus) = corpus("a_csv_is_cut_into_blocks_that_functions_read_side_by_side") else { return Ok(()) };
    let file = "yellow_tripdata_sample_2019-01.csv";
    let bench = bench("blocks", |uri| {
        format!(
            "name = \"blocks\"\n[source]\nuri = \"{uri}\"\nformat = \"csv\"\nblock_bytes = 65536\n\
             [output]\nprefix = \"blocks/\"\n"
        )
    });
    let bench = bench.await?;
    bench.put(file, std::fs::read(corpus.join("tlc").join(file))?.into()).await?;
    let outcome = bench.ingested(file).await?;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    assert!(outcome.slices > 10, "{} slices", outcome.slices);
    assert_eq!((outcome.rows.read, outcome.rows.written), (10_000, 10_000));
    let digest = digest(&bench, &outcome).await.context(file)?;
    assert_eq!(digest, "cb78e50e2fff3fb8b8bc94ce6a7946e5b12df0f6e8925ca2f784646b3f2b72ad");
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_whose_lines_end_with_carriage_returns_gives_the_rows_of_the_same_with_line_feeds() -> Result<()> {
    let test = "a_csv_whose_lines_end_with_carriage_returns_gives_the_rows_of_the_same_with_line_feeds";
    let Some(corpus) = corpus(test) else { return Ok(()) };
    let file = "yellow_tripdata_sample_2019-01.csv";
    let bench = bench("returns", |uri| {
        format!(
            "name = \"returns\"\n[source]\nuri = \"{uri}\"\nformat = \"csv\"\nblock_bytes = 65536\nsmall_bytes = 0\n\
             [output]\nprefix = \"returns/\"\n"
        )
    });
    let bench = bench.await?;
    let text = std::fs::read_to_string(corpus.join("tlc").join(file))?.replace("\r\n", "\n").replace('\n', "\r");
    bench.put(file, text.into()).await?;
    let outcome = bench.ingested(file).await?;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    assert!(outcome.slices > 10, "{} slices", outcome.slices);
    assert_eq!((outcome.rows.read, outcome.rows.written), (10_000, 10_000));
    let digest = digest(&bench, &outcome).await.context(file)?;
    assert_eq!(digest, "cb78e50e2fff3fb8b8bc94ce6a7946e5b12df0f6e8925ca2f784646b3f2b72ad");
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decimal_that_would_lose_digits_is_set_aside_and_a_wrong_delimiter_fails_in_words() -> Result<()> {
    let bench = bench("amounts", |uri| {
        format!(
            "name = \"amounts\"\n[source]\nuri = \"{uri}\"\nformat = \"csv\"\n[schema]\ncolumns = [\n\
             {{ name = \"id\", type = \"int32\" }},\n{{ name = \"amt\", type = \"decimal(8, 2)\" }},\n]\n\
             [output]\nprefix = \"amounts/\"\nmax_quarantined = 1.0\n"
        )
    });
    let bench = bench.await?;
    bench.put("digits.csv", "id,amt\n1,10.005\n2,10.500\n".into()).await?;
    let outcome = bench.ingested("digits.csv").await?;
    assert_eq!((outcome.rows.kept, outcome.rows.quarantined), (1, 1), "{:?}", outcome.error);
    bench.put("semicolons.csv", "id;amt\n1;2\n".into()).await?;
    let outcome = bench.ingested("semicolons.csv").await?;
    let message = outcome.error.context("it fails")?.message;
    assert!(message.contains("is the delimiter `;`?"), "{message}");
    bench.quiet().await
}

#[tokio::test(flavor = "multi_thread")]
async fn commas_days_first_and_latin_letters_come_out_as_values() -> Result<()> {
    let bench = bench("latin", |uri| {
        format!(
            "name = \"latin\"\n[source]\nuri = \"{uri}\"\nformat = \"csv\"\n[output]\nprefix = \"latin/\"\n[csv]\n\
             delimiter = \";\"\ndecimal = \",\"\ndates = \"%d/%m/%Y\"\nencoding = \"latin1\"\n"
        )
    });
    let bench = bench.await?;
    let text: &[u8] = b"nom;prix;jour\ncaf\xe9;1,5;31/01/2020\nth\xe9;-2,25;01/02/2020\n";
    bench.put("sales.csv", Bytes::from_static(text)).await?;
    let outcome = bench.ingested("sales.csv").await?;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    assert_eq!((outcome.rows.read, outcome.rows.written), (2, 2));
    let mut values = Vec::new();
    for part in &outcome.parts {
        let bytes: Bytes = bench.object(&part.key).await?;
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
            let batch: RecordBatch = batch?;
            for row in 0..batch.num_rows() {
                let shown = batch.columns().iter().map(|column| shown(column, row)).collect::<Result<Vec<_>>>()?;
                values.push(shown.join("|"));
            }
        }
    }
    assert_eq!(values, ["café|1.5|2020-01-31", "thé|-2.25|2020-02-01"]);
    bench.quiet().await
}
