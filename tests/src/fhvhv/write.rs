//! Files of trips.

use std::io::Write;
use std::ops::Range;
use std::sync::mpsc;

use anyhow::{Context, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::{Dirt, Trips, Types, batch, schema};
use crate::random::Random;

/// Goes up whenever other bytes are written for the same layout: files made before are then made anew.
pub const VERSION: u32 = 1;
/// Rows made at a time; row groups end inside of such a batch where they want to.
const BATCH_ROWS: u64 = 65_536;
const SEED: u64 = 20_240_101;

/// What a file of trips is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As the oldest months: one row group, snappy, no page index, one row in a hundred dirty.
    OneRowGroup,
    /// The same in row groups of at most so many rows.
    RowGroups(u64),
    /// Row groups of 10,000 to 3,000,000 rows; otherwise the same.
    Uneven,
    /// One row group without a dirty row.
    Clean,
    /// As the job leaves it: row groups of so many rows, narrow types, zstd level 1, no dirty row.
    Uniform(u64),
}

impl Layout {
    /// Whether rows are dirty.
    pub fn dirt(self) -> Dirt {
        match self {
            Self::OneRowGroup | Self::RowGroups(_) | Self::Uneven => Dirt::OnePercent,
            Self::Clean | Self::Uniform(_) => Dirt::None,
        }
    }

    fn types(self) -> Types {
        match self {
            Self::Uniform(_) => Types::Narrow,
            _ => Types::Published,
        }
    }

    /// The rows of each row group.
    pub fn row_groups(self, rows: u64) -> Vec<Range<u64>> {
        let mut random = Random::new(7);
        let mut groups = Vec::new();
        let mut start = 0;
        while start < rows {
            let length = match self {
                Self::OneRowGroup | Self::Clean => rows,
                Self::RowGroups(most) | Self::Uniform(most) => most.max(1),
                // Of every size, small ones as often as large ones.
                Self::Uneven => (10_000u64 << random.between(0, 7)) * random.between(100, 234).unsigned_abs() / 100,
            };
            let end = start.saturating_add(length).min(rows);
            groups.push(start..end);
            start = end;
        }
        groups
    }
}

/// Writes so many trips. Rows are made on a thread of their own while others are encoded.
pub fn write<W: Write + Send>(layout: Layout, rows: u64, sink: W) -> Result<W> {
    let types = layout.types();
    let compression = match types {
        Types::Published => Compression::SNAPPY,
        Types::Narrow => Compression::ZSTD(ZstdLevel::try_new(1)?),
    };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(None)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .build();
    let mut writer = ArrowWriter::try_new(sink, schema(types), Some(properties))?;
    let trips = Trips { seed: SEED, dirt: layout.dirt() };
    std::thread::scope(|scope| {
        let (sender, batches) = mpsc::sync_channel(2);
        scope.spawn(move || {
            for group in layout.row_groups(rows) {
                let mut start = group.start;
                while start < group.end {
                    let end = (start + BATCH_ROWS).min(group.end);
                    let made = batch(&trips, start..end, types).map(|batch| (batch, end == group.end));
                    if sender.send(made).is_err() {
                        return;
                    }
                    start = end;
                }
            }
        });
        for made in batches {
            let (batch, ends) = made.context("making trips")?;
            writer.write(&batch)?;
            if ends {
                writer.flush()?;
            }
        }
        anyhow::Ok(())
    })?;
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, RecordBatch};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn read(layout: Layout, rows: u64) -> (Vec<i64>, RecordBatch) {
        let bytes = Bytes::from(write(layout, rows, Vec::new()).unwrap());
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let groups = builder.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        let schema = builder.schema().clone();
        let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
        (groups, concat_batches(&schema, &batches).unwrap())
    }

    #[test]
    fn the_same_trips_are_made_every_time_and_whatever_the_row_groups() {
        let (groups, one) = read(Layout::OneRowGroup, 70_000);
        let (many, cut) = read(Layout::RowGroups(30_000), 70_000);
        assert_eq!((groups, many), (vec![70_000], vec![30_000, 30_000, 10_000]));
        assert_eq!(one, cut);
        assert_eq!(one.num_columns(), 24);
    }

    #[test]
    fn about_one_trip_in_a_hundred_is_dirty_and_none_where_none_should_be() {
        for (layout, range) in [(Layout::OneRowGroup, 140..260), (Layout::Clean, 0..1)] {
            let (_, rows) = read(layout, 20_000);
            let amounts = |name: &str| rows.column_by_name(name).unwrap().as_primitive::<Float64Type>().clone();
            let times =
                |name: &str| rows.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>().clone();
            let seconds = rows.column_by_name("trip_time").unwrap().as_primitive::<Int64Type>().clone();
            let (miles, fares) = (amounts("trip_miles"), amounts("base_passenger_fare"));
            let (from, to) = (times("pickup_datetime"), times("dropoff_datetime"));
            let dirty = (0..rows.num_rows()).filter(|&row| {
                miles.value(row) < 0.0
                    || fares.value(row) < 0.0
                    || seconds.value(row) < 0
                    || to.value(row) < from.value(row)
            });
            let dirty = dirty.count();
            assert!(range.contains(&dirty), "{layout:?}: {dirty}");
            assert!(from.values().windows(2).all(|pair| pair[0] <= pair[1]), "in the order of pick-ups");
        }
    }

    #[test]
    fn narrow_trips_are_the_published_ones_in_other_types() {
        let (groups, narrow) = read(Layout::Uniform(1_048_576), 5_000);
        let (_, published) = read(Layout::Clean, 5_000);
        assert_eq!(groups, [5_000]);
        for (narrow, published) in narrow.columns().iter().zip(published.columns()) {
            let cast = arrow::compute::cast(published, narrow.data_type()).unwrap();
            let text = |array| arrow::compute::cast(array, &arrow::datatypes::DataType::Utf8).unwrap();
            assert_eq!(&text(&cast), &text(narrow));
        }
    }

    #[test]
    fn uneven_row_groups_are_small_and_large_and_hold_every_row() {
        let groups = Layout::Uneven.row_groups(20_000_000);
        let lengths: Vec<u64> = groups.iter().map(|group| group.end - group.start).collect();
        assert_eq!(lengths.iter().sum::<u64>(), 20_000_000);
        assert!(
            lengths.iter().any(|rows| *rows < 50_000) && lengths.iter().any(|rows| *rows > 1_048_576),
            "{lengths:?}"
        );
        assert!(lengths.iter().all(|rows| *rows < 3_000_000));
    }
}
