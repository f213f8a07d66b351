//! The embedded run, killed at random moments: no AWS and no emulator.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use super::audit::audit;
use super::report::{Line, Report};
use crate::command::rowmill;
use crate::trips::{Trip, dataset, parquet, trips};

const FILES: i64 = 3;
const ROWS: i64 = 60_000;
const SLICE_ROWS: u64 = 5_000;
/// How often a run is killed before it is left in peace.
const KILLS: u64 = 3;

/// Kills runs of the command, up to three times each, until that has struck three times for each of `rounds`.
pub fn embedded(rounds: u32) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    let place = folder.path();
    let mut sources = Vec::new();
    fs::create_dir(place.join("killed in"))?;
    for file in 0..FILES {
        let rows = trips(0, ROWS + file);
        let name = format!("{file}.parquet");
        fs::write(place.join("killed in").join(&name), parquet(&rows, 17_000)?)?;
        sources.push((name, rows));
    }
    let text = dataset("killed", "-", SLICE_ROWS).replace("s3://-/killed in/", "killed in");
    fs::write(place.join("killed.toml"), text)?;

    // Built first: only the run itself is timed.
    rowmill()?;
    let began = Instant::now();
    finish(place, "calm")?;
    let mut whole = began.elapsed();
    let calm = visible(&place.join("calm"))?;
    let mut report = Report::default();
    let mut line = Line::new("SIGKILL of rowmill run at random");
    for round in 0.. {
        if line.injected >= KILLS * u64::from(rounds) {
            break;
        }
        let sink = format!("sink-{round}");
        for kill in 0..KILLS {
            let mut child = start(place, &sink)?;
            let patience = whole.mul_f64(random_share());
            std::thread::sleep(patience);
            let ended = child.try_wait()?.is_some();
            child.kill()?;
            child.wait()?;
            let torn =
                visible(&place.join(&sink))?.iter().filter(|(path, bytes)| calm.get(*path) != Some(*bytes)).count();
            line.early += u64::try_from(torn)?;
            if ended {
                // What began anew and is over by then tells that the first run was slower, being the first.
                whole = if kill == 0 { whole.min(patience) } else { whole };
                break;
            }
            line.injected += 1;
        }
        finish(place, &sink)?;
        let seen = visible(&place.join(&sink))?;
        if seen != calm {
            report.problems.push(format!("round {round}: readers do not see what a run without a failure made"));
        }
        for (name, rows) in &sources {
            let audited = look(&seen, name, rows)?;
            line.add(&format!("{sink}/{name}"), &audited);
        }
        let open = fs::read_dir(place.join(&sink).join("_rowmill/open")).map_or(0, Iterator::count);
        if open > 0 {
            report.problems.push(format!("round {round}: {open} runs are left open"));
        }
    }
    report.lines.push(line);
    Ok(report)
}

fn start(place: &Path, sink: &str) -> Result<Child> {
    let mut command = rowmill()?;
    command.current_dir(place).args(["run", "--json", "--dataset", "killed.toml", "--sink", sink, "killed in"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("rowmill run")
}

fn finish(place: &Path, sink: &str) -> Result<()> {
    let status = start(place, sink)?.wait()?;
    ensure!(status.success(), "rowmill run ended with {status}");
    Ok(())
}

/// Between 0 and 1, another one each time.
fn random_share() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    f64::from(now.subsec_micros() % 1_000) / 1_000.0
}

/// Every file that a reader sees, by its path in the sink: parts and quarantine, not the ledger.
fn visible(sink: &Path) -> Result<BTreeMap<PathBuf, Bytes>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![sink.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                if path != sink.join("_rowmill") {
                    folders.push(path);
                }
            } else if let Ok(bytes) = fs::read(&path) {
                files.insert(path.strip_prefix(sink)?.to_owned(), Bytes::from(bytes));
            }
        }
    }
    Ok(files)
}

fn look(seen: &BTreeMap<PathBuf, Bytes>, name: &str, rows: &[Trip]) -> Result<super::audit::Audited> {
    let below = |top: &str| -> Vec<Bytes> {
        let of_source =
            |path: &&PathBuf| path.starts_with(top) && path.components().any(|component| component.as_os_str() == name);
        seen.keys().filter(of_source).filter_map(|path| seen.get(path).cloned()).collect()
    };
    audit(rows, &below("killed"), &below("_quarantine"))
}
