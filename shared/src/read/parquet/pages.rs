//! Where the pages of a row group lie: from the file's offset index, or from the plan where the file has none.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::page_index::offset_index::PageLocation;

use super::footer::{Footer, chunk_range};
use super::thrift;
use crate::Result;
use crate::plan::PageMap;
use crate::read::SourceFile;

/// Larger offset indexes of one row group are left unread, and its pages are found as they come.
const MAX_INDEX_BYTES: u64 = 32 << 20;

/// The page locations of one column chunk.
pub(super) type Locations = Arc<Vec<PageLocation>>;

/// The pages known, by row group and leaf column.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownPages {
    groups: BTreeMap<usize, Vec<Option<Locations>>>,
    /// By row group and leaf column, the row from which on no page uses the dictionary.
    plain_from: BTreeMap<(usize, usize), u64>,
}

impl KnownPages {
    /// The locations of one column chunk, where they are known.
    pub fn column(&self, group: usize, column: usize) -> Option<&Locations> {
        self.groups.get(&group)?.get(column)?.as_ref()
    }

    /// Whether the rows from `first_row` of the row group on may need the column's dictionary.
    pub fn needs_dictionary(&self, group: usize, column: usize, first_row: u64) -> bool {
        self.plain_from.get(&(group, column)).is_none_or(|plain| first_row < *plain)
    }

    /// Finds the pages of `groups`: the file's own offset index where it has one that holds together, else `planned`.
    pub async fn find(
        source: &SourceFile,
        footer: &Footer,
        groups: impl Iterator<Item = usize>,
        planned: Option<&PageMap>,
    ) -> Result<Self> {
        let mut known = Self::default();
        for index in groups {
            let Some(group) = footer.metadata.row_groups().get(index) else { continue };
            let columns = match index_range(group) {
                Some(range) if range.end <= source.size && range.end - range.start <= MAX_INDEX_BYTES => {
                    from_index(source, group, range).await?
                }
                _ => {
                    let columns = from_plan(index, group, planned);
                    for (column, locations) in columns.iter().enumerate() {
                        let row = locations.as_ref().and_then(|pages| plain_row(index, column, pages, planned));
                        known.plain_from.extend(row.map(|row| ((index, column), row)));
                    }
                    columns
                }
            };
            known.groups.insert(index, columns);
        }
        Ok(known)
    }
}

/// Whether a row group has an offset index for each of its columns.
pub(super) fn has_index(group: &RowGroupMetaData) -> bool {
    index_range(group).is_some()
}

/// The bytes that hold the offset indexes of a row group's columns.
fn index_range(group: &RowGroupMetaData) -> Option<Range<u64>> {
    let mut all: Option<Range<u64>> = None;
    for column in group.columns() {
        let one = column_index_range(column)?;
        all = Some(match all {
            Some(all) => all.start.min(one.start)..all.end.max(one.end),
            None => one,
        });
    }
    all
}

fn column_index_range(column: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = u64::try_from(column.offset_index_offset()?).ok()?;
    let length = u64::try_from(column.offset_index_length()?).ok().filter(|length| *length > 0)?;
    Some(start..start.checked_add(length)?)
}

async fn from_index(
    source: &SourceFile,
    group: &RowGroupMetaData,
    range: Range<u64>,
) -> Result<Vec<Option<Locations>>> {
    let bytes = source.read(range.clone()).await?;
    let locations = |column: &ColumnChunkMetaData| {
        let one = column_index_range(column)?;
        let start = usize::try_from(one.start.checked_sub(range.start)?).ok()?;
        let end = usize::try_from(one.end.checked_sub(range.start)?).ok()?;
        let found = thrift::offset_index(bytes.get(start..end)?).ok()?;
        let found = found.into_iter().map(|(offset, compressed_page_size, first_row_index)| PageLocation {
            offset,
            compressed_page_size,
            first_row_index,
        });
        checked(found.collect(), column, group.num_rows())
    };
    Ok(group.columns().iter().map(locations).collect())
}

fn from_plan(index: usize, group: &RowGroupMetaData, planned: Option<&PageMap>) -> Vec<Option<Locations>> {
    let pages = u32::try_from(index).ok().and_then(|index| planned?.row_groups.get(&index));
    let locations = |(position, column): (usize, &ColumnChunkMetaData)| {
        let pages = pages?.columns.get(&u32::try_from(position).ok()?)?.pages()?;
        let located = pages.into_iter().map(|page| {
            Some(PageLocation {
                offset: i64::try_from(page.offset).ok()?,
                compressed_page_size: i32::try_from(page.size).ok()?,
                first_row_index: i64::try_from(page.first_row).ok()?,
            })
        });
        checked(located.collect::<Option<Vec<_>>>()?, column, group.num_rows())
    };
    group.columns().iter().enumerate().map(locations).collect()
}

/// The first row of the pages that use no dictionary, where the plan knows and there are any.
fn plain_row(index: usize, column: usize, pages: &Locations, planned: Option<&PageMap>) -> Option<u64> {
    let group = planned?.row_groups.get(&u32::try_from(index).ok()?)?;
    let plain_from = group.columns.get(&u32::try_from(column).ok()?)?.plain_from?;
    let first = pages.get(usize::try_from(plain_from).ok()?)?;
    u64::try_from(first.first_row_index).ok()
}

/// The locations, where they hold together: inside their chunk, in order, from row 0, not beyond the last.
fn checked(locations: Vec<PageLocation>, column: &ColumnChunkMetaData, rows: i64) -> Option<Locations> {
    let (start, length) = chunk_range(column)?;
    let first = locations.first()?;
    // Before the first data page lies the dictionary, whose length the decoder keeps in 32 bits.
    i32::try_from(u64::try_from(first.offset).ok()?.checked_sub(start)?).ok()?;
    if first.first_row_index != 0 {
        return None;
    }
    let end = i64::try_from(start.checked_add(length)?).ok()?;
    let (mut free, mut row) = (0, 0);
    for page in &locations {
        if page.offset < free || page.compressed_page_size <= 0 || page.first_row_index < row {
            return None;
        }
        free = page.offset.checked_add(i64::from(page.compressed_page_size))?;
        row = page.first_row_index;
    }
    (free <= end && row <= rows).then(|| Arc::new(locations))
}
