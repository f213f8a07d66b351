//! One column of the output: where it comes from and what is done to its values.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AnyDictionaryArray, Array, ArrayRef, StringArray, UInt32Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;

use super::cast::Cast;
use super::distinct::Distinct;
use super::types;
use super::values::{self, ValueList};
use crate::dataset::{CastRule, ColumnSpec, ColumnType, Notation, Otherwise};

/// How a column of the output is made.
#[derive(Debug)]
pub(super) struct Column {
    pub field: Field,
    /// Its place in the source; `None` where the source lacks it.
    pub source: Option<usize>,
    work: Work,
    /// The dictionary that the source's last codes came with.
    last: Mutex<Option<Arc<Distinct>>>,
}

#[derive(Debug)]
enum Work {
    /// Values stay as they are.
    Keep,
    Conform(Conform),
}

#[derive(Debug)]
struct Conform {
    cast: Cast,
    /// Dictionary-encode the strings that the cast gives.
    encode: bool,
    list: Option<ValueList>,
    otherwise: Otherwise,
    trim: bool,
    /// One row: what stands in for every null.
    default: Option<ArrayRef>,
    nullable: bool,
}

/// A conformed column. Rows named by a mask hold null, or the default.
#[derive(Debug)]
pub(super) struct Conformed {
    pub array: ArrayRef,
    /// Rows whose value did not fit the type.
    pub unfit: Option<BooleanBuffer>,
    /// Rows whose value is outside the list, where that is an error.
    pub unlisted: Option<BooleanBuffer>,
    /// Rows with a null where none is allowed, whatever made it.
    pub missing: Option<BooleanBuffer>,
    /// Where the array is coded: its distinct values.
    pub distinct: Option<Arc<Distinct>>,
}

/// Whether a column's values come out as they went in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passes {
    /// Whatever they are.
    Always,
    /// Some do and some may not.
    ByValue,
    /// They get another type.
    Never,
}

impl Column {
    /// What becomes of the values of its column in the source, `from`.
    pub(super) fn passes(&self, from: &Field) -> Passes {
        let (from_type, to) = (from.data_type(), self.field.data_type());
        let is_text = |data_type: &DataType| types::logical_type(data_type) == DataType::Utf8;
        let Work::Conform(conform) = &self.work else { return Passes::Always };
        if from_type != to && !(is_text(from_type) && is_text(to)) {
            return Passes::Never;
        }
        let may_lack = !conform.nullable && from.is_nullable();
        match conform.list.is_some() || conform.trim || conform.default.is_some() || may_lack {
            true => Passes::ByValue,
            false => Passes::Always,
        }
    }

    /// A column as the source has it.
    pub(super) fn kept(field: &Field, source: usize) -> Self {
        Self { field: field.clone(), source: Some(source), work: Work::Keep, last: Mutex::default() }
    }

    /// A column that a cast rule matches.
    pub(super) fn cast(
        field: &Field,
        source: usize,
        rule: &CastRule,
        notation: &Notation,
        nulls_instead: bool,
    ) -> Result<Self, String> {
        let conform = Conform {
            cast: plan_cast(field.data_type(), &rule.to, rule.round, notation)?,
            encode: rule.to == ColumnType::Dictionary,
            list: ValueList::new(&rule.values),
            otherwise: rule.otherwise,
            trim: rule.trim,
            default: None,
            // Nulls of the source pass, as there is no contract to forbid them.
            nullable: true,
        };
        let may_null = nulls_instead || (conform.list.is_some() && conform.otherwise == Otherwise::Null);
        let nullable = field.is_nullable() || may_null;
        let field = Field::new(field.name(), output_type(&rule.to)?, nullable);
        Ok(Self { field, source: Some(source), work: Work::Conform(conform), last: Mutex::default() })
    }

    /// A column of the contract. `source` is its place in the source and its type there; `None` where it is missing.
    pub(super) fn contract(
        spec: &ColumnSpec,
        source: Option<(usize, &DataType)>,
        notation: &Notation,
    ) -> Result<Self, String> {
        let to = output_type(&spec.data_type)?;
        let default = default_value(spec, &to)?;
        if source.is_none() && default.is_none() && !spec.nullable {
            let aliases: Vec<_> = spec.aliases.iter().map(|alias| format!("`{alias}`")).collect();
            let also = if aliases.is_empty() { String::new() } else { format!(" (nor {})", aliases.join(", ")) };
            return Err(format!(
                "the source has no column `{}`{also}, which allows no null and has no default: give it a default, \
                 an alias or nullable = true",
                spec.name
            ));
        }
        let from = source.map_or(&DataType::Null, |(_, from)| from);
        let cast = plan_cast(from, &spec.data_type, spec.round, notation)
            .map_err(|problem| format!("column `{}`: {problem}", spec.name))?;
        let conform = Conform {
            cast,
            encode: spec.data_type == ColumnType::Dictionary,
            list: ValueList::new(&spec.values),
            otherwise: spec.otherwise,
            trim: spec.trim,
            default,
            nullable: spec.nullable,
        };
        let field = Field::new(&spec.name, to, spec.nullable);
        let source = source.map(|(at, _)| at);
        Ok(Self { field, source, work: Work::Conform(conform), last: Mutex::default() })
    }

    /// Makes the column of a batch of `rows` rows. `source` is its column in the source, if it has one.
    pub(super) fn conform(&self, source: Option<&ArrayRef>, rows: usize) -> Result<Conformed, ArrowError> {
        match (&self.work, source) {
            (Work::Keep, Some(array)) => {
                Ok(Conformed { array: array.clone(), unfit: None, unlisted: None, missing: None, distinct: None })
            }
            (Work::Keep, None) => Err(ArrowError::SchemaError(format!("column {} has no source", self.field.name()))),
            (Work::Conform(conform), Some(array)) => conform.apply(array),
            (Work::Conform(conform), None) => {
                let array = match &conform.default {
                    Some(default) => take(default, &UInt32Array::from(vec![0; rows]), None)?,
                    None => new_null_array(self.field.data_type(), rows),
                };
                Ok(Conformed { array, unfit: None, unlisted: None, missing: None, distinct: None })
            }
        }
    }
}

impl Column {
    /// As [`conform`](Self::conform), for a column that comes as codes: each distinct value is looked at once for all
    /// batches of a dictionary. `None` where rows have to be looked at.
    pub(super) fn conform_coded(&self, coded: &dyn AnyDictionaryArray) -> Result<Option<Conformed>, ArrowError> {
        let nullable = match &self.work {
            Work::Keep => true,
            // Rows without a value get the default, which the dictionary may lack.
            Work::Conform(conform) if conform.default.is_some() && coded.logical_null_count() > 0 => return Ok(None),
            Work::Conform(conform) => conform.nullable,
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let distinct = match last.as_ref().filter(|last| last.is_of(coded.values())) {
            Some(known) => known.clone(),
            None => {
                let new = Arc::new(Distinct::new(coded.values(), |values| self.conform(Some(values), values.len()))?);
                *last = Some(new.clone());
                new
            }
        };
        drop(last);
        distinct.rows(coded, nullable).map(Some)
    }
}

impl Conform {
    fn apply(&self, source: &ArrayRef) -> Result<Conformed, ArrowError> {
        let trimmed = if self.trim { values::trim(source)? } else { source.clone() };
        let (array, unfit, outside) = self.convert(&trimmed)?;
        let unlisted = outside.filter(|_| self.otherwise == Otherwise::Error);
        let array = match &self.default {
            Some(default) => values::fill(&array, default)?,
            None => array,
        };
        let nulls = if self.nullable { None } else { array.logical_nulls() };
        let missing = nulls.filter(|nulls| nulls.null_count() > 0).map(|nulls| !nulls.inner());
        Ok(Conformed { array, unfit, unlisted, missing, distinct: None })
    }

    /// The values in their new type, those that did not fit, and those outside the list.
    #[allow(clippy::type_complexity, reason = "a column and two masks")]
    fn convert(
        &self,
        array: &ArrayRef,
    ) -> Result<(ArrayRef, Option<BooleanBuffer>, Option<BooleanBuffer>), ArrowError> {
        if !self.encode {
            let (cast, unfit) = self.cast.apply(array)?;
            return match &self.list {
                Some(list) => list.check(&cast).map(|(checked, outside)| (checked, unfit, outside)),
                None => Ok((cast, unfit, None)),
            };
        }
        // Strings, however stored, are encoded as they lie; other types are written out first.
        let is_text = types::logical_type(array.data_type()) == DataType::Utf8;
        let (text, unfit) = if is_text { (array.clone(), None) } else { self.cast.apply(array)? };
        let (encoded, outside) = values::encode(&text, self.list.as_ref())?;
        Ok((encoded, unfit, outside))
    }
}

/// The type of a column declared as `to`.
pub(super) fn output_type(to: &ColumnType) -> Result<DataType, String> {
    match types::arrow_type(to) {
        None | Some(DataType::Null) => Err(format!("`{to}` is no type for an output")),
        Some(to) => Ok(to),
    }
}

/// The cast to a declared type; to strings where they are encoded as a dictionary afterwards. `round` is for decimals,
/// `notation` for texts.
pub(super) fn plan_cast(from: &DataType, to: &ColumnType, round: bool, notation: &Notation) -> Result<Cast, String> {
    match to {
        ColumnType::Dictionary => Cast::plan(from, &DataType::Utf8),
        to => Cast::plan_written(from, &output_type(to)?, round, notation),
    }
}

/// The default as one row of the column's type. It is cast from its text, as a string column of a source would be.
pub(super) fn default_value(spec: &ColumnSpec, to: &DataType) -> Result<Option<ArrayRef>, String> {
    let text = match &spec.default {
        None => return Ok(None),
        Some(toml::Value::String(text)) => text.clone(),
        Some(toml::Value::Integer(integer)) => integer.to_string(),
        Some(toml::Value::Float(float)) => float.to_string(),
        Some(toml::Value::Boolean(boolean)) => boolean.to_string(),
        Some(toml::Value::Datetime(datetime)) => datetime.to_string(),
        Some(other) => return Err(format!("column `{}`: the default is a {}", spec.name, other.type_str())),
    };
    let refusal =
        |why: String| format!("column `{}`: the default {text} is no {}{why}", spec.name, types::describe(to));
    let array: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
    if spec.data_type == ColumnType::Dictionary {
        return values::encode(&array, None)
            .map(|(array, _)| Some(array))
            .map_err(|error| refusal(format!(": {error}")));
    }
    let cast = Cast::plan(&DataType::Utf8, to).map_err(|why| refusal(format!(": {why}")))?;
    match cast.apply(&array) {
        Ok((array, None)) => Ok(Some(array)),
        Ok((_, Some(_))) => Err(refusal(String::new())),
        Err(error) => Err(refusal(format!(": {error}"))),
    }
}
