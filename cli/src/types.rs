//! Types as dataset files write them.

use arrow::datatypes::{DataType, Schema};
use rowmill::clean::declared;

use crate::render::{Align, Table};

/// Names and types of columns, in order.
pub type Columns = Vec<(String, String)>;

/// A schema's columns.
pub fn columns(schema: &Schema) -> Columns {
    schema.fields().iter().map(|field| (field.name().clone(), type_name(field.data_type()))).collect()
}

/// The columns that any source had otherwise, with what they were.
pub fn changes<'a>(before: impl Iterator<Item = &'a Columns> + Clone, after: &Columns) -> Table {
    let mut table = Table::new(&[("column", Align::Left), ("before", Align::Left), ("after", Align::Left)]);
    for (name, after) in after {
        let mut seen: Vec<String> = Vec::new();
        for columns in before.clone() {
            let told = match columns.iter().find(|(column, _)| column.eq_ignore_ascii_case(name)) {
                Some((column, before)) if column == name => before.clone(),
                Some((column, before)) => format!("{before} as {column}"),
                None => "missing".to_owned(),
            };
            if !seen.contains(&told) {
                seen.push(told);
            }
        }
        if seen.iter().any(|before| before != after) {
            table.row([name.clone(), seen.join(", "), after.clone()]);
        }
    }
    table
}

/// A type as dataset files write it; other ways to store text are told.
pub fn type_name(data_type: &DataType) -> String {
    match (data_type, declared(data_type)) {
        (DataType::LargeUtf8, _) => "large_string".to_owned(),
        (_, Some(declared)) => declared.to_string(),
        (DataType::Struct(_), None) => "struct".to_owned(),
        (DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..), None) => "list".to_owned(),
        (DataType::Map(..), None) => "map".to_owned(),
        (other, None) => other.to_string().to_lowercase(),
    }
}
