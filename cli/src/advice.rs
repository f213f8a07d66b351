//! What `run` advises about what it left as it is: parts that are gone, sources that another dataset file published, reports
//! that nobody has written yet.

use rowmill::dataset::Dataset;
use rowmill::reports::Shown;

use crate::args::RunArgs;
use crate::intact::Problem;
use crate::paste::Paste;
use crate::render::{length, plural};
use crate::report::{Report, Status};

/// Adds to what is wrong with parts the command that makes them again, and answers the notes.
pub fn advise(report: &mut Report, args: &RunArgs, unpublished: usize) -> Vec<String> {
    for run in report.runs.iter_mut().filter(|run| !run.damaged.is_empty()) {
        let again = Paste::reprocess(args, [run.source.uri.as_str()]);
        let makes = if run.damaged.len() == 1 { "makes it again" } else { "makes them again" };
        // A run never replaces what it did not write.
        let is_foreign = run.damaged.iter().any(|damaged| matches!(damaged.problem, Problem::Size { .. }));
        let first = if is_foreign { "move what has another size out of the sink, then " } else { "" };
        run.error = run.error.take().map(|error| format!("{error}: {first}`{again}` {makes}"));
    }
    let mut notes = Vec::new();
    if report.totals.stale > 0 {
        let skipped = report.runs.iter().filter(|run| run.status == Status::Skipped).count();
        let stale = match Paste::stale(args) {
            Some(command) => format!("`{command}`"),
            None => "the same command with `--stale`".to_owned(),
        };
        notes.push(format!(
            "{} of {} {} published under another dataset file, and stay as they are: {stale} rewrites just \
             those, `--intent reprocess` every source",
            length(report.totals.stale),
            plural(skipped, "skipped source"),
            if report.totals.stale == 1 { "was" } else { "were" },
        ));
    }
    if unpublished > 0 {
        notes.push(format!(
            "{} not published yet, and left: a run without `--stale` ingests what is new",
            plural(unpublished, "source")
        ));
    }
    if !report.reports_to_come.is_empty() {
        notes.push(format!(
            "{} {}: nothing is written yet, it comes with the next source ingested or reprocessed",
            if report.reports_to_come.len() == 1 { "report" } else { "reports" },
            report.reports_to_come.join(", ")
        ));
    }
    notes
}

/// The dataset's reports that have not been written yet.
pub fn to_come(dataset: &Dataset, shown: &[Shown]) -> Vec<String> {
    let names = dataset.spec.reports.iter().map(|report| report.name.clone());
    names.filter(|name| !shown.iter().any(|shown| shown.report == *name)).collect()
}
