//! Which source column feeds which column of the output.

use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use crate::dataset::{ColumnSpec, ExtraColumns, SchemaSpec};

use super::types;

/// A way in which a source differs from what the dataset's file declares, for the run's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "drift", rename_all = "snake_case")]
pub enum Drift {
    /// The source lacks a column of the contract: its default or null stands in.
    Missing {
        /// The contract's name.
        column: String,
    },
    /// The source has a column that the contract does not name.
    Extra {
        /// The source's name.
        column: String,
        /// Whether it reaches the output.
        kept: bool,
    },
    /// The source names a column otherwise: by an alias, or in other case.
    Renamed {
        /// The contract's name.
        column: String,
        /// The source's name.
        source: String,
    },
    /// A column was cast.
    Coerced {
        /// The output's name.
        column: String,
        /// The source's type.
        from: String,
        /// The output's type.
        to: String,
    },
}

/// Where the output's columns come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// For each column of the contract, in order: its place in the source.
    pub contract: Vec<Option<usize>>,
    /// Places of the columns that follow the contract's.
    pub extras: Vec<usize>,
}

/// Finds every column of the contract in a source: by its name, by an alias, then by either without case. A column of
/// the source feeds one column of the output at most.
///
/// # Errors
///
/// A text that says which names are ambiguous, or which columns are too many.
pub(super) fn resolve(spec: &SchemaSpec, source: &Schema, drift: &mut Vec<Drift>) -> Result<Resolved, String> {
    let names: Vec<&str> = source.fields().iter().map(|field| field.name().as_str()).collect();
    let mut taken = vec![false; names.len()];
    let mut contract = vec![None; spec.columns.len()];
    let passes: [fn(&ColumnSpec, &str) -> bool; 4] = [
        |column, name| column.name == name,
        |column, name| column.aliases.iter().any(|alias| alias == name),
        |column, name| same_without_case(&column.name, name),
        |column, name| column.aliases.iter().any(|alias| same_without_case(alias, name)),
    ];
    for fits in passes {
        for (column, place) in spec.columns.iter().zip(contract.iter_mut()) {
            if place.is_some() {
                continue;
            }
            let found: Vec<usize> = names
                .iter()
                .zip(&taken)
                .enumerate()
                .filter(|(_, (name, taken))| !**taken && fits(column, name))
                .map(|(at, _)| at)
                .collect();
            match found.as_slice() {
                [] => {}
                [only] => {
                    *place = Some(*only);
                    if let Some(taken) = taken.get_mut(*only) {
                        *taken = true;
                    }
                }
                several => {
                    let found: Vec<_> =
                        several.iter().filter_map(|at| names.get(*at)).map(|n| format!("`{n}`")).collect();
                    return Err(format!(
                        "column `{}` is ambiguous: the source has {}: name the one meant exactly, as name or alias",
                        column.name,
                        found.join(" and ")
                    ));
                }
            }
        }
    }
    for (column, place) in spec.columns.iter().zip(&contract) {
        match place.and_then(|at| names.get(at)) {
            None => drift.push(Drift::Missing { column: column.name.clone() }),
            Some(name) if *name != column.name => {
                drift.push(Drift::Renamed { column: column.name.clone(), source: (*name).to_owned() });
            }
            Some(_) => {}
        }
    }
    let rest: Vec<usize> = taken.iter().enumerate().filter(|(_, taken)| !**taken).map(|(at, _)| at).collect();
    let extras = extra_columns(spec, &names, rest, drift)?;
    Ok(Resolved { contract, extras })
}

fn extra_columns(
    spec: &SchemaSpec,
    names: &[&str],
    rest: Vec<usize>,
    drift: &mut Vec<Drift>,
) -> Result<Vec<usize>, String> {
    if spec.columns.is_empty() {
        return Ok(rest);
    }
    let extra_names: Vec<&str> = rest.iter().filter_map(|at| names.get(*at).copied()).collect();
    if let (ExtraColumns::Fail, Some(_)) = (spec.extra_columns, extra_names.first()) {
        return Err(format!(
            "the contract does not name {}, and extra_columns = \"fail\": add to [schema] columns, or keep or drop extras",
            extra_names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ));
    }
    let kept = spec.extra_columns == ExtraColumns::Keep;
    drift.extend(extra_names.iter().map(|name| Drift::Extra { column: (*name).to_owned(), kept }));
    Ok(if kept { rest } else { Vec::new() })
}

fn same_without_case(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

/// [`Drift::Coerced`].
pub(super) fn coerced(column: &str, from: &arrow::datatypes::DataType, to: &arrow::datatypes::DataType) -> Drift {
    Drift::Coerced { column: column.to_owned(), from: types::describe(from), to: types::describe(to) }
}
