//! The drift table for people.

use arrow::datatypes::DataType;

use super::drift::{Column, Layout, Span};
use super::{Document, csv};
use crate::location::shown;
use crate::render::{Align, Table, count, float, length, plural};
use crate::types::type_name;

/// A column that changed more often is told by what it was, not by when.
const MAX_SPANS: usize = 6;
/// Layouts that are listed.
const MAX_LAYOUTS: usize = 12;

/// The tables, the contract and the notes.
pub fn text(document: &Document) -> String {
    let files: Vec<&str> = document.files.iter().map(|file| file.uri.as_str()).collect();
    let labels = Labels::of(&files);
    let mut text = head(document, &labels);
    if document.columns.is_empty() {
        return text;
    }
    text.push_str(&csv::text(&document.files));
    let (drifting, steady): (Vec<&Column>, Vec<&Column>) = document.columns.iter().partition(|column| column.drifts());
    if !drifting.is_empty() {
        text.push_str(&format!("\n{}\n{}", plural(drifting.len(), "column") + " drifted", drifted(&drifting, &labels)));
    }
    if !steady.is_empty() {
        let all = if document.layouts.iter().map(|layout| layout.files).sum::<usize>() > 1 {
            " the same in every file"
        } else {
            ""
        };
        text.push_str(&format!("\n{}{all}\n{}", plural(steady.len(), "column"), unchanged(&steady)));
    }
    text.push_str(&format!("\nA contract for all of them:\n\n{}", document.contract));
    if !document.notes.is_empty() {
        text.push('\n');
    }
    for note in &document.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}

fn head(document: &Document, labels: &Labels) -> String {
    let layouts = &document.layouts;
    let files: usize = layouts.iter().map(|layout| layout.files).sum();
    let rows = layouts.iter().try_fold(0u64, |rows, layout| rows.checked_add(layout.rows?));
    let rows = rows.map_or_else(String::new, |rows| format!(", {} rows", count(rows)));
    let mut text = format!("{}{rows}, {}\n", plural(files, "file"), plural(document.columns.len(), "column"));
    if let Some(name) = labels.pattern() {
        text.push_str(&format!("files are named by what stands for * in {name}\n"));
    }
    if layouts.len() > 1 {
        text.push_str(&format!("\n{}", runs(layouts, labels)));
    }
    text
}

/// Files of one layout after the other.
fn runs(layouts: &[Layout], labels: &Labels) -> String {
    let mut table = Table::new(&[
        ("files", Align::Right),
        ("from", Align::Left),
        ("to", Align::Left),
        ("rows", Align::Right),
        ("columns", Align::Right),
    ]);
    for layout in layouts.iter().take(MAX_LAYOUTS) {
        table.row([
            length(layout.files),
            labels.of_uri(&layout.first),
            if layout.files > 1 { labels.of_uri(&layout.last) } else { String::new() },
            layout.rows.map_or_else(String::new, count),
            length(layout.columns),
        ]);
    }
    let rest = layouts.len().saturating_sub(MAX_LAYOUTS);
    let more = if rest > 0 { format!("… and {} more\n", length(rest)) } else { String::new() };
    format!("{}{more}", table.text(""))
}

/// Columns that changed alike.
struct Group<'a> {
    names: Vec<&'a str>,
    fits: String,
    /// As [`changes`] tells them.
    changes: Vec<[String; 4]>,
}

/// Columns that changed, those that changed alike together: a line for each change, and beside it the columns.
fn drifted(columns: &[&Column], labels: &Labels) -> String {
    let mut table = Table::new(&[
        ("column", Align::Left),
        ("fits all", Align::Left),
        ("from", Align::Left),
        ("files", Align::Right),
        ("type", Align::Left),
        ("nulls", Align::Right),
    ]);
    let mut groups: Vec<Group> = Vec::new();
    for column in columns {
        let changes = changes(column, labels);
        let fits = column.widest.as_ref().map_or_else(|| "nothing".to_owned(), type_name);
        match groups.iter_mut().find(|group| group.changes == changes && group.fits == fits) {
            Some(group) => group.names.push(&column.name),
            None => groups.push(Group { names: vec![&column.name], fits, changes }),
        }
    }
    for (nth, Group { names, fits, changes }) in groups.iter().enumerate() {
        if nth > 0 {
            table.row([]);
        }
        for line in 0..changes.len().max(names.len()) {
            let name = names.get(line).map_or_else(String::new, |name| (*name).to_owned());
            let fits = if line == 0 { fits.clone() } else { String::new() };
            let change = changes.get(line).cloned().unwrap_or_default();
            table.row([name, fits].into_iter().chain(change));
        }
    }
    table.text("")
}

/// What a column was: since which file, in how many, as what, with which nulls.
fn changes(column: &Column, labels: &Labels) -> Vec<[String; 4]> {
    let often = column.spans.len() > MAX_SPANS;
    let spans = if often { by_kind(&column.spans) } else { column.spans.clone() };
    let on_and_off = if often { ", on and off" } else { "" };
    let change = |span: &Span| {
        let nulls = nulls(span.nulls, span.rows);
        [labels.of_uri(&span.first), length(span.files), what(column, span) + on_and_off, nulls]
    };
    spans.iter().map(change).collect()
}

/// What a column was, each kind once, with all of its files.
fn by_kind(spans: &[Span]) -> Vec<Span> {
    let mut kinds: Vec<Span> = Vec::new();
    for span in spans {
        match kinds.iter_mut().find(|kind| kind.name == span.name && kind.data_type == span.data_type) {
            Some(kind) => {
                kind.files += span.files;
                kind.nulls = kind.nulls.zip(span.nulls).and_then(|(sum, more)| sum.checked_add(more));
                kind.rows = kind.rows.zip(span.rows).and_then(|(sum, more)| sum.checked_add(more));
            }
            None => kinds.push(span.clone()),
        }
    }
    kinds
}

fn what(column: &Column, span: &Span) -> String {
    match (&span.name, &span.data_type) {
        (Some(name), Some(data_type)) if *name == column.name => type_name(data_type),
        (Some(name), Some(data_type)) => format!("{} as {name}", type_name(data_type)),
        _ => "missing".to_owned(),
    }
}

/// Columns that are the same everywhere.
fn unchanged(columns: &[&Column]) -> String {
    let mut table = Table::new(&[("column", Align::Left), ("type", Align::Left), ("nulls", Align::Right)]);
    for column in columns {
        let found = column.spans.first().and_then(|span| span.data_type.as_ref());
        let nulls = if found == Some(&DataType::Null) { "all".to_owned() } else { nulls(column.nulls, column.rows) };
        table.row([column.name.clone(), found.map_or_else(String::new, type_name), nulls]);
    }
    table.text("")
}

/// Nulls as a share of the rows; nothing where the files do not say.
fn nulls(nulls: Option<u64>, rows: Option<u64>) -> String {
    match (nulls, rows) {
        (None, _) => String::new(),
        (Some(0), _) => "0".to_owned(),
        (Some(nulls), Some(rows)) if nulls == rows => "all".to_owned(),
        (Some(nulls), Some(rows)) if rows > 0 => {
            let share = float(nulls) / float(rows) * 100.0;
            if share < 0.1 { format!("{} rows", count(nulls)) } else { format!("{share:.1} %") }
        }
        (Some(nulls), _) => count(nulls),
    }
}

/// Short names of files: what is left without the beginning and the end that all share.
struct Labels<'a> {
    before: &'a str,
    after: &'a str,
}

impl<'a> Labels<'a> {
    fn of(uris: &[&'a str]) -> Self {
        let Some((first, rest)) = uris.split_first() else { return Self { before: "", after: "" } };
        let folder = |uri: &'a str| uri.rfind('/').map_or(0, |slash| slash + 1);
        if rest.is_empty() {
            return Self { before: first.get(..folder(first)).unwrap_or(""), after: "" };
        }
        let shared = rest.iter().fold(first.len(), |shared, uri| {
            shared.min(first.bytes().zip(uri.bytes()).take_while(|(a, b)| a == b).count())
        });
        // Back to the end of a word: 2019-02 and 2020-01 do not share a 20.
        let before =
            first.get(..shared).and_then(|head| head.rfind(['/', '_', ' ', '=']).and_then(|at| first.get(..=at)));
        let before = before.unwrap_or("");
        let tails = || rest.iter().filter_map(|uri| uri.get(before.len()..));
        let tail = first.get(before.len()..).unwrap_or("");
        let shared = tails().fold(tail.len(), |shared, other| {
            shared.min(tail.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b).count())
        });
        let after = tail.len().checked_sub(shared).and_then(|at| tail.get(at..)).unwrap_or("");
        let after = after.find(['.', '_', '/']).and_then(|at| after.get(at..)).unwrap_or("");
        Self { before, after }
    }

    fn of_uri(&self, uri: &str) -> String {
        let short = uri.strip_prefix(self.before).and_then(|rest| rest.strip_suffix(self.after));
        short.filter(|short| !short.is_empty()).unwrap_or_else(|| shown(uri)).to_owned()
    }

    /// What the labels were cut from, where anything but the folder was cut.
    fn pattern(&self) -> Option<String> {
        let cut = !self.after.is_empty() || !(self.before.is_empty() || self.before.ends_with('/'));
        cut.then(|| format!("{}*{}", shown(self.before), self.after))
    }
}
