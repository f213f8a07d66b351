//! Figures, merged: of a run's slices, and of a dataset's runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};

use super::collect::guarded;
use super::compile::Report;
use super::figures::{Figures, ReportFigures, Room};
use super::output::Shown;
use super::tally::Tally;
use crate::clean::widest;
use crate::dataset::Dataset;
use crate::ledger::records::FORMAT;

/// Problems that a report lists.
const MAX_PROBLEMS: usize = 20;

/// The figures of a run, of those of its slices in their order. A report of which one slice has none, has none.
pub fn of_run(dataset: &Dataset, slices: &[Figures]) -> Figures {
    let specs = dataset.spec.reports.iter().enumerate();
    let mut room = Room::default();
    let reports = specs.map(|(index, spec)| {
        let figures: Vec<Option<&ReportFigures>> = slices.iter().map(|slice| slice.reports.get(&spec.name)).collect();
        let merged = guarded(|| run_figures(dataset, index, &figures)).and_then(|merged| room.take(merged));
        let definition = figures.iter().flatten().map(|figures| figures.definition.clone()).find(|it| !it.is_empty());
        let failed = |error| ReportFigures::failed(&definition.unwrap_or_default(), error);
        (spec.name.clone(), merged.unwrap_or_else(failed))
    });
    Figures { format: FORMAT, reports: reports.collect() }
}

fn run_figures(dataset: &Dataset, index: usize, slices: &[Option<&ReportFigures>]) -> Result<ReportFigures, String> {
    let mut found = Vec::with_capacity(slices.len());
    for (slice, figures) in slices.iter().enumerate() {
        let figures = figures.ok_or_else(|| format!("slice {slice} has no figures"))?;
        if let Some(error) = &figures.error {
            return Err(error.clone());
        }
        found.push(figures);
    }
    // What has no slice has no rows, and no columns to read them from.
    let Some(first) = found.first() else { return Ok(ReportFigures::default()) };
    if let [only] = found.as_slice() {
        return Ok((*only).clone());
    }
    let fields = first.rows_schema()?.fields().iter().map(|field| field.as_ref().clone()).collect();
    let report = Report::compile(dataset, index, fields).map_err(|error| error.to_string())?;
    let mut tally = Tally::new(Arc::new(report))?;
    for figures in found {
        let unpacked = tally.unpack(figures)?;
        tally.merge(figures, unpacked)?;
    }
    tally.figures()
}

/// A published source's figures, by its name for people; `None` where its run has none.
pub type SourceFigures<'a> = (&'a str, Option<&'a Figures>);

/// One report of a dataset, of the figures of what is published, in the order given. A source without usable figures
/// is told of, and left out.
pub fn of_dataset(dataset: &Dataset, index: usize, sources: &[SourceFigures<'_>]) -> Shown {
    let name = dataset.spec.reports.get(index).map(|spec| spec.name.clone()).unwrap_or_default();
    let mut problems = Vec::new();
    let mut usable: Vec<(&str, &ReportFigures)> = Vec::new();
    for (source, figures) in sources {
        match figures.and_then(|figures| figures.reports.get(&name)) {
            None => problems.push(format!("{source}: ingested before there was this report: reprocess it")),
            Some(ReportFigures { error: Some(error), .. }) => problems.push(format!("{source}: {error}")),
            // A source without rows has nothing to tell.
            Some(figures) if figures.definition.is_empty() => {}
            Some(figures) => usable.push((source, figures)),
        }
    }
    let mut shown = Shown::empty(&dataset.spec.name, &name);
    match guarded(|| merged(dataset, index, &usable, &mut problems)) {
        Ok(Some((tally, sources))) => match guarded(|| tally.told()) {
            Ok(told) => {
                problems.extend(told.problems.iter().cloned());
                shown.sources = sources;
                shown = shown.with(told);
            }
            Err(error) => problems.push(error),
        },
        Ok(None) => {}
        Err(error) => problems.push(error),
    }
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    shown.complete = problems.is_empty();
    shown.problems = problems;
    shown
}

/// Merges the figures, and answers of how many sources. `None` where there are none.
fn merged(
    dataset: &Dataset,
    index: usize,
    sources: &[(&str, &ReportFigures)],
    problems: &mut Vec<String>,
) -> Result<Option<(Tally, u64)>, String> {
    let mut columns: Vec<Field> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut readable = Vec::new();
    for (source, figures) in sources {
        match figures.rows_schema().and_then(|schema| widen(&mut columns, &mut places, &schema)) {
            Ok(()) => readable.push((source, figures)),
            Err(problem) => problems.push(format!("{source}: {problem}")),
        }
    }
    if readable.is_empty() {
        return Ok(None);
    }
    let report = Report::compile(dataset, index, columns).map_err(|error| error.to_string())?;
    let mut tally = Tally::new(Arc::new(report))?;
    let mut merged = 0;
    for (source, figures) in readable {
        if figures.definition != tally.report().definition {
            problems.push(format!("{source}: ingested when this report was another: reprocess it"));
            continue;
        }
        match tally.unpack(figures) {
            Ok(unpacked) => tally.merge(figures, unpacked).map_err(|error| format!("{source}: {error}"))?,
            Err(problem) => {
                problems.push(format!("{source}: {problem}"));
                continue;
            }
        }
        merged += 1;
    }
    Ok(Some((tally, merged)))
}

/// Makes room for a source's columns: those of one name get a type that holds the values of all.
fn widen(columns: &mut Vec<Field>, places: &mut BTreeMap<String, usize>, schema: &SchemaRef) -> Result<(), String> {
    let mut wider = columns.clone();
    for field in schema.fields() {
        match places.get(field.name()).and_then(|place| wider.get_mut(*place)) {
            None => {
                places.insert(field.name().clone(), wider.len());
                wider.push(field.as_ref().clone());
            }
            Some(known) if known.data_type() == field.data_type() => {}
            Some(known) => {
                let common = widest(known.data_type(), field.data_type());
                let (one, other) = (known.data_type(), field.data_type());
                let common =
                    common.ok_or_else(|| format!("column `{}` is {other} here and {one} elsewhere", field.name()))?;
                *known = known.clone().with_data_type(common.data_type);
            }
        }
    }
    *columns = wider;
    Ok(())
}
