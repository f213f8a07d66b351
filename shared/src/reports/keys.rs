//! Groups, numbered in the order in which they first appear.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::arity::unary;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

/// The groups of one report.
#[derive(Debug)]
pub(super) struct Keys {
    /// `None` where all rows are one group.
    converter: Option<RowConverter>,
    /// A group's values as bytes, which are equal where the values are.
    numbers: HashMap<Arc<[u8]>, usize>,
    order: Vec<Arc<[u8]>>,
    /// Whether there was any row.
    seen: bool,
}

impl Keys {
    pub(super) fn new(types: &[DataType]) -> Result<Self, ArrowError> {
        let fields: Vec<_> = types.iter().map(|data_type| SortField::new(data_type.clone())).collect();
        let converter = if fields.is_empty() { None } else { Some(RowConverter::new(fields)?) };
        Ok(Self { converter, numbers: HashMap::new(), order: Vec::new(), seen: false })
    }

    /// How many groups have rows.
    pub(super) fn len(&self) -> usize {
        if self.converter.is_some() { self.order.len() } else { usize::from(self.seen) }
    }

    /// The group of each row.
    pub(super) fn number(&mut self, values: &[ArrayRef], rows: usize) -> Result<Vec<usize>, ArrowError> {
        self.seen |= rows > 0;
        let Some(converter) = &self.converter else { return Ok(vec![0; rows]) };
        let values: Vec<ArrayRef> = values.iter().map(normal).collect();
        let keys = converter.convert_columns(&values)?;
        let mut numbers = Vec::with_capacity(rows);
        // Rows of one group often follow each other.
        let mut last: Option<(&[u8], usize)> = None;
        for row in 0..keys.num_rows() {
            let key = keys.row(row).data();
            let number = match last.filter(|(before, _)| *before == key) {
                Some((_, number)) => number,
                None => match self.numbers.get(key) {
                    Some(number) => *number,
                    None => {
                        let number = self.order.len();
                        let key: Arc<[u8]> = key.into();
                        self.numbers.insert(Arc::clone(&key), number);
                        self.order.push(key);
                        number
                    }
                },
            };
            last = Some((key, number));
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// Whether all rows are one group, which is told also where there is no row.
    pub(super) fn is_whole(&self) -> bool {
        self.converter.is_none()
    }

    /// The groups' values, by number.
    pub(super) fn values(&self) -> Result<Vec<ArrayRef>, ArrowError> {
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let parser = converter.parser();
        converter.convert_rows(self.order.iter().map(|key| parser.parse(key)))
    }
}

/// Floats of which equal ones have equal bytes: -0.0 is 0.0, and there is one NaN.
fn normal(values: &ArrayRef) -> ArrayRef {
    match values.data_type() {
        DataType::Float32 => {
            Arc::new(unary::<_, _, Float32Type>(values.as_primitive::<Float32Type>(), |value| match value.is_nan() {
                true => f32::NAN,
                false => value + 0.0,
            }))
        }
        DataType::Float64 => {
            Arc::new(unary::<_, _, Float64Type>(values.as_primitive::<Float64Type>(), |value| match value.is_nan() {
                true => f64::NAN,
                false => value + 0.0,
            }))
        }
        _ => Arc::clone(values),
    }
}
