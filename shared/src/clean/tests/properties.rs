//! What holds for any rows.

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, PrimitiveArray, RecordBatch, StringArray, UInt64Array,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float32Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt64Type};
use proptest::prelude::*;

use super::super::cast::Cast;
use super::super::{Cleaner, ROW, VALUES};
use super::{array, batch, column, dataset};

pub(super) const RULES: &str = r#"
[schema]
casts = [
  { column = "flag", to = "dictionary", values = ["Y", "N"], otherwise = "null", trim = true },
  { column = "code", to = "dictionary" },
  { from = "float64", to = "float32" },
  { from = "int64", to = "int32" },
]
[[expectations]]
name = "not negative"
expr = "x >= 0"
[[expectations]]
name = "divides"
expr = "n / (m % 3) < 1000"
action = "drop"
[[expectations]]
name = "flagged"
expr = "flag is not null"
action = "warn"
[transform]
filter = "m % 5 <> 0"
columns = [{ name = "sum", expr = "n + m" }]
"#;

pub(super) type Row = (Option<f64>, Option<i64>, Option<i64>, Option<&'static str>, Option<&'static str>);

pub(super) fn row() -> impl Strategy<Value = Row> {
    let float = prop_oneof![Just(1e300), Just(f64::NAN), Just(-0.0), -10.0..10.0];
    let int = || prop_oneof![5 => -20_i64..20, 1 => any::<i64>(), 1 => Just(i64::from(i32::MAX))];
    let flag = prop::sample::select(vec!["Y", " N", " ", "maybe"]);
    let code = prop::sample::select(vec!["a", "b", "c"]);
    (
        prop::option::of(float),
        prop::option::of(int()),
        prop::option::of(int()),
        prop::option::of(flag),
        prop::option::of(code),
    )
}

pub(super) fn rows_as_batch(rows: &[Row]) -> RecordBatch {
    let code: StringArray = rows.iter().map(|row| row.4).collect();
    let keyed = DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8));
    batch([
        ("x", array(rows.iter().map(|row| row.0).collect::<Float64Array>())),
        ("n", array(rows.iter().map(|row| row.1).collect::<Int64Array>())),
        ("m", array(rows.iter().map(|row| row.2).collect::<Int64Array>())),
        ("flag", array(rows.iter().map(|row| row.3).collect::<StringArray>())),
        ("code", cast(&code, &keyed).unwrap()),
    ])
}

/// Strings instead of dictionaries, so that equal rows are equal batches.
pub(super) fn unpacked(batch: &RecordBatch) -> Vec<ArrayRef> {
    let plain = |column: &ArrayRef| match column.data_type() {
        DataType::Dictionary(..) => cast(column, &DataType::Utf8).unwrap(),
        _ => column.clone(),
    };
    batch.columns().iter().map(plain).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_row_has_one_fate_and_the_batches_make_no_difference(
        rows in prop::collection::vec(row(), 1..60),
        cuts in prop::collection::vec(1_usize..20, 1..8),
    ) {
        let source = rows_as_batch(&rows);
        let cleaner = Cleaner::new(&dataset(RULES), source.schema_ref(), "u").unwrap();
        let whole = cleaner.clean(&source, 0).unwrap();
        prop_assert!(whole.counts.conserved());
        prop_assert_eq!(whole.counts.read, rows.len() as u64);
        prop_assert_eq!(whole.counts.kept, whole.kept.num_rows() as u64);

        let (mut kept, mut quarantined) = (Vec::new(), Vec::new());
        let (mut counts, mut reasons, mut warnings) = (crate::ledger::RowCounts::default(), Default::default(), Default::default());
        let mut dropped = Default::default();
        let merge = |into: &mut std::collections::BTreeMap<String, u64>, from| {
            for (name, count) in from {
                *into.entry(name).or_default() += count;
            }
        };
        let mut start = 0;
        for cut in cuts.iter().cycle() {
            if start == rows.len() {
                break;
            }
            let length = (*cut).min(rows.len() - start);
            let piece = cleaner.clean(&source.slice(start, length), start as u64).unwrap();
            start += length;
            counts += piece.counts;
            merge(&mut reasons, piece.reasons);
            merge(&mut dropped, piece.dropped);
            merge(&mut warnings, piece.warnings);
            kept.push(piece.kept);
            quarantined.extend(piece.quarantined);
        }
        let kept = concat_batches(cleaner.output_schema(), &kept).unwrap();
        let quarantined = concat_batches(cleaner.quarantine_schema(), &quarantined).unwrap();
        prop_assert_eq!(unpacked(&kept), unpacked(&whole.kept));
        let whole_quarantined =
            whole.quarantined.unwrap_or_else(|| RecordBatch::new_empty(cleaner.quarantine_schema().clone()));
        prop_assert_eq!(unpacked(&quarantined), unpacked(&whole_quarantined));
        prop_assert_eq!(counts, whole.counts);
        prop_assert_eq!(reasons, whole.reasons);
        prop_assert_eq!(dropped, whole.dropped);
        prop_assert_eq!(warnings, whole.warnings);

        let numbers: &UInt64Array = column(&quarantined, ROW).as_primitive();
        let values = column(&quarantined, VALUES).as_string::<i64>();
        for (number, values) in numbers.values().iter().zip(values) {
            let (x, n, m, flag, code) = rows[usize::try_from(*number).unwrap()];
            // The shortest number that means the float.
            let x = x.map_or("null".to_owned(), |x| if x.is_nan() { "\"NaN\"".to_owned() } else { format!("{x:?}") });
            let [n, m] = [n, m].map(|value| serde_json::json!(value));
            let [flag, code] = [flag, code].map(|value| serde_json::json!(value));
            let wanted = format!(r#"{{"x":{x},"n":{n},"m":{m},"flag":{flag},"code":{code}}}"#);
            prop_assert_eq!(values, Some(wanted.as_str()));
        }
    }

    #[test]
    fn each_row_meets_the_fate_that_a_reading_of_the_rules_gives_it(rows in prop::collection::vec(row(), 1..40)) {
        let source = rows_as_batch(&rows);
        let cleaner = Cleaner::new(&dataset(RULES), source.schema_ref(), "u").unwrap();
        let whole = cleaner.clean(&source, 0).unwrap();
        let fates: Vec<Fate> = rows.iter().map(naive).collect();
        let count = |fate| fates.iter().filter(|found| **found == fate).count() as u64;
        prop_assert_eq!(whole.counts.quarantined, count(Fate::Quarantined));
        prop_assert_eq!(whole.counts.filtered, count(Fate::Filtered));
    }

    #[test]
    fn an_integer_fits_or_is_found(values in prop::collection::vec(prop::option::of(wide_int()), 0..50)) {
        let source = array(values.iter().copied().collect::<Int64Array>());
        fits::<Int8Type>(&source, &DataType::Int8, |at| values[at].map(|v| i8::try_from(v).ok()))?;
        fits::<Int16Type>(&source, &DataType::Int16, |at| values[at].map(|v| i16::try_from(v).ok()))?;
        fits::<Int32Type>(&source, &DataType::Int32, |at| values[at].map(|v| i32::try_from(v).ok()))?;
        fits::<UInt8Type>(&source, &DataType::UInt8, |at| values[at].map(|v| u8::try_from(v).ok()))?;
        fits::<UInt64Type>(&source, &DataType::UInt64, |at| values[at].map(|v| u64::try_from(v).ok()))?;
    }

    #[test]
    fn a_float_fits_or_is_found(values in prop::collection::vec(prop::option::of(wide_float()), 0..50)) {
        let source = array(values.iter().copied().collect::<Float64Array>());
        // The naive reading: as decimal digits, which are exact.
        let whole = |value: f64| format!("{value:.400}").trim_end_matches('0').strip_suffix('.').map(str::to_owned);
        let parsed = |at: usize| values[at].map(whole);
        fits::<Int32Type>(&source, &DataType::Int32, |at| parsed(at).map(|t| t.and_then(|t| t.parse().ok())))?;
        fits::<Int64Type>(&source, &DataType::Int64, |at| parsed(at).map(|t| t.and_then(|t| t.parse().ok())))?;
        fits::<UInt64Type>(&source, &DataType::UInt64, |at| {
            parsed(at).map(|t| t.and_then(|t| if t == "-0" { Some(0) } else { t.parse().ok() }))
        })?;
        let (narrow, lost) = Cast::plan(&DataType::Float64, &DataType::Float32).unwrap().apply(&source).unwrap();
        let narrow = narrow.as_primitive::<Float32Type>();
        for (at, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let rounded: f32 = format!("{value:.400}").parse().unwrap();
            let is_lost = lost.as_ref().is_some_and(|lost| lost.value(at));
            prop_assert_eq!(is_lost, rounded.is_infinite() && value.is_finite());
            prop_assert!(is_lost || narrow.value(at) == rounded || value.is_nan());
        }
    }
}

#[derive(Debug, PartialEq)]
enum Fate {
    Kept,
    Quarantined,
    Filtered,
}

/// The rules, one row at a time.
fn naive((x, n, m, _, _): &Row) -> Fate {
    let narrow = |value: Option<i64>| value.map(i32::try_from).transpose();
    let x_unfit = x.is_some_and(|x| x.is_finite() && x.abs() > f64::from(f32::MAX));
    let negative = x.is_some_and(|x| x < 0.0 && !x.is_nan());
    let (Ok(n), Ok(m)) = (narrow(*n), narrow(*m)) else { return Fate::Quarantined };
    // NaN is above every number.
    if x_unfit || negative {
        return Fate::Quarantined;
    }
    let mut dropped = false;
    if let (Some(n), Some(m)) = (n, m) {
        if m % 3 == 0 || n.checked_add(m).is_none() {
            return Fate::Quarantined;
        }
        dropped = n / (m % 3) >= 1000;
    }
    let passes = m.is_some_and(|m| m % 5 != 0);
    if dropped || !passes { Fate::Filtered } else { Fate::Kept }
}

fn wide_int() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -300_i64..300, Just(i64::from(i32::MAX) + 1), Just(i64::from(i32::MIN)), Just(i64::MIN)]
}

fn wide_float() -> impl Strategy<Value = f64> {
    let int = || any::<i64>().prop_map(|int| int.to_string().parse::<f64>().unwrap());
    let edges =
        vec![9_223_372_036_854_775_808.0, 18_446_744_073_709_551_616.0, 2_147_483_647.5, 3.4028235677973366e38, -0.0];
    prop_oneof![any::<f64>(), int(), (-1000_i32..1000).prop_map(f64::from), prop::sample::select(edges)]
}

/// Compares a cast with a model that gives, for each row, `None` for null, `Some(None)` for what does not fit.
fn fits<T>(
    source: &ArrayRef,
    to: &DataType,
    model: impl Fn(usize) -> Option<Option<T::Native>>,
) -> Result<(), TestCaseError>
where
    T: arrow::datatypes::ArrowPrimitiveType,
{
    let (found, lost) = Cast::plan(source.data_type(), to).unwrap().apply(source).unwrap();
    let found: &PrimitiveArray<T> = found.as_primitive();
    for at in 0..source.len() {
        let expected = model(at);
        let is_lost = lost.as_ref().is_some_and(|lost| lost.value(at));
        prop_assert_eq!(is_lost, expected == Some(None), "row {} of {:?} to {}", at, source, to);
        let value = (!found.is_null(at)).then(|| found.value(at));
        prop_assert_eq!(value, expected.flatten());
    }
    Ok(())
}
