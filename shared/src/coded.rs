//! Coded columns: a column whose values are codes into a dictionary, though its type is that of the values.
//!
//! It is how a column travels from a source that holds it dictionary-encoded to the part, and no matter of its type:
//! where a schema says `Float32`, a batch may hold a `Dictionary(UInt8, Float32)`. Codes are as narrow as the dictionary's
//! length allows: of 8, 16 or 32 bits. All batches of one column chunk share one dictionary (the same
//! [`Arc`](std::sync::Arc)), so what is found out about a distinct value holds for all of them.

use arrow::array::{AnyDictionaryArray, Array, ArrayRef, AsArray};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Whether a column of type `found` may stand for one of type `wanted`.
pub fn represents(found: &DataType, wanted: &DataType) -> bool {
    found == wanted || values_of(found).is_some_and(|values| Some(values) == values_of(wanted).or(Some(wanted)))
}

fn values_of(found: &DataType) -> Option<&DataType> {
    match found {
        DataType::Dictionary(codes, values)
            if matches!(**codes, DataType::UInt8 | DataType::UInt16 | DataType::Int32) =>
        {
            Some(values)
        }
        _ => None,
    }
}

/// The codes and dictionary of a column that stands for one of type `wanted`; `None` where it is one.
pub fn parts<'a>(array: &'a ArrayRef, wanted: &DataType) -> Option<&'a dyn AnyDictionaryArray> {
    if array.data_type() == wanted {
        return None;
    }
    array.as_any_dictionary_opt()
}

/// The column with its values written out.
///
/// # Errors
///
/// Where it does not stand for a column of type `wanted`.
pub fn unpack(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    match parts(array, wanted) {
        Some(_) if values_of(wanted).is_some() && represents(array.data_type(), wanted) => cast(array, wanted),
        Some(coded) if represents(array.data_type(), wanted) => take(coded.values(), coded.keys(), None),
        None if array.data_type() == wanted => Ok(array.clone()),
        _ => Err(ArrowError::SchemaError(format!("a column of {} stands for no {wanted}", array.data_type()))),
    }
}
