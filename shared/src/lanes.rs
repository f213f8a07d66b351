//! Packed integers, eight at a time: moved between a row of bits and the lanes of a word, all lanes at once.
//!
//! The order is that of the parquet format: the first value in the lowest bits.

/// Values that are packed together.
pub const GROUP: usize = 8;

/// The lowest `bits` bits of every lane of `lane` bits.
const fn low(lane: usize, bits: usize) -> u64 {
    let (ones, mut mask, mut at) = (if bits < 64 { (1 << bits) - 1 } else { u64::MAX }, 0, 0);
    while at < 64 {
        mask |= ones << at;
        at += lane;
    }
    mask
}

/// In each lane of twice `lane` bits, takes two values of `bits` bits, which lie one behind the other, to a lane each.
const fn apart(word: u64, lane: usize, bits: usize, low: u64) -> u64 {
    (word & low) | ((word << (lane - bits)) & (low << lane))
}

/// What [`apart`] did, undone.
const fn together(word: u64, lane: usize, bits: usize, low: u64) -> u64 {
    (word & low) | ((word >> (lane - bits)) & (low << bits))
}

/// Eight values of `WIDTH` bits, at most eight, that lie in the lowest bits: each in a byte of its own.
pub const fn to_bytes<const WIDTH: usize>(packed: u64) -> u64 {
    let halves = apart(packed, 32, 4 * WIDTH, const { low(64, 4 * WIDTH) });
    let quarters = apart(halves, 16, 2 * WIDTH, const { low(32, 2 * WIDTH) });
    apart(quarters, 8, WIDTH, const { low(16, WIDTH) })
}

/// What [`to_bytes`] did, undone. Of each byte the lowest `WIDTH` bits count.
pub const fn of_bytes<const WIDTH: usize>(bytes: u64) -> u64 {
    let quarters = together(bytes, 8, WIDTH, const { low(16, WIDTH) });
    let halves = together(quarters, 16, 2 * WIDTH, const { low(32, 2 * WIDTH) });
    together(halves, 32, 4 * WIDTH, const { low(64, 4 * WIDTH) })
}

/// Four values of `WIDTH` bits, at most sixteen, that lie in the lowest bits: each in sixteen bits of its own.
pub const fn to_shorts<const WIDTH: usize>(packed: u64) -> u64 {
    let halves = apart(packed, 32, 2 * WIDTH, const { low(64, 2 * WIDTH) });
    apart(halves, 16, WIDTH, const { low(32, WIDTH) })
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packs values one bit after the other.
    fn packed(values: &[u64], width: usize) -> u64 {
        values.iter().rev().fold(0u128, |bits, value| bits << width | u128::from(*value)) as u64
    }

    fn lanes(values: &[u64], lane: usize) -> u64 {
        packed(values, lane)
    }

    macro_rules! of_widths {
        ($check:ident, $values:expr, $($width:literal)*) => {
            $($check::<$width>($values)?;)*
        };
    }

    fn bytes<const WIDTH: usize>(values: &[u64; 8]) -> Result<(), TestCaseError> {
        let values = values.map(|value| value & ((1 << WIDTH) - 1));
        let (packed, lanes) = (packed(&values, WIDTH), lanes(&values, 8));
        prop_assert_eq!((to_bytes::<WIDTH>(packed), of_bytes::<WIDTH>(lanes)), (lanes, packed), "{} bits", WIDTH);
        Ok(())
    }

    fn shorts<const WIDTH: usize>(values: &[u64; 4]) -> Result<(), TestCaseError> {
        let values = values.map(|value| value & ((1 << WIDTH) - 1));
        let (packed, lanes) = (packed(&values, WIDTH), lanes(&values, 16));
        prop_assert_eq!(to_shorts::<WIDTH>(packed), lanes, "{} bits", WIDTH);
        Ok(())
    }

    proptest! {
        #[test]
        fn values_of_any_width_go_to_lanes_and_bytes_back(eight: [u64; 8], four: [u64; 4]) {
            of_widths!(bytes, &eight, 1 2 3 4 5 6 7 8);
            of_widths!(shorts, &four, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
        }
    }
}
