//! The split of a source into slices: pure arithmetic over row counts, whatever the source's own row groups are.

pub mod admission;
mod pages;
mod text;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub use pages::{ColumnPages, Page, PageMap, RowGroupPages};
pub use text::{LineEnd, TextColumn, TextPlace, TextPlan};

/// Slices a plan may hold unless the caller says otherwise.
pub const MAX_SLICES: u64 = 10_000;

/// A contiguous range of source rows: the unit of fan-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// From 0, without holes.
    pub index: u32,
    /// Global source rows.
    pub rows: Range<u64>,
}

/// Cuts `total_rows` source rows at multiples of `row_group_rows * slice_row_groups`. The slices cover every row
/// once, in order; only the last may be shorter. A source without rows has no slices.
///
/// [`Error::Dataset`] where a size is zero, [`Error::Limit`] above `max_slices`.
pub fn slices(total_rows: u64, row_group_rows: u64, slice_row_groups: u64, max_slices: u64) -> Result<Vec<Slice>> {
    if row_group_rows == 0 || slice_row_groups == 0 {
        return Err(Error::Dataset("output.row_group_rows and output.slice_row_groups must be at least 1".to_owned()));
    }
    // A product beyond u64 is beyond every source: one slice.
    let slice_rows = row_group_rows.saturating_mul(slice_row_groups);
    let count = total_rows.div_ceil(slice_rows);
    let limit = max_slices.min(u64::from(u32::MAX));
    if count > limit {
        return Err(Error::Limit {
            what: "number of slices".to_owned(),
            value: count,
            limit,
            remedy: "raise output.row_group_rows or output.slice_row_groups".to_owned(),
        });
    }
    let starts = (0..total_rows).step_by(usize::try_from(slice_rows).unwrap_or(usize::MAX));
    Ok((0u32..)
        .zip(starts)
        .map(|(index, start)| Slice { index, rows: start..start.saturating_add(slice_rows).min(total_rows) })
        .collect())
}

/// The source rows of each output row group of a slice, in order: windows of `row_group_rows`, the last one shorter.
/// An output row group holds its window's rows less those set aside; nothing is refilled from the next window.
pub fn windows(slice: &Slice, row_group_rows: u64) -> impl Iterator<Item = Range<u64>> + use<> {
    let Range { start, end } = slice.rows;
    let step = usize::try_from(row_group_rows.max(1)).unwrap_or(usize::MAX);
    (start..end).step_by(step).map(move |first| first..first.saturating_add(row_group_rows.max(1)).min(end))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slices_cover_every_row_once_and_start_at_multiples(
            total in 0u64..5_000_000, group in 1u64..2_000_000, groups in 1u64..50,
        ) {
            prop_assume!(total.div_ceil(group * groups) <= 10_000);
            let slices = slices(total, group, groups, MAX_SLICES).unwrap();
            let mut next = 0;
            for (position, slice) in slices.iter().enumerate() {
                prop_assert_eq!(slice.index as usize, position);
                prop_assert_eq!(slice.rows.start, next);
                prop_assert_eq!(slice.rows.start % (group * groups), 0);
                prop_assert!(slice.rows.end > slice.rows.start);
                next = slice.rows.end;
            }
            prop_assert_eq!(next, total);
        }

        #[test]
        fn windows_cover_their_slice_and_all_but_the_last_are_full(
            start in 0u64..1_000_000, len in 0u64..1_000_000, group in 100u64..2_000_000,
        ) {
            let slice = Slice { index: 0, rows: start..start + len };
            let windows: Vec<_> = windows(&slice, group).collect();
            let mut next = start;
            for (position, window) in windows.iter().enumerate() {
                prop_assert_eq!(window.start, next);
                prop_assert!(window.end - window.start == group || position + 1 == windows.len());
                next = window.end;
            }
            prop_assert_eq!(next, start + len);
        }
    }

    #[test]
    fn a_source_without_rows_has_no_slices() {
        assert_eq!(slices(0, 1_048_576, 1, MAX_SLICES).unwrap(), []);
    }

    #[test]
    fn too_many_slices_are_refused_with_the_setting_that_helps() {
        let error = slices(1_000_000, 10, 1, 10_000).unwrap_err();
        assert_eq!(
            error.to_string(),
            "number of slices is 100000, above the limit of 10000: raise output.row_group_rows or output.slice_row_groups"
        );
    }

    #[test]
    fn sizes_beyond_every_source_make_one_slice() {
        assert_eq!(slices(7, u64::MAX, u64::MAX, 1).unwrap(), [Slice { index: 0, rows: 0..7 }]);
        assert!(slices(7, 0, 1, 1).is_err());
    }
}
