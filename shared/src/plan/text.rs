//! The split of a text source: byte ranges that end where records do, and the columns that all slices agree on.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// What the plan of a CSV or NDJSON source holds besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextPlan {
    /// What tells records apart. Another layout has other boundaries.
    pub layout: String,
    /// The columns in the source's order, with the types that they are read as.
    pub columns: Vec<TextColumn>,
    /// The slices' places in the object, by index.
    pub slices: Vec<TextPlace>,
    /// What ends a line.
    #[serde(default, skip_serializing_if = "LineEnd::is_feed")]
    pub line_end: LineEnd,
    /// Whether the plan counted the records, so that rows of slices are known; otherwise the one slice tells.
    pub counted: bool,
}

/// What ends a line of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineEnd {
    /// A line feed, with or without a carriage return before it.
    #[default]
    Feed,
    /// These, and a carriage return alone: the file's first line ends with one.
    Return,
}

impl LineEnd {
    fn is_feed(&self) -> bool {
        *self == Self::Feed
    }
}

/// A column of a text source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextColumn {
    /// Its name in the source.
    pub name: String,
    /// The type that it is read as, as a dataset file writes it; `null`: it is not read.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// Where a slice lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextPlace {
    /// Bytes of the object, from a record's start to the next slice's, or the object's end.
    pub bytes: Range<u64>,
    /// The line of its first byte, from 1.
    pub line: u64,
}

impl TextPlan {
    /// Whether the slices cover the object, each from where the one before ends; only what goes before the first record
    /// may be left out.
    pub fn tiles(&self, size: u64) -> bool {
        let mut ends = self.slices.iter().map(|slice| slice.bytes.end);
        let starts = self.slices.iter().skip(1).map(|slice| slice.bytes.start);
        let joined = starts.zip(ends.by_ref()).all(|(start, end)| start == end);
        joined && self.slices.last().is_none_or(|last| last.bytes.end == size)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_without_a_line_end_is_one_of_line_feeds_and_such_a_plan_names_none() {
        let text = r#"{"layout":"csv","columns":[],"slices":[],"counted":true}"#;
        let plan: TextPlan = serde_json::from_str(text).unwrap();
        assert_eq!(plan.line_end, LineEnd::Feed);
        assert_eq!(serde_json::to_string(&plan).unwrap(), text);
        let returns = serde_json::to_string(&TextPlan { line_end: LineEnd::Return, ..plan }).unwrap();
        assert!(returns.contains(r#""line_end":"return""#), "{returns}");
    }

    #[test]
    fn slices_with_a_hole_or_a_missing_end_do_not_tile() {
        let plan = |ranges: &[Range<u64>]| TextPlan {
            layout: String::new(),
            columns: Vec::new(),
            slices: ranges.iter().map(|bytes| TextPlace { bytes: bytes.clone(), line: 1 }).collect(),
            line_end: LineEnd::Feed,
            counted: true,
        };
        assert!(plan(&[]).tiles(9));
        assert!(plan(&[3..5, 5..9]).tiles(9));
        assert!(!plan(&[3..5, 6..9]).tiles(9));
        assert!(!plan(&[3..5, 4..9]).tiles(9));
        assert!(!plan(&[3..5, 5..8]).tiles(9));
    }
}
