//! Which of the dictionary's values a page has: its range is made of those, once, at its end.

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
    pub fn mark_all(&mut self, codes: &[u32]) {
        // Codes are given one after the other, so that the greatest is soon known.
        let greatest = codes.iter().fold(0, |greatest, code| greatest.max(*code));
        let needed = usize::try_from(greatest).unwrap_or(usize::MAX).saturating_add(1);
        if needed > self.0.len() {
            let places = PLACES.into_iter().find(|places| needed <= *places);
            self.0.resize(places.unwrap_or_else(|| needed.next_power_of_two()), false);
        }
        match self.0.len() {
            0x400 => mark_in::<0x400>(&mut self.0, codes),
            0x1000 => mark_in::<0x1000>(&mut self.0, codes),
            0x4000 => mark_in::<0x4000>(&mut self.0, codes),
            0x1_0000 => mark_in::<0x1_0000>(&mut self.0, codes),
            _ => mark_in::<0x8000_0000>(&mut self.0, codes),
        }
    }

    /// Whether the open page has each of the first `count` codes, as far as that is soon told: pages show all of a small
    /// dictionary in their first rows, and need not be marked further.
    pub fn has_all(&self, count: usize) -> bool {
        const SOON_TOLD: usize = 1 << 10;
        count <= SOON_TOLD && self.0.get(..count).is_some_and(|marks| marks.iter().all(|mark| *mark))
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
fn mark_in<const LENGTH: usize>(marks: &mut [bool], codes: &[u32]) {
    let place = |code: &u32| usize::try_from(*code).unwrap_or(usize::MAX);
    match marks.first_chunk_mut::<LENGTH>() {
        // Nothing is left to ask of each.
        Some(marks) => codes.iter().for_each(|code| {
            if let Some(mark) = marks.get_mut(place(code) & (LENGTH - 1)) {
                *mark = true;
            }
        }),
        None => codes.iter().for_each(|code| {
            if let Some(mark) = marks.get_mut(place(code)) {
                *mark = true;
            }
        }),
    }
}
