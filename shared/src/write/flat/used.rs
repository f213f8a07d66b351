//! Which of the dictionary's values a page has: its range is made of those, once, at its end.

use super::entries::Entries;
use super::kind::Kind;
use super::statistics::Range;

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
            self.0.resize(needed.next_power_of_two(), false);
        }
        let marks = self.0.as_mut_slice();
        for code in codes {
            let place = usize::try_from(*code).unwrap_or(usize::MAX);
            if let Some(mark) = marks.get_mut(place) {
                *mark = true;
            }
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
        self.0.fill(false);
        range
    }
}
