//! Made-up fhvhv months with the drift that NYC TLC's files have from month to month.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;

/// 2023-02-01 00:00 UTC, microseconds.
const START_US: i64 = 1_675_209_600_000_000;

/// A month's columns in the types that most months have.
#[derive(Debug, Clone)]
pub struct Month {
    columns: Vec<(String, ArrayRef)>,
}

impl Month {
    /// A month of `rows` clean trips. `driver_pay` is the row's number, exact in a float32.
    pub fn new(rows: i64) -> Self {
        let text =
            |value: &'static str| -> ArrayRef { Arc::new(StringArray::from_iter_values((0..rows).map(|_| value))) };
        let times = |offset_s: i64| -> ArrayRef {
            let time = |row: i64| START_US + (row * 7 + offset_s) * 1_000_000;
            Arc::new(TimestampMicrosecondArray::from_iter_values((0..rows).map(time)))
        };
        let whole =
            |modulo: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row % modulo + 1))) };
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let amounts = |step: f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values((0..rows).map(|row| (row % 40) as f64 * step)))
        };
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let number: ArrayRef = Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64)));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("hvfhs_license_num", text("HV0003")),
            ("dispatching_base_num", text("B03404")),
            ("originating_base_num", text("B03404")),
            ("request_datetime", times(-300)),
            ("on_scene_datetime", times(-60)),
            ("pickup_datetime", times(0)),
            ("dropoff_datetime", times(900)),
            ("PULocationID", whole(263)),
            ("DOLocationID", whole(265)),
            ("trip_miles", amounts(0.5)),
            ("trip_time", whole(3_000)),
            ("base_passenger_fare", amounts(1.0)),
            ("tolls", amounts(0.0)),
            ("bcf", amounts(0.25)),
            ("sales_tax", amounts(0.5)),
            ("congestion_surcharge", amounts(0.0)),
            ("airport_fee", amounts(0.0)),
            ("tips", amounts(0.0)),
            ("driver_pay", number),
            ("shared_request_flag", text("N")),
            ("shared_match_flag", text("Y")),
            ("access_a_ride_flag", text(" ")),
            ("wav_request_flag", text("N")),
            ("wav_match_flag", text("N")),
        ];
        Self { columns: columns.into_iter().map(|(name, array)| (name.to_owned(), array)).collect() }
    }

    /// Casts every column of type `from`.
    pub fn retyped(mut self, from: &DataType, to: &DataType) -> Result<Self> {
        for (_, array) in &mut self.columns {
            if array.data_type() == from {
                *array = cast(array, to)?;
            }
        }
        Ok(self)
    }

    /// Casts one column.
    pub fn with_type(mut self, name: &str, to: &DataType) -> Result<Self> {
        let column = self.column(name)?;
        column.1 = if to == &DataType::Null { Arc::new(NullArray::new(column.1.len())) } else { cast(&column.1, to)? };
        Ok(self)
    }

    /// Renames one column.
    pub fn renamed(mut self, name: &str, to: &str) -> Result<Self> {
        to.clone_into(&mut self.column(name)?.0);
        Ok(self)
    }

    /// Leaves one column out.
    pub fn without(mut self, name: &str) -> Self {
        self.columns.retain(|(column, _)| column != name);
        self
    }

    /// Adds a copy of a column under another name.
    pub fn with_copy(mut self, of: &str, name: &str) -> Result<Self> {
        let copy = Arc::clone(&self.column(of)?.1);
        self.columns.push((name.to_owned(), copy));
        Ok(self)
    }

    /// Puts a number that no int32 holds into one row of a column.
    pub fn with_overflow(mut self, name: &str, row: usize) -> Result<Self> {
        let column = self.column(name)?;
        let values = column.1.as_primitive_opt::<Int64Type>().context("not int64")?.iter().enumerate();
        let changed = values.map(|(index, value)| if index == row { Some(i64::from(i32::MAX) + 1) } else { value });
        column.1 = Arc::new(changed.collect::<Int64Array>());
        Ok(self)
    }

    fn column(&mut self, name: &str) -> Result<&mut (String, ArrayRef)> {
        self.columns.iter_mut().find(|(column, _)| column == name).with_context(|| format!("no column {name}"))
    }

    /// The month as a Parquet file.
    pub fn parquet(self) -> Result<Bytes> {
        let fields: Vec<Field> =
            self.columns.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch =
            RecordBatch::try_new(Arc::clone(&schema), self.columns.into_iter().map(|(_, array)| array).collect())?;
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, None)?;
        writer.write(&batch)?;
        Ok(Bytes::from(writer.into_inner()?))
    }
}

/// Each drift that TLC's files showed, by name.
pub fn drifted(rows: i64) -> Result<Vec<(&'static str, Month)>> {
    let month = || Month::new(rows);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Ok(vec![
        ("as most months", month()),
        ("large strings", month().retyped(&DataType::Utf8, &DataType::LargeUtf8)?),
        ("int32", month().retyped(&DataType::Int64, &DataType::Int32)?),
        ("whole doubles as int64", month().with_type("tolls", &DataType::Int64)?.with_type("tips", &DataType::Int64)?),
        ("airport_fee null", month().with_type("airport_fee", &DataType::Null)?),
        ("airport_fee missing", month().without("airport_fee")),
        ("Airport_fee", month().renamed("airport_fee", "Airport_fee")?),
        ("all names upper case", month().renamed("tips", "TIPS")?.renamed("PULocationID", "pulocationid")?),
        ("2025: cbd_congestion_fee", month().with_copy("tolls", "cbd_congestion_fee")?),
        ("2026-06: request_source", month().with_copy("hvfhs_license_num", "request_source")?),
        ("dictionaries", month().retyped(&DataType::Utf8, &dictionary)?),
        ("nanoseconds", month().retyped(&DataType::Timestamp(TimeUnit::Microsecond, None), &nanoseconds)?),
        ("flags null", month().with_type("access_a_ride_flag", &DataType::Null)?),
    ])
}
