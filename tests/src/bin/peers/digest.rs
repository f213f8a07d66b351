//! What a folder of Parquet files holds, whatever the order of its rows, its row groups and its encodings.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rowmill_tests::random::mix;

/// A column's rows and sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Values that are not null.
    pub values: u64,
    /// The sum of a hash of every value's bits, wrapped: equal for the same values in any order.
    pub hashes: u64,
}

/// What the files hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Rows.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// By column.
    pub columns: BTreeMap<String, Sums>,
}

impl Content {
    /// 16 hex digits of rows and columns; not of bytes.
    pub fn digest(&self) -> String {
        let mut digest = mix(self.rows);
        for (name, sums) in &self.columns {
            for bits in [hash(name.as_bytes()), sums.values, sums.hashes] {
                digest = mix(digest ^ bits);
            }
        }
        format!("{digest:016x}")
    }

    /// The columns that differ, by name.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let names: std::collections::BTreeSet<&String> = self.columns.keys().chain(other.columns.keys()).collect();
        names.into_iter().filter(|name| self.columns.get(*name) != other.columns.get(*name)).cloned().collect()
    }
}

/// Reads every Parquet file below `folder`.
pub fn content(folder: &Path) -> Result<Content> {
    let mut content = Content::default();
    for path in parquet_files(folder)? {
        let file = File::open(&path)?;
        content.bytes += file.metadata()?.len();
        let named = || path.display().to_string();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).with_context(named)?.with_batch_size(65_536);
        for batch in reader.build().with_context(named)? {
            let batch = batch.with_context(named)?;
            content.rows += u64::try_from(batch.num_rows())?;
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                let sums = content.columns.entry(field.name().clone()).or_default();
                add(sums, column).with_context(|| format!("{}, column {}", path.display(), field.name()))?;
            }
        }
    }
    Ok(content)
}

/// Rows and bytes of every Parquet file below `folder`, from the footers.
pub fn size(folder: &Path) -> Result<(u64, u64)> {
    let (mut rows, mut bytes) = (0, 0);
    for path in parquet_files(folder)? {
        let file = File::open(&path)?;
        bytes += file.metadata()?.len();
        let footer = ParquetRecordBatchReaderBuilder::try_new(file).with_context(|| path.display().to_string())?;
        rows += u64::try_from(footer.metadata().file_metadata().num_rows())?;
    }
    Ok((rows, bytes))
}

fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// Writers may spell a type in several ways (large strings, dictionaries, other units); its width is what the job asked
/// for, so narrow numbers must be narrow.
fn add(sums: &mut Sums, column: &ArrayRef) -> Result<()> {
    match column.data_type() {
        DataType::Int32 => add_numbers(sums, &cast(column, &DataType::Int64)?),
        DataType::Timestamp(..) => {
            let micros = cast(column, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None))?;
            add_numbers(sums, &cast(&micros, &DataType::Int64)?);
        }
        DataType::Float32 => {
            for value in column.as_primitive::<Float32Type>().iter().flatten() {
                add_bits(sums, u64::from(value.to_bits()));
            }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            for value in cast(column, &DataType::Utf8)?.as_string::<i32>().iter().flatten() {
                add_bits(sums, hash(value.as_bytes()));
            }
        }
        other => bail!("type {other} is none that the job writes"),
    }
    Ok(())
}

fn add_numbers(sums: &mut Sums, numbers: &ArrayRef) {
    for value in numbers.as_primitive::<Int64Type>().iter().flatten() {
        add_bits(sums, u64::from_ne_bytes(value.to_ne_bytes()));
    }
}

fn add_bits(sums: &mut Sums, bits: u64) {
    sums.values += 1;
    sums.hashes = sums.hashes.wrapping_add(mix(bits ^ 0xA076_1D64_78BD_642F));
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, Int32Array, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn written(name: &str, files: &[Vec<(i32, &str, f32)>]) -> Content {
        let folder = tempfile::tempdir().unwrap();
        for (index, rows) in files.iter().enumerate() {
            let columns: [(&str, ArrayRef); 3] = [
                (name, Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0)))),
                ("text", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)))),
                ("amount", Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.2)))),
            ];
            save(folder.path(), index, RecordBatch::try_from_iter(columns).unwrap());
        }
        content(folder.path()).unwrap()
    }

    fn save(folder: &Path, index: usize, batch: RecordBatch) {
        let file = File::create(folder.join(format!("{index}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn the_order_and_the_files_of_rows_do_not_matter() {
        let one = written("number", &[vec![(1, "a", 0.5), (2, "b", 1.5), (2, "", -1.0)]]);
        let two = written("number", &[vec![(2, "", -1.0)], vec![(2, "b", 1.5), (1, "a", 0.5)]]);
        assert_eq!((one.rows, one.digest()), (3, two.digest()));
        assert_eq!(one.differences(&two), Vec::<String>::new());
    }

    #[test]
    fn a_value_a_row_a_name_or_a_type_that_differs_is_told() {
        let one = written("number", &[vec![(1, "a", 0.5), (2, "b", 1.5)]]);
        for other in [
            written("number", &[vec![(1, "a", 0.5), (2, "b", 1.25)]]),
            written("number", &[vec![(1, "a", 0.5)]]),
            written("other", &[vec![(1, "a", 0.5), (2, "b", 1.5)]]),
            written("number", &[vec![(1, "b", 0.5), (1, "b", 1.5)]]),
        ] {
            assert_ne!(one.digest(), other.digest());
            assert!(!one.differences(&other).is_empty());
        }
        let folder = tempfile::tempdir().unwrap();
        let wide = RecordBatch::try_from_iter([("number", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
        save(folder.path(), 0, wide);
        assert!(content(folder.path()).is_err());
    }
}
