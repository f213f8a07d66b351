//! Columns by name, the contract, cast rules, value lists and defaults.

use std::collections::BTreeMap;

use arrow::array::{
    Array, AsArray, DictionaryArray, Float64Array, Int32Array, Int64Array, LargeStringArray, NullArray, StringArray,
    StructArray,
};
use arrow::datatypes::{DataType, Float32Type, Int8Type, Int32Type};

use super::super::{Cleaner, Drift};
use super::{array, batch, clean, column, contract_error, dataset, reasons, set_aside, values};

fn names(batch: &arrow::array::RecordBatch) -> Vec<&str> {
    batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect()
}

fn ints(values: Vec<i64>) -> arrow::array::ArrayRef {
    array(Int64Array::from(values))
}

const FEES: &str = "[schema]\ncolumns = [\n\
                    { name = \"fee\", type = \"int32\", aliases = [\"charge\"] },\n\
                    { name = \"tip\", type = \"float32\", default = 0.5 },\n]\n";

#[test]
fn without_a_schema_nothing_changes() {
    let nested = StructArray::from(vec![(
        std::sync::Arc::new(arrow::datatypes::Field::new("x", DataType::Int64, true)),
        ints(vec![1]),
    )]);
    let source = batch([("a", ints(vec![1])), ("Nested", array(nested)), ("none", array(NullArray::new(1)))]);
    let cleaner = Cleaner::new(&dataset(""), source.schema_ref(), "u").unwrap();
    assert_eq!(cleaner.drift(), []);
    assert_eq!(cleaner.clean(&source, 0).unwrap().kept, source);
}

#[test]
fn columns_are_found_by_name_then_alias_then_without_case_and_put_in_the_contracts_order() {
    for (name, drifts) in [("fee", 2), ("charge", 3), ("Fee", 3), ("CHARGE", 3)] {
        let source = batch([("tip", array(Float64Array::from(vec![2.0]))), (name, ints(vec![7]))]);
        let cleaner = Cleaner::new(&dataset(FEES), source.schema_ref(), "u").unwrap();
        let kept = cleaner.clean(&source, 0).unwrap().kept;
        assert_eq!(names(&kept), ["fee", "tip"]);
        assert_eq!(column(&kept, "fee").as_primitive::<Int32Type>().value(0), 7);
        assert_eq!(cleaner.drift().len(), drifts, "{:?}", cleaner.drift());
    }
}

#[test]
fn an_exact_name_wins_and_the_other_is_extra() {
    let source = batch([("FEE", ints(vec![1])), ("fee", ints(vec![2])), ("charge", ints(vec![3]))]);
    let kept = clean(FEES, &source).kept;
    assert_eq!(names(&kept), ["fee", "tip", "FEE", "charge"]);
    assert_eq!(column(&kept, "fee").as_primitive::<Int32Type>().value(0), 2);
}

#[test]
fn names_that_differ_in_case_alone_are_ambiguous() {
    let source = batch([("FEE", ints(vec![1])), ("Fee", ints(vec![2]))]);
    let text = contract_error(FEES, &source);
    assert!(text.contains("column `fee` is ambiguous: the source has `FEE` and `Fee`"), "{text}");
}

#[test]
fn a_missing_column_is_its_default_or_null() {
    let cleaned = clean(FEES, &batch([("other", ints(vec![1, 2]))]));
    assert_eq!(column(&cleaned.kept, "fee").null_count(), 2);
    assert_eq!(column(&cleaned.kept, "tip").as_primitive::<Float32Type>().values(), &[0.5, 0.5]);
}

#[test]
fn a_default_stands_in_for_nulls_of_every_type() {
    let contract = "[schema]\ncolumns = [
        { name = \"a\", type = \"int32\", default = 7, nullable = false },
        { name = \"b\", type = \"dictionary\", values = [\"Y\", \"N\"], otherwise = \"null\", default = \"N\" },
        { name = \"c\", type = \"timestamp(us)\", default = 2019-02-01T00:00:00 },
        { name = \"d\", type = \"decimal(5, 2)\", default = \"1.25\" },
        { name = \"e\", type = \"dictionary\", default = \"none\" },
        { name = \"f\", type = \"bool\", default = true },
        { name = \"g\", type = \"date\", default = 2019-02-01 },
        { name = \"h\", type = \"time(s)\", default = 01:02:03 },
        { name = \"i\", type = \"timestamp(s, \\\"UTC\\\")\", default = 2019-02-01T00:00:00Z },
        { name = \"j\", type = \"binary\", default = \"x\" }]";
    let shown = |batch: &arrow::array::RecordBatch| -> Vec<String> {
        let text = |array: &arrow::array::ArrayRef| arrow::util::display::array_value_to_string(array, 0).unwrap();
        batch.columns().iter().map(text).collect()
    };
    let expected = [
        "7",
        "N",
        "2019-02-01T00:00:00",
        "1.25",
        "none",
        "true",
        "2019-02-01",
        "01:02:03",
        "2019-02-01T00:00:00Z",
        "78",
    ];
    let missing = RecordBatchOf::nothing(1);
    assert_eq!(shown(&clean(contract, &missing).kept), expected);
    let null = || array(NullArray::new(1));
    let text = |text: &str| array(StringArray::from(vec![text]));
    let nulls = batch([("a", null()), ("b", text("?")), ("c", null()), ("d", null()), ("e", null()), ("f", null())]);
    assert_eq!(shown(&clean(contract, &nulls).kept), expected);
}

struct RecordBatchOf;
impl RecordBatchOf {
    /// Rows without columns.
    fn nothing(rows: usize) -> arrow::array::RecordBatch {
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = std::sync::Arc::new(arrow::datatypes::Schema::empty());
        arrow::array::RecordBatch::try_new_with_options(schema, Vec::new(), &options).unwrap()
    }
}

#[test]
fn a_missing_column_that_allows_no_null_fails_the_run() {
    let contract = "[schema]\ncolumns = [{ name = \"fee\", type = \"int32\", nullable = false, aliases = [\"f\"] }]";
    let text = contract_error(contract, &batch([("other", ints(vec![1]))]));
    assert!(text.contains("no column `fee` (nor `f`), which allows no null and has no default"), "{text}");
}

#[test]
fn a_null_where_none_is_allowed_is_a_cast_error_of_its_own_kind() {
    let contract = "[schema]\ncolumns = [{ name = \"fee\", type = \"int32\", nullable = false }]";
    let source = batch([("fee", array(Int64Array::from(vec![Some(1), None, Some(1 << 40)])))]);
    let cleaned = clean(contract, &source);
    assert_eq!(set_aside(&cleaned), [(1, vec!["null: fee".to_owned()]), (2, vec!["cast: fee".to_owned()])]);
    assert!(!cleaned.kept.schema_ref().field(0).is_nullable());
}

#[test]
fn extra_columns_are_kept_dropped_or_fail_the_run() {
    let source = batch([("fee", ints(vec![1])), ("x", ints(vec![1])), ("y", ints(vec![1]))]);
    let with = |extra: &str| FEES.replace("[schema]", &format!("[schema]\nextra_columns = \"{extra}\""));
    assert_eq!(names(&clean(&with("keep"), &source).kept), ["fee", "tip", "x", "y"]);
    assert_eq!(names(&clean(&with("drop"), &source).kept), ["fee", "tip"]);
    let text = contract_error(&with("fail"), &source);
    assert!(text.contains("the contract does not name `x`, `y`"), "{text}");
}

/// The casts of the flow that the design's section 1 describes.
const CASTS: &str = "[schema]\ncasts = [
    { column = \"*flag*\", to = \"dictionary\", values = [\"Y\", \"N\"], otherwise = \"null\", trim = true },
    { from = \"float64\", to = \"float32\" },
    { from = \"int64\", to = \"int32\" },
    { from = \"string\", to = \"string\" },
]\n";

#[test]
fn the_first_cast_rule_that_matches_wins_by_name_without_case_and_by_source_type() {
    let source = batch([
        ("Shared_FLAG", array(StringArray::from(vec!["Y"]))),
        ("flagged", ints(vec![1])),
        ("miles", array(Float64Array::from(vec![0.1]))),
        ("id", ints(vec![5])),
        ("small", array(Int32Array::from(vec![5]))),
        ("base", array(LargeStringArray::from(vec!["B1"]))),
    ]);
    let cleaner = Cleaner::new(&dataset(CASTS), source.schema_ref(), "u").unwrap();
    let types: Vec<String> =
        cleaner.output_schema().fields().iter().map(|f| super::super::types::describe(f.data_type())).collect();
    assert_eq!(types, ["dictionary", "dictionary", "float32", "int32", "int32", "string"]);
    let coerced = Drift::Coerced { column: "base".into(), from: "large string".into(), to: "string".into() };
    assert!(cleaner.drift().contains(&coerced), "{:?}", cleaner.drift());
}

#[test]
fn a_flag_that_is_mostly_a_space_becomes_null_and_the_dictionary_is_the_list() {
    let source = batch([(
        "access_a_ride_flag",
        array(StringArray::from(vec![Some(" "), Some("N "), None, Some("Y"), Some("maybe")])),
    )]);
    let cleaned = clean(CASTS, &source);
    assert_eq!(cleaned.counts.kept, 5);
    let flags = column(&cleaned.kept, "access_a_ride_flag").as_dictionary::<Int32Type>();
    assert_eq!(flags.values().as_string::<i32>(), &StringArray::from(vec!["Y", "N"]));
    assert_eq!(flags.keys(), &Int32Array::from(vec![None, Some(1), None, Some(0), None]));
}

#[test]
fn a_dictionary_depends_on_the_rows_and_not_on_the_sources_dictionary() {
    let rules = "[schema]\ncasts = [{ from = \"string\", to = \"dictionary\" }]";
    let texts = vec![Some("b"), None, Some("a"), Some("b")];
    let plain = clean(rules, &batch([("c", array(StringArray::from(texts)))])).kept;
    let keys = arrow::array::Int8Array::from(vec![Some(2), Some(0), Some(3), Some(1)]);
    let values = StringArray::from(vec![None, Some("b"), Some("b"), Some("a"), Some("never used")]);
    let odd = DictionaryArray::<Int8Type>::try_new(keys, std::sync::Arc::new(values)).unwrap();
    let from_dictionary = clean(rules, &batch([("c", array(odd))])).kept;
    assert_eq!(plain, from_dictionary);
    for kept in [plain, from_dictionary] {
        let values = kept.column(0).as_dictionary::<Int32Type>().values().clone();
        assert_eq!(values.as_string::<i32>(), &StringArray::from(vec!["b", "a"]));
    }
}

#[test]
fn a_value_outside_the_list_is_a_cast_error_unless_otherwise_says_null() {
    let source = batch([("code", array(StringArray::from(vec![Some("A"), Some("x"), None])))]);
    for to in ["string", "dictionary"] {
        let rules = format!("[schema]\ncasts = [{{ column = \"code\", to = \"{to}\", values = [\"A\"] }}]");
        let cleaned = clean(&rules, &source);
        assert_eq!(set_aside(&cleaned), [(1, vec!["values: code".to_owned()])]);
        let rules = rules.replace("] }", "], otherwise = \"null\" }");
        let cleaned = clean(&rules, &source);
        assert_eq!((cleaned.counts.kept, cleaned.kept.column(0).logical_null_count()), (3, 2));
    }
}

#[test]
fn trimming_reaches_every_layout_of_strings() {
    let contract = "[schema]\ncolumns = [{ name = \"n\", type = \"int32\", trim = true }]";
    let plain = StringArray::from(vec![Some(" 7\t"), None, Some("8")]);
    for layout in [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::LargeUtf8)),
    ] {
        let source = batch([("n", arrow::compute::cast(&plain, &layout).unwrap())]);
        let kept = clean(contract, &source).kept;
        assert_eq!(kept.column(0).as_primitive::<Int32Type>(), &Int32Array::from(vec![Some(7), None, Some(8)]));
    }
}

#[test]
fn a_cast_error_can_become_null_with_a_warning() {
    let rules = "[schema]\non_cast_error = \"null\"\ncasts = [{ from = \"int64\", to = \"int32\" }]";
    let cleaned = clean(rules, &batch([("n", ints(vec![1, 1 << 40]))]));
    assert_eq!(cleaned.kept.column(0).as_primitive::<Int32Type>(), &Int32Array::from(vec![Some(1), None]));
    assert_eq!(cleaned.warnings, BTreeMap::from([("cast: n".to_owned(), 1)]));
    assert!(cleaned.reasons.is_empty());
}

#[test]
fn a_value_that_became_null_is_null_to_expectations() {
    let rules = "[schema]\non_cast_error = \"null\"\ncasts = [{ from = \"int64\", to = \"int32\" }]\n\
                 [[expectations]]\nname = \"n is there\"\nexpr = \"n is not null\"";
    let cleaned = clean(rules, &batch([("n", ints(vec![1, 1 << 40]))]));
    assert_eq!(set_aside(&cleaned), [(1, vec!["n is there".to_owned()])]);
}

#[test]
fn a_cast_error_can_fail_the_run_naming_column_row_and_value() {
    let rules = "[schema]\non_cast_error = \"fail\"\ncasts = [{ from = \"int64\", to = \"int32\" }]";
    let text = contract_error(rules, &batch([("n", ints(vec![1, 1 << 40]))]));
    assert_eq!(text, "s3://trips/a.parquet: column `n`, row 1: value 1099511627776 does not fit int32");
}

#[test]
fn a_nested_column_that_a_rule_names_is_a_clear_error_and_any_other_passes() {
    let list = arrow::array::ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)])]);
    let source = batch([("flags", array(list))]);
    let text = contract_error(CASTS, &source);
    assert_eq!(text, "s3://trips/a.parquet: column `flags`: list cannot become string");
    assert_eq!(clean("", &source).kept, source);
}

#[test]
fn quarantine_keeps_the_sources_values_and_has_one_schema_whatever_the_source_is() {
    let source = batch([("n", ints(vec![1, 1 << 40])), ("s", array(LargeStringArray::from(vec!["a", "b"])))]);
    let one = clean(CASTS, &source).quarantined.unwrap();
    assert_eq!(values(&one), [serde_json::json!({ "n": 1_099_511_627_776_i64, "s": "b" })]);
    let other = batch([("n", ints(vec![1 << 40])), ("_rowmill_row", ints(vec![7]))]);
    let other = clean(CASTS, &other).quarantined.unwrap();
    assert_eq!(values(&other), [serde_json::json!({ "n": 1_099_511_627_776_i64, "_rowmill_row": 7 })]);
    assert_eq!(one.schema(), other.schema());
}

#[test]
fn a_reason_shows_the_value_and_what_was_wanted() {
    let rules = "[schema]\ncolumns = [\n\
                 { name = \"amt\", type = \"decimal(8,2)\" },\n\
                 { name = \"flag\", type = \"dictionary\", values = [\"Y\", \"N\"] },\n\
                 { name = \"yes\", type = \"string\", values = [\"Y\"], otherwise = \"null\", nullable = false },\n\
                 { name = \"id\", type = \"int32\", nullable = false }]\n\
                 [[expectations]]\nname = \"small\"\nexpr = \"id < 100\"";
    let texts = |values: [Option<&str>; 4]| array(values.into_iter().collect::<StringArray>());
    let source = batch([
        ("amt", texts([Some("1.5"), Some("a\tb"), None, Some("2")])),
        ("flag", texts([Some("Y"), Some("maybe"), Some("N"), Some("N")])),
        ("yes", texts([Some("Y"), Some("Y"), Some("no"), Some("Y")])),
        ("id", array(arrow::array::Int64Array::from(vec![Some(100), None, Some(1), Some(1 << 40)]))),
    ]);
    let cleaned = clean(rules, &source);
    let wanted: [&[&str]; 4] = [
        &["small"],
        &[
            r#"amt: "a\tb" is no decimal(8,2)"#,
            r#"flag: "maybe" is not among the values allowed"#,
            "id: null, and the contract says nullable = false",
        ],
        &[r#"yes: "no" becomes null, and the contract says nullable = false"#],
        &["id: 1099511627776 is no int32"],
    ];
    assert_eq!(reasons(&cleaned), wanted);
    let keys: [&[&str]; 4] = [&["small"], &["cast: amt", "values: flag", "null: id"], &["null: yes"], &["cast: id"]];
    assert_eq!(set_aside(&cleaned).into_iter().map(|(_, keys)| keys).collect::<Vec<_>>(), keys);
    assert_eq!(
        cleaned.reasons.keys().collect::<Vec<_>>(),
        ["cast: amt", "cast: id", "null: id", "null: yes", "small", "values: flag"]
    );
}

#[test]
fn rows_are_numbered_in_the_source_and_a_batch_of_another_schema_is_refused() {
    let source = batch([("n", ints(vec![1 << 40]))]);
    let cleaner = Cleaner::new(&dataset(CASTS), source.schema_ref(), "u").unwrap();
    assert_eq!(set_aside(&cleaner.clean(&source, 1 << 33).unwrap())[0].0, 1 << 33);
    let other = batch([("n", array(StringArray::from(vec!["1"])))]);
    assert!(matches!(cleaner.clean(&other, 0), Err(crate::Error::Source { .. })));
}

#[test]
fn a_rule_names_a_logical_type_however_the_source_stores_it() {
    use arrow::datatypes::TimeUnit::{Microsecond, Nanosecond};
    let dictionary = |values| DataType::Dictionary(Box::new(DataType::UInt8), Box::new(values));
    let cases: [(&str, &[DataType], &[DataType]); 7] = [
        (
            "string",
            &[DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary(DataType::LargeUtf8)],
            &[DataType::Binary, dictionary(DataType::Int64)],
        ),
        ("dictionary", &[dictionary(DataType::Utf8)], &[DataType::Utf8, dictionary(DataType::Int64)]),
        ("binary", &[DataType::LargeBinary, DataType::BinaryView, DataType::FixedSizeBinary(4)], &[DataType::Utf8]),
        (
            "decimal(9, 2)",
            &[DataType::Decimal32(9, 2), DataType::Decimal128(9, 2), DataType::Decimal256(9, 2)],
            &[DataType::Decimal128(9, 3), DataType::Decimal256(40, 2)],
        ),
        ("date", &[DataType::Date32, DataType::Date64], &[DataType::Int32]),
        (
            "timestamp",
            &[DataType::Timestamp(Microsecond, None)],
            &[DataType::Timestamp(Nanosecond, None), DataType::Timestamp(Microsecond, Some("UTC".into()))],
        ),
        ("int64", &[DataType::Int64], &[DataType::Int32, DataType::UInt64, DataType::Null]),
    ];
    for (from, same, others) in cases {
        let declared: crate::dataset::ColumnType = from.parse().unwrap();
        assert!(same.iter().all(|found| super::super::types::matches(&declared, found)), "{from}");
        assert!(!others.iter().any(|found| super::super::types::matches(&declared, found)), "{from}");
    }
}

#[test]
fn a_null_or_a_value_outside_the_list_can_fail_the_run_too() {
    let contract = "[schema]\non_cast_error = \"fail\"\ncolumns = [{ name = \"c\", type = \"string\", nullable = false, values = [\"A\"] }]";
    let text = |value| contract_error(contract, &batch([("c", array(StringArray::from(vec![Some("A"), value])))]));
    let row = "s3://trips/a.parquet: column `c`, row 1: ";
    assert_eq!(text(Some("x")), format!("{row}value \"x\" is not among the values allowed"));
    assert_eq!(text(None), format!("{row}a null, which the column does not allow"));
}

#[test]
fn the_drift_that_the_months_show_comes_out_as_one_schema() {
    let contract = "[schema]\ncolumns = [\n\
        { name = \"airport_fee\", type = \"float32\", aliases = [\"Airport_fee\"] },\n\
        { name = \"hvfhs_license_num\", type = \"string\" },\n\
        { name = \"PULocationID\", type = \"int32\" },\n\
        { name = \"cbd_congestion_fee\", type = \"float32\", default = 0.0 },\n]";
    let months = [
        batch([
            ("hvfhs_license_num", array(StringArray::from(vec!["HV0003"]))),
            ("PULocationID", ints(vec![1])),
            ("airport_fee", array(NullArray::new(1))),
        ]),
        batch([
            ("hvfhs_license_num", array(LargeStringArray::from(vec!["HV0003"]))),
            ("PULocationID", array(Int32Array::from(vec![1]))),
            ("Airport_fee", array(Float64Array::from(vec![None]))),
            ("cbd_congestion_fee", array(Float64Array::from(vec![0.0]))),
        ]),
        batch([
            ("HVFHS_License_Num", array(StringArray::from(vec!["HV0003"]))),
            ("pulocationid", array(Float64Array::from(vec![1.0]))),
        ]),
    ];
    let kept: Vec<_> = months.iter().map(|month| clean(contract, month).kept).collect();
    assert!(kept.iter().all(|month| month == &kept[0] && month.num_rows() == 1));
}
