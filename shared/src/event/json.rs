//! Reading JSON that others wrote: each getter's error says where, what was found and what was wanted.

use serde_json::Value;

use super::error::EventError;

/// What stands where a value should: an article and the type's name.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The value below `value` that `fields` lead to; `None` where one of them is missing.
pub(super) fn find<'a>(value: &'a Value, fields: &[&str]) -> Option<&'a Value> {
    fields.iter().try_fold(value, |inner, field| inner.get(field))
}

/// The string below `value` that `fields` lead to, if there is one and it is not empty.
pub(super) fn find_text<'a>(value: &'a Value, fields: &[&str]) -> Option<&'a str> {
    find(value, fields)?.as_str().filter(|text| !text.is_empty())
}

/// The string below `value` that `fields` lead to. It may not be missing, nor empty.
pub(super) fn text<'a>(value: &'a Value, at: &str, fields: &[&str], remedy: &str) -> Result<&'a str, EventError> {
    let place = || format!("{at}.{}", fields.join("."));
    match find(value, fields) {
        None => Err(EventError::new(place(), "is missing", remedy)),
        Some(Value::String(text)) if text.is_empty() => Err(EventError::new(place(), "is empty", remedy)),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(EventError::new(place(), format!("is {}, not a string", type_name(other)), remedy)),
    }
}
