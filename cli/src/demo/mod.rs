//! `rowmill demo`: sample trips, ingested, before and after.

mod files;
mod inspect;
mod random;
mod summary;
mod trips;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rowmill::dataset::Dataset;
use rowmill::event::Request;
use rowmill::storage::web::WebRules;
use tempfile::TempDir;

use crate::args::DemoArgs;
use crate::engine::Engine;
use crate::fault::{Exit, Fault};
use crate::ingest::{Ingest, RESUME};
use crate::render::{self, count};
use crate::sink::Sink;
use crate::sources::named;
use crate::stores::AnyStores;

/// The dataset that ships with Rowmill.
const DATASET: &str = include_str!("../../../infra/datasets/fhvhv.toml");
/// What it says of row groups, which the demo scales down with its files.
const ROW_GROUP_ROWS: &str = "row_group_rows = 1_048_576";

/// Where the demo's things lie.
#[derive(Debug)]
struct Places {
    trips: PathBuf,
    dataset: PathBuf,
    sink: PathBuf,
    /// They stay.
    kept: bool,
}

/// Runs the command.
pub async fn demo(args: DemoArgs) -> Result<Exit, Fault> {
    let temporary = if args.keep.is_none() { Some(TempDir::with_prefix("rowmill-demo-")?) } else { None };
    let folder = match (&args.keep, &temporary) {
        (Some(folder), _) => folder.clone(),
        (None, Some(temporary)) => temporary.path().to_path_buf(),
        (None, None) => return Err(Fault::failed("no folder for the demo")),
    };
    let places = Places {
        trips: folder.join("trips"),
        dataset: folder.join("fhvhv.toml"),
        sink: folder.join("out"),
        kept: args.keep.is_some(),
    };
    let made = Instant::now();
    let sources = files::write_all(&places.trips, args.rows)?;
    render::print(&format!(
        "made {} sample trips in {} files in {:.1} s; about one in a hundred has something wrong\n\n",
        count(args.rows),
        sources.len(),
        made.elapsed().as_secs_f64()
    ));
    let dataset = scaled_dataset(args.rows, &places.dataset)?;
    let before = sources.iter().map(|path| inspect::read(path)).collect::<Result<Vec<_>, Fault>>()?;
    render::print(&summary::before(&before));

    let started = Instant::now();
    let Some((engine, report)) = ingest(&dataset, &sources, &places.sink).await? else {
        eprintln!("interrupted: {RESUME}");
        return Ok(Exit::Interrupted);
    };
    let took = started.elapsed();
    let after = summary::After::read(&report)?;
    render::print(&after.text(&dataset, &before, &report, took, engine.workers()));
    render::print(&summary::where_next(&places));
    Ok(report.exit())
}

/// The shipped dataset, its row groups as small beside the demo's files as they are beside a real month.
fn scaled_dataset(rows: u64, path: &Path) -> Result<Dataset, Fault> {
    let row_group_rows = (rows / 16).next_power_of_two().clamp(1_024, 1_048_576);
    let text = DATASET.replace(ROW_GROUP_ROWS, &format!("row_group_rows = {row_group_rows}"));
    std::fs::write(path, &text)?;
    Ok(Dataset::parse(&text, &path.display().to_string())?)
}

/// Ingests the files. `None` where Ctrl-C came first.
async fn ingest(
    dataset: &Dataset,
    sources: &[PathBuf],
    sink: &Path,
) -> Result<Option<(Engine, crate::report::Report)>, Fault> {
    let stores = Arc::new(AnyStores::default());
    let sink = Sink::open(&sink.to_string_lossy(), &stores).await?;
    let engine = Engine::new(&sink, stores, None);
    let asked = Request::default();
    let mut ingest = Ingest::new(&engine.ctx, dataset, &asked).await?;
    let arguments: Vec<String> = sources.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    for source in
        named(engine.ctx.stores.as_ref(), &WebRules::default(), &arguments, None, &[".parquet"]).await?.sources
    {
        ingest.add(source).await?;
    }
    let (report, interrupted) = ingest.finish(&engine).await?;
    Ok((!interrupted).then_some((engine, report)))
}
