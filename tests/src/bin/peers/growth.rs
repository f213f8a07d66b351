//! How Rowmill's cost grows with the file.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rowmill_tests::fhvhv::Layout;
use serde_json::json;

use crate::args::Args;
use crate::cases::{Task, file};
use crate::jobs::Job;
use crate::report::median;
use crate::{once, warm};

/// The largest row groups that published months have.
const ROW_GROUP_ROWS: u64 = 20_000_000;
const FIRST_ROWS: u64 = 1_000_000;

/// Runs Rowmill on files of 1, 2, 4 … million trips, up to `most`.
pub fn run(rowmill: &Job, work: &Path, most: u64, args: &Args) -> Result<()> {
    let sizes =
        std::iter::successors(Some(FIRST_ROWS.min(most)), |rows| rows.checked_mul(2)).take_while(|rows| *rows <= most);
    let mut points = Vec::new();
    if !args.json {
        println!(
            "{:>10} {:>8} {:>8} {:>11} {:>10} {:>9}",
            "rows", "wall s", "CPU s", "wall ns/row", "CPU ns/row", "peak MiB"
        );
    }
    for rows in sizes {
        let source = file(&work.join("data"), "growth", Layout::RowGroups(ROW_GROUP_ROWS), rows)?;
        warm(&source)?;
        let mut costs = Vec::new();
        let mut before = None;
        for round in 0..args.rounds {
            eprintln!("{rows} rows, round {} of {}", round + 1, args.rounds);
            let (cost, content) = once(rowmill, Task::Trips, &source, work, before.as_ref())?;
            costs.push(cost);
            before = Some(content);
        }
        // The largest are gigabytes.
        fs::remove_file(&source)?;
        let of = |figure: fn(&crate::measure::Cost) -> f64| median(costs.iter().map(figure).collect());
        let (wall_s, cpu_s, peak_mib) = (of(|cost| cost.wall_s), of(|cost| cost.cpu_s), of(|cost| cost.peak_mib));
        #[expect(clippy::cast_precision_loss, reason = "millions")]
        let per_row_ns = |seconds: f64| seconds * 1e9 / rows as f64;
        let (wall_ns, cpu_ns) = (per_row_ns(wall_s), per_row_ns(cpu_s));
        if !args.json {
            println!("{rows:10} {wall_s:8.2} {cpu_s:8.2} {wall_ns:11.0} {cpu_ns:10.0} {peak_mib:9.0}");
        }
        points.push(json!({
            "rows": rows, "wall_s": wall_s, "cpu_s": cpu_s, "peak_mib": peak_mib,
            "wall_ns_per_row": wall_ns, "cpu_ns_per_row": cpu_ns,
        }));
    }
    if args.json {
        println!("{:#}", json!({"growth": points, "rounds": args.rounds}));
    }
    Ok(())
}
