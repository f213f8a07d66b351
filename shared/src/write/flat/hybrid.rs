//! Parquet's hybrid of run lengths and bit-packed values, for dictionary indices and definition levels.
//!
//! Format: parquet-format's `Encodings.md`, "Run Length Encoding / Bit-Packing Hybrid". A run is a varint header and
//! what it announces: `count << 1` and one value in whole bytes, or `groups << 1 | 1` and groups of eight values packed
//! from the lowest bit up.

use super::codes::Code;
use crate::lanes::{self, GROUP};

/// Groups looked at together.
const WINDOW: usize = 64;
/// A run of equal values interrupts packed ones where it saves at least so many bytes: two headers and a value.
const WORTH_BYTES: usize = 6;

/// The bits that hold every value up to `largest`.
pub(super) fn bit_width(largest: u32) -> u8 {
    // At most 32.
    u8::try_from(u32::BITS - largest.leading_zeros()).unwrap_or(32)
}

/// Appends values of `width` bits, without a length in front.
pub(super) fn encode<C: Code>(values: &[C], width: u8, out: &mut Vec<u8>) {
    if width == 0 {
        // Every value is zero: nothing but a count.
        if !values.is_empty() {
            run(values.len(), 0, 0, out);
        }
        return;
    }
    let (groups, rest) = values.as_chunks::<GROUP>();
    let worth = (WORTH_BYTES / usize::from(width)).max(1);
    let (mut packed, mut at) = (0, 0);
    while let Some(window) = groups.get(at..).filter(|groups| !groups.is_empty()) {
        let window = window.get(..WINDOW).unwrap_or(window);
        let mut starts = starts(window, worth);
        // A run that begins with the last groups may go on behind the window.
        let mut next = at + if window.len() < WINDOW { WINDOW } else { WINDOW - (worth - 1) };
        while starts != 0 {
            let first = at + usize::try_from(starts.trailing_zeros()).unwrap_or(WINDOW);
            let equal = equal_groups(groups.get(first..).unwrap_or_default());
            pack(groups.get(packed..first).unwrap_or_default(), width, out);
            run(equal * GROUP, groups.get(first).map_or(0, |[value, ..]| (*value).into()), width, out);
            packed = first + equal;
            next = next.max(packed);
            starts &= u32::try_from(packed - at).ok().and_then(|behind| u64::MAX.checked_shl(behind)).unwrap_or(0);
        }
        at = next;
    }
    pack(groups.get(packed..).unwrap_or_default(), width, out);
    if let Some(first) = rest.first() {
        if rest.iter().all(|value| value == first) {
            run(rest.len(), (*first).into(), width, out);
        } else {
            // What fills the last group is beyond the count of values, which every page tells.
            let mut last = [C::default(); GROUP];
            last.iter_mut().zip(rest).for_each(|(slot, value)| *slot = *value);
            pack(&[last], width, out);
        }
    }
}

/// A bit for each of at most [`WINDOW`] groups with which at least `worth` groups of one value begin.
fn starts<C: Code>(window: &[[C; GROUP]], worth: usize) -> u64 {
    let bits = |bits: u64, (at, is_set): (usize, bool)| bits | u64::from(is_set) << at;
    let equal = window.iter().map(C::are_equal).enumerate().fold(0, bits);
    if worth == 1 || equal == 0 {
        return equal;
    }
    let pairs = window.iter().zip(window.iter().skip(1)).map(|([one, ..], [next, ..])| one == next);
    // Groups that are equal, and so is the next one, to it.
    let joined = pairs.enumerate().fold(0, bits) & equal & (equal >> 1);
    (1..worth - 1).fold(joined, |starts, step| starts & (joined >> step))
}

/// How many of the first groups are of one value.
fn equal_groups<C: Code>(groups: &[[C; GROUP]]) -> usize {
    let Some(first) = groups.first() else { return 0 };
    groups.iter().take_while(|group| *group == first).count()
}

/// Appends single bits, lowest first in each byte, as values of width 1. `zeros` of them are not set; what lies behind
/// the last of the `count` bits is not set either.
pub(super) fn encode_bits(bits: &[u8], count: usize, zeros: usize, out: &mut Vec<u8>) {
    if zeros == 0 || zeros == count {
        if count > 0 {
            run(count, u32::from(zeros == 0), 1, out);
        }
        return;
    }
    let (mut packed, mut at) = (0, 0);
    let whole = count / GROUP;
    let groups = bits.get(..count.div_ceil(GROUP)).unwrap_or(bits);
    while at < whole {
        let equal = match groups.get(at..whole).and_then(<[u8]>::split_first) {
            Some((first @ &(0 | u8::MAX), others)) => 1 + others.iter().take_while(|group| *group == first).count(),
            Some(_) => 0,
            None => break,
        };
        if equal >= WORTH_BYTES {
            pack_bits(groups.get(packed..at).unwrap_or_default(), out);
            run(equal * GROUP, u32::from(groups.get(at) == Some(&u8::MAX)), 1, out);
            packed = at + equal;
        }
        at += equal.max(1);
    }
    pack_bits(groups.get(packed..).unwrap_or_default(), out);
}

fn pack_bits(groups: &[u8], out: &mut Vec<u8>) {
    if !groups.is_empty() {
        varint((groups.len() << 1) | 1, out);
        out.extend_from_slice(groups);
    }
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while let Ok(low) = u8::try_from(value & 0x7f) {
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn run(count: usize, value: u32, width: u8, out: &mut Vec<u8>) {
    varint(count << 1, out);
    out.extend(value.to_le_bytes().into_iter().take(usize::from(width).div_ceil(8)));
}

fn pack<C: Code>(groups: &[[C; GROUP]], width: u8, out: &mut Vec<u8>) {
    if groups.is_empty() {
        return;
    }
    varint((groups.len() << 1) | 1, out);
    C::pack(groups, width, out);
}

/// Appends groups of eight values of up to 32 bits, nothing before or between them.
pub(super) fn pack_groups<C: Code>(groups: &[[C; GROUP]], width: u8, out: &mut Vec<u8>) {
    // One function for each width: all that it shifts by is known when it is compiled.
    macro_rules! of_width {
        ($($width:literal)*) => {
            match width {
                $($width => pack_fixed::<$width, C>(groups, out),)*
                _ => {}
            }
        };
    }
    of_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
}

fn pack_fixed<const WIDTH: usize, C: Code>(groups: &[[C; GROUP]], out: &mut Vec<u8>) {
    const WORD: usize = 64;
    out.reserve(groups.len() * WIDTH);
    for group in groups {
        let mut words = [0u64; GROUP * 32 / WORD];
        for (place, value) in group.iter().enumerate() {
            let (bit, value) = (place * WIDTH, u64::from((*value).into()));
            if let Some(word) = words.get_mut(bit / WORD) {
                *word |= value << (bit % WORD);
            }
            if let Some(next) = words.get_mut(bit / WORD + 1).filter(|_| bit % WORD + WIDTH > WORD) {
                *next |= value >> (WORD - bit % WORD);
            }
        }
        let [a, b, c, d] = words.map(u64::to_le_bytes);
        let (mut bytes, parts) = ([0u8; GROUP * 4], [a, b, c, d]);
        bytes.as_chunks_mut::<8>().0.iter_mut().zip(parts).for_each(|(chunk, part)| *chunk = part);
        out.extend_from_slice(bytes.get(..WIDTH).unwrap_or_default());
    }
}

/// The same, of values of a byte: a group is a word, and so is what becomes of it.
pub(super) fn pack_bytes(groups: &[[u8; GROUP]], width: u8, out: &mut Vec<u8>) {
    macro_rules! of_width {
        ($($width:literal)*) => {
            match width {
                $($width => pack_bytes_fixed::<$width>(groups, out),)*
                // Wider than what is packed.
                _ => pack_groups(groups, width, out),
            }
        };
    }
    of_width!(1 2 3 4 5 6 7 8);
}

fn pack_bytes_fixed<const WIDTH: usize>(groups: &[[u8; GROUP]], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + groups.len() * WIDTH, 0);
    let slots = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<WIDTH>().0;
    for (slot, group) in slots.iter_mut().zip(groups) {
        let packed = lanes::of_bytes::<WIDTH>(u64::from_le_bytes(*group)).to_le_bytes();
        slot.iter_mut().zip(packed).for_each(|(to, from)| *to = from);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A slow reading of the format, one bit at a time.
    fn decode(bytes: &[u8], width: usize, count: usize) -> Vec<u32> {
        let (mut at, mut values) = (0, Vec::new());
        while values.len() < count {
            let (mut header, mut shift) = (0usize, 0);
            loop {
                header |= usize::from(bytes[at] & 0x7f) << shift;
                shift += 7;
                at += 1;
                if bytes[at - 1] & 0x80 == 0 {
                    break;
                }
            }
            if header & 1 == 0 {
                let length = width.div_ceil(8);
                let value = (0..length).fold(0u32, |value, byte| value | u32::from(bytes[at + byte]) << (8 * byte));
                at += length;
                values.extend(std::iter::repeat_n(value, header >> 1));
            } else {
                for index in 0..(header >> 1) * 8 {
                    let bit = |bit: usize| u32::from(bytes[at + bit / 8] >> (bit % 8) & 1);
                    values.push((0..width).fold(0, |value, low| value | bit(index * width + low) << low));
                }
                at += (header >> 1) * width;
            }
        }
        assert_eq!(at, bytes.len(), "bytes behind the last run");
        values.truncate(count);
        values
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back_at_every_width(
            width in 0u8..=32, runs in prop::collection::vec((any::<u32>(), 1usize..40), 0..60), scattered in any::<bool>(),
        ) {
            let mask = if width == 32 { u32::MAX } else { (1 << width) - 1 };
            let spread = |(value, length): (u32, usize)| {
                (0..length).map(move |at| if scattered { value.rotate_left(at as u32) & mask } else { value & mask })
            };
            let values: Vec<u32> = runs.into_iter().flat_map(spread).collect();
            let mut bytes = Vec::new();
            encode(&values, width, &mut bytes);
            prop_assert_eq!(&decode(&bytes, usize::from(width), values.len()), &values);
            // However wide they are kept.
            let (mut of_shorts, mut of_bytes) = (Vec::new(), Vec::new());
            encode(&values.iter().map(|value| *value as u16).collect::<Vec<_>>(), width, &mut of_shorts);
            encode(&values.iter().map(|value| *value as u8).collect::<Vec<_>>(), width, &mut of_bytes);
            prop_assert!(width > 16 || of_shorts == bytes);
            prop_assert!(width > 8 || of_bytes == bytes);
        }
    }

    proptest! {
        #[test]
        fn bits_read_back(runs in prop::collection::vec((any::<bool>(), 1usize..100), 0..40)) {
            let values: Vec<bool> = runs.into_iter().flat_map(|(bit, count)| std::iter::repeat_n(bit, count)).collect();
            let mut bytes = Vec::new();
            let bits = arrow::buffer::BooleanBuffer::from(values.clone());
            let zeros = values.len() - bits.count_set_bits();
            encode_bits(bits.values(), values.len(), zeros, &mut bytes);
            let found: Vec<bool> = decode(&bytes, 1, values.len()).into_iter().map(|bit| bit == 1).collect();
            prop_assert_eq!(found, values);
        }
    }

    #[test]
    fn equal_values_take_a_few_bytes_whatever_their_number() {
        let mut bytes = Vec::new();
        encode(&[5u32; 100_000], 11, &mut bytes);
        assert!(bytes.len() < 8, "{}", bytes.len());
    }

    #[test]
    fn equal_values_are_a_run_wherever_they_begin_and_from_six_bytes_on() {
        let encoded = |before: usize, equal: usize, width: u8| {
            // Groups that differ from their neighbours and within themselves.
            let other =
                |at: usize| if at.is_multiple_of(2) { [0u8, 0, 1, 0, 0, 0, 0, 0] } else { [0, 0, 0, 1, 0, 0, 0, 0] };
            let groups = (0..before).map(other).chain(std::iter::repeat_n([1; GROUP], equal)).chain((0..9).map(other));
            let mut bytes = Vec::new();
            encode(groups.flatten().collect::<Vec<_>>().as_slice(), width, &mut bytes);
            // Without a header, which is longer where there are more.
            bytes.len() - (before + 9) * usize::from(width)
        };
        for before in 1..150 {
            // Two headers and a value more, of a byte each but that of many groups.
            let headers = if before < 64 { 4 } else { 5 };
            for (equal, width) in [(6, 1), (7, 1), (64, 1), (3, 2), (2, 3), (1, 4), (1, 8)] {
                let run_header = usize::from(equal * GROUP >= 64);
                assert_eq!(
                    encoded(before, equal, width),
                    headers + run_header,
                    "{equal} behind {before}, {width} bits"
                );
            }
            let packed_header = |groups: usize| 1 + usize::from(groups >= 64);
            for (few, width) in [(5, 1), (2, 2), (1, 3)] {
                let wanted = packed_header(before + few + 9) + few * usize::from(width);
                assert_eq!(encoded(before, few, width), wanted, "{few} behind {before}, {width} bits");
            }
        }
    }

    #[test]
    fn groups_of_one_value_each_are_no_run_of_the_first() {
        let values: Vec<u16> = (0..60).flat_map(|group| [group / 3 % 2; GROUP]).collect();
        let mut bytes = Vec::new();
        encode(&values, 1, &mut bytes);
        // Three groups of ones, three of zeros: a header, and a byte a group.
        assert_eq!(bytes.len(), 1 + 60);
    }

    #[test]
    fn a_width_holds_the_largest_value() {
        assert_eq!([0, 1, 2, 255, 256, u32::MAX].map(bit_width), [0, 1, 2, 8, 9, 32]);
    }
}
