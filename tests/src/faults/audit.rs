//! Whether every source row is in what readers see, once.

use anyhow::{Context, Result};
use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use sha2::{Digest, Sha256};

use crate::trips::{self, Row, Trip};

/// What was found of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audited {
    /// Source rows looked for.
    pub rows: u64,
    /// Found nowhere.
    pub lost: u64,
    /// Found too often, or no row of the source.
    pub duplicated: u64,
    /// SHA-256 of what the parts hold but for their footers, which name the run, and of the numbers of the rows that were
    /// set aside.
    pub digest: String,
}

/// Looks for each of `source`'s rows in `parts` and in `quarantine`, both in key order. The trips' numbers must be their
/// indices.
pub fn audit(source: &[Trip], parts: &[Bytes], quarantine: &[Bytes]) -> Result<Audited> {
    let mut seen = vec![0_u64; source.len()];
    let mut strange = 0;
    let mut digest = Sha256::new();
    for part in parts {
        for row in trips::rows(part.clone())? {
            match expected_at(source, &row) {
                Some(index) => seen[index] += 1,
                None => strange += 1,
            }
        }
        digest.update(before_footer(part)?);
    }
    for file in quarantine {
        for row in numbers(file.clone())? {
            let index = usize::try_from(row)?;
            match source.get(index) {
                Some(trip) if trip.expected().is_none() => seen[index] += 1,
                _ => strange += 1,
            }
            digest.update(row.to_le_bytes());
        }
    }
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Audited {
        rows: u64::try_from(source.len())?,
        lost: u64::try_from(seen.iter().filter(|times| **times == 0).count())?,
        duplicated: strange + seen.iter().map(|times| times.saturating_sub(1)).sum::<u64>(),
        digest: hex,
    })
}

/// Which row of the source this is, if it is as the dataset makes it.
fn expected_at(source: &[Trip], row: &Row) -> Option<usize> {
    let index = usize::try_from(row.0).ok()?;
    (source.get(index)?.expected().as_ref() == Some(row)).then_some(index)
}

/// The numbers in the source of the rows that were set aside.
fn numbers(file: Bytes) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
        let batch = batch?;
        let column = batch.column_by_name("_rowmill_row").context("no column _rowmill_row")?;
        numbers.extend(column.as_primitive_opt::<UInt64Type>().context("no uint64")?.values());
    }
    Ok(numbers)
}

/// A Parquet file up to its footer, whose length stands before the last four bytes.
fn before_footer(part: &Bytes) -> Result<&[u8]> {
    let length = part.len().checked_sub(8).context("shorter than a footer")?;
    let stated: [u8; 4] = part[length..length + 4].try_into()?;
    let rows = length.checked_sub(usize::try_from(u32::from_le_bytes(stated))?).context("a footer too long")?;
    Ok(&part[..rows])
}

/// The run that made a part or a quarantine file, from its footer.
pub fn run_of(file: Bytes) -> Result<String> {
    let reader = SerializedFileReader::new(file)?;
    let pairs = reader.metadata().file_metadata().key_value_metadata().context("no metadata")?;
    let pair = pairs.iter().find(|pair| pair.key == "rowmill.run_id").context("no rowmill.run_id")?;
    pair.value.clone().context("rowmill.run_id is empty")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trips::trips;

    fn part(rows: &[Trip]) -> Bytes {
        use arrow::array::{ArrayRef, Float32Array, Int32Array, RecordBatch, StringArray};
        use std::sync::Arc;
        let rows: Vec<Row> = rows.iter().filter_map(Trip::expected).collect();
        let batch = RecordBatch::try_from_iter([
            ("number", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef),
            ("fare", Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.1)))),
            ("shared_flag", Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2.clone())))),
        ])
        .unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        Bytes::from(writer.into_inner().unwrap())
    }

    #[test]
    fn rows_that_are_lost_doubled_or_changed_are_counted() {
        // The first seven rows are clean.
        let source = &trips(0, 100)[..7];
        let whole = audit(source, &[part(source)], &[]).unwrap();
        assert_eq!((whole.rows, whole.lost, whole.duplicated), (7, 0, 0));
        let lost = audit(source, &[part(&source[1..])], &[]).unwrap();
        assert_eq!((lost.lost, lost.duplicated), (1, 0));
        assert_ne!(lost.digest, whole.digest);
        let doubled = audit(source, &[part(source), part(&source[..2])], &[]).unwrap();
        assert_eq!((doubled.lost, doubled.duplicated), (0, 2));
        let mut changed = source.to_vec();
        changed[3].fare += 1.0;
        let changed = audit(source, &[part(&changed)], &[]).unwrap();
        assert_eq!((changed.lost, changed.duplicated), (1, 1));
    }
}
