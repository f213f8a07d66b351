//! The rules of cleaning, each as a sentence.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod casts;
mod coded;
mod conform;
mod expectations;
mod fhv;
mod green;
mod layout;
mod properties;
mod sql;
mod widen;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;

use super::{Cleaned, Cleaner, REASON_KEYS, REASONS, ROW, VALUES};
use crate::dataset::Dataset;

/// A dataset of parquet files with these lines behind `[source]` and `[output]`.
fn dataset(rules: &str) -> Dataset {
    let text = format!(
        "name = \"trips\"\n[source]\nformat = \"parquet\"\n[output]\nprefix = \"trips/\"\nmax_quarantined = 1.0\n{rules}\n"
    );
    Dataset::parse(&text, "trips.toml").unwrap()
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

fn array<A: Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

fn try_clean(rules: &str, batch: &RecordBatch) -> crate::Result<Cleaned> {
    let cleaner = Cleaner::new(&dataset(rules), batch.schema_ref(), "s3://trips/a.parquet")?;
    let cleaned = cleaner.clean(batch, 0)?;
    assert_eq!(cleaned.kept.schema_ref(), cleaner.output_schema());
    if let Some(quarantined) = &cleaned.quarantined {
        assert_eq!(quarantined.schema_ref(), cleaner.quarantine_schema());
    }
    Ok(cleaned)
}

fn clean(rules: &str, batch: &RecordBatch) -> Cleaned {
    try_clean(rules, batch).unwrap()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).unwrap()
}

/// Row numbers in quarantine with their reasons, as they are counted.
fn set_aside(cleaned: &Cleaned) -> Vec<(u64, Vec<String>)> {
    let Some(batch) = &cleaned.quarantined else { return Vec::new() };
    let rows = column(batch, ROW).as_primitive::<UInt64Type>();
    let reasons = column(batch, REASON_KEYS).as_list::<i32>();
    let listed = |row: usize| {
        let reasons = reasons.value(row);
        reasons.as_string::<i32>().iter().map(|reason| reason.unwrap().to_owned()).collect()
    };
    (0..batch.num_rows()).map(|row| (rows.value(row), listed(row))).collect()
}

/// The reasons of each row in quarantine, in words.
fn reasons(cleaned: &Cleaned) -> Vec<Vec<String>> {
    let Some(batch) = &cleaned.quarantined else { return Vec::new() };
    let texts = |row: ArrayRef| row.as_string::<i64>().iter().map(|text| text.unwrap().to_owned()).collect();
    column(batch, REASONS).as_list::<i32>().iter().map(|row| texts(row.unwrap())).collect()
}

/// The source's values of each row in quarantine.
fn values(batch: &RecordBatch) -> Vec<serde_json::Value> {
    let texts = column(batch, VALUES).as_string::<i64>();
    texts.iter().map(|text| serde_json::from_str(text.unwrap()).unwrap()).collect()
}

fn contract_error(rules: &str, batch: &RecordBatch) -> String {
    match try_clean(rules, batch) {
        Err(crate::Error::Contract(text)) => text,
        other => panic!("{other:?}"),
    }
}
