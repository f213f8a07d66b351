//! Strings: trimmed, held against a list of values, and encoded as dictionaries.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, GenericStringArray, Int32Array, OffsetSizeTrait, Scalar,
    StringArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_null, nullif};
use arrow::datatypes::{DataType, Int32Type};
use arrow::error::ArrowError;

use super::types;

/// Trims white space from both ends of every string, once per distinct value in a dictionary. Columns of other types
/// stay as they are.
pub(super) fn trim(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Utf8 => Ok(trim_plain::<i32>(array)),
        DataType::LargeUtf8 => Ok(trim_plain::<i64>(array)),
        DataType::Utf8View => trim(&cast(array, &DataType::Utf8)?),
        DataType::Dictionary(_, values) if types::logical_type(values) == DataType::Utf8 => {
            let dictionary = array.as_any_dictionary();
            let values = dictionary.values();
            let trimmed = trim(&cast(values, &DataType::Utf8)?)?;
            let trimmed = cast(&trimmed, values.data_type())?;
            Ok(dictionary.with_values(trimmed))
        }
        _ => Ok(array.clone()),
    }
}

fn trim_plain<O: OffsetSizeTrait>(array: &ArrayRef) -> ArrayRef {
    let strings = array.as_string::<O>();
    let is_trimmed = |text: &str| text.trim().len() == text.len();
    if strings.iter().flatten().all(is_trimmed) {
        return array.clone();
    }
    let trimmed: GenericStringArray<O> = strings.iter().map(|text| text.map(str::trim)).collect();
    Arc::new(trimmed)
}

/// A list of values, each with its place in the list.
#[derive(Debug, Clone)]
pub(super) struct ValueList {
    values: Arc<StringArray>,
    places: HashMap<String, i32>,
}

impl ValueList {
    /// `None` where the list is empty: any value goes. Repeated values count once.
    pub(super) fn new(values: &[String]) -> Option<Self> {
        let mut places = HashMap::new();
        let mut distinct = Vec::new();
        for value in values {
            let place = i32::try_from(distinct.len()).ok()?;
            places.entry(value.clone()).or_insert_with(|| {
                distinct.push(value.as_str());
                place
            });
        }
        let values = Arc::new(StringArray::from(distinct));
        (!places.is_empty()).then_some(Self { values, places })
    }

    fn place(&self, text: &str) -> Option<i32> {
        // Lists are short, and a look at the strings is faster than a hash.
        const SHORT: usize = 8;
        if self.places.len() > SHORT {
            return self.places.get(text).copied();
        }
        let found = (0..self.values.len()).find(|place| self.values.value(*place) == text)?;
        i32::try_from(found).ok()
    }

    /// Nulls for the strings that are not in the list, and which rows those are.
    pub(super) fn check(&self, strings: &ArrayRef) -> Result<(ArrayRef, Option<BooleanBuffer>), ArrowError> {
        let mut any = false;
        let outside = strings.as_string::<i32>().iter().map(|text| {
            let outside = text.is_some_and(|text| self.place(text).is_none());
            any |= outside;
            outside
        });
        let outside = BooleanBuffer::from_iter(outside);
        if !any {
            return Ok((strings.clone(), None));
        }
        let checked = nullif(strings.as_ref(), &BooleanArray::new(outside.clone(), None))?;
        Ok((checked, Some(outside)))
    }
}

/// Encodes strings (of any layout, or a dictionary of them) as a dictionary with 32-bit indices: the list's values in
/// the list's order, or without a list the column's in order of first appearance. So the dictionary depends on the rows
/// alone, not on how the source stored them.
///
/// Strings outside the list become null; the mask tells which rows those are.
pub(super) fn encode(
    array: &ArrayRef,
    list: Option<&ValueList>,
) -> Result<(ArrayRef, Option<BooleanBuffer>), ArrowError> {
    let mut codes = Codes { list, grown: Vec::new(), places: HashMap::new() };
    let (keys, outside) = match array.data_type() {
        DataType::Dictionary(..) => encode_dictionary(array, &mut codes)?,
        _ => encode_plain(&cast(array, &DataType::Utf8)?, &mut codes),
    };
    let values: ArrayRef = match list {
        Some(list) => list.values.clone(),
        None => Arc::new(StringArray::from(codes.grown)),
    };
    Ok((Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values)?), outside))
}

/// Puts a default (one row of the column's type) in place of every null.
pub(super) fn fill(array: &ArrayRef, default: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if array.logical_null_count() == 0 {
        return Ok(array.clone());
    }
    let Some(dictionary) = array.as_dictionary_opt::<Int32Type>() else {
        return zip(&is_null(array)?, &Scalar::new(default.clone()), array);
    };
    let wanted = cast(default, &DataType::Utf8)?;
    let wanted = wanted.as_string::<i32>().value(0);
    let values = dictionary.values().as_string::<i32>();
    let mut texts: Vec<Option<&str>> = values.iter().collect();
    let place = texts.iter().position(|text| *text == Some(wanted)).unwrap_or_else(|| {
        texts.push(Some(wanted));
        texts.len() - 1
    });
    let place = i32::try_from(place).map_err(|_| ArrowError::DictionaryKeyOverflowError)?;
    let keys: Int32Array = dictionary.keys().iter().map(|key| Some(key.unwrap_or(place))).collect();
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(StringArray::from(texts)))?))
}

fn encode_plain(strings: &ArrayRef, codes: &mut Codes<'_>) -> (Int32Array, Option<BooleanBuffer>) {
    let strings = strings.as_string::<i32>();
    // Runs of one value are the rule where a dictionary is worth having.
    let mut last: Option<(&str, Option<i32>)> = None;
    let mut any_outside = false;
    let keys: Int32Array = strings
        .iter()
        .map(|text| {
            let text = text?;
            let code = match last {
                Some((seen, code)) if seen == text => code,
                _ => codes.code(text),
            };
            last = Some((text, code));
            any_outside |= code.is_none();
            code
        })
        .collect();
    let outside = any_outside.then(|| super::cast::became_null(strings, &keys)).flatten();
    (keys, outside)
}

fn encode_dictionary(
    array: &ArrayRef,
    codes: &mut Codes<'_>,
) -> Result<(Int32Array, Option<BooleanBuffer>), ArrowError> {
    let plain = cast(array, &types::dictionary_type())?;
    let dictionary = plain.as_dictionary::<Int32Type>();
    let values = dictionary.values().as_string::<i32>();
    // What each of the old dictionary's values became: unknown until a row shows it, so that the order is the rows'.
    let mut remapped: Vec<Option<Option<i32>>> = vec![None; values.len()];
    let mut any_outside = false;
    let keys: Int32Array = dictionary
        .keys()
        .iter()
        .map(|key| {
            let key = usize::try_from(key?).ok()?;
            let slot = remapped.get_mut(key)?;
            if values.is_null(key) {
                return None;
            }
            let code = *slot.get_or_insert_with(|| codes.code(values.value(key)));
            any_outside |= code.is_none();
            code
        })
        .collect();
    let outside = any_outside.then(|| super::cast::became_null(dictionary, &keys)).flatten();
    Ok((keys, outside))
}

/// Indices into the dictionary in the making.
struct Codes<'a> {
    list: Option<&'a ValueList>,
    grown: Vec<String>,
    places: HashMap<String, i32>,
}

impl Codes<'_> {
    /// The index of a value; `None` where it is outside the list (or the dictionary is full: 2^31 values).
    fn code(&mut self, text: &str) -> Option<i32> {
        if let Some(list) = self.list {
            return list.place(text);
        }
        if let Some(code) = self.places.get(text) {
            return Some(*code);
        }
        let code = i32::try_from(self.grown.len()).ok()?;
        self.grown.push(text.to_owned());
        self.places.insert(text.to_owned(), code);
        Some(code)
    }
}
