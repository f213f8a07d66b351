//! Reports: what `rowmill run` computes on the way and `rowmill report` shows.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::cast_precision_loss)]

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use common::run;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rowmill_tests::months::drifted;
use rowmill_tests::stack::repository;
use serde_json::{Value, json};

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    concat_batches(&schema, &reader.build().unwrap().map(Result::unwrap).collect::<Vec<_>>()).unwrap()
}

fn shipped(name: &str) -> PathBuf {
    repository().join("infra/datasets").join(name)
}

#[test]
fn the_mean_tip_by_passenger_count_is_that_of_the_old_flow() {
    let Ok(corpus) = std::env::var("ROWMILL_CORPUS") else {
        println!("skipped: the_mean_tip_by_passenger_count_is_that_of_the_old_flow: ROWMILL_CORPUS is not set");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let source = format!("{corpus}/tlc/yellow_tripdatasample_2020-04.csv");
    let dataset = shipped("yellow_csv_tips.toml");
    let ran = run(folder.path(), &["run", "--dataset", dataset.to_str().unwrap(), "--sink", "out", &source]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stdout.contains("passenger_count  mean_tip\n                1      1.51\n"), "{}", ran.stdout);
    let tips = read(&folder.path().join("out/_reports/yellow_csv_tips/tips.parquet"));
    let names: Vec<_> = tips.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["passenger_count", "mean_tip"]);
    assert_eq!(tips.column(0).as_primitive::<Int32Type>().values(), &[1, 2, 3, 4, 5, 6]);
    assert_eq!(tips.column(1).as_primitive::<Float64Type>().values(), &[1.51, 1.86, 1.32, 1.73, 2.08, 1.19]);
}

/// Every value of a column in the published parts.
fn published(folder: &Path, column: &str) -> Vec<f64> {
    let mut values = Vec::new();
    for source in std::fs::read_dir(folder.join("out/fhvhv_summary")).unwrap() {
        for file in walk(&source.unwrap().path()) {
            let batch = read(&file);
            let column = cast(batch.column_by_name(column).unwrap(), &DataType::Float64).unwrap();
            values.extend(column.as_primitive::<Float64Type>().iter().flatten());
        }
    }
    values
}

fn walk(path: &Path) -> Vec<PathBuf> {
    match path.is_dir() {
        true => std::fs::read_dir(path).unwrap().flat_map(|entry| walk(&entry.unwrap().path())).collect(),
        false => vec![path.to_path_buf()],
    }
}

/// Asserts that the summary tells count, mean and standard deviation of what lies in the parts.
fn assert_summary(folder: &Path, rows: i64) {
    let numbers = read(&folder.join("out/_reports/fhvhv_summary/numbers.parquet"));
    assert_eq!(numbers.num_rows(), 1);
    let count = |name: &str| numbers.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(0);
    assert_eq!(count("trips"), rows);
    for name in [
        "PULocationID",
        "trip_miles",
        "trip_time",
        "base_passenger_fare",
        "airport_fee",
        "driver_pay",
        "cbd_congestion_fee",
    ] {
        let values = published(folder, name);
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let spread = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        assert_eq!(count(&format!("{name}_count")), i64::try_from(values.len()).unwrap(), "{name}");
        for (measure, expected) in [("mean", mean), ("stddev", spread)] {
            let found = numbers.column_by_name(&format!("{name}_{measure}")).unwrap();
            let found = found.as_primitive::<Float64Type>().value(0);
            assert!(
                (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
                "{name} {measure}: {found}, not {expected}"
            );
        }
    }
}

#[test]
fn a_summary_of_ten_months_is_that_of_their_parts_also_after_a_reprocess_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("in")).unwrap();
    for (index, (_, month)) in drifted(700).unwrap().into_iter().take(10).enumerate() {
        let path = folder.join(format!("in/fhvhv_tripdata_20{:02}-01.parquet", index + 10));
        std::fs::write(path, month.parquet().unwrap()).unwrap();
    }
    let dataset = std::fs::read_to_string(shipped("fhvhv_summary.toml")).unwrap();
    let dataset = dataset.replace("row_group_rows = 1_048_576", "row_group_rows = 100");
    std::fs::write(folder.join("summary.toml"), &dataset).unwrap();
    let arguments = ["run", "--json", "--dataset", "summary.toml", "--sink", "out"];
    let ran = run(folder, &[&arguments[..], &["in"]].concat());
    assert_eq!(ran.code, 0, "{ran:#?}");
    let reports = ran.json()["reports"].clone();
    assert_eq!((reports[0]["sources"].as_u64(), reports[0]["complete"].as_bool()), (Some(10), Some(true)), "{reports}");
    assert_summary(folder, 7_000);

    // Other business logic for one month.
    std::fs::write(folder.join("summary.toml"), format!("{dataset}\n[transform]\nfilter = \"trip_miles < 10\"\n"))
        .unwrap();
    let one = ["--intent", "reprocess", "in/fhvhv_tripdata_2012-01.parquet"];
    let ran = run(folder, &[&arguments[..], &one].concat());
    assert_eq!(ran.code, 0, "{ran:#?}");
    let kept = ran.json()["totals"]["rows"]["kept"].as_i64().unwrap();
    assert!(kept > 0 && kept < 700, "{kept}");
    assert_summary(folder, 6_300 + kept);
}

const DATASET: &str = "name = \"trips\"\n[source]\nformat = \"csv\"\n[output]\nprefix = \"trips/\"\n[[reports]]\n\
    name = \"zones\"\ngroup_by = [\"zone\"]\nmeasures = [{ name = \"n\", expr = \"count(*)\" }, { name = \"best\", expr = \"arg_max(who, tip)\" }]\n\
    [[reports]]\nname = \"broken\"\nmeasures = [{ name = \"m\", expr = \"avg(nothing)\" }]\n";

#[test]
fn report_shows_what_lies_in_the_sink_and_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("trips.toml"), DATASET).unwrap();
    std::fs::write(folder.join("a.csv"), "zone,who,tip\n2,ann,1.5\n1,bob,0.5\n2,eve,2.5\n,joe,1\n").unwrap();
    let checked = run(folder, &["check", "trips.toml", "a.csv"]);
    assert!(checked.code == 1 && checked.stderr.contains(":12:39: unknown column `nothing`"), "{checked:#?}");
    let ran = run(folder, &["run", "--dataset", "trips.toml", "--sink", "out", "a.csv"]);
    assert_eq!(ran.code, 0, "a report that fails fails no run: {ran:#?}");
    assert!(
        ran.stdout.contains("report broken: ") && ran.stdout.contains("unknown column `nothing`"),
        "{}",
        ran.stdout
    );

    let shown = run(folder, &["report", "--sink", "out", "trips", "zones", "--json"]).json();
    let zones = &shown["reports"][0];
    let row = |zone: Value, n: i64, best: &str| json!({ "zone": zone, "n": n, "best": best });
    assert_eq!(zones["groups"], json!([row(json!(1), 1, "bob"), row(json!(2), 2, "eve"), row(Value::Null, 1, "joe")]));
    assert_eq!((&zones["complete"], &zones["rows"], &zones["sources"]), (&json!(true), &json!(4), &json!(1)));

    let shown = run(folder, &["report", "--sink", "out", "trips"]);
    assert!(
        shown.stdout.contains("zone  n  best\n     1  1  bob\n     2  2  eve\n        1  joe\n"),
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.contains("note: broken is not complete: "), "{}", shown.stdout);

    let run_id =
        run(folder, &["runs", "--sink", "out", "--json"]).json()["runs"][0]["run_id"].as_str().unwrap().to_owned();
    let shown = run(folder, &["show", "--sink", "out", &run_id]);
    assert!(shown.stdout.contains("reports that lack this run\n  broken: "), "{}", shown.stdout);

    for wrong in [["report", "--sink", "out", "nothing", ""], ["report", "--sink", "out", "trips", "nothing"]] {
        let arguments: Vec<&str> = wrong.into_iter().filter(|word| !word.is_empty()).collect();
        assert_eq!(run(folder, &arguments).code, 2);
    }
}

#[test]
fn check_tells_what_is_wrong_with_a_report_by_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name = \"t\"\n[source]\nformat = \"parquet\"\n[schema]\nextra_columns = \"drop\"\ncolumns = [{ name = \"tip\", type = \"float64\" }]\n\
        [output]\nprefix = \"t/\"\n[[reports]]\nname = \"r\"\nmeasures = [{ name = \"m\", expr = \"round(avg(tipp), 2)\" }]\n";
    std::fs::write(folder.path().join("t.toml"), text).unwrap();
    let checked = run(folder.path(), &["check", "t.toml"]);
    assert_eq!(checked.code, 2, "{checked:#?}");
    assert!(checked.stderr.contains("t.toml:11:45: unknown column `tipp`: did you mean `tip`?"), "{}", checked.stderr);
}
