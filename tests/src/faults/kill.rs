//! The kill matrix on the deployed stack: every case at once, in one deployment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use rowmill::ledger::identity::Run;
use rowmill::storage::list_all;

use super::cases::{Case, SLICE_ROWS, rows, second_rows};
use super::reader::Reader;
use super::report::{Line, Report};
use super::site::{FUNCTIONS, Site, configure, set_visibility};
use crate::stack::Stack;
use crate::trips::parquet;

/// Longer than the deadline margin, so that a processor that hangs may still stop cleanly.
const TIMEOUT_S: i32 = 20;
/// Longer than a slice takes, shorter than a function may hang: its message comes back while it still does.
const VISIBILITY_S: u32 = 12;
const STALL_S: &str = "40";
const PATIENCE: Duration = Duration::from_secs(420);
/// Between two drops: the emulator starts a process for each event at once.
const PAUSE: Duration = Duration::from_millis(60);
/// Where the functions' failpoints tell what fired.
const FIRED: &str = "_rowmill/configs/failpoints/";
const CLEAN: &str = "clean.parquet";

/// Runs these cases on a stack whose functions have failpoints.
pub async fn kill(stack: &'static Stack, cases: &[Case]) -> Result<Report> {
    for function in FUNCTIONS {
        configure(stack, function, TIMEOUT_S, &[("ROWMILL_STALL_SECONDS", STALL_S)]).await?;
    }
    set_visibility(stack, VISIBILITY_S).await?;
    let site = Arc::new(Site::new(stack, "kill", SLICE_ROWS).await?);
    let reader = Reader::start(Arc::clone(&site));
    let files: Vec<(String, &Case)> =
        cases.iter().enumerate().map(|(number, case)| (case.file(number), case)).collect();

    let digests = clean(&site).await?;
    let first = drop_all(&site, files.iter().map(|(file, _)| file.as_str()), false).await?;
    let mut ended = site.ended(&first, PATIENCE).await?;
    let mut last: BTreeMap<&str, Run> = files.iter().map(|(file, _)| file.as_str()).zip(first).collect();
    let twice = files.iter().filter(|(_, case)| case.twice).map(|(file, _)| file.as_str());
    let second = drop_all(&site, twice.clone(), true).await?;
    ended.extend(site.ended(&second, PATIENCE).await?);
    last.extend(twice.zip(second));
    site.quiet(Duration::from_secs(60)).await?;
    let seen = reader.stop().await?;

    let fired = fired(&site).await?;
    let mut report = Report::default();
    let mut lines: Vec<Line> = Vec::new();
    for (file, case) in &files {
        let fired = fired.get(file).cloned().unwrap_or_default();
        if let Some(missing) = case.expected().iter().find(|expected| !fired.contains(expected)) {
            report.problems.push(format!("{file}: {missing} never fired, {fired:?} did"));
        }
        let index = lines.iter().position(|line| line.fault == case.fault).unwrap_or(lines.len());
        if index == lines.len() {
            lines.push(Line::new(&case.fault));
        }
        let line = &mut lines[index];
        line.injected += u64::try_from(fired.len())?;
        line.early += seen.early_of(file);
        let source = if case.twice { second_rows() } else { rows() };
        let Some(outcome) = last.get(file.as_str()).and_then(|run| ended.get(&run.run_id)) else { continue };
        match site.audit(file, &source, outcome).await {
            Ok(audited) => {
                if audited.digest != digests[usize::from(case.twice)] {
                    report.problems.push(format!("{file}: its parts are not those of a run without a failure"));
                }
                line.add(file, &audited);
            }
            Err(error) => report.problems.push(format!("{error:#}")),
        }
    }
    report.problems.extend(seen.early.iter().map(|(key, why)| format!("{key} was seen early: {why}")));
    report.lines = lines;
    leftovers(&site, &files, &fired, &mut report).await?;
    Ok(report)
}

/// The digests of both versions of the rows, from runs without a failure.
async fn clean(site: &Site) -> Result<[String; 2]> {
    let mut digests = Vec::new();
    for source in [rows(), second_rows()] {
        let run = site.put(CLEAN, parquet(&source, source.len())?).await?;
        let ended = site.ended(std::slice::from_ref(&run), PATIENCE).await?;
        let audited = site.audit(CLEAN, &source, &ended[&run.run_id]).await?;
        ensure!((audited.lost, audited.duplicated) == (0, 0), "without a failure: {audited:?}");
        digests.push(audited.digest);
    }
    let [first, second] = digests.as_slice() else { anyhow::bail!("two versions") };
    Ok([first.clone(), second.clone()])
}

async fn drop_all<'a>(site: &Site, files: impl Iterator<Item = &'a str>, second: bool) -> Result<Vec<Run>> {
    let source = if second { second_rows() } else { rows() };
    let content = parquet(&source, source.len())?;
    let mut runs = Vec::new();
    for file in files {
        runs.push(site.put(file, content.clone()).await?);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(runs)
}

/// What fired, by file.
async fn fired(site: &Site) -> Result<BTreeMap<String, Vec<String>>> {
    let mut fired: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in list_all(site.sink(), FIRED).await? {
        let Some((_, what)) = object.key.split_once("/fired/") else { continue };
        let Some(file) = site.object(&object.key).await? else { continue };
        fired.entry(String::from_utf8(file.to_vec())?).or_default().push(what.to_owned());
    }
    Ok(fired)
}

/// An upload that a dead attempt began and no record names is left to the bucket's lifecycle rule, and no reader sees it.
/// There may be as many as an attempt has uploads, for each attempt that died; any other is a leak.
async fn leftovers(
    site: &Site,
    files: &[(String, &Case)],
    fired: &BTreeMap<String, Vec<String>>,
    report: &mut Report,
) -> Result<()> {
    let open = site.open_uploads().await?;
    for (file, case) in files {
        let of_file = open.iter().filter(|key| key.contains(&format!("/{file}/"))).count();
        let dead = fired.get(file).map_or(0, Vec::len);
        let makes_parts = case.failpoints.iter().any(|failpoint| {
            ["upload.begin", "upload.part", "upload.abort", "slice.put"]
                .iter()
                .any(|point| failpoint.starts_with(point))
        });
        if of_file > if makes_parts { 2 * dead } else { 0 } {
            report.problems.push(format!("{file}: {of_file} uploads are open, after {dead} faults"));
        }
    }
    if open.iter().any(|key| key.contains(&format!("/{CLEAN}/"))) {
        report.problems.push(format!("{CLEAN}: an upload is open"));
    }
    Ok(())
}
