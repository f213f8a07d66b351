//! Which values of an array are written, and how they are walked through.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::filter;
use arrow::error::ArrowError;

/// An array of which some rows may be left out.
#[derive(Debug, Clone)]
pub(in crate::write) struct SelectedValues {
    array: ArrayRef,
    selection: Option<BooleanBuffer>,
}

/// What is written of an array.
pub(in crate::write) struct WrittenRows {
    /// How many rows.
    pub count: usize,
    /// Which of them are null.
    pub nulls: Option<NullBuffer>,
    /// Which of the array's rows are written and not null; `None`: all of them.
    pub held: Option<BooleanBuffer>,
}

impl SelectedValues {
    /// The rows of `array` that are set in `selection`, which is as long; all of them where it is `None`.
    pub fn new(array: &ArrayRef, selection: Option<&BooleanBuffer>) -> Self {
        Self { array: array.clone(), selection: selection.cloned() }
    }

    /// All rows, those left out among them.
    pub fn array(&self) -> &ArrayRef {
        &self.array
    }

    /// An array of the selected rows alone.
    pub fn alone(&self) -> Result<ArrayRef, ArrowError> {
        match &self.selection {
            None => Ok(self.array.clone()),
            Some(selection) => filter(&self.array, &BooleanArray::new(selection.clone(), None)),
        }
    }

    /// What is written, where `nulls` tells which of all rows are null.
    pub fn rows(&self, nulls: Option<NullBuffer>) -> Result<WrittenRows, ArrowError> {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        Ok(match (&self.selection, nulls) {
            (None, nulls) => {
                let held = nulls.as_ref().map(|nulls| nulls.inner().clone());
                WrittenRows { count: self.array.len(), nulls, held }
            }
            (Some(selection), None) => {
                WrittenRows { count: selection.count_set_bits(), nulls: None, held: Some(selection.clone()) }
            }
            (Some(selection), Some(nulls)) => {
                let all = BooleanArray::new(nulls.inner().clone(), None);
                let selected = filter(&all, &BooleanArray::new(selection.clone(), None))?;
                let selected = NullBuffer::new(selected.as_boolean().values().clone());
                WrittenRows { count: selected.len(), nulls: Some(selected), held: Some(nulls.inner() & selection) }
            }
        })
    }
}

/// Values walked through together.
pub(super) const RUN: usize = 64;
/// Where so few of a run are left out, what lies between them is not copied.
const FEW: u32 = 3;

/// Walks through the values that are held, at most [`RUN`] at a time; through all of them where `held` is `None`.
pub(super) fn each_held_run<T: Copy + Default>(values: &[T], held: Option<&BooleanBuffer>, mut job: impl FnMut(&[T])) {
    each_run(values, held, |run, bits| each_held(run, bits, &mut job));
}

/// Walks through all values, [`RUN`] at a time, with a bit for each, the first one's the lowest: whether it is held.
pub(super) fn each_run<T>(values: &[T], held: Option<&BooleanBuffer>, mut job: impl FnMut(&[T], u64)) {
    let runs = values.chunks(RUN);
    match held {
        None => runs.for_each(|run| job(run, u64::MAX)),
        Some(held) => runs.zip(held.bit_chunks().iter_padded()).for_each(|(run, bits)| job(run, bits)),
    }
}

/// Gives those of a run that are held, piece by piece.
fn each_held<T: Copy + Default>(run: &[T], bits: u64, mut job: impl FnMut(&[T])) {
    if bits == u64::MAX {
        return job(run);
    }
    if bits.count_zeros() <= FEW {
        return each_piece(bits, run.len(), |piece| job(run.get(piece).unwrap_or_default()));
    }
    let (kept, count) = pressed(run, bits);
    job(kept.get(..count).unwrap_or_default());
}

/// Appends those of the first `length` values of a run that are held.
pub(super) fn append_held<T: Copy + Default>(run: &[T; RUN], length: usize, bits: u64, out: &mut Vec<T>) {
    if length < RUN {
        return each_held(run.get(..length).unwrap_or_default(), bits, |held| out.extend_from_slice(held));
    }
    if bits == u64::MAX {
        return out.extend_from_slice(run);
    }
    let start = out.len();
    if bits.count_zeros() > FEW {
        let (kept, count) = pressed(run, bits);
        out.extend_from_slice(&kept);
        return out.truncate(start + count);
    }
    // All of them, and behind each that is left out the rest moved to where it lay: as many bytes every time.
    out.extend_from_slice(run);
    out.extend_from_slice(&[T::default(); RUN]);
    let mut left_out = 0;
    each_piece(bits, RUN, |piece| {
        if piece.start > 0 {
            let from = start + piece.start - left_out;
            out.copy_within(from..from + RUN, from - 1);
            left_out += 1;
        }
    });
    out.truncate(start + RUN - left_out);
}

/// The places between those that are left out, of which there are few.
fn each_piece(bits: u64, length: usize, mut job: impl FnMut(Range<usize>)) {
    let (mut start, mut left_out) = (0, !bits);
    while left_out != 0 {
        let at = usize::try_from(left_out.trailing_zeros()).unwrap_or(RUN);
        job(start..at);
        start = at + 1;
        left_out &= left_out - 1;
    }
    job(start..length);
}

/// The values that are held before all others, and how many they are.
fn pressed<T: Copy + Default>(run: &[T], bits: u64) -> ([T; RUN], usize) {
    let (mut kept, mut count) = ([T::default(); RUN], 0usize);
    // Each value is put behind the last one that is held, where the next one overwrites it: no branch asks.
    for (at, value) in run.iter().enumerate() {
        if let Some(slot) = kept.get_mut(count) {
            *slot = *value;
        }
        count += usize::from(bits >> at & 1 == 1);
    }
    (kept, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_not_held_is_passed_over(
            rows in prop_oneof![Just(0.5), Just(0.97)].prop_flat_map(|held| {
                prop::collection::vec((any::<u32>(), prop::bool::weighted(held)), 0..400)
            }),
            skipped in 0usize..70,
        ) {
            let skipped = skipped.min(rows.len());
            let (values, held): (Vec<u32>, Vec<bool>) = rows.iter().copied().unzip();
            // Sliced, so that bits do not begin with a byte.
            let held = BooleanBuffer::from(held).slice(skipped, rows.len() - skipped);
            let (_, values) = values.split_at(skipped);
            let (mut found, mut all, mut appended) = (Vec::new(), Vec::new(), Vec::new());
            each_run(values, Some(&held), |run, bits| {
                let mut padded = [0; RUN];
                padded.iter_mut().zip(run).for_each(|(to, from)| *to = *from);
                append_held(&padded, run.len(), bits, &mut appended);
            });
            each_held_run(values, Some(&held), |run| found.extend_from_slice(run));
            each_held_run(values, None, |run| all.extend_from_slice(run));
            let wanted = rows.iter().skip(skipped).filter(|(_, held)| *held).map(|(value, _)| *value);
            prop_assert_eq!(&found, &wanted.collect::<Vec<_>>());
            prop_assert_eq!(appended, found);
            prop_assert_eq!(all, values);
        }
    }
}
