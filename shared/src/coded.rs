//! Coded columns: a column whose values are codes into a dictionary, though its type is that of the values.
//!
//! It is how a column travels from a source that holds it dictionary-encoded to the part, and no matter of its type:
//! where a schema says `Float32`, a batch may hold a `Dictionary(Int32, Float32)`. All batches of one column chunk share
//! one dictionary (the same [`Arc`](std::sync::Arc)), so what is found out about a distinct value holds for all of them.

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type};
use arrow::error::ArrowError;

/// Whether a column of type `found` may stand for one of type `wanted`.
pub fn represents(found: &DataType, wanted: &DataType) -> bool {
    found == wanted || values_of(found).is_some_and(|values| values == wanted)
}

/// The type of coded columns that stand for `plain`.
pub fn type_of(plain: &DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(plain.clone()))
}

fn values_of(found: &DataType) -> Option<&DataType> {
    match found {
        DataType::Dictionary(codes, values) if **codes == DataType::Int32 => Some(values),
        _ => None,
    }
}

/// The codes and dictionary of a column that stands for one of type `wanted`; `None` where it is one.
pub fn parts<'a>(array: &'a ArrayRef, wanted: &DataType) -> Option<&'a DictionaryArray<Int32Type>> {
    if array.data_type() == wanted {
        return None;
    }
    array.as_dictionary_opt::<Int32Type>()
}

/// The column with its values written out.
///
/// # Errors
///
/// Where it does not stand for a column of type `wanted`.
pub fn unpack(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    match parts(array, wanted) {
        Some(coded) if represents(array.data_type(), wanted) => take(coded.values(), coded.keys(), None),
        None if array.data_type() == wanted => Ok(array.clone()),
        _ => Err(ArrowError::SchemaError(format!("a column of {} stands for no {wanted}", array.data_type()))),
    }
}
