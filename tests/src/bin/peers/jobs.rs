//! The programs that are measured.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

/// The job's dataset file, for Rowmill.
const DATASET: &str = include_str!("rowmill.toml");
/// What marks a virtual environment as complete.
const READY: &str = "ready";

/// What Rowmill is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Peer {
    /// Polars, its streaming engine.
    Polars,
    /// Daft.
    Daft,
    /// pyarrow, batch by batch.
    Pyarrow,
    /// DuckDB.
    Duckdb,
    /// pandas.
    Pandas,
    /// Dask on threads: the design that Rowmill replaces.
    Dask,
}

impl Peer {
    /// Every peer.
    pub const ALL: [Self; 6] = [Self::Polars, Self::Daft, Self::Pyarrow, Self::Duckdb, Self::Pandas, Self::Dask];

    /// As the command line and the report name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Polars => "polars",
            Self::Daft => "daft",
            Self::Pyarrow => "pyarrow",
            Self::Duckdb => "duckdb",
            Self::Pandas => "pandas",
            Self::Dask => "dask",
        }
    }

    /// The file of pinned packages that its virtual environment is made of.
    fn requirements(self) -> &'static str {
        match self {
            Self::Daft => "requirements-daft.txt",
            _ => "requirements.txt",
        }
    }
}

/// A program that does the job: the arguments that follow are the source and the folder for the output.
#[derive(Debug, Clone)]
pub struct Job {
    /// As the report names it.
    pub name: &'static str,
    /// Program and leading arguments.
    command: Vec<OsString>,
    /// Whether it is Rowmill, whose arguments come in another order.
    is_rowmill: bool,
}

impl Job {
    /// The whole command.
    pub fn command(&self, source: &Path, output: &Path) -> Vec<OsString> {
        let mut command = self.command.clone();
        if self.is_rowmill {
            command.extend(["--sink".into(), output.into(), source.into()]);
        } else {
            command.extend([source.into(), output.into()]);
        }
        command
    }

    /// The folder below `output` that holds what the job wrote.
    pub fn written(&self, output: &Path) -> PathBuf {
        // Rowmill's sink also holds the ledger and the quarantine.
        if self.is_rowmill { output.join("out") } else { output.to_path_buf() }
    }
}

/// Rowmill as a job; cargo builds the program unless one is named.
pub fn rowmill(program: Option<&Path>, work: &Path) -> Result<Job> {
    let program = match program {
        Some(program) => program.to_path_buf(),
        None => built()?,
    };
    fs::create_dir_all(work)?;
    let dataset = work.join("rowmill.toml");
    fs::write(&dataset, DATASET)?;
    let command = vec![program.into(), "run".into(), "--json".into(), "--dataset".into(), dataset.into()];
    Ok(Job { name: "rowmill", command, is_rowmill: true })
}

fn built() -> Result<PathBuf> {
    let beside = env::current_exe()?.with_file_name(format!("rowmill{}", env::consts::EXE_SUFFIX));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--locked", "--quiet", "-p", "rowmill-cli", "--manifest-path"]);
    build.arg(Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml"));
    // Beside this program, so that what is measured is what was built.
    if let Some(target) = beside.ancestors().nth(2) {
        build.arg("--target-dir").arg(target);
    }
    let status = build.status().context("cargo: name the program to measure with --rowmill")?;
    if !status.success() || !beside.exists() {
        bail!("cargo did not build {} ({status}): name the program to measure with --rowmill", beside.display());
    }
    Ok(beside)
}

/// The peers that can run here, and why the others cannot.
pub fn peers(wanted: &[Peer], python: &Path, work: &Path) -> (Vec<Job>, BTreeMap<&'static str, String>) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/peers");
    let mut environments: BTreeMap<&str, Result<PathBuf, String>> = BTreeMap::new();
    let (mut jobs, mut missing) = (Vec::new(), BTreeMap::new());
    for &peer in wanted {
        let requirements = peer.requirements();
        let environment = environments.entry(requirements).or_insert_with(|| {
            environment(python, &scripts.join(requirements), work).map_err(|error| format!("{error:#}"))
        });
        let found = environment.clone().and_then(|python| match imports(&python, peer) {
            true => Ok(python),
            false => Err(format!("{} cannot import {}", python.display(), peer.name())),
        });
        match found {
            Ok(python) => {
                let script = scripts.join("jobs").join(format!("{}_job.py", peer.name()));
                jobs.push(Job { name: peer.name(), command: vec![python.into(), script.into()], is_rowmill: false });
            }
            Err(why) => drop(missing.insert(peer.name(), why)),
        }
    }
    (jobs, missing)
}

fn imports(python: &Path, peer: Peer) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", &format!("import {}", peer.name())]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The Python of a virtual environment with these packages, made once for each version of their list.
fn environment(python: &Path, requirements: &Path, work: &Path) -> Result<PathBuf> {
    let list = fs::read(requirements).with_context(|| requirements.display().to_string())?;
    let hash = list.iter().fold(0u64, |hash, byte| rowmill_tests::random::mix(hash ^ u64::from(*byte)));
    let folder = work.join(format!("python-{hash:016x}"));
    let own = folder.join("bin/python");
    if folder.join(READY).exists() {
        return Ok(own);
    }
    eprintln!("installing {} into {}", requirements.display(), folder.display());
    let run = |command: &mut Command| -> Result<()> {
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
        match output.status.success() {
            true => Ok(()),
            false => bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()),
        }
    };
    run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(&own).args(["-m", "pip", "install", "--quiet", "--no-input", "-r"]).arg(requirements))?;
    fs::write(folder.join(READY), "")?;
    Ok(own)
}
