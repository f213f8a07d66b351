//! `rowmill run` on what strangers send: it ends soon, in little memory, in plain words, and writes nowhere but the sink.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Ran, plain_dataset, rowmill, run, trips, visible};

/// Address space, KiB: some 200 MiB of it are what the command takes for anything.
const MEMORY_KIB: u32 = 1_500_000;
const SECONDS: u32 = 30;

/// Runs the command where memory and time are short: what takes more of either dies.
fn run_within_bounds(folder: &Path, arguments: &[&str]) -> Ran {
    let ready = rowmill(folder);
    let script = format!("ulimit -v {MEMORY_KIB}; exec timeout -s KILL {SECONDS} \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.current_dir(folder).env_remove("ROWMILL_LOG").args(["-c", &script]).arg(ready.get_program());
    Ran::of(command.args(arguments).output().unwrap())
}

fn corpus_files() -> Option<Vec<PathBuf>> {
    let Some(corpus) = std::env::var_os("ROWMILL_CORPUS") else {
        eprintln!(
            "skipped: every_parquet_file_of_the_corpus_ingests_or_fails_in_plain_words: ROWMILL_CORPUS is not set"
        );
        return None;
    };
    let mut files = Vec::new();
    let mut folders = vec![Path::new(&corpus).join("parquet")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_parquet =
                path.extension().is_some_and(|extension| extension == "parquet" || extension == "encrypted");
            if path.is_dir() {
                folders.push(path);
            } else if is_parquet {
                files.push(path);
            }
        }
    }
    files.sort();
    Some(files)
}

#[test]
fn every_parquet_file_of_the_corpus_ingests_or_fails_in_plain_words_in_bounded_time_and_memory() {
    let Some(files) = corpus_files() else { return };
    let folder = tempfile::tempdir().unwrap();
    let dataset = plain_dataset(folder.path());
    let (mut complete, mut failed, mut wrong) = (0, 0, Vec::new());
    for file in &files {
        let arguments =
            ["run", "--json", "--sink", "out", "--dataset", dataset.to_str().unwrap(), file.to_str().unwrap()];
        let ran = run_within_bounds(folder.path(), &arguments);
        let plain = !ran.stderr.contains("panicked") && !ran.stderr.contains("memory allocation");
        match ran.code {
            0 if plain => complete += 1,
            1 if plain && ran.json()["runs"][0]["error"].is_string() => failed += 1,
            _ => wrong.push(format!("{}: {ran:#?}", file.display())),
        }
    }
    println!("{} files: {complete} ingested, {failed} refused, with {MEMORY_KIB} KiB of address space", files.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(complete > 0 && failed > 0);
}

#[test]
fn names_of_any_kind_stay_apart_and_inside_the_sink() {
    let made = trips(2_000);
    let trip = std::fs::read_dir(made.path().join("trips")).unwrap().next().unwrap().unwrap().path();
    let around = tempfile::tempdir().unwrap();
    let place = around.path().join("place");
    let long = format!("{}.parquet", "é".repeat(120));
    let names = [
        "..parquet",
        "...parquet",
        "%2E%2E.parquet",
        "a\nb.parquet",
        "a%0Ab.parquet",
        "-rf.parquet",
        " .parquet",
        "_rowmill.parquet",
        "\u{202e}gpj.parquet",
        "~.parquet",
        "part-00000.parquet",
        "part-00000.parquet ",
        "*.parquet",
        "\\..\\x.parquet",
        long.as_str(),
    ];
    for below in ["in", "in/.../_quarantine", "in/~/.parquet"] {
        std::fs::create_dir_all(place.join(below)).unwrap();
        for name in names {
            std::fs::copy(&trip, place.join(below).join(name)).unwrap();
        }
    }
    let text = "name = \"plain\"\n[source]\nuri = \"in\"\nformat = \"parquet\"\n[output]\nprefix = \"plain/\"\n";
    std::fs::write(place.join("plain.toml"), text).unwrap();
    let before = visible(around.path()).len();

    let ran = run(&place, &["run", "--json", "--dataset", "plain.toml", "--sink", "out"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let report = ran.json();
    let sources = 3 * names.len();
    assert_eq!(report["totals"]["complete"], sources, "{report:#}");
    let parts: BTreeSet<&str> = report["runs"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|run| run["parts"].as_array().unwrap())
        .map(|part| part["uri"].as_str().unwrap())
        .collect();
    assert_eq!(parts.len(), sources, "{parts:#?}");
    let seen = visible(&place.join("out"));
    let outside: Vec<_> = seen.keys().filter(|path| !path.starts_with("plain")).collect();
    assert_eq!((seen.len(), outside.len()), (sources, 0), "{:#?}", seen.keys());
    assert_eq!(visible(around.path()).len(), before + sources, "something lies beside the sink");
}
