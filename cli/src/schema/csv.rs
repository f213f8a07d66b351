//! What the beginning of a CSV tells, and the `[csv]` table that says so.

use rowmill::dataset::CsvSpec;
use rowmill::read::text::Sniffed;
use serde::Serialize;

use super::FileReport;
use crate::location::shown;
use crate::render::{Align, Table, bytes, count, length, plural};

/// How a file is to be read, judged by a sample of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CsvReport {
    /// Between fields.
    pub delimiter: String,
    /// Around fields; empty: none.
    pub quote: String,
    /// Whether the first record names the columns.
    pub header: bool,
    /// Whether the sample is UTF-8.
    pub utf8: bool,
    /// The encoding; a guess where it is not UTF-8.
    pub encoding: String,
    /// `.` or `,`.
    pub decimal: String,
    /// Columns that are numbers only with a decimal comma.
    pub decimal_commas: usize,
    /// What was looked at.
    pub sample: SampleReport,
}

/// A sample of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SampleReport {
    /// Its bytes, unpacked.
    pub bytes: u64,
    /// Whether it is all of the file.
    pub whole: bool,
    /// Its records.
    pub records: u64,
    /// The file's, judged by the sample.
    pub about_records: u64,
    /// The records of which the fields were counted, the header among them.
    pub counted: usize,
    /// Of these, how many have as many fields as most have.
    pub alike: usize,
    /// How many columns there are.
    pub columns: usize,
}

impl CsvReport {
    /// What was found.
    pub fn of(found: &Sniffed) -> Self {
        let CsvSpec { delimiter, quote, header, decimal, encoding, .. } = found.csv.clone();
        Self {
            delimiter,
            quote,
            header,
            utf8: found.is_utf8,
            encoding: encoding.unwrap_or_else(|| "utf-8".to_owned()),
            decimal: decimal.unwrap_or_else(|| ".".to_owned()),
            decimal_commas: found.decimal_commas,
            sample: SampleReport {
                bytes: found.sample_bytes,
                whole: found.is_whole,
                records: found.records,
                about_records: found.about_records,
                counted: found.looked_at,
                alike: found.alike,
                columns: found.columns.len(),
            },
        }
    }

    /// The `[csv]` table of a dataset file; what is the default is left out, but for the delimiter.
    pub fn table(&self) -> String {
        // What JSON escapes, TOML reads.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut text = format!("[csv]\ndelimiter = {}\n", quoted(&self.delimiter));
        let defaults = CsvSpec::default();
        if self.quote != defaults.quote {
            text.push_str(&format!("quote = {}\n", quoted(&self.quote)));
        }
        if !self.header {
            text.push_str("header = false\n");
        }
        if self.decimal != "." {
            text.push_str(&format!("decimal = {}\n", quoted(&self.decimal)));
        }
        if !self.utf8 {
            text.push_str(&format!("encoding = {}\n", quoted(&self.encoding)));
        }
        text
    }

    /// What a person should know before the proposal is used.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let SampleReport { counted, alike, columns, .. } = self.sample;
        if columns < 2 {
            notes.push("none of , ; tab | makes columns of its records: it is read as one column".to_owned());
        } else if alike < counted {
            let others = counted.saturating_sub(alike);
            notes.push(format!(
                "{} of {} records have not {columns} fields: a run sets them aside",
                length(others),
                length(counted)
            ));
        }
        if !self.header {
            notes.push(
                "its first record looks like data: the columns are named by their places, rename them".to_owned(),
            );
        }
        if !self.utf8 {
            notes.push("it is not UTF-8; latin1 is a guess: see whether its letters come out right".to_owned());
        }
        if !self.sample.whole {
            let what = "types are those of a sample: a value further on that does not fit sets its row aside";
            notes.push(what.to_owned());
        }
        notes
    }
}

/// The CSV files among these, with their names.
fn all(files: &[FileReport]) -> impl Iterator<Item = (&str, &CsvReport)> {
    files.iter().filter_map(|file| Some((shown(&file.uri), file.csv.as_ref()?)))
}

/// The `[csv]` table proposed for all files, which is the first's.
pub fn table(files: &[FileReport]) -> Option<String> {
    all(files).next().map(|(_, csv)| csv.table())
}

/// What a person should know of the files.
pub fn notes(files: &[FileReport]) -> Vec<String> {
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    let first = table(files);
    for (name, csv) in all(files) {
        let mut notes = csv.notes();
        if Some(csv.table()) != first {
            notes.push(format!(
                "it is written otherwise than the first file, so that one [csv] does not fit both: {}",
                line(csv)
            ));
        }
        for note in notes {
            match told.iter_mut().find(|(known, _)| *known == note) {
                Some((_, names)) => names.push(name),
                None => told.push((note, vec![name])),
            }
        }
    }
    let one = |names: &[&str]| match names {
        [name] => (*name).to_owned(),
        [name, ..] => format!("{name} and {} more", length(names.len() - 1)),
        [] => String::new(),
    };
    told.into_iter().map(|(note, names)| format!("{}: {note}", one(&names))).collect()
}

/// A `[csv]` table in one line.
fn line(csv: &CsvReport) -> String {
    csv.table().lines().skip(1).collect::<Vec<_>>().join(", ")
}

/// How the first file is written, and how much of the files was looked at.
pub fn text(files: &[FileReport]) -> String {
    let Some((name, csv)) = all(files).next() else { return String::new() };
    let SampleReport { bytes: looked_at, whole, records, about_records, counted, alike, columns } = csv.sample;
    let read = match whole {
        true => format!("all of {name}, {}", plural_of(records, "record")),
        false => format!(
            "a sample, the first {} of {name}, {} of about {}",
            bytes(looked_at),
            count(records),
            plural_of(about_records, "record")
        ),
    };
    let mut text = format!("\nCSV, judged by {read}\n");
    let mut table = Table::bare(&[Align::Left, Align::Left, Align::Left]);
    let delimiter = if csv.delimiter == "\t" { "tab".to_owned() } else { csv.delimiter.clone() };
    let quote = if csv.quote.is_empty() { "none".to_owned() } else { csv.quote.clone() };
    let fields = format!("{} of {} have {}", length(alike), plural(counted, "record"), plural(columns, "field"));
    let encoding = if csv.utf8 { "UTF-8".to_owned() } else { format!("not UTF-8, perhaps {}", csv.encoding) };
    let commas = match csv.decimal_commas {
        0 => String::new(),
        columns => format!("{} of numbers with it", plural(columns, "column")),
    };
    let header = if csv.header { "yes" } else { "no" };
    table.row(["delimiter".to_owned(), delimiter, fields]);
    table.row(["quote".to_owned(), quote]);
    table.row(["header".to_owned(), header.to_owned()]);
    table.row(["encoding".to_owned(), encoding]);
    table.row(["decimal".to_owned(), csv.decimal.clone(), commas]);
    text.push_str(&table.text("  "));
    let others = all(files).count().saturating_sub(1);
    if others > 0 {
        let alike = all(files).skip(1).filter(|(_, other)| other.table() == csv.table()).count();
        text.push_str(&format!("{} of the {} are written so\n", length(alike), plural(others, "other file")));
    }
    text
}

fn plural_of(number: u64, noun: &str) -> String {
    plural(usize::try_from(number).unwrap_or(usize::MAX), noun)
}
