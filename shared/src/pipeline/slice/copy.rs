//! Windows of a slice that need no change: found, looked at, and copied.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::prepared::Prepared;
use super::{ParquetRows, Ran, Work};
use crate::clean::{Inspector, Untouched};
use crate::dataset::Dataset;
use crate::ledger::RowCounts;
use crate::plan::{Slice, windows};
use crate::read::SourceFile;
use crate::read::parquet::{HeldRowGroup, SliceReader};
use crate::write::{PartOptions, fits};
use crate::{Error, Result};

/// A larger row group is not copied: it is streamed through the cleaner like any other.
const MAX_COPIED_BYTES: u64 = 96 << 20;

/// What copying needs to know of a slice.
#[derive(Debug)]
pub(super) struct Copier {
    source: SourceFile,
    prepared: Arc<Prepared>,
    untouched: Arc<Untouched>,
    /// The columns that are read before copying begins, and held.
    held: BTreeSet<usize>,
    /// The slice's windows that are a row group of the source, with its index.
    candidates: BTreeMap<u64, usize>,
}

impl Copier {
    /// A copier, where some window of the slice is a row group of the source and its columns are those of the part. `others`
    /// are columns that somebody else reads of it. Windows that begin at `before` or behind it are not copied.
    pub fn find(
        source: &SourceFile,
        prepared: &Arc<Prepared>,
        dataset: &Dataset,
        slice: (&Slice, u64),
        options: &PartOptions,
        others: Vec<usize>,
        before: u64,
    ) -> Result<Option<Self>> {
        let Prepared { footer, cleaner, .. } = &**prepared;
        let (slice, row_group_rows) = slice;
        let candidate = |window: Range<u64>| {
            let (index, bytes) = HeldRowGroup::of_rows(footer, &window)?;
            let fits = fits(cleaner.output_schema(), options.compression, footer.chunks(index));
            (fits && bytes <= MAX_COPIED_BYTES).then_some((window.start, index))
        };
        let windows = windows(slice, row_group_rows).take_while(|window| window.start < before);
        let candidates: BTreeMap<u64, usize> = windows.filter_map(candidate).collect();
        if candidates.is_empty() {
            return Ok(None);
        }
        let Some(untouched) = prepared.untouched(dataset)? else { return Ok(None) };
        let held = untouched.all.columns.iter().copied().chain(others).collect();
        Ok(Some(Self { source: source.clone(), prepared: Arc::clone(prepared), untouched, held, candidates }))
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
        super::add(&mut self.warnings, warnings);
        self.row = self.row.saturating_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX));
        Ok(Some(true))
    }
}

impl Work<'_> {
    /// A window that is a row group of the source already: copied where every row passes unchanged. Copying begins once the
    /// first rows have passed, and the others are looked at meanwhile: a source with rows to set aside has some among the
    /// first ones, as a rule.
    pub(super) async fn copy_or_clean(
        &mut self,
        source: &ParquetRows,
        copier: &Copier,
        window: Range<u64>,
    ) -> Result<Ran> {
        let Some(held) = copier.hold(&window).await? else {
            let reader = self.open(source, window.clone()).await?;
            return self.clean(reader, vec![window]).await.map(|()| Ran::Through);
        };
        let mut look = copier.look(&held, window.start)?;
        if !look.first().await? {
            return self.clean(held.rows(None)?, vec![window]).await.map(|()| Ran::Through);
        }
        let (sender, chunks) = mpsc::channel(1);
        // Ends with the set, wherever this ends.
        let mut sending = JoinSet::new();
        sending.spawn(held.clone().send_chunks(sender));
        self.output.copy_row_group(chunks).await?;
        let (first_row, rows) = (window.start, window.end - window.start);
        if !look.rest().await? {
            tracing::info!(first_row, rows, "copied in vain: a late row does not pass as it is; the slice begins anew");
            return Ok(Ran::InVain { first_row });
        }
        self.report_copied(&held, rows).await?;
        let sent = sending.join_next().await.transpose();
        if !sent.map_err(|error| Error::Internal(format!("copying: {error}")))?.transpose()?.unwrap_or(false) {
            tracing::info!(first_row, rows, "copied in vain: its pages do not tell their rows; the slice begins anew");
            return Ok(Ran::InVain { first_row });
        }
        tracing::debug!(first_row, rows, "row group copied");
        self.done.rows += RowCounts { read: rows, kept: rows, written: rows, ..RowCounts::default() };
        self.meter_rows(rows);
        super::add(&mut self.done.warnings, look.warnings);
        Ok(Ran::Through)
    }

    /// Has reports take the rows of a row group that is copied: only the columns that they read are decoded.
    async fn report_copied(&mut self, held: &HeldRowGroup, rows: u64) -> Result<()> {
        let Some(reports) = &mut self.reports else { return Ok(()) };
        let columns = reports.columns();
        if columns.is_empty() {
            reports.take_uncolumned(usize::try_from(rows).unwrap_or(usize::MAX));
            return Ok(());
        }
        let mut reader = held.rows(Some(&columns))?;
        while let Some(batch) = reader.next().await? {
            reports.take_columns(&columns, &batch);
        }
        Ok(())
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
