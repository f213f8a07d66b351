//! Figures: the partial states of a dataset's reports over some rows, as the ledger keeps them.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

/// Figures of a slice or a run for all reports, packed.
const MAX_FIGURES_BYTES: usize = 40 << 20;
/// The most bytes that states are unpacked to.
const MAX_STATE_BYTES: u64 = 256 << 20;

/// The figures of a slice or a run for all reports of its dataset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// [`crate::ledger::records::FORMAT`].
    pub format: u32,
    /// By report.
    pub reports: BTreeMap<String, ReportFigures>,
}

/// The figures for one report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportFigures {
    /// Tells what the report was: figures merge where it is the same.
    pub definition: String,
    /// Rows counted.
    pub rows: u64,
    /// Rows left out, because the report's SQL failed for them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// What the first of those said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Why there are no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Groups.
    pub groups: u64,
    /// The columns of a row that the report reads: an Arrow IPC stream without a batch, base64.
    pub columns: String,
    /// The groups' values and the aggregates' states, a row for each group: an Arrow IPC stream, zstd, base64. Empty where
    /// there is no group.
    pub states: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl ReportFigures {
    /// Figures that could not be had.
    pub fn failed(definition: &str, error: String) -> Self {
        Self { definition: definition.to_owned(), error: Some(error), ..Self::default() }
    }

    /// The columns of a row that the report reads.
    ///
    /// # Errors
    ///
    /// In words, where they are damaged.
    pub fn rows_schema(&self) -> Result<SchemaRef, String> {
        let bytes = BASE64_STANDARD.decode(&self.columns).map_err(damaged)?;
        Ok(StreamReader::try_new(Cursor::new(bytes), None).map_err(damaged)?.schema())
    }

    /// The groups' values and the aggregates' states.
    pub(super) fn batches(&self) -> Result<Vec<RecordBatch>, String> {
        if self.states.is_empty() {
            return Ok(Vec::new());
        }
        let packed = BASE64_STANDARD.decode(&self.states).map_err(damaged)?;
        let mut bytes = Vec::new();
        let unpacked = zstd::stream::read::Decoder::new(Cursor::new(packed)).map_err(damaged)?;
        unpacked.take(MAX_STATE_BYTES + 1).read_to_end(&mut bytes).map_err(damaged)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_STATE_BYTES {
            return Err(format!("its figures unpack to more than {MAX_STATE_BYTES} bytes"));
        }
        let reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(damaged)?;
        reader.collect::<Result<_, _>>().map_err(damaged)
    }
}

/// Room for the figures of all reports in one object, which the ledger reads whole.
#[derive(Debug, Default)]
pub(super) struct Room {
    bytes: usize,
}

impl Room {
    /// The figures, if there is room for them beside those before.
    pub(super) fn take(&mut self, figures: ReportFigures) -> Result<ReportFigures, String> {
        let bytes = self.bytes.saturating_add(figures.states.len()).saturating_add(figures.columns.len());
        if bytes > MAX_FIGURES_BYTES {
            return Err(format!(
                "the figures of all reports take more than {MAX_FIGURES_BYTES} bytes: group by something coarser"
            ));
        }
        self.bytes = bytes;
        Ok(figures)
    }
}

fn damaged(error: impl std::fmt::Display) -> String {
    format!("its figures are damaged: {error}")
}

/// A schema, packed.
pub(super) fn pack_schema(schema: &Schema) -> Result<String, String> {
    let mut bytes = Vec::new();
    let writer = StreamWriter::try_new(&mut bytes, schema);
    writer.and_then(|mut writer| writer.finish()).map_err(|error| error.to_string())?;
    Ok(BASE64_STANDARD.encode(bytes))
}

/// A batch, packed.
pub(super) fn pack(batch: &RecordBatch) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, batch.schema_ref()).map_err(|error| error.to_string())?;
    writer.write(batch).and_then(|()| writer.finish()).map_err(|error| error.to_string())?;
    drop(writer);
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_STATE_BYTES {
        return Err(format!("its figures take more than {MAX_STATE_BYTES} bytes: group by something coarser"));
    }
    let packed = zstd::bulk::compress(&bytes, 1).map_err(|error| error.to_string())?;
    Ok(BASE64_STANDARD.encode(packed))
}
