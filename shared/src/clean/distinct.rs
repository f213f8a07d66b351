//! Coded columns: work done once for each distinct value, and carried to the rows by their codes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    AnyDictionaryArray, Array, ArrayRef, AsArray, PrimitiveArray, downcast_integer_array, make_array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::concat;
use arrow::datatypes::{ArrowNativeType, ArrowPrimitiveType, DataType};
use arrow::error::ArrowError;

use super::column::Conformed;
use super::evaluate::{evaluate, false_rows, internal};
use super::sql::Compiled;
use super::verdict::Mask;
use crate::Result;

/// A dictionary whose values are conformed.
#[derive(Debug)]
pub(super) struct Distinct {
    /// The source's values: what the dictionary is known by.
    source: ArrayRef,
    /// In the output's type; null for what did not fit, is outside the list, or has to be null.
    values: ArrayRef,
    /// The same with anything where `values` has null: no row's code leads there.
    reached: ArrayRef,
    unfit: Option<Vec<bool>>,
    unlisted: Option<Vec<bool>>,
    /// What expectations say of the values, by the expectation's number.
    answers: Mutex<HashMap<usize, Arc<Answer>>>,
}

/// What an expectation says of each distinct value.
#[derive(Debug)]
pub(super) enum Answer {
    /// Some value makes it fail: rows have to be asked.
    Fails,
    /// No value breaks it, nor does null.
    Holds,
    /// Which values break it, and whether null does.
    Broken(Vec<bool>, bool),
}

impl Distinct {
    /// The values of a dictionary after `conform`.
    pub(super) fn new(
        source: &ArrayRef,
        conform: impl FnOnce(&ArrayRef) -> Result<Conformed, ArrowError>,
    ) -> Result<Self, ArrowError> {
        let conformed = conform(source)?;
        // A column that is a dictionary by its type: its values are what codes lead to.
        let values = match conformed.array.data_type() {
            DataType::Dictionary(_, values) => arrow::compute::cast(&conformed.array, values)?,
            _ => conformed.array,
        };
        let listed = |mask: Option<Mask>| mask.map(|mask| mask.iter().collect());
        let reached = match values.null_count() {
            0 => values.clone(),
            _ => make_array(values.to_data().into_builder().nulls(None).build()?),
        };
        Ok(Self {
            source: source.clone(),
            values,
            reached,
            unfit: listed(conformed.unfit),
            unlisted: listed(conformed.unlisted),
            answers: Mutex::default(),
        })
    }

    /// Whether it was made of these very values.
    pub(super) fn is_of(&self, source: &ArrayRef) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.source), Arc::as_ptr(source))
    }

    /// Rows of codes, conformed.
    pub(super) fn rows(
        self: &Arc<Self>,
        coded: &dyn AnyDictionaryArray,
        nullable: bool,
    ) -> Result<Conformed, ArrowError> {
        let keys = coded.keys();
        let gathered = |marks: &Option<Vec<bool>>| {
            let rows = gather(keys, marks.as_ref()?, false);
            (rows.count_set_bits() > 0).then_some(rows)
        };
        let array = match self.values.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => coded.with_values(self.reached.clone()),
            Some(nulls) => {
                let valid: Vec<bool> = nulls.iter().collect();
                let valid = NullBuffer::new(gather(keys, &valid, false));
                let coded = coded.with_values(self.reached.clone()).to_data().into_builder();
                make_array(coded.nulls(Some(valid).filter(|valid| valid.null_count() > 0)).build()?)
            }
        };
        let nulls = if nullable { None } else { array.nulls() };
        let missing = nulls.filter(|nulls| nulls.null_count() > 0).map(|nulls| !nulls.inner());
        Ok(Conformed {
            unfit: gathered(&self.unfit),
            unlisted: gathered(&self.unlisted),
            missing,
            array,
            distinct: Some(self.clone()),
        })
    }

    /// The rows in which an expectation, which reads this column alone, is false; `None` where rows have to be asked.
    /// `evaluated` makes of a column the batch that expressions read.
    pub(super) fn false_rows(
        &self,
        number: usize,
        condition: &Compiled,
        rows: &ArrayRef,
        evaluated: impl FnOnce(ArrayRef) -> Result<arrow::array::RecordBatch>,
    ) -> Result<Option<Option<Mask>>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match answers.get(&number) {
            Some(answer) => answer.clone(),
            None => {
                let answer = Arc::new(self.ask(condition, evaluated)?);
                answers.insert(number, answer.clone());
                answer
            }
        };
        drop(answers);
        let Some(coded) = rows.as_any_dictionary_opt() else { return Ok(None) };
        Ok(match answer.as_ref() {
            Answer::Fails => None,
            Answer::Holds => Some(None),
            Answer::Broken(marks, of_null) => {
                let rows = gather(coded.keys(), marks, *of_null);
                Some((rows.count_set_bits() > 0).then_some(rows))
            }
        })
    }

    fn ask(
        &self,
        condition: &Compiled,
        evaluated: impl FnOnce(ArrayRef) -> Result<arrow::array::RecordBatch>,
    ) -> Result<Answer> {
        let null = new_null_array(self.values.data_type(), 1);
        let values = concat(&[self.values.as_ref(), null.as_ref()]).map_err(internal)?;
        let answers = evaluate(condition, &evaluated(values)?)?;
        if answers.errors.is_some() {
            return Ok(Answer::Fails);
        }
        let Some(broken) = false_rows(&answers.values) else { return Ok(Answer::Holds) };
        let mut marks: Vec<bool> = broken.iter().collect();
        let of_null = marks.pop().unwrap_or_default();
        Ok(Answer::Broken(marks, of_null))
    }
}

/// Each row's mark, that of its code or of null.
fn gather(keys: &dyn Array, marks: &[bool], of_null: bool) -> BooleanBuffer {
    let rows = downcast_integer_array! {
        keys => gather_of(keys, marks),
        // Keys are integers.
        _ => BooleanBuffer::new_unset(keys.len())
    };
    match keys.nulls() {
        None => rows,
        Some(valid) if of_null => &rows | &!valid.inner(),
        Some(valid) => &rows & valid.inner(),
    }
}

fn gather_of<K: ArrowPrimitiveType>(keys: &PrimitiveArray<K>, marks: &[bool]) -> BooleanBuffer {
    // A negative one is beyond every mark.
    let mark = |code: K::Native| u64::from(marks.get(code.as_usize()).copied().unwrap_or_default());
    let words = keys
        .values()
        .chunks(64)
        .map(|codes| codes.iter().enumerate().fold(0, |word, (at, code)| word | mark(*code) << at));
    BooleanBuffer::new(Buffer::from_iter(words.map(u64::to_le)), 0, keys.len())
}
