//! What a Parquet file on disk looks like from outside: row groups and columns.

use std::fs::File;
use std::path::Path;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::fault::Fault;
use crate::types::{Columns, columns};

/// A file's shape.
#[derive(Debug)]
pub struct Inspected {
    /// Its name.
    pub file: String,
    /// Bytes.
    pub bytes: u64,
    /// Rows of each row group.
    pub row_groups: Vec<u64>,
    /// Names and types of its columns.
    pub columns: Columns,
}

/// Reads a file's footer.
pub fn read(path: &Path) -> Result<Inspected, Fault> {
    let name = path.display();
    let file = File::open(path).map_err(|error| Fault::failed(format!("{name}: {error}")))?;
    let bytes = file.metadata()?.len();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let groups = builder.metadata().row_groups().iter();
    let row_groups = groups.map(|group| u64::try_from(group.num_rows()).unwrap_or(0)).collect();
    let columns = columns(builder.schema());
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Inspected { file, bytes, row_groups, columns })
}
