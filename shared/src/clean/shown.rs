//! Values as messages and reasons show them.

use arrow::array::Array;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The longest value shown, in characters.
const MAX_CHARS: usize = 100;

/// Shows values of one array: strings in quotes, long ones cut, control characters escaped.
pub(super) struct Shown<'a> {
    array: &'a dyn Array,
    formatter: Option<ArrayFormatter<'a>>,
    is_string: bool,
}

impl<'a> Shown<'a> {
    pub fn of(array: &'a dyn Array) -> Self {
        let is_string = match array.data_type() {
            DataType::Dictionary(_, values) => values.is_string(),
            other => other.is_string(),
        };
        Self { array, formatter: ArrayFormatter::try_new(array, &FormatOptions::default()).ok(), is_string }
    }

    /// The value in a row; `None` for null.
    pub fn of_row(&self, row: usize) -> Option<String> {
        if self.array.is_null(row) {
            return None;
        }
        let formatter = self.formatter.as_ref();
        let text = formatter.and_then(|formatter| formatter.value(row).try_to_string().ok());
        let text = text.or_else(|| whole_number(self.array, row)).unwrap_or_else(|| "?".to_owned());
        Some(if self.is_string { quoted(&text) } else { bare(&text) })
    }
}

/// A date or time that the calendar does not reach, as the number that stands for it.
pub(super) fn whole_number(array: &dyn Array, row: usize) -> Option<String> {
    let number = cast(&array.slice(row, 1), &DataType::Int64).ok()?;
    let formatter = ArrayFormatter::try_new(number.as_ref(), &FormatOptions::default()).ok()?;
    formatter.value(0).try_to_string().ok()
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(text, true))
}

/// A number, or anything else that needs no quotes.
pub(super) fn bare(text: &str) -> String {
    cut(text, false)
}

fn cut(text: &str, in_quotes: bool) -> String {
    let mut shown = String::new();
    let mut rest = text.chars();
    for char in rest.by_ref().take(MAX_CHARS) {
        match char {
            '\'' => shown.push(char),
            '"' if !in_quotes => shown.push(char),
            _ => shown.extend(char.escape_debug()),
        }
    }
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, StringArray, TimestampMicrosecondArray};

    #[test]
    fn a_value_is_shown_shortened_and_without_control_characters() {
        let texts = StringArray::from(vec![Some("a\tb\n\"c\" \u{1b}[31m it's"), None, Some(&"é".repeat(101))]);
        let shown = Shown::of(&texts);
        assert_eq!(shown.of_row(0).as_deref(), Some(r#""a\tb\n\"c\" \u{1b}[31m it's""#));
        assert_eq!(shown.of_row(1), None);
        assert_eq!(shown.of_row(2), Some(format!("\"{}…\"", "é".repeat(100))));
        assert_eq!(Shown::of(&Int32Array::from(vec![-7])).of_row(0).as_deref(), Some("-7"));
    }

    #[test]
    fn a_time_beyond_the_calendar_is_shown_as_its_number() {
        let times = TimestampMicrosecondArray::from(vec![0, i64::MAX]);
        let shown = Shown::of(&times);
        assert_eq!(shown.of_row(0).as_deref(), Some("1970-01-01T00:00:00"));
        assert_eq!(shown.of_row(1), Some(i64::MAX.to_string()));
    }
}
