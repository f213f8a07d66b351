//! How much more than the file its slices read, because a page or a dictionary that several of them need is read by each.

use std::collections::BTreeMap;
use std::ops::Range;

use super::footer::{Footer, chunk_range};
use super::slice::covered;
use crate::plan::{ColumnPages, Page, PageMap, Slice};

/// More than this share on top of the bytes that slices share is worth a note, in percent.
const NOTED_PERCENT: u64 = 10;

/// What a person should know of a plan whose slices read the same bytes again and again: pages are large, or slices
/// small.
pub fn read_again(footer: &Footer, slices: &[Slice], pages: &PageMap) -> Option<String> {
    let mut shared = 0u64;
    let mut groups: BTreeMap<usize, Vec<Column>> = BTreeMap::new();
    for (index, group) in &pages.row_groups {
        let index = usize::try_from(*index).ok()?;
        for (column, known) in &group.columns {
            let (start, length) = chunk_range(footer.chunks(index).nth(usize::try_from(*column).ok()?)?)?;
            shared = shared.saturating_add(length);
            groups.entry(index).or_default().push(Column::of(known, start)?);
        }
    }
    let mut read = 0u64;
    for here in slices.iter().flat_map(|slice| covered(footer, &slice.rows)) {
        let columns = groups.get(&here.index).into_iter().flatten();
        read = columns.fold(read, |read, column| read.saturating_add(column.bytes(&here.rows)));
    }
    let percent = read.saturating_sub(shared).saturating_mul(100).checked_div(shared)?;
    (percent > NOTED_PERCENT).then(|| {
        format!(
            "slices share pages: together they read {percent} % more than the row groups that they share: raise \
             output.slice_row_groups to read less"
        )
    })
}

/// The pages of a column chunk, to be added up quickly.
struct Column {
    pages: Vec<Page>,
    /// Bytes of the pages before each, and of all.
    before: Vec<u64>,
    dictionary_bytes: u64,
    /// From this row on no page uses the dictionary.
    plain_row: Option<u64>,
}

impl Column {
    fn of(known: &ColumnPages, chunk_start: u64) -> Option<Self> {
        let pages = known.pages()?;
        let sums = pages.iter().scan(0u64, |sum, page| {
            *sum = sum.saturating_add(u64::from(page.size));
            Some(*sum)
        });
        let before = std::iter::once(0).chain(sums).collect();
        let plain = known.plain_from.and_then(|place| pages.get(usize::try_from(place).ok()?));
        let plain_row = plain.map(|page| page.first_row);
        Some(Self { before, dictionary_bytes: known.offset.saturating_sub(chunk_start), plain_row, pages })
    }

    /// What a slice of these rows of the row group reads.
    fn bytes(&self, rows: &Range<u64>) -> u64 {
        let first = self.pages.partition_point(|page| page.first_row.saturating_add(page.rows) <= rows.start);
        let end = self.pages.partition_point(|page| page.first_row < rows.end);
        let sum = |place: usize| self.before.get(place).copied().unwrap_or(0);
        let needs_dictionary = self.plain_row.is_none_or(|plain| rows.start < plain);
        sum(end).saturating_sub(sum(first)).saturating_add(if needs_dictionary { self.dictionary_bytes } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten pages of 100 rows and 1,000 bytes behind a dictionary of 500; the last five do not use it.
    fn column() -> Option<Column> {
        let mut known = ColumnPages { offset: 504, plain_from: Some(5), ..ColumnPages::default() };
        (0..10).for_each(|_| known.push(1_000, 100));
        Column::of(&known, 4)
    }

    #[test]
    fn a_slice_reads_its_pages_whole_and_the_dictionary_where_it_needs_it() {
        let bytes = |rows| column().map(|column| column.bytes(&rows));
        assert_eq!(bytes(0..1_000), Some(10_500));
        assert_eq!(bytes(0..150), Some(2_500));
        assert_eq!(bytes(150..300), Some(2_500));
        assert_eq!(bytes(499..501), Some(2_500));
        assert_eq!(bytes(500..1_000), Some(5_000));
        assert_eq!(bytes(999..1_000), Some(1_000));
    }
}
