//! Folders of partitions, as Hive names them: `name=value/`, from the outside in.
//!
//! What is escaped, and what stands for a null or an empty text, is what Hive's own `FileUtils.escapePathName` does
//! (apache/hive, `common/src/java/org/apache/hadoop/hive/common/FileUtils.java`): Spark, Trino, Athena and DuckDB read it
//! back. A text that is itself the word for null is escaped, so that it stays a text.

use arrow::array::{Array, ArrayRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Stands for a null, and for an empty text.
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Times as Hive and Spark write them.
const TIMES: FormatOptions<'static> = FormatOptions::new().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));

/// One value as text; `None` where it is null.
///
/// # Errors
///
/// Where the value has no text: a date beyond the calendar.
pub fn value(array: &ArrayRef, row: usize) -> Result<Option<String>, ArrowError> {
    if array.logical_nulls().is_some_and(|nulls| row >= nulls.len() || nulls.is_null(row)) {
        return Ok(None);
    }
    let formatter = ArrayFormatter::try_new(array.as_ref(), &TIMES)?;
    Ok(Some(formatter.value(row).try_to_string()?))
}

/// `name=value/` for every level.
pub fn folder<'a>(levels: impl Iterator<Item = (&'a str, Option<String>)>) -> String {
    let mut folder = String::new();
    for (name, value) in levels {
        folder.push_str(&escape(name));
        folder.push('=');
        match value.as_deref() {
            None | Some("") => folder.push_str(DEFAULT_PARTITION),
            Some(DEFAULT_PARTITION) => folder.push_str(&DEFAULT_PARTITION.replacen('_', "%5F", 1)),
            Some(text) => folder.push_str(&escape(text)),
        }
        folder.push('/');
    }
    folder
}

fn escape(text: &str) -> String {
    const ESCAPED: &str = "\"#%'*/:=?\\{[]^";
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_control() || ESCAPED.contains(character) {
            escaped.push_str(&format!("%{:02X}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };

    use super::*;

    fn told(array: impl Array + 'static) -> Vec<String> {
        let array: ArrayRef = Arc::new(array);
        (0..array.len()).map(|row| folder([("v", value(&array, row).unwrap())].into_iter())).collect()
    }

    #[test]
    fn values_are_named_as_hive_names_them() {
        assert_eq!(
            told(Date32Array::from(vec![Some(19_753), Some(-1), None])),
            ["v=2024-01-31/", "v=1969-12-31/", "v=__HIVE_DEFAULT_PARTITION__/"]
        );
        assert_eq!(told(Int64Array::from(vec![-7])), ["v=-7/"]);
        assert_eq!(told(BooleanArray::from(vec![true])), ["v=true/"]);
        assert_eq!(told(TimestampMicrosecondArray::from(vec![1_500_000])), ["v=1970-01-01 00%3A00%3A01.500/"]);
        let decimal = Decimal128Array::from(vec![1_250]).with_precision_and_scale(6, 2).unwrap();
        assert_eq!(told(decimal), ["v=12.50/"]);
    }

    #[test]
    fn no_text_leaves_its_folder_or_means_another() {
        let texts = ["", "a/b", "..", "50%", "a=b", "x:y", "é è", "__HIVE_DEFAULT_PARTITION__", "\u{7f}\n"];
        assert_eq!(
            told(StringArray::from(texts.to_vec())),
            [
                "v=__HIVE_DEFAULT_PARTITION__/",
                "v=a%2Fb/",
                "v=../",
                "v=50%25/",
                "v=a%3Db/",
                "v=x%3Ay/",
                "v=é è/",
                "v=%5F_HIVE_DEFAULT_PARTITION__/",
                "v=%7F%0A/",
            ]
        );
    }

    #[test]
    fn levels_nest_from_the_outside_in() {
        let levels = [("year", Some("2024".to_owned())), ("a b/c", None)];
        assert_eq!(folder(levels.into_iter()), "year=2024/a b%2Fc=__HIVE_DEFAULT_PARTITION__/");
    }
}
