//! Selected rows: the columns of all rows of a batch, and which of them count.
//!
//! Most batches have a row or two that are set aside. Whoever writes the others passes over these, so that no column is
//! copied without them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::FilterBuilder;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

/// Rows of a batch, some of which may be left out.
#[derive(Debug, Clone)]
pub struct SelectedRows {
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
    selection: Option<BooleanBuffer>,
    rows: usize,
}

impl SelectedRows {
    /// Those of `rows` rows that are set in `selection`; all of them where it is `None`. A column that allows no nulls may
    /// have them in rows that are left out.
    ///
    /// # Errors
    ///
    /// Where a column is not as long, or the selected rows are not what `schema` tells.
    pub fn try_new(
        schema: SchemaRef,
        columns: Vec<ArrayRef>,
        rows: usize,
        selection: Option<BooleanBuffer>,
    ) -> Result<Self, ArrowError> {
        let Some(selection) = selection else {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            return RecordBatch::try_new_with_options(schema, columns, &options).map(Self::from);
        };
        let refused = |problem: String| Err(ArrowError::InvalidArgumentError(problem));
        if selection.len() != rows || schema.fields().len() != columns.len() {
            let (bits, found, wanted) = (selection.len(), columns.len(), schema.fields().len());
            return refused(format!("{bits} bits for {rows} rows, {found} columns for {wanted} fields"));
        }
        for (field, column) in schema.fields().iter().zip(&columns) {
            let (name, found) = (field.name(), column.data_type());
            if column.len() != rows || found != field.data_type() {
                return refused(format!("column `{name}`: {} rows of {found}, not {rows}", column.len()));
            }
            let nulls = column.nulls().filter(|nulls| !field.is_nullable() && nulls.null_count() > 0);
            if nulls.is_some_and(|nulls| (&!nulls.inner() & &selection).has_true()) {
                return refused(format!("column `{name}` allows no nulls, and has one in a row that is kept"));
            }
        }
        let rows = selection.count_set_bits();
        Ok(Self { schema, columns, selection: Some(selection), rows })
    }

    /// How many rows are selected.
    pub fn num_rows(&self) -> usize {
        self.rows
    }

    /// The schema of the selected rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns of all rows, selected or not.
    pub fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// The bits of the selected rows; `None` where all are.
    pub fn selection(&self) -> Option<&BooleanBuffer> {
        self.selection.as_ref()
    }

    /// The first `rows` selected ones, and the others.
    pub fn split_at(&self, rows: usize) -> (Self, Self) {
        let all = self.selection.as_ref().map_or(self.rows, BooleanBuffer::len);
        let rows = rows.min(self.rows);
        let place = self.selection.as_ref().map_or(rows, |selection| place_behind(selection, rows));
        let piece = |from: usize, length: usize, rows: usize| Self {
            schema: Arc::clone(&self.schema),
            columns: self.columns.iter().map(|column| column.slice(from, length)).collect(),
            selection: self.selection.as_ref().map(|selection| selection.slice(from, length)),
            rows,
        };
        (piece(0, place, rows), piece(place, all - place, self.rows - rows))
    }

    /// The selected rows as a batch of their own.
    ///
    /// # Errors
    ///
    /// Where Arrow cannot copy a column.
    pub fn into_batch(self) -> Result<RecordBatch, ArrowError> {
        let columns = match self.selection {
            None => self.columns,
            Some(selection) => {
                let filter = FilterBuilder::new(&BooleanArray::new(selection, None)).optimize().build();
                self.columns.iter().map(|column| filter.filter(column)).collect::<Result<_, _>>()?
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(self.schema, columns, &options)
    }
}

impl From<RecordBatch> for SelectedRows {
    fn from(batch: RecordBatch) -> Self {
        let rows = batch.num_rows();
        let (schema, columns, _) = batch.into_parts();
        Self { schema, columns, selection: None, rows }
    }
}

/// The place behind as many set bits, of which there are enough.
fn place_behind(selection: &BooleanBuffer, count: usize) -> usize {
    let mut left = count;
    let mut place = 0;
    for word in selection.bit_chunks().iter_padded() {
        let ones = usize::try_from(word.count_ones()).unwrap_or(usize::MAX);
        if ones >= left {
            // Without its first ones, the word begins with the bit that is looked for.
            let last = (1..left).fold(word, |word, _| word & word.wrapping_sub(1));
            let behind = if left == 0 { 0 } else { last.trailing_zeros() + 1 };
            return place + usize::try_from(behind).unwrap_or(usize::MAX);
        }
        left -= ones;
        place += 64;
    }
    selection.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::Int32Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use proptest::prelude::*;

    use super::*;

    fn numbers(is_nullable: bool) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, is_nullable)]))
    }

    fn selected(values: &[i32], bits: Vec<bool>) -> SelectedRows {
        let column: ArrayRef = Arc::new(Int32Array::from(values.to_vec()));
        SelectedRows::try_new(numbers(false), vec![column], values.len(), Some(bits.into())).unwrap()
    }

    fn values(rows: SelectedRows) -> Vec<i32> {
        let batch = rows.into_batch().unwrap();
        let column = batch.column(0).as_any().downcast_ref::<Int32Array>().unwrap().clone();
        column.values().to_vec()
    }

    proptest! {
        #[test]
        fn split_rows_are_the_rows(bits in prop::collection::vec(any::<bool>(), 0..300), skipped in 0usize..70, at in 0usize..310) {
            let all: Vec<i32> = (0..).take(bits.len()).collect();
            let wanted: Vec<i32> = all.iter().zip(&bits).filter(|(_, bit)| **bit).map(|(value, _)| *value).collect();
            let whole = selected(&all, bits);
            prop_assert_eq!(whole.num_rows(), wanted.len());
            // Cut twice, so that bits need not begin with a byte.
            let (before, rest) = whole.split_at(skipped);
            let (first, second) = rest.split_at(at);
            prop_assert_eq!(first.num_rows(), at.min(wanted.len().saturating_sub(skipped)));
            prop_assert_eq!([before, first, second].map(values).concat(), wanted);
        }
    }

    #[test]
    fn nulls_are_refused_in_rows_that_are_kept_alone() {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let of = |bits: Vec<bool>| SelectedRows::try_new(numbers(false), vec![column.clone()], 2, Some(bits.into()));
        assert_eq!(values(of(vec![true, false]).unwrap()), [1]);
        let told = of(vec![true, true]).unwrap_err().to_string();
        assert!(told.contains("column `n` allows no nulls"), "{told}");
    }

    #[test]
    fn what_does_not_fit_the_schema_is_refused() {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let of = |columns: Vec<ArrayRef>, rows, bits: Vec<bool>| {
            SelectedRows::try_new(numbers(true), columns, rows, Some(bits.into())).unwrap_err().to_string()
        };
        assert!(of(vec![column.clone()], 2, vec![true]).contains("1 bits for 2 rows"));
        assert!(of(vec![column.clone()], 3, vec![true; 3]).contains("2 rows of Int32, not 3"));
        assert!(of(vec![], 2, vec![true; 2]).contains("0 columns for 1 fields"));
    }
}
