//! Differences of integers, packed in blocks: the encoding DELTA_BINARY_PACKED.
//!
//! Format: parquet-format's `Encodings.md`. A header (values in a block, miniblocks in it, values, the first value), then
//! blocks: the least difference, the bits of each miniblock, and the miniblocks' differences above the least one.

use super::hybrid;

const BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Appends 64-bit integers, given as bits. `differences` is a buffer kept for its memory.
pub(super) fn encode(values: &[u64], differences: &mut Vec<u64>, out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint(MINIBLOCKS as u64, out);
    varint(values.len() as u64, out);
    let Some((first, others)) = values.split_first() else { return varint(0, out) };
    zigzag(*first, out);
    differences.clear();
    // Differences wrap around, and so do the sums that undo them.
    differences.extend(values.iter().zip(others).map(|(before, after)| after.wrapping_sub(*before)));
    for block in differences.chunks_mut(BLOCK) {
        encode_block(block, out);
    }
}

fn encode_block(block: &mut [u64], out: &mut Vec<u8>) {
    let least = block.iter().map(|difference| difference.cast_signed()).min().unwrap_or_default();
    zigzag(least.cast_unsigned(), out);
    for difference in block.iter_mut() {
        *difference = difference.wrapping_sub(least.cast_unsigned());
    }
    let mut widths = [0u8; MINIBLOCKS];
    for (width, miniblock) in widths.iter_mut().zip(block.chunks(MINIBLOCK)) {
        let bits = miniblock.iter().fold(0, |bits, difference| bits | difference);
        *width = u8::try_from(u64::BITS - bits.leading_zeros()).unwrap_or(64);
    }
    out.extend_from_slice(&widths);
    for (width, miniblock) in widths.iter().zip(block.chunks(MINIBLOCK)) {
        if *width <= 32 { narrow(miniblock, *width, out) } else { wide(miniblock, *width, out) }
    }
}

/// Differences of up to 32 bits; a short miniblock is filled up with zeros.
fn narrow(miniblock: &[u64], width: u8, out: &mut Vec<u8>) {
    let mut values = [0u32; MINIBLOCK];
    for (slot, difference) in values.iter_mut().zip(miniblock) {
        *slot = u32::try_from(*difference).unwrap_or_default();
    }
    let (groups, _) = values.as_chunks::<8>();
    hybrid::pack_groups(groups, width, out);
}

fn wide(miniblock: &[u64], width: u8, out: &mut Vec<u8>) {
    let (mut bits, mut held) = (0u128, 0u32);
    let zeros = std::iter::repeat_n(&0, MINIBLOCK.saturating_sub(miniblock.len()));
    for difference in miniblock.iter().chain(zeros) {
        bits |= u128::from(*difference) << held;
        held += u32::from(width);
        while held >= 8 {
            let [lowest, ..] = bits.to_le_bytes();
            out.push(lowest);
            bits >>= 8;
            held -= 8;
        }
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while let Ok(low) = u8::try_from(value & 0x7f) {
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn zigzag(bits: u64, out: &mut Vec<u8>) {
    let value = bits.cast_signed();
    varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
    use arrow::datatypes::TimestampMicrosecondType;
    use proptest::prelude::*;

    use super::super::tests::{file, read};
    use super::*;

    proptest! {
        #[test]
        fn differences_of_any_width_read_back(
            start in any::<i64>(), steps in prop::collection::vec((0u32..64, any::<u64>()), 0..400),
        ) {
            let mut at = start;
            let steps = steps.into_iter().map(|(width, bits)| {
                at = at.wrapping_add_unsigned(bits >> width);
                at
            });
            let values: Vec<u64> = std::iter::once(start).chain(steps).map(i64::cast_unsigned).collect();
            let mut bytes = Vec::new();
            encode(&values, &mut Vec::new(), &mut bytes);
            prop_assert_eq!(decoded(&bytes, values.len()), values);
        }
    }

    /// As the parquet crate's decoder reads them.
    fn decoded(bytes: &[u8], count: usize) -> Vec<u64> {
        let values = crate::write::flat::tests::decoded_deltas(bytes, count);
        values.into_iter().map(i64::cast_unsigned).collect()
    }

    #[test]
    fn timestamps_that_ascend_evenly_become_differences() {
        let times: ArrayRef =
            std::sync::Arc::new(TimestampMicrosecondArray::from_iter_values((0..5000).map(|row| row * 1_000_003)));
        let codec = parquet::basic::Compression::SNAPPY;
        let bytes = file(&times, times.data_type(), true, codec, &[37]);
        assert!(bytes.len() < 10_000, "{}", bytes.len());
        let found = read(&bytes);
        assert_eq!(found.as_primitive::<TimestampMicrosecondType>(), times.as_primitive::<TimestampMicrosecondType>());
    }
}
