//! Which values of an array are written, and how they are walked through.

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
const RUN: usize = 64;
/// Where so few of a run are left out, what lies between them is not copied.
const FEW: u32 = 3;

/// Walks through the values that are held, at most [`RUN`] at a time; through all of them where `held` is `None`.
pub(super) fn each_run<T: Copy + Default>(values: &[T], held: Option<&BooleanBuffer>, mut job: impl FnMut(&[T])) {
    let Some(held) = held else { return values.chunks(RUN).for_each(job) };
    for (run, word) in values.chunks(RUN).zip(held.bit_chunks().iter_padded()) {
        if word == u64::MAX {
            job(run);
            continue;
        }
        if word.count_zeros() <= FEW {
            let (mut start, mut left_out) = (0, !word);
            while left_out != 0 {
                let at = usize::try_from(left_out.trailing_zeros()).unwrap_or(RUN);
                job(run.get(start..at).unwrap_or_default());
                start = at + 1;
                left_out &= left_out - 1;
            }
            job(run.get(start..).unwrap_or_default());
            continue;
        }
        // Each value is put behind the last one that is held, where the next one overwrites it: no branch asks.
        let (mut kept, mut count) = ([T::default(); RUN], 0usize);
        for (at, value) in run.iter().enumerate() {
            if let Some(slot) = kept.get_mut(count) {
                *slot = *value;
            }
            count += usize::from(word >> at & 1 == 1);
        }
        job(kept.get(..count).unwrap_or_default());
    }
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
            let (mut found, mut all) = (Vec::new(), Vec::new());
            each_run(values, Some(&held), |run| found.extend_from_slice(run));
            each_run(values, None, |run| all.extend_from_slice(run));
            let wanted = rows.iter().skip(skipped).filter(|(_, held)| *held).map(|(value, _)| *value);
            prop_assert_eq!(found, wanted.collect::<Vec<_>>());
            prop_assert_eq!(all, values);
        }
    }
}
