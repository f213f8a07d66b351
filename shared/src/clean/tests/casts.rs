//! Which values fit which type. Each case casts one column by a contract and says what became of every value: the
//! text Arrow shows for it, `∅` for null, `✗` for a value that did not fit.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, Decimal256Array,
    DictionaryArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array,
    LargeStringArray, ListArray, NullArray, StringArray, StringViewArray, Time32SecondArray, Time64NanosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int8Type, Int32Type, i256};
use arrow::util::display::array_value_to_string;
use rstest::rstest;

use super::super::cast::Cast;
use super::array;

fn outcome(source: &ArrayRef, to: &str) -> Vec<String> {
    outcome_of_column(source, &format!("type = '{to}'"))
}

fn outcome_of_column(source: &ArrayRef, keys: &str) -> Vec<String> {
    let contract = format!("[schema]\ncolumns = [{{ name = \"c\", {keys} }}]");
    let source = super::batch([("c", source.clone())]);
    let cleaner = super::Cleaner::new(&super::dataset(&contract), source.schema_ref(), "u").unwrap();
    (0..source.num_rows())
        .map(|row| {
            let cleaned = cleaner.clean(&source.slice(row, 1), 0).unwrap();
            let together = cleaner.clean(&source, 0).unwrap();
            assert_eq!(super::set_aside(&together).iter().any(|(at, _)| *at == row as u64), cleaned.counts.kept == 0);
            match cleaned.kept.num_rows() {
                0 => {
                    assert_eq!(super::set_aside(&cleaned), [(0, vec!["cast: c".to_owned()])]);
                    "✗".to_owned()
                }
                _ if cleaned.kept.column(0).is_null(0) => "∅".to_owned(),
                _ => array_value_to_string(cleaned.kept.column(0), 0).unwrap(),
            }
        })
        .collect()
}

fn floats(values: &[f64]) -> ArrayRef {
    array(Float64Array::from(values.to_vec()))
}

fn strings(values: &[&str]) -> ArrayRef {
    array(StringArray::from(values.to_vec()))
}

#[rstest]
#[case::integral_floats(floats(&[1.0, -0.0, 2147483647.0, 2147483648.0, 1.5, f64::NAN, f64::INFINITY]), "int32", &["1", "0", "2147483647", "✗", "✗", "✗", "✗"])]
#[case::floats_at_the_edge_of_int64(floats(&[-9223372036854775808.0, 9223372036854775808.0, 9223372036854774784.0]), "int64", &["-9223372036854775808", "✗", "9223372036854774784"])]
#[case::floats_to_unsigned(floats(&[0.0, -1.0, 18446744073709549568.0, 18446744073709551616.0]), "uint64", &["0", "✗", "18446744073709549568", "✗"])]
#[case::floats_to_bytes(floats(&[255.0, 256.0, -1.0]), "uint8", &["255", "✗", "✗"])]
#[case::narrow_floats(array(Float32Array::from(vec![3.0, 0.5])), "int16", &["3", "✗"])]
#[case::float_rounds(floats(&[0.1, 1e300, -1e300, f64::INFINITY, f64::NAN]), "float32", &["0.1", "✗", "✗", "inf", "NaN"])]
#[case::float_to_half(floats(&[1.0, 1e6, f64::INFINITY]), "float16", &["1", "✗", "inf"])]
#[case::int_narrows(array(Int64Array::from(vec![Some(1), Some(2147483648), Some(-2147483648), None])), "int32", &["1", "✗", "-2147483648", "∅"])]
#[case::int_loses_its_sign(array(Int64Array::from(vec![-1, 7])), "uint64", &["✗", "7"])]
#[case::unsigned_to_signed(array(UInt64Array::from(vec![u64::MAX, 7])), "int64", &["✗", "7"])]
#[case::int_widens(array(Int8Array::from(vec![-1, 7])), "int64", &["-1", "7"])]
#[case::int_to_float_rounds(array(Int64Array::from(vec![16777217])), "float32", &["16777216.0"])]
#[case::int_to_half(array(Int64Array::from(vec![2, 70000])), "float16", &["2", "✗"])]
#[case::int_to_decimal(array(Int64Array::from(vec![12, 1234])), "decimal(5, 2)", &["12.00", "✗"])]
#[case::float_to_decimal(floats(&[10.01, 1.125, 0.1 + 0.2, 1000.0, f64::NAN]), "decimal(5, 2)", &["10.01", "✗", "✗", "✗", "✗"])]
#[case::narrow_float_to_decimal(array(Float32Array::from(vec![10.01, 10.005])), "decimal(5, 2)", &["10.01", "✗"])]
#[case::int_to_bool(array(Int32Array::from(vec![0, 1, 2])), "bool", &["false", "true", "✗"])]
#[case::float_to_bool(floats(&[0.0, 1.0, 0.5, f64::NAN]), "bool", &["false", "true", "✗", "✗"])]
#[case::bool_to_int(array(BooleanArray::from(vec![Some(true), None])), "int8", &["1", "∅"])]
#[case::numbers_as_text(floats(&[1.5]), "string", &["1.5"])]
#[case::int_as_dictionary(array(Int64Array::from(vec![Some(3), None])), "dictionary", &["3", "∅"])]
fn numbers(#[case] source: ArrayRef, #[case] to: &str, #[case] expected: &[&str]) {
    assert_eq!(outcome(&source, to), expected);
}

#[rstest]
#[case::decimal_rescales(123, "decimal(10, 1)", "12.3")]
#[case::decimal_too_wide(123_456, "decimal(4, 1)", "✗")]
#[case::decimal_to_int(1200, "int32", "120")]
#[case::decimal_with_fraction(1205, "int32", "✗")]
#[case::decimal_to_float(125, "float32", "12.5")]
fn decimals(#[case] unscaled: i128, #[case] to: &str, #[case] expected: &str) {
    let scale = |precision| {
        let plain = array(Decimal128Array::from(vec![unscaled]).with_precision_and_scale(38, 1).unwrap());
        cast(&plain, &precision).unwrap()
    };
    let wide = Decimal256Array::from(vec![i256::from_i128(unscaled)]).with_precision_and_scale(76, 1).unwrap();
    for source in [
        scale(DataType::Decimal32(9, 1)),
        scale(DataType::Decimal64(18, 1)),
        scale(DataType::Decimal128(38, 1)),
        array(wide),
    ] {
        assert_eq!(outcome(&source, to), [expected], "{}", source.data_type());
    }
}

#[rstest]
#[case::zeros_are_nothing(10_500, "decimal(8, 2)", "10.50", "10.50")]
#[case::digits_are_lost(10_005, "decimal(8, 2)", "✗", "10.01")]
#[case::half_goes_away_from_zero(-10_005, "decimal(8, 2)", "✗", "-10.01")]
#[case::rounding_takes_a_digit(9_999, "decimal(3, 2)", "✗", "✗")]
fn decimals_of_a_smaller_scale_keep_every_digit_or_round_where_that_is_allowed(
    #[case] unscaled: i128,
    #[case] to: &str,
    #[case] exact: &str,
    #[case] rounded: &str,
) {
    let plain = array(Decimal128Array::from(vec![unscaled]).with_precision_and_scale(9, 3).unwrap());
    let text = cast(&plain, &DataType::Utf8).unwrap();
    let float = cast(&plain, &DataType::Float64).unwrap();
    let decimals = [DataType::Decimal32(9, 3), DataType::Decimal64(9, 3), DataType::Decimal256(9, 3)];
    let decimals = decimals.map(|of_width| cast(&plain, &of_width).unwrap());
    for source in decimals.into_iter().chain([plain, text, float]) {
        assert_eq!(outcome(&source, to), [exact], "{}", source.data_type());
        let rounding = outcome_of_column(&source, &format!("type = '{to}', round = true"));
        assert_eq!(rounding, [rounded], "{}", source.data_type());
    }
}

#[rstest]
#[case(&["1", "-7", "1.0", "", " 1\u{a0}", "x", "99999999999"], "int32", &["1", "-7", "✗", "✗", "1", "✗", "✗"])]
#[case(&["1.5", "1e400", "inf", "NaN", "1,5", "\t1 "], "float64", &["1.5", "✗", "inf", "NaN", "✗", "1.0"])]
#[case(&["1e39", "0.1"], "float32", &["✗", "0.1"])]
#[case(&["true", " f ", "maybe"], "bool", &["true", "false", "✗"])]
#[case(&["1.25", "1.005", "1.500", " 1e2", "12345.1", "x"], "decimal(5, 2)", &["1.25", "✗", "1.50", "100.00", "✗", "✗"])]
#[case(&[" 2020-04-01 ", "2020-04-01 00:00", "2020-04-01 12:00:00", "2020-02-30", "9999-12-31"], "date", &["2020-04-01", "2020-04-01", "✗", "✗", "9999-12-31"])]
#[case(&["2020-04-01 12:30:00", "2020-04-01T12:30:00.5", "2020-04-01T12:30:00.000", "2020-04-01T12:30", " 2020-04-01 12:30 ", "2020-04-01 12:3", "yesterday"], "timestamp(s)", &["2020-04-01T12:30:00", "✗", "2020-04-01T12:30:00", "2020-04-01T12:30:00", "2020-04-01T12:30:00", "✗", "✗"])]
#[case(&["2020-04-01 12:30:00.123456", "2020-04-01T12:30:00.1234567", "9999-12-31 23:59:59"], "timestamp(us)", &["2020-04-01T12:30:00.123456", "✗", "9999-12-31T23:59:59"])]
#[case(&["2020-04-01T12:30:00+02:00", "2020-04-01T12:30:00", "2020-04-01T12:30Z", "2020-04-01 12:30+02:00"], "timestamp(us, \"UTC\")", &["2020-04-01T10:30:00Z", "2020-04-01T12:30:00Z", "2020-04-01T12:30:00Z", "2020-04-01T10:30:00Z"])]
#[case(&[" 12:30:00", "12:30:00.5", "25:00:00"], "time(s)", &["12:30:00", "✗", "✗"])]
#[case(&["Y"], "dictionary", &["Y"])]
#[case(&["Y"], "binary", &["59"])]
fn text_in_every_layout(#[case] texts: &[&str], #[case] to: &str, #[case] expected: &[&str]) {
    let plain = strings(texts);
    let dictionary = |keys, values| DataType::Dictionary(Box::new(keys), Box::new(values));
    let layouts = [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        dictionary(DataType::UInt8, DataType::Utf8),
        dictionary(DataType::Int64, DataType::LargeUtf8),
    ];
    for layout in layouts {
        let source = cast(&plain, &layout).unwrap();
        assert_eq!(outcome(&source, to), expected, "{layout}");
    }
}

/// 2020-04-01T00:00:00Z.
const APRIL: i64 = 1_585_699_200;

#[rstest]
#[case::finer(array(TimestampSecondArray::from(vec![APRIL, i64::MAX])), "timestamp(us)", &["2020-04-01T00:00:00", "✗"])]
#[case::coarser_exact_or_not(array(TimestampMicrosecondArray::from(vec![APRIL * 1_000_000, APRIL * 1_000_000 + 1, -1])), "timestamp(s)", &["2020-04-01T00:00:00", "✗", "✗"])]
#[case::nanoseconds(array(TimestampNanosecondArray::from(vec![APRIL * 1_000_000_000 + 1_000, 1])), "timestamp(us)", &["2020-04-01T00:00:00.000001", "✗"])]
#[case::instant_in_another_zone(array(TimestampSecondArray::from(vec![APRIL]).with_timezone("+02:00")), "timestamp(s, \"UTC\")", &["2020-04-01T00:00:00Z"])]
#[case::zone_dropped(array(TimestampSecondArray::from(vec![APRIL]).with_timezone("America/New_York")), "timestamp(ms)", &["2020-04-01T00:00:00"])]
#[case::local_time_in_a_zone(array(TimestampSecondArray::from(vec![APRIL])), "timestamp(s, \"+02:00\")", &["2020-04-01T00:00:00+02:00"])]
#[case::local_time_that_a_zone_skips(array(TimestampSecondArray::from(vec![1_583_634_600, 1_583_638_200 + 3600])), "timestamp(s, \"America/New_York\")", &["✗", "2020-03-08T04:30:00-04:00"])]
#[case::midnight_is_a_date(array(TimestampMillisecondArray::from(vec![APRIL * 1000, APRIL * 1000 + 1])), "date", &["2020-04-01", "✗"])]
#[case::date64(array(Date64Array::from(vec![APRIL * 1000, APRIL * 1000 + 1])), "date", &["2020-04-01", "✗"])]
#[case::date_to_timestamp(array(Date32Array::from(vec![18353, i32::MAX])), "timestamp(ns)", &["2020-04-01T00:00:00", "✗"])]
#[case::date_to_zone(array(Date32Array::from(vec![18353])), "timestamp(us, \"UTC\")", &["2020-04-01T00:00:00Z"])]
#[case::days(array(Date32Array::from(vec![18353])), "int16", &["18353"])]
#[case::ticks(array(TimestampSecondArray::from(vec![APRIL])), "int32", &["1585699200"])]
#[case::ticks_back(array(Int32Array::from(vec![1_585_699_200])), "timestamp(s)", &["2020-04-01T00:00:00"])]
#[case::time_coarser(array(Time64NanosecondArray::from(vec![1_000_000_000, 1])), "time(s)", &["00:00:01", "✗"])]
#[case::time_finer(array(Time32SecondArray::from(vec![61])), "time(us)", &["00:01:01"])]
#[case::as_text(array(TimestampSecondArray::from(vec![APRIL])), "string", &["2020-04-01T00:00:00"])]
#[case::as_text_without_a_calendar_date(array(TimestampSecondArray::from(vec![APRIL, i64::MAX])), "string", &["2020-04-01T00:00:00", "✗"])]
fn times(#[case] source: ArrayRef, #[case] to: &str, #[case] expected: &[&str]) {
    assert_eq!(outcome(&source, to), expected);
}

#[test]
fn bytes_are_text_where_they_are_utf8() {
    let bytes: [&[u8]; 2] = [b"ok", b"\xff\xfe"];
    for layout in [DataType::Binary, DataType::LargeBinary, DataType::BinaryView] {
        let source = cast(&BinaryArray::from(bytes.to_vec()), &layout).unwrap();
        assert_eq!(outcome(&source, "string"), ["ok", "✗"], "{layout}");
    }
    let fixed = FixedSizeBinaryArray::try_from_iter(bytes.iter()).unwrap();
    assert_eq!(outcome(&array(fixed), "string"), ["ok", "✗"]);
}

#[test]
fn a_column_of_nulls_is_nulls_of_any_type() {
    for to in
        ["float64", "string", "dictionary", "timestamp(us)", "decimal(10, 2)", "bool", "binary", "date", "time(us)"]
    {
        assert_eq!(outcome(&array(NullArray::new(2)), to), ["∅", "∅"], "{to}");
    }
}

#[test]
fn dictionaries_of_other_types_and_nulls_within_them_are_unpacked() {
    let keys = Int8Array::from(vec![Some(0), None, Some(1), Some(2)]);
    let values = Int64Array::from(vec![Some(7), None, Some(1 << 40)]);
    let source = array(DictionaryArray::<Int8Type>::try_new(keys, Arc::new(values)).unwrap());
    assert_eq!(outcome(&source, "int32"), ["7", "∅", "∅", "✗"]);
}

#[test]
fn what_has_no_meaning_is_refused_before_any_row() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)])]);
    let refused = |from: &DataType, to: &DataType| Cast::plan(from, to).unwrap_err();
    assert_eq!(refused(list.data_type(), &DataType::Int32), "list cannot become int32");
    assert_eq!(refused(&DataType::Boolean, &DataType::Date32), "bool cannot become date");
    let nowhere = DataType::Timestamp(arrow::datatypes::TimeUnit::Second, Some("Moon/Crater".into()));
    let naive = DataType::Timestamp(arrow::datatypes::TimeUnit::Second, None);
    assert!(refused(&naive, &nowhere).contains("Moon/Crater"), "{}", refused(&naive, &nowhere));
}

#[test]
fn slots_under_a_null_may_hold_anything() {
    let values = vec![1e300, 2.0].into();
    let nulls = vec![false, true].into();
    let source = array(Float64Array::new(values, Some(nulls)));
    assert_eq!(outcome(&source, "float32"), ["∅", "2.0"]);
    assert_eq!(outcome(&source, "float16"), ["∅", "2"]);
    assert_eq!(outcome(&source, "int64"), ["∅", "2"]);
    let large = LargeStringArray::from(vec![None, Some("3")]);
    assert_eq!(outcome(&array(large), "int8"), ["∅", "3"]);
    let view = StringViewArray::from(vec![None, Some("a string longer than twelve bytes")]);
    assert_eq!(outcome(&array(view), "string"), ["∅", "a string longer than twelve bytes"]);
}

#[test]
fn no_value_makes_a_cast_panic_or_fail() {
    use arrow::datatypes::TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let zoned = |unit| DataType::Timestamp(unit, Some("America/New_York".into()));
    let naive = |unit| DataType::Timestamp(unit, None);
    let mut types = vec![DataType::Boolean, DataType::Utf8, DataType::Binary, DataType::Date32, DataType::Float16];
    types.extend([DataType::Float32, DataType::Float64, DataType::Decimal128(38, 10), DataType::Decimal128(5, 5)]);
    types.extend([DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64, DataType::Date64]);
    types.extend([DataType::UInt8, DataType::UInt16, DataType::UInt32, DataType::UInt64]);
    types.extend([Second, Millisecond, Microsecond, Nanosecond].map(naive));
    types.extend([Second, Millisecond, Microsecond, Nanosecond].map(zoned));
    types.extend([DataType::Time32(Second), DataType::Time32(Millisecond)]);
    types.extend([DataType::Time64(Microsecond), DataType::Time64(Nanosecond)]);
    let edges = [i64::MIN, i64::MIN + 1, -86_401, -1, 0, 1, 86_400, i64::MAX];
    let small = [i32::MIN, -1, 0, 86_400, i32::MAX];
    let texts = [
        "9223372036854775808",
        "-1e-400",
        "9999999999-01-01",
        "262143-12-31T23:59:59",
        "\u{0}",
        "1e38",
        "24:00:00",
        "-0",
    ];
    let seeds = [
        array(Int64Array::from(edges.to_vec())),
        array(Int32Array::from(small.to_vec())),
        floats(&[f64::MIN, f64::MAX, f64::NAN, f64::NEG_INFINITY, 5e-324, -0.0]),
        strings(&texts),
    ];
    let mut planned = 0;
    for seed in &seeds {
        for from in &types {
            let Ok(source) = cast(seed, from) else { continue };
            for to in &types {
                let Ok(plan) = Cast::plan(from, to) else { continue };
                planned += 1;
                let (found, lost) = plan.apply(&source).unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
                assert_eq!((found.len(), found.data_type()), (source.len(), to));
                let lost = lost.map_or(0, |lost| lost.count_set_bits());
                assert_eq!(found.null_count(), source.null_count() + lost, "{from} to {to}");
            }
        }
    }
    assert!(planned > 1_000, "{planned}");
}
