//! A report as readers see it: Parquet, and JSON with what a person should know besides.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tally::Told;
use crate::clean::types::describe;
use crate::{Error, Result};

/// A report with its figures: `_reports/<dataset>/<report>.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shown {
    /// The dataset's name.
    pub dataset: String,
    /// The report's name.
    pub report: String,
    /// Whether it tells of every row that is published.
    pub complete: bool,
    /// What is missing or failed, in words.
    pub problems: Vec<String>,
    /// Published sources that it tells of.
    pub sources: u64,
    /// Rows counted: those that fulfil `where`.
    pub rows: u64,
    /// Rows left out, because the report's SQL failed for them.
    pub left_out: u64,
    /// The columns, in order: groups, then measures.
    pub columns: Vec<Column>,
    /// The groups, sorted; each an object with a member for each column.
    pub groups: Vec<Value>,
    /// The groups as Arrow; `None` where there is no figure at all.
    #[serde(skip)]
    pub(super) batch: Option<RecordBatch>,
}

/// A column of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as dataset files write it.
    #[serde(rename = "type")]
    pub data_type: String,
}

impl Shown {
    pub(super) fn empty(dataset: &str, report: &str) -> Self {
        Self {
            dataset: dataset.to_owned(),
            report: report.to_owned(),
            complete: true,
            problems: Vec::new(),
            sources: 0,
            rows: 0,
            left_out: 0,
            columns: Vec::new(),
            groups: Vec::new(),
            batch: None,
        }
    }

    pub(super) fn with(self, told: Told) -> Self {
        let Told { batch, rows, left_out, .. } = told;
        Self { rows, left_out, columns: columns(batch.schema_ref()), batch: Some(batch), ..self }
    }

    /// The groups as Arrow; `None` where there is no figure at all.
    pub fn batch(&self) -> Option<&RecordBatch> {
        self.batch.as_ref()
    }

    /// The JSON file.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where a type has no JSON.
    pub fn json(&self) -> Result<Bytes> {
        let text = serde_json::to_string_pretty(self).map_err(|error| self.internal(error))?;
        let Some(batch) = self.batch.as_ref().filter(|batch| batch.num_rows() > 0) else { return Ok(text.into()) };
        // Arrow's own digits: a float that went through another parser could come out as its neighbour.
        let head = text.strip_suffix("[]\n}").ok_or_else(|| self.internal("its groups are not the last member"))?;
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
        writer.write(batch).and_then(|()| writer.finish()).map_err(|error| self.internal(error))?;
        let lines = String::from_utf8(writer.into_inner()).map_err(|error| self.internal(error))?;
        let lines: Vec<&str> = lines.lines().collect();
        Ok(format!("{head}[\n    {}\n  ]\n}}\n", lines.join(",\n    ")).into())
    }

    /// The Parquet file; `None` where there is no figure at all. What is missing is told in its footer too.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where a type has no Parquet.
    pub fn parquet(&self) -> Result<Option<Bytes>> {
        let Some(batch) = &self.batch else { return Ok(None) };
        let told = |key: &str, value: String| KeyValue { key: format!("rowmill.{key}"), value: Some(value) };
        let mut metadata = vec![
            told("dataset", self.dataset.clone()),
            told("report", self.report.clone()),
            told("complete", self.complete.to_string()),
        ];
        if !self.problems.is_empty() {
            metadata.push(told("problems", self.problems.join("\n")));
        }
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("rowmill {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(metadata))
            .build();
        let written = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).and_then(|mut writer| {
            writer.write(batch)?;
            writer.into_inner()
        });
        written.map(|bytes| Some(bytes.into())).map_err(|error| self.internal(error))
    }

    fn internal(&self, error: impl std::fmt::Display) -> Error {
        Error::Internal(format!("report {} of {}: {error}", self.report, self.dataset))
    }
}

fn columns(schema: &Schema) -> Vec<Column> {
    let column = |field: &arrow::datatypes::FieldRef| Column {
        name: field.name().clone(),
        data_type: describe(field.data_type()),
    };
    schema.fields().iter().map(column).collect()
}
