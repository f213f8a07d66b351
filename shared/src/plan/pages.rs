//! Where pages lie in a Parquet source that has no offset index: found once while planning, kept in the plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The pages of the row groups that slice boundaries cut, by row group index. Row groups that no boundary cuts, and
/// columns whose pages tell no row counts, are absent: they are read from their start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageMap {
    /// By row group index.
    pub row_groups: BTreeMap<u32, RowGroupPages>,
}

/// The pages of one row group, by leaf column index. A column that is absent is read from its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowGroupPages {
    /// By leaf column index.
    pub columns: BTreeMap<u32, ColumnPages>,
}

/// The data pages of one column chunk. They follow one another without gaps, so one offset and their sizes place them
/// all; what precedes the first one in the chunk is the dictionary page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnPages {
    /// Where the first data page's header starts in the file.
    #[serde(rename = "o")]
    pub offset: u64,
    /// Bytes of each page with its header.
    #[serde(rename = "s")]
    pub sizes: Vec<u32>,
    /// Rows of the pages as runs: `[pages, rows of each]`.
    #[serde(rename = "r")]
    pub rows: Vec<[u64; 2]>,
    /// From this page on, by its place in the list, no page uses the dictionary: who reads those only needs none.
    /// `None` where that is not known.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub plain_from: Option<u32>,
}

/// One data page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Where its header starts in the file.
    pub offset: u64,
    /// Bytes with the header.
    pub size: u32,
    /// Its first row within the row group.
    pub first_row: u64,
    /// Its rows.
    pub rows: u64,
}

impl ColumnPages {
    /// Appends a page behind the others.
    pub fn push(&mut self, size: u32, rows: u64) {
        self.sizes.push(size);
        match self.rows.last_mut() {
            Some([pages, each]) if *each == rows => *pages += 1,
            _ => self.rows.push([1, rows]),
        }
    }

    /// The pages in order. `None` where the sizes and the runs do not agree, or a sum overflows: not written by us.
    pub fn pages(&self) -> Option<Vec<Page>> {
        let mut runs = self.rows.iter();
        let mut run = [0, 0];
        let (mut offset, mut first_row) = (self.offset, 0u64);
        let mut pages = Vec::with_capacity(self.sizes.len());
        for &size in &self.sizes {
            while run[0] == 0 {
                run = *runs.next()?;
            }
            run[0] -= 1;
            let rows = run[1];
            pages.push(Page { offset, size, first_row, rows });
            offset = offset.checked_add(u64::from(size))?;
            first_row = first_row.checked_add(rows)?;
        }
        (run[0] == 0 && runs.all(|run| run[0] == 0)).then_some(pages)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pages_come_back_as_they_were_pushed(
            offset in 0u64..1 << 40, pushed in prop::collection::vec((1u32..1 << 20, 0u64..4), 0..50),
        ) {
            let mut column = ColumnPages { offset, ..Default::default() };
            pushed.iter().for_each(|&(size, rows)| column.push(size, rows));
            let json = serde_json::to_string(&column).unwrap();
            let pages = serde_json::from_str::<ColumnPages>(&json).unwrap().pages().unwrap();
            prop_assert_eq!(pages.iter().map(|page| (page.size, page.rows)).collect::<Vec<_>>(), pushed);
            let (mut next, mut row) = (offset, 0);
            for page in pages {
                prop_assert_eq!((page.offset, page.first_row), (next, row));
                next += u64::from(page.size);
                row += page.rows;
            }
        }
    }

    #[test]
    fn runs_that_do_not_match_the_sizes_are_no_pages() {
        let column = ColumnPages { offset: 4, sizes: vec![10, 10], rows: vec![[1, 5]], plain_from: None };
        assert_eq!(column.pages(), None);
        let column = ColumnPages { offset: 4, sizes: vec![10], rows: vec![[2, 5]], plain_from: None };
        assert_eq!(column.pages(), None);
    }

    #[test]
    fn equal_pages_take_one_run() {
        let mut column = ColumnPages { offset: 4, ..Default::default() };
        (0..500).for_each(|_| column.push(1000, 20_000));
        assert_eq!(column.rows, [[500, 20_000]]);
    }
}
