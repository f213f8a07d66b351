//! For-hire vehicle months of different schemas come out as one.

use arrow::array::{
    Array, AsArray, Float64Array, Int32Array, Int64Array, LargeStringArray, NullArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};

use super::super::{Cleaned, Cleaner};
use super::{array, batch, column, set_aside};
use crate::dataset::Dataset;

const FHV: &str = include_str!("../../../../infra/datasets/fhv.toml");

// DuckDB: epoch_us of timestamps 2020-04-25 17:56:07, 2015-03-01 and 3019-01-01; cast(229.0 as int) is 229.
const APRIL_2020: i64 = 1_587_837_367_000_000;
const MARCH_2015: i64 = 1_425_168_000_000_000;
const YEAR_3019: i64 = 33_103_209_600_000_000;

fn cleaned(month: &RecordBatch) -> Cleaned {
    let cleaner = Cleaner::new(&Dataset::parse(FHV, "fhv.toml").unwrap(), month.schema_ref(), "s3://fhv").unwrap();
    cleaner.clean(month, 0).unwrap()
}

/// Zones and shared-ride flag of the kept rows.
fn whole_numbers(cleaned: &Cleaned) -> Vec<[Option<i32>; 3]> {
    let names = ["PULocationID", "DOLocationID", "SR_Flag"];
    let columns = names.map(|name| column(&cleaned.kept, name).as_primitive::<Int32Type>().clone());
    let value = |column: &Int32Array, row: usize| column.is_valid(row).then(|| column.value(row));
    (0..cleaned.kept.num_rows()).map(|row| columns.each_ref().map(|column| value(column, row))).collect()
}

#[test]
fn months_of_every_schema_come_out_as_one() {
    // As in 2015: no zones yet, everything that nobody reported is null.
    let early = batch([
        ("dispatching_base_num", array(StringArray::from(vec!["B00013 ", "B00014"]))),
        ("pickup_datetime", array(TimestampMicrosecondArray::from(vec![MARCH_2015, MARCH_2015]))),
        ("dropOff_datetime", array(TimestampMicrosecondArray::from(vec![None, None]))),
        ("PUlocationID", array(NullArray::new(2))),
        ("DOlocationID", array(NullArray::new(2))),
        ("SR_Flag", array(NullArray::new(2))),
        ("Affiliated_base_number", array(StringArray::from(vec![None::<&str>, None]))),
    ]);
    // As in 2020: zones are double, and drop-offs of the year 3019 are there.
    let middle = batch([
        ("dispatching_base_num", array(StringArray::from(vec!["B00477"; 4]))),
        (
            "pickup_datetime",
            array(TimestampMicrosecondArray::from(vec![APRIL_2020, APRIL_2020, YEAR_3019, APRIL_2020])),
        ),
        (
            "dropOff_datetime",
            array(TimestampMicrosecondArray::from(vec![APRIL_2020 + 16, APRIL_2020 - 1, YEAR_3019, YEAR_3019])),
        ),
        ("PUlocationID", array(Float64Array::from(vec![Some(229.0), None, None, Some(1.5)]))),
        ("DOlocationID", array(Float64Array::from(vec![Some(69.0), None, None, None]))),
        ("SR_Flag", array(Int32Array::from(vec![Some(1), None, None, None]))),
        ("Affiliated_base_number", array(StringArray::from(vec!["B00477"; 4]))),
    ]);
    // As since 2023: large strings, whole zones, another spelling.
    let late = batch([
        ("dispatching_base_num", array(LargeStringArray::from(vec!["B02764"]))),
        ("pickup_datetime", array(TimestampMicrosecondArray::from(vec![APRIL_2020]))),
        ("dropoff_datetime", array(TimestampMicrosecondArray::from(vec![APRIL_2020]))),
        ("PULocationID", array(Int64Array::from(vec![264]))),
        ("DOLocationID", array(Int64Array::from(vec![0]))),
        ("SR_Flag", array(Float64Array::from(vec![1.0]))),
        ("Affiliated_base_number", array(LargeStringArray::from(vec!["B02764"]))),
    ]);
    let [early, middle, late] = [early, middle, late].map(|month| cleaned(&month));
    assert_eq!(early.kept.schema_ref(), middle.kept.schema_ref());
    assert_eq!(early.kept.schema_ref(), late.kept.schema_ref());
    assert_eq!(whole_numbers(&early), [[None; 3]; 2]);
    assert_eq!(column(&early.kept, "dispatching_base_num").as_string::<i32>().value(0), "B00013");
    assert_eq!(whole_numbers(&middle), [[Some(229), Some(69), Some(1)]]);
    let pickups = column(&middle.kept, "pickup_datetime").as_primitive::<TimestampMicrosecondType>();
    assert_eq!(pickups.values().as_ref(), [APRIL_2020]);
    let reasons = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        set_aside(&middle),
        [
            (1, reasons(&["drop-off after pick-up"])),
            (2, reasons(&["pick-up from 2014 to 2039"])),
            (3, reasons(&["cast: PULocationID"])),
        ]
    );
    assert_eq!(whole_numbers(&late), [[Some(264), Some(0), Some(1)]]);
    assert_eq!(late.warnings.get("zones are known"), Some(&1));
}
