//! The programs that are measured.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::cases::Task;

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

/// A program that does the job.
#[derive(Debug, Clone)]
pub struct Job {
    /// As the report names it.
    pub name: &'static str,
    program: Program,
}

#[derive(Debug, Clone)]
enum Program {
    Rowmill(PathBuf),
    /// A Python that has the peer.
    Python(PathBuf),
}

impl Job {
    /// The whole command; `None` where nobody wrote this task for the peer.
    pub fn command(&self, task: Task, source: &Path, output: &Path) -> Option<Vec<OsString>> {
        let folder = scripts().join("jobs").join(task.name());
        match &self.program {
            Program::Rowmill(program) => {
                let mut command = vec![program.into(), "run".into(), "--json".into()];
                command.extend(["--dataset".into(), folder.join("rowmill.toml").into()]);
                command.extend(["--sink".into(), output.into(), source.into()]);
                Some(command)
            }
            Program::Python(python) => {
                let script = folder.join(format!("{}_job.py", self.name));
                script.exists().then(|| vec![python.into(), script.into(), source.into(), output.into()])
            }
        }
    }

    /// The folder below `output` that holds what the job wrote.
    pub fn written(&self, output: &Path) -> PathBuf {
        match self.program {
            // The sink also holds the ledger and the quarantine.
            Program::Rowmill(_) => output.join("out"),
            Program::Python(_) => output.to_path_buf(),
        }
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/peers")
}

/// Rowmill as a job; cargo builds the program unless one is named.
pub fn rowmill(program: Option<&Path>, work: &Path) -> Result<Job> {
    fs::create_dir_all(work)?;
    let program = program.map_or_else(built, |program| Ok(program.to_path_buf()))?;
    Ok(Job { name: "rowmill", program: Program::Rowmill(program) })
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
    let mut environments: BTreeMap<&str, Result<PathBuf, String>> = BTreeMap::new();
    let (mut jobs, mut missing) = (Vec::new(), BTreeMap::new());
    for &peer in wanted {
        let requirements = peer.requirements();
        let environment = environments.entry(requirements).or_insert_with(|| {
            environment(python, &scripts().join(requirements), work).map_err(|error| format!("{error:#}"))
        });
        let found = environment.clone().and_then(|python| match imports(&python, peer) {
            true => Ok(python),
            false => Err(format!("{} cannot import {}", python.display(), peer.name())),
        });
        match found {
            Ok(python) => jobs.push(Job { name: peer.name(), program: Program::Python(python) }),
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
