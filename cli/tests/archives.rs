//! Archives by date, from a web server on this machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::{Ran, rowmill, visible};
use rowmill_tests::archive::{Fault, Faults, Server, dataset, day, name, pushes, rows};
use serde_json::{Value, json};

const DAY: [&str; 4] = ["--from", "2015-01-01", "--to", "2015-01-01"];

/// A folder with the dataset file, and the server that it names.
struct Place {
    folder: tempfile::TempDir,
    server: Server,
}

impl Place {
    fn new(files: BTreeMap<String, Bytes>, faults: Faults) -> Self {
        let server = Server::start(files, faults).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pushes.toml"), dataset(&server.origin())).unwrap();
        Self { folder, server }
    }

    fn with_day() -> Self {
        Self::new(day(1, 40, None).unwrap(), Faults::none())
    }

    fn command(&self, arguments: &[&str]) -> Ran {
        let mut command = rowmill(self.folder.path());
        command.env("ROWMILL_ALLOW_HOSTS", self.server.address()).args(arguments);
        Ran::of(command.output().unwrap())
    }

    /// `rowmill run` with JSON.
    fn run(&self, arguments: &[&str]) -> Ran {
        self.command(&[&["run", "--dataset", "pushes.toml", "--sink", "out", "--json"], arguments].concat())
    }

    fn sink(&self) -> PathBuf {
        self.folder.path().join("out")
    }
}

fn totals(ran: &Ran) -> Value {
    let mut totals = ran.json()["totals"].clone();
    totals.as_object_mut().unwrap().remove("rows");
    totals
}

fn parts(seen: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<Bytes> {
    let is_part = |path: &Path| path.starts_with("gharchive_push_range");
    seen.iter().filter(|(path, _)| is_part(path)).map(|(_, bytes)| Bytes::copy_from_slice(bytes)).collect()
}

#[test]
fn a_limit_looks_up_no_more_files_than_it_takes() {
    let mut files = day(1, 40, None).unwrap();
    files.retain(|file, _| (0..3).any(|hour| *file == name(hour)));
    let place = Place::new(files, Faults::none());
    let uris = |ran: &Ran| -> Vec<String> {
        let json = ran.json();
        json["runs"].as_array().unwrap().iter().map(|run| run["source"]["uri"].as_str().unwrap().to_owned()).collect()
    };
    let named = |hours: std::ops::Range<u32>| -> Vec<String> {
        hours.map(|hour| format!("{}/{}", place.server.origin(), name(hour))).collect()
    };
    let dry = place.run(&[&DAY as &[&str], &["--limit", "2", "--dry-run"]].concat());
    assert_eq!((dry.code, uris(&dry)), (0, named(0..2)), "{dry:#?}");
    let two = place.run(&[&DAY as &[&str], &["--limit", "2"]].concat());
    assert_eq!((two.code, uris(&two)), (0, named(0..2)), "{two:#?}");
    let next = place.run(&[&DAY as &[&str], &["--limit", "1"]].concat());
    assert_eq!((next.code, uris(&next)), (0, named(0..3)), "what is published takes nothing of the limit: {next:#?}");
}

#[test]
fn archive_hours_from_a_server_that_fails_20_percent_of_requests_all_complete_none_twice_rows_equal() {
    let corpus = std::env::var_os("ROWMILL_CORPUS").map(PathBuf::from);
    if corpus.is_none() {
        println!("skipped: the corpus's hour: ROWMILL_CORPUS is not set");
    }
    let files = day(7, 2_000, corpus.as_deref()).unwrap();
    let expected = pushes(&files).unwrap();
    let place = Place::new(files, Faults::new(20_150_101, 0.2));
    let ran = place.run(&DAY);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(totals(&ran), json!({"runs": 24, "complete": 24, "failed": 0, "skipped": 0}));
    let (runs, mut uris) = (ran.json()["runs"].as_array().unwrap().clone(), BTreeSet::new());
    for run in &runs {
        assert!(uris.insert(run["source"]["uri"].as_str().unwrap().to_owned()), "twice: {run}");
        let rows = &run["rows"];
        let sum = |names: [&str; 3]| names.iter().map(|name| rows[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!(rows["read"].as_u64().unwrap(), sum(["kept", "quarantined", "filtered"]));
    }
    let urls = (0..24).map(|hour| format!("{}/{}", place.server.origin(), name(hour)));
    assert_eq!(uris, urls.collect());
    let seen = visible(&place.sink());
    assert_eq!(rows(parts(&seen)).unwrap(), expected);
    {
        let state = place.server.state();
        println!("{} rows, {} requests, faults {:?}", expected.len(), state.faults.requests, state.faults.met);
        for fault in [Fault::Error, Fault::Busy, Fault::Reset, Fault::Cut, Fault::Slow] {
            assert!(state.faults.met.contains_key(&fault), "{fault:?} was never met");
        }
    }
    let again = place.run(&DAY);
    assert_eq!(totals(&again), json!({"runs": 24, "complete": 0, "failed": 0, "skipped": 24}), "{again:#?}");
    assert_eq!(visible(&place.sink()), seen);
}

#[test]
fn a_gap_is_missing_and_no_failure_and_is_filled_when_asked_again() {
    let mut files = day(2, 40, None).unwrap();
    let late: Vec<_> = [0, 23].map(|hour| files.remove_entry(&name(hour)).unwrap()).into();
    let place = Place::new(files, Faults::none());
    let ran = place.run(&DAY);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(totals(&ran), json!({"runs": 24, "complete": 22, "failed": 0, "skipped": 0, "missing": 2}));
    assert_eq!(ran.json()["runs"][0]["status"], "missing");
    assert!(ran.stderr.contains("note: ") && ran.stderr.contains("no such file"), "{}", ran.stderr);
    let listed = place.command(&["runs", "--sink", "out", "--status", "missing", "--json"]);
    assert_eq!(listed.json()["runs"].as_array().map(Vec::len), Some(2), "{listed:#?}");

    place.server.state().files.extend(late);
    let ran = place.run(&DAY);
    assert_eq!(totals(&ran), json!({"runs": 24, "complete": 2, "failed": 0, "skipped": 22}), "{ran:#?}");
    let expected = pushes(&place.server.state().files).unwrap();
    assert_eq!(rows(parts(&visible(&place.sink()))).unwrap(), expected);
}

#[test]
fn a_file_that_the_server_replaced_is_ingested_again() {
    let place = Place::with_day();
    assert_eq!(place.run(&DAY).code, 0);
    let other = day(3, 50, None).unwrap().remove(&name(5)).unwrap();
    place.server.state().files.insert(name(5), other);
    let ran = place.run(&DAY);
    assert_eq!(totals(&ran), json!({"runs": 24, "complete": 1, "failed": 0, "skipped": 23}), "{ran:#?}");
    let expected = pushes(&place.server.state().files).unwrap();
    assert_eq!(rows(parts(&visible(&place.sink()))).unwrap(), expected);
}

#[test]
fn one_hour_is_ingested_as_a_source_and_its_part_lies_where_a_range_puts_it() {
    let place = Place::with_day();
    let url = format!("{}/{}", place.server.origin(), name(9));
    let ran = place.run(&[&url]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let part = ran.json()["runs"][0]["parts"][0]["uri"].as_str().unwrap().to_owned();
    assert!(part.ends_with("/out/gharchive_push_range/2015-01-01-9.json.gz/part-00000.parquet"), "{part}");
    assert_eq!(totals(&place.run(&DAY))["skipped"], 1);
    let gone = place.run(&[&format!("{}/2015-01-02-9.json.gz", place.server.origin())]);
    assert_eq!((gone.code, totals(&gone)["missing"].clone()), (0, json!(1)), "{gone:#?}");
}

#[test]
fn a_dry_run_a_limit_and_a_pattern_narrow_a_range() {
    let place = Place::with_day();
    let dry = place.run(&[&DAY[..], &["--dry-run"]].concat());
    assert_eq!((dry.code, dry.json()["runs"].as_array().unwrap().len()), (0, 24));
    assert!(visible(&place.sink()).is_empty());
    let limited = place.run(&[&DAY[..], &["--limit", "2"]].concat());
    assert_eq!(totals(&limited)["complete"], 2, "{limited:#?}");
    let narrowed = place.run(&[&DAY[..], &["--pattern", "*-1?.json.gz"]].concat());
    assert_eq!(totals(&narrowed)["runs"], 10, "{narrowed:#?}");
}

#[test]
fn what_cannot_be_asked_for_is_told() {
    let place = Place::with_day();
    let stranger = format!("http://127.0.0.1:{}/a.json.gz", 1);
    for (arguments, why) in [
        (&[][..], "`from` and `to` are missing"),
        (&["--from", "2015-01-01"], "`to` is missing"),
        (&["--from", "2015-01-02", "--to", "2015-01-01"], "after `to`"),
        (&["--from", "2015-01-01", "--to", "2019-01-01"], "above the limit of 10000"),
        (&["--from", "yesterday", "--to", "2015-01-01"], "such as 2015-01-31"),
        (&["--from", "2015-01-01", "--to", "2015-01-01", "a.json.gz"], "not both"),
        (&[stranger.as_str()], "does not name the host"),
        (&["https://169.254.169.254/latest/meta-data"], "does not name the host"),
    ] {
        let ran = place.run(arguments);
        assert!(ran.code == 2 && ran.stderr.contains(why), "{arguments:?}: {why}: {ran:#?}");
    }
    let plain = common::plain_dataset(place.folder.path());
    std::fs::create_dir(place.folder.path().join("in")).unwrap();
    let text = std::fs::read_to_string(&plain).unwrap().replace("[source]", "[source]\nuri = \"in\"");
    std::fs::write(&plain, text).unwrap();
    let ran = place.command(&[&["run", "--dataset", "plain.toml", "--sink", "out"], &DAY[..]].concat());
    assert!(ran.code == 2 && ran.stderr.contains("this is none"), "{ran:#?}");
}

#[test]
fn an_address_that_is_not_public_is_refused_unless_the_environment_allows_it() {
    let place = Place::with_day();
    let url = format!("{}/{}", place.server.origin(), name(9));
    let mut command = rowmill(place.folder.path());
    command.args(["run", "--dataset", "pushes.toml", "--sink", "out", &url]).env_remove("ROWMILL_ALLOW_HOSTS");
    let ran = Ran::of(command.output().unwrap());
    assert!(ran.code == 1 && ran.stderr.contains("no public address"), "{ran:#?}");
    assert_eq!(place.server.state().faults.requests, 0);
}

#[test]
fn check_tells_a_days_files_and_how_a_stack_handles_them() {
    let place = Place::with_day();
    let url = format!("{}/{}", place.server.origin(), name(9));
    let ran = place.command(&["check", "pushes.toml", &url]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stdout.contains("--from 2015-01-01 --to 2015-01-01 is 24 files, "), "{}", ran.stdout);
    assert!(ran.stdout.contains("below source.small_bytes"), "{}", ran.stdout);
}
