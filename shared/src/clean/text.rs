//! Rows that were text: a record that cannot be read, or of which one value does not fit, has its raw text set aside.
//!
//! A record has one fate, however many rows an array of it makes: where one of them is set aside the whole record is, so
//! that it can be mended and delivered again without a row coming twice.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::cast::Cast;
use super::check::Checked;
use super::evaluate::internal;
use super::quarantine::{Place, Rows, described};
use super::shown;
use super::verdict::{Fault, Verdict, add, without};
use super::{Cleaned, Cleaner, layout, objects, resolve, types, whole};
use crate::dataset::{ColumnType, Dataset, OnCastError};
use crate::ledger::RowCounts;
use crate::plan::TextColumn;
use crate::read::text::{Origin, TextBatch, reads};
use crate::selected::SelectedRows;
use crate::{Error, Result};

/// Why a record may be set aside besides: it is read as UTF-8, and is not.
const OTHER_ENCODING: &str = "csv: not UTF-8: is `encoding` missing in [csv]?";

/// The checked cast from text to a type.
#[derive(Debug, Clone)]
pub(crate) struct TextCast(Cast);

impl TextCast {
    /// Plans the cast, or says why text cannot become the type.
    pub fn plan(to: &DataType) -> Result<Self, String> {
        Cast::plan(&DataType::Utf8, to).map(Self)
    }

    /// Casts strings; null for what does not fit.
    pub fn apply(&self, strings: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        self.0.apply(strings).map(|(values, _)| values)
    }
}

/// Columns with their Arrow types.
///
/// # Errors
///
/// [`Error::Format`] for a type that this version does not know.
pub fn text_types(columns: &[TextColumn]) -> Result<Vec<(String, DataType)>> {
    let arrow = |column: &TextColumn| {
        let wrong = |problem: String| Error::Format { what: format!("column `{}` of a plan", column.name), problem };
        let declared: ColumnType = column.data_type.parse().map_err(wrong)?;
        let found = types::arrow_type(&declared);
        found.map(|found| (column.name.clone(), found)).ok_or_else(|| wrong(format!("no type: {declared}")))
    };
    columns.iter().map(arrow).collect()
}

/// The types that a text source's columns are read as: the contract's where text becomes it while it is read, strings
/// where `clean` casts, the inferred type where the contract does not name the column, null where nobody wants it.
///
/// # Errors
///
/// [`Error::Contract`] where the names are ambiguous or too many.
pub fn text_columns(
    dataset: &Dataset,
    names: &[String],
    inferred: &[ColumnType],
    source_uri: &str,
) -> Result<Vec<TextColumn>> {
    let broken = |problem: String| Error::Contract(format!("{source_uri}: {problem}"));
    let spec = &dataset.spec.schema;
    let source = Schema::new(names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>());
    let resolved = resolve::resolve(spec, &source, &mut Vec::new()).map_err(broken)?;
    let mut found = vec![ColumnType::Null; names.len()];
    for at in resolved.extras {
        if let (Some(found), Some(inferred)) = (found.get_mut(at), inferred.get(at)) {
            found.clone_from(inferred);
        }
    }
    for (declared, place) in spec.columns.iter().zip(&resolved.contract) {
        let Some(found) = place.and_then(|at| found.get_mut(at)) else { continue };
        let becomes_it = |wanted: &ColumnType| types::arrow_type(wanted).is_some_and(|wanted| reads(&wanted));
        let wanted = Some(&declared.data_type).filter(|wanted| !declared.trim && becomes_it(wanted));
        *found = wanted.unwrap_or(&ColumnType::String).clone();
    }
    let columns = names.iter().zip(found);
    Ok(columns.map(|(name, found)| TextColumn { name: name.clone(), data_type: found.to_string() }).collect())
}

impl Cleaner {
    /// A cleaner for rows that were text.
    ///
    /// # Errors
    ///
    /// As [`Cleaner::new`].
    pub fn for_text(dataset: &Dataset, rows: &Schema, source_uri: &str) -> Result<Self> {
        Self::new(dataset, rows, source_uri)
    }

    /// Cleans a batch of a text source, as [`Cleaner::select`] does.
    ///
    /// # Errors
    ///
    /// As [`Cleaner::clean`].
    pub fn clean_text(&self, batch: &TextBatch) -> Result<Cleaned<SelectedRows>> {
        self.expect_schema(&batch.rows)?;
        if self.on_cast_error == OnCastError::Fail {
            self.refuse_unfit(batch)?;
        }
        let rows = batch.rows.num_rows();
        let mut verdict = Verdict::new(rows);
        let first_row = batch.records.first().map_or(0, |record| record.number);
        let Checked { columns, partitions, coerced } =
            self.check(&batch.rows, first_row, &batch.unfit, &mut verdict)?;
        let fates = Fates::of(batch, &verdict);
        let kept_rows = fates.kept(batch, &verdict);
        let partitions = layout::kept_values(partitions, kept_rows.as_ref()).map_err(internal)?;
        let number = |row: usize| {
            let record = record_of(batch, row).and_then(|record| batch.records.get(record));
            record.map_or(first_row, |record| record.number)
        };
        let lineage = self.lineage_columns(number, rows).map_err(internal)?;
        let kept = self.kept(columns, rows, kept_rows, lineage)?;
        let counts = RowCounts {
            read: batch.read(),
            kept: whole(batch.records.len() - fates.quarantined.len() - fates.filtered),
            quarantined: whole(fates.quarantined.len()),
            filtered: batch.skipped + whole(fates.filtered),
            written: whole(kept.num_rows()),
        };
        if !counts.conserved() {
            return Err(Error::Internal(format!("{}: rows were lost at row {first_row}: {counts:?}", self.source_uri)));
        }
        let mut reasons = BTreeMap::new();
        for reason in fates.quarantined.iter().flat_map(|(_, why)| why.keys()) {
            *reasons.entry(reason.clone()).or_default() += 1;
        }
        let dropped = fates.dropped(batch, &verdict);
        let quarantined = match fates.quarantined.is_empty() {
            true => None,
            false => Some(self.set_aside(batch, &fates).map_err(internal)?),
        };
        let mut warnings = verdict.warnings;
        if batch.without_array > 0 {
            warnings.insert("no array of rows".to_owned(), batch.without_array);
        }
        Ok(Cleaned { kept, quarantined, counts, reasons, dropped, warnings, partitions, coerced })
    }

    /// The error of `on_cast_error = "fail"`, which names the text.
    fn refuse_unfit(&self, batch: &TextBatch) -> Result<()> {
        let place = |record: &Origin, what: String| {
            Error::Contract(format!("{}: row {}, line {}: {what}", self.source_uri, record.number, record.line))
        };
        if let Some((record, problem)) = batch.bad.first()
            && let Some(record) = batch.records.get(*record)
        {
            return Err(place(record, (*problem).to_owned()));
        }
        for column in &self.columns {
            let Some(unfit) = column.source.and_then(|at| batch.unfit.get(at)?.as_ref()) else { continue };
            let Some(row) = unfit.set_indices().next() else { continue };
            let record = record_of(batch, row).and_then(|record| batch.records.get(record));
            let to = types::describe(column.field.data_type());
            let mut what = format!("a value of column `{}` does not fit {to}", column.field.name());
            if record.is_some_and(|record| is_other_encoding(batch, record)) {
                what.push_str(
                    "; the record is not UTF-8: write the file's encoding in [csv], such as encoding = \"latin1\"",
                );
            }
            return Err(record.map_or_else(|| Error::Internal(what.clone()), |record| place(record, what.clone())));
        }
        Ok(())
    }

    /// The quarantine's rows: one for each record set aside.
    fn set_aside(&self, batch: &TextBatch, fates: &Fates) -> Result<RecordBatch, ArrowError> {
        let names: Vec<&str> = self.source_schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut rows = Rows::new();
        for (index, why) in &fates.quarantined {
            let Some(record) = batch.records.get(*index) else { continue };
            let fields = batch.fields.as_ref().map(|fields| fields.of(batch.text(record)));
            for (key, fault) in why {
                match fault {
                    Some((fault, row)) => {
                        let value = self.text_of(batch, *index, *row, fault, fields.as_deref());
                        rows.because(key, &described(fault, &self.columns, value.as_deref()));
                    }
                    None => rows.because(key, key),
                }
            }
            // A record that is cut off has the first fields only.
            let values = fields.map(|fields| {
                objects::of_texts(names.iter().copied().zip(fields.iter().map(|field| field.as_deref())))
            });
            let place = Place { source: &self.source_uri, number: record.number, line: Some(record.line) };
            let raw = match &batch.fields {
                Some(fields) => fields.raw(batch.text(record)),
                None => String::from_utf8_lossy(batch.text(record)),
            };
            rows.add(&place, Some(&raw), values.as_deref());
        }
        rows.finish()
    }

    /// A value of a row of a record as it stands in the text, as reasons show it; `None` for null.
    fn text_of(
        &self,
        batch: &TextBatch,
        record: usize,
        row: usize,
        fault: &Fault,
        fields: Option<&[Option<String>]>,
    ) -> Option<String> {
        let at = self.columns.get(fault.column)?.source?;
        if let Some(fields) = fields {
            return fields.get(at)?.as_deref().map(shown::quoted);
        }
        let first_row = batch.row_records.as_ref()?.partition_point(|other| *other < record);
        let value = batch.paths.as_ref()?.value(batch.text(batch.records.get(record)?), row - first_row, at)?;
        Some(if value.is_string { shown::quoted(&value.text) } else { shown::bare(&value.text) })
    }
}

/// The record that a row was made of.
fn record_of(batch: &TextBatch, row: usize) -> Option<usize> {
    match &batch.row_records {
        None => Some(row),
        Some(records) => records.get(row).copied(),
    }
}

/// Whether a record is read as UTF-8 and is not.
fn is_other_encoding(batch: &TextBatch, record: &Origin) -> bool {
    batch.fields.as_ref().is_some_and(|fields| fields.is_other_encoding(batch.text(record)))
}

/// Why a record is set aside: each reason once, with the first of its rows that has it where it is a value's.
type Why = BTreeMap<String, Option<(Fault, usize)>>;

/// What becomes of a batch's records.
struct Fates {
    /// Records set aside, in order, each with its reasons.
    quarantined: Vec<(usize, Why)>,
    /// Records of which every row is left out, and that had one.
    filtered: usize,
}

impl Fates {
    fn of(batch: &TextBatch, verdict: &Verdict) -> Self {
        let mut why: BTreeMap<usize, Why> = BTreeMap::new();
        for (record, problem) in &batch.bad {
            why.entry(*record).or_default().insert((*problem).to_owned(), None);
        }
        for reason in &verdict.reasons {
            for row in reason.rows.set_indices() {
                let Some(record) = record_of(batch, row) else { continue };
                let fault = || reason.fault.map(|fault| (fault, row));
                why.entry(record).or_default().entry(reason.key.clone()).or_insert_with(fault);
            }
        }
        for (record, reasons) in &mut why {
            if batch.records.get(*record).is_some_and(|record| is_other_encoding(batch, record)) {
                reasons.insert(OTHER_ENCODING.to_owned(), None);
            }
        }
        let filtered = match &verdict.left_out {
            None => 0,
            Some(left_out) => {
                let mut rows_of: BTreeMap<usize, bool> = BTreeMap::new();
                for (row, is_out) in left_out.iter().enumerate() {
                    if let Some(record) = record_of(batch, row) {
                        *rows_of.entry(record).or_insert(true) &= is_out;
                    }
                }
                rows_of.iter().filter(|(record, all_out)| **all_out && !why.contains_key(record)).count()
            }
        };
        Self { quarantined: why.into_iter().collect(), filtered }
    }

    /// How many records each drop expectation left a row out of. A record that is set aside is not among them; one that
    /// breaks two expectations counts for both.
    fn dropped(&self, batch: &TextBatch, verdict: &Verdict) -> BTreeMap<String, u64> {
        let records = |rows: &BooleanBuffer| {
            let records: BTreeSet<usize> = rows.set_indices().filter_map(|row| record_of(batch, row)).collect();
            whole(records.iter().filter(|record| !self.is_quarantined(**record)).count())
        };
        let counts = verdict.dropped.iter().map(|(name, rows)| (name.clone(), records(rows)));
        counts.filter(|(_, records)| *records > 0).collect()
    }

    fn is_quarantined(&self, record: usize) -> bool {
        self.quarantined.binary_search_by(|(known, _)| known.cmp(&record)).is_ok()
    }

    /// The rows that reach the output; `None`: all.
    fn kept(&self, batch: &TextBatch, verdict: &Verdict) -> Option<BooleanBuffer> {
        let mut gone = verdict.left_out.clone();
        if !self.quarantined.is_empty() {
            let aside = (0..batch.rows.num_rows()).map(|row| {
                let record = record_of(batch, row).unwrap_or(usize::MAX);
                self.is_quarantined(record)
            });
            add(&mut gone, &BooleanBuffer::from_iter(aside));
        }
        gone.map(|gone| without(&BooleanBuffer::new_set(gone.len()), &gone))
    }
}
