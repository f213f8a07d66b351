//! Codes of values met before: one slot each for as many groups of values, in the caches of a core. Behind it stands the
//! table of [`Entries`], which need not know what a slot still holds.

use super::entries::Entries;

/// An odd number near 2^64 divided by the golden ratio: products of near numbers differ in their upper bits (D. E. Knuth,
/// "The Art of Computer Programming", volume 3, 6.4).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
/// Bits of a slot's place: of values that may be anything, and of times, for three days of seconds: a row group's trips are
/// those of two, and who shares a slot is looked up in the table behind it.
const BITS: u32 = 11;
const TIMES_BITS: u32 = 18;
/// What times are counted in, the largest unit first: seconds and milliseconds, as nanoseconds or microseconds.
const UNITS: [u64; 3] = [1_000_000_000, 1_000_000, 1_000];
/// So many of the times are asked for their unit.
const ASKED: usize = 1_000;

/// Codes of values.
#[derive(Debug)]
pub(super) struct Recent {
    /// What is held of the value met last ([`Held`]), 0 where none was met yet. No slots before the first value.
    slots: Vec<u32>,
    place: Place,
}

/// Where a value's slot is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Anywhere.
    Spread,
    /// Times near each other lie near each other, and those of a day apart: the quotient by a unit that divides them is a
    /// product with the inverse of its odd factor, behind the bits of the even one.
    Times { inverse: u64, shift: u32 },
}

impl Place {
    fn bits(self) -> u32 {
        match self {
            Self::Spread => BITS,
            Self::Times { .. } => TIMES_BITS,
        }
    }

    fn of(self, bits: u64) -> usize {
        let place = match self {
            Self::Spread => bits.wrapping_mul(SPREAD) >> (u64::BITS - BITS),
            Self::Times { inverse, shift } => (bits.wrapping_mul(inverse) >> shift) & ((1 << TIMES_BITS) - 1),
        };
        usize::try_from(place).unwrap_or(usize::MAX)
    }
}

impl Recent {
    /// For values that may be anything.
    pub fn new() -> Self {
        Self { slots: Vec::new(), place: Place::Spread }
    }

    /// For times like these.
    pub fn of_times(times: &[u64]) -> Self {
        let some = times.get(..ASKED).unwrap_or(times);
        let divides = |unit: &u64| some.iter().all(|time| time.cast_signed() % unit.cast_signed() == 0);
        let unit = UNITS.into_iter().find(divides).unwrap_or(1);
        let shift = unit.trailing_zeros();
        let place = Place::Times { inverse: inverse(unit >> shift), shift };
        Self { slots: Vec::new(), place }
    }

    /// The code of a value. A new one gets the next of `entries`.
    pub fn code(&mut self, bits: u64, entries: &mut Entries) -> u32 {
        if self.slots.is_empty() {
            self.slots = vec![0; 1 << self.place.bits()];
        }
        let Some(slot) = self.slots.get_mut(self.place.of(bits)) else {
            return entries.remembered(bits).unwrap_or_else(|| entries.add_bits(bits));
        };
        let Some(Held { code, is_remembered }) = Held::of(*slot) else {
            // No value of this slot was met before.
            let code = entries.add_bits(bits);
            *slot = Held { code, is_remembered: false }.packed();
            return code;
        };
        let here = entries.bits(code);
        if here == bits {
            return code;
        }
        if !is_remembered {
            entries.remember(here, code);
        }
        let known = entries.remembered(bits);
        let code = known.unwrap_or_else(|| entries.add_bits(bits));
        *slot = Held { code, is_remembered: known.is_some() }.packed();
        code
    }
}

/// What a slot holds.
struct Held {
    /// Far below 2^31: a dictionary ends with the page that makes it larger than a mebibyte.
    code: u32,
    /// Whether the entries know the value too.
    is_remembered: bool,
}

impl Held {
    fn of(packed: u32) -> Option<Self> {
        let code = (packed >> 1).checked_sub(1)?;
        Some(Self { code, is_remembered: packed & 1 == 1 })
    }

    fn packed(self) -> u32 {
        (self.code + 1) << 1 | u32::from(self.is_remembered)
    }
}

/// The number whose product with an odd one is 1 modulo 2^64, by Newton's iteration: each step doubles the bits that are
/// right, of which an odd number has three.
fn inverse(odd: u64) -> u64 {
    (0..5).fold(odd, |found, _| found.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(found))))
}

#[cfg(test)]
mod tests {
    use super::super::kind::Kind;
    use super::*;

    #[test]
    fn a_value_keeps_its_code_whatever_takes_its_slot() {
        let times: Vec<u64> = (0..300_000u64).map(|second| 1_700_000_000_000_000 + second * 1_000_000).collect();
        for mut recent in [Recent::new(), Recent::of_times(&times), Recent::of_times(&[0, 1])] {
            let mut entries = Entries::new(Kind::Int64);
            for _ in 0..2 {
                for (code, time) in (0u32..).zip(&times) {
                    assert_eq!(recent.code(*time, &mut entries), code);
                }
            }
            assert_eq!(recent.code(0, &mut entries), 300_000);
            assert_eq!(entries.len(), 300_001);
        }
    }

    #[test]
    fn seconds_that_follow_one_another_lie_in_slots_that_do() {
        let before_1970 = (-5_000_000i64).cast_unsigned();
        for times in [[1_700_000_000_000_000, 1_700_000_001_000_000], [before_1970, before_1970 + 1_000_000]] {
            let place = Recent::of_times(&times).place;
            let [first, second] = times.map(|time| place.of(time));
            assert_eq!(second, (first + 1) % (1 << TIMES_BITS));
        }
    }

    #[test]
    fn an_inverse_undoes_a_product() {
        for odd in [1, 3, 125, 15_625, 1_953_125, u64::MAX] {
            assert_eq!(inverse(odd).wrapping_mul(odd), 1);
        }
    }
}
