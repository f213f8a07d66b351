//! What an expression may say, and what its errors tell.

use std::sync::Arc;

use arrow::array::{AsArray, Float64Array, Int32Array, StringArray, StructArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field};
use rstest::rstest;

use super::super::validate;
use super::{array, batch, clean, contract_error, dataset};

const CONTRACT: &str = "[schema]\nextra_columns = \"drop\"\ncolumns = [\n\
                        { name = \"Fare_Amount\", type = \"float32\" },\n\
                        { name = \"flag\", type = \"dictionary\" },\n\
                        { name = \"pickup\", type = \"timestamp(us)\" },\n\
                        { name = \"count\", type = \"int32\" },\n]\n";

fn expectation(expr: &str) -> String {
    format!("[[expectations]]\nname = \"e\"\nexpr = '''{expr}'''\n")
}

fn validated(expr: &str) -> Result<(), String> {
    validate(&dataset(&format!("{CONTRACT}{}", expectation(expr)))).map_err(|error| error.to_string())
}

/// Where the expression's first character stands in the dataset file.
const EXPR_LINE: u64 = 17;
const EXPR_COLUMN: u64 = 11;

#[rstest]
#[case("fare_amount >= 0 and FARE_AMOUNT < 1e3")]
#[case("\"Fare_Amount\" between 0 and 10")]
#[case("flag in ('Y', 'N') or flag is null")]
#[case("pickup >= '2019-01-01' and pickup < timestamp '2030-01-01'")]
#[case("date_part('year', pickup) = 2020 and extract(hour from pickup) < 24")]
#[case("coalesce(count, 0) % 2 = 0")]
#[case("case when count > 0 then fare_amount / count > 1 else true end")]
#[case("Upper(flag) like 'Y%' and substring(flag from 1 for 1) = 'Y'")]
#[case("abs(fare_amount - round(fare_amount, 2)) < 0.01")]
#[case("pickup + interval '1' day > pickup")]
#[case("cast(flag as varchar) ~ '^[YN]$'")]
#[case("nullif(count, 0) is distinct from null")]
#[case("year_month(pickup) between '2019-01' and '2020-04'")]
fn an_analysts_conditions_are_understood(#[case] expr: &str) {
    validated(expr).unwrap();
}

#[rstest]
#[case("fare_amonut > 0", 0, "unknown column `fare_amonut`: did you mean `Fare_Amount`?")]
#[case("flag = \"Y\"", 7, "unknown column `Y`: known here: `Fare_Amount`, `flag`, `pickup`, `count`")]
#[case("\"fare_amount\" > 0", 0, "unknown column `fare_amount`: did you mean `Fare_Amount`?")]
#[case("fare_amount >", 13, "bad sql: expected: an expression, found: EOF")]
#[case("fare_amount > > 1", 14, "bad sql: expected: an expression, found: >")]
#[case("(fare_amount > 1", 16, "bad sql: expected: ), found: EOF")]
#[case("fare_amount > 1 1", 16, "bad sql: expected: end of expression, found: 1")]
#[case("fare_amount > 1 as x", 19, "unexpected `x` behind the expression: remove it")]
#[case("coun(flag) > 1", 0, "unknown function `coun`")]
#[case("max(count) > 1", 0, "`max` is an aggregate of many rows, and this expression sees one row")]
#[case("year_month(pickup, 1) = '2020-04'", 0, "unknown function `year_month`")]
#[case("random() > 0.5", 0, "function `random` gives another answer each time")]
#[case("pickup < now()", 9, "function `now` gives another answer each time")]
#[case("count in (select 1)", 10, "subqueries have no meaning here: an expression sees one row")]
fn an_error_says_what_where_and_what_to_do(#[case] expr: &str, #[case] offset: u64, #[case] what: &str) {
    let text = validated(expr).unwrap_err();
    let place = format!("dataset: trips.toml:{}:{}: ", EXPR_LINE, EXPR_COLUMN + offset);
    assert!(text.starts_with(&format!("{place}{what}")), "{text}\nnot\n{place}{what}");
}

#[test]
fn what_concerns_the_whole_expression_is_shown_at_its_start() {
    let text = validated("fare_amount + 1").unwrap_err();
    let what = "the expression gives float32, not bool: write a condition, such as a comparison";
    assert_eq!(text, format!("dataset: trips.toml:17:8: {what}"));
    let text = validated("pickup > fare_amount").unwrap_err();
    assert!(text.contains("trips.toml:17:8: "), "{text}");
}

#[test]
fn every_problem_is_told_at_once() {
    let rules = CONTRACT.to_owned()
        + &expectation("nothing > 0")
        + "[transform]\nfilter = \"flagg = 'Y'\"\ncolumns = [{ name = \"x\", expr = \"1 +\" }]";
    let text = validate(&dataset(&rules)).unwrap_err().to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn columns_are_not_judged_before_a_source_is_seen_where_it_may_bring_more() {
    let open = |expr: &str| validate(&dataset(&expectation(expr))).map_err(|error| error.to_string());
    open("whatever > 1").unwrap();
    assert!(open("whatever >").unwrap_err().contains("trips.toml:9:"), "{:?}", open("whatever >"));
    assert!(open("frobnicate(whatever)").unwrap_err().contains("unknown function `frobnicate`"));
    let source = batch([("a", array(Int32Array::from(vec![1])))]);
    let text = contract_error(&expectation("b > 1"), &source);
    assert_eq!(
        text,
        "s3://trips/a.parquet: trips.toml:9:11: unknown column `b`: known here: `a`"
            .replace(":11:", ":12:")
            .replace(":12:", ":11:")
    );
}

#[test]
fn a_name_that_fits_two_columns_is_ambiguous_unless_it_is_exact() {
    let source = batch([("Fee", array(Int32Array::from(vec![1]))), ("FEE", array(Int32Array::from(vec![-1])))]);
    assert!(contract_error(&expectation("fee > 0"), &source).contains("column `fee` is ambiguous"));
    assert_eq!(clean(&expectation("\"FEE\" < 0 and Fee > 0"), &source).counts.kept, 1);
}

#[test]
fn a_field_of_a_struct_is_named_behind_a_point() {
    let inner = Arc::new(Field::new("x", DataType::Int32, true));
    let nested = StructArray::from(vec![(inner, array(Int32Array::from(vec![1, -1])))]);
    let cleaned = clean(&expectation("Place.x > 0"), &batch([("place", array(nested))]));
    assert_eq!((cleaned.counts.kept, cleaned.counts.quarantined), (1, 1));
}

#[test]
fn a_name_with_points_and_capitals_is_one_name_in_quotes() {
    let source = batch([("a.B c", array(Int32Array::from(vec![1, -1])))]);
    assert_eq!(clean(&expectation("\"a.B c\" > 0"), &source).counts.kept, 1);
}

#[rstest]
#[case("null", "always NULL")]
#[case("pickup - pickup", "interval")]
fn a_derived_column_has_a_type_that_readers_share(#[case] expr: &str, #[case] what: &str) {
    let rules = format!("{CONTRACT}[transform]\ncolumns = [{{ name = \"x\", expr = \"{expr}\" }}]");
    let text = validate(&dataset(&rules)).unwrap_err().to_string();
    assert!(text.contains(what), "{text}");
}

#[test]
fn derived_strings_are_plain_strings() {
    let rules = "[transform]\ncolumns = [{ name = \"x\", expr = \"concat(upper(s), '!')\" }, \
                 { name = \"y\", expr = \"substr(s, 1, 1)\" }, { name = \"z\", expr = \"'constant'\" }]";
    let kept = clean(rules, &batch([("s", array(StringArray::from(vec!["ab", "c"])))])).kept;
    for (name, expected) in [("x", ["AB!", "C!"]), ("y", ["a", "c"]), ("z", ["constant", "constant"])] {
        assert_eq!(super::column(&kept, name).as_string::<i32>(), &StringArray::from(expected.to_vec()));
    }
}

#[test]
fn a_derived_column_named_as_one_of_the_source_is_refused() {
    let rules = "[transform]\ncolumns = [{ name = \"FARE\", expr = \"1\" }]";
    let text = contract_error(rules, &batch([("fare", array(Float64Array::from(vec![1.0])))]));
    assert!(text.contains("the source has a column `fare` already"), "{text}");
}

#[test]
fn casts_and_defaults_without_meaning_are_errors_before_any_source() {
    let text = validate(&dataset("[schema]\ncasts = [{ from = \"bool\", to = \"date\" }]")).unwrap_err().to_string();
    assert_eq!(text, "dataset: trips.toml:8:32: bool cannot become date");
    let moon = "[schema]\ncolumns = [{ name = \"a\", type = 'timestamp(us, \"Moon/Crater\")', default = 2019-02-01T00:00:00Z }]";
    let text = validate(&dataset(moon)).unwrap_err().to_string();
    assert!(text.contains("trips.toml:8:") && text.contains("Moon/Crater"), "{text}");
}

#[test]
fn an_expression_as_long_or_deep_as_allowed_runs_and_one_beyond_is_an_error() {
    let source = batch([("a", array(Int32Array::from(vec![1, -1])))]);
    let rows = |expr: &str| super::try_clean(&expectation(expr), &source).map(|cleaned| cleaned.counts.kept);
    let chain = |length: usize| vec!["a = 1"; length].join(" or ");
    let sum = |length: usize| format!("{} > 0", vec!["a"; length].join(" + "));
    let nested = |open: &str, close: &str, depth: usize| format!("{}a{} = 1", open.repeat(depth), close.repeat(depth));
    assert_eq!(rows(&chain(125)).unwrap(), 1);
    assert_eq!(rows(&sum(249)).unwrap(), 1);
    assert_eq!(rows(&nested("(", ")", 45)).unwrap(), 1);
    assert_eq!(rows(&nested("abs(", ")", 40)).unwrap(), 2);
    assert_eq!(rows(&format!("a in ({})", vec!["1"; 9_000].join(", "))).unwrap(), 1);
    for beyond in [chain(2_000), sum(9_000)] {
        let text = rows(&beyond).unwrap_err().to_string();
        assert!(text.contains("more than 500 operators and names: split the expression"), "{text}");
    }
    for beyond in
        [nested("(", ")", 200), nested("abs(", ")", 160), nested("- ", "", 400), format!("{}true", "not ".repeat(400))]
    {
        assert!(rows(&beyond).is_err());
    }
}

#[test]
fn a_pattern_that_is_none_is_an_error_that_says_why() {
    let text = validated("cast(flag as varchar) ~ '('").unwrap_err();
    assert!(text.contains("trips.toml:17:8: regex parse error: ( ^ error: unclosed group"), "{text}");
}

#[test]
fn a_length_that_a_row_could_claim_is_refused() {
    for expr in ["lpad(flag, count)", "RPAD(flag, 1000000)", "repeat('x', count * 2)", "lpad(flag, -1)"] {
        let text = validated(&format!("{expr} = 'x'")).unwrap_err();
        assert!(text.contains("needs its length as a number up to 1000"), "{text}");
    }
    validated("lpad(cast(count as varchar), 3, '0') = '007'").unwrap();
}

#[rstest]
#[case::overflow("i * i <> 7", &[0, 1])]
#[case::the_lowest_has_no_opposite("- i <> 7", &[1])]
#[case::the_lowest_has_no_absolute_value("abs(i) >= 0", &[1])]
#[case::division_by_zero("1 / (i % 2) <> 7", &[1, 2])]
#[case::a_cast("cast(f as int) <> 7", &[0, 1])]
#[case::a_time_without_a_calendar_date("date_trunc('month', t) <> '2000-01-01'", &[0, 1])]
fn the_rows_that_an_expression_fails_on_are_found(#[case] expr: &str, #[case] rows: &[u64]) {
    let edges = [Some(i64::MAX), Some(i64::MIN), Some(0), None];
    let source = batch([
        ("i", array(Int32Array::from(vec![Some(i32::MAX), Some(i32::MIN), Some(0), None]))),
        ("f", array(Float64Array::from(vec![Some(1e300), Some(f64::NAN), Some(-1.0), None]))),
        ("t", array(TimestampMicrosecondArray::from(edges.to_vec()))),
    ]);
    let expected: Vec<_> = rows.iter().map(|row| (*row, vec!["error: e".to_owned()])).collect();
    assert_eq!(super::set_aside(&clean(&expectation(expr), &source)), expected);
}

#[test]
#[cfg(debug_assertions)]
fn a_panic_within_a_function_is_the_rows_error() {
    // DataFusion 55.2 overflows here, which panics where overflow is checked, as in tests.
    let source = batch([("t", array(TimestampMicrosecondArray::from(vec![i64::MIN, 0])))]);
    let cleaned = clean(&expectation("date_trunc('day', t) is not null"), &source);
    assert_eq!(super::set_aside(&cleaned), [(0, vec!["error: e".to_owned()])]);
}
