//! What CSV and NDJSON sources say beyond `[schema]`: a dialect, paths into records, and bounds.

use serde::Deserialize;

use super::keep::Keep;
use super::notation;
use super::problem::Problem;
use super::{ColumnSpec, DatasetSpec, Format, SourceSpec};

/// `[csv]`: how records and fields are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvSpec {
    /// Between fields: one ASCII character. Default `,`.
    pub delimiter: String,
    /// Around fields that hold delimiters, line ends or quotes (doubled): one ASCII character, or empty for none.
    /// Default `"`.
    pub quote: String,
    /// Whether the first record names the columns. Default true; without it the contract names them, in order.
    pub header: bool,
    /// What stands for null. Default: the empty field.
    pub nulls: Vec<String>,
    /// Whether a field in quotes may be null too. Default true.
    pub quoted_nulls: bool,
    /// Whether white space around every field goes, before the field is held against `nulls`. Default false: numbers,
    /// booleans, dates and times are read without it, and strings keep it.
    pub trim: bool,
    /// Between a number and its decimals: `.` or `,`. Default `.`.
    pub decimal: Option<String>,
    /// How dates are written, as strftime has it, such as `%d/%m/%Y`: a format, or several of which the first that fits
    /// counts. Default: `2020-01-31`, which is not read where this is given.
    #[serde(deserialize_with = "notation::formats")]
    pub dates: Vec<String>,
    /// The same for timestamps, such as `%d/%m/%Y %H:%M`.
    #[serde(deserialize_with = "notation::formats")]
    pub timestamps: Vec<String>,
    /// The encoding: UTF-8, or one of single bytes such as `latin1`. Default UTF-8.
    pub encoding: Option<String>,
}

impl Default for CsvSpec {
    fn default() -> Self {
        Self {
            delimiter: ",".to_owned(),
            quote: "\"".to_owned(),
            header: true,
            nulls: vec![String::new()],
            quoted_nulls: true,
            trim: false,
            decimal: None,
            dates: Vec::new(),
            timestamps: Vec::new(),
            encoding: None,
        }
    }
}

/// One step of a path into a JSON record: a key, and whether its value is an array of which every element makes a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The key.
    pub key: String,
    /// Whether `[]` follows.
    pub each: bool,
}

/// The largest of each bound that a file may ask for.
const MAX_BLOCK_BYTES: u64 = 1 << 32;
const MIN_BLOCK_BYTES: u64 = 1;
const MAX_RECORD_BYTES: u64 = 1 << 28;
const MAX_DEPTH: u32 = 10_000;
const MAX_EXPANSION: u64 = 100_000;
const MAX_NULLS: usize = 100;

/// A path such as `payload.commits[].message`.
///
/// # Errors
///
/// What is wrong, and what to write.
pub fn path(text: &str) -> Result<Vec<Step>, String> {
    let step = |word: &str| {
        let (key, each) = match word.strip_suffix("[]") {
            Some(key) => (key, true),
            None => (word, false),
        };
        if key.is_empty() || key.contains(['[', ']']) {
            return Err(format!(
                "bad path `{text}`: write keys with dots between, such as `payload.commits[].message`"
            ));
        }
        Ok(Step { key: key.to_owned(), each })
    };
    text.split('.').map(step).collect()
}

impl ColumnSpec {
    /// Where the column's values lie in a JSON record: its `path`, else its name as a key.
    ///
    /// # Errors
    ///
    /// What is wrong with the path.
    pub fn steps(&self) -> Result<Vec<Step>, String> {
        match &self.path {
            Some(text) => path(text),
            None => Ok(vec![Step { key: self.name.clone(), each: false }]),
        }
    }
}

impl Format {
    /// How names of files in this format end, in lower case: what is looked for in a folder.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Parquet => &[".parquet"],
            Self::Csv => &[".csv", ".csv.gz", ".csv.zst"],
            Self::Ndjson => &[
                ".json",
                ".json.gz",
                ".json.zst",
                ".jsonl",
                ".jsonl.gz",
                ".jsonl.zst",
                ".ndjson",
                ".ndjson.gz",
                ".ndjson.zst",
            ],
        }
    }
}

impl SourceSpec {
    /// Bytes of a block.
    pub(super) fn default_block_bytes() -> u64 {
        16 << 20
    }

    /// Bytes of a record.
    pub(super) fn default_record_bytes() -> u64 {
        16 << 20
    }

    /// Arrays and objects in one another.
    pub(super) fn default_depth() -> u32 {
        128
    }

    /// Decompressed bytes per compressed byte.
    pub(super) fn default_expansion() -> u64 {
        200
    }
}

/// What is wrong with the text formats' keys.
pub(super) fn problems(spec: &DatasetSpec) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |path: &str, what: String| found.push(Problem { path: path.to_owned(), what });
    let source = &spec.source;
    bounded(&mut add, "block_bytes", source.block_bytes, MIN_BLOCK_BYTES..=MAX_BLOCK_BYTES);
    bounded(&mut add, "record_bytes", source.record_bytes, 1..=MAX_RECORD_BYTES);
    bounded(&mut add, "depth", u64::from(source.depth), 1..=u64::from(MAX_DEPTH));
    bounded(&mut add, "expansion", source.expansion, 1..=MAX_EXPANSION);
    match (&source.keep, source.format) {
        (Some(keep), Format::Ndjson) => {
            if let Err(what) = Keep::parse(keep) {
                add("source.keep", what);
            }
        }
        (Some(_), _) => add("source.keep", "`keep` is for ndjson: write the condition as transform.filter".to_owned()),
        (None, _) => {}
    }
    match (&spec.csv, source.format) {
        (Some(csv), Format::Csv) => dialect(&mut add, csv),
        (Some(_), _) => add("csv", "`[csv]` is for source.format = \"csv\": leave the table out".to_owned()),
        (None, _) => {}
    }
    paths(&mut add, spec);
    found
}

fn bounded(add: &mut impl FnMut(&str, String), key: &str, value: u64, range: std::ops::RangeInclusive<u64>) {
    if !range.contains(&value) {
        add(&format!("source.{key}"), format!("`{key}` is {value}: write {} to {}", range.start(), range.end()));
    }
}

fn dialect(add: &mut impl FnMut(&str, String), csv: &CsvSpec) {
    let one = |text: &str| text.len() == 1 && !text.contains(['\n', '\r']);
    if !one(&csv.delimiter) {
        add("csv.delimiter", "the delimiter is one ASCII character, and no line end: write one such as `,`".to_owned());
    }
    if !csv.quote.is_empty() && !one(&csv.quote) {
        add(
            "csv.quote",
            "the quote is one ASCII character, and no line end: write `\"`, or nothing for none".to_owned(),
        );
    }
    if csv.quote == csv.delimiter {
        add("csv.quote", "quote and delimiter are the same: write two characters".to_owned());
    }
    if csv.nulls.len() > MAX_NULLS {
        add("csv.nulls", format!("{} entries, above the limit of {MAX_NULLS}: write fewer", csv.nulls.len()));
    }
    match csv.decimal.as_deref() {
        None => {}
        Some(decimal) if decimal == csv.delimiter => add(
            "csv.decimal",
            format!(
                "decimal and delimiter are both `{decimal}`: write what is between the fields, such as delimiter = \";\""
            ),
        ),
        Some("." | ",") => {}
        Some(other) => add("csv.decimal", format!("bad decimal `{other}`: write `.` or `,`")),
    }
    for (key, formats) in [("dates", &csv.dates), ("timestamps", &csv.timestamps)] {
        for (at, what) in notation::problems(formats) {
            add(&format!("csv.{key}[{at}]"), what);
        }
    }
}

fn paths(add: &mut impl FnMut(&str, String), spec: &DatasetSpec) {
    let is_json = spec.source.format == Format::Ndjson;
    if is_json && spec.schema.columns.is_empty() {
        add(
            "schema",
            "ndjson needs [schema] columns: name each column, its type and its path, such as `actor.login`".to_owned(),
        );
    }
    let mut exploded: Option<(Vec<Step>, &str)> = None;
    for (index, column) in spec.schema.columns.iter().enumerate() {
        let place = format!("schema.columns[{index}].path");
        if column.path.is_some() && !is_json {
            add(&place, "`path` is for ndjson: name the source's column with `aliases`".to_owned());
            continue;
        }
        if !is_json {
            continue;
        }
        let steps = match column.steps() {
            Ok(steps) => steps,
            Err(what) => {
                add(&place, what);
                continue;
            }
        };
        let Some(at) = steps.iter().position(|step| step.each) else { continue };
        if steps.iter().filter(|step| step.each).count() > 1 {
            add(&place, "a path has one `[]` at most: rows of rows are not made".to_owned());
            continue;
        }
        let array = steps.get(..=at).unwrap_or_default().to_vec();
        match &exploded {
            None => exploded = Some((array, &column.name)),
            Some((other, name)) if *other != array => add(
                &place,
                format!("columns `{name}` and `{}` go through different arrays: one array makes the rows", column.name),
            ),
            Some(_) => {}
        }
    }
}
