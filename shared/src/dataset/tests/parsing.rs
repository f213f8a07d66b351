//! What a right file becomes.

use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::{MINIMAL, in_output, in_source, parse};
use crate::dataset::{
    Action, ColumnType, Compression, Dataset, ExtraColumns, Format, OnCastError, Otherwise, TimeUnit, closest, duration,
};

#[test]
fn three_keys_are_enough_and_the_rest_has_defaults() {
    let spec = parse(MINIMAL).spec;
    assert_eq!((spec.name.as_str(), spec.source.format), ("trips", Format::Parquet));
    assert_eq!((spec.source.uri, spec.source.pattern.as_str(), spec.source.modified_within), (None, "**", None));
    assert_eq!((spec.schema.extra_columns, spec.schema.on_cast_error), (ExtraColumns::Keep, OnCastError::Quarantine));
    assert!(spec.schema.columns.is_empty() && spec.schema.casts.is_empty() && spec.expectations.is_empty());
    assert_eq!((spec.output.row_group_rows, spec.output.slice_row_groups), (1_048_576, 1));
    assert_eq!((spec.output.compression, spec.output.max_quarantined), (Compression::Zstd(1), 0.05));
}

#[test]
fn every_key_is_read() {
    let spec = parse(
        r#"
        name = "trips"
        [source]
        uri = "s3://nyc-tlc/trip data/"
        pattern = "*.csv"
        format = "csv"
        modified_within = "7d"
        [schema]
        extra_columns = "fail"
        on_cast_error = "null"
        casts = [{ column = "*flag*", from = "string", to = "dictionary", values = ["Y"], otherwise = "null", trim = true }]
        columns = [{ name = "a", type = "int32", nullable = false, aliases = ["b"], default = 1 }]
        [[expectations]]
        name = "positive"
        expr = "a > 0"
        action = "drop"
        [transform]
        filter = "a < 9"
        columns = [{ name = "c", expr = "a + 1" }]
        [output]
        prefix = "trips/clean"
        row_group_rows = 10
        slice_row_groups = 2
        compression = "snappy"
        max_quarantined = 1
        "#,
    )
    .spec;
    assert_eq!(spec.source.modified_within, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!((spec.schema.extra_columns, spec.schema.on_cast_error), (ExtraColumns::Fail, OnCastError::Null));
    let cast = &spec.schema.casts[0];
    assert_eq!((&cast.from, &cast.to), (&Some(ColumnType::String), &ColumnType::Dictionary));
    assert_eq!((cast.otherwise, cast.trim), (Otherwise::Null, true));
    let column = &spec.schema.columns[0];
    assert_eq!((column.nullable, column.default.as_ref()), (false, Some(&toml::Value::Integer(1))));
    assert_eq!(spec.expectations[0].action, Action::Drop);
    assert_eq!(spec.transform.columns[0].expr, "a + 1");
    assert_eq!((spec.output.compression, spec.output.max_quarantined), (Compression::Snappy, 1.0));
}

#[rstest]
#[case("trips")]
#[case("trips/")]
#[case("trips//")]
fn a_prefix_ends_in_one_slash(#[case] prefix: &str) {
    assert_eq!(parse(&MINIMAL.replace("trips/", prefix)).spec.output.prefix, "trips/");
}

#[test]
fn the_hash_is_that_of_the_files_bytes() {
    let dataset = parse(MINIMAL);
    assert_eq!(dataset.hash, "ae0f7c432bf4e6710aebe840a6698f1ab61c68653417687941b7417b84f6bd3d");
    assert_ne!(dataset.hash, parse(&format!("{MINIMAL}\n")).hash);
    assert_eq!(dataset, Dataset::parse(MINIMAL, "elsewhere.toml").unwrap());
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_taken() {
    assert_eq!(parse(&format!("\u{feff}{}", MINIMAL.replace('\n', "\r\n"))).spec, parse(MINIMAL).spec);
}

#[rstest]
#[case("90s", 90)]
#[case("30m", 1_800)]
#[case("12h", 43_200)]
#[case(" 7d ", 604_800)]
#[case("7 days", 604_800)]
#[case("2w", 1_209_600)]
#[case("1d 12h", 129_600)]
#[case("P7D", 604_800)]
#[case("36525d", 3_155_760_000)]
fn durations_are_read(#[case] text: &str, #[case] seconds: u64) {
    assert_eq!(duration::parse(text), Ok(Duration::from_secs(seconds)));
    if text.trim() == text {
        assert!(parse(&in_source(&format!("modified_within = \"{text}\""))).spec.source.modified_within.is_some());
    }
}

#[rstest]
#[case("zstd", Compression::Zstd(1))]
#[case("zstd(22)", Compression::Zstd(22))]
#[case("snappy", Compression::Snappy)]
#[case("keep", Compression::Keep)]
fn codecs_are_read(#[case] text: &str, #[case] codec: Compression) {
    assert_eq!(parse(&in_output(&format!("compression = \"{text}\""))).spec.output.compression, codec);
    assert_eq!(codec.to_string().parse(), Ok(codec));
}

#[rstest]
#[case("bool", ColumnType::Boolean)]
#[case("boolean", ColumnType::Boolean)]
#[case("decimal(9)", ColumnType::Decimal { precision: 9, scale: 0 })]
#[case("timestamp", ColumnType::Timestamp { unit: TimeUnit::Microsecond, zone: None })]
#[case("timestamp( ns , UTC )", ColumnType::Timestamp { unit: TimeUnit::Nanosecond, zone: Some("UTC".to_owned()) })]
#[case("timestamp(s, '+01:00')", ColumnType::Timestamp { unit: TimeUnit::Second, zone: Some("+01:00".to_owned()) })]
#[case("time", ColumnType::Time(TimeUnit::Microsecond))]
fn types_have_short_forms(#[case] text: &str, #[case] column_type: ColumnType) {
    assert_eq!(text.parse(), Ok(column_type));
}

fn any_type() -> impl Strategy<Value = ColumnType> {
    let unit = || {
        prop::sample::select(vec![TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond])
    };
    prop_oneof![
        prop::sample::select(vec![8, 16, 32, 64]).prop_map(ColumnType::Int),
        prop::sample::select(vec![8, 16, 32, 64]).prop_map(ColumnType::UInt),
        prop::sample::select(vec![16, 32, 64]).prop_map(ColumnType::Float),
        (1..=38_u8).prop_flat_map(|precision| {
            (0..=i8::try_from(precision).unwrap()).prop_map(move |scale| ColumnType::Decimal { precision, scale })
        }),
        prop::sample::select(vec![
            ColumnType::Boolean,
            ColumnType::String,
            ColumnType::Binary,
            ColumnType::Dictionary,
            ColumnType::Date,
            ColumnType::Null,
        ]),
        unit().prop_map(ColumnType::Time),
        (unit(), prop::option::of("[A-Za-z]{1,9}(/[A-Za-z_]{1,9})?"))
            .prop_map(|(unit, zone)| ColumnType::Timestamp { unit, zone }),
    ]
}

proptest! {
    #[test]
    fn a_type_is_what_its_text_says(column_type in any_type()) {
        prop_assert_eq!(column_type.to_string().parse(), Ok(column_type));
    }
}

#[test]
fn the_closest_word_is_near_or_there_is_none() {
    let known = ["pickup_datetime", "dropoff_datetime", "trip_miles"];
    assert_eq!(closest("pickup_datetme", known), Some("pickup_datetime"));
    assert_eq!(closest("Trip_Mile", known), Some("trip_miles"));
    assert_eq!(closest("fare", known), None);
    assert_eq!(closest(&"a".repeat(10_000), known), None);
}
