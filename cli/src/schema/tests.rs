//! The drift table and the contract, from made-up samples.

use arrow::datatypes::{DataType, TimeUnit};

use super::sample::{Sample, SampledColumn};
use super::{contract, drift, text};

fn file(month: &str, columns: &[(&str, DataType, Option<u64>)]) -> Sample {
    let columns = columns.iter().map(|(name, data_type, nulls)| SampledColumn {
        name: (*name).to_owned(),
        data_type: data_type.clone(),
        nulls: *nulls,
    });
    Sample {
        uri: format!("s3://b/trips/fhvhv_tripdata_{month}.parquet"),
        rows: Some(1_000),
        columns: columns.collect(),
        csv: None,
    }
}

fn document(samples: &[Sample]) -> super::Document {
    let columns = drift::columns(samples);
    let contract::Proposal { contract, notes } = contract::propose(&columns, None).unwrap();
    let files = samples.iter().map(|sample| super::FileReport::of(&sample.uri, &Ok(sample.clone())));
    super::Document { files: files.collect(), layouts: drift::layouts(samples), columns, contract, notes }
}

fn months() -> Vec<Sample> {
    use DataType::{Float64, Int32, Int64, LargeUtf8, Null, Timestamp, Utf8};
    let time = Timestamp(TimeUnit::Microsecond, None);
    let month = |name, text: DataType, id: DataType, fee: (&'static str, DataType, Option<u64>)| {
        let text = |column| (column, text.clone(), Some(0));
        file(name, &[text("base"), ("pickup", time.clone(), Some(0)), ("zone", id, Some(3)), fee, text("note")])
    };
    let mut months = vec![
        month("2019-02", Utf8, Int64, ("airport_fee", Null, Some(1_000))),
        month("2019-03", Utf8, Int64, ("airport_fee", Null, Some(1_000))),
        month("2020-01", Utf8, Int64, ("airport_fee", Float64, Some(10))),
        month("2023-01", LargeUtf8, Int32, ("Airport_fee", Float64, Some(0))),
        month("2025-01", LargeUtf8, Int32, ("airport_fee", Float64, Some(0))),
    ];
    months[4].columns.push(SampledColumn { name: "cbd fee".into(), data_type: Float64, nulls: None });
    months
}

#[test]
fn the_table_tells_each_column_that_changed_and_since_when() {
    let shown = text::text(&document(&months()));
    let expected = r#"5 files, 5,000 rows, 6 columns
files are named by what stands for * in s3://b/trips/fhvhv_tripdata_*.parquet

files  from     to        rows  columns
    2  2019-02  2019-03  2,000        5
    1  2020-01           1,000        5
    1  2023-01           1,000        5
    1  2025-01           1,000        6

5 columns drifted
column       fits all  from     files  type                    nulls
base         string    2019-02      3  string                      0
note                   2023-01      2  large_string                0

zone         int64     2019-02      3  int64                   0.3 %
                       2023-01      2  int32                   0.3 %

airport_fee  float64   2019-02      2  null                      all
                       2020-01      1  float64                 1.0 %
                       2023-01      1  float64 as Airport_fee      0
                       2025-01      1  float64                     0

cbd fee      float64   2019-02      4  missing
                       2025-01      1  float64

1 column the same in every file
column  type           nulls
pickup  timestamp(us)      0

A contract for all of them:

[schema]
extra_columns = "keep"
columns = [
  { name = "base", type = "string", nullable = false },
  { name = "pickup", type = "timestamp(us)", nullable = false },
  { name = "zone", type = "int64" },
  { name = "airport_fee", type = "float64", aliases = ["Airport_fee"] },
  { name = "note", type = "string", nullable = false },
  { name = "cbd fee", type = "float64" },
]
"#;
    assert_eq!(shown, expected);
}

#[test]
fn what_a_contract_cannot_hold_is_left_out_and_told() {
    let list = DataType::new_list(DataType::Int64, true);
    let samples = [
        file(
            "1",
            &[
                ("a", DataType::Int64, None),
                ("l", list.clone(), None),
                ("n", DataType::Null, None),
                ("x\n", DataType::Int8, None),
                ("s", DataType::Utf8, None),
            ],
        ),
        file(
            "2",
            &[
                ("a", DataType::Float64, None),
                ("l", DataType::Int64, None),
                ("s", DataType::Utf8, None),
                ("S", DataType::Utf8, None),
            ],
        ),
    ];
    let document = document(&samples);
    assert_eq!(
        document.contract,
        "[schema]\nextra_columns = \"keep\"\ncolumns = [\n  { name = \"a\", type = \"float64\" },\n]\n"
    );
    assert_eq!(
        document.notes,
        [
            "a: int64 and float64 become float64: whole numbers beyond 2^53 are rounded",
            "l: left out: list and int64 have no type in common",
            "n: left out: it is null in every file, so that nothing tells its type",
            "\"x\\n\": left out: a contract takes no such name",
            "s: left out: s3://b/trips/fhvhv_tripdata_2.parquet has several columns of this name but for case",
        ]
    );
}

#[test]
fn many_changes_stay_readable() {
    let flipping = |month: usize| if month.is_multiple_of(2) { DataType::Null } else { DataType::Float64 };
    let samples: Vec<Sample> =
        (0..91).map(|month| file(&format!("m{month:02}"), &[("fee", flipping(month), None)])).collect();
    let shown = text::text(&document(&samples));
    assert!(shown.lines().count() < 35, "{shown}");
    assert!(shown.contains("fee     float64   m00      46  null, on and off"), "{shown}");
    assert!(shown.contains("                  m01      45  float64, on and off"), "{shown}");
}

#[test]
fn files_of_one_layout_make_one_line_and_no_drift() {
    let samples: Vec<Sample> =
        (1..=12).map(|month| file(&format!("2024-{month:02}"), &[("a", DataType::Int64, None)])).collect();
    let shown = text::text(&document(&samples));
    assert!(!shown.contains("drifted") && shown.contains("1 column the same in every file"), "{shown}");
}
