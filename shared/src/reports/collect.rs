//! The reports of a slice, computed while its rows are cleaned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use super::compile::Report;
use super::figures::{Figures, ReportFigures, Room};
use super::tally::Tally;
use crate::Error;
use crate::clean::Cleaner;
use crate::dataset::Dataset;
use crate::ledger::ReportError;
use crate::ledger::records::FORMAT;

/// Takes the rows that a slice keeps. Whatever goes wrong with a report is its own: the others go on, and so does the slice.
#[derive(Debug)]
pub(crate) struct Collector {
    /// Names of the columns of a row.
    row: Vec<String>,
    reports: Vec<(String, Result<Tally, String>)>,
}

impl Collector {
    /// The reports of `dataset`, compiled for the rows that `cleaner` gives. `None` where there are none.
    pub(crate) fn new(dataset: &Dataset, cleaner: &Cleaner) -> Option<Self> {
        let specs = &dataset.spec.reports;
        if specs.is_empty() {
            return None;
        }
        let fields = cleaner.row_fields();
        let reports = specs.iter().enumerate().map(|(index, spec)| {
            let compiled = Report::compile(dataset, index, fields.clone()).map_err(|error| match error {
                Error::Dataset(problems) => problems,
                other => other.to_string(),
            });
            (spec.name.clone(), compiled.and_then(|report| Tally::new(Arc::new(report))))
        });
        let reports = reports.collect();
        Some(Self { row: fields.iter().map(|field| field.name().clone()).collect(), reports })
    }

    /// The columns of a row that reports read, by their places, ascending.
    pub(crate) fn columns(&self) -> Vec<usize> {
        let reports = || self.reports.iter().filter_map(|(_, tally)| tally.as_ref().ok());
        let reads = |name: &String| {
            reports().any(|tally| tally.report().rows.fields().iter().any(|field| field.name() == name))
        };
        self.row.iter().enumerate().filter(|(_, name)| reads(name)).map(|(at, _)| at).collect()
    }

    /// Takes kept rows, as `cleaner` gave them, and the values of their partitions.
    pub(crate) fn take_kept(&mut self, cleaner: &Cleaner, kept: &RecordBatch, partitions: &[ArrayRef]) {
        let rows = kept.num_rows();
        self.take(rows, |at| cleaner.row_column(at, kept.columns(), partitions));
    }

    /// Takes rows of which `columns`, by their places in a row, are those of `batch`.
    pub(crate) fn take_columns(&mut self, columns: &[usize], batch: &RecordBatch) {
        let column = |at: usize| batch.columns().get(columns.binary_search(&at).ok()?);
        self.take(batch.num_rows(), column);
    }

    /// Takes rows where no report reads any column.
    pub(crate) fn take_uncolumned(&mut self, rows: usize) {
        self.take(rows, |_| None);
    }

    fn take<'a>(&mut self, rows: usize, column: impl Fn(usize) -> Option<&'a ArrayRef>) {
        let row = &self.row;
        let named = |name: &str| column(row.iter().position(|known| known == name)?);
        for (name, slot) in &mut self.reports {
            let Ok(tally) = slot else { continue };
            if let Err(error) = guarded(|| tally.update(rows, named)) {
                tracing::warn!(report = %name, %error, "a report fails, the slice goes on");
                *slot = Err(error);
            }
        }
    }

    /// The figures, and which reports have none.
    pub(crate) fn figures(self) -> (Figures, Vec<ReportError>) {
        let mut figures = Figures { format: FORMAT, ..Figures::default() };
        let mut errors = Vec::new();
        let mut room = Room::default();
        for (report, slot) in self.reports {
            let definition = slot.as_ref().map(|tally| tally.report().definition.clone()).unwrap_or_default();
            let done = slot.and_then(|tally| guarded(|| tally.figures())).and_then(|done| room.take(done));
            let done = done.unwrap_or_else(|message| {
                errors.push(ReportError { report: report.clone(), message: message.clone() });
                ReportFigures::failed(&definition, message)
            });
            figures.reports.insert(report, done);
        }
        (figures, errors)
    }
}

/// Calls an accumulator, whose panic is an error of its report: it is not used again.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err("an aggregate panicked".to_owned()))
}
