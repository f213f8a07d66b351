//! Whether a slice fits into the memory of the function that cleans it, told from the footer before a row is read.
//!
//! A model on the safe side of what is measured: rows stream through a slice, so what counts is the row group in the
//! making, the batches under way, a dictionary and a page of each column on either side, and the buffers of reads and
//! uploads.

use crate::{Error, Result};

const MIB: u64 = 1 << 20;
/// The process itself: code, runtime, compiled expressions.
const BASE_BYTES: u64 = 96 * MIB;
/// Bytes fetched ahead of the decoder, at most.
const FETCHED_BYTES: u64 = 64 * MIB;
/// Rows that a batch is counted as, and bytes it may take at most.
const BATCH_ROWS: u64 = 65_536;
const BATCH_BYTES: u64 = 64 * MIB;
/// Batches between the decoder and the encoder, those gathered there, and what cleaning makes of them.
const BATCHES: u64 = 10;
/// A dictionary and a page of a column, read and written.
const COLUMN_BYTES: u64 = 2 * MIB;
/// The row group in the making: as the source stores it, and room for an encoding that is not as good.
const ROW_GROUPS: u64 = 2;
/// Parts of uploads that are filled or on their way.
const UPLOAD_BYTES: u64 = 80 * MIB;
/// Widths are told for so many rows.
const WIDTH_ROWS: u64 = 1_024;
/// Row groups are not made smaller than this: below, other things take the memory.
const LEAST_ROWS: u64 = BATCH_ROWS;

/// What the rows of a source take, where they are widest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Widths {
    /// Bytes of 1,024 rows in the file.
    pub stored: u64,
    /// Bytes of 1,024 rows decoded.
    pub decoded: u64,
    /// Leaf columns.
    pub columns: u64,
}

impl Widths {
    /// The bytes of 1,024 rows where `rows` take `bytes`; of fewer rows, as if there were more of them.
    pub fn per_1024(bytes: u64, rows: u64) -> u64 {
        let bytes = u128::from(bytes).saturating_mul(u128::from(WIDTH_ROWS)).div_ceil(u128::from(rows.max(1)));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// How a source is sliced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Source rows of an output row group.
    pub row_group_rows: u64,
    /// Row groups of a slice.
    pub slice_row_groups: u64,
}

/// Bytes that cleaning a slice of this shape may take at its peak.
pub fn memory_bytes(widths: &Widths, shape: Shape) -> u64 {
    let of = |width: u64, rows: u64| {
        let bytes = u128::from(width).saturating_mul(u128::from(rows)).div_ceil(u128::from(WIDTH_ROWS));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    };
    let slice_rows = shape.row_group_rows.saturating_mul(shape.slice_row_groups);
    let group = of(widths.stored, shape.row_group_rows);
    let batch = of(widths.decoded, BATCH_ROWS.min(shape.row_group_rows)).min(BATCH_BYTES);
    let columns = widths.columns.saturating_mul(COLUMN_BYTES).min(of(widths.decoded, shape.row_group_rows));
    [
        BASE_BYTES,
        FETCHED_BYTES.min(of(widths.stored, slice_rows)),
        group.saturating_mul(ROW_GROUPS),
        batch.saturating_mul(BATCHES),
        columns,
        UPLOAD_BYTES.min(of(widths.stored, slice_rows).saturating_mul(2)),
    ]
    .into_iter()
    .fold(0, u64::saturating_add)
}

/// The shape nearest to the wanted one whose slices fit into `limit_bytes` of memory: as it is, else with one row group
/// to a slice, else with smaller row groups.
///
/// [`Error::Limit`] where even the smallest slices do not fit, naming the setting to change.
pub fn admit(widths: &Widths, wanted: Shape, limit_bytes: u64) -> Result<Shape> {
    let fits = |shape: &Shape| memory_bytes(widths, *shape) <= limit_bytes;
    if fits(&wanted) {
        return Ok(wanted);
    }
    let mut shape = Shape { slice_row_groups: 1, ..wanted };
    while !fits(&shape) && shape.row_group_rows > LEAST_ROWS {
        shape.row_group_rows = shape.row_group_rows.div_ceil(2).max(LEAST_ROWS);
    }
    if fits(&shape) {
        return Ok(shape);
    }
    Err(Error::Limit {
        what: format!("the memory in MiB that a slice of {} rows may take", shape.row_group_rows),
        value: memory_bytes(widths, shape).div_ceil(MIB),
        limit: limit_bytes / MIB,
        remedy: "give the function more memory (the template's ProcessorMemory), or lower output.row_group_rows"
            .to_owned(),
    })
}

/// What a person should know of a shape that is not the one wanted.
pub fn note(wanted: Shape, admitted: Shape, limit_bytes: u64) -> Option<String> {
    (admitted.row_group_rows != wanted.row_group_rows).then(|| {
        format!(
            "row groups of {} rows, not {}: one of those does not fit into the function's {} MiB of memory: give it more \
             (ProcessorMemory), or lower output.row_group_rows",
            admitted.row_group_rows,
            wanted.row_group_rows,
            limit_bytes / MIB
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A month of trips: 27 bytes a row stored, 190 decoded.
    const TRIPS: Widths = Widths { stored: 27 * 1_024, decoded: 190 * 1_024, columns: 24 };
    /// A thousand columns of numbers that do not compress.
    const WIDE: Widths = Widths { stored: 8_000 * 1_024, decoded: 8_000 * 1_024, columns: 1_000 };
    const USUAL: Shape = Shape { row_group_rows: 1_048_576, slice_row_groups: 1 };

    #[test]
    fn a_usual_slice_of_trips_fits_into_half_a_gibibyte() {
        assert_eq!(admit(&TRIPS, USUAL, 512 * MIB).unwrap(), USUAL);
        assert_eq!(note(USUAL, USUAL, 512 * MIB), None);
    }

    #[test]
    fn a_slice_of_many_row_groups_is_split_before_row_groups_are_made_smaller() {
        let long = Shape { slice_row_groups: 50, ..USUAL };
        let needed = memory_bytes(&TRIPS, USUAL);
        assert!(memory_bytes(&TRIPS, long) > needed);
        assert_eq!(admit(&TRIPS, long, needed).unwrap(), USUAL);
    }

    #[test]
    fn a_row_group_that_does_not_fit_alone_is_made_smaller_and_the_plan_says_so() {
        let admitted = admit(&WIDE, USUAL, 4_096 * MIB).unwrap();
        assert_eq!(admitted.slice_row_groups, 1);
        assert!(admitted.row_group_rows < USUAL.row_group_rows && admitted.row_group_rows >= LEAST_ROWS);
        let note = note(USUAL, admitted, 4_096 * MIB).unwrap();
        assert!(note.contains("not 1048576") && note.contains("ProcessorMemory"), "{note}");
    }

    #[test]
    fn what_cannot_fit_is_refused_with_the_setting_to_change() {
        let error = admit(&WIDE, USUAL, 512 * MIB).unwrap_err();
        assert!(error.is_permanent());
        let text = error.to_string();
        assert!(text.contains("above the limit of 512") && text.contains("ProcessorMemory"), "{text}");
    }

    proptest! {
        #[test]
        fn what_is_admitted_fits_and_never_grows(
            stored in 0u64.., decoded in 0u64.., columns in 0u64.., rows in 1u64.., groups in 1u64.., limit in 0u64..,
        ) {
            let (widths, wanted) = (Widths { stored, decoded, columns }, Shape { row_group_rows: rows, slice_row_groups: groups });
            if let Ok(admitted) = admit(&widths, wanted, limit) {
                prop_assert!(memory_bytes(&widths, admitted) <= limit);
                prop_assert!(admitted.row_group_rows <= rows && admitted.slice_row_groups <= groups);
                prop_assert!(admitted == wanted || memory_bytes(&widths, wanted) > limit);
            }
        }
    }
}
