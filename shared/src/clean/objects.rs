//! A source's rows as JSON objects, without losing a value: Arrow's JSON writer, and what it would write as null or as an
//! error.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::shown::whole_number;

/// How values are written: nulls are there, dates and times as ISO 8601 has them, bytes in hex.
pub(super) fn options() -> EncoderOptions {
    EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(Lossless))
}

/// The rows of a batch as JSON objects: a key for each column, in order.
pub(super) struct Objects<'a> {
    columns: Vec<(String, NullableEncoder<'a>)>,
    written: Vec<u8>,
}

impl<'a> Objects<'a> {
    /// Columns may come as codes.
    pub fn of(batch: &'a RecordBatch, options: &'a EncoderOptions) -> Self {
        let fields = batch.schema_ref().fields();
        let encoder = |(field, array): (&'a FieldRef, &'a ArrayRef)| {
            let encoder = make_encoder(field, array.as_ref(), options);
            // Of a type that JSON has no form for.
            let encoder = encoder.unwrap_or_else(|_| Displayed::encoder(array.as_ref()));
            (text(field.name()), encoder)
        };
        Self { columns: fields.iter().zip(batch.columns()).map(encoder).collect(), written: Vec::new() }
    }

    /// A row's object.
    pub fn row(&mut self, row: usize) -> String {
        let written = &mut self.written;
        written.clear();
        written.push(b'{');
        for (at, (name, encoder)) in self.columns.iter_mut().enumerate() {
            if at > 0 {
                written.push(b',');
            }
            written.extend_from_slice(name.as_bytes());
            written.push(b':');
            match encoder.is_null(row) {
                true => written.extend_from_slice(b"null"),
                false => encoder.encode(row, written),
            }
        }
        written.push(b'}');
        String::from_utf8_lossy(written).into_owned()
    }
}

/// An object of text fields: keys and values in order.
pub(super) fn of_texts<'a>(fields: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let pairs: Vec<String> = fields
        .map(|(name, value)| format!("{}:{}", text(name), value.map_or_else(|| "null".to_owned(), text)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// A JSON string.
fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// Encodes what Arrow's writer would lose: floats that are no number, times beyond the calendar, maps whose keys are no
/// text.
#[derive(Debug)]
struct Lossless;

impl EncoderFactory for Lossless {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let has_text_keys = |entries: &DataType| match entries {
            DataType::Struct(fields) => fields.first().is_some_and(|key| key.data_type().is_string()),
            _ => false,
        };
        Ok(match array.data_type() {
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                Some(NullableEncoder::new(Box::new(Floats(array)), array.nulls().cloned()))
            }
            DataType::Map(entries, _) if !has_text_keys(entries.data_type()) => Some(Displayed::encoder(array)),
            other if other.is_temporal() => Some(Displayed::encoder(array)),
            _ => None,
        })
    }
}

/// Floats as the shortest numbers that mean them; others as `"NaN"`, `"Infinity"`, `"-Infinity"`.
struct Floats<'a>(&'a dyn Array);

impl Encoder for Floats<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let written = match self.0.data_type() {
            DataType::Float64 => float(out, self.0.as_primitive::<Float64Type>().value(row)),
            DataType::Float32 => {
                let value = self.0.as_primitive::<Float32Type>().value(row);
                if value.is_finite() { write!(out, "{value:?}") } else { float(out, f64::from(value)) }
            }
            _ => float(out, f64::from(self.0.as_primitive::<Float16Type>().value(row))),
        };
        debug_assert!(written.is_ok(), "memory takes what is written");
    }
}

fn float(out: &mut Vec<u8>, value: f64) -> std::io::Result<()> {
    match value {
        value if value.is_finite() => write!(out, "{value:?}"),
        value if value.is_nan() => write!(out, "\"NaN\""),
        value if value > 0.0 => write!(out, "\"Infinity\""),
        _ => write!(out, "\"-Infinity\""),
    }
}

/// Values as Arrow displays them, in quotes; a time beyond the calendar is the number that stands for it.
struct Displayed<'a> {
    array: &'a dyn Array,
    formatter: Option<ArrayFormatter<'a>>,
}

impl<'a> Displayed<'a> {
    fn encoder(array: &'a dyn Array) -> NullableEncoder<'a> {
        let formatter = ArrayFormatter::try_new(array, &FormatOptions::default()).ok();
        NullableEncoder::new(Box::new(Self { array, formatter }), array.logical_nulls())
    }
}

impl Encoder for Displayed<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let formatter = self.formatter.as_ref();
        let shown = formatter.and_then(|formatter| formatter.value(row).try_to_string().ok());
        let written = match shown {
            Some(shown) => text(&shown),
            None => whole_number(self.array, row).unwrap_or_else(|| "null".to_owned()),
        };
        out.extend_from_slice(written.as_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use arrow::array::{
        BinaryArray, Date32Array, Decimal128Array, DictionaryArray, DurationSecondArray, Float32Array, Float64Array,
        Int32Builder, Int64Array, ListArray, MapBuilder, StringArray, StringBuilder, StructArray,
        TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Field, Int32Type, UInt8Type};

    fn objects(columns: Vec<(&str, ArrayRef)>) -> Vec<String> {
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
        let (batch, options) = (batch.unwrap(), options());
        let mut objects = Objects::of(&batch, &options);
        (0..batch.num_rows()).map(|row| objects.row(row)).collect()
    }

    #[test]
    fn numbers_texts_times_and_bytes_are_json_and_nulls_are_there() {
        let decimals = Decimal128Array::from(vec![Some(1005), None]).with_precision_and_scale(8, 2).unwrap();
        let coded: DictionaryArray<UInt8Type> = vec![Some("a"), None].into_iter().collect();
        let found = objects(vec![
            ("n", Arc::new(Int64Array::from(vec![Some(i64::MAX), None]))),
            ("x", Arc::new(Float64Array::from(vec![Some(1e300), None]))),
            ("y", Arc::new(Float32Array::from(vec![Some(0.1), None]))),
            ("d", Arc::new(decimals)),
            ("s\"", Arc::new(StringArray::from(vec![Some("a\"\n\u{1}é"), None]))),
            ("c", Arc::new(coded)),
            ("b", Arc::new(BinaryArray::from(vec![Some(b"\x00\xff".as_slice()), None]))),
            ("day", Arc::new(Date32Array::from(vec![Some(18_353), None]))),
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None]).with_timezone("UTC"))),
        ]);
        let wanted = "{\"n\":9223372036854775807,\"x\":1e300,\"y\":0.1,\"d\":10.05,\"s\\\"\":\"a\\\"\\n\\u0001é\",\
                      \"c\":\"a\",\"b\":\"00ff\",\"day\":\"2020-04-01\",\"t\":\"1970-01-01T00:00:01.500Z\"}";
        assert_eq!(found[0], wanted);
        let keys = ["n", "x", "y", "d", "s\\\"", "c", "b", "day", "t"].map(|key| format!("\"{key}\":null"));
        assert_eq!(found[1], format!("{{{}}}", keys.join(",")));
    }

    #[test]
    fn what_json_has_no_form_for_is_not_lost() {
        let mut map = MapBuilder::new(None, Int32Builder::new(), StringBuilder::new());
        for _ in 0..3 {
            map.keys().append_value(7);
            map.values().append_value("seven");
            map.append(true).unwrap();
        }
        let found = objects(vec![
            ("x", Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]))),
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, i64::MIN, 0]))),
            ("took", Arc::new(DurationSecondArray::from(vec![1, 2, 3]))),
            ("map", Arc::new(map.finish())),
        ]);
        let first: serde_json::Value = serde_json::from_str(&found[0]).unwrap();
        let second: serde_json::Value = serde_json::from_str(&found[1]).unwrap();
        assert_eq!((&first["x"], &second["x"]), (&"NaN".into(), &"Infinity".into()));
        assert_eq!((&first["t"], &second["t"]), (&i64::MAX.into(), &i64::MIN.into()));
        assert_eq!((&first["took"], &first["map"]), (&"PT1S".into(), &"{7: seven}".into()));
        assert!(found[2].contains("\"x\":\"-Infinity\",\"t\":\"1970-01-01T00:00:00\""), "{}", found[2]);
    }

    #[test]
    fn nested_values_are_nested_json() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
        let inner: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, 2.0]));
        let nested = StructArray::from(vec![(Arc::new(Field::new("x", DataType::Float64, true)), inner)]);
        let found = objects(vec![("list", Arc::new(list)), ("nested", Arc::new(nested))]);
        assert_eq!(found[0], r#"{"list":[1,null],"nested":{"x":"NaN"}}"#);
        assert_eq!(found[1], r#"{"list":null,"nested":{"x":2.0}}"#);
    }
}
