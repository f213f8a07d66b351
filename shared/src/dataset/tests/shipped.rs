//! The datasets in `infra/datasets`.

use rstest::rstest;

use crate::dataset::{Action, ColumnType, Dataset, TimeUnit, overlap};
use crate::storage::web::Origin;

const FHVHV: &str = include_str!("../../../../infra/datasets/fhvhv.toml");
const YELLOW: &str = include_str!("../../../../infra/datasets/yellow.toml");
const GREEN: &str = include_str!("../../../../infra/datasets/green.toml");
const FHV: &str = include_str!("../../../../infra/datasets/fhv.toml");
const YELLOW_CSV: &str = include_str!("../../../../infra/datasets/yellow_csv.toml");
const TIPS: &str = include_str!("../../../../infra/datasets/yellow_csv_tips.toml");
const GENEROUS: &str = include_str!("../../../../infra/datasets/yellow_csv_generous.toml");
const SUMMARY: &str = include_str!("../../../../infra/datasets/fhvhv_summary.toml");
const PUSHES: &str = include_str!("../../../../infra/datasets/gharchive_push.toml");

const PUSH_RANGE: &str = include_str!("../../../../infra/datasets/gharchive_push_range.toml");

#[test]
fn the_archive_has_the_columns_of_its_twin_and_reads_its_own_host_only() {
    let (range, twin) = (Dataset::parse(PUSH_RANGE, "range").unwrap(), Dataset::parse(PUSHES, "twin").unwrap());
    assert_eq!((&range.spec.schema, &range.spec.source.keep), (&twin.spec.schema, &twin.spec.source.keep));
    assert_eq!(range.source_root(), Some(("https://data.gharchive.org", "")));
    let day = "2015-01-01".parse().unwrap();
    assert_eq!(range.archive().unwrap().key(day, 15).unwrap(), "2015-01-01-15.json.gz");
    let rules = range.web_rules();
    let allows = |origin: &str| rules.check(&Origin::parse(origin).unwrap()).is_ok();
    assert!(
        allows("https://data.gharchive.org")
            && !allows("http://data.gharchive.org")
            && !allows("https://gharchive.org")
    );
}

#[rstest]
#[case::fhvhv("fhvhv", FHVHV, 26)]
#[case::yellow("yellow", YELLOW, 20)]
#[case::green("green", GREEN, 21)]
#[case::fhv("fhv", FHV, 7)]
fn a_shipped_dataset_has_one_name_everywhere(#[case] name: &str, #[case] text: &str, #[case] columns: usize) {
    let dataset = Dataset::parse(text, name).unwrap();
    assert_eq!(dataset.spec.name, name);
    assert_eq!(dataset.spec.output.prefix, format!("{name}/"));
    assert_eq!(dataset.source_root(), Some(("s3://nyc-tlc", "trip data/")));
    assert!(dataset.matches("s3://nyc-tlc", &format!("trip data/{name}_tripdata_2023-01.parquet")));
    assert_eq!(dataset.spec.schema.columns.len(), columns);
}

#[rstest]
#[case(FHVHV)]
#[case(YELLOW)]
#[case(GREEN)]
fn columns_have_the_types_that_the_old_flow_cast_to(#[case] text: &str) {
    for column in Dataset::parse(text, "shipped").unwrap().spec.schema.columns {
        let time = ColumnType::Timestamp { unit: TimeUnit::Microsecond, zone: None };
        let expected = match column.name.as_str() {
            name if name.ends_with("_datetime") => vec![time],
            name if name.contains("flag") => vec![ColumnType::Dictionary],
            _ => vec![ColumnType::String, ColumnType::Float(32), ColumnType::Int(32)],
        };
        assert!(expected.contains(&column.data_type), "{}: {}", column.name, column.data_type);
        let is_flag = column.name.contains("flag");
        assert_eq!((column.values == ["Y", "N"], column.trim), (is_flag, is_flag), "{}", column.name);
    }
}

#[test]
fn columns_that_datasets_share_have_one_type() {
    let mut types = std::collections::BTreeMap::new();
    for text in [FHVHV, YELLOW, GREEN] {
        for column in Dataset::parse(text, "shipped").unwrap().spec.schema.columns {
            let known = types.entry(column.name.clone()).or_insert_with(|| column.data_type.clone());
            assert_eq!(*known, column.data_type, "{}", column.name);
        }
    }
}

#[rstest]
#[case(FHVHV)]
#[case(YELLOW)]
#[case(GREEN)]
fn rows_that_cannot_be_are_set_aside(#[case] text: &str) {
    let dataset = Dataset::parse(text, "shipped").unwrap();
    for name in ["drop-off after pick-up", "fare is not negative", "distance is not negative"] {
        let found = dataset.spec.expectations.iter().find(|expectation| expectation.name == name);
        assert_eq!(found.unwrap().action, Action::Quarantine, "{name}");
    }
}

#[test]
fn text_datasets_take_their_own_files() {
    let csv = Dataset::parse(YELLOW_CSV, "yellow_csv").unwrap();
    assert!(csv.matches("s3://nyc-tlc", "csv_backup/yellow_tripdata_2019-01.csv.gz"));
    assert!(!csv.matches("s3://nyc-tlc", "csv_backup/green_tripdata_2019-01.csv"));
    let pushes = Dataset::parse(PUSHES, "gharchive_push").unwrap();
    assert!(pushes.matches("s3://gharchive", "2015-01-01-15.json.gz"));
    let names: Vec<_> = pushes.spec.schema.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["user", "repo", "created_at", "message", "author"]);
}

#[rstest]
#[case(YELLOW_CSV, TIPS)]
#[case(YELLOW_CSV, GENEROUS)]
#[case(FHVHV, SUMMARY)]
fn a_dataset_for_a_report_has_the_contract_and_the_sources_of_its_elder(#[case] elder: &str, #[case] text: &str) {
    let (elder, dataset) = (Dataset::parse(elder, "elder").unwrap(), Dataset::parse(text, "shipped").unwrap());
    assert_eq!(dataset.spec.schema, elder.spec.schema);
    assert_eq!(dataset.spec.source, elder.spec.source);
    assert_eq!(dataset.spec.reports.len(), 1);
    #[cfg(feature = "process")]
    crate::clean::validate(&dataset).unwrap();
}

#[test]
fn the_shipped_datasets_fit_one_sink() {
    let all = [FHVHV, YELLOW, GREEN, FHV, YELLOW_CSV, PUSHES, TIPS, GENEROUS, SUMMARY];
    let datasets = all.map(|text| Dataset::parse(text, "shipped").unwrap());
    overlap(&datasets.each_ref(), "s3://clean-trips").unwrap();
}
