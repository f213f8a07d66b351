//! A burst: many small files at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};

use super::reader::Reader;
use super::report::{Line, Report};
use super::site::{FUNCTIONS, Site, configure, set_visibility};
use crate::stack::Stack;
use crate::trips::{parquet, trips};

/// Rows of a file; few enough of them are dirty.
const ROWS: i64 = 120;
const DROPS_AT_ONCE: usize = 16;
const AUDITS_AT_ONCE: usize = 8;

/// Drops `files` files at once and waits until every one is published.
pub async fn burst(stack: &'static Stack, files: usize) -> Result<Report> {
    for function in FUNCTIONS {
        configure(stack, function, 120, &[("ROWMILL_STALL_SECONDS", "600")]).await?;
    }
    set_visibility(stack, 720).await?;
    let site = Arc::new(Site::new(stack, "burst", 1_000).await?);
    let reader = Reader::start(Arc::clone(&site));
    let source = trips(0, ROWS);
    let content = parquet(&source, source.len())?;
    let began = Instant::now();
    let names: Vec<String> = (0..files).map(|number| format!("{number:05}.parquet")).collect();
    let drops = names.iter().map(|name| site.put(name, content.clone()));
    let runs: Vec<_> = stream::iter(drops.collect::<Vec<_>>()).buffered(DROPS_AT_ONCE).try_collect().await?;
    let dropped = began.elapsed();
    let ended = site.ended(&runs, Duration::from_secs(1_200)).await?;
    let took = began.elapsed();
    site.quiet(Duration::from_secs(30)).await?;
    let seen = reader.stop().await?;

    let mut report = Report::default();
    let mut line = Line::new(format!("burst of {files} files"));
    line.injected = u64::try_from(files)?;
    let audits = names.iter().zip(&runs).map(|(name, run)| {
        let (site, source, ended) = (&site, &source, &ended);
        async move { (name, site.audit(name, source, &ended[&run.run_id]).await) }
    });
    let audited: Vec<_> = stream::iter(audits.collect::<Vec<_>>()).buffered(AUDITS_AT_ONCE).collect().await;
    for (name, audited) in audited {
        match audited {
            Ok(audited) => line.add(name, &audited),
            Err(error) => report.problems.push(format!("{error:#}")),
        }
    }
    line.early = u64::try_from(seen.early.len())?;
    report.problems.extend(seen.early.iter().map(|(key, why)| format!("{key} was seen early: {why}")));
    line.note =
        Some(format!("all complete after {:.1} s, dropped in {:.1} s", took.as_secs_f64(), dropped.as_secs_f64()));
    report.lines.push(line);
    Ok(report)
}
