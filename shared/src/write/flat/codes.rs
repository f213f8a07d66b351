//! Codes of the open page, in integers as narrow as they allow: what is narrow stays in a core's caches.

use std::fmt::Debug;

use super::hybrid;
use crate::lanes::GROUP;

/// Bytes that a code is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Width {
    One,
    Two,
    Four,
}

impl Width {
    /// The least that holds so many codes, and [`Code::UNKNOWN`].
    pub fn of(codes: usize) -> Self {
        match codes {
            0..=0xff => Self::One,
            0x100..=0xffff => Self::Two,
            _ => Self::Four,
        }
    }
}

/// An integer that a code is kept in.
pub(super) trait Code: Copy + Default + Ord + Debug + Into<u32> {
    /// In place of a code that is not known.
    const UNKNOWN: Self;

    /// A code that it is wide enough for; others are unknown.
    fn of(code: u32) -> Self;

    /// Where they are kept.
    fn among(codes: &mut Codes) -> &mut Vec<Self>;

    /// Whether all of a group are equal.
    fn are_equal(group: &[Self; GROUP]) -> bool;

    /// Appends groups of values of `width` bits, packed.
    fn pack(groups: &[[Self; GROUP]], width: u8, out: &mut Vec<u8>) {
        hybrid::pack_groups(groups, width, out);
    }
}

impl Code for u8 {
    const UNKNOWN: Self = Self::MAX;

    fn of(code: u32) -> Self {
        Self::try_from(code).unwrap_or(Self::UNKNOWN)
    }

    fn among(codes: &mut Codes) -> &mut Vec<Self> {
        &mut codes.bytes
    }

    fn are_equal(group: &[Self; GROUP]) -> bool {
        let word = u64::from_le_bytes(*group);
        word == word.rotate_left(Self::BITS)
    }

    fn pack(groups: &[[Self; GROUP]], width: u8, out: &mut Vec<u8>) {
        hybrid::pack_bytes(groups, width, out);
    }
}

impl Code for u16 {
    const UNKNOWN: Self = Self::MAX;

    fn of(code: u32) -> Self {
        Self::try_from(code).unwrap_or(Self::UNKNOWN)
    }

    fn among(codes: &mut Codes) -> &mut Vec<Self> {
        &mut codes.shorts
    }

    fn are_equal(group: &[Self; GROUP]) -> bool {
        let [a, b, c, d, rest @ ..] = group.map(u64::from);
        let word = |[a, b, c, d]: [u64; 4]| a | b << 16 | c << 32 | d << 48;
        let first = word([a, b, c, d]);
        first == first.rotate_left(Self::BITS) && first == word(rest)
    }
}

impl Code for u32 {
    const UNKNOWN: Self = Self::MAX;

    fn of(code: u32) -> Self {
        code
    }

    fn among(codes: &mut Codes) -> &mut Vec<Self> {
        &mut codes.words
    }

    fn are_equal(group: &[Self; GROUP]) -> bool {
        let [first, others @ ..] = group;
        // Mostly told by two.
        others.first() == Some(first) && others.iter().fold(0, |bits, code| bits | (code ^ first)) == 0
    }
}

/// Codes, all of one width: only one of the lists has any.
#[derive(Debug, Default)]
pub(super) struct Codes {
    bytes: Vec<u8>,
    shorts: Vec<u16>,
    words: Vec<u32>,
}

/// Codes of a width.
pub(super) enum Slice<'a> {
    Bytes(&'a [u8]),
    Shorts(&'a [u16]),
    Words(&'a [u32]),
}

impl Codes {
    pub fn len(&self) -> usize {
        self.bytes.len() + self.shorts.len() + self.words.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.shorts.clear();
        self.words.clear();
    }

    /// Bytes of memory kept for them.
    pub fn capacity_bytes(&self) -> usize {
        let bytes = self.words.capacity().saturating_mul(4).saturating_add(self.shorts.capacity().saturating_mul(2));
        bytes.saturating_add(self.bytes.capacity())
    }

    /// Their width; the least where there are none.
    pub fn width(&self) -> Width {
        match (self.words.is_empty(), self.shorts.is_empty()) {
            (false, _) => Width::Four,
            (true, false) => Width::Two,
            (true, true) => Width::One,
        }
    }

    /// All of them, as wide: they were not wider.
    pub fn widened<C: Code>(&mut self) -> &mut Vec<C> {
        if C::among(self).len() < self.len() {
            let mut wide = std::mem::take(C::among(self));
            wide.extend(self.iter().map(C::of));
            self.clear();
            *C::among(self) = wide;
        }
        C::among(self)
    }

    pub fn as_slice(&self) -> Slice<'_> {
        match self.width() {
            Width::One => Slice::Bytes(&self.bytes),
            Width::Two => Slice::Shorts(&self.shorts),
            Width::Four => Slice::Words(&self.words),
        }
    }

    /// Each of them; what is not known is so in any width.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let narrow = self.bytes.iter().map(|code| widest(*code)).chain(self.shorts.iter().map(|code| widest(*code)));
        narrow.chain(self.words.iter().copied())
    }
}

fn widest<C: Code>(code: C) -> u32 {
    if code == C::UNKNOWN { u32::UNKNOWN } else { code.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn are_told_equal<C: Code>(group: [u32; GROUP]) -> bool {
        C::are_equal(&group.map(C::of))
    }

    proptest! {
        #[test]
        fn a_group_is_of_one_code_or_not(code in 0u32..255, other in 0u32..255, place in 0usize..GROUP) {
            let mut group = [code; GROUP];
            *group.get_mut(place).unwrap() = other;
            let told = [are_told_equal::<u8>(group), are_told_equal::<u16>(group), are_told_equal::<u32>(group)];
            prop_assert_eq!(told, [code == other; 3]);
        }
    }

    #[test]
    fn codes_that_become_wider_are_the_same() {
        let mut codes = Codes::default();
        codes.widened::<u8>().extend([0, 254, u8::UNKNOWN]);
        let wanted = [0, 254, u32::UNKNOWN];
        codes.widened::<u16>().push(65_534);
        assert_eq!((codes.width(), codes.len()), (Width::Two, 4));
        assert!(codes.iter().eq(wanted.into_iter().chain([65_534])));
        codes.widened::<u32>();
        assert_eq!((codes.width(), codes.len()), (Width::Four, 4));
        assert!(codes.iter().eq(wanted.into_iter().chain([65_534])));
    }

    #[test]
    fn a_width_holds_every_code_and_one_more() {
        assert_eq!(
            [0, 255, 256, 65_535, 65_536].map(Width::of),
            [Width::One, Width::One, Width::Two, Width::Two, Width::Four]
        );
    }
}
