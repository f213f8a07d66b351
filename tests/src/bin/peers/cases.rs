//! The cases and their files.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use rowmill_tests::fhvhv::{self, Layout, VERSION};

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
}

impl Case {
    /// As the command line and the report name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneRowGroup => "one_row_group",
            Self::Uneven => "uneven",
            Self::UniformTyped => "uniform_typed",
            Self::Clean => "clean",
        }
    }

    fn layout(self) -> Layout {
        match self {
            Self::OneRowGroup => Layout::OneRowGroup,
            Self::Uneven => Layout::Uneven,
            Self::UniformTyped => Layout::Uniform(1_048_576),
            Self::Clean => Layout::Clean,
        }
    }

    /// The case's file of so many trips in `folder`, made unless it is there.
    pub fn file(self, folder: &Path, rows: u64) -> Result<PathBuf> {
        file(folder, self.name(), self.layout(), rows)
    }
}

/// A file of this layout, made unless it is there: under its name it is complete.
pub fn file(folder: &Path, name: &str, layout: Layout, rows: u64) -> Result<PathBuf> {
    let path = folder.join(format!("{name}-{rows}-v{VERSION}.parquet"));
    if path.exists() {
        return Ok(path);
    }
    eprintln!("making {}", path.display());
    fs::create_dir_all(folder)?;
    let unfinished = path.with_extension("unfinished");
    let sink = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    let sink = fhvhv::write(layout, rows, sink).with_context(|| format!("making {}", path.display()))?;
    sink.into_inner().context("writing the last bytes")?.sync_all()?;
    fs::rename(&unfinished, &path)?;
    Ok(path)
}
