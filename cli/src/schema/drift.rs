//! The drift table: columns by name, whatever their case, and the files from which on each was otherwise.

use arrow::datatypes::DataType;
use rowmill::clean::{Widest, widest};
use serde::{Serialize, Serializer};

use super::sample::Sample;
use crate::types::type_name;

/// Files next to each other that have the same columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layout {
    /// The first of them.
    pub first: String,
    /// The last of them.
    pub last: String,
    /// How many.
    pub files: usize,
    /// Their rows, where all are known.
    pub rows: Option<u64>,
    /// How many columns each has.
    pub columns: usize,
}

/// A column over all files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Its name: the spelling that most files have.
    pub name: String,
    /// Other spellings.
    pub aliases: Vec<String>,
    /// The type that holds the values of all files; `None` where there is none.
    #[serde(rename = "type", serialize_with = "optional_type")]
    pub widest: Option<DataType>,
    /// What a person should know of that type.
    pub notes: Vec<String>,
    /// Files where two columns have this name but for case.
    pub ambiguous_in: Vec<String>,
    /// Whether every file has it and none has a null there, as far as the files say.
    pub never_null: bool,
    /// Nulls in the files that have it, where all of those say.
    pub nulls: Option<u64>,
    /// Rows of the files that have it.
    pub rows: Option<u64>,
    /// What it was, from file to file.
    pub spans: Vec<Span>,
}

/// Files next to each other in which a column is the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    /// The first of them.
    pub first: String,
    /// The last of them.
    pub last: String,
    /// How many.
    pub files: usize,
    /// What it is called there; `None` where it is missing.
    pub name: Option<String>,
    /// Its type there; `None` where it is missing.
    #[serde(rename = "type", serialize_with = "optional_type")]
    pub data_type: Option<DataType>,
    /// Its nulls there, where all of the files say.
    pub nulls: Option<u64>,
    /// Their rows.
    pub rows: Option<u64>,
}

impl Column {
    /// Where no type holds the values of all files, which are text, a string does.
    pub fn or_string(&mut self) {
        if self.widest.is_none() {
            self.widest = Some(DataType::Utf8);
            self.notes = self.notes.iter().map(|note| format!("{note} but string")).collect();
        }
    }

    /// Whether any file has it otherwise than another.
    pub fn drifts(&self) -> bool {
        self.spans.len() > 1
    }
}

/// What files next to each other have in common.
pub fn layouts(samples: &[Sample]) -> Vec<Layout> {
    let mut layouts: Vec<Layout> = Vec::new();
    let mut before: Option<&Sample> = None;
    for sample in samples {
        let alike = |before: &Sample| {
            before.columns.len() == sample.columns.len()
                && before
                    .columns
                    .iter()
                    .zip(&sample.columns)
                    .all(|(a, b)| a.name == b.name && a.data_type == b.data_type)
        };
        match layouts.last_mut().filter(|_| before.is_some_and(alike)) {
            Some(layout) => {
                layout.last.clone_from(&sample.uri);
                layout.files += 1;
                layout.rows = sum(layout.rows, sample.rows);
            }
            None => layouts.push(Layout {
                first: sample.uri.clone(),
                last: sample.uri.clone(),
                files: 1,
                rows: sample.rows,
                columns: sample.columns.len(),
            }),
        }
        before = Some(sample);
    }
    layouts
}

/// Every column that any file has, in the order in which they first appear.
pub fn columns(samples: &[Sample]) -> Vec<Column> {
    let mut keys: Vec<String> = Vec::new();
    for column in samples.iter().flat_map(|sample| &sample.columns) {
        let key = column.name.to_lowercase();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.iter().map(|key| column(key, samples)).collect()
}

fn column(key: &str, samples: &[Sample]) -> Column {
    let mut spans: Vec<Span> = Vec::new();
    let mut spellings: Vec<(String, usize)> = Vec::new();
    let mut ambiguous_in = Vec::new();
    let mut types: Vec<DataType> = Vec::new();
    for sample in samples {
        let found: Vec<_> = sample.columns.iter().filter(|column| column.name.to_lowercase() == *key).collect();
        for column in &found {
            match spellings.iter_mut().find(|(name, _)| *name == column.name) {
                Some((_, files)) => *files += 1,
                None => spellings.push((column.name.clone(), 1)),
            }
            if !types.contains(&column.data_type) {
                types.push(column.data_type.clone());
            }
        }
        if found.len() > 1 {
            ambiguous_in.push(sample.uri.clone());
        }
        let here = found.first();
        let span = Span {
            first: sample.uri.clone(),
            last: sample.uri.clone(),
            files: 1,
            name: here.map(|column| column.name.clone()),
            data_type: here.map(|column| column.data_type.clone()),
            nulls: here.and_then(|column| column.nulls),
            rows: sample.rows,
        };
        match spans.last_mut().filter(|last| last.name == span.name && last.data_type == span.data_type) {
            Some(last) => {
                last.last = span.last;
                last.files += 1;
                last.nulls = sum(last.nulls, span.nulls);
                last.rows = sum(last.rows, span.rows);
            }
            None => spans.push(span),
        }
    }
    // The most frequent spelling; of equals the first.
    let most = spellings.iter().map(|(_, files)| *files).max().unwrap_or(0);
    let name = spellings.iter().find(|(_, files)| *files == most).map(|(name, _)| name.clone()).unwrap_or_default();
    let aliases = spellings.into_iter().map(|(spelling, _)| spelling).filter(|spelling| *spelling != name).collect();
    let there = || spans.iter().filter(|span| span.name.is_some());
    let nulls = there().try_fold(0u64, |nulls, span| nulls.checked_add(span.nulls?));
    let rows = there().try_fold(0u64, |rows, span| rows.checked_add(span.rows?));
    let (widest, notes) = common(&types);
    Column {
        never_null: nulls == Some(0) && rows.is_some_and(|rows| rows > 0) && there().count() == spans.len(),
        name,
        aliases,
        widest,
        notes,
        ambiguous_in,
        nulls,
        rows,
        spans,
    }
}

/// The type that holds the values of all types.
fn common(types: &[DataType]) -> (Option<DataType>, Vec<String>) {
    let mut notes: Vec<String> = Vec::new();
    let mut so_far: Option<DataType> = None;
    for found in types {
        let Some(before) = &so_far else {
            // With itself: what it is called without its encoding.
            so_far = Some(widest(found, found).map_or_else(|| found.clone(), |found| found.data_type));
            continue;
        };
        let Some(Widest { data_type, note }) = widest(before, found) else {
            let what = format!("{} and {} have no type in common", type_name(before), type_name(found));
            return (None, vec![what]);
        };
        if let Some(note) = note {
            let (before, found, common) = (type_name(before), type_name(found), type_name(&data_type));
            notes.push(format!("{before} and {found} become {common}: {note}"));
        }
        so_far = Some(data_type);
    }
    (so_far, notes)
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one?.checked_add(other?)
}

fn optional_type<S: Serializer>(data_type: &Option<DataType>, serializer: S) -> Result<S::Ok, S::Error> {
    data_type.as_ref().map(type_name).serialize(serializer)
}
