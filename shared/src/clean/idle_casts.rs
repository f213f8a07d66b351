//! Cast rules that match no column: no error, and most likely not what was meant.

use arrow::datatypes::{Schema, SchemaRef};

use super::{CompiledRules, program, resolve};
use crate::dataset::{CastRule, Dataset, ExtraColumns, Format};

/// Characters that make a pattern more than a name.
const GLOB_CHARACTERS: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

/// A warning for each of `[schema] casts` that can match no column, or that matched none of `sources`, where there are
/// any: with line and column of the dataset's file, and what to do.
///
/// Casts apply to columns that the contract does not name, and of these the first that fits applies. A rule that fits
/// columns of the contract alone, each of the type that it would give, is left in peace: it waits for columns to come.
pub fn idle_casts(dataset: &Dataset, sources: &[SchemaRef]) -> Vec<String> {
    let seen = Seen::of(dataset, sources);
    let rules = dataset.spec.schema.casts.iter().enumerate();
    let warnings = rules.filter_map(|(index, rule)| {
        let what = never(dataset, rule).or_else(|| seen.idle(index, rule, sources.len()))?;
        let key = if rule.column.is_some() { "column" } else { "from" };
        Some(program::located(dataset, &format!("schema.casts[{index}].{key}"), None, &what))
    });
    warnings.collect()
}

/// Why a rule can match no column of any source, where that is so.
fn never(dataset: &Dataset, rule: &CastRule) -> Option<String> {
    let spec = &dataset.spec.schema;
    if spec.columns.is_empty() {
        return None;
    }
    let only_contract = match (dataset.spec.source.format, spec.extra_columns) {
        (Format::Ndjson, _) => Some("ndjson has the contract's columns only"),
        (_, ExtraColumns::Drop) => Some("extra_columns = \"drop\" leaves the contract's columns only"),
        (_, ExtraColumns::Fail) => Some("extra_columns = \"fail\" allows the contract's columns only"),
        (_, ExtraColumns::Keep) => None,
    };
    if let Some(why) = only_contract {
        let remedy = "casts do not apply to those: set the `type` in [schema] columns, and remove the cast";
        return Some(format!("this cast can match nothing: {why}, and {remedy}"));
    }
    let name = rule.column.as_deref().filter(|pattern| !pattern.contains(GLOB_CHARACTERS))?.to_lowercase();
    let named = |known: &str| known.to_lowercase() == name;
    let column =
        spec.columns.iter().find(|column| named(&column.name) || column.aliases.iter().any(|alias| named(alias)))?;
    Some(format!("this cast can match nothing: {}", of_contract(&[column.name.as_str()])))
}

fn of_contract(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    let (verb, of) = if names.len() == 1 { ("is a column", "its") } else { ("are columns", "their") };
    format!(
        "{}{more} {verb} of the contract, to which casts do not apply: set {of} `type` in [schema] columns",
        shown.join(", ")
    )
}

/// What the rules fit among the sources' columns, by rule.
#[derive(Debug, Default)]
struct Seen {
    /// Whether it casts a column.
    casts: Vec<bool>,
    /// A column that it fits and an earlier rule casts.
    earlier: Vec<Option<String>>,
    /// Whether it fits a column of the contract.
    fits_contract: Vec<bool>,
    /// Those of them that have another type than it would give, each once.
    contract: Vec<Vec<String>>,
}

impl Seen {
    fn of(dataset: &Dataset, sources: &[SchemaRef]) -> Self {
        let rules = dataset.spec.schema.casts.len();
        let mut seen = Self {
            casts: vec![false; rules],
            earlier: vec![None; rules],
            fits_contract: vec![false; rules],
            contract: vec![Vec::new(); rules],
        };
        // Patterns were checked when the file was parsed.
        let Ok(compiled) = CompiledRules::new(&dataset.spec.schema.casts) else { return seen };
        for source in sources {
            seen.add(dataset, &compiled, source);
        }
        seen
    }

    fn add(&mut self, dataset: &Dataset, rules: &CompiledRules<'_>, source: &Schema) {
        let spec = &dataset.spec.schema;
        let Ok(resolved) = resolve::resolve(spec, source, &mut Vec::new()) else { return };
        for field in resolved.extras.iter().filter_map(|at| source.fields().get(*at)) {
            let mut fitting = rules.fitting(field);
            if let Some(casts) = fitting.next().and_then(|first| self.casts.get_mut(first)) {
                *casts = true;
            }
            for later in fitting {
                if let Some(earlier) = self.earlier.get_mut(later) {
                    earlier.get_or_insert_with(|| field.name().clone());
                }
            }
        }
        for (column, place) in spec.columns.iter().zip(&resolved.contract) {
            let Some(field) = place.and_then(|at| source.fields().get(at)) else { continue };
            for rule in rules.fitting(field) {
                if let Some(fits) = self.fits_contract.get_mut(rule) {
                    *fits = true;
                }
                let same_type = spec.casts.get(rule).is_some_and(|rule| rule.to == column.data_type);
                if let Some(names) = self.contract.get_mut(rule)
                    && !same_type
                    && !names.contains(&column.name)
                {
                    names.push(column.name.clone());
                }
            }
        }
    }

    /// Why a rule matched none of `sources` sources, where that is so.
    fn idle(&self, index: usize, rule: &CastRule, sources: usize) -> Option<String> {
        if sources == 0 || self.casts.get(index).copied().unwrap_or(true) {
            return None;
        }
        let of = if sources == 1 { "the source".to_owned() } else { format!("any of the {sources} sources") };
        let why = match (self.earlier.get(index)?, self.contract.get(index)?.as_slice()) {
            (Some(column), _) => format!("an earlier cast takes `{column}`: put this one before it"),
            (None, []) if self.fits_contract.get(index).copied().unwrap_or(false) => return None,
            (None, []) => match (&rule.column, &rule.from) {
                (Some(column), Some(from)) => format!("no column named `{column}` is {from}"),
                (Some(column), None) => format!("no column is named `{column}`"),
                (None, Some(from)) => format!("no column is {from}"),
                (None, None) => return None,
            },
            (None, names) => of_contract(&names.iter().map(String::as_str).collect::<Vec<_>>()),
        };
        Some(format!("this cast matched no column of {of}: {why}"))
    }
}
