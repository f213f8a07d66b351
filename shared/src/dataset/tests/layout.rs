//! `output.partition_by`, `output.max_partitions` and `output.lineage`.

use rstest::rstest;

use super::{in_output, parse, refusal};
use crate::dataset::{Lineage, PartitionSpec, partition_warnings};

#[test]
fn partitions_are_columns_functions_that_name_themselves_or_tables() {
    let text =
        "partition_by = [\"VendorID\", \"Date(pickup)\", { name = \"hour\", expr = \"date_part('hour', pickup)\" }]";
    let output = parse(&in_output(text)).spec.output;
    let sql = |name: &str, expr: &str, named| PartitionSpec::Sql { name: name.into(), expr: expr.into(), named };
    let expected = [
        PartitionSpec::Column("VendorID".into()),
        sql("date", "Date(pickup)", false),
        sql("hour", "date_part('hour', pickup)", true),
    ];
    assert_eq!((output.partition_by.as_slice(), output.max_partitions), (expected.as_slice(), 64));
}

#[rstest]
#[case(
    "[\"month(pickup)\"]",
    Some("`month(pickup)` puts the same month of every year into one folder: write \"year_month(pickup)\"")
)]
#[case(
    "[{ name = \"q\", expr = \"Quarter(pickup)\" }]",
    Some("`Quarter(pickup)` puts the same quarter of every year into one folder: write \"year(pickup)\" before it")
)]
#[case("[\"year(pickup)\", \"month(pickup)\"]", None)]
#[case("[\"year\", \"month(pickup)\"]", None)]
#[case("[\"year_month(pickup)\"]", None)]
#[case("[\"hour(pickup)\"]", None)]
fn months_and_quarters_without_their_year_are_warned_of(#[case] entries: &str, #[case] expected: Option<&str>) {
    let output = parse(&in_output(&format!("partition_by = {entries}"))).spec.output;
    let expected: Vec<String> = expected.iter().map(|text| format!("output.partition_by: {text}")).collect();
    assert_eq!(partition_warnings(&output.partition_by), expected);
}

#[test]
fn lineage_is_all_none_or_some() {
    let lineage = |text: &str| parse(&in_output(text)).spec.output.lineage;
    assert_eq!(lineage("lineage = true"), Lineage { source: true, row: true, run: true });
    assert_eq!(lineage("lineage = [\"row\", \"source\"]"), Lineage { source: true, row: true, run: false });
    assert!(!lineage("lineage = false").any() && !lineage("").any());
}

#[rstest]
#[case("partition_by = \"a\"", "8:16: invalid type: string \"a\", expected an array")]
#[case(
    "partition_by = [1]",
    "8:17: invalid type: integer `1`, expected a column, a function such as \"date(pickup)\", or { name, expr }"
)]
#[case(
    "partition_by = [\"trunc(a)\"]",
    "8:17: partition `trunc(a)` needs a name: write { name = \"…\", expr = \"trunc(a)\" } (date, year, year_month, quarter, month, day, hour name themselves)"
)]
#[case("partition_by = [{ name = \"a\" }]", "8:17: missing key `expr`: add it to this table")]
#[case(
    "partition_by = [{ name = \"a\", exp = \"b\" }]",
    "8:31: unknown key `exp`, did you mean `expr`? known here: name, expr"
)]
#[case(
    "partition_by = [\"_a\"]",
    "8:17: folder `_a` starts with `_` or `.`, so readers would not see it: name it otherwise"
)]
#[case(
    "partition_by = [\"a\", \"A\"]",
    "8:22: a second partition named `A`: write { name = \"…\", expr = … } with another name"
)]
#[case("partition_by = [{ name = \" \", expr = \"b\" }]", "8:26: the name is empty: write one")]
#[case("max_partitions = 0", "8:18: `max_partitions` is 0: write 1 to 1000")]
#[case(
    "lineage = \"row\"",
    "8:11: invalid type: string \"row\", expected true, false, or some of [\"source\", \"row\", \"run\"]"
)]
#[case("lineage = [\"rows\"]", "8:12: unknown value `rows`, did you mean `row`? known here: source, row, run")]
fn a_wrong_layout_is_refused(#[case] line: &str, #[case] expected: &str) {
    assert_eq!(refusal(&in_output(line)), expected);
}

#[test]
fn sources_of_partitioned_output_have_different_names() {
    let dataset = parse(&in_output("").replace("format = \"parquet\"", "format = \"parquet\"\nuri = \"s3://b/in/\""));
    let long = "x".repeat(300);
    let keys =
        ["in/a", "in/a/b", "in/a%2Fb", "in/a%252Fb", &format!("in/{long}/a"), &format!("in/{long}/b"), "other/a"];
    let mut names: Vec<String> = keys.iter().map(|key| dataset.source_name("s3://b", key)).collect();
    assert_eq!(names[..2], ["a", "a%2Fb"]);
    assert!(
        names.iter().all(|name| name.len() <= 200 && !name.contains('/') && !name.starts_with(['_', '.'])),
        "{names:?}"
    );
    names.sort();
    names.dedup();
    assert_eq!(names.len(), keys.len());
}
