//! Small integers in Parquet's hybrid of run lengths and bit-packed values, read: dictionary indices and definition levels.
//!
//! Format: parquet-format's `Encodings.md`, "Run Length Encoding / Bit-Packing Hybrid". The parquet crate reads it too, but
//! gives codes only by looking them up in a dictionary, into memory that is cleared before.

use std::ops::Range;

use arrow::array::BooleanBufferBuilder;
use bytes::Bytes;

use super::packed::{Code, MAX_WIDTH, value_at};
use crate::lanes::GROUP;

/// Values of one width, and how far they were read.
#[derive(Debug, Clone)]
pub(super) struct Runs {
    bytes: Bytes,
    /// Where what is behind the open run begins.
    next: usize,
    width: u8,
    run: Run,
    /// Values of the open run that are not read yet.
    left: usize,
}

#[derive(Debug, Clone, Copy)]
enum Run {
    Equal(u32),
    /// Packed values from the lowest bit up: where they begin and end, and how many of them were read.
    Packed {
        start: usize,
        end: usize,
        read: usize,
    },
}

/// Values of a run: equal ones, or packed ones of which so many were read.
enum Values<'a> {
    Equal(u32),
    Packed(&'a [u8], usize),
}

impl Runs {
    /// Runs without a length in front. `None` where values are wider than 32 bits.
    pub fn new(bytes: Bytes, width: u8) -> Option<Self> {
        (width <= MAX_WIDTH).then_some(Self { bytes, next: 0, width, run: Run::Equal(0), left: 0 })
    }

    /// Single bits, the lowest of each byte first, without any header.
    pub fn of_bits(bytes: Bytes) -> Self {
        let end = bytes.len();
        Self { bytes, next: end, width: 1, run: Run::Packed { start: 0, end, read: 0 }, left: end.saturating_mul(8) }
    }

    /// Bits of each value.
    pub fn width(&self) -> u8 {
        self.width
    }

    /// Appends the next `count` values, as codes that are wide enough for them; answers how many there were.
    pub fn read<C: Code>(&mut self, count: usize, out: &mut Vec<C>) -> usize {
        self.each_run(count, |values, width, count| match values {
            Values::Equal(value) => out.extend(std::iter::repeat_n(C::of(value), count)),
            Values::Packed(bytes, read) => {
                let end = read + count;
                // One by one to the next group, group by group, and one by one.
                let whole = read.next_multiple_of(GROUP).min(end)..(end - end % GROUP).max(read);
                let one = |at: usize| C::of(value_at(bytes, at, width));
                out.extend((read..whole.start).map(one));
                if whole.start < whole.end {
                    let first = bytes.get(whole.start / GROUP * usize::from(width)..).unwrap_or_default();
                    C::unpack(first, width, (whole.end - whole.start) / GROUP, out);
                }
                out.extend((whole.end.max(whole.start)..end).map(one));
            }
        })
    }

    /// Appends for each of the next `count` values of width 1 whether it is 1; answers how many there were.
    pub fn read_bits(&mut self, count: usize, out: &mut BooleanBufferBuilder) -> usize {
        self.each_run(count, |values, _, count| match values {
            Values::Equal(value) => out.append_n(count, value == 1),
            Values::Packed(bytes, read) => out.append_packed_range(read..read + count, bytes),
        })
    }

    /// Passes over the next `count` values; answers how many there were.
    pub fn skip(&mut self, count: usize) -> usize {
        self.each_run(count, |_, _, _| {})
    }

    /// Gives each run, or what of it belongs to the next `count` values.
    fn each_run(&mut self, count: usize, mut take: impl FnMut(Values<'_>, u8, usize)) -> usize {
        let mut missing = count;
        while missing > 0 {
            if self.left == 0 && self.open().is_none() {
                break;
            }
            let here = missing.min(self.left);
            let values = match &mut self.run {
                Run::Equal(value) => Values::Equal(*value),
                Run::Packed { start, end, read } => {
                    let before = *read;
                    *read += here;
                    Values::Packed(self.bytes.get(*start..*end).unwrap_or_default(), before)
                }
            };
            take(values, self.width, here);
            self.left -= here;
            missing -= here;
        }
        count - missing
    }

    /// Opens the next run. `None` where the bytes end, even in its midst: but the last packed values may end before what
    /// fills their group.
    fn open(&mut self) -> Option<()> {
        let header = self.varint()?;
        let count = usize::try_from(header >> 1).ok()?;
        let width = usize::from(self.width);
        if header & 1 == 0 {
            let bytes = self.take(width.div_ceil(8))?;
            let bytes = self.bytes.get(bytes)?;
            let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            (self.run, self.left) = (Run::Equal(value), count);
        } else if width == 0 {
            (self.run, self.left) = (Run::Equal(0), count.checked_mul(GROUP)?);
        } else {
            let Range { start, end } = self.take(count.checked_mul(width)?.min(self.bytes.len() - self.next))?;
            self.left = count.checked_mul(GROUP)?.min((end - start).checked_mul(8)? / width);
            self.run = Run::Packed { start, end, read: 0 };
        }
        Some(())
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in (0..u32::BITS).step_by(7) {
            let byte = *self.bytes.get(self.next)?;
            self.next += 1;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<Range<usize>> {
        let taken = self.next..self.next.checked_add(count).filter(|end| *end <= self.bytes.len())?;
        self.next = taken.end;
        Some(taken)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs as a writer may make them: equal values, or groups of eight.
    fn written(runs: &[(bool, Vec<u32>)], width: u8) -> (Vec<u8>, Vec<u32>) {
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        let header = |mut header: usize, bytes: &mut Vec<u8>| {
            while header >= 0x80 {
                bytes.push(u8::try_from(header & 0x7f).unwrap() | 0x80);
                header >>= 7;
            }
            bytes.push(u8::try_from(header).unwrap());
        };
        for (packed, run) in runs {
            let run: Vec<u32> = run.iter().map(|value| value & u32::try_from((1u64 << width) - 1).unwrap()).collect();
            let groups = run.len() / GROUP;
            if *packed {
                header(groups << 1 | 1, &mut bytes);
                let mut bits = vec![0u8; groups * usize::from(width)];
                for (at, value) in run.iter().take(groups * GROUP).enumerate() {
                    for bit in (0..usize::from(width)).filter(|bit| value >> bit & 1 == 1) {
                        let place = at * usize::from(width) + bit;
                        *bits.get_mut(place / 8).unwrap() |= 1 << (place % 8);
                    }
                }
                bytes.extend(bits);
                values.extend(run.iter().take(groups * GROUP));
            } else if let Some(value) = run.first() {
                header(run.len() << 1, &mut bytes);
                bytes.extend(value.to_le_bytes().iter().take(usize::from(width).div_ceil(8)));
                values.extend(std::iter::repeat_n(*value, run.len()));
            }
        }
        (bytes, values)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_in_steps_of_any_length(
            width in 0u8..=32,
            runs in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u32>(), 1..100)), 0..8),
            steps in prop::collection::vec((any::<bool>(), 1usize..60), 1..40),
        ) {
            let (bytes, values) = written(&runs, width);
            let mut reader = Runs::new(bytes.into(), width).unwrap();
            let mut at = 0;
            for (read, count) in steps {
                let wanted: Vec<i32> = values.iter().skip(at).take(count).map(|value| value.cast_signed()).collect();
                if read {
                    let mut found: Vec<i32> = Vec::new();
                    // As narrow as they are, and wider.
                    if width <= 8 {
                        let mut narrow: Vec<u8> = Vec::new();
                        prop_assert_eq!(reader.clone().read(count, &mut narrow), wanted.len());
                        prop_assert!(narrow.into_iter().map(i32::from).eq(wanted.iter().copied()));
                    }
                    if width <= 16 {
                        let mut narrow: Vec<u16> = Vec::new();
                        prop_assert_eq!(reader.clone().read(count, &mut narrow), wanted.len());
                        prop_assert!(narrow.into_iter().map(i32::from).eq(wanted.iter().copied()));
                    }
                    prop_assert_eq!(reader.read(count, &mut found), wanted.len());
                    prop_assert_eq!(&found, &wanted);
                } else {
                    prop_assert_eq!(reader.skip(count), wanted.len());
                }
                at += wanted.len();
            }
        }

        #[test]
        fn bits_are_read_in_steps_of_any_length(
            runs in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u32>(), 1..100)), 0..8),
            steps in prop::collection::vec(1usize..60, 1..40),
        ) {
            let (bytes, values) = written(&runs, 1);
            let mut reader = Runs::new(bytes.into(), 1).unwrap();
            let mut bits = BooleanBufferBuilder::new(0);
            let read: usize = steps.iter().map(|count| reader.read_bits(*count, &mut bits)).sum();
            prop_assert_eq!(read, steps.iter().sum::<usize>().min(values.len()));
            let found = bits.finish();
            prop_assert_eq!(found.len(), read);
            prop_assert!(found.iter().zip(values).all(|(bit, value)| bit == (value == 1)));
        }

        #[test]
        fn bytes_that_are_no_runs_give_at_most_what_was_asked_for(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            width in 0u8..=32,
            count in 0usize..5_000,
        ) {
            let runs = Runs::new(bytes.into(), width).unwrap();
            let (mut bytes, mut shorts, mut words) = (Vec::<u8>::new(), Vec::<u16>::new(), Vec::<i32>::new());
            let read = runs.clone().read(count, &mut words);
            prop_assert!(read <= count && words.len() == read);
            prop_assert!(width > 8 || (runs.clone().read(count, &mut bytes), bytes.len()) == (read, read));
            prop_assert!(width > 16 || (runs.clone().read(count, &mut shorts), shorts.len()) == (read, read));
        }
    }

    #[test]
    fn packed_values_at_the_end_need_no_filling() {
        // Three values of 5 bits in two bytes, where a group of eight would take five.
        let mut found: Vec<i32> = Vec::new();
        let bytes = Bytes::from_static(&[0b11, 0b0010_0001, 0b0000_1100]);
        let runs = Runs::new(bytes, 5).unwrap();
        assert_eq!(runs.clone().read(8, &mut found), 3);
        assert_eq!(found, [1, 1, 3]);
        let (mut bytes, mut shorts) = (Vec::<u8>::new(), Vec::<u16>::new());
        assert_eq!((runs.clone().read(8, &mut bytes), bytes), (3, vec![1, 1, 3]));
        assert_eq!((runs.clone().read(8, &mut shorts), shorts), (3, vec![1, 1, 3]));
    }

    #[test]
    fn values_wider_than_32_bits_are_refused() {
        assert!(Runs::new(Bytes::new(), 33).is_none());
    }
}
