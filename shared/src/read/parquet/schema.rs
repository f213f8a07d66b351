//! The Arrow schema that a Parquet source is read with.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatchReader;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels, parquet_to_arrow_schema};
use parquet::basic::Type as PhysicalType;
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

/// The schema together with what the decoder needs of it.
#[derive(Debug, Clone)]
pub(super) struct Levels {
    levels: FieldLevels,
    schema: SchemaRef,
}

impl Levels {
    /// The Arrow schema, without metadata.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Of some of the leaf columns of a file whose columns do not nest.
    pub fn project(&self, metadata: &ParquetMetaData, leaves: &[usize]) -> Result<Self> {
        let levels = self.decoder_of(metadata, leaves.iter().copied())?;
        let schema = self.schema.project(leaves).map_err(|error| ParquetError::ArrowError(error.to_string()))?;
        Ok(Self { levels, schema: Arc::new(schema) })
    }

    /// For the decoder of these leaf columns alone.
    pub fn decoder_of(
        &self,
        metadata: &ParquetMetaData,
        leaves: impl IntoIterator<Item = usize>,
    ) -> Result<FieldLevels> {
        let descriptor = metadata.file_metadata().schema_descr();
        let mask = ProjectionMask::leaves(descriptor, leaves);
        parquet_to_arrow_field_levels(descriptor, mask, Some(self.schema.fields()))
    }

    /// For the decoder.
    pub fn decoder(&self) -> &FieldLevels {
        &self.levels
    }
}

/// The types to read a file with: those of its Parquet schema, refined by the Arrow schema that its writer may have
/// embedded (time zones, large strings, unsigned numbers), and then by [`readable`]. An embedded schema that is broken
/// or does not fit is left out of account: it is advice.
pub(super) fn levels(metadata: &ParquetMetaData) -> Result<Levels> {
    let file = metadata.file_metadata();
    let descriptor = file.schema_descr();
    let embedded = catch_unwind(AssertUnwindSafe(|| parquet_to_arrow_schema(descriptor, file.key_value_metadata())));
    let schema = match embedded {
        Ok(Ok(schema)) => schema,
        _ => parquet_to_arrow_schema(descriptor, None)?,
    };
    let mut leaves = descriptor.columns().iter().map(|column| column.physical_type());
    let hints: Fields = schema.fields().iter().map(|field| readable(field, &mut leaves)).collect();
    let levels = parquet_to_arrow_field_levels(descriptor, ProjectionMask::all(), Some(&hints))?;
    // The levels keep their fields to themselves; a reader over no rows tells its schema.
    let reader = ParquetRecordBatchReader::try_new_with_row_groups(&levels, &NoRows(metadata), 1, None)?;
    let schema = Arc::new(Schema::new(reader.schema().fields().clone()));
    Ok(Levels { levels, schema })
}

/// No row group of a file.
struct NoRows<'a>(&'a ParquetMetaData);

/// The pages of no row group.
struct NoPages;

impl RowGroups for NoRows<'_> {
    fn num_rows(&self) -> usize {
        0
    }

    fn column_chunks(&self, _: usize) -> Result<Box<dyn PageIterator>> {
        Ok(Box::new(NoPages))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::empty())
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.0
    }
}

impl Iterator for NoPages {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

impl PageIterator for NoPages {}

/// The type to read a field as, where the file's own is dangerous or slow: INT96 as microseconds (as nanoseconds it
/// wraps outside 1677 to 2262), dictionaries with 32-bit indices (narrow ones overflow across row groups), views as
/// plain strings. `leaves` are the physical types of the Parquet columns, in the order of the Arrow leaves.
fn readable(field: &FieldRef, leaves: &mut impl Iterator<Item = PhysicalType>) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|child| readable(child, leaves)).collect()),
        DataType::List(child) => DataType::List(readable(child, leaves)),
        DataType::LargeList(child) => DataType::LargeList(readable(child, leaves)),
        DataType::ListView(child) => DataType::List(readable(child, leaves)),
        DataType::LargeListView(child) => DataType::LargeList(readable(child, leaves)),
        DataType::FixedSizeList(child, length) => DataType::FixedSizeList(readable(child, leaves), *length),
        DataType::Map(child, sorted) => DataType::Map(readable(child, leaves), *sorted),
        leaf => {
            let physical = leaves.next();
            match leaf {
                DataType::Timestamp(TimeUnit::Nanosecond, zone) if physical == Some(PhysicalType::INT96) => {
                    DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
                }
                DataType::Dictionary(_, value) if is_text(value) => {
                    DataType::Dictionary(Box::new(DataType::Int32), Box::new(plain(value)))
                }
                DataType::Dictionary(_, value) => plain(value),
                other => plain(other),
            }
        }
    };
    // A new field: the old one may carry a dictionary's id.
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone()))
}

fn is_text(value: &DataType) -> bool {
    matches!(value, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn plain(value: &DataType) -> DataType {
    match value {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}
