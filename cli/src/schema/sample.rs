//! What one source holds, as far as a cheap look tells. A format whose files do not tell their schema gives the types that
//! a sample of its records has.

use arrow::datatypes::DataType;
use rowmill::clean::text_types;
use rowmill::ledger::Source;
use rowmill::plan::TextColumn;
use rowmill::read::SourceFile;
use rowmill::read::parquet::Footer;
use rowmill::read::text::sniff;
use rowmill::storage::Stores;

use super::csv::CsvReport;

/// What a folder stands for: its Parquet files, or, where it has none, its CSV files.
pub const EXTENSIONS: [&[&str]; 2] = [&[".parquet"], CSV];
const CSV: &[&str] = &[".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst", ".txt", ".txt.gz", ".txt.zst"];
const NDJSON: [&str; 3] = [".json", ".jsonl", ".ndjson"];
/// What a run says of a file that is no Parquet.
const RUN_HINT: &str = "check the dataset's source.format";

/// Whether a file is CSV, by its name.
pub fn is_csv(key: &str) -> bool {
    let lower = key.to_lowercase();
    CSV.iter().any(|extension| lower.ends_with(extension))
}

/// What a look at one source told.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Where it lies.
    pub uri: String,
    /// Rows, where they are known without reading them.
    pub rows: Option<u64>,
    /// Its columns, in order.
    pub columns: Vec<SampledColumn>,
    /// CSV: how it is written.
    pub csv: Option<CsvReport>,
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

/// Looks at a source, or says why that cannot be.
pub async fn sample(stores: &dyn Stores, source: &Source) -> Result<Sample, String> {
    let storage = stores.open(&source.bucket).await.map_err(|error| error.to_string())?;
    let file = SourceFile { storage, key: source.key.clone(), version: source.version.clone(), size: source.size };
    if is_csv(&file.key) {
        return csv(&file).await.map_err(|error| error.to_string());
    }
    let lower = file.key.to_lowercase();
    let plain = lower.strip_suffix(".gz").or_else(|| lower.strip_suffix(".zst")).unwrap_or(&lower);
    if NDJSON.iter().any(|extension| plain.ends_with(extension)) {
        return Err("not yet: schema reads Parquet and CSV".to_owned());
    }
    let what = match lower.ends_with(".parquet") {
        true => "is it another format, or cut off?",
        false => "schema reads Parquet, and CSV by its name: .csv, .tsv or .txt, with .gz or .zst behind",
    };
    parquet(&file).await.map_err(|error| error.to_string().replace(RUN_HINT, what))
}

/// The beginning of a CSV, with the types that a run infers.
async fn csv(file: &SourceFile) -> rowmill::Result<Sample> {
    let found = sniff(file).await?;
    let columns = found.columns.iter();
    let columns = columns.map(|(name, found)| TextColumn { name: name.clone(), data_type: found.to_string() });
    let typed = text_types(&columns.collect::<Vec<_>>())?.into_iter();
    Ok(Sample {
        uri: file.uri(),
        rows: found.is_whole.then_some(found.records),
        columns: typed.map(|(name, data_type)| SampledColumn { name, data_type, nulls: None }).collect(),
        csv: Some(CsvReport::of(&found)),
    })
}

/// A Parquet file's footer tells all.
async fn parquet(file: &SourceFile) -> rowmill::Result<Sample> {
    let (footer, nulls) = Footer::read_with_nulls(file).await?;
    let columns = footer.schema.fields().iter().zip(nulls).map(|(field, nulls)| SampledColumn {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        nulls: if field.data_type() == &DataType::Null { Some(footer.total_rows) } else { nulls },
    });
    Ok(Sample { uri: file.uri(), rows: Some(footer.total_rows), columns: columns.collect(), csv: None })
}
