//! Where a source's parts go.

use proptest::prelude::*;
use rstest::rstest;

use super::{MINIMAL, in_source, parse};
use crate::dataset::Dataset;

fn dataset() -> Dataset {
    parse(&in_source("uri = \"s3://in/raw data/\""))
}

#[rstest]
#[case::plain("2023/a.parquet", "trips/2023/a.parquet/")]
#[case::space_and_plus("a b+c.parquet", "trips/a b+c.parquet/")]
#[case::hive_folders_stay("year=2023/a.parquet", "trips/year=2023/a.parquet/")]
#[case::percent("a%20b", "trips/a%2520b/")]
#[case::parent("../../etc", "trips/%2E./%2E./etc/")]
#[case::here("./a", "trips/%2E/a/")]
#[case::hidden("_rowmill/.a", "trips/%5Frowmill/%2Ea/")]
#[case::doubled_slash("a//b", "trips/a/%/b/")]
#[case::absolute("/a", "trips/%/a/")]
#[case::control("a\0b\n\u{85}", "trips/a%00b%0A%C2%85/")]
fn a_source_below_the_uri_keeps_its_name(#[case] below: &str, #[case] folder: &str) {
    assert_eq!(dataset().output_folder("s3://in", &format!("raw data/{below}")), folder);
}

#[test]
fn a_source_elsewhere_is_told_from_its_namesakes_by_a_hash_of_its_folder() {
    let dataset = dataset();
    let folder = dataset.output_folder("file://", "data/2023/a.parquet");
    let (hash, name) = folder.strip_prefix("trips/").unwrap().split_once('/').unwrap();
    assert_eq!((hash.len(), name), (16, "a.parquet/"));
    assert!(hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let others = [("file://", "data/2024/a.parquet"), ("s3://data", "2023/a.parquet"), ("s3://in", "a.parquet")];
    for (bucket, key) in others {
        assert_ne!(dataset.output_folder(bucket, key), folder);
    }
    assert_eq!(dataset.output_folder("file://", "data/2023/b.parquet"), format!("trips/{hash}/b.parquet/"));
}

#[test]
fn a_key_that_is_only_slashes_has_folders_of_its_own() {
    let folders: std::collections::BTreeSet<_> =
        ["", "/", "//", "a", "/a", "a/"].map(|key| dataset().output_folder("s3://in", key)).into_iter().collect();
    assert_eq!(folders.len(), 6);
}

#[test]
fn without_a_uri_every_source_lies_elsewhere() {
    let folder = parse(MINIMAL).output_folder("s3://in", "raw data/a.parquet");
    assert!(folder.ends_with("/a.parquet/") && folder.len() == "trips/".len() + 16 + "/a.parquet/".len(), "{folder}");
}

#[test]
fn a_long_name_is_cut_and_hashed() {
    let name = "é".repeat(150);
    let folder = dataset().output_folder("s3://in", &format!("raw data/{name}"));
    assert!(folder.starts_with("trips/éé") && folder.len() < 210, "{folder}");
    let other = dataset().output_folder("s3://in", &format!("raw data/{name}e"));
    assert_ne!(folder, other);
}

/// Keys as strangers choose them, many of them alike.
fn any_key() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec!["/", ".", "..", "_", "%", "%2E", "~", "a", "A", "é", "\0", "\\", " ", "0", "5F"])
            .prop_map(str::to_owned),
        1 => any::<String>(),
        1 => (1..400_usize).prop_map(|length| "x".repeat(length)),
        1 => (1..400_usize).prop_map(|length| "y/".repeat(length)),
    ];
    let below = prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat());
    (prop::bool::weighted(0.8), below)
        .prop_map(|(inside, below)| if inside { format!("raw data/{below}") } else { below })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_folder_stays_inside_the_prefix_and_visible(key in any_key()) {
        let folder = dataset().output_folder("s3://in", &key);
        let below = folder.strip_prefix("trips/").unwrap().strip_suffix('/').unwrap();
        for component in below.split('/') {
            prop_assert!(!component.is_empty() && !component.starts_with(['.', '_']), "{}", folder);
            prop_assert!(component.len() <= 255 && !component.contains(char::is_control), "{}", folder);
        }
        prop_assert!(folder.len() <= 600, "{}", folder);
    }

    #[test]
    fn distinct_keys_never_share_a_folder(one in any_key(), other in any_key()) {
        prop_assume!(one != other);
        let dataset = dataset();
        prop_assert_ne!(dataset.output_folder("s3://in", &one), dataset.output_folder("s3://in", &other));
    }

    #[test]
    fn no_key_can_pose_as_the_escaped_or_shortened_form_of_another(below in any_key()) {
        let dataset = dataset();
        let folder = dataset.source_folder("s3://in", &format!("raw data/{below}"));
        prop_assume!(folder != below);
        prop_assert_ne!(dataset.source_folder("s3://in", &format!("raw data/{folder}")), folder);
    }

    #[test]
    fn keys_that_differ_little_never_share_a_folder(key in any_key(), at in any::<prop::sample::Index>()) {
        prop_assume!(!key.is_empty());
        let dataset = dataset();
        let folder = dataset.output_folder("s3://in", &key);
        let mut characters: Vec<char> = key.chars().collect();
        characters.remove(at.index(characters.len()));
        let shorter: String = characters.into_iter().collect();
        prop_assert_ne!(&folder, &dataset.output_folder("s3://in", &shorter));
        for end in ["/", ".", "%", "~"] {
            prop_assert_ne!(&folder, &dataset.output_folder("s3://in", &format!("{key}{end}")));
        }
    }
}
