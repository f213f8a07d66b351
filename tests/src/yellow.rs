//! Yellow taxi trips as a CSV file, like those that TLC published until 2022-05.

use std::io::{self, Write};

use jiff::Timestamp;

use crate::fhvhv::{Dirt, Trip, Trips};
use crate::random::mix;

const SEED: u64 = 2_020;
/// The header of those files.
const HEADER: &str = "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,RatecodeID,\
     store_and_fwd_flag,PULocationID,DOLocationID,payment_type,fare_amount,extra,mta_tax,tip_amount,tolls_amount,\
     improvement_surcharge,total_amount,congestion_surcharge";

/// Writes so many trips; about one in a hundred is spoilt.
pub fn write(rows: u64, sink: &mut impl Write) -> io::Result<()> {
    let trips = Trips { seed: SEED, dirt: Dirt::OnePercent };
    writeln!(sink, "{HEADER}")?;
    for number in 0..rows {
        let bits = mix(SEED ^ number);
        row(&trips.trip(number), bits, sink)?;
    }
    Ok(())
}

fn row(trip: &Trip, bits: u64, sink: &mut impl Write) -> io::Result<()> {
    // One trip in thirty-two was typed in by hand, and lacks what the meter would have told.
    let is_metered = !bits.is_multiple_of(32);
    let metered = |value: u64| if is_metered { value.to_string() } else { String::new() };
    let total = trip.fare + trip.tolls + trip.tips + 330;
    write!(sink, "{},{},{},", metered(1 + bits % 2), time(trip.pickup_us), time(trip.dropoff_us))?;
    write!(sink, "{},{},", metered(1 + bits / 64 % 6), Fixed(trip.miles / 10))?;
    write!(sink, "{},{},", metered(1 + bits / 512 % 3), if is_metered { trip.flags[3] } else { "" })?;
    write!(sink, "{},{},{},", trip.from_zone, trip.to_zone, metered(1 + bits / 2_048 % 4))?;
    write!(sink, "{},{},0.5,", Fixed(trip.fare), ["0", "0.5", "1", "2.5"][usize::from(bits % 4 == 1) * 2])?;
    write!(sink, "{},{},0.3,{},2.5", Fixed(trip.tips), Fixed(trip.tolls), Fixed(total))?;
    writeln!(sink)
}

fn time(us: i64) -> String {
    let time = Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Hundredths, as people write them.
struct Fixed(i64);

impl std::fmt::Display for Fixed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = (self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100);
        match (rest / 10, rest % 10) {
            (0, 0) => write!(out, "{sign}{whole}"),
            (tenths, 0) => write!(out, "{sign}{whole}.{tenths}"),
            _ => write!(out, "{sign}{whole}.{rest:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_has_a_value_or_nothing_for_each_column() {
        let mut bytes = Vec::new();
        write(500, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let records: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(records.len(), 501);
        assert!(records.iter().all(|record| record.len() == 18), "{text}");
        let numbers = |column: usize| records[1..].iter().map(move |record| record[column]);
        assert!(numbers(10).all(|fare| fare.parse::<f64>().is_ok()));
        assert!(numbers(3).any(str::is_empty) && numbers(3).any(|count| !count.is_empty()));
        assert!(numbers(4).any(|miles| miles.starts_with('-')), "some are spoilt");
    }

    #[test]
    fn hundredths_are_written_as_short_as_they_can_be() {
        let shown = [0, 5, 50, 100, 1_205, -30, -1].map(|hundredths| Fixed(hundredths).to_string());
        assert_eq!(shown, ["0", "0.05", "0.5", "1", "12.05", "-0.3", "-0.01"]);
    }
}
