//! Lineage columns and partitions.

use arrow::array::{Array, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int32Type, UInt64Type};

use super::super::{CoercedRows, validate};
use super::{Cleaner, array, batch, column, dataset};
use crate::dataset::Dataset;

/// `[output]`'s keys, and tables behind it.
fn with_output(output: &str, rest: &str) -> Dataset {
    let text = format!(
        "name = \"t\"\n[source]\nformat = \"parquet\"\n[output]\nprefix = \"t/\"\nmax_quarantined = 1.0\n{output}\n{rest}\n"
    );
    Dataset::parse(&text, "t.toml").unwrap()
}

fn source() -> RecordBatch {
    batch([
        ("n", array(Int64Array::from(vec![Some(1), Some(-2), None, Some(4)]))),
        ("v", array(StringArray::from(vec![Some("x"), Some("y"), None, Some("x")]))),
        ("t", array(TimestampMicrosecondArray::from(vec![Some(0), Some(-1), Some(86_400_000_000), Some(i64::MAX)]))),
    ])
}

fn refused(output: &str, rest: &str) -> String {
    Cleaner::new(&with_output(output, rest), source().schema_ref(), "s3://b/k").unwrap_err().to_string()
}

const NOT_NEGATIVE: &str = "[[expectations]]\nname = \"n is not negative\"\nexpr = \"n >= 0\"";

#[test]
fn lineage_tells_source_row_and_run_of_every_kept_row() {
    let cleaner =
        Cleaner::new(&with_output("lineage = true", NOT_NEGATIVE), source().schema_ref(), "s3://b/k").unwrap();
    let kept = cleaner.of_run("r1").clean(&source(), 1_000).unwrap().kept;
    let names: Vec<_> = kept.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["n", "v", "t", "_rowmill_source", "_rowmill_row", "_rowmill_run"]);
    assert_eq!(column(&kept, "_rowmill_row").as_primitive::<UInt64Type>().values(), &[1_000, 1_002, 1_003]);
    for (name, expected) in [("_rowmill_source", "s3://b/k"), ("_rowmill_run", "r1")] {
        let texts = column(&kept, name).as_dictionary::<Int32Type>().downcast_dict::<StringArray>().unwrap();
        assert!(texts.into_iter().all(|text| text == Some(expected)), "{name}");
    }
    assert!(kept.schema_ref().fields().iter().skip(3).all(|field| !field.is_nullable()));
}

#[test]
fn only_the_lineage_asked_for_is_added() {
    let cleaner = Cleaner::new(&with_output("lineage = [\"row\"]", ""), source().schema_ref(), "u").unwrap();
    let names: Vec<_> = cleaner.output_schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["n", "v", "t", "_rowmill_row"]);
}

#[test]
fn a_source_that_has_a_column_of_lineage_is_refused() {
    let source = batch([("_Rowmill_Run", array(Int64Array::from(vec![1])))]);
    let error = Cleaner::new(&with_output("lineage = [\"run\"]", ""), source.schema_ref(), "u").unwrap_err();
    assert!(error.to_string().contains("the output has a column `_Rowmill_Run` already"), "{error}");
}

#[test]
fn partitions_have_the_values_of_the_kept_rows() {
    let output = "partition_by = [\"v\", \"year(t)\", { name = \"even\", expr = \"n % 2 = 0\" }]";
    let dataset = with_output(output, NOT_NEGATIVE);
    let rows = source().slice(0, 3);
    let cleaner = Cleaner::new(&dataset, rows.schema_ref(), "u").unwrap();
    let cleaned = cleaner.clean(&rows, 0).unwrap();
    assert_eq!(cleaner.partitions().iter().map(|level| level.name.as_str()).collect::<Vec<_>>(), ["v", "year", "even"]);
    let [v, year, even] = cleaned.partitions.as_slice() else { panic!("three levels") };
    assert_eq!(v.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x"), None]);
    assert_eq!(year.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1970), Some(1970)]);
    assert_eq!(even.as_boolean().iter().collect::<Vec<_>>(), [Some(false), None]);
    // The folder tells the column that names it.
    let names: Vec<_> = cleaned.kept.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["n", "t"]);
}

#[test]
fn days_before_1970_begin_at_their_own_midnight() {
    let rows = source().slice(0, 3);
    let cleaner = Cleaner::new(&with_output("partition_by = [\"date(t)\"]", ""), rows.schema_ref(), "u").unwrap();
    let days = cleaner.clean(&rows, 0).unwrap().partitions;
    assert_eq!(days[0].as_primitive::<arrow::datatypes::Date32Type>().values(), &[0, -1, 1]);
}

#[test]
fn months_have_their_year_and_sort_as_text() {
    let rows = source().slice(0, 3);
    let cleaner = Cleaner::new(&with_output("partition_by = [\"year_month(t)\"]", ""), rows.schema_ref(), "u").unwrap();
    assert_eq!(cleaner.partitions()[0].name, "year_month");
    let months = cleaner.clean(&rows, 0).unwrap().partitions;
    assert_eq!(
        months[0].as_string::<i32>().iter().collect::<Vec<_>>(),
        [Some("1970-01"), Some("1969-12"), Some("1970-01")]
    );
}

#[test]
fn a_row_whose_partition_cannot_be_told_is_set_aside() {
    let cleaner = Cleaner::new(&with_output("partition_by = [\"date(t)\"]", ""), source().schema_ref(), "u").unwrap();
    let cleaned = cleaner.clean(&source(), 0).unwrap();
    assert_eq!(cleaned.reasons.into_iter().collect::<Vec<_>>(), [("error: partition date".to_owned(), 1)]);
    assert_eq!((cleaned.counts.kept, cleaned.partitions[0].len()), (3, 3));
}

#[test]
fn a_partition_that_cannot_be_is_refused_with_its_place() {
    for (output, told) in [
        ("partition_by = [\"w\"]", "t.toml:7:17: unknown column `w`"),
        ("partition_by = [\"date(w)\"]", "t.toml:7:23: unknown column `w`"),
        ("partition_by = [{ name = \"v\", expr = \"year(t)\" }]", "the output has a column `v` already"),
        ("partition_by = [{ name = \"x\", expr = \"n / 2.0\" }]", "partition `x` is float64, which names no folder"),
        ("partition_by = [\"n\", \"v\", \"t\"]", "so that none is left for the parts"),
    ] {
        let error = refused(output, "");
        assert!(error.contains(told), "{output}: {error}");
    }
    let source = batch([("f", array(Float64Array::from(vec![1.0]))), ("g", array(Float64Array::from(vec![1.0])))]);
    let error = Cleaner::new(&with_output("partition_by = [\"f\"]", ""), source.schema_ref(), "u").unwrap_err();
    assert!(error.to_string().contains("make it whole"), "{error}");
}

#[test]
fn a_partition_is_checked_before_any_source_is_seen() {
    let contract = "[schema]\nextra_columns = \"drop\"\ncolumns = [{ name = \"t\", type = \"timestamp\" }]";
    assert!(validate(&with_output("partition_by = [\"date(t)\"]", contract)).is_ok());
    for (output, told) in [
        ("partition_by = [\"u\"]", "unknown column `u`"),
        ("partition_by = [\"date(t\"]", "bad sql"),
        ("partition_by = [\"month(u)\"]", "unknown column `u`"),
    ] {
        let error = validate(&with_output(output, contract)).unwrap_err().to_string();
        assert!(error.contains(told), "{output}: {error}");
    }
    // Without a contract the column may be the source's.
    assert!(validate(&with_output("partition_by = [\"u\", \"date(w)\"]", "")).is_ok());
}

#[test]
fn rows_that_were_cast_are_counted_and_those_that_did_not_fit() {
    let rules = "[schema]\ncasts = [{ from = \"int64\", to = \"int8\" }, { column = \"w\", to = \"float64\" }]";
    let source = batch([
        ("n", array(Int64Array::from(vec![Some(1), Some(1_000), None]))),
        ("w", array(arrow::array::Float32Array::from(vec![1.0, 2.0, 3.0]))),
        ("same", array(Float64Array::from(vec![1.0, 2.0, 3.0]))),
    ]);
    let cleaner = Cleaner::new(&dataset(rules), source.schema_ref(), "u").unwrap();
    let told: Vec<_> = cleaner
        .coercions()
        .iter()
        .map(|column| (column.column.as_str(), column.from.as_str(), column.to.as_str(), column.widening))
        .collect();
    assert_eq!(told, [("n", "int64", "int8", false), ("w", "float32", "float64", true)]);
    let cleaned = cleaner.clean(&source, 0).unwrap();
    assert_eq!(cleaned.coerced, [CoercedRows { rows: 2, unfit: 1 }, CoercedRows { rows: 3, unfit: 0 }]);
    assert_eq!(column(&cleaned.kept, "n").data_type(), &DataType::Int8);
}
