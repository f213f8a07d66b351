//! CSV and NDJSON in the pipeline: how a source is split into byte ranges, and how a slice's batches are worked through.

use super::csv_faults;
use super::slice::Work;
use crate::clean::{Cleaner, text_columns, text_types};
use crate::dataset::{Dataset, Format};
use crate::ledger::Plan;
use crate::plan::{Slice, TextColumn, TextPlace, TextPlan};
use crate::read::SourceFile;
use crate::read::text::{Empty, Head, Packing, Piece, TextReader, TextShape, TextSlice, head, split};
use crate::{Error, Result};

/// How a text source is split.
#[derive(Debug, Clone, PartialEq)]
pub struct TextSplit {
    /// Records, where they were counted.
    pub rows: u64,
    /// The slices' rows, where they were counted.
    pub slices: Vec<Slice>,
    /// What the plan holds besides.
    pub text: TextPlan,
    /// What a person should know of the source.
    pub notes: Vec<String>,
    /// Records, judged by a sample where they were not counted.
    pub about_rows: u64,
}

/// Looks at a text source's beginning, compiles the dataset against its columns, and splits it.
///
/// A compressed source, and one that is no larger than a block, is one slice. Any other is read once, in order, and cut
/// where records end: only who has read every quote before a line end knows whether it ends a record. `earlier` is a
/// plan of the same object version, whose boundaries are kept where they are still those of records.
pub async fn split_text(
    dataset: &Dataset,
    file: &SourceFile,
    earlier: Option<&Plan>,
    max_slices: u64,
) -> Result<TextSplit> {
    let Looked { head, columns, shape, .. } = look(dataset, file).await?;
    let notes: Vec<String> = head.empty.iter().map(|empty| format!("{empty}, so no row is published")).collect();
    let layout = shape.layout();
    let same_layout = |plan: &&Plan| plan.text.as_ref().is_some_and(|text| text.layout == layout);
    if let Some(plan) = earlier.filter(same_layout)
        && let Some(text) = &plan.text
    {
        let text = TextPlan { columns, ..text.clone() };
        let about_rows = if text.counted { plan.rows } else { head.about_records };
        return Ok(TextSplit { rows: plan.rows, slices: plan.slices.clone(), text, notes, about_rows });
    }
    let is_plain = Packing::of(&file.key) == Packing::Plain;
    let (pieces, counted) = if is_plain && file.size > shape.block_bytes {
        (split(file, &shape, &head).await?, true)
    } else if matches!(head.empty, Some(Empty::NoByte | Empty::Blank)) {
        (Vec::new(), true)
    } else {
        (vec![Piece { bytes: 0..file.size, records: 0..0, line: 1 }], false)
    };
    let count = u64::try_from(pieces.len()).unwrap_or(u64::MAX);
    let limit = max_slices.min(u64::from(u32::MAX));
    if count > limit {
        let remedy = "raise source.block_bytes".to_owned();
        return Err(Error::Limit { what: "number of slices".to_owned(), value: count, limit, remedy });
    }
    let rows = pieces.last().map_or(0, |last| last.records.end);
    Ok(TextSplit {
        rows,
        about_rows: if counted { rows } else { head.about_records },
        slices: (0..).zip(&pieces).map(|(index, piece)| Slice { index, rows: piece.records.clone() }).collect(),
        text: TextPlan {
            layout,
            columns,
            slices: pieces.into_iter().map(|piece| TextPlace { bytes: piece.bytes, line: piece.line }).collect(),
            line_end: head.line_end,
            counted,
        },
        notes,
    })
}

/// What a text source's beginning tells.
#[derive(Debug)]
pub struct Looked {
    /// The beginning itself.
    pub head: Head,
    /// The columns, with the types that they are read as.
    pub columns: Vec<TextColumn>,
    /// How its records are read.
    pub shape: TextShape,
    /// The dataset, compiled for these columns.
    pub cleaner: Cleaner,
}

/// Looks at a text source's beginning, and compiles the contract and the SQL against its columns, so that what can never
/// work fails before any row.
pub async fn look(dataset: &Dataset, file: &SourceFile) -> Result<Looked> {
    let shape = TextShape::new(dataset, &[])?;
    let head = head(file, &shape).await?;
    if let Some(problem) = csv_faults::delimiter(dataset, &head) {
        return Err(file.error(problem));
    }
    let compiled = || {
        let columns = columns(dataset, &head, &file.uri())?;
        let shape = TextShape::new(dataset, &text_types(&columns)?)?.with_line_end(head.line_end);
        let cleaner = Cleaner::for_text(dataset, &shape.schema, &file.uri())?;
        Ok((columns, shape, cleaner))
    };
    let compiled: Result<_> = compiled();
    let (columns, shape, cleaner) = compiled.map_err(|error| match (error, csv_faults::emptiness(dataset, &head)) {
        (Error::Contract(_), Some(problem)) => file.error(problem),
        (error, _) => error,
    })?;
    Ok(Looked { head, columns, shape, cleaner })
}

/// The source's columns: as the header names them; without one as the contract does, in order; NDJSON's contract.
fn columns(dataset: &Dataset, head: &Head, uri: &str) -> Result<Vec<TextColumn>> {
    let contract = &dataset.spec.schema.columns;
    let names: Vec<String> = match dataset.spec.source.format {
        Format::Ndjson => contract.iter().map(|column| column.name.clone()).collect(),
        _ => {
            let has_header = dataset.spec.csv.as_ref().is_none_or(|csv| csv.header);
            let declared = |at: usize| contract.get(at).filter(|_| !has_header).map(|column| column.name.clone());
            let named = head.names.iter().enumerate().map(|(at, name)| {
                name.clone().or_else(|| declared(at)).unwrap_or_else(|| format!("column_{}", at + 1))
            });
            named.collect()
        }
    };
    text_columns(dataset, &names, &head.types, uri)
}

/// The slice with this index, and how it is read.
pub(super) fn open(plan: &Plan, text: &TextPlan, index: u32, dataset: &Dataset, file: &SourceFile) -> Result<Reading> {
    let missing = || Error::Format {
        what: format!("run {}", plan.run.run_id),
        problem: format!("slice {index} has no place in its plan"),
    };
    let at = usize::try_from(index).unwrap_or(usize::MAX);
    let place = text.slices.get(at).ok_or_else(missing)?;
    let slice = plan.slices.get(at).ok_or_else(missing)?;
    let shape = TextShape::new(dataset, &text_types(&text.columns)?)?.with_line_end(text.line_end);
    let cleaner = Cleaner::for_text(dataset, &shape.schema, &file.uri())?;
    let slice = TextSlice {
        bytes: place.bytes.clone(),
        first_record: slice.rows.start,
        line: place.line,
        at_start: place.bytes.start == 0,
        at_end: place.bytes.end == file.size,
        row_group_rows: plan.row_group_rows,
    };
    Ok(Reading { cleaner, reader: TextReader::open(file, &shape, slice)? })
}

/// A slice about to be read.
pub(super) struct Reading {
    pub cleaner: Cleaner,
    pub reader: TextReader,
}

impl Work<'_> {
    /// Reads every record of a text slice, and notes the bytes that they cover.
    pub(super) async fn run_text(&mut self, reader: &mut TextReader) -> Result<()> {
        while let Some(batch) = reader.next().await? {
            let cleaned = self.cleaner.clean_text(&batch)?;
            self.take(cleaned).await?;
            self.meter_bytes(reader.bytes_taken());
            if batch.ends_row_group {
                self.end_row_group().await?;
            }
        }
        self.end_row_group().await?;
        self.meter_bytes(reader.bytes_taken());
        self.done.bytes = reader.covered().cloned();
        Ok(())
    }
}
