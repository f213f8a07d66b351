//! Windows of a slice that need no change: found, looked at, and copied.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::prepared::Prepared;
use crate::clean::{Inspector, Untouched};
use crate::dataset::Dataset;
use crate::plan::{Slice, windows};
use crate::read::SourceFile;
use crate::read::parquet::{HeldRowGroup, SliceReader};
use crate::write::{PartOptions, fits};
use crate::{Error, Result};

/// A larger row group is not copied: it is streamed through the cleaner like any other.
const MAX_COPIED_BYTES: u64 = 96 << 20;

/// When a row group's copy begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Once its first rows have passed: the others are looked at meanwhile, and where one says no the slice begins anew. A
    /// source with rows to set aside has some among the first ones, as a rule.
    Early,
    /// Once every row has passed, and every page was found.
    Late,
}

/// What copying needs to know of a slice.
#[derive(Debug)]
pub(super) struct Copier {
    source: SourceFile,
    prepared: Arc<Prepared>,
    untouched: Arc<Untouched>,
    /// The columns that are read before copying begins, and held.
    held: BTreeSet<usize>,
    /// When copies begin.
    pub begin: Begin,
    /// The slice's windows that are a row group of the source, with its index.
    candidates: BTreeMap<u64, usize>,
}

impl Copier {
    /// A copier, where some window of the slice is a row group of the source and its columns are those of the part. `others`
    /// are columns that somebody else reads of it.
    pub fn find(
        source: &SourceFile,
        prepared: &Arc<Prepared>,
        dataset: &Dataset,
        slice: (&Slice, u64),
        options: &PartOptions,
        others: Vec<usize>,
        begin: Begin,
    ) -> Result<Option<Self>> {
        let Prepared { footer, cleaner, .. } = &**prepared;
        let (slice, row_group_rows) = slice;
        let candidate = |window: Range<u64>| {
            let (index, bytes) = HeldRowGroup::of_rows(footer, &window)?;
            let fits = fits(cleaner.output_schema(), options.compression, footer.chunks(index));
            (fits && bytes <= MAX_COPIED_BYTES).then_some((window.start, index))
        };
        let candidates: BTreeMap<u64, usize> = windows(slice, row_group_rows).filter_map(candidate).collect();
        if candidates.is_empty() {
            return Ok(None);
        }
        let Some(untouched) = prepared.untouched(dataset)? else { return Ok(None) };
        let held = match begin {
            Begin::Early => untouched.all.columns.iter().copied().chain(others).collect(),
            Begin::Late => (0..footer.columns()).collect(),
        };
        Ok(Some(Self { source: source.clone(), prepared: Arc::clone(prepared), untouched, held, begin, candidates }))
    }

    /// Whether a window may be copied.
    pub fn may_copy(&self, window: &Range<u64>) -> bool {
        self.candidates.contains_key(&window.start)
    }

    /// Reads what has to be looked at of the row group that such a window is. `None` where it turns out to be none to copy.
    pub async fn hold(&self, window: &Range<u64>) -> Result<Option<HeldRowGroup>> {
        let Some(&index) = self.candidates.get(&window.start) else { return Ok(None) };
        HeldRowGroup::fetch(&self.source, &self.prepared.footer, index, window.clone(), &self.held).await
    }

    /// Begins to look whether its rows pass unchanged.
    pub fn look(&self, held: &HeldRowGroup, first_row: u64) -> Result<Look<'_>> {
        let Untouched { by_value, by_row, all } = &*self.untouched;
        // Of distinct values nobody can say how many rows have them, so warnings are counted row by row.
        let inspector = if passes_by_value(by_value, held)? { by_row } else { all };
        let reader = match inspector.columns.is_empty() {
            true => None,
            false => Some(held.rows(Some(&inspector.columns))?),
        };
        Ok(Look { inspector, reader, row: first_row, warnings: BTreeMap::new() })
    }
}

/// A row group that is looked at, batch by batch.
pub(super) struct Look<'a> {
    inspector: &'a Inspector,
    /// Gone after the last batch.
    reader: Option<SliceReader>,
    row: u64,
    /// How often rows broke expectations that only warn.
    pub warnings: BTreeMap<String, u64>,
}

impl Look<'_> {
    /// Whether the first rows pass unchanged.
    pub async fn first(&mut self) -> Result<bool> {
        Ok(self.next().await?.unwrap_or(true))
    }

    /// Whether all rows pass that were not looked at before.
    pub async fn rest(&mut self) -> Result<bool> {
        while let Some(passes) = self.next().await? {
            if !passes {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the next batch passes; `None` behind the last one.
    async fn next(&mut self) -> Result<Option<bool>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let Some(batch) = reader.next().await? else {
            self.reader = None;
            return Ok(None);
        };
        let Some(warnings) = self.inspector.pass(&batch, self.row)? else { return Ok(Some(false)) };
        super::slice::add(&mut self.warnings, warnings);
        self.row = self.row.saturating_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX));
        Ok(Some(true))
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
