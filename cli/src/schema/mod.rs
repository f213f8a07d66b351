//! `rowmill schema`: what do these files hold, when did it change, and which contract fits them all?

mod contract;
mod csv;
mod drift;
mod sample;
mod text;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};
use rowmill::storage::Stores;
use rowmill::storage::web::WebRules;
use serde::Serialize;

use crate::args::SchemaArgs;
use crate::fault::{Exit, Fault};
use crate::render;
use crate::sources::{Named, Names, named};
use crate::stores::AnyStores;
use crate::types::type_name;
use contract::Proposal;
use csv::CsvReport;
use drift::{Column, Layout};
use sample::{Sample, sample};

/// Footers read at once.
const READS_AT_ONCE: usize = 16;

/// The document of `schema --json`.
#[derive(Debug, Serialize)]
struct Document {
    files: Vec<FileReport>,
    layouts: Vec<Layout>,
    columns: Vec<Column>,
    contract: String,
    notes: Vec<String>,
}

/// One file.
#[derive(Debug, Serialize)]
struct FileReport {
    uri: String,
    error: Option<String>,
    rows: Option<u64>,
    columns: Vec<ColumnReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    csv: Option<CsvReport>,
}

/// One column of one file.
#[derive(Debug, Serialize)]
struct ColumnReport {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
    nulls: Option<u64>,
}

/// Runs the command.
pub async fn schema(args: SchemaArgs) -> Result<Exit, Fault> {
    let stores = Arc::new(AnyStores::default());
    let names = files(stores.as_ref(), &args.sources).await?;
    let reads = names.sources.into_iter().map(|source| read(stores.as_ref(), source).boxed());
    let reads: Vec<_> = reads.collect();
    let read: Vec<(String, Result<Sample, String>)> = stream::iter(reads).buffered(READS_AT_ONCE).collect().await;
    let samples: Vec<Sample> = read.iter().filter_map(|(_, sample)| sample.as_ref().ok()).cloned().collect();
    let files: Vec<FileReport> = read.iter().map(|(uri, sample)| FileReport::of(uri, sample)).collect();
    let csv = csv::table(&files);
    let mut columns = drift::columns(&samples);
    if csv.is_some() {
        columns.iter_mut().for_each(Column::or_string);
    }
    let Proposal { contract, mut notes } = contract::propose(&columns, csv.as_deref())?;
    notes.extend(csv::notes(&files));
    let document = Document { layouts: drift::layouts(&samples), files, columns, contract, notes };
    if args.json {
        render::print_json(&document);
    } else {
        render::print(&text::text(&document));
    }
    let mut exit = Exit::Done;
    for (uri, sample) in &read {
        if let Err(problem) = sample {
            exit = Exit::Failed;
            let problem = if problem.contains(uri) { problem.clone() } else { format!("{uri}: {problem}") };
            eprintln!("error: {problem}");
        }
    }
    Ok(exit)
}

/// The files that the arguments stand for, all of one format.
async fn files(stores: &dyn Stores, arguments: &[String]) -> Result<Names, Fault> {
    for extensions in sample::EXTENSIONS {
        let names = named(stores, &WebRules::default(), arguments, None, extensions).await?;
        if names.sources.is_empty() {
            continue;
        }
        let found = names.sources.iter().filter_map(|source| match source {
            Named::Found(source) => Some(sample::is_csv(&source.key)),
            Named::Missing(_) | Named::Unfound { .. } => None,
        });
        let found: Vec<bool> = found.collect();
        if found.contains(&true) && found.contains(&false) {
            return Err(Fault::usage("CSV and other files together: name files of one format"));
        }
        return Ok(names);
    }
    let names = named(stores, &WebRules::default(), arguments, None, &sample::EXTENSIONS.concat()).await?;
    let what = names.notes.join("; ");
    Err(Fault::usage(format!("nothing matched {what}: name files, folders or globs of Parquet or CSV files")))
}

async fn read(stores: &dyn Stores, source: Named) -> (String, Result<Sample, String>) {
    match source {
        Named::Unfound { uri, problem } => (uri, Err(problem)),
        Named::Missing(place) => (place.uri(), Err("no such file".to_owned())),
        Named::Found(source) => {
            let sampled = sample(stores, &source).await;
            (source.uri(), sampled)
        }
    }
}

impl FileReport {
    fn of(uri: &str, sample: &Result<Sample, String>) -> Self {
        let uri = uri.to_owned();
        match sample {
            Err(problem) => Self { uri, error: Some(problem.clone()), rows: None, columns: Vec::new(), csv: None },
            Ok(sample) => {
                let columns = sample.columns.iter().map(|column| ColumnReport {
                    name: column.name.clone(),
                    data_type: type_name(&column.data_type),
                    nulls: column.nulls,
                });
                Self { uri, error: None, rows: sample.rows, columns: columns.collect(), csv: sample.csv.clone() }
            }
        }
    }
}
