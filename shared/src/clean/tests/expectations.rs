//! Expectations, filters and derived columns.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type};

use super::super::SOURCE;
use super::{array, batch, clean, column, contract_error, set_aside, values};
use crate::ledger::RowCounts;

fn fares() -> arrow::array::RecordBatch {
    batch([
        ("fare", array(Float64Array::from(vec![Some(5.0), Some(-1.0), None, Some(0.0), Some(900.0)]))),
        ("tip", array(Float64Array::from(vec![Some(1.0), Some(0.5), Some(9.0), Some(0.0), Some(1.0)]))),
    ])
}

fn expectation(name: &str, expr: &str, action: &str) -> String {
    format!("[[expectations]]\nname = \"{name}\"\nexpr = \"{expr}\"\naction = \"{action}\"\n")
}

#[test]
fn a_row_that_breaks_an_expectation_is_set_aside_as_the_source_has_it_and_null_passes() {
    let cleaned = clean(&expectation("fare is positive", "fare >= 0", "quarantine"), &fares());
    assert_eq!(set_aside(&cleaned), [(1, vec!["fare is positive".to_owned()])]);
    let quarantined = cleaned.quarantined.unwrap();
    assert_eq!(values(&quarantined), [serde_json::json!({ "fare": -1.0, "tip": 0.5 })]);
    assert_eq!(column(&quarantined, SOURCE).as_string::<i32>().value(0), "s3://trips/a.parquet");
    assert_eq!(cleaned.counts, RowCounts { read: 5, kept: 4, quarantined: 1, filtered: 0, written: 4 });
    assert_eq!(cleaned.reasons, BTreeMap::from([("fare is positive".to_owned(), 1)]));
}

#[test]
fn a_row_gets_every_reason_and_each_reason_counts() {
    let rules = expectation("a", "fare >= 0", "quarantine") + &expectation("b", "fare > 0", "quarantine");
    let cleaned = clean(&rules, &fares());
    let both = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(set_aside(&cleaned), [(1, both), (3, vec!["b".to_owned()])]);
    assert_eq!(cleaned.reasons, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    assert_eq!(cleaned.counts.quarantined, 2);
}

#[test]
fn dropped_and_filtered_rows_count_as_filtered_and_null_does_not_pass_a_filter() {
    let rules = expectation("a", "fare <> 0", "drop") + "[transform]\nfilter = \"fare < 100\"";
    let cleaned = clean(&rules, &fares());
    assert_eq!(cleaned.counts, RowCounts { read: 5, kept: 2, quarantined: 0, filtered: 3, written: 2 });
    assert_eq!(cleaned.dropped, BTreeMap::from([("a".to_owned(), 1)]), "what the filter left out is not among them");
    assert!(cleaned.quarantined.is_none() && cleaned.reasons.is_empty());
}

#[test]
fn quarantine_wins_over_drop_and_filter() {
    let rules = expectation("first", "fare > 0", "drop")
        + &expectation("second", "fare >= 0", "quarantine")
        + "[transform]\nfilter = \"fare >= 0\"";
    let cleaned = clean(&rules, &fares());
    assert_eq!(set_aside(&cleaned), [(1, vec!["second".to_owned()])]);
    assert_eq!(cleaned.counts, RowCounts { read: 5, kept: 2, quarantined: 1, filtered: 2, written: 2 });
    assert_eq!(cleaned.dropped, BTreeMap::from([("first".to_owned(), 1)]), "a row in quarantine is no dropped one");
}

#[test]
fn a_row_that_breaks_several_drop_expectations_counts_for_each() {
    let rules = expectation("a", "fare >= 0", "drop") + &expectation("b", "fare > 0", "drop");
    let cleaned = clean(&rules, &fares());
    assert_eq!(cleaned.counts.filtered, 2);
    assert_eq!(cleaned.dropped, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
}

#[test]
fn a_warning_keeps_the_row_and_is_counted() {
    let cleaned = clean(&expectation("a", "fare > 0", "warn"), &fares());
    assert_eq!(cleaned.warnings, BTreeMap::from([("a".to_owned(), 2)]));
    assert_eq!(cleaned.counts.kept, 5);
}

#[test]
fn an_expectation_that_fails_the_run_names_the_row_and_its_values() {
    let text = contract_error(&expectation("a", "fare >= 0 and tip >= 0", "fail"), &fares());
    assert_eq!(text, "s3://trips/a.parquet: row 1 breaks expectation \"a\": fare = -1.0, tip = 0.5");
}

#[test]
fn where_nothing_is_set_aside_no_value_is_copied() {
    let source = fares();
    let cleaned = clean(&expectation("a", "tip >= 0", "quarantine"), &source);
    for (before, after) in source.columns().iter().zip(cleaned.kept.columns()) {
        assert!(before.to_data().ptr_eq(&after.to_data()));
    }
}

#[test]
fn a_derived_column_sees_the_columns_before_it_and_expectations_see_it() {
    let rules = "[transform]\ncolumns = [{ name = \"total\", expr = \"fare + tip\" }, \
                 { name = \"share\", expr = \"tip / nullif(total, 0)\" }]\n"
        .to_owned()
        + &expectation("tips are small", "share <= 0.5", "quarantine");
    let cleaned = clean(&rules, &fares());
    assert_eq!(cleaned.kept.num_columns(), 4);
    assert_eq!(set_aside(&cleaned), []);
    let share = column(&cleaned.kept, "share").as_primitive::<Float64Type>();
    assert_eq!(share.value(0), 1.0 / 6.0);
    assert!(share.is_null(2) && share.is_null(3));
}

#[test]
fn a_row_that_makes_an_expression_fail_is_set_aside_alone() {
    let source = batch([
        ("a", array(Int32Array::from(vec![10, 20, 30, i32::MAX, 50]))),
        ("b", array(Int32Array::from(vec![1, 0, 3, 1, 60]))),
    ]);
    let rules = expectation("ratio", "a / b >= 1", "warn")
        + "[transform]\nfilter = \"true\"\ncolumns = [{ name = \"sum\", expr = \"a + b\" }]";
    let cleaned = clean(&rules, &source);
    let expected = [(1, vec!["error: ratio".to_owned()]), (3, vec!["error: sum".to_owned()])];
    assert_eq!(set_aside(&cleaned), expected);
    assert_eq!(cleaned.warnings, BTreeMap::from([("ratio".to_owned(), 1)]));
    let sums = column(&cleaned.kept, "sum").as_primitive::<Int32Type>();
    assert_eq!(sums.values(), &[11, 33, 110]);
}

#[test]
fn a_row_whose_value_broke_a_cast_is_not_held_against_expectations_on_it() {
    let source = batch([
        ("n", array(Int64Array::from(vec![1, 1 << 40, 3]))),
        ("s", array(StringArray::from(vec!["x", "y", "z"]))),
    ]);
    let rules = "[schema]\ncasts = [{ from = \"int64\", to = \"int32\" }]\n".to_owned()
        + &expectation("n is there", "n is not null", "fail")
        + &expectation("also through others", "twice is not null", "fail")
        + &expectation("ratio", "10 / coalesce(n, 0) > 0", "quarantine")
        + &expectation("s is not y", "s <> 'y'", "quarantine")
        + "[transform]\ncolumns = [{ name = \"twice\", expr = \"n * 2\" }]";
    let cleaned = clean(&rules, &source);
    assert_eq!(set_aside(&cleaned), [(1, vec!["cast: n".to_owned(), "s is not y".to_owned()])]);
    assert_eq!(column(&cleaned.kept, "n").data_type(), &DataType::Int32);
}

#[test]
fn nan_is_above_every_number_and_minus_zero_is_zero() {
    let source = batch([("x", array(Float64Array::from(vec![f64::NAN, -0.0, f64::NEG_INFINITY])))]);
    let cleaned = clean(&expectation("not negative", "x >= 0", "quarantine"), &source);
    assert_eq!(set_aside(&cleaned), [(2, vec!["not negative".to_owned()])]);
}

#[test]
fn a_reason_is_given_once_however_often_it_was_found() {
    let source = batch([("a", array(Int32Array::from(vec![1]))), ("b", array(Int32Array::from(vec![0])))]);
    let rules = expectation("ratio", "a / b > 0", "quarantine")
        + "[transform]\ncolumns = [{ name = \"ratio\", expr = \"a % b\" }]";
    let cleaned = clean(&rules, &source);
    assert_eq!(set_aside(&cleaned), [(0, vec!["error: ratio".to_owned()])]);
    assert_eq!(cleaned.reasons, BTreeMap::from([("error: ratio".to_owned(), 1)]));
}

#[test]
fn a_cleaner_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<super::super::Cleaner>();
}
