//! `rowmill schema`: the drift table, and a contract that the files fulfil.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;

use common::{number, run, trips};
use rowmill_tests::months::drifted;
use serde_json::Value;

/// Writes the contract into a dataset's file, and answers what `run` told of ingesting `source` with it.
fn ingested(folder: &Path, contract: &str, source: &str) -> Value {
    let text = format!(
        "name = \"p\"\n[source]\nformat = \"parquet\"\n[output]\nprefix = \"p/\"\nmax_quarantined = 0.0\n{contract}"
    );
    std::fs::write(folder.join("p.toml"), text).unwrap();
    let checked = run(folder, &["check", "p.toml", source]);
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{checked:#?}");
    let ran = run(folder, &["run", "--json", "--dataset", "p.toml", "--sink", "out", source]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    ran.json()
}

fn proposed(folder: &Path, source: &str) -> Value {
    let ran = run(folder, &["schema", "--json", source]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    ran.json()
}

#[test]
fn the_contract_takes_every_month_with_no_row_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let months = drifted(500).unwrap();
    for (index, (_, month)) in months.iter().enumerate() {
        let path = folder.path().join(format!("in/fhvhv_tripdata_20{:02}-01.parquet", index + 10));
        std::fs::write(path, month.clone().parquet().unwrap()).unwrap();
    }
    let proposal = proposed(folder.path(), "in");
    let contract = proposal["contract"].as_str().unwrap();
    for line in [
        "{ name = \"trip_time\", type = \"int64\", nullable = false }",
        "{ name = \"tolls\", type = \"float64\", nullable = false }",
        "{ name = \"airport_fee\", type = \"float64\", aliases = [\"Airport_fee\"] }",
        "{ name = \"tips\", type = \"float64\", nullable = false, aliases = [\"TIPS\"] }",
        "{ name = \"access_a_ride_flag\", type = \"string\" }",
        "{ name = \"cbd_congestion_fee\", type = \"float64\" }",
        "{ name = \"request_source\", type = \"string\" }",
    ] {
        assert!(contract.contains(line), "{line}: {contract}");
    }
    let report = ingested(folder.path(), contract, "in");
    let rows = &report["totals"]["rows"];
    assert_eq!((number(rows, "read"), number(rows, "kept")), (500 * months.len() as u64, 500 * months.len() as u64));
    for run in report["runs"].as_array().unwrap() {
        assert_eq!(run["status"], "complete");
        for cast in run["coerced"].as_array().unwrap() {
            assert_eq!(number(cast, "unfit"), 0, "{cast}");
        }
    }
    // What was cast is counted: the month whose integers are int32.
    let int32 = &report["runs"][2]["coerced"];
    let trip_time = int32.as_array().unwrap().iter().find(|cast| cast["column"] == "trip_time").unwrap();
    assert_eq!((trip_time["from"].as_str(), trip_time["to"].as_str()), (Some("int32"), Some("int64")));
    assert_eq!((number(trip_time, "rows"), trip_time["widening"].as_bool()), (500, Some(true)));
    let shown = run(folder.path(), &["show", report["runs"][2]["run_id"].as_str().unwrap(), "--sink", "out"]);
    assert!(shown.stdout.contains("500            0  trip_time"), "{}", shown.stdout);
}

#[test]
fn narrowing_counts_the_rows_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let month = rowmill_tests::months::Month::new(300).with_overflow("trip_time", 7).unwrap();
    std::fs::write(folder.path().join("a.parquet"), month.parquet().unwrap()).unwrap();
    let text = "name = \"n\"\n[source]\nformat = \"parquet\"\n[output]\nprefix = \"n/\"\n[schema]\ncasts = [{ from = \"int64\", to = \"int32\" }]\n";
    std::fs::write(folder.path().join("n.toml"), text).unwrap();
    let ran = run(folder.path(), &["run", "--json", "--dataset", "n.toml", "--sink", "out", "a.parquet"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let report = ran.json();
    let coerced = report["runs"][0]["coerced"].as_array().unwrap();
    let told: Vec<_> = coerced
        .iter()
        .map(|cast| (cast["column"].as_str().unwrap(), number(cast, "rows"), number(cast, "unfit")))
        .collect();
    assert_eq!(told, [("PULocationID", 300, 0), ("DOLocationID", 300, 0), ("trip_time", 300, 1)]);
    assert_eq!(number(&report["runs"][0]["reasons"], "cast: trip_time"), 1);
}

#[test]
fn the_trips_of_the_demo_tell_their_drift_and_get_a_contract() {
    let folder = trips(2_000);
    let table = run(folder.path(), &["schema", "trips/*.parquet"]);
    assert_eq!((table.code, table.stderr.as_str()), (0, ""), "{table:#?}");
    for told in ["columns drifted", "float64 as Airport_fee", "2022-11", "A contract for all of them:"] {
        assert!(table.stdout.contains(told), "{told}: {}", table.stdout);
    }
    let proposal = proposed(folder.path(), "trips");
    let report = ingested(folder.path(), proposal["contract"].as_str().unwrap(), "trips");
    assert_eq!(number(&report["totals"]["rows"], "kept"), 2_000);
}

#[test]
fn what_cannot_be_read_is_told_and_the_others_are_shown() {
    let folder = trips(100);
    std::fs::write(folder.path().join("trips/notes.parquet"), "these are no columns").unwrap();
    let ran = run(folder.path(), &["schema", "--json", "trips", "trips/no-such.parquet"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("not a Parquet file") && ran.stderr.contains("no such file"), "{ran:#?}");
    let document = ran.json();
    let failed = document["files"].as_array().unwrap().iter().filter(|file| file["error"].is_string()).count();
    assert_eq!((failed, document["columns"].as_array().unwrap().is_empty()), (2, false));
}

#[test]
fn wrong_usage_exits_2() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, told) in [
        (&["schema"] as &[&str], "SOURCE"),
        (&["schema", "*.parquet"], "nothing matched"),
        (&["schema", "gopher://x/y"], "unknown scheme"),
    ] {
        let ran = run(folder.path(), arguments);
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {ran:#?}");
    }
}

/// Real files, and their contract.
#[test]
fn the_corpus_gets_a_contract_that_it_fulfils() {
    let Some(corpus) = std::env::var_os("ROWMILL_CORPUS") else {
        println!("skipped: the_corpus_gets_a_contract_that_it_fulfils: ROWMILL_CORPUS is not set");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let source = format!("{}/tlc/*.parquet", Path::new(&corpus).display());
    let proposal = proposed(folder.path(), &source);
    let report = ingested(folder.path(), proposal["contract"].as_str().unwrap(), &source);
    let rows = &report["totals"]["rows"];
    assert!(number(rows, "read") > 30_000, "{rows}");
    assert_eq!(number(rows, "read"), number(rows, "kept"));
}
