//! `[output]`'s lineage and partitions: what a part holds beyond its rows, and which folder it lies in.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The most entries of `partition_by`: each is a level of folders.
const MAX_ENTRIES: usize = 8;
/// The highest `max_partitions`: each open partition costs memory and an upload.
const MAX_PARTITIONS: u64 = 1_000;
/// Functions whose name alone names a folder well.
const SELF_NAMED: [&str; 7] = ["date", "year", "year_month", "quarter", "month", "day", "hour"];

/// One entry of `partition_by`: a level of `<name>=<value>/` folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionSpec {
    /// `"VendorID"`: a column of the output, spelt as there. It leaves the part, as Hive wants it: the folder says its
    /// value.
    Column(String),
    /// `"date(pickup_datetime)"`, or `{ name = "day", expr = "date(pickup_datetime)" }`.
    Sql {
        /// The folder's column.
        name: String,
        /// SQL over the output's columns.
        expr: String,
        /// Whether it was written as a table.
        named: bool,
    },
}

impl PartitionSpec {
    /// What stands before the `=`.
    pub fn name(&self) -> &str {
        match self {
            Self::Column(name) | Self::Sql { name, .. } => name,
        }
    }

    /// The value, as SQL or a column's name, for messages.
    pub fn expr(&self) -> &str {
        match self {
            Self::Column(name) => name,
            Self::Sql { expr, .. } => expr,
        }
    }

    /// Reads the short form: a column's name, or a function that names itself.
    fn short(text: &str) -> Result<Self, String> {
        let Some((word, _)) = text.split_once('(') else { return Ok(Self::Column(text.to_owned())) };
        let word = word.trim().to_lowercase();
        if SELF_NAMED.contains(&word.as_str()) {
            return Ok(Self::Sql { name: word, expr: text.to_owned(), named: false });
        }
        let known = SELF_NAMED.join(", ");
        Err(format!(
            "partition `{text}` needs a name: write {{ name = \"…\", expr = \"{text}\" }} ({known} name themselves)"
        ))
    }
}

impl<'de> Deserialize<'de> for PartitionSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            name: String,
            expr: String,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = PartitionSpec;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a column, a function such as \"date(pickup)\", or { name, expr }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<PartitionSpec, E> {
                PartitionSpec::short(text).map_err(E::custom)
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<PartitionSpec, M::Error> {
                let Table { name, expr } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(PartitionSpec::Sql { name, expr, named: true })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// `lineage`: columns that tell where a row of the output comes from. `true` is all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lineage {
    /// `_rowmill_source`: the source's URI.
    pub source: bool,
    /// `_rowmill_row`: the row's number in the source, from 0.
    pub row: bool,
    /// `_rowmill_run`: the run's id.
    pub run: bool,
}

impl Lineage {
    /// Whether any column is asked for.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

impl<'de> Deserialize<'de> for Lineage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Word {
            Source,
            Row,
            Run,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Lineage;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("true, false, or some of [\"source\", \"row\", \"run\"]")
            }

            fn visit_bool<E: Error>(self, all: bool) -> Result<Lineage, E> {
                Ok(Lineage { source: all, row: all, run: all })
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut words: S) -> Result<Lineage, S::Error> {
                let mut lineage = Lineage::default();
                while let Some(word) = words.next_element()? {
                    match word {
                        Word::Source => lineage.source = true,
                        Word::Row => lineage.row = true,
                        Word::Run => lineage.run = true,
                    }
                }
                Ok(lineage)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What a person may not have meant: months or quarters of several years in one folder.
pub fn partition_warnings(partition_by: &[PartitionSpec]) -> Vec<String> {
    let text = |entry: &PartitionSpec| entry.expr().to_lowercase();
    let tells_year = partition_by.iter().map(text).any(|expr| expr.contains("year") || expr.contains("date"));
    let entries = partition_by.iter().filter(|_| !tells_year);
    let without_year = entries.filter_map(|entry| {
        let (word, argument) = entry.expr().split_once('(')?;
        let (word, argument) = (word.trim().to_lowercase(), argument.trim_end().trim_end_matches(')'));
        let instead = match word.as_str() {
            "month" => format!("\"year_month({argument})\""),
            "quarter" => format!("\"year({argument})\" before it"),
            _ => return None,
        };
        Some(format!(
            "output.partition_by: `{}` puts the same {word} of every year into one folder: write {instead}",
            entry.expr()
        ))
    });
    without_year.collect()
}

/// What is wrong with the partitions: key path and words.
pub(super) fn problems(partition_by: &[PartitionSpec], max_partitions: u64) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let path = "output.partition_by";
    if partition_by.len() > MAX_ENTRIES {
        let what = format!("{} entries, above the limit of {MAX_ENTRIES}: write fewer", partition_by.len());
        found.push((path.to_owned(), what));
        return found;
    }
    if !(1..=MAX_PARTITIONS).contains(&max_partitions) {
        let what = format!("`max_partitions` is {max_partitions}: write 1 to {MAX_PARTITIONS}");
        found.push(("output.max_partitions".to_owned(), what));
    }
    for (index, entry) in partition_by.iter().enumerate() {
        let path = match entry {
            PartitionSpec::Sql { named: true, .. } => format!("{path}[{index}].name"),
            _ => format!("{path}[{index}]"),
        };
        let name = entry.name();
        if name.starts_with(['_', '.']) {
            let what =
                format!("folder `{name}` starts with `_` or `.`, so readers would not see it: name it otherwise");
            found.push((path.clone(), what));
        }
        let before = partition_by.iter().take(index);
        if before.map(|other| other.name().to_lowercase()).any(|other| other == name.to_lowercase()) {
            let what =
                format!("a second partition named `{name}`: write {{ name = \"…\", expr = … }} with another name");
            found.push((path, what));
        }
    }
    found
}
