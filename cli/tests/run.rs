//! `rowmill run`: what scripts depend on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{number, plain_dataset, run, trips, visible};
use serde_json::Value;

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect()
}

fn rows_add_up(rows: &Value) {
    assert_eq!(keys(rows), BTreeSet::from(["read", "kept", "quarantined", "filtered", "written"]));
    let of = |name| number(rows, name);
    assert_eq!(of("read"), of("kept") + of("quarantined") + of("filtered"), "{rows}");
    assert_eq!(of("written"), of("kept"), "{rows}");
}

const RUN: [&str; 6] = ["run", "--json", "--dataset", "fhvhv.toml", "--sink", "out"];

fn run_trips(folder: &Path, more: &[&str]) -> common::Ran {
    run(folder, &[&RUN, more].concat())
}

#[test]
fn the_json_has_the_shape_that_scripts_depend_on_and_rows_add_up() {
    let folder = trips(20_000);
    let ran = run_trips(folder.path(), &["trips"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    let report = ran.json();
    assert_eq!(keys(&report), BTreeSet::from(["runs", "totals"]));
    assert_eq!(keys(&report["totals"]), BTreeSet::from(["runs", "complete", "failed", "skipped", "rows"]));
    assert_eq!(number(&report["totals"], "complete"), 4);
    assert_eq!(number(&report["totals"]["rows"], "read"), 20_000);
    rows_add_up(&report["totals"]["rows"]);
    let fields =
        "run_id dataset source status error slices duration_ms rows reasons dropped warnings drift coerced parts quarantine \
         took notes"
            .split(' ')
            .collect();
    for run in report["runs"].as_array().unwrap() {
        assert_eq!(keys(run), fields);
        assert_eq!(keys(&run["source"]), BTreeSet::from(["uri", "etag", "size"]));
        assert_eq!((run["status"].as_str(), &run["error"]), (Some("complete"), &Value::Null));
        rows_add_up(&run["rows"]);
        let parts = run["parts"].as_array().unwrap();
        assert_eq!(parts.len() as u64, number(run, "slices"));
        for part in parts {
            assert_eq!(keys(part), BTreeSet::from(["uri", "rows", "bytes", "row_groups"]));
            let groups = part["row_groups"].as_array().unwrap().iter().map(|rows| rows.as_u64().unwrap());
            assert_eq!(groups.sum::<u64>(), number(part, "rows"));
            let path = part["uri"].as_str().unwrap().strip_prefix("file://").unwrap();
            assert_eq!(std::fs::metadata(path).unwrap().len(), number(part, "bytes"));
        }
        let kept: u64 = parts.iter().map(|part| number(part, "rows")).sum();
        assert_eq!(kept, number(&run["rows"], "kept"));
        let quarantine = run["quarantine"].as_array().unwrap();
        let quarantined: u64 = quarantine.iter().map(|part| number(part, "rows")).sum();
        assert_eq!(quarantined, number(&run["rows"], "quarantined"));
        assert!(quarantine.iter().all(|part| keys(part) == BTreeSet::from(["uri", "rows"])));
    }
}

#[test]
fn what_is_published_is_skipped_with_its_figures() {
    let folder = trips(5_000);
    let first = run_trips(folder.path(), &["trips"]).json();
    let before = visible(&folder.path().join("out"));
    let second = run_trips(folder.path(), &["trips/*.parquet"]);
    assert_eq!(second.code, 0, "{second:#?}");
    let second = second.json();
    assert_eq!(number(&second["totals"], "skipped"), 4);
    assert_eq!(number(&second["totals"]["rows"], "read"), 0);
    for (one, other) in first["runs"].as_array().unwrap().iter().zip(second["runs"].as_array().unwrap()) {
        assert_eq!((other["status"].as_str(), &one["run_id"]), (Some("skipped"), &other["run_id"]));
        assert_eq!((&one["rows"], &one["parts"]), (&other["rows"], &other["parts"]));
    }
    assert_eq!(before, visible(&folder.path().join("out")));
}

#[test]
fn a_reprocess_replaces_every_part_in_place() {
    let folder = trips(5_000);
    let first = run_trips(folder.path(), &["trips"]).json();
    let again = run_trips(folder.path(), &["--intent", "reprocess", "trips"]);
    assert_eq!(again.code, 0, "{again:#?}");
    let again = again.json();
    for (one, other) in first["runs"].as_array().unwrap().iter().zip(again["runs"].as_array().unwrap()) {
        assert_ne!(one["run_id"], other["run_id"]);
        assert_eq!(one["rows"], other["rows"]);
        let uris =
            |run: &Value| run["parts"].as_array().unwrap().iter().map(|part| part["uri"].clone()).collect::<Vec<_>>();
        assert_eq!(uris(one), uris(other));
    }
    let parts = visible(&folder.path().join("out"));
    let told: usize = again["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["parts"].as_array().unwrap().len() + run["quarantine"].as_array().unwrap().len())
        .sum();
    assert_eq!(parts.len(), told, "nothing of the first run is left: {:?}", parts.keys());
}

#[test]
fn a_test_subset_takes_one_source_to_a_folder_of_its_own() {
    let folder = trips(5_000);
    let ran = run_trips(folder.path(), &["--intent", "test_subset", "trips"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(number(&ran.json()["totals"], "runs"), 1);
    let parts = visible(&folder.path().join("out"));
    assert!(!parts.is_empty() && parts.keys().all(|path| path.starts_with("test_pipeline")), "{:?}", parts.keys());
}

#[test]
fn dropped_rows_and_warnings_are_told_by_expectation_in_text_and_json() {
    let folder = trips(5_000);
    let text = std::fs::read_to_string(plain_dataset(folder.path())).unwrap()
        + "[[expectations]]\nname = \"long\"\nexpr = \"trip_miles < 5\"\naction = \"drop\"\n\
           [[expectations]]\nname = \"longer\"\nexpr = \"trip_miles < 10\"\naction = \"drop\"\n\
           [[expectations]]\nname = \"near\"\nexpr = \"trip_miles > 1\"\naction = \"warn\"\n";
    std::fs::write(folder.path().join("drop.toml"), text).unwrap();
    let ran = run(folder.path(), &["run", "--json", "--dataset", "drop.toml", "--sink", "out", "trips"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let report = ran.json();
    for run in report["runs"].as_array().unwrap() {
        let (long, longer) = (number(&run["dropped"], "long"), number(&run["dropped"], "longer"));
        // A row that breaks both counts for both.
        assert!(longer > 0 && long > longer, "{run}");
        assert_eq!(number(&run["rows"], "filtered"), long);
        assert!(number(&run["warnings"], "near") > 0, "{run}");
        assert!(run["notes"].is_array(), "{run}");
    }
    let again = run(folder.path(), &["run", "--dataset", "drop.toml", "--sink", "new", "trips"]);
    assert!(again.stdout.contains("dropped, by expectation") && again.stdout.contains("  long\n"), "{}", again.stdout);
    let id = report["runs"][0]["run_id"].as_str().unwrap();
    let shown = run(folder.path(), &["show", id, "--sink", "out"]);
    assert!(shown.stdout.contains("dropped, by expectation"), "{}", shown.stdout);
    let shown = run(folder.path(), &["show", id, "--sink", "out", "--json"]).json();
    assert_eq!(shown["outcome"]["dropped"], report["runs"][0]["dropped"]);
}

#[test]
fn an_error_cites_the_users_dataset_file_and_the_ledgers_copy_only_where_it_differs() {
    let folder = trips(400);
    let wrong = std::fs::read_to_string(plain_dataset(folder.path())).unwrap()
        + "[[expectations]]\nname = \"miles\"\nexpr = \"trip_mile >= 0\"\n";
    std::fs::write(folder.path().join("my trips.toml"), &wrong).unwrap();
    let source = "trips/fhvhv_tripdata_2019-06.parquet";
    let command = ["run", "--dataset", "my trips.toml", "--sink", "out", source];
    let ran = run(folder.path(), &command);
    assert!(ran.code == 1 && ran.stderr.contains("my trips.toml:9:9: unknown column `trip_mile`"), "{ran:#?}");
    assert!(!ran.stderr.contains("configs/"), "{ran:#?}");

    // Without the file at hand.
    let ran = run(folder.path(), &["redrive", "--sink", "out"]);
    assert!(ran.stderr.contains("the dataset file as it was applied (configs/"), "{ran:#?}");
    assert!(ran.stderr.contains(".toml):9:9: unknown column `trip_mile`"), "{ran:#?}");
}

#[test]
fn a_dry_run_tells_and_does_nothing() {
    let folder = trips(5_000);
    let ran = run_trips(folder.path(), &["--dry-run", "trips"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let report = ran.json();
    assert_eq!((number(&report["totals"], "runs"), report["dry_run"].as_bool()), (4, Some(true)));
    assert!(!folder.path().join("out").exists());
}

#[test]
fn a_wrong_dataset_file_exits_2_with_line_and_column() {
    let folder = trips(1_000);
    let text = std::fs::read_to_string(folder.path().join("fhvhv.toml")).unwrap();
    let wrongs = [
        ("extra_columns = \"keep\"", "extra_colums = \"keep\"", "extra_columns"),
        ("trip_miles < 1000", "trip_miles <", "bad sql"),
        ("name = \"fhvhv\"", "name = fhvhv", ""),
    ];
    for (good, bad, told) in wrongs {
        std::fs::write(folder.path().join("bad.toml"), text.replacen(good, bad, 1)).unwrap();
        for command in
            [&["run", "--json", "--dataset", "bad.toml", "trips"] as &[&str], &["check", "--json", "bad.toml"]]
        {
            let ran = run(folder.path(), command);
            assert_eq!(ran.code, 2, "{bad}: {ran:#?}");
            assert!(ran.stderr.starts_with("error: bad.toml:") && ran.stderr.contains(told), "{bad}: {ran:#?}");
            let place: Vec<&str> = ran.stderr.splitn(4, ':').collect();
            assert!(place[2].parse::<u32>().is_ok(), "{bad}: {ran:#?}");
            assert!(ran.json()["error"].is_string());
        }
    }
}

#[test]
fn a_source_that_is_not_parquet_fails_alone_and_clearly() {
    let folder = trips(1_000);
    std::fs::write(folder.path().join("trips/notes.parquet"), "these are no columns").unwrap();
    std::fs::write(folder.path().join("trips/empty.parquet"), "").unwrap();
    let ran = run_trips(folder.path(), &["trips", "trips/no-such.parquet"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(!ran.stderr.contains("panic"), "{}", ran.stderr);
    let report = ran.json();
    assert_eq!((number(&report["totals"], "complete"), number(&report["totals"], "failed")), (4, 3));
    let failed = report["runs"].as_array().unwrap().iter().filter(|run| run["status"] == "failed");
    let errors: Vec<&str> = failed.map(|run| run["error"].as_str().unwrap()).collect();
    assert!(errors.iter().any(|error| error.contains("not a Parquet file")), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("empty file")), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("no such file")), "{errors:?}");
    assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("error: file:///")).count(), 3, "{}", ran.stderr);
}

#[test]
fn a_failed_run_is_tried_again_by_the_same_command_and_by_redrive() {
    let folder = trips(1_000);
    plain_dataset(folder.path());
    let source = folder.path().join("x.parquet");
    std::fs::write(&source, "not yet").unwrap();
    let command = ["run", "--json", "--dataset", "plain.toml", "x.parquet"];
    assert_eq!(run(folder.path(), &command).code, 1);
    let again = run(folder.path(), &command);
    assert_eq!((again.code, number(&again.json()["totals"], "failed")), (1, 1));
    std::fs::copy(folder.path().join("trips/fhvhv_tripdata_2019-06.parquet"), &source).unwrap();
    let redriven = run(folder.path(), &["redrive", "--json"]);
    assert_eq!(redriven.code, 0, "{redriven:#?}");
    assert_eq!(number(&redriven.json()["totals"], "complete"), 1);
    let nothing = run(folder.path(), &["redrive"]);
    assert_eq!(nothing.code, 0, "{nothing:#?}");
    assert!(nothing.stderr.contains("no failed run"), "{nothing:#?}");
}

#[test]
fn a_sink_among_the_sources_is_refused() {
    let folder = trips(1_000);
    let below = run(folder.path(), &["run", "--dataset", "fhvhv.toml", "--sink", "trips/out", "trips"]);
    assert_eq!(below.code, 2, "{below:#?}");
    run_trips(folder.path(), &["trips"]);
    let output = run(folder.path(), &["run", "--dataset", "fhvhv.toml", "--sink", "out", "out/fhvhv"]);
    assert_eq!(output.code, 2, "{output:#?}");
    assert!(output.stderr.contains("read as sources"), "{output:#?}");
}

#[test]
fn wrong_usage_exits_2() {
    let folder = trips(100);
    for (arguments, told) in [
        (&["run"] as &[&str], "--dataset"),
        (&["run", "--dataset", "no-such.toml"], "no-such.toml"),
        (&["run", "--dataset", "fhvhv.toml", "--intent", "everything"], "unknown intent"),
        (&["run", "--dataset", "fhvhv.toml", "--workers", "0", "trips"], "workers"),
        (&["run", "--dataset", "fhvhv.toml", "gopher://x/y"], "unknown scheme"),
        (&["runs", "--sink", "nowhere"], "no such folder"),
        (&["fly"], "fly"),
    ] {
        let ran = run(folder.path(), arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:#?}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {ran:#?}");
    }
}

#[test]
fn nothing_matched_is_no_failure() {
    let folder = trips(100);
    let ran = run_trips(folder.path(), &["trips/*.csv"]);
    assert_eq!((ran.code, number(&ran.json()["totals"], "runs")), (0, 0));
    assert!(ran.stderr.contains("nothing matched"), "{ran:#?}");
    assert!(ran.json()["notes"][0].as_str().unwrap().contains("nothing matched"), "{ran:#?}");
}

#[test]
fn the_ledger_is_listed_and_shown() {
    let folder = trips(5_000);
    let report = run_trips(folder.path(), &["trips"]).json();
    let listed = run(folder.path(), &["runs", "--sink", "out", "--json"]).json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 4);
    let id = report["runs"][0]["run_id"].as_str().unwrap();
    let shown = run(folder.path(), &["show", id.get(..12).unwrap(), "--sink", "out", "--json"]).json();
    assert_eq!((shown["run_id"].as_str(), shown["status"].as_str()), (Some(id), Some("complete")));
    assert_eq!(shown["outcome"]["rows"], report["runs"][0]["rows"]);
    let text = run(folder.path(), &["show", id, "--sink", "out"]);
    assert!(text.code == 0 && text.stdout.contains("quarantined, by reason"), "{text:#?}");
    assert_eq!(run(folder.path(), &["runs", "--sink", "out"]).stdout.lines().count(), 5);
    assert_eq!(run(folder.path(), &["show", "zzz", "--sink", "out"]).code, 2);
}

#[test]
fn a_check_plans_without_writing() {
    let folder = trips(5_000);
    let ran = run(folder.path(), &["check", "fhvhv.toml", "trips", "--json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let checked = ran.json();
    let rows: u64 = checked["sources"].as_array().unwrap().iter().map(|source| number(source, "rows")).sum();
    assert_eq!(rows, 5_000);
    assert!(checked["totals"]["dollars"].as_f64().unwrap() > 0.0);
    assert!(!folder.path().join("out").exists() && !folder.path().join("rowmill-out").exists());
    let text = run(folder.path(), &["check", "fhvhv.toml", "trips"]);
    assert!(text.stdout.contains("is valid") && text.stdout.contains("GB-seconds"), "{text:#?}");
}

#[test]
fn an_applied_dataset_lies_in_the_sink_and_must_not_overlap() {
    let folder = trips(100);
    for told in ["(new)", "(unchanged)"] {
        let ran = run(folder.path(), &["apply", "fhvhv.toml", "--sink", "out"]);
        assert!(ran.code == 0 && ran.stdout.contains(told), "{ran:#?}");
    }
    let text = std::fs::read_to_string(folder.path().join("fhvhv.toml")).unwrap();
    let other = text.replace("name = \"fhvhv\"", "name = \"other\"");
    std::fs::write(folder.path().join("other.toml"), other).unwrap();
    let ran = run(folder.path(), &["apply", "other.toml", "--sink", "out"]);
    assert!(ran.code == 2 && ran.stderr.contains("output"), "{ran:#?}");
}
