//! Trips as New York's high-volume for-hire companies report them: the 24 columns of 2022 and later, made up.
//!
//! Every trip depends on the seed and its number alone, and is computed with operations that IEEE 754 defines exactly, so
//! the rows are the same on every machine. Skews are those that matter to a Parquet writer: few companies and bases, zones
//! of unequal traffic, cents, whole seconds, trips in the order of their pick-ups.

mod columns;
mod trip;
mod write;

pub use columns::{Types, batch, schema};
pub use trip::{Dirt, Trip, Trips};
pub use write::{Layout, VERSION, write};

/// Integers that the job narrows.
pub const INTEGERS: [&str; 3] = ["PULocationID", "DOLocationID", "trip_time"];
/// Amounts that the job narrows.
pub const AMOUNTS: [&str; 9] = [
    "trip_miles",
    "base_passenger_fare",
    "tolls",
    "bcf",
    "sales_tax",
    "congestion_surcharge",
    "airport_fee",
    "tips",
    "driver_pay",
];
/// Flags that the job makes dictionaries of.
pub const FLAGS: [&str; 5] =
    ["shared_request_flag", "shared_match_flag", "access_a_ride_flag", "wav_request_flag", "wav_match_flag"];
