//! Columns that come as codes are cleaned as if their values were written out.

use arrow::array::{Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use proptest::prelude::*;

use super::super::{Cleaned, Cleaner};
use super::properties::{RULES, row, rows_as_batch, unpacked};
use super::{array, dataset};
use crate::coded;

/// Nulls are forbidden or replaced, casts give nulls, and expectations fail on some values and on null.
const CONTRACT: &str = r#"
[schema]
on_cast_error = "null"
columns = [
  { name = "x", type = "float32", nullable = false, default = 1.5 },
  { name = "n", type = "int32", nullable = false },
  { name = "flag", type = "string", values = ["Y", "N"], trim = true },
  { name = "code", type = "dictionary", values = ["a", "b"] },
]
[[expectations]]
name = "inverse"
expr = "1 / n >= 0"
action = "warn"
[[expectations]]
name = "known"
expr = "m is not null and m < 1000"
action = "drop"
[[expectations]]
name = "both"
expr = "n <= m"
action = "warn"
"#;

/// The plain columns of a batch as codes, into dictionaries in another order and with values that no row has.
fn as_codes(batch: &RecordBatch, spare: &RecordBatch) -> RecordBatch {
    let coded = batch.columns().iter().zip(spare.columns()).map(|(column, spare)| {
        if matches!(column.data_type(), DataType::Dictionary(..)) {
            return column.clone();
        }
        let rows = i32::try_from(column.len()).unwrap();
        let reversed = take(column, &Int32Array::from_iter_values((0..rows).rev()), None).unwrap();
        let values = concat(&[reversed.as_ref(), spare.as_ref()]).unwrap();
        // A dictionary has no nulls: what is null points nowhere.
        let values = arrow::array::make_array(values.to_data().into_builder().nulls(None).build().unwrap());
        let keys = (0..rows).map(|row| column.is_valid(usize::try_from(row).unwrap()).then_some(rows - 1 - row));
        array(DictionaryArray::<Int32Type>::try_new(keys.collect(), values).unwrap())
    });
    let coded: Vec<ArrayRef> = coded.collect();
    let fields: Vec<Field> = batch
        .schema()
        .fields()
        .iter()
        .zip(&coded)
        .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), coded).unwrap()
}

/// The batch with its codes written out, and true dictionaries too, so that equal rows are equal.
fn plain(batch: &RecordBatch, schema: &Schema) -> Vec<ArrayRef> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| coded::unpack(column, field.data_type()).unwrap());
    let fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    unpacked(&RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns.collect()).unwrap())
}

fn same(cleaner: &Cleaner, coded: &Cleaned, wanted: &Cleaned) -> Result<(), TestCaseError> {
    prop_assert_eq!(&coded.counts, &wanted.counts);
    prop_assert_eq!(&coded.reasons, &wanted.reasons);
    prop_assert_eq!(&coded.dropped, &wanted.dropped);
    prop_assert_eq!(&coded.warnings, &wanted.warnings);
    let schema = cleaner.output_schema();
    prop_assert_eq!(plain(&coded.kept, schema), plain(&wanted.kept, schema));
    let set_aside = |cleaned: &Cleaned| cleaned.quarantined.as_ref().map(unpacked);
    prop_assert_eq!(set_aside(coded), set_aside(wanted));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn codes_are_cleaned_as_their_values(
        rows in prop::collection::vec(row(), 1..60), spare in prop::collection::vec(row(), 1..10), cut in 0usize..60,
    ) {
        let source = rows_as_batch(&rows);
        let coded = as_codes(&source, &rows_as_batch(&spare));
        for rules in [RULES, CONTRACT] {
            let cleaner = Cleaner::new(&dataset(rules), source.schema_ref(), "u").unwrap();
            let wanted = cleaner.clean(&source, 0).unwrap();
            same(&cleaner, &cleaner.clean(&coded, 0).unwrap(), &wanted)?;
            // The same dictionary again, other rows.
            let cut = cut.min(rows.len());
            let wanted = cleaner.clean(&source.slice(cut, rows.len() - cut), 7).unwrap();
            same(&cleaner, &cleaner.clean(&coded.slice(cut, rows.len() - cut), 7).unwrap(), &wanted)?;
        }
    }
}

#[test]
fn what_is_kept_of_codes_is_codes_of_one_dictionary() {
    let source = rows_as_batch(&[(Some(1.0), Some(2), Some(1), Some("Y"), Some("a")); 4]);
    let coded = as_codes(&source, &source);
    let cleaner = Cleaner::new(&dataset(RULES), source.schema_ref(), "u").unwrap();
    let kept = |from: usize| cleaner.clean(&coded.slice(from, 2), 0).unwrap().kept;
    for column in 0..4 {
        let values = |batch: RecordBatch| {
            let column = batch.column(column).as_any().downcast_ref::<DictionaryArray<Int32Type>>().unwrap().clone();
            std::sync::Arc::as_ptr(column.values()).cast::<()>()
        };
        assert_eq!(values(kept(0)), values(kept(2)), "column {column}");
    }
}

#[test]
fn an_error_shows_the_value_of_a_code() {
    let source = rows_as_batch(&[(Some(-1.0), Some(2), Some(1), Some("Y"), Some("a"))]);
    let rules = "[[expectations]]\nname = \"text\"\nexpr = \"flag = 'N'\"\naction = \"fail\"";
    let cleaner = Cleaner::new(&dataset(rules), source.schema_ref(), "u").unwrap();
    let told = |batch: &RecordBatch| cleaner.clean(batch, 0).unwrap_err().to_string();
    assert_eq!(told(&as_codes(&source, &source)), told(&source));
}
