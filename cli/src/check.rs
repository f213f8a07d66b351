//! `rowmill check`: is the dataset file right, and what would a run of these sources be?

mod newest;
mod text;

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use rowmill::clean::{Cleaner, Drift, idle_casts, text_types, unknown_columns};
use rowmill::cost::{Architecture, Prices};
use rowmill::dataset::{Dataset, Format, partition_warnings};
use rowmill::ledger::Source;
use rowmill::pipeline::Limits;
use rowmill::pipeline::text::split_text;
use rowmill::plan;
use rowmill::read::SourceFile;
use rowmill::read::parquet::Footer;
use rowmill::read::text::{Packing, SAMPLE_BYTES, TextShape};
use rowmill::reports::validate_for;
use rowmill::storage::Stores;
use serde::Serialize;

use crate::args::CheckArgs;
use crate::estimate::{Estimate, Machine, Packed, Shape};
use crate::fault::{Exit, Fault};
use crate::render::{self, float};
use crate::run::read_dataset;
use crate::sources::{Named, named};
use crate::stores::AnyStores;
use crate::types::{Columns, columns};
use newest::{Newest, look_at_newest};

/// The document of `check --json`.
#[derive(Debug, Serialize)]
struct Checked {
    dataset: String,
    config: String,
    /// What is no error, and most likely not what was meant.
    warnings: Vec<String>,
    /// The source whose columns the SQL was checked against, where none was named and the file alone cannot tell.
    looked_at: Option<String>,
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
    /// Whether `rows`, and all that follows from them, is an estimate from the file's beginning.
    rows_estimated: bool,
    slices: usize,
    row_groups_before: Vec<u64>,
    row_groups_after: Vec<u64>,
    columns_before: Columns,
    columns_after: Columns,
    /// Columns whose type no contract tells: a text's beginning suggests it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inferred: Vec<String>,
    drift: Vec<String>,
    estimate: Estimate,
    #[serde(skip)]
    schema: Option<SchemaRef>,
}

/// Runs the command.
pub async fn check(args: CheckArgs) -> Result<Exit, Fault> {
    let dataset = read_dataset(&args.dataset)?;
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
    let mut checked = Checked {
        dataset: dataset.spec.name.clone(),
        config: dataset.hash.clone(),
        warnings: partition_warnings(&dataset.spec.output.partition_by),
        looked_at: None,
        sources,
        totals: Estimate::default(),
    };
    let mut schemas: Vec<SchemaRef> = checked.sources.iter().filter_map(|planned| planned.schema.clone()).collect();
    if args.sources.is_empty() {
        schemas.extend(checked.look(stores.as_ref(), &dataset).await);
    }
    checked.warnings.extend(idle_casts(&dataset, &schemas));
    let sources = &checked.sources;
    checked.totals = sources.iter().fold(Estimate::default(), |sum, planned| sum.plus(planned.estimate));
    let failed = sources.iter().any(|planned| planned.error.is_some());
    if args.json {
        render::print_json(&checked);
    } else {
        render::print(&text::text(&dataset, &checked));
    }
    for note in &names.notes {
        eprintln!("note: nothing matched {note}");
    }
    for warning in &checked.warnings {
        eprintln!("warning: {warning}");
    }
    for error in text::errors(&checked.sources) {
        eprintln!("error: {error}");
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

impl Checked {
    /// Checks the dataset's SQL against the newest source at its `uri`, where its file alone does not tell every column that
    /// the SQL names; answers that source's columns. Where there is nothing to look at, warns of those names.
    async fn look(&mut self, stores: &dyn Stores, dataset: &Dataset) -> Option<SchemaRef> {
        let unknown = unknown_columns(dataset);
        if unknown.is_empty() {
            return None;
        }
        match look_at_newest(stores, dataset).await {
            Newest::Fits(source, schema) => {
                self.looked_at = Some(source.uri());
                return Some(schema);
            }
            Newest::Wrong(source, problem) => {
                self.looked_at = Some(source.uri());
                self.sources.push(Planned::failed(source.uri(), source.size, problem));
            }
            Newest::Unseen(why) => {
                self.warnings.extend(unknown.iter().map(|line| format!("{line}: check with a source")));
                self.warnings.push(format!("{}: no source was looked at: {why}", dataset.origin));
            }
        }
        None
    }
}

impl Planned {
    fn failed(uri: String, size: u64, problem: String) -> Self {
        Self {
            uri,
            error: Some(problem),
            size,
            rows: 0,
            rows_estimated: false,
            slices: 0,
            row_groups_before: Vec::new(),
            row_groups_after: Vec::new(),
            columns_before: Vec::new(),
            columns_after: Vec::new(),
            inferred: Vec::new(),
            drift: Vec::new(),
            estimate: Estimate::default(),
            schema: None,
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
        let is_sample = Packing::of(&source.key) != Packing::Plain || source.size > SAMPLE_BYTES;
        return Ok(Planned {
            rows_estimated: !split.text.counted && is_sample,
            inferred: inferred(dataset, &cleaner),
            ..planned(source, output.row_group_rows, &slices, groups, &cleaner)
        });
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
        rows_estimated: false,
        slices: slices.len(),
        columns_before: columns(groups.schema),
        columns_after: after,
        inferred: Vec::new(),
        drift: cleaner.drift().iter().map(ToString::to_string).collect(),
        row_groups_before: groups.before,
        row_groups_after,
        estimate,
        schema: Some(Arc::new(groups.schema.clone())),
    }
}

/// The columns of a text that no contract names.
fn inferred(dataset: &Dataset, cleaner: &Cleaner) -> Vec<String> {
    if dataset.spec.schema.columns.is_empty() {
        let derived = |name: &String| dataset.spec.transform.columns.iter().any(|derived| derived.name == *name);
        let names = cleaner.output_schema().fields().iter().map(|field| field.name().clone());
        return names.filter(|name| !derived(name)).collect();
    }
    let extra = |drift: &Drift| match drift {
        Drift::Extra { column, kept: true } => Some(column.clone()),
        _ => None,
    };
    cleaner.drift().iter().filter_map(extra).collect()
}
