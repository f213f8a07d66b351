//! A contract that every file fulfils, as TOML to paste into a dataset's file.

use arrow::datatypes::DataType;
use rowmill::clean::{declared, validate};
use rowmill::dataset::{ColumnType, Dataset};

use super::drift::Column;
use crate::fault::Fault;

/// What a dataset's file needs besides.
fn rest(format: &str) -> String {
    format!("name = \"proposed\"\n[source]\nformat = \"{format}\"\n[output]\nprefix = \"proposed/\"\n")
}

/// The proposal.
#[derive(Debug)]
pub struct Proposal {
    /// The `[schema]` table, behind `[csv]` where the files are CSV.
    pub contract: String,
    /// What a person should know of it.
    pub notes: Vec<String>,
}

/// Proposes a contract for these columns. What it cannot hold (nested columns, columns without a common type, names that a
/// contract cannot have) is left to `extra_columns = "keep"`, and told. `csv` is the `[csv]` table of CSV files.
pub fn propose(columns: &[Column], csv: Option<&str>) -> Result<Proposal, Fault> {
    let rest = rest(if csv.is_some() { "csv" } else { "parquet" });
    let table = |lines: &[String]| match csv {
        Some(csv) => format!("{csv}\n{}", table(lines)),
        None => table(lines),
    };
    let accepted = |contract: &str| accepted(&format!("{rest}{contract}"));
    let mut lines = Vec::new();
    // What is told, and of which columns.
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    let mut tell = |what: String, name: String| match told.iter_mut().find(|(known, _)| *known == what) {
        Some((_, names)) => names.push(name),
        None => told.push((what, vec![name])),
    };
    for column in columns {
        match line(column) {
            Ok(line) if accepted(&table(std::slice::from_ref(&line))).is_ok() => {
                lines.push(line);
                column.notes.iter().for_each(|note| tell(note.clone(), column.name.clone()));
            }
            Ok(_) => tell("left out: a contract takes no such name".to_owned(), format!("{:?}", column.name)),
            Err(why) => tell(format!("left out: {why}"), column.name.clone()),
        }
    }
    let notes = told.into_iter().map(|(what, names)| format!("{}: {what}", names.join(", "))).collect();
    let contract = table(&lines);
    accepted(&contract)
        .map_err(|error| Fault::failed(format!("the contract proposed is wrong: {error}: report this")))?;
    Ok(Proposal { contract, notes })
}

/// What makes sure that the proposal can be pasted.
fn accepted(dataset: &str) -> rowmill::Result<()> {
    validate(&Dataset::parse(dataset, "proposed.toml")?)
}

fn table(lines: &[String]) -> String {
    let mut text = "[schema]\nextra_columns = \"keep\"\ncolumns = [\n".to_owned();
    for line in lines {
        text.push_str(&format!("  {line},\n"));
    }
    text.push_str("]\n");
    text
}

fn line(column: &Column) -> Result<String, String> {
    if let Some(file) = column.ambiguous_in.first() {
        return Err(format!("{file} has several columns of this name but for case"));
    }
    let Some(widest) = &column.widest else { return Err(column.notes.join("; ")) };
    let column_type = match declared(widest) {
        Some(ColumnType::Null) => return Err("it is null in every file, so that nothing tells its type".to_owned()),
        Some(column_type) => column_type,
        None => return Err(format!("a contract takes no {}", crate::types::type_name(widest))),
    };
    // What JSON escapes, TOML reads.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut line = format!("{{ name = {}, type = {}", quoted(&column.name), quoted(&column_type.to_string()));
    if column.never_null && widest != &DataType::Null {
        line.push_str(", nullable = false");
    }
    if !column.aliases.is_empty() {
        let aliases: Vec<String> = column.aliases.iter().map(|alias| quoted(alias)).collect();
        line.push_str(&format!(", aliases = [{}]", aliases.join(", ")));
    }
    line.push_str(" }");
    Ok(line)
}
