//! Figures and tables for people.

use std::io::Write;

pub use rowmill::notify::figures::{bytes, count};
use serde::Serialize;

/// Prints one JSON document on standard output.
pub fn print_json(document: &impl Serialize) {
    match serde_json::to_string_pretty(document) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => tracing::error!(%error, "the answer cannot be written as JSON"),
    }
}

/// Prints text. A reader that went away (`| head`) is no error.
pub fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// [`count`] of a length.
pub fn length(number: usize) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX))
}

/// A number as a fraction, for shares and rates.
#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
pub fn float(number: u64) -> f64 {
    number as f64
}

/// Seconds with one digit behind the point, of milliseconds.
pub fn seconds(milliseconds: u64) -> String {
    format!("{:.1}", float(milliseconds) / 1000.0)
}

/// `1 part`, `2 parts`.
pub fn plural(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", length(number), if number == 1 { "" } else { "s" })
}

/// A moment in UTC, to the second.
pub fn moment(milliseconds: i64) -> String {
    match jiff::Timestamp::from_millisecond(milliseconds) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// The day before this moment, in UTC, as `--from` takes it.
pub fn day_before(moment: jiff::Timestamp) -> String {
    let day = moment.to_zoned(jiff::tz::TimeZone::UTC).date();
    day.yesterday().unwrap_or(day).to_string()
}

/// How a column of a table is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Figures.
    Right,
}

/// Rows of cells in columns as wide as their widest cell.
#[derive(Debug)]
pub struct Table {
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[(&str, Align)]) -> Self {
        let row = headings.iter().map(|(heading, _)| (*heading).to_owned()).collect();
        Self { align: headings.iter().map(|(_, align)| *align).collect(), rows: vec![row] }
    }

    /// A table without headings.
    pub fn bare(align: &[Align]) -> Self {
        Self { align: align.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there is nothing below the headings.
    pub fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// The text, each line behind `indent`.
    pub fn text(&self, indent: &str) -> String {
        let widths: Vec<usize> = (0..self.align.len())
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = indent.to_owned();
            for (cell, (align, width)) in row.iter().zip(self.align.iter().zip(&widths)) {
                let gap = " ".repeat(width.saturating_sub(self::width(cell)));
                match align {
                    Align::Left => line.push_str(&format!("{cell}{gap}  ")),
                    Align::Right => line.push_str(&format!("{gap}{cell}  ")),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_by_three() {
        assert_eq!([count(0), count(999), count(1_000), count(1_048_576)], ["0", "999", "1,000", "1,048,576"]);
        assert_eq!(
            [bytes(999), bytes(1_500), bytes(999_949), bytes(2_000_000_000)],
            ["999 B", "1.5 kB", "1.0 MB", "2.0 GB"]
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("name", Align::Left), ("rows", Align::Right)]);
        table.row(["a".to_owned(), "1,000".to_owned()]);
        assert_eq!(table.text("  "), "  name   rows\n  a     1,000\n");
    }
}
