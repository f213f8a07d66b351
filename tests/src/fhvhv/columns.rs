//! Trips as columns.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, StringDictionaryBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use super::{FLAGS, Trip, Trips};

const COMPANIES: [&str; 3] = ["HV0003", "HV0005", "HV0004"];
const CENT: f64 = 100.0;
const THOUSANDTH: f64 = 1_000.0;

/// The types that the columns have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Types {
    /// As the commission publishes them: int64, float64, strings.
    Published,
    /// As the job makes them: int32, float32, flags as dictionaries.
    Narrow,
}

/// The columns of a file of trips.
pub fn schema(types: Types) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let (integer, amount, flag) = match types {
        Types::Published => (DataType::Int64, DataType::Float64, DataType::Utf8),
        Types::Narrow => {
            let flag = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            (DataType::Int32, DataType::Float32, flag)
        }
    };
    let leading: [(&str, &DataType); 19] = [
        ("hvfhs_license_num", &DataType::Utf8),
        ("dispatching_base_num", &DataType::Utf8),
        ("originating_base_num", &DataType::Utf8),
        ("request_datetime", &time),
        ("on_scene_datetime", &time),
        ("pickup_datetime", &time),
        ("dropoff_datetime", &time),
        ("PULocationID", &integer),
        ("DOLocationID", &integer),
        ("trip_miles", &amount),
        ("trip_time", &integer),
        ("base_passenger_fare", &amount),
        ("tolls", &amount),
        ("bcf", &amount),
        ("sales_tax", &amount),
        ("congestion_surcharge", &amount),
        ("airport_fee", &amount),
        ("tips", &amount),
        ("driver_pay", &amount),
    ];
    let all = leading.into_iter().chain(FLAGS.iter().map(|name| (*name, &flag)));
    Arc::new(Schema::new(all.map(|(name, data_type)| Field::new(name, data_type.clone(), true)).collect::<Vec<_>>()))
}

/// The trips of these numbers.
pub fn batch(trips: &Trips, numbers: Range<u64>, types: Types) -> Result<RecordBatch, ArrowError> {
    let rows: Vec<Trip> = numbers.map(|number| trips.trip(number)).collect();
    let base = |trip: &Trip| format!("B{:05}", if trip.base < 2 { 3_404 + 2 * trip.base } else { 2_762 + trip.base });
    let times = |of: fn(&Trip) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<TimestampMicrosecondArray>())
    };
    let integers = |of: fn(&Trip) -> i64| -> ArrayRef {
        match types {
            Types::Published => Arc::new(rows.iter().map(of).collect::<Int64Array>()),
            Types::Narrow => Arc::new(rows.iter().map(|trip| i32::try_from(of(trip)).ok()).collect::<Int32Array>()),
        }
    };
    let amounts = |of: fn(&Trip) -> Option<i64>, unit: f64| -> ArrayRef {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let values = rows.iter().map(|trip| of(trip).map(|amount| amount as f64 / unit));
        #[expect(clippy::cast_possible_truncation, reason = "what the job's cast does")]
        match types {
            Types::Published => Arc::new(values.collect::<Float64Array>()),
            Types::Narrow => Arc::new(values.map(|value| value.map(|value| value as f32)).collect::<Float32Array>()),
        }
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|trip| Some(COMPANIES[trip.company])).collect::<StringArray>()),
        Arc::new(rows.iter().map(|trip| Some(base(trip))).collect::<StringArray>()),
        Arc::new(rows.iter().map(|trip| trip.has_origin.then(|| base(trip))).collect::<StringArray>()),
        times(|trip| Some(trip.request_us)),
        times(|trip| trip.on_scene_us),
        times(|trip| Some(trip.pickup_us)),
        times(|trip| Some(trip.dropoff_us)),
        integers(|trip| trip.from_zone),
        integers(|trip| trip.to_zone),
        amounts(|trip| Some(trip.miles), THOUSANDTH),
        integers(|trip| trip.seconds),
        amounts(|trip| Some(trip.fare), CENT),
        amounts(|trip| Some(trip.tolls), CENT),
        amounts(|trip| Some(trip.fund), CENT),
        amounts(|trip| Some(trip.tax), CENT),
        amounts(|trip| Some(trip.congestion), CENT),
        amounts(|trip| trip.airport, CENT),
        amounts(|trip| Some(trip.tips), CENT),
        amounts(|trip| Some(trip.pay), CENT),
    ];
    for flag in 0..FLAGS.len() {
        columns.push(match types {
            Types::Published => Arc::new(rows.iter().map(|trip| Some(trip.flags[flag])).collect::<StringArray>()),
            Types::Narrow => {
                let mut builder = StringDictionaryBuilder::<Int32Type>::new();
                rows.iter().for_each(|trip| builder.append_value(trip.flags[flag]));
                Arc::new(builder.finish())
            }
        });
    }
    RecordBatch::try_new(schema(types), columns)
}
