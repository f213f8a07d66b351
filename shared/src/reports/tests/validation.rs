//! What `rowmill check` says of a report, with line and column.

use rstest::rstest;

use super::*;
use crate::Error;
use crate::clean::validate;

/// The columns of [`problem`]'s rows.
const CONTRACT: &str = "[schema]\nextra_columns = \"drop\"\ncolumns = [{ name = \"pickup\", type = \"timestamp(us)\" }, \
                        { name = \"tip\", type = \"float32\" }, { name = \"Zone\", type = \"int32\" }]";

/// What is wrong with a report whose lines begin at line 9 of the file.
fn problem(contract: &str, lines: &str) -> String {
    let text = format!(
        "name = \"trips\"\n[source]\nformat = \"parquet\"\n[output]\nprefix = \"trips/\"\n{contract}\n[[reports]]\n{lines}\n"
    );
    match Dataset::parse(&text, "t.toml").and_then(|dataset| validate(&dataset)) {
        Ok(()) => String::new(),
        Err(Error::Dataset(text)) => text,
        Err(other) => panic!("{other:?}"),
    }
}

const N: &str = "measures = [{ name = \"n\", expr = \"count(*)\" }]";

#[rstest]
#[case::unknown_column(
    "name = \"it\"\nmeasures = [{ name = \"m\", expr = \"avg(tips)\" }]",
    "t.toml:11:39: unknown column `tips`: did you mean `tip`?"
)]
#[case::unknown_group(
    &format!("name = \"it\"\ngroup_by = [\"zones\"]\n{N}"),
    "t.toml:11:14: unknown column `zones`: did you mean `Zone`?"
)]
#[case::named_group(
    &format!("name = \"it\"\ngroup_by = [{{ name = \"h\", expr = \"date_trunc('hour', pick)\" }}]\n{N}"),
    "t.toml:11:54: unknown column `pick`: did you mean `pickup`?"
)]
#[case::unknown_aggregate(
    "name = \"it\"\nmeasures = [{ name = \"m\", expr = \"averag(tip)\" }]",
    "t.toml:11:35: unknown function `averag`"
)]
#[case::bad_sql("name = \"it\"\nmeasures = [{ name = \"m\", expr = \"avg(tip\" }]", "t.toml:11:42: bad sql: ")]
#[case::no_aggregate(
    "name = \"it\"\nmeasures = [{ name = \"m\", expr = \"1 + tip\" }]",
    "t.toml:11:39: column `tip` stands outside of an aggregate: put it in one, such as avg(tip), or in group_by"
)]
#[case::nested(
    "name = \"it\"\nmeasures = [{ name = \"m\", expr = \"avg(sum(tip))\" }]",
    "t.toml:11:39: `sum` is an aggregate of many rows, and this expression sees one row"
)]
#[case::aggregate_in_where(
    &format!("name = \"it\"\nwhere = \"tip > avg(tip)\"\n{N}"),
    "t.toml:11:16: `avg` is an aggregate of many rows"
)]
#[case::unbounded(
    "name = \"it\"\nmeasures = [{ name = \"m\", expr = \"array_agg(tip)\" }]",
    "t.toml:11:35: `array_agg` keeps every value, which a report cannot: use count, "
)]
#[case::distinct(
    "name = \"it\"\nmeasures = [{ name = \"m\", expr = \"count(distinct tip)\" }]",
    "t.toml:11:35: `count` of DISTINCT values keeps every value, which a report cannot: use approx_distinct"
)]
#[case::order(
    "name = \"it\"\nmeasures = [{ name = \"m\", expr = \"first_value(tip)\" }]",
    "t.toml:11:35: `first_value` needs ORDER BY"
)]
#[case::arguments(
    "name = \"it\"\nmeasures = [{ name = \"m\", expr = \"arg_max(tip)\" }]",
    "t.toml:11:35: `arg_max` takes two values"
)]
#[case::type_of_argument("name = \"it\"\nmeasures = [{ name = \"m\", expr = \"sum(pickup)\" }]", "t.toml:11:35: ")]
#[case::window(
    "name = \"it\"\nmeasures = [{ name = \"m\", expr = \"sum(tip) over ()\" }]",
    "t.toml:11:35: `sum` OVER has no meaning here"
)]
#[case::having_no_bool(&format!("name = \"it\"\n{N}\nhaving = \"n + 1\""), "t.toml:12:10: the expression gives int64, not bool")]
#[case::having_unknown(&format!("name = \"it\"\n{N}\nhaving = \"m > 1\""), "t.toml:12:11: unknown column `m`")]
#[case::two_columns(
    &format!("name = \"it\"\ngroup_by = [{{ name = \"N\", expr = \"tip\" }}]\n{N}"),
    "t.toml:12:22: a second column named `n` (ignoring case)"
)]
#[case::no_measures("name = \"it\"\nmeasures = []", "t.toml:11:12: no measures: ")]
#[case::name(&format!("name = \"a/b\"\n{N}"), "t.toml:10:8: bad name `a/b`: ")]
#[case::key(&format!("name = \"it\"\n{N}\norder_by = \"n\""), "t.toml:12:1: unknown key `order_by`")]
fn what_is_wrong_is_told_with_its_place(#[case] lines: &str, #[case] expected: &str) {
    let found = problem(CONTRACT, lines);
    assert!(found.starts_with(expected) && !found.contains('\n'), "{found}");
}

#[test]
fn a_good_report_passes_and_names_may_be_spelt_without_case() {
    let lines = format!(
        "name = \"it\"\ngroup_by = [\"zone\", \"date_trunc('hour', PICKUP)\"]\n{N}\nhaving = \"zone > 0 and N > 1\""
    );
    assert_eq!(problem(CONTRACT, &lines), "");
}

#[test]
fn where_sources_may_bring_columns_only_syntax_and_functions_are_judged() {
    let of = |expr: &str| problem("\n", &format!("name = \"it\"\nmeasures = [{{ name = \"m\", expr = \"{expr}\" }}]"));
    assert_eq!(of("round(avg(anything), 2)"), "");
    assert!(of("avg(").contains("bad sql: "));
    assert!(of("median(anything)").contains("`median` keeps every value"));
}

#[test]
fn two_reports_do_not_share_a_name() {
    let found = problem(CONTRACT, &format!("name = \"it\"\n{N}\n[[reports]]\nname = \"IT\"\n{N}"));
    assert!(found.starts_with("t.toml:13:8: a second report named `IT`: rename one"), "{found}");
}
