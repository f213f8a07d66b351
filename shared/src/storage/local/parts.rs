//! Which parts of an upload lie where: decisions without I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::UploadedPart;

/// One part of an upload, as its index records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredPart {
    pub(super) number: u32,
    pub(super) etag: String,
    /// Bytes.
    pub(super) size: u64,
    pub(super) place: Place,
}

/// Where a part's bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// In the common file, from this byte on.
    Data { offset: u64 },
    /// In a file of its own.
    Aside,
}

/// The parts of an upload. The latest record of a number is its part.
#[derive(Debug, Default)]
pub(super) struct Parts {
    parts: BTreeMap<u32, StoredPart>,
    /// The highest number ever appended to the common file.
    appended: u32,
    data_end: u64,
}

impl FromIterator<StoredPart> for Parts {
    fn from_iter<I: IntoIterator<Item = StoredPart>>(records: I) -> Self {
        let mut parts = Self::default();
        for record in records {
            parts.add(record);
        }
        parts
    }
}

impl Parts {
    pub(super) fn add(&mut self, part: StoredPart) {
        if let Place::Data { offset } = part.place {
            self.appended = self.appended.max(part.number);
            self.data_end = self.data_end.max(offset.saturating_add(part.size));
        }
        self.parts.insert(part.number, part);
    }

    pub(super) fn get(&self, number: u32) -> Option<&StoredPart> {
        self.parts.get(&number)
    }

    /// The number of the part that may be appended to the common file.
    pub(super) fn next_in_order(&self) -> u32 {
        self.appended + 1
    }

    /// The part that waited for its turn, which has come.
    pub(super) fn waiting_in_order(&self) -> Option<&StoredPart> {
        self.get(self.next_in_order())
    }

    /// Where the common file ends. Bytes after it are of an append that a crash cut short.
    pub(super) fn data_end(&self) -> u64 {
        self.data_end
    }

    /// The parts that a completion names, or why it cannot be.
    pub(super) fn choose(&self, wanted: &[UploadedPart]) -> Result<Vec<StoredPart>, String> {
        if wanted.is_empty() {
            return Err("a completion names at least one part".to_owned());
        }
        if !wanted.is_sorted_by(|earlier, later| earlier.number < later.number) {
            return Err("a completion names parts in ascending order".to_owned());
        }
        let choose = |part: &UploadedPart| match self.get(part.number) {
            Some(stored) if stored.etag == part.etag => Ok(stored.clone()),
            _ => Err(format!("the upload has no part {} with ETag {}", part.number, part.etag)),
        };
        wanted.iter().map(choose).collect()
    }

    /// The object's length, where these parts are the common file's beginning, in order.
    pub(super) fn length_in_order(chosen: &[StoredPart]) -> Option<u64> {
        chosen.iter().try_fold(0_u64, |end, part| {
            (part.place == Place::Data { offset: end }).then(|| end.saturating_add(part.size))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn part(number: u32, size: u64, place: Place) -> StoredPart {
        StoredPart { number, etag: format!("e{number}-{size}"), size, place }
    }

    fn wanted(parts: &[&StoredPart]) -> Vec<UploadedPart> {
        parts.iter().map(|part| UploadedPart { number: part.number, etag: part.etag.clone() }).collect()
    }

    #[test]
    fn parts_appended_in_order_need_no_joining() {
        let (first, second) = (part(1, 5, Place::Data { offset: 0 }), part(2, 3, Place::Data { offset: 5 }));
        let parts: Parts = [first.clone(), second.clone()].into_iter().collect();
        assert_eq!(parts.next_in_order(), 3);
        assert_eq!(parts.data_end(), 8);
        let chosen = parts.choose(&wanted(&[&first, &second])).unwrap();
        assert_eq!(Parts::length_in_order(&chosen), Some(8));
        let only_first = parts.choose(&wanted(&[&first])).unwrap();
        assert_eq!(Parts::length_in_order(&only_first), Some(5), "parts left out at the end are cut off");
        let only_second = parts.choose(&wanted(&[&second])).unwrap();
        assert_eq!(Parts::length_in_order(&only_second), None);
    }

    #[test]
    fn an_early_part_waits_for_its_turn() {
        let mut parts: Parts = [part(2, 3, Place::Aside)].into_iter().collect();
        assert_eq!(parts.waiting_in_order(), None);
        parts.add(part(1, 5, Place::Data { offset: 0 }));
        assert_eq!(parts.waiting_in_order(), Some(&part(2, 3, Place::Aside)));
    }

    #[test]
    fn a_replaced_part_is_joined_and_its_old_bytes_are_not_overwritten_by_the_next() {
        let old = part(1, 5, Place::Data { offset: 0 });
        let new = part(1, 9, Place::Aside);
        let parts: Parts = [old.clone(), new.clone()].into_iter().collect();
        assert_eq!(parts.next_in_order(), 2);
        assert_eq!(parts.data_end(), 5);
        assert!(parts.choose(&wanted(&[&old])).is_err());
        assert_eq!(Parts::length_in_order(&parts.choose(&wanted(&[&new])).unwrap()), None);
    }
}
