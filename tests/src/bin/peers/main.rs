//! The benchmark: Rowmill beside its peers.
//!
//! `cargo run --release -p rowmill-tests --bin peers -- --rows N --rounds R [--json] [--case NAME] [--peer NAME]`
//!
//! It makes its data, installs the peers, runs each program on the same file in turn (A B C, A B C, …), measures whole
//! processes, and checks that all wrote the same rows. What is done is in `jobs/`, in each peer's own idiom. `--growth`
//! shows how Rowmill's cost grows with the file, `--functions` what its functions weigh and how fast they start.

mod args;
mod cases;
mod digest;
mod functions;
mod growth;
mod jobs;
mod measure;
mod report;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use serde_json::json;

use args::Args;
use cases::{Case, Task};
use digest::Content;
use jobs::{Job, Peer};
use measure::Cost;
use report::{CaseReport, Entry};

fn main() -> ExitCode {
    if let Some(code) = measure::wait_if_asked() {
        return code;
    }
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all agreed.
fn run(args: &Args) -> Result<bool> {
    let work = work_folder()?;
    if args.functions {
        functions::run(&work, args)?;
        return Ok(true);
    }
    let rowmill = jobs::rowmill(args.rowmill.as_deref(), &work)?;
    if let Some(most) = args.growth {
        growth::run(&rowmill, &work, most, args)?;
        return Ok(true);
    }
    let wanted = if args.peers.is_empty() { Peer::ALL.to_vec() } else { args.peers.clone() };
    let wanted = if args.alone { Vec::new() } else { wanted };
    let (peers, missing) = jobs::peers(&wanted, &args.python, &work);
    for (name, why) in &missing {
        eprintln!("missing: {name}: {why}");
    }
    let jobs: Vec<Job> = std::iter::once(rowmill).chain(peers).collect();
    let cases = if args.cases.is_empty() { Case::value_variants().to_vec() } else { args.cases.clone() };
    let mut reports = Vec::new();
    for case in cases {
        let file = case.file(&work.join("data"), args.rows)?;
        let report = measure_case(case, &file, &jobs, &work, args)?;
        if !args.json {
            print!("{}", report.text());
        }
        reports.push(report);
    }
    let disagreements: Vec<String> = reports.iter().flat_map(CaseReport::disagreements).collect();
    for disagreement in &disagreements {
        eprintln!("error: {disagreement}");
    }
    if args.json {
        let document = json!({
            "rows": args.rows,
            "rounds": args.rounds,
            "cores": std::thread::available_parallelism().map_or(1, usize::from),
            "missing": missing,
            "disagreements": disagreements,
            "cases": reports.iter().map(CaseReport::json).collect::<Vec<_>>(),
        });
        println!("{document:#}");
    } else {
        missing.iter().for_each(|(name, why)| println!("missing: {name}: {why}"));
    }
    let failed = reports.iter().any(|report| !report.failed.is_empty());
    Ok(disagreements.is_empty() && !failed)
}

/// Below cargo's target directory, so that `cargo clean` removes it all.
fn work_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("no target directory above this program")?;
    Ok(target.join("peers"))
}

fn measure_case(case: Case, file: &Path, jobs: &[Job], work: &Path, args: &Args) -> Result<CaseReport> {
    let mut costs: BTreeMap<&str, Vec<Cost>> = BTreeMap::new();
    let mut contents: BTreeMap<&str, Content> = BTreeMap::new();
    let mut failed = BTreeMap::new();
    warm(file)?;
    for round in 0..args.rounds {
        // Each round begins with another, so that nobody always comes behind the same one.
        let (last, first) = jobs.split_at(usize::try_from(round)? % jobs.len());
        for job in first.iter().chain(last).filter(|job| job.command(case.task(), file, work).is_some()) {
            if failed.contains_key(job.name) {
                continue;
            }
            eprintln!("{}, round {} of {}: {}", case.name(), round + 1, args.rounds, job.name);
            match once(job, case.task(), file, work, contents.get(job.name)) {
                Ok((cost, content)) => {
                    costs.entry(job.name).or_default().push(cost);
                    contents.entry(job.name).or_insert(content);
                }
                Err(error) => drop(failed.insert(job.name, format!("{error:#}"))),
            }
        }
    }
    if let Some(why) = jobs.first().and_then(|rowmill| failed.get(rowmill.name)) {
        bail!("{}: {why}", case.name());
    }
    let entries = jobs.iter().filter_map(|job| {
        let content = contents.remove(job.name).filter(|_| !failed.contains_key(job.name))?;
        Some(Entry { name: job.name, costs: costs.remove(job.name)?, content })
    });
    let source_bytes = fs::metadata(file)?.len();
    let entries = entries.collect();
    Ok(CaseReport { case: case.name().to_owned(), source_rows: args.rows, source_bytes, entries, failed })
}

/// One run. What it wrote is read whole once; later runs must have written as many rows in as many bytes.
fn once(job: &Job, task: Task, file: &Path, work: &Path, before: Option<&Content>) -> Result<(Cost, Content)> {
    let output = work.join("output");
    if output.exists() {
        fs::remove_dir_all(&output)?;
    }
    fs::create_dir_all(&output)?;
    let command = job.command(task, file, &output).context("nobody wrote this task for it")?;
    settle()?;
    let cost = measure::measure(&command, &work.join(format!("{}.log", job.name)))?;
    let written = job.written(&output);
    let content = match before {
        None => digest::content(&written)?,
        Some(before) => {
            let (rows, _) = digest::size(&written)?;
            if rows != before.rows {
                bail!("{} wrote {rows} rows, and {} the first time", job.name, before.rows);
            }
            before.clone()
        }
    };
    fs::remove_dir_all(&output)?;
    Ok((cost, content))
}

/// A virtual machine gives memory that a process had back to its host, which takes processor time from whoever runs next. It
/// begins two seconds after the process has ended, and some gigabytes take it about as long.
const SETTLES: Duration = Duration::from_secs(5);

/// Has the machine end what runs before have left to it. Most leave all of their output in memory, for the disk to write, and
/// whoever syncs his own would wait for theirs; and gigabytes of memory.
fn settle() -> Result<()> {
    let status = Command::new("sync").status().context("sync, of coreutils")?;
    if !status.success() {
        bail!("sync ended with {status}");
    }
    std::thread::sleep(SETTLES);
    Ok(())
}

/// Reads the file once, so that nobody pays for being the first.
fn warm(file: &Path) -> Result<()> {
    std::io::copy(&mut fs::File::open(file)?, &mut std::io::sink())?;
    Ok(())
}
