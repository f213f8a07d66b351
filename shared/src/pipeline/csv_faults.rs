//! Why a CSV file's columns are not those of the contract, where the file's first record tells.

use crate::dataset::{ColumnSpec, CsvSpec, Dataset, Format};
use crate::read::text::{Empty, Head};

/// Delimiters that files have.
const DELIMITERS: [char; 4] = [';', '\t', '|', ','];
/// The longest header shown, in characters.
const MAX_SHOWN_CHARS: usize = 100;

/// What to say of a file whose first record is one field that holds another delimiter, while the contract has other
/// columns: read so, it would publish columns of nulls.
pub(super) fn delimiter(dataset: &Dataset, head: &Head) -> Option<String> {
    let contract = &dataset.spec.schema.columns;
    let field = head.one_field.as_deref().filter(|_| dataset.spec.source.format == Format::Csv)?;
    let csv = dataset.spec.csv.clone().unwrap_or_default();
    let is_known = contract.iter().any(|column| is_named(column, field));
    if contract.is_empty() || (csv.header && is_known) {
        return None;
    }
    let candidates = DELIMITERS.into_iter().filter(|candidate| csv.delimiter != candidate.to_string());
    let judged = candidates.filter_map(|candidate| {
        let parts: Vec<&str> = field.split(candidate).map(|part| unquoted(part, &csv)).collect();
        let known = parts.iter().filter(|part| contract.iter().any(|column| is_named(column, part))).count();
        let is_likely = parts.len() > 1 && (csv.header || parts.len() == contract.len());
        is_likely.then_some(((known, parts.len()), candidate))
    });
    let (_, likely) = judged.max_by_key(|(merit, _)| *merit)?;
    let (first, likely) = (shown(field), shown(&likely.to_string()));
    let what = if csv.header { "the header has one column" } else { "the first record has one field" };
    Some(format!("{what} `{first}`: is the delimiter `{likely}`? set [csv] delimiter = \"{likely}\""))
}

/// What to say of a file without a record that lacks columns of the contract.
pub(super) fn emptiness(dataset: &Dataset, head: &Head) -> Option<String> {
    let empty = head.empty?;
    if empty != Empty::HeaderOnly {
        return Some(format!("{empty}, and so none of the columns that the dataset needs: deliver it again"));
    }
    let named = |column: &&ColumnSpec| head.names.iter().flatten().any(|name| is_named(column, name));
    let needed = dataset.spec.schema.columns.iter().filter(|column| !column.nullable && column.default.is_none());
    let missing: Vec<String> =
        needed.filter(|column| !named(column)).map(|column| format!("`{}`", column.name)).collect();
    (!missing.is_empty()).then(|| format!("{empty}, and the header lacks {}: deliver it again", missing.join(", ")))
}

fn is_named(column: &ColumnSpec, name: &str) -> bool {
    let name = name.to_lowercase();
    std::iter::once(&column.name).chain(&column.aliases).any(|known| known.to_lowercase() == name)
}

/// A text as a line of an error: tabs and the like escaped, and not too long.
fn shown(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let mut shown: String = text.chars().take(MAX_SHOWN_CHARS).map(escaped).collect();
    if text.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn unquoted<'t>(part: &'t str, csv: &CsvSpec) -> &'t str {
    let part = part.trim();
    let within = part.strip_prefix(csv.quote.as_str()).and_then(|rest| rest.strip_suffix(csv.quote.as_str()));
    within.unwrap_or(part)
}
