//! Bit-packed values, unpacked to integers that are as wide as the codes of a chunk need be.

use arrow::datatypes::{ArrowDictionaryKeyType, ArrowNativeType, Int32Type, UInt8Type, UInt16Type};

use crate::lanes::{self, GROUP};

/// Above this, a value does not fit into what is read at once.
pub(super) const MAX_WIDTH: u8 = 32;

/// An integer that holds a code.
pub(super) trait Code: ArrowNativeType {
    /// Arrays of it.
    type Key: ArrowDictionaryKeyType<Native = Self>;
    /// Codes of more bits may not fit.
    const BITS: u8;

    /// A code of at most so many bits. Of 32 bits, those above 2^31 come out negative.
    fn of(value: u32) -> Self;

    /// Appends groups of packed values of at most so many bits, of which there are as many bytes.
    fn unpack(bytes: &[u8], width: u8, groups: usize, out: &mut Vec<Self>);
}

/// One function for each width: all that it shifts by is known when it is compiled.
macro_rules! of_width {
    ($width:expr, $unpack:ident, $arguments:tt, $($known:literal)*) => {
        match $width {
            $($known => $unpack::<$known, { $known + 8 }>$arguments,)*
            _ => {}
        }
    };
}

impl Code for u8 {
    type Key = UInt8Type;
    const BITS: u8 = 8;

    fn of(value: u32) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }

    fn unpack(bytes: &[u8], width: u8, groups: usize, out: &mut Vec<Self>) {
        of_width!(width, to_bytes, (bytes, groups, out), 1 2 3 4 5 6 7 8);
    }
}

impl Code for u16 {
    type Key = UInt16Type;
    const BITS: u8 = 16;

    fn of(value: u32) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }

    fn unpack(bytes: &[u8], width: u8, groups: usize, out: &mut Vec<Self>) {
        of_width!(width, to_shorts, (bytes, groups, out), 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
    }
}

impl Code for i32 {
    type Key = Int32Type;
    const BITS: u8 = MAX_WIDTH;

    fn of(value: u32) -> Self {
        value.cast_signed()
    }

    fn unpack(bytes: &[u8], width: u8, groups: usize, out: &mut Vec<Self>) {
        of_width!(
            width, to_words, (bytes, groups, out),
            1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        );
    }
}

fn low_bits(width: usize) -> u64 {
    (1u64 << width.min(usize::from(MAX_WIDTH))) - 1
}

/// One packed value.
pub(super) fn value_at(bytes: &[u8], at: usize, width: u8) -> u32 {
    let bit = at * usize::from(width);
    let rest = bytes.get(bit / 8..).unwrap_or_default();
    let word = match rest.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => word_of(rest),
    };
    u32::try_from(word >> (bit % 8) & low_bits(usize::from(width))).unwrap_or(u32::MAX)
}

/// Fewer than eight bytes as a word.
fn word_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// As many slots behind the last value as groups have, group by group.
fn slots<C: Code>(groups: usize, out: &mut Vec<C>) -> &mut [[C; GROUP]] {
    let start = out.len();
    out.resize(start + groups * GROUP, C::default());
    out.get_mut(start..).unwrap_or_default().as_chunks_mut().0
}

/// Groups of values of at most eight bits: a group is a word then.
fn to_bytes<const WIDTH: usize, const READ: usize>(bytes: &[u8], groups: usize, out: &mut Vec<u8>) {
    let packed = bytes.as_chunks::<WIDTH>().0;
    let slots = slots(groups, out);
    let unpacked = |word| lanes::to_bytes::<WIDTH>(word).to_le_bytes();
    for (slot, group) in slots.iter_mut().zip(packed) {
        let mut word = [0; 8];
        word.iter_mut().zip(group).for_each(|(to, from)| *to = *from);
        *slot = unpacked(u64::from_le_bytes(word));
    }
}

/// Groups of values of at most sixteen bits: half a group is in a word.
fn to_shorts<const WIDTH: usize, const READ: usize>(bytes: &[u8], groups: usize, out: &mut Vec<u16>) {
    let packed = bytes.as_chunks::<WIDTH>().0;
    let slots = slots(groups, out);
    let unpacked = |group: &[u8; WIDTH]| {
        let halves = match (group.first_chunk(), group.last_chunk()) {
            (Some(first), Some(last)) => [u64::from_le_bytes(*first), u64::from_le_bytes(*last) >> (64 - 4 * WIDTH)],
            _ => {
                let word = word_of(group);
                [word, word >> (4 * WIDTH)]
            }
        };
        let [[a, b, c, d], [e, f, g, h]] = halves.map(|half| {
            let [a, b, c, d, e, f, g, h] = lanes::to_shorts::<WIDTH>(half).to_le_bytes();
            [[a, b], [c, d], [e, f], [g, h]].map(u16::from_le_bytes)
        });
        [a, b, c, d, e, f, g, h]
    };
    for (slot, group) in slots.iter_mut().zip(packed) {
        *slot = unpacked(group);
    }
}

/// Groups of values of any width. `READ` bytes are eight more than a group has, so that each value can be read with the
/// eight bytes from its first on.
fn to_words<const WIDTH: usize, const READ: usize>(bytes: &[u8], groups: usize, out: &mut Vec<i32>) {
    out.reserve(groups * GROUP);
    let mut rest = bytes;
    for _ in 0..groups {
        let mut last = [0; READ];
        let chunk = rest.first_chunk::<READ>().unwrap_or_else(|| {
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            &last
        });
        let mut values = [0; GROUP];
        for (at, value) in values.iter_mut().enumerate() {
            let bit = at * WIDTH;
            let word = chunk.get(bit / 8..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word));
            *value = u32::try_from(word >> (bit % 8) & low_bits(WIDTH)).unwrap_or(u32::MAX).cast_signed();
        }
        out.extend_from_slice(&values);
        rest = rest.get(WIDTH..).unwrap_or_default();
    }
}
