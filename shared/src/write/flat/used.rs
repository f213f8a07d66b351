//! Which of the dictionary's values a page has: its range is made of those, once, at its end.

use super::codes::Code;
use super::entries::Entries;
use super::kind::Kind;
use super::statistics::Range;

/// How many marks there are, where no more are needed: see [`mark_in`].
const PLACES: [usize; 4] = [0x400, 0x1000, 0x4000, 0x1_0000];

/// A mark for each code.
#[derive(Debug, Default)]
pub(super) struct Used(Vec<bool>);

impl Used {
    /// The open page has these codes.
    pub fn mark_all<C: Code>(&mut self, codes: &[C]) {
        // Codes are given one after the other, so that the greatest is soon known.
        let greatest = codes.iter().fold(C::default(), |greatest, code| greatest.max(*code));
        let needed = place_of(greatest).saturating_add(1);
        if needed > self.0.len() {
            let places = PLACES.into_iter().find(|places| needed <= *places);
            self.0.resize(places.unwrap_or_else(|| needed.next_power_of_two()), false);
        }
        match self.0.len() {
            0x400 => mark_in::<0x400, C>(&mut self.0, codes),
            0x1000 => mark_in::<0x1000, C>(&mut self.0, codes),
            0x4000 => mark_in::<0x4000, C>(&mut self.0, codes),
            0x1_0000 => mark_in::<0x1_0000, C>(&mut self.0, codes),
            _ => mark_in::<0x8000_0000, C>(&mut self.0, codes),
        }
    }

    /// Whether the open page has each of the first `count` codes, as far as that is soon told: pages show all of a small
    /// dictionary in their first rows, and need not be marked further.
    pub fn has_all(&self, count: usize) -> bool {
        const SOON_TOLD: usize = 1 << 10;
        let all = |marks: &[bool]| marks.iter().fold(true, |all, mark| all & mark);
        count <= SOON_TOLD && self.0.get(..count).is_some_and(all)
    }

    /// The range of the values marked. None is, afterwards.
    pub fn take_range(&mut self, entries: &Entries, kind: Kind) -> Range {
        let mut range = Range::new(kind);
        entries.include_in(&mut range, &self.0);
        // Behind the last code nothing was marked.
        self.0.iter_mut().take(entries.len()).for_each(|mark| *mark = false);
        range
    }
}

/// Marks codes that all have a place, of which there are `LENGTH`, a power of two, or any number that is smaller.
fn mark_in<const LENGTH: usize, C: Code>(marks: &mut [bool], codes: &[C]) {
    match marks.first_chunk_mut::<LENGTH>() {
        // Nothing is left to ask of each.
        Some(marks) => codes.iter().for_each(|code| {
            if let Some(mark) = marks.get_mut(place_of(*code) & (LENGTH - 1)) {
                *mark = true;
            }
        }),
        None => codes.iter().for_each(|code| {
            if let Some(mark) = marks.get_mut(place_of(*code)) {
                *mark = true;
            }
        }),
    }
}

fn place_of<C: Code>(code: C) -> usize {
    usize::try_from(code.into()).unwrap_or(usize::MAX)
}
