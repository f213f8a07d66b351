//! Which objects are a dataset's own.

use rstest::rstest;

use super::{MINIMAL, in_source, parse};

fn with_source(uri: &str, pattern: &str) -> crate::dataset::Dataset {
    parse(&in_source(&format!("uri = \"{uri}\"\npattern = \"{pattern}\"")))
}

#[rstest]
#[case("s3://nyc-tlc/trip data/", "s3://nyc-tlc", "trip data/")]
#[case("s3://nyc-tlc/trip data", "s3://nyc-tlc", "trip data/")]
#[case("s3://nyc-tlc/trip%20data/", "s3://nyc-tlc", "trip%20data/")]
#[case("s3://nyc-tlc", "s3://nyc-tlc", "")]
#[case("s3://nyc-tlc/", "s3://nyc-tlc", "")]
#[case("file:///data/trips", "file://", "data/trips/")]
#[case("file://localhost/data/trips/", "file://", "data/trips/")]
#[case("/data/trips/", "file://", "data/trips/")]
#[case("/data/./a/../trips//", "file://", "data/trips/")]
#[case("/", "file://", "")]
#[case("https://data.example.org/archive/", "https://data.example.org", "archive/")]
fn a_uri_is_a_bucket_and_a_folder(#[case] uri: &str, #[case] bucket: &str, #[case] prefix: &str) {
    assert_eq!(with_source(uri, "**").source_root(), Some((bucket, prefix)));
}

#[test]
fn a_relative_path_starts_at_the_working_directory() {
    let here = std::env::current_dir().unwrap();
    let expected = format!("{}/trips/", here.to_str().unwrap().trim_start_matches('/'));
    assert_eq!(with_source("./trips", "**").source_root(), Some(("file://", expected.as_str())));
}

#[rstest]
#[case::fits("s3://nyc-tlc", "trip data/fhvhv_tripdata_2023-01.parquet", true)]
#[case::other_name("s3://nyc-tlc", "trip data/green_tripdata_2023-01.parquet", false)]
#[case::deeper("s3://nyc-tlc", "trip data/fhvhv_tripdata_/2023-01.parquet", false)]
#[case::other_folder("s3://nyc-tlc", "old/trip data/fhvhv_tripdata_2023-01.parquet", false)]
#[case::encoded("s3://nyc-tlc", "trip+data/fhvhv_tripdata_2023-01.parquet", false)]
#[case::other_bucket("s3://nyc", "trip data/fhvhv_tripdata_2023-01.parquet", false)]
#[case::other_case("s3://nyc-tlc", "trip data/FHVHV_tripdata_2023-01.parquet", false)]
#[case::folder_marker("s3://nyc-tlc", "trip data/", false)]
fn a_source_lies_below_the_uri_and_fits_the_pattern(#[case] bucket: &str, #[case] key: &str, #[case] expected: bool) {
    let dataset = with_source("s3://nyc-tlc/trip data/", "fhvhv_tripdata_*.parquet");
    assert_eq!(dataset.matches(bucket, key), expected);
}

#[rstest]
#[case("**", "a.csv", true)]
#[case("**", "a/b/c.csv", true)]
#[case("**", "a/b/", false)]
#[case("*", "a.csv", true)]
#[case("*", "a/b.csv", false)]
#[case("**/*.csv", "a.csv", true)]
#[case("**/*.csv", "a/b/c.csv", true)]
#[case("a/**", "a/b/c.csv", true)]
#[case("a/**", "ab/c.csv", false)]
#[case("20[12]?.{csv,txt}", "2019.txt", true)]
#[case("a?b", "a/b", false)]
#[case("*", "line\\nbreak", true)]
fn one_star_stays_in_its_folder_and_two_do_not(#[case] pattern: &str, #[case] key: &str, #[case] expected: bool) {
    let key = key.replace("\\n", "\n");
    assert_eq!(with_source("s3://in/raw/", pattern).matches("s3://in", &format!("raw/{key}")), expected);
}

#[test]
fn without_a_uri_no_event_matches() {
    let dataset = parse(MINIMAL);
    assert_eq!(dataset.source_root(), None);
    assert!(!dataset.matches("s3://in", "a.parquet"));
}

#[test]
fn a_folder_named_through_a_link_is_the_folder_and_keys_below_either_name_are_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().canonicalize().unwrap().join("real");
    std::fs::create_dir(&real).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let dataset = with_source(link.to_str().unwrap(), "**");
    let key = |path: &std::path::Path| path.to_str().unwrap().trim_start_matches('/').to_owned();
    assert_eq!(dataset.source_root(), Some(("file://", format!("{}/", key(&real)).as_str())));
    for folder in [real, link] {
        assert_eq!(dataset.below_root("file://", &key(&folder.join("a.csv"))), Some("a.csv"));
    }
}
