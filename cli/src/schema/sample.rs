//! What one source holds, as far as a cheap look tells. A format whose files do not tell their schema gives the types that
//! a sample of its records has.

use arrow::datatypes::DataType;
use rowmill::ledger::Source;
use rowmill::read::SourceFile;
use rowmill::read::parquet::Footer;
use rowmill::storage::Stores;

/// What the files in a folder end in.
pub const EXTENSION: &str = ".parquet";

/// What a look at one source told.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Where it lies.
    pub uri: String,
    /// Rows, where they are known without reading them.
    pub rows: Option<u64>,
    /// Its columns, in order.
    pub columns: Vec<SampledColumn>,
}

/// A column of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledColumn {
    /// Its name there.
    pub name: String,
    /// Its type there.
    pub data_type: DataType,
    /// Its nulls, where they are known.
    pub nulls: Option<u64>,
}

/// Looks at a source.
pub async fn sample(stores: &dyn Stores, source: &Source) -> rowmill::Result<Sample> {
    let storage = stores.open(&source.bucket).await?;
    let file = SourceFile { storage, key: source.key.clone(), version: source.version.clone(), size: source.size };
    parquet(&file).await
}

/// A Parquet file's footer tells all.
async fn parquet(file: &SourceFile) -> rowmill::Result<Sample> {
    let (footer, nulls) = Footer::read_with_nulls(file).await?;
    let columns = footer.schema.fields().iter().zip(nulls).map(|(field, nulls)| SampledColumn {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        nulls: if field.data_type() == &DataType::Null { Some(footer.total_rows) } else { nulls },
    });
    Ok(Sample { uri: file.uri(), rows: Some(footer.total_rows), columns: columns.collect() })
}
