//! `rowmill check`: is the dataset file right, and what would a run of these sources be?

use std::sync::Arc;

use rowmill::clean::Cleaner;
use rowmill::dataset::Dataset;
use rowmill::ledger::Source;
use rowmill::pipeline::Limits;
use rowmill::plan;
use rowmill::read::SourceFile;
use rowmill::read::parquet::Footer;
use rowmill::storage::Stores;
use serde::Serialize;

use crate::args::CheckArgs;
use crate::estimate::{Estimate, Shape, assumptions};
use crate::fault::{Exit, Fault};
use crate::location::shown;
use crate::render::{self, Align, Table, bytes, count, float, length, plural};
use crate::run::{read_dataset, refuse_format};
use crate::sources::{Named, named};
use crate::stores::AnyStores;
use crate::types::type_name;

/// The document of `check --json`.
#[derive(Debug, Serialize)]
struct Checked {
    dataset: String,
    config: String,
    sources: Vec<Planned>,
    totals: Estimate,
}

/// What a run of one source would be.
#[derive(Debug, Serialize)]
struct Planned {
    uri: String,
    error: Option<String>,
    size: u64,
    rows: u64,
    slices: usize,
    row_groups_before: Vec<u64>,
    row_groups_after: Vec<u64>,
    columns: Vec<Column>,
    drift: Vec<String>,
    estimate: Estimate,
}

/// A column of the output.
#[derive(Debug, Serialize)]
struct Column {
    name: String,
    before: Option<String>,
    after: String,
}

/// Runs the command.
pub async fn check(args: CheckArgs) -> Result<Exit, Fault> {
    let dataset = read_dataset(&args.dataset)?;
    refuse_format(&dataset)?;
    let stores = Arc::new(AnyStores::default());
    let names = named(stores.as_ref(), &args.sources, None, ".parquet").await?;
    let mut sources = Vec::new();
    for source in names.sources {
        sources.push(match source {
            Named::Unfound { uri, problem } => Planned::failed(uri, 0, problem),
            Named::Found(source) => match plan_source(stores.as_ref(), &dataset, &source).await {
                Ok(planned) => planned,
                Err(error) => Planned::failed(source.uri(), source.size, error.to_string()),
            },
        });
    }
    let totals = sources.iter().fold(Estimate::default(), |sum, planned| sum.plus(planned.estimate));
    let failed = sources.iter().any(|planned| planned.error.is_some());
    let checked = Checked { dataset: dataset.spec.name.clone(), config: dataset.hash.clone(), sources, totals };
    if args.json {
        render::print_json(&checked);
    } else {
        render::print(&text(&dataset, &checked));
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

impl Planned {
    fn failed(uri: String, size: u64, problem: String) -> Self {
        Self {
            uri,
            error: Some(problem),
            size,
            rows: 0,
            slices: 0,
            row_groups_before: Vec::new(),
            row_groups_after: Vec::new(),
            columns: Vec::new(),
            drift: Vec::new(),
            estimate: Estimate::default(),
        }
    }
}

/// Plans a source from its footer: no row is read.
async fn plan_source(stores: &dyn Stores, dataset: &Dataset, source: &Source) -> rowmill::Result<Planned> {
    let storage = stores.open(&source.bucket).await?;
    let file = SourceFile { storage, key: source.key.clone(), version: source.version.clone(), size: source.size };
    let footer = Footer::read(&file).await?;
    let cleaner = Cleaner::new(dataset, &footer.schema, &file.uri())?;
    let output = &dataset.spec.output;
    let limit = Limits::default().plan_slices;
    let slices = plan::slices(footer.total_rows, output.row_group_rows, output.slice_row_groups, limit)?;
    let windows = slices.iter().flat_map(|slice| plan::windows(slice, output.row_group_rows));
    let row_groups_after = windows.map(|window| window.end - window.start).collect();
    let fields = cleaner.output_schema().fields();
    let columns = fields.iter().map(|field| {
        let before = footer.schema.fields().iter().find(|before| before.name().eq_ignore_ascii_case(field.name()));
        Column {
            name: field.name().clone(),
            before: before.map(|before| type_name(before.data_type())),
            after: type_name(field.data_type()),
        }
    });
    let estimate = Estimate::of(Shape {
        bytes: float(source.size),
        rows: float(footer.total_rows),
        columns: float(u64::try_from(fields.len()).unwrap_or(u64::MAX)),
        slices: float(u64::try_from(slices.len()).unwrap_or(u64::MAX)),
        row_group_rows: float(output.row_group_rows),
    });
    Ok(Planned {
        uri: source.uri(),
        error: None,
        size: source.size,
        rows: footer.total_rows,
        slices: slices.len(),
        columns: columns.collect(),
        drift: cleaner.drift().iter().map(ToString::to_string).collect(),
        row_groups_before: footer.row_groups,
        row_groups_after,
        estimate,
    })
}

fn text(dataset: &Dataset, checked: &Checked) -> String {
    let mut text = format!("{}: dataset {} is valid\n", dataset.origin, checked.dataset);
    if checked.sources.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        ("source", Align::Left),
        ("size", Align::Right),
        ("rows", Align::Right),
        ("row groups", Align::Right),
        ("after", Align::Right),
        ("slices", Align::Right),
        ("memory", Align::Right),
        ("GB-s", Align::Right),
        ("cost", Align::Right),
    ]);
    for planned in checked.sources.iter().filter(|planned| planned.error.is_none()) {
        table.row([
            shown(&planned.uri).to_owned(),
            bytes(planned.size),
            count(planned.rows),
            groups(&planned.row_groups_before),
            groups(&planned.row_groups_after),
            length(planned.slices),
            bytes(planned.estimate.memory_bytes),
            format!("{:.1}", planned.estimate.gb_seconds),
            dollars(planned.estimate.dollars),
        ]);
    }
    text.push_str(&format!("\n{}", table.text("")));
    for planned in &checked.sources {
        match &planned.error {
            Some(error) => text.push_str(&format!("\nerror: {error}\n")),
            None => text.push_str(&schema(planned)),
        }
    }
    let totals = &checked.totals;
    text.push_str(&format!(
        "\nin all {:.1} GB-seconds, {}; up to {} of memory and {:.1} s a slice\n{}",
        totals.gb_seconds,
        dollars(totals.dollars),
        bytes(totals.memory_bytes),
        totals.slice_seconds,
        assumptions()
    ));
    text
}

/// The columns that change.
fn schema(planned: &Planned) -> String {
    if planned.drift.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = planned.drift.iter().map(|line| format!("  {line}\n")).collect();
    let columns = plural(planned.columns.len(), "column");
    format!("\n{} to {columns}:\n{}", shown(&planned.uri), lines.concat())
}

/// How many, and their sizes.
fn groups(rows: &[u64]) -> String {
    match (rows.iter().min(), rows.iter().max()) {
        (Some(smallest), Some(largest)) if smallest == largest => format!("{} of {}", rows.len(), count(*largest)),
        (Some(smallest), Some(largest)) => format!("{} of {} to {}", rows.len(), count(*smallest), count(*largest)),
        _ => "none".to_owned(),
    }
}

fn dollars(amount: f64) -> String {
    format!("${amount:.5}")
}
