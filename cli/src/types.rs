//! Types as dataset files write them.

use arrow::datatypes::{DataType, Schema, TimeUnit};

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

/// A type as dataset files write it.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "string".to_owned(),
        DataType::LargeUtf8 => "large_string".to_owned(),
        DataType::Timestamp(unit, None) => {
            let unit = match unit {
                TimeUnit::Second => "s",
                TimeUnit::Millisecond => "ms",
                TimeUnit::Microsecond => "us",
                TimeUnit::Nanosecond => "ns",
            };
            format!("timestamp({unit})")
        }
        DataType::Dictionary(_, _) => "dictionary".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}
