//! `rowmill check`: is the dataset file right, and what would a run of these sources be?

use std::sync::Arc;

use arrow::datatypes::Schema;
use rowmill::clean::{Cleaner, text_types};
use rowmill::cost::{Architecture, Prices};
use rowmill::dataset::{Dataset, Format, partition_warnings};
use rowmill::ledger::Source;
use rowmill::pipeline::Limits;
use rowmill::pipeline::text::split_text;
use rowmill::plan;
use rowmill::read::SourceFile;
use rowmill::read::parquet::Footer;
use rowmill::read::text::TextShape;
use rowmill::reports::validate_for;
use rowmill::storage::Stores;
use serde::Serialize;

use crate::args::CheckArgs;
use crate::estimate::{Estimate, Machine, Packed, Shape, assumptions};
use crate::fault::{Exit, Fault};
use crate::location::shown;
use crate::render::{self, Align, Table, bytes, count, float, length, plural};
use crate::run::read_dataset;
use crate::sources::{Named, named};
use crate::stores::AnyStores;
use crate::types::{Columns, changes, columns};

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
    columns_before: Columns,
    columns_after: Columns,
    drift: Vec<String>,
    estimate: Estimate,
}

/// Runs the command.
pub async fn check(args: CheckArgs) -> Result<Exit, Fault> {
    let dataset = read_dataset(&args.dataset)?;
    for warning in partition_warnings(&dataset.spec.output.partition_by) {
        eprintln!("warning: {warning}");
    }
    let stores = Arc::new(AnyStores::default());
    let names =
        named(stores.as_ref(), dataset.web_rules(), &args.sources, None, dataset.spec.source.format.extensions())
            .await?;
    let mut sources = Vec::new();
    for source in names.sources {
        sources.push(match source {
            Named::Missing(place) => {
                let problem = format!("{}: the server has no such file", place.uri());
                Planned::failed(place.uri(), 0, problem)
            }
            Named::Unfound { uri, problem } => {
                let problem = format!("{uri}: {problem}");
                Planned::failed(uri, 0, problem)
            }
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
    for error in checked.sources.iter().filter_map(|planned| planned.error.as_ref()) {
        eprintln!("error: {error}");
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
            columns_before: Vec::new(),
            columns_after: Vec::new(),
            drift: Vec::new(),
            estimate: Estimate::default(),
        }
    }
}

/// Plans a source: from its footer; a text from its beginning, and from where its records end if it is split.
async fn plan_source(stores: &dyn Stores, dataset: &Dataset, source: &Source) -> rowmill::Result<Planned> {
    let storage = stores.open_source(&source.bucket, dataset.web_rules()).await?;
    let file = SourceFile { storage, key: source.key.clone(), version: source.version.clone(), size: source.size };
    let limit = Limits::default().plan_slices;
    let output = &dataset.spec.output;
    let schema = &dataset.spec.schema;
    let sets_aside = !(dataset.spec.expectations.is_empty() && schema.casts.is_empty() && schema.columns.is_empty());
    if dataset.spec.source.format != Format::Parquet {
        let split = split_text(dataset, &file, None, limit).await?;
        let schema = TextShape::new(dataset, &text_types(&split.text.columns)?)?.schema;
        let cleaner = Cleaner::for_text(dataset, &schema, &file.uri())?;
        validate_for(dataset, &cleaner)?;
        let slices = match split.text.counted {
            true => split.slices,
            false => vec![plan::Slice { index: 0, rows: 0..split.about_rows }],
        };
        let packed = if split.text.counted { Packed::Plain } else { packed(&source.key) };
        let groups =
            Groups { before: Vec::new(), rows: split.about_rows, schema: &schema, text: Some(packed), sets_aside };
        return Ok(planned(source, output.row_group_rows, &slices, groups, &cleaner));
    }
    let footer = Footer::read(&file).await?;
    let cleaner = Cleaner::new(dataset, &footer.schema, &file.uri())?;
    validate_for(dataset, &cleaner)?;
    let slices = plan::slices(footer.total_rows, output.row_group_rows, output.slice_row_groups, limit)?;
    let groups =
        Groups { before: footer.row_groups, rows: footer.total_rows, schema: &footer.schema, text: None, sets_aside };
    Ok(planned(source, output.row_group_rows, &slices, groups, &cleaner))
}

/// What a source says of its rows.
struct Groups<'a> {
    before: Vec<u64>,
    rows: u64,
    schema: &'a Schema,
    text: Option<Packed>,
    sets_aside: bool,
}

fn packed(key: &str) -> Packed {
    let compressed = [".gz", ".zst"].iter().any(|extension| key.ends_with(extension));
    if compressed { Packed::Compressed } else { Packed::Plain }
}

fn planned(
    source: &Source,
    row_group_rows: u64,
    slices: &[plan::Slice],
    groups: Groups<'_>,
    cleaner: &Cleaner,
) -> Planned {
    let windows = slices.iter().flat_map(|slice| plan::windows(slice, row_group_rows));
    let row_groups_after = windows.map(|window| window.end - window.start).collect();
    let after = columns(cleaner.output_schema());
    let shape = Shape {
        bytes: source.size,
        text: groups.text,
        rows: float(groups.rows),
        columns: float(u64::try_from(after.len()).unwrap_or(u64::MAX)),
        slices: u64::try_from(slices.len()).unwrap_or(u64::MAX),
        sets_aside: groups.sets_aside,
        row_group_rows: float(row_group_rows),
        partitioned: !cleaner.partitions().is_empty(),
    };
    let estimate = Estimate::of(shape, &Machine::TEMPLATE, &Prices::US_EAST_1, Architecture::X86_64);
    Planned {
        uri: source.uri(),
        error: None,
        size: source.size,
        rows: groups.rows,
        slices: slices.len(),
        columns_before: columns(groups.schema),
        columns_after: after,
        drift: cleaner.drift().iter().map(ToString::to_string).collect(),
        row_groups_before: groups.before,
        row_groups_after,
        estimate,
    }
}

fn text(dataset: &Dataset, checked: &Checked) -> String {
    let mut text = format!("{}: dataset {} is valid\n", dataset.origin, checked.dataset);
    text.push_str(&by_date(dataset));
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
        ("invocations", Align::Right),
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
            count(planned.estimate.invocations),
            bytes(planned.estimate.memory_bytes),
            format!("{:.1}", planned.estimate.gb_seconds),
            dollars(planned.estimate.dollars),
        ]);
    }
    text.push_str(&format!("\n{}", table.text("")));
    text.push_str(&handling(dataset, &checked.sources));
    text.push_str(&schemas(&checked.sources));
    let totals = &checked.totals;
    text.push_str(&format!(
        "\nin all {} invocations, {:.1} GB-seconds, {} requests to S3 and {} to SQS, {}; up to {} of memory and {:.1} s a \
         slice\n{}",
        count(totals.invocations),
        totals.gb_seconds,
        count(totals.requests.put + totals.requests.get),
        count(totals.requests.queue),
        dollars(totals.dollars),
        bytes(totals.memory_bytes),
        totals.slice_seconds,
        assumptions(&Prices::US_EAST_1, Architecture::X86_64)
    ));
    text
}

/// How an archive's files are named: a day's worth.
fn by_date(dataset: &Dataset) -> String {
    let (Some(archive), Some((bucket, _))) = (dataset.archive(), dataset.source_root()) else { return String::new() };
    let day = jiff::civil::date(2015, 1, 1);
    let Ok(keys) = archive.keys(day, day) else { return String::new() };
    match keys.as_slice() {
        [only] => format!("--from {day} --to {day} is {bucket}/{only}\n"),
        [first, .., last] => {
            format!("--from {day} --to {day} is {} files, {bucket}/{first} to {bucket}/{last}\n", keys.len())
        }
        [] => String::new(),
    }
}

/// Which sources a stack cleans in the invocation that plans them.
fn handling(dataset: &Dataset, sources: &[Planned]) -> String {
    let threshold = dataset.spec.source.small_bytes;
    let planned = || sources.iter().filter(|planned| planned.error.is_none());
    let whole = planned().filter(|planned| planned.slices < 2 || planned.size < threshold).count();
    let fanned: Vec<_> = planned().filter(|planned| planned.slices >= 2 && planned.size >= threshold).collect();
    let mut text = String::new();
    if whole > 0 {
        let what = plural(whole, "source");
        text.push_str(&format!(
            "\non a stack, {what} of one slice or below source.small_bytes ({}): one invocation each\n",
            bytes(threshold)
        ));
    }
    if !fanned.is_empty() {
        let slices = fanned.iter().map(|planned| planned.slices).sum();
        let what = plural(fanned.len(), "larger source");
        text.push_str(&format!("on a stack, {what}: an invocation for each of {}\n", plural(slices, "slice")));
    }
    text
}

/// The columns that change, over all sources that come out alike.
fn schemas(sources: &[Planned]) -> String {
    let mut text = String::new();
    let mut told: Vec<&Columns> = Vec::new();
    for planned in sources.iter().filter(|planned| planned.error.is_none()) {
        let after = &planned.columns_after;
        if told.contains(&after) {
            continue;
        }
        told.push(after);
        let alike = sources.iter().filter(|other| other.columns_after == *after);
        let table = changes(alike.clone().map(|other| &other.columns_before), after);
        let sources = plural(alike.count(), "source");
        text.push_str(&format!("\n{sources} to {}\n{}", plural(after.len(), "column"), table.text("  ")));
    }
    text
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
