//! The cases and their files.

use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use rowmill_tests::fhvhv::{self, Layout, VERSION};
use rowmill_tests::{events, yellow};

/// An hour of the real archive below `ROWMILL_CORPUS`, and how often the case repeats it.
const HOUR: &str = "gharchive/2015-01-01-15.json.gz";
const HOURS: usize = 8;
/// Trips for each event that is made up: a file of events is then about as large as one of trips.
const TRIPS_PER_EVENT: u64 = 100;

/// One file and the job on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Case {
    /// One row group, one row in a hundred dirty.
    OneRowGroup,
    /// The same rows in row groups of 10,000 to 3,000,000.
    Uneven,
    /// The rows, types, row groups and codec that the job would give them.
    UniformTyped,
    /// One row group without a dirty row.
    Clean,
    /// Trips as CSV, about one in a hundred dirty.
    Csv,
    /// Events as gzipped JSON lines, one row a commit: the corpus's archive hour eight times over where `ROWMILL_CORPUS`
    /// is set, events made up where not.
    Ndjson,
}

/// What is done to a case's file: a folder below `jobs/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Trips from Parquet.
    Trips,
    /// Trips from CSV.
    Csv,
    /// Commits from JSON lines.
    Ndjson,
}

impl Task {
    /// The folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trips => "trips",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

impl Case {
    /// As the command line and the report name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneRowGroup => "one_row_group",
            Self::Uneven => "uneven",
            Self::UniformTyped => "uniform_typed",
            Self::Clean => "clean",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// What is done to its file.
    pub fn task(self) -> Task {
        match self {
            Self::OneRowGroup | Self::Uneven | Self::UniformTyped | Self::Clean => Task::Trips,
            Self::Csv => Task::Csv,
            Self::Ndjson => Task::Ndjson,
        }
    }

    /// The case's file of so many trips in `folder`, made unless it is there.
    pub fn file(self, folder: &Path, rows: u64) -> Result<PathBuf> {
        let layout = match self {
            Self::OneRowGroup => Layout::OneRowGroup,
            Self::Uneven => Layout::Uneven,
            Self::UniformTyped => Layout::Uniform(1_048_576),
            Self::Clean => Layout::Clean,
            Self::Csv => {
                return made(folder.join(format!("csv-{rows}-v{VERSION}.csv")), |mut sink| {
                    yellow::write(rows, &mut sink)?;
                    Ok(sink)
                });
            }
            Self::Ndjson => return archive(folder, rows),
        };
        file(folder, self.name(), layout, rows)
    }
}

/// The archive of [`Case::Ndjson`].
fn archive(folder: &Path, rows: u64) -> Result<PathBuf> {
    let Some(corpus) = env::var_os("ROWMILL_CORPUS") else {
        return made(folder.join(format!("ndjson-{rows}-v{VERSION}.json.gz")), |mut sink| {
            events::write(rows.div_ceil(TRIPS_PER_EVENT), &mut sink)?;
            Ok(sink)
        });
    };
    // Gzip files that follow one another are one.
    let hour = fs::read(Path::new(&corpus).join(HOUR)).context(HOUR)?;
    made(folder.join(format!("ndjson-{HOURS}-hours.json.gz")), |mut sink| {
        (0..HOURS).try_for_each(|_| sink.write_all(&hour))?;
        Ok(sink)
    })
}

/// A file of this layout, made unless it is there.
pub fn file(folder: &Path, name: &str, layout: Layout, rows: u64) -> Result<PathBuf> {
    let path = folder.join(format!("{name}-{rows}-v{VERSION}.parquet"));
    made(path, |sink| fhvhv::write(layout, rows, sink))
}

type Sink = BufWriter<File>;

/// A file, made unless it is there: under its name it is complete.
fn made(path: PathBuf, write: impl FnOnce(Sink) -> Result<Sink>) -> Result<PathBuf> {
    if path.exists() {
        return Ok(path);
    }
    eprintln!("making {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let unfinished = path.with_extension("unfinished");
    let sink = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    let sink = write(sink).with_context(|| format!("making {}", path.display()))?;
    sink.into_inner().context("writing the last bytes")?.sync_all()?;
    fs::rename(&unfinished, &path)?;
    Ok(path)
}
