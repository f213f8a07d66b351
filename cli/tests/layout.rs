//! Filter, derived columns, lineage and partitions, as `rowmill run` makes them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type, UInt64Type};
use common::{number, run, visible};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const HOUR_US: i64 = 3_600_000_000;
/// 2024-01-30 00:00 UTC.
const START_US: i64 = 1_706_572_800_000_000;

/// A trip an hour, numbered from 0.
fn write_trips(path: &Path, hours: i64) {
    let numbers: Vec<i64> = (0..hours).collect();
    #[allow(clippy::cast_precision_loss)]
    let fares = Float64Array::from_iter_values(numbers.iter().map(|n| *n as f64));
    let times = TimestampMicrosecondArray::from_iter_values(numbers.iter().map(|n| START_US + n * HOUR_US));
    let batch = RecordBatch::try_from_iter([
        ("number", Arc::new(Int64Array::from(numbers)) as ArrayRef),
        ("pickup", Arc::new(times)),
        ("fare", Arc::new(fares)),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    concat_batches(&schema, &reader.build().unwrap().map(Result::unwrap).collect::<Vec<_>>()).unwrap()
}

fn dataset(folder: &Path, rest: &str) {
    let text = format!("name = \"trips\"\n[source]\nformat = \"parquet\"\n{rest}\n");
    std::fs::write(folder.join("trips.toml"), text).unwrap();
}

const OUTPUT: &str = "[output]\nprefix = \"trips/\"\nrow_group_rows = 10\n";
const RUN: [&str; 7] = ["run", "--json", "--dataset", "trips.toml", "--sink", "out", "a.parquet"];

fn names(files: &BTreeMap<PathBuf, Vec<u8>>) -> BTreeSet<String> {
    files.keys().map(|path| path.to_str().unwrap().to_owned()).collect()
}

#[test]
fn filter_and_derived_columns_work_from_the_file_to_the_part() {
    let folder = tempfile::tempdir().unwrap();
    write_trips(&folder.path().join("a.parquet"), 30);
    let transform = "[transform]\nfilter = \"fare_eur < 20 or number = 29\"\n\
                     columns = [{ name = \"fare_eur\", expr = \"fare * 0.5 + 10\" }, { name = \"per_number\", expr = \"100 / number\" }]\n";
    dataset(folder.path(), &format!("{OUTPUT}lineage = [\"row\"]\nmax_quarantined = 0.1\n{transform}"));
    let ran = run(folder.path(), &RUN);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let report = &ran.json()["runs"][0];
    // Row 0 divides by zero, rows 20 to 28 are above the limit.
    assert_eq!(report["reasons"], serde_json::json!({ "error: per_number": 1 }));
    let rows = &report["rows"];
    assert_eq!((number(rows, "kept"), number(rows, "quarantined"), number(rows, "filtered")), (20, 1, 9));
    let mut kept = Vec::new();
    for part in report["parts"].as_array().unwrap() {
        let part = read(Path::new(part["uri"].as_str().unwrap().strip_prefix("file://").unwrap()));
        let numbers = part.column_by_name("number").unwrap().as_primitive::<Int64Type>().values();
        let euros = part.column_by_name("fare_eur").unwrap().as_primitive::<Float64Type>().values();
        let places = part.column_by_name("_rowmill_row").unwrap().as_primitive::<UInt64Type>().values();
        for ((number, euros), place) in numbers.iter().zip(euros).zip(places) {
            #[allow(clippy::cast_precision_loss)]
            let expected = *number as f64 * 0.5 + 10.0;
            assert!((euros - expected).abs() < 1e-9, "{number}: {euros}");
            assert_eq!(u64::try_from(*number).unwrap(), *place);
            kept.push(*number);
        }
    }
    assert_eq!(kept, (1..20).chain([29]).collect::<Vec<_>>());
}

#[test]
fn partitions_follow_the_source_and_a_new_version_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("a.parquet");
    write_trips(&source, 60);
    dataset(folder.path(), &format!("{OUTPUT}partition_by = [\"date(pickup)\"]\nlineage = true\n"));
    let first = run(folder.path(), &RUN);
    assert_eq!(first.code, 0, "{first:#?}");
    let report = first.json();
    // Slices of ten hours: the days share the third and the fifth.
    assert_eq!(report["runs"][0]["parts"].as_array().unwrap().len(), 8);
    let out = folder.path().join("out");
    let files = visible(&out);
    let days: BTreeSet<String> = names(&files).iter().map(|path| path.split('/').nth(1).unwrap().to_owned()).collect();
    assert_eq!(days, BTreeSet::from(["2024-01-30", "2024-01-31", "2024-02-01"].map(|day| format!("date={day}"))));
    assert!(names(&files).iter().all(|path| path.contains("a.parquet.part-0000")), "{:?}", names(&files));
    let rows: usize = files.keys().map(|path| read(&out.join(path)).num_rows()).sum();
    assert_eq!(rows, 60);

    // The same again changes nothing; a reprocess replaces every part in place.
    assert_eq!(number(&run(folder.path(), &RUN).json()["totals"], "skipped"), 1);
    let again = run(folder.path(), &[&RUN[..], &["--intent", "reprocess"]].concat());
    assert_eq!(again.code, 0, "{again:#?}");
    assert_eq!(names(&visible(&out)), names(&files));

    // A shorter version of the source: the last day is gone, and so are its parts.
    std::thread::sleep(std::time::Duration::from_millis(20));
    write_trips(&source, 30);
    let shorter = run(folder.path(), &RUN);
    assert_eq!(shorter.code, 0, "{shorter:#?}");
    let left = names(&visible(&out));
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(left.iter().all(|path| path.starts_with("trips/date=2024-01-3")), "{left:?}");
    let shown = run(folder.path(), &["show", shorter.json()["runs"][0]["run_id"].as_str().unwrap(), "--sink", "out"]);
    assert!(shown.stdout.matches("date=2024-01-3").count() == 4, "{}", shown.stdout);

    // And without its source it is pruned; as the only output, once somebody confirms it.
    std::fs::remove_file(&source).unwrap();
    let pruned = run(folder.path(), &["run", "--dataset", "trips.toml", "--sink", "out", "--intent", "prune", "--yes"]);
    assert_eq!(pruned.code, 0, "{pruned:#?}");
    assert!(visible(&out).is_empty(), "{:?}", names(&visible(&out)));
}

#[test]
fn too_many_partitions_fail_the_run_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    write_trips(&folder.path().join("a.parquet"), 10);
    dataset(folder.path(), &format!("{OUTPUT}partition_by = [\"number\"]\nmax_partitions = 4\n"));
    let ran = run(folder.path(), &RUN);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(
        ran.stderr.contains("is 10, above the limit of 4") && ran.stderr.contains("output.max_partitions"),
        "{ran:#?}"
    );
    assert!(visible(&folder.path().join("out")).is_empty());
}

#[test]
fn a_wrong_partition_exits_2_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    write_trips(&folder.path().join("a.parquet"), 1);
    dataset(folder.path(), &format!("{OUTPUT}partition_by = [\"date(pickup\"]\n"));
    let ran = run(folder.path(), &["check", "trips.toml"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.starts_with("error: trips.toml:7:"), "{ran:#?}");
}

#[test]
fn months_are_folders_with_their_year_and_check_warns_of_months_without() {
    let folder = tempfile::tempdir().unwrap();
    write_trips(&folder.path().join("a.parquet"), 72);
    dataset(folder.path(), &format!("{OUTPUT}partition_by = [\"month(pickup)\"]"));
    let checked = run(folder.path(), &["check", "trips.toml"]);
    assert_eq!(checked.code, 0, "{checked:#?}");
    let wanted = "warning: output.partition_by: `month(pickup)` puts the same month of every year into one folder: \
                  write \"year_month(pickup)\"";
    assert!(checked.stderr.contains(wanted), "{checked:#?}");

    dataset(
        folder.path(),
        &format!("{OUTPUT}row_group_rows = 100\npartition_by = [\"year_month(pickup)\"]")
            .replace("row_group_rows = 10\n", ""),
    );
    let checked = run(folder.path(), &["check", "trips.toml"]);
    assert!(checked.code == 0 && !checked.stderr.contains("into one folder"), "{checked:#?}");
    let ran = run(folder.path(), &RUN);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let parts = names(&visible(&folder.path().join("out")));
    let months: BTreeSet<&str> = parts.iter().filter_map(|part| part.split('/').nth(1)).collect();
    assert_eq!(months, BTreeSet::from(["year_month=2024-01", "year_month=2024-02"]), "{parts:?}");
}
