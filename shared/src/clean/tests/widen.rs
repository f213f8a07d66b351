//! The common type of two holds the values of both.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, NullArray};
use arrow::array::{BinaryArray, Date32Array, Int8Array, Int16Array, Int32Array, Int64Array, StringArray};
use arrow::array::{LargeStringArray, Time32SecondArray, Time64MicrosecondArray, UInt8Array, UInt64Array};
use arrow::array::{
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt16Array, UInt32Array,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::super::cast::Cast;
use super::super::types::{arrow_type, dictionary_type};
use super::super::{Widest, declared, is_widening, widest};

/// A column of each type with its most extreme values.
fn samples() -> Vec<ArrayRef> {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["", "a", "1e400"]));
    vec![
        Arc::new(NullArray::new(2)),
        Arc::new(BooleanArray::from(vec![true, false])),
        Arc::new(Int8Array::from(vec![i8::MIN, i8::MAX])),
        Arc::new(Int16Array::from(vec![i16::MIN, i16::MAX])),
        Arc::new(Int32Array::from(vec![i32::MIN, i32::MAX])),
        Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])),
        Arc::new(UInt8Array::from(vec![0, u8::MAX])),
        Arc::new(UInt16Array::from(vec![0, u16::MAX])),
        Arc::new(UInt32Array::from(vec![0, u32::MAX])),
        Arc::new(UInt64Array::from(vec![0, u64::MAX])),
        cast(&Float32Array::from(vec![65_504.0, f32::NAN]), &DataType::Float16).unwrap(),
        Arc::new(Float32Array::from(vec![f32::MIN, f32::MAX, f32::NAN, f32::INFINITY])),
        Arc::new(Float64Array::from(vec![f64::MIN, f64::MAX, f64::NAN])),
        Arc::new(Decimal128Array::from(vec![99_999, -99_999]).with_precision_and_scale(5, 2).unwrap()),
        Arc::new(Decimal128Array::from(vec![1]).with_precision_and_scale(38, 37).unwrap()),
        text.clone(),
        Arc::new(LargeStringArray::from(vec!["é", "5"])),
        cast(&text, &dictionary_type()).unwrap(),
        Arc::new(BinaryArray::from_vec(vec![b"\xff"])),
        Arc::new(Date32Array::from(vec![-719_162, 2_932_896])),
        Arc::new(TimestampMillisecondArray::from(vec![-62_135_596_800_000, 253_402_300_799_000])),
        Arc::new(TimestampMicrosecondArray::from(vec![-62_135_596_800_000_000, 253_402_300_799_000_000])),
        Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("America/New_York")),
        Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC")),
        Arc::new(TimestampNanosecondArray::from(vec![i64::MIN + 1, i64::MAX])),
        Arc::new(Time32SecondArray::from(vec![86_399])),
        Arc::new(Time64MicrosecondArray::from(vec![86_399_999_999])),
    ]
}

#[test]
fn the_common_type_takes_every_value_of_both_unless_it_says_so() {
    let samples = samples();
    let (mut common, mut problems) = (0, Vec::new());
    for left in &samples {
        for right in &samples {
            let found = widest(left.data_type(), right.data_type());
            assert_eq!(
                found,
                widest(right.data_type(), left.data_type()),
                "{} {}",
                left.data_type(),
                right.data_type()
            );
            let Some(Widest { data_type, note }) = found else { continue };
            common += 1;
            for source in [left, right] {
                let what = format!("{} of {} and {}", source.data_type(), left.data_type(), right.data_type());
                // A dictionary is cast as its strings are.
                let to = if data_type == dictionary_type() { DataType::Utf8 } else { data_type.clone() };
                let cast = match Cast::plan(source.data_type(), &to) {
                    Ok(cast) => cast,
                    Err(error) => {
                        problems.push(format!("{what}: {error}"));
                        continue;
                    }
                };
                let (there, unfit) = cast.apply(source).unwrap();
                let lost = unfit.map_or(0, |rows| rows.count_set_bits());
                if lost > 0 && note.is_none() {
                    problems.push(format!("{what}: {lost} rows do not fit {data_type}"));
                }
                // Nothing is lost where casting back gives the same values.
                let exact = note.is_none() && to != DataType::Utf8 && source.data_type() != &DataType::Null;
                if let (true, Ok(back)) = (exact, Cast::plan(&to, source.data_type()))
                    && &back.apply(&there).unwrap().0 != source
                {
                    problems.push(format!("{what}: not the same back from {data_type}"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(common > 300, "{common}");
}

#[test]
fn widening_is_told_from_narrowing() {
    use DataType::{Float32, Float64, Int32, Int64, LargeUtf8, Null, Utf8};
    for (from, to) in
        [(Int32, Int64), (Float32, Float64), (LargeUtf8, Utf8), (Utf8, LargeUtf8), (Null, Int32), (Int32, Float64)]
    {
        assert!(is_widening(&from, &to), "{from} to {to}");
    }
    for (from, to) in [(Int64, Int32), (Float64, Float32), (Int64, Float64), (Utf8, Int32), (Int32, Float32)] {
        assert!(!is_widening(&from, &to), "{from} to {to}");
    }
    let found = widest(&Int64, &Float64).unwrap();
    assert_eq!((found.data_type, found.note), (Float64, Some("whole numbers beyond 2^53 are rounded")));
}

#[test]
fn a_type_that_a_file_can_declare_is_declared_as_itself() {
    for sample in samples() {
        let declared = declared(sample.data_type()).unwrap();
        let again: crate::dataset::ColumnType = declared.to_string().parse().unwrap();
        assert_eq!(again, declared);
        let arrow = arrow_type(&declared).unwrap();
        let same = sample.data_type() == &arrow || is_widening(sample.data_type(), &arrow);
        assert!(same, "{} as {declared}", sample.data_type());
    }
    let nested = DataType::new_list(DataType::Int64, true);
    assert_eq!(declared(&nested), None);
}
