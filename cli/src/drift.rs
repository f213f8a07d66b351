//! What a run's record says of its source's drift, for people and scripts.

use rowmill::ledger::Coerced;

use crate::render::{Align, Table, count};

/// The lines of drift that no cast with its rows tells better. A record from before rows were counted tells all in lines.
pub fn uncounted<'a>(drift: &'a [String], coerced: &[Coerced]) -> Vec<&'a str> {
    let counted: Vec<String> = coerced.iter().map(Coerced::words).collect();
    drift.iter().filter(|line| !counted.contains(line)).map(String::as_str).collect()
}

/// The columns that were cast, with their rows.
pub fn coerced_table(coerced: &[Coerced]) -> String {
    if coerced.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("rows", Align::Right),
        ("did not fit", Align::Right),
        ("coerced", Align::Left),
        ("from", Align::Left),
        ("to", Align::Left),
        ("", Align::Left),
    ]);
    for column in coerced {
        let kind = if column.widening { "widening" } else { "checked" };
        table.row([
            count(column.rows),
            count(column.unfit),
            column.column.clone(),
            column.from.clone(),
            column.to.clone(),
            kind.to_owned(),
        ]);
    }
    format!("\n{}", table.text(""))
}
