//! What measures, groups, `where` and `having` mean.

use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const HOUR_US: i64 = 3_600_000_000;

/// Six trips of two vendors and a null one, over two hours.
fn trips() -> RecordBatch {
    let hours = [0, 0, 0, 1, 1, 1];
    let times = hours.iter().zip(0i64..).map(|(hour, row)| hour * HOUR_US + row * 60_000_000);
    batch([
        ("pickup", array(TimestampMicrosecondArray::from_iter_values(times))),
        ("vendor", array(StringArray::from(vec![Some("b"), Some("a"), None, Some("a"), Some("b"), Some("a")]))),
        ("tip", array(Float64Array::from(vec![Some(1.0), Some(2.0), Some(4.0), None, Some(0.0), Some(2.0)]))),
        ("total", array(Int32Array::from(vec![10, 20, 8, 5, 0, 20]))),
        ("number", array(Int64Array::from_iter_values(0..6))),
    ])
}

#[rstest]
#[case::rows("count(*)", json!(6))]
#[case::values("count(tip)", json!(5))]
#[case::sum("sum(total)", json!(63))]
#[case::float_sum("sum(tip)", json!(9.0))]
#[case::mean("round(avg(tip), 3)", json!(1.8))]
#[case::extremes("max(total) - min(total)", json!(20))]
#[case::text("min(vendor)", json!("a"))]
#[case::stddev("round(stddev(tip), 6)", json!(1.48324))]
#[case::population("round(stddev_pop(tip), 6)", json!(1.32665))]
#[case::median("approx_median(tip)", json!(2.0))]
#[case::percentile("approx_percentile_cont(tip, 1.0)", json!(4.0))]
#[case::within_group("approx_percentile_cont(0.0) within group (order by tip)", json!(0.0))]
#[case::distinct("approx_distinct(vendor)", json!(2))]
#[case::chosen("count(*) filter (where vendor = 'a')", json!(3))]
#[case::best("arg_max(number, tip)", json!(2))]
#[case::worst("arg_min(number, tip)", json!(4))]
#[case::best_of_some("arg_max(number, tip) filter (where vendor = 'a')", json!(1))]
#[case::best_by_sql("arg_max(vendor, tip / nullif(total, 0))", Value::Null)]
#[case::first("first_value(number order by total desc nulls last, number desc)", json!(5))]
#[case::several("case when count(*) > 5 then sum(total) / count(*) else 0 end", json!(10))]
fn a_measure_is_sql_over_aggregates(#[case] expr: &str, #[case] expected: Value) {
    let dataset = report(&format!("measures = [{{ name = \"it\", expr = \"{expr}\" }}]"));
    assert_eq!(told(&dataset, &trips()), [[expected]], "{expr}");
}

#[test]
fn groups_are_sorted_with_nulls_last_and_having_names_groups_measures_and_aggregates() {
    let of = |having: &str| {
        report(&format!(
            "group_by = [\"vendor\"]\nmeasures = [{{ name = \"trips\", expr = \"count(*)\" }}, \
             {{ name = \"tips\", expr = \"sum(tip)\" }}]\nhaving = \"{having}\""
        ))
    };
    let all = [json!(["a", 3, 4.0]), json!(["b", 2, 1.0]), json!([null, 1, 4.0])];
    let row = |at: usize| all[at].as_array().unwrap().clone();
    assert_eq!(told(&of("true"), &trips()), [row(0), row(1), row(2)]);
    assert_eq!(told(&of("vendor <> 'b'"), &trips()), [row(0)], "a null is not known to be another");
    assert_eq!(told(&of("trips > 1"), &trips()), [row(0), row(1)]);
    assert_eq!(told(&of("max(total) < 10"), &trips()), [row(2)]);
}

#[rstest]
#[case("\"date_trunc('hour', pickup)\"", "date_trunc('hour', pickup)", "1970-01-01T00:00:00", "1970-01-01T01:00:00")]
#[case(
    "{ name = \"half\", expr = \"date_bin(interval '30 minutes', pickup)\" }",
    "half",
    "1970-01-01T00:00:00",
    "1970-01-01T01:00:00"
)]
fn time_buckets_group_rows(#[case] group: &str, #[case] name: &str, #[case] first: &str, #[case] second: &str) {
    let dataset = report(&format!("group_by = [{group}]\nmeasures = [{{ name = \"n\", expr = \"count(*)\" }}]"));
    let shown = shown(&dataset, &trips());
    assert_eq!(shown.columns[0].name, name);
    assert_eq!(groups(&shown), [[json!(first), json!(3)], [json!(second), json!(3)]]);
}

#[test]
fn a_name_in_quotes_is_a_column_and_the_name_of_its_group() {
    let rows = batch([("PU Zone", array(Int32Array::from(vec![2, 1, 2])))]);
    let dataset = report("group_by = ['\"PU Zone\"']\nmeasures = [{ name = \"n\", expr = 'sum(\"PU Zone\")' }]");
    let shown = shown(&dataset, &rows);
    assert_eq!(shown.columns[0].name, "PU Zone");
    assert_eq!(groups(&shown), [[json!(1), json!(1)], [json!(2), json!(4)]]);
}

#[test]
fn where_tells_which_rows_are_counted() {
    let dataset = report("where = \"tip > 0\"\nmeasures = [{ name = \"n\", expr = \"count(*)\" }]");
    let shown = shown(&dataset, &trips());
    assert_eq!((groups(&shown), shown.rows), (vec![vec![json!(4)]], 4));
}

#[test]
fn of_several_best_rows_the_first_is_told_in_every_measure() {
    let rows = batch([
        ("by", array(Float64Array::from(vec![Some(1.0), None, Some(7.0), Some(7.0), Some(7.0)]))),
        ("number", array(Int64Array::from_iter_values(0..5))),
        ("word", array(StringArray::from(vec![Some("a"), Some("b"), None, Some("d"), Some("e")]))),
    ]);
    let dataset = report(
        "measures = [{ name = \"n\", expr = \"arg_max(number, by)\" }, { name = \"w\", expr = \"arg_max(word, by)\" }]",
    );
    assert_eq!(told(&dataset, &rows), [[json!(2), Value::Null]]);
}

#[test]
fn no_row_at_all_is_one_group_without_group_by_and_none_with() {
    let none = trips().slice(0, 0);
    let whole = report("measures = [{ name = \"n\", expr = \"count(*)\" }, { name = \"t\", expr = \"sum(total)\" }]");
    assert_eq!(told(&whole, &none), [[json!(0), Value::Null]]);
    let grouped = report("group_by = [\"vendor\"]\nmeasures = [{ name = \"n\", expr = \"arg_max(number, tip)\" }]");
    assert_eq!(told(&grouped, &none), Vec::<Vec<Value>>::new());
    assert!(shown(&grouped, &none).parquet().unwrap().is_some(), "a reader finds a file without rows");
}

#[test]
fn zeros_and_nans_are_one_group_each() {
    let values = vec![Some(0.0), Some(-0.0), Some(f64::NAN), Some(-f64::NAN), None];
    let rows = batch([("x", array(Float64Array::from(values)))]);
    let dataset = report("group_by = [\"x\"]\nmeasures = [{ name = \"n\", expr = \"count(*)\" }]");
    let counts: Vec<Value> = told(&dataset, &rows).into_iter().map(|row| row[1].clone()).collect();
    assert_eq!(counts, [json!(2), json!(2), json!(1)]);
}

#[test]
fn a_sum_that_does_not_fit_is_null_and_told_and_no_other_number() {
    let rows =
        batch([("x", array(Int64Array::from(vec![i64::MAX, 1, 5]))), ("g", array(Int32Array::from(vec![1, 1, 2])))]);
    let dataset = report("group_by = [\"g\"]\nmeasures = [{ name = \"s\", expr = \"sum(x)\" }]");
    let shown = shown(&dataset, &rows);
    assert_eq!(groups(&shown), [[json!(1), Value::Null], [json!(2), json!(5)]]);
    assert!(!shown.complete && shown.problems[0].starts_with("s is null in 1 groups: "), "{:?}", shown.problems);
}

#[test]
fn rows_for_which_the_sql_fails_are_left_out_and_told() {
    let rows = batch([("x", array(Int64Array::from(vec![1, 0, 4, 0])))]);
    let dataset = report("measures = [{ name = \"s\", expr = \"sum(8 / x)\" }, { name = \"n\", expr = \"count(*)\" }]");
    let shown = shown(&dataset, &rows);
    assert_eq!((groups(&shown), shown.rows, shown.left_out), (vec![vec![json!(10), json!(2)]], 2, 2));
    assert_eq!(
        (shown.problems.as_slice(), shown.complete),
        (["2 rows are left out: Divide by zero error".to_owned()].as_slice(), false)
    );
    let guarded = report("where = \"x <> 0\"\nmeasures = [{ name = \"s\", expr = \"sum(8 / x)\" }]");
    assert_eq!(told(&guarded, &rows), [[json!(10)]], "what `where` leaves out is not computed");
}

#[test]
fn too_many_groups_fail_one_report_and_no_other() {
    let many = i64::try_from(crate::reports::MAX_GROUPS).unwrap() + 1;
    let rows = batch([("x", array(Int64Array::from_iter_values(0..many)))]);
    let dataset = dataset(
        "[[reports]]\nname = \"each\"\ngroup_by = [\"x\"]\nmeasures = [{ name = \"n\", expr = \"count(*)\" }]\n\
         [[reports]]\nname = \"all\"\nmeasures = [{ name = \"n\", expr = \"count(*)\" }]",
    );
    let schema = rows.schema();
    let cleaner = Cleaner::new(&dataset, &schema, "s3://trips/a.parquet").unwrap();
    let mut collector = Collector::new(&dataset, &cleaner).unwrap();
    collector.take_kept(&cleaner, &rows, &[]);
    let (figures, errors) = collector.figures();
    assert_eq!(errors.iter().map(|error| error.report.as_str()).collect::<Vec<_>>(), ["each"]);
    assert!(errors[0].message.starts_with("more than 100000 groups: "), "{}", errors[0].message);
    let run = merge::of_run(&dataset, &[figures]);
    let sources = [("s3://trips/a.parquet", Some(&run))];
    let each = merge::of_dataset(&dataset, 0, &sources);
    assert!(!each.complete && each.problems[0].starts_with("s3://trips/a.parquet: more than "), "{:?}", each.problems);
    assert_eq!(groups(&merge::of_dataset(&dataset, 1, &sources)), [[json!(many)]]);
}

#[test]
fn reports_see_columns_that_only_folders_tell_and_lineage() {
    let text = "[output]\nprefix = \"trips/\"\npartition_by = [\"vendor\"]\nlineage = [\"row\"]\n[[reports]]\nname = \"it\"\n\
                group_by = [\"vendor\"]\nmeasures = [{ name = \"last\", expr = \"max(_rowmill_row)\" }]";
    let text = format!("name = \"trips\"\n[source]\nformat = \"parquet\"\n{text}\n");
    let dataset = Dataset::parse(&text, "trips.toml").unwrap();
    crate::clean::validate(&dataset).unwrap();
    assert_eq!(told(&dataset, &trips()), [[json!("a"), json!(5)], [json!("b"), json!(4)], [Value::Null, json!(2)]]);
}

#[test]
fn the_parquet_file_has_the_columns_in_order() {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let dataset = report("group_by = [\"vendor\"]\nmeasures = [{ name = \"n\", expr = \"count(*)\" }]");
    let shown = shown(&dataset, &trips());
    let file = shown.parquet().unwrap().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    let names: Vec<_> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["vendor", "n"]);
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    assert_eq!(&batches[0], shown.batch().unwrap());
    assert_eq!(file, shown.parquet().unwrap().unwrap(), "the same bytes each time");
}
