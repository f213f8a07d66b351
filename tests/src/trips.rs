//! Made-up trips: each row has a number of its own, so that a test can say which row became what.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

/// A row of the output: its number, fare and flag.
pub type Row = (i32, f32, Option<String>);

/// One trip as the source holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trip {
    /// Unique in its file.
    pub number: i64,
    /// Negative where the row is dirty.
    pub fare: f64,
    /// `Y`, `N` or a space.
    pub flag: &'static str,
}

impl Trip {
    /// What the dataset makes of it: `None` where it belongs in quarantine.
    pub fn expected(&self) -> Option<Row> {
        #[expect(clippy::cast_possible_truncation, reason = "what the dataset's cast does")]
        let fare = self.fare as f32;
        let flag = Some(self.flag.trim()).filter(|flag| !flag.is_empty()).map(str::to_owned);
        let number = i32::try_from(self.number).ok()?;
        (self.fare >= 0.0).then_some((number, fare, flag))
    }
}

/// `count` trips from number `first` on. One in 50 has a negative fare, one in 97 a number that no int32 holds.
pub fn trips(first: i64, count: i64) -> Vec<Trip> {
    let trip = |index: i64| {
        let flag = ["Y", "N", " "][usize::try_from(index % 3).unwrap_or(0)];
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let fare = if index % 50 == 7 { -1.5 } else { (index % 1_000) as f64 * 0.25 };
        let number = if index % 97 == 13 { i64::from(i32::MAX) + 1 + index } else { first + index };
        Trip { number, fare, flag }
    };
    (0..count).map(trip).collect()
}

/// The trips as a Parquet file with row groups of `row_group_rows`.
pub fn parquet(trips: &[Trip], row_group_rows: usize) -> Result<Bytes> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("number", DataType::Int64, true),
        Field::new("fare", DataType::Float64, true),
        Field::new("shared_flag", DataType::Utf8, true),
    ]));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(Int64Array::from_iter_values(trips.iter().map(|trip| trip.number))),
            Arc::new(Float64Array::from_iter_values(trips.iter().map(|trip| trip.fare))),
            Arc::new(StringArray::from_iter_values(trips.iter().map(|trip| trip.flag))),
        ],
    )?;
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(row_group_rows)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
    writer.write(&batch)?;
    Ok(Bytes::from(writer.into_inner()?))
}

/// The dataset file for these trips: `prefix` is both the folder of its sources and its name.
pub fn dataset(name: &str, bucket: &str, row_group_rows: u64) -> String {
    format!(
        r#"
name = "{name}"
[source]
uri = "s3://{bucket}/{name} in/"
pattern = "**.parquet"
format = "parquet"
small_bytes = 0  # each slice is an invocation of its own
[schema]
casts = [
  {{ column = "*flag*", to = "dictionary", values = ["Y", "N"], otherwise = "null", trim = true }},
  {{ from = "float64", to = "float32" }},
  {{ from = "int64", to = "int32" }},
]
[[expectations]]
name = "fare is not negative"
expr = "fare >= 0"
[output]
prefix = "{name}/"
row_group_rows = {row_group_rows}
"#
    )
}

/// The rows of one part, in order.
pub fn rows(part: Bytes) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(part)?.build()? {
        let batch = batch?;
        let column = |name: &str| batch.column_by_name(name).with_context(|| format!("no column {name}"));
        let numbers: &Int32Array = column("number")?.as_primitive_opt::<Int32Type>().context("number is no int32")?;
        let fares: &Float32Array = column("fare")?.as_primitive_opt::<Float32Type>().context("fare is no float32")?;
        let flags = arrow::compute::cast(column("shared_flag")?, &DataType::Utf8)?;
        let flags = flags.as_string_opt::<i32>().context("flags are no strings")?;
        for row in 0..batch.num_rows() {
            let flag = flags.is_valid(row).then(|| flags.value(row).to_owned());
            rows.push((numbers.value(row), fares.value(row), flag));
        }
    }
    Ok(rows)
}
