//! What a report tells of rows, however they are cut and in whatever order their figures are merged.

mod merging;
mod sql;
mod validation;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use serde_json::Value;

use super::collect::Collector;
use super::figures::Figures;
use super::merge;
use super::output::Shown;
use crate::clean::Cleaner;
use crate::dataset::Dataset;

/// A dataset of Parquet files with these reports.
fn dataset(reports: &str) -> Dataset {
    let text = format!("name = \"trips\"\n[source]\nformat = \"parquet\"\n[output]\nprefix = \"trips/\"\n{reports}\n");
    Dataset::parse(&text, "trips.toml").unwrap()
}

/// A report with these measures and more keys.
fn report(rest: &str) -> Dataset {
    dataset(&format!("[[reports]]\nname = \"it\"\n{rest}"))
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

fn array<A: Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

/// The figures of a slice that reads these batches.
fn slice(dataset: &Dataset, batches: &[RecordBatch]) -> Figures {
    let schema = batches[0].schema();
    let cleaner = Cleaner::new(dataset, &schema, "s3://trips/a.parquet").unwrap();
    let mut collector = Collector::new(dataset, &cleaner).unwrap();
    for batch in batches {
        let cleaned = cleaner.clean(batch, 0).unwrap();
        collector.take_kept(&cleaner, &cleaned.kept, &cleaned.partitions);
    }
    collector.figures().0
}

/// The first report over sources of these runs' figures.
fn over(dataset: &Dataset, runs: &[Figures]) -> Shown {
    let names: Vec<String> = (0..runs.len()).map(|run| format!("s3://trips/{run}")).collect();
    let sources: Vec<_> = names.iter().zip(runs).map(|(name, run)| (name.as_str(), Some(run))).collect();
    merge::of_dataset(dataset, 0, &sources)
}

/// The first report over one source of one slice.
fn shown(dataset: &Dataset, rows: &RecordBatch) -> Shown {
    let run = merge::of_run(dataset, &[slice(dataset, std::slice::from_ref(rows))]);
    over(dataset, &[run])
}

/// The groups as JSON has them, columns in order.
fn groups(shown: &Shown) -> Vec<Vec<Value>> {
    let json: Value = serde_json::from_slice(&shown.json().unwrap()).unwrap();
    let columns = json["columns"].as_array().unwrap();
    let names: Vec<&str> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    let rows = json["groups"].as_array().unwrap().iter();
    rows.map(|row| names.iter().map(|name| row[*name].clone()).collect()).collect()
}

/// A report without problems.
fn told(dataset: &Dataset, rows: &RecordBatch) -> Vec<Vec<Value>> {
    let shown = shown(dataset, rows);
    assert_eq!((shown.problems.as_slice(), shown.complete), ([].as_slice(), true));
    groups(&shown)
}
