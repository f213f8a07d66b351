//! Where things lie in the sink.

use super::identity::{Purpose, Run, key_hash};
use crate::dataset::Dataset;

/// Where dataset files lie as applied.
pub const DATASETS: &str = "_rowmill/datasets/";
/// Markers of unfinished runs.
pub const OPEN: &str = "_rowmill/open/";
/// Markers of ended runs that somebody is to be told of.
pub const NOTICES: &str = "_rowmill/notices/";
/// The ledger of runs.
pub const RUNS: &str = "_rowmill/runs/";
/// Dataset files that runs are pinned to, by their hash.
pub const CONFIGS: &str = "_rowmill/configs/";
/// Which dataset writes below which prefix.
pub const PREFIXES: &str = "_rowmill/prefixes.json";
/// Rows set aside.
pub const QUARANTINE: &str = "_quarantine/";
/// Reports, as readers see them.
pub const REPORTS: &str = "_reports/";
/// The pointers.
pub const SOURCES: &str = "_rowmill/sources/";

/// The dataset file as applied.
pub fn dataset(name: &str) -> String {
    format!("{DATASETS}{name}.toml")
}

/// The dataset file that runs are pinned to.
pub fn config(hash: &str) -> String {
    format!("{CONFIGS}{hash}.toml")
}

/// The pointers of a dataset's sources.
pub fn pointers(dataset: &str) -> String {
    format!("{SOURCES}{dataset}/")
}

/// A source's pointer.
pub fn pointer(dataset: &str, bucket: &str, key: &str) -> String {
    format!("{SOURCES}{dataset}/{}.json", key_hash(bucket, key))
}

/// A run's plan.
pub fn plan(dataset: &str, run_id: &str) -> String {
    format!("{RUNS}{dataset}/{run_id}/plan.json")
}

/// A run's slice records.
pub fn slices(dataset: &str, run_id: &str) -> String {
    format!("{RUNS}{dataset}/{run_id}/slices/")
}

/// One slice's record.
pub fn slice(dataset: &str, run_id: &str, index: u32) -> String {
    format!("{RUNS}{dataset}/{run_id}/slices/{index:05}.json")
}

/// The figures of one slice for the dataset's reports.
pub fn slice_figures(dataset: &str, run_id: &str, index: u32) -> String {
    format!("{RUNS}{dataset}/{run_id}/figures/{index:05}.json")
}

/// The figures of a run for the dataset's reports: those of its slices, merged.
pub fn run_figures(dataset: &str, run_id: &str) -> String {
    format!("{RUNS}{dataset}/{run_id}/figures.json")
}

/// What a dataset's reports were made of.
pub fn report_manifest(dataset: &str) -> String {
    format!("_rowmill/reports/{dataset}.json")
}

/// The folder of a dataset's reports.
pub fn reports(dataset: &str) -> String {
    format!("{REPORTS}{dataset}/")
}

/// One report's file; `extension` is `parquet` or `json`.
pub fn report(dataset: &str, report: &str, extension: &str) -> String {
    format!("{REPORTS}{dataset}/{report}.{extension}")
}

/// A run's outcome.
pub fn outcome(dataset: &str, run_id: &str) -> String {
    format!("{RUNS}{dataset}/{run_id}/outcome.json")
}

/// The record that an ended run was told of.
pub fn notified(dataset: &str, run_id: &str) -> String {
    format!("{RUNS}{dataset}/{run_id}/notified.json")
}

/// The marker of an ended run that somebody is to be told of.
pub fn notice(run_id: &str) -> String {
    format!("{NOTICES}{run_id}")
}

/// The marker of an unfinished run.
pub fn open(run_id: &str) -> String {
    format!("{OPEN}{run_id}")
}

/// The folder of a run's parts. It depends on the source alone, so that a reprocess replaces each part in place. Where
/// the output is partitioned, the folder of all partitions.
pub fn parts(dataset: &Dataset, run: &Run) -> String {
    if !dataset.spec.output.partition_by.is_empty() {
        return format!("{}{}", trial(run), dataset.spec.output.prefix);
    }
    let folder = dataset.output_folder(&run.source.bucket, &run.source.key);
    format!("{}{folder}", trial(run))
}

/// The folder of a run's quarantine. It names the run: a run that fails shows its rows beside what was published.
pub fn quarantine(dataset: &Dataset, run: &Run) -> String {
    let folder = dataset.source_folder(&run.source.bucket, &run.source.key);
    format!("{}{QUARANTINE}{}/{folder}/run-{}/", trial(run), run.dataset, run.run_id)
}

/// The key of one part or quarantine file in `folder`.
pub fn part(folder: &str, slice: u32) -> String {
    format!("{folder}part-{slice:05}.parquet")
}

/// The key of one part of a partition. `partition` is its folder, with a slash at the end; `source` names the source, for
/// the parts of all sources lie side by side.
pub fn partition_part(folder: &str, partition: &str, source: &str, slice: u32) -> String {
    format!("{folder}{partition}{source}.part-{slice:05}.parquet")
}

fn trial(run: &Run) -> String {
    match run.purpose {
        Purpose::TestSubset => format!("test_pipeline/run-{}/", run.generation),
        Purpose::Incremental | Purpose::Reprocess | Purpose::Retry => String::new(),
    }
}
