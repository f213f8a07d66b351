//! What `apply` refuses.

use rstest::rstest;

use crate::dataset::{Dataset, overlap};

fn named(name: &str, uri: &str, prefix: &str) -> Dataset {
    let text =
        format!("name = \"{name}\"\n[source]\nuri = \"{uri}\"\nformat = \"csv\"\n[output]\nprefix = \"{prefix}\"\n");
    Dataset::parse(&text, &format!("{name}.toml")).unwrap()
}

#[test]
fn datasets_apart_are_fine() {
    let (a, b) = (named("a", "s3://in/raw/", "trips/"), named("b", "s3://in/raw/", "trips2/"));
    overlap(&[&a, &b], "s3://sink").unwrap();
    // In one bucket, too, as long as the folders lie apart.
    overlap(&[&a, &b], "s3://in").unwrap();
}

#[rstest]
#[case::equal("trips/", "trips")]
#[case::inside("trips/", "trips/green/")]
#[case::around("trips/green/", "trips/")]
fn outputs_that_are_equal_or_nested_are_refused(#[case] first: &str, #[case] second: &str) {
    let (a, b) = (named("a", "s3://in/a/", first), named("b", "s3://in/b/", second));
    let error = overlap(&[&a, &b], "s3://sink").unwrap_err().to_string();
    let expected = format!(
        "dataset: b.toml:6:10: output `{}` is the same as, around or inside output `{}` of dataset `a`: give each dataset \
         a folder of its own",
        b.spec.output.prefix, a.spec.output.prefix
    );
    assert_eq!(error, expected);
}

#[test]
fn two_datasets_of_one_name_are_refused() {
    let (one, other) = (named("a", "s3://in/", "x/"), named("a", "s3://in/", "y/"));
    let error = overlap(&[&one, &other], "s3://sink").unwrap_err().to_string();
    assert_eq!(error, "dataset: a.toml:1:8: dataset `a` is also defined in a.toml: rename one");
}

#[rstest]
#[case::sink_is_the_source_bucket("s3://sink/", "s3://sink", "trips/")]
#[case::source_is_the_output("s3://sink/trips/", "s3://sink", "trips/")]
#[case::source_below_the_output("s3://sink/trips/raw/", "s3://sink", "trips/")]
#[case::source_around_the_output("s3://sink/data/", "s3://sink/data/out", "trips/")]
#[case::source_is_the_quarantine("s3://sink/_quarantine/b/", "s3://sink", "_quarantine/")]
#[case::folders("/data", "file:///data/out", "trips/")]
fn a_source_that_meets_the_sinks_folders_is_refused(#[case] uri: &str, #[case] sink: &str, #[case] folder: &str) {
    let error = overlap(&[&named("a", uri, "trips/")], sink).unwrap_err().to_string();
    let expected = format!(
        "dataset: a.toml:3:7: the source is the same as, around or inside the sink's folder `{folder}`, so parts would be \
         read as sources: narrow `uri`, or take another sink"
    );
    assert_eq!(error, expected);
}

#[test]
fn a_source_that_is_anothers_output_is_refused() {
    let (a, b) = (named("a", "s3://in/", "trips/"), named("b", "s3://sink/trips/", "more/"));
    assert!(overlap(&[&a, &b], "s3://sink").unwrap_err().to_string().starts_with("dataset: b.toml:3:7: "));
}

#[test]
fn a_folder_whose_name_begins_alike_is_another() {
    overlap(&[&named("a", "s3://sink/trips2/", "trips/")], "s3://sink").unwrap();
    overlap(&[&named("a", "/data2/", "trips/")], "/data").unwrap();
}
