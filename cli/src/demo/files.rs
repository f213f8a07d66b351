//! Sample files: the months differ in types and row groups as the real ones do.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, LargeStringArray, NullArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::random::Random;
use super::trips::Trip;
use crate::fault::Fault;

/// Rows made at once: what bounds memory, with the row group that is being written.
const BATCH_ROWS: u64 = 32_768;
/// A row group is cut here even where a month would have only one.
const MAX_GROUP_ROWS: u64 = 2_000_000;
/// The days that a month's trips spread over, in microseconds.
const MONTH_US: u64 = 28 * 86_400 * 1_000_000;

/// A month, and how its file differs from the others'.
#[derive(Debug, Clone, Copy)]
pub struct Month {
    /// The file's name.
    pub file: &'static str,
    /// The month's first second.
    start_s: i64,
    /// Of 100 trips, so many are in this file.
    share: u64,
    groups: Groups,
    types: Types,
}

#[derive(Debug, Clone, Copy)]
enum Groups {
    One,
    /// Sizes as of 100 rows, over and over.
    Uneven(&'static [u64]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Types {
    large_strings: bool,
    narrow_integers: bool,
    airport_fee: AirportFee,
    /// `cbd_congestion_fee` exists.
    cbd: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AirportFee {
    /// A column without a type: every value is missing.
    Null,
    Double,
    /// The same under another spelling.
    Capital,
}

/// The months of the demo.
pub const MONTHS: [Month; 4] = [
    Month {
        file: "fhvhv_tripdata_2019-06.parquet",
        start_s: 1_559_347_200,
        share: 40,
        groups: Groups::One,
        types: Types { large_strings: false, narrow_integers: false, airport_fee: AirportFee::Null, cbd: false },
    },
    Month {
        file: "fhvhv_tripdata_2022-11.parquet",
        start_s: 1_667_260_800,
        share: 30,
        groups: Groups::Uneven(&[61, 5, 23, 11]),
        types: Types { large_strings: false, narrow_integers: false, airport_fee: AirportFee::Capital, cbd: false },
    },
    Month {
        file: "fhvhv_tripdata_2023-02.parquet",
        start_s: 1_675_209_600,
        share: 20,
        groups: Groups::Uneven(&[3, 1, 2, 4, 1]),
        types: Types { large_strings: true, narrow_integers: true, airport_fee: AirportFee::Double, cbd: false },
    },
    Month {
        file: "fhvhv_tripdata_2025-01.parquet",
        start_s: 1_735_689_600,
        share: 10,
        groups: Groups::Uneven(&[50, 7, 43]),
        types: Types { large_strings: true, narrow_integers: false, airport_fee: AirportFee::Double, cbd: true },
    },
];

/// Writes the months' files of together `rows` trips into `folder`, and answers their paths.
pub fn write_all(folder: &Path, rows: u64) -> Result<Vec<PathBuf>, Fault> {
    std::fs::create_dir_all(folder)?;
    let mut left = rows;
    let mut jobs = Vec::new();
    for (index, month) in MONTHS.iter().enumerate() {
        let last = index + 1 == MONTHS.len();
        let share = if last { left } else { rows * month.share / 100 };
        left -= share;
        jobs.push((month, share, folder.join(month.file)));
    }
    let written: Vec<Result<(), Fault>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            jobs.iter().map(|(month, rows, path)| scope.spawn(move || month.write(path, *rows))).collect();
        let ended = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(Fault::failed("a thread that writes samples ended abnormally")))
        };
        threads.into_iter().map(ended).collect()
    });
    written.into_iter().collect::<Result<(), Fault>>()?;
    Ok(jobs.into_iter().map(|(_, _, path)| path).collect())
}

impl Month {
    fn write(&self, path: &Path, rows: u64) -> Result<(), Fault> {
        let mut random = Random::new(self.start_s.unsigned_abs());
        let step_us = MONTH_US / rows.max(1);
        let schema = self.batch(&[])?.schema();
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_offset_index_disabled(true)
            .set_max_row_group_row_count(None)
            .build();
        let mut writer = ArrowWriter::try_new(File::create(path)?, schema, Some(properties))?;
        let mut written = 0;
        for group_rows in self.groups.sizes(rows) {
            let end = written + group_rows;
            while written < end {
                let until = end.min(written + BATCH_ROWS);
                let pickup_us = |row: u64| self.start_s * 1_000_000 + i64::try_from(row * step_us).unwrap_or(i64::MAX);
                let numbers = written..until;
                let trips: Vec<Trip> =
                    numbers.map(|number| Trip::random(&mut random, number, pickup_us(number))).collect();
                writer.write(&self.batch(&trips)?)?;
                written = until;
            }
            writer.flush()?;
        }
        writer.close()?;
        Ok(())
    }

    fn batch(&self, trips: &[Trip]) -> Result<RecordBatch, Fault> {
        let types = self.types;
        let string = |of: fn(&Trip) -> Option<&'static str>| types.string(trips, of);
        let integer = |of: fn(&Trip) -> i32| types.integer(trips, of);
        let airport_fee = match types.airport_fee {
            AirportFee::Null => Arc::new(NullArray::new(trips.len())),
            AirportFee::Double | AirportFee::Capital => hundredths(trips, |trip| trip.airport),
        };
        let airport_fee_name = if types.airport_fee == AirportFee::Capital { "Airport_fee" } else { "airport_fee" };
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("hvfhs_license_num", string(|trip| Some(trip.company))),
            ("dispatching_base_num", string(|trip| Some(trip.base))),
            ("originating_base_num", string(|trip| trip.origin)),
            ("request_datetime", moments(trips, |trip| Some(trip.request_us))),
            ("on_scene_datetime", moments(trips, |trip| trip.on_scene_us)),
            ("pickup_datetime", moments(trips, |trip| Some(trip.pickup_us))),
            ("dropoff_datetime", moments(trips, |trip| Some(trip.dropoff_us))),
            ("PULocationID", integer(|trip| trip.from_zone)),
            ("DOLocationID", integer(|trip| trip.to_zone)),
            ("trip_miles", hundredths(trips, |trip| trip.miles)),
            ("trip_time", integer(|trip| trip.seconds)),
            ("base_passenger_fare", hundredths(trips, |trip| trip.fare)),
            ("tolls", hundredths(trips, |trip| trip.tolls)),
            ("bcf", hundredths(trips, |trip| trip.fund)),
            ("sales_tax", hundredths(trips, |trip| trip.tax)),
            ("congestion_surcharge", hundredths(trips, |trip| trip.congestion)),
            (airport_fee_name, airport_fee),
            ("tips", hundredths(trips, |trip| trip.tips)),
            ("driver_pay", hundredths(trips, |trip| trip.pay)),
            ("shared_request_flag", string(|trip| Some(trip.flags[0]))),
            ("shared_match_flag", string(|trip| Some(trip.flags[1]))),
            ("access_a_ride_flag", string(|trip| Some(trip.access))),
            ("wav_request_flag", string(|trip| Some(trip.flags[2]))),
            ("wav_match_flag", string(|trip| Some(trip.flags[3]))),
        ];
        if types.cbd {
            columns.push(("cbd_congestion_fee", hundredths(trips, |trip| if trip.congestion > 0 { 150 } else { 0 })));
        }
        Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))?)
    }
}

impl Groups {
    /// The sizes of the row groups of a file of so many rows.
    fn sizes(self, rows: u64) -> Vec<u64> {
        let pattern: &[u64] = match self {
            Self::One => &[],
            Self::Uneven(pattern) => pattern,
        };
        let mut sizes = Vec::new();
        let mut left = rows;
        let mut shares = pattern.iter().cycle();
        while left > 0 {
            let wanted = shares.next().map_or(left, |share| (rows * share / 100).max(1));
            let size = wanted.min(left).min(MAX_GROUP_ROWS);
            sizes.push(size);
            left -= size;
        }
        sizes
    }
}

impl Types {
    fn string(self, trips: &[Trip], of: fn(&Trip) -> Option<&'static str>) -> ArrayRef {
        let values = trips.iter().map(of);
        if self.large_strings {
            Arc::new(LargeStringArray::from_iter(values))
        } else {
            Arc::new(StringArray::from_iter(values))
        }
    }

    fn integer(self, trips: &[Trip], of: fn(&Trip) -> i32) -> ArrayRef {
        let values = trips.iter().map(of);
        if self.narrow_integers {
            Arc::new(Int32Array::from_iter_values(values))
        } else {
            Arc::new(Int64Array::from_iter_values(values.map(i64::from)))
        }
    }
}

fn moments(trips: &[Trip], of: fn(&Trip) -> Option<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter(trips.iter().map(of)))
}

fn hundredths(trips: &[Trip], of: fn(&Trip) -> i32) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(trips.iter().map(|trip| f64::from(of(trip)) / 100.0)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn row_groups_hold_every_row() {
        for rows in [0, 1, 7, 99, 1_000, 10_000_001] {
            for month in MONTHS {
                let sizes = month.groups.sizes(rows);
                assert_eq!(sizes.iter().sum::<u64>(), rows);
                assert!(sizes.iter().all(|size| (1..=MAX_GROUP_ROWS).contains(size)));
            }
        }
    }

    #[test]
    fn the_same_rows_make_the_same_files() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let paths = write_all(one.path(), 1_000).unwrap();
        write_all(other.path(), 1_000).unwrap();
        for path in paths {
            let twin = other.path().join(path.file_name().unwrap());
            assert!(std::fs::read(&path).unwrap() == std::fs::read(twin).unwrap(), "{}", path.display());
        }
    }
}
