//! Sinks that were copied, restored or touched, objects that somebody put where parts lie, and datasets below one prefix.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Ran, number, run, visible};
use parquet::file::reader::{FileReader, SerializedFileReader};
use tempfile::TempDir;

const ROWS: u64 = 300;

fn dataset(folder: &Path, name: &str, prefix: &str, rest: &str) {
    let text = format!(
        "name = \"{name}\"\n[source]\nformat = \"csv\"\n[[expectations]]\nname = \"small\"\nexpr = \"n < 295\"\n\
         [output]\nprefix = \"{prefix}\"\n{rest}\n"
    );
    fs::write(folder.join(format!("{name}.toml")), text).unwrap();
}

/// A folder with `a.csv`, ingested by `trips.toml` into `out`.
fn ingested() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..ROWS).map(|n| format!("{n},{}\n", n % 3)).collect();
    fs::write(folder.path().join("a.csv"), format!("n,k\n{lines}")).unwrap();
    dataset(folder.path(), "trips", "trips/", "");
    let first = ingest(folder.path(), "trips", "out", &[]);
    assert_eq!(first.code, 0, "{first:#?}");
    assert_eq!(rows(folder.path(), "out"), (295, 5));
    folder
}

fn ingest(folder: &Path, dataset: &str, sink: &str, more: &[&str]) -> Ran {
    let file = format!("{dataset}.toml");
    run(folder, &[&["run", "--json", "--dataset", &file, "--sink", sink, "a.csv"], more].concat())
}

/// Rows that readers see below `trips/` and below `_quarantine/`.
fn rows(folder: &Path, sink: &str) -> (u64, u64) {
    let sink = folder.join(sink);
    let mut seen = (0, 0);
    for path in visible(&sink).into_keys() {
        let reader = SerializedFileReader::new(File::open(sink.join(&path)).unwrap()).unwrap();
        let rows = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap();
        *(if path.starts_with("_quarantine") { &mut seen.1 } else { &mut seen.0 }) += rows;
    }
    seen
}

fn part(folder: &Path, sink: &str) -> PathBuf {
    let sink = folder.join(sink);
    let part = visible(&sink).into_keys().find(|path| path.starts_with("trips")).unwrap();
    sink.join(part)
}

fn shell(folder: &Path, command: &str) {
    assert!(Command::new("sh").args(["-c", command]).current_dir(folder).status().unwrap().success(), "{command}");
}

#[test]
fn a_reprocess_of_a_copied_sink_that_partitions_otherwise_leaves_each_row_once() {
    let folder = ingested();
    shell(folder.path(), "cp -a out copy");
    dataset(folder.path(), "trips", "trips/", "partition_by = [\"k\"]");
    let again = ingest(folder.path(), "trips", "copy", &["--intent", "reprocess"]);
    assert_eq!(again.code, 0, "{again:#?}");
    assert_eq!(rows(folder.path(), "copy"), (295, 5));
    assert!(part(folder.path(), "copy").to_string_lossy().contains("k="));
}

#[test]
fn a_new_version_of_a_source_replaces_all_of_a_touched_sink() {
    let folder = ingested();
    shell(folder.path(), "find out -name '*.parquet' -exec touch {} +");
    dataset(folder.path(), "trips", "trips/", "partition_by = [\"k\"]");
    fs::write(folder.path().join("a.csv"), "n,k\n1,1\n").unwrap();
    let newer = ingest(folder.path(), "trips", "out", &[]);
    assert_eq!(newer.code, 0, "{newer:#?}");
    assert_eq!(rows(folder.path(), "out"), (1, 0));
}

#[test]
fn prune_of_a_copied_sink_leaves_nothing() {
    let folder = ingested();
    shell(folder.path(), "cp -a out copy && rm a.csv");
    let arguments = ["run", "--dataset", "trips.toml", "--sink", "copy", "--intent", "prune", "--yes"];
    let pruned = run(folder.path(), &arguments);
    assert_eq!(pruned.code, 0, "{pruned:#?}");
    assert_eq!(visible(&folder.path().join("copy")).len(), 0);
}

#[test]
fn a_run_that_meets_somebodys_object_fails_in_words_and_changes_nothing() {
    let folder = ingested();
    let part = part(folder.path(), "out");
    fs::write(&part, "edited by hand").unwrap();
    let before = visible(&folder.path().join("out"));
    for more in [&["--intent", "reprocess"][..], &[]] {
        // The second: a new version of the source.
        if more.is_empty() {
            fs::write(folder.path().join("a.csv"), "n,k\n1,1\n").unwrap();
        }
        let refused = ingest(folder.path(), "trips", "out", more);
        assert_eq!(refused.code, 1, "{refused:#?}");
        let report = refused.json();
        assert_eq!(report["runs"][0]["status"], "failed");
        let error = report["runs"][0]["error"].to_string();
        assert!(error.contains(part.to_str().unwrap()) && error.contains("14 bytes"), "{error}");
        assert!(refused.stderr.contains("Move it out of the sink"), "{refused:#?}");
        assert_eq!(visible(&folder.path().join("out")), before);
    }
    fs::remove_file(&part).unwrap();
    let again = run(folder.path(), &["redrive", "--sink", "out", "--json"]);
    assert_eq!(again.code, 0, "{again:#?}");
    assert_eq!(rows(folder.path(), "out"), (1, 0));
}

#[test]
fn prune_leaves_an_output_that_somebody_changed_and_says_so() {
    let folder = ingested();
    let part = part(folder.path(), "out");
    fs::write(&part, "edited by hand").unwrap();
    fs::remove_file(folder.path().join("a.csv")).unwrap();
    let before = visible(&folder.path().join("out"));
    let arguments = ["run", "--dataset", "trips.toml", "--sink", "out", "--intent", "prune", "--yes"];
    let refused = run(folder.path(), &arguments);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.contains(part.to_str().unwrap()), "{refused:#?}");
    assert!(!refused.stdout.contains("removed"), "{refused:#?}");
    assert_eq!(visible(&folder.path().join("out")), before);
}

#[test]
fn a_sink_whose_ledger_was_deleted_is_not_written_over() {
    let folder = ingested();
    let before = visible(&folder.path().join("out"));
    fs::remove_dir_all(folder.path().join("out/_rowmill")).unwrap();
    // The same run again makes the same bytes, and knows them.
    assert_eq!(ingest(folder.path(), "trips", "out", &[]).code, 0);
    assert_eq!(visible(&folder.path().join("out")), before);
    fs::remove_dir_all(folder.path().join("out/_rowmill")).unwrap();
    fs::write(folder.path().join("a.csv"), "n,k\n1,1\n").unwrap();
    let refused = ingest(folder.path(), "trips", "out", &[]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.contains("which no run of"), "{refused:#?}");
    assert_eq!(visible(&folder.path().join("out")), before);
}

#[test]
fn a_second_dataset_below_the_prefix_of_another_is_refused_before_it_writes() {
    let folder = ingested();
    let before = visible(&folder.path().join("out"));
    for prefix in ["trips/", "trips/more/"] {
        dataset(folder.path(), "other", prefix, "");
        for more in [&[][..], &["--dry-run"], &["--intent", "reprocess"]] {
            let refused = ingest(folder.path(), "other", "out", more);
            assert_eq!(refused.code, 2, "{refused:#?}");
            assert!(refused.stderr.contains("other.toml:8:10: output"), "{refused:#?}");
            assert!(refused.stderr.contains("dataset `trips`"), "{refused:#?}");
        }
    }
    assert_eq!(visible(&folder.path().join("out")), before);
    dataset(folder.path(), "other", "other/", "");
    let apart = ingest(folder.path(), "other", "out", &[]);
    assert_eq!(apart.code, 0, "{apart:#?}");
    let kept = ingest(folder.path(), "trips", "out", &[]);
    assert_eq!(number(&kept.json()["totals"], "skipped"), 1);
}

#[test]
fn in_a_sink_older_than_the_list_of_prefixes_the_datasets_that_wrote_there_count() {
    let folder = ingested();
    fs::remove_file(folder.path().join("out/_rowmill/prefixes.json")).unwrap();
    dataset(folder.path(), "other", "trips/", "");
    let refused = ingest(folder.path(), "other", "out", &[]);
    assert_eq!(refused.code, 2, "{refused:#?}");
    let kept = ingest(folder.path(), "trips", "out", &[]);
    assert_eq!(number(&kept.json()["totals"], "skipped"), 1, "{kept:#?}");
}
