//! Windows of a slice that need no change: found, looked at, and copied.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use crate::clean::{Cleaner, Inspector, Untouched};
use crate::dataset::Dataset;
use crate::plan::{Slice, windows};
use crate::read::SourceFile;
use crate::read::parquet::{Footer, HeldRowGroup, ReadOptions};
use crate::write::{PartOptions, fits};
use crate::{Error, Result};

/// A larger row group is not held in memory: it is streamed through the cleaner like any other.
const MAX_HELD_BYTES: u64 = 96 << 20;

/// What copying needs to know of a slice.
#[derive(Debug)]
pub(super) struct Copier {
    source: SourceFile,
    footer: Footer,
    untouched: Untouched,
    /// The slice's windows that are a row group of the source, with its index.
    candidates: BTreeMap<u64, usize>,
}

impl Copier {
    /// A copier, where some window of the slice is a row group of the source and its columns are those of the part.
    pub fn find(
        source: &SourceFile,
        footer: &Footer,
        cleaner: &Cleaner,
        dataset: &Dataset,
        slice: (&Slice, u64),
        options: &PartOptions,
    ) -> Result<Option<Self>> {
        let (slice, row_group_rows) = slice;
        let candidate = |window: Range<u64>| {
            let (index, bytes) = HeldRowGroup::of_rows(footer, &window)?;
            let fits = fits(cleaner.output_schema(), options.compression, footer.chunks(index));
            (fits && bytes <= MAX_HELD_BYTES).then_some((window.start, index))
        };
        let candidates: BTreeMap<u64, usize> = windows(slice, row_group_rows).filter_map(candidate).collect();
        if candidates.is_empty() {
            return Ok(None);
        }
        let Some(untouched) = cleaner.untouched(dataset)? else { return Ok(None) };
        Ok(Some(Self { source: source.clone(), footer: footer.clone(), untouched, candidates }))
    }

    /// Whether a window may be copied.
    pub fn may_copy(&self, window: &Range<u64>) -> bool {
        self.candidates.contains_key(&window.start)
    }

    /// Reads the row group that such a window is. `None` where it turns out to be none to copy.
    pub async fn hold(&self, window: &Range<u64>) -> Result<Option<HeldRowGroup>> {
        let Some(&index) = self.candidates.get(&window.start) else { return Ok(None) };
        HeldRowGroup::fetch(&self.source, &self.footer, index, window.clone(), &ReadOptions::default()).await
    }

    /// Whether every row passes unchanged: then how often they broke expectations that only warn.
    pub async fn unchanged(&self, held: &HeldRowGroup, first_row: u64) -> Result<Option<BTreeMap<String, u64>>> {
        let Untouched { by_value, by_row, all } = &self.untouched;
        // Of distinct values nobody can say how many rows have them, so warnings are counted row by row.
        match passes_by_value(by_value, held)? {
            true => rows_pass(by_row, held, first_row).await,
            false => rows_pass(all, held, first_row).await,
        }
    }
}

/// Whether every value that the columns' dictionaries list passes, without a warning.
fn passes_by_value(inspector: &Inspector, held: &HeldRowGroup) -> Result<bool> {
    if inspector.columns.is_empty() {
        return Ok(true);
    }
    let Some(values) = inspector.columns.iter().map(|column| held.distinct(*column)).collect::<Option<Vec<_>>>() else {
        return Ok(false);
    };
    // Each column is judged by itself: short ones are filled up with their first value.
    let rows = values.iter().map(|values| values.len()).max().unwrap_or(0);
    if values.iter().any(|values| values.is_empty()) {
        return Ok(false);
    }
    let filled = |values: &ArrayRef| -> Result<ArrayRef, ArrowError> {
        let places = (0..rows).map(|row| if row < values.len() { u64::try_from(row).unwrap_or(0) } else { 0 });
        take(values, &UInt64Array::from_iter_values(places), None)
    };
    let internal = |error: ArrowError| Error::Internal(format!("distinct values: {error}"));
    let columns = values.iter().map(filled).collect::<Result<Vec<_>, _>>().map_err(internal)?;
    let schema = inspector.schema();
    let schema = Schema::new(schema.fields().clone());
    let batch = RecordBatch::try_new(schema.into(), columns).map_err(internal)?;
    Ok(inspector.pass(&batch, 0)?.is_some_and(|warnings| warnings.is_empty()))
}

/// Whether every row passes; how often rows broke expectations that only warn.
async fn rows_pass(
    inspector: &Inspector,
    held: &HeldRowGroup,
    first_row: u64,
) -> Result<Option<BTreeMap<String, u64>>> {
    let mut warnings = BTreeMap::new();
    if inspector.columns.is_empty() {
        return Ok(Some(warnings));
    }
    let mut reader = held.rows(Some(&inspector.columns))?;
    let mut row = first_row;
    while let Some(batch) = reader.next().await? {
        let Some(counts) = inspector.pass(&batch, row)? else { return Ok(None) };
        super::slice::add(&mut warnings, counts);
        row = row.saturating_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX));
    }
    Ok(Some(warnings))
}
