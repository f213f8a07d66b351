//! Values met shortly before, and their codes: one slot each for as many groups of values, in the first cache of a core.

/// Slots, a power of two.
const SLOTS: usize = 2_048;
/// An odd number near 2^64 divided by the golden ratio: products of near numbers differ in their upper bits (D. E. Knuth,
/// "The Art of Computer Programming", volume 3, 6.4).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    bits: u64,
    code: u32,
    /// The page that the value was met in, counted from 1.
    page: u32,
}

/// Codes of values that the open page has.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// None until the first value: most columns come with codes.
    slots: Vec<Slot>,
}

impl Recent {
    /// The code of a value in a page, counted from 1. `find` is asked where the value was not met in the page, or others
    /// were since.
    pub fn code(&mut self, bits: u64, page: u32, find: impl FnOnce() -> u32) -> u32 {
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); SLOTS];
        }
        let place = usize::try_from(bits.wrapping_mul(SPREAD) >> (u64::BITS - SLOTS.ilog2())).unwrap_or(usize::MAX);
        let Some(slot) = self.slots.get_mut(place) else { return find() };
        if slot.bits != bits || slot.page != page {
            *slot = Slot { bits, code: find(), page };
        }
        slot.code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_looked_up_once_a_page_unless_another_takes_its_slot() {
        let mut recent = Recent::default();
        let mut found = Vec::new();
        for (bits, page) in [(0, 1), (7, 1), (0, 1), (7, 1), (0, 2), (0, 2)] {
            let code = recent.code(bits, page, || {
                found.push((bits, page));
                u32::try_from(bits + 1).unwrap_or(0)
            });
            assert_eq!(u64::from(code), bits + 1);
        }
        assert_eq!(found, [(0, 1), (7, 1), (0, 2)]);
    }
}
