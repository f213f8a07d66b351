//! The rows of one row group, batch by batch: columns that hold codes by our reader, the others by the parquet crate's.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection, RowSelector};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;

use super::coded::Coding;
use super::codes::CodeReader;
use super::columns::SliceGroups;
use super::slice::Covered;

/// The covered rows of a row group, decoded as they are asked for.
pub(super) struct Batches {
    coding: Arc<Coding>,
    codes: Vec<CodeReader>,
    /// `None` where all columns hold codes.
    others: Option<ParquetRecordBatchReader>,
    batch_rows: usize,
    rows_left: usize,
}

impl Batches {
    /// Opens the row group and goes to the first row that is covered.
    pub fn open(groups: &SliceGroups, covered: &Covered, batch_rows: usize, coding: &Arc<Coding>) -> Result<Self> {
        let skipped = usize::try_from(covered.rows.start)?;
        let rows = usize::try_from(covered.rows.end - covered.rows.start)?;
        let selection = RowSelection::from(vec![RowSelector::skip(skipped), RowSelector::select(rows)]);
        let others = coding.levels().map(|levels| {
            ParquetRecordBatchReader::try_new_with_row_groups(levels, groups, batch_rows, Some(selection))
        });
        let others = others.transpose()?;
        let mut codes = groups.code_readers(covered.index, coding)?;
        codes.iter_mut().try_for_each(|codes| codes.skip(skipped))?;
        Ok(Self { coding: coding.clone(), codes, others, batch_rows, rows_left: rows })
    }

    /// The next batch; `None` behind the last row, be it that the columns end too early.
    pub fn next(&mut self, metadata: &ParquetMetaData) -> Result<Option<RecordBatch>> {
        let wanted = self.batch_rows.min(self.rows_left);
        let others = match &mut self.others {
            Some(others) => others.next().transpose()?,
            None => None,
        };
        let mut codes = Vec::with_capacity(self.codes.len());
        for column in &mut self.codes {
            codes.push(column.read(wanted)?);
        }
        let counts = codes.iter().map(Array::len);
        let others_count = self.others.is_some().then(|| others.as_ref().map_or(0, RecordBatch::num_rows));
        let mut counts = counts.chain(others_count);
        let rows = counts.next().unwrap_or(0);
        if counts.any(|count| count != rows) {
            return Err(ParquetError::General("some columns have more rows than others".to_owned()));
        }
        if rows == 0 {
            return Ok(None);
        }
        self.rows_left = self.rows_left.saturating_sub(rows);
        let others = others.as_ref().map_or(&[][..], RecordBatch::columns);
        self.coding.assemble(codes, others, rows, metadata).map(Some)
    }
}
