//! The dataset file: where sources come from, the contract, the expectations, the output.
//!
//! [`Dataset::parse`] is the only way to a [`Dataset`], so whoever holds one holds a valid one: what can be known
//! without reading a row or planning SQL has been checked, and the output's prefix ends in one `/`.

mod archive;
mod compression;
mod default_value;
pub mod duration;
mod ending;
mod folder;
mod keep;
mod layout;
mod notation;
mod overlap;
mod position;
mod problem;
pub(crate) mod report;
mod source_root;
mod spec;
mod text;
mod types;
mod validate;

use sha2::{Digest, Sha256};

pub use archive::{Archive, MAX_FILES};
pub use compression::Compression;
pub use ending::{Ending, MAX_ATTEMPTS, NotifySpec, RetrySpec};
pub use keep::{Condition, Keep, Scalar};
pub use layout::{Lineage, PartitionSpec, partition_warnings};
pub use notation::{Notation, Rule, Written};
pub use overlap::overlap;
pub use position::Position;
pub use problem::closest;
pub use report::{GroupSpec, MeasureSpec, ReportSpec};
pub use source_root::web_file;
pub use spec::*;
pub use text::{CsvSpec, Step};
pub use types::{ColumnType, TimeUnit};

use crate::storage::web::WebRules;
use crate::{Error, Result};
use position::Locator;
use source_root::SourceMatcher;

/// The longest dataset file, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// A dataset, parsed and validated, with the hash that runs pin.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The file's tables and keys.
    pub spec: DatasetSpec,
    /// SHA-256 of the file's bytes, 64 hex digits: the config hash that a plan pins.
    pub hash: String,
    /// The file as it was given.
    pub text: String,
    /// Where the file came from, for messages: a path or a key.
    pub origin: String,
    /// Which sources are its own.
    matcher: SourceMatcher,
}

impl PartialEq for Dataset {
    /// Equal texts are equal datasets, wherever they came from.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Dataset {
    /// Parses and validates a dataset file. `origin` is where it came from, for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Dataset`] with `origin:line:column: what is wrong, and what to do`; values that parse and are wrong are
    /// all told at once, each on a line of its own.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        if text.len() > MAX_FILE_BYTES {
            return Err(Error::Dataset(format!(
                "{origin}:1:1: the file has {} bytes, above the limit of {MAX_FILE_BYTES}: split it into several datasets",
                text.len()
            )));
        }
        let mut spec: DatasetSpec = toml::from_str(text).map_err(|error| problem::shape_error(text, origin, &error))?;
        let problems = validate::problems(&spec);
        if !problems.is_empty() {
            return Err(problem::values_error(text, origin, &problems));
        }
        let matcher =
            SourceMatcher::new(&spec.source).map_err(|problem| problem::values_error(text, origin, &[problem]))?;
        spec.output.prefix = format!("{}/", spec.output.prefix.trim_end_matches('/'));
        let hash = hex(&Sha256::digest(text.as_bytes()));
        Ok(Self { spec, hash, text: text.to_owned(), origin: origin.to_owned(), matcher })
    }

    /// How its sources write numbers, dates and timestamps.
    pub fn notation(&self) -> Notation {
        self.spec.csv.as_ref().map(Notation::of).unwrap_or_default()
    }

    /// Whether an object is a source of this dataset: below `source.uri` and fitting `source.pattern`. `bucket` is what
    /// stands before the key in a URI: `s3://name`, or `file://` with the absolute path less its first slash as key.
    pub fn matches(&self, bucket: &str, key: &str) -> bool {
        self.matcher.matches(bucket, key)
    }

    /// `source.uri` as a bucket (`s3://name`, `file://`) and a key prefix that is empty or ends in `/`.
    /// `None` where the file names no `uri`.
    pub fn source_root(&self) -> Option<(&str, &str)> {
        self.matcher.root().map(|root| (root.bucket.as_str(), root.prefix.as_str()))
    }

    /// The template of `source.uri`, where it names files by date.
    pub fn archive(&self) -> Option<&Archive> {
        self.matcher.archive()
    }

    /// The web servers that sources may be read from: the host of `source.uri` and those of `source.hosts`.
    pub fn web_rules(&self) -> &WebRules {
        self.matcher.web_rules()
    }

    /// The key's part below `source.uri`. `None` where it lies elsewhere.
    pub fn below_root<'a>(&self, bucket: &str, key: &'a str) -> Option<&'a str> {
        self.matcher.below_root(bucket, key)
    }

    /// The folder of a source's parts: `<output.prefix><source key below its prefix>/`. A source that does not lie
    /// below `source.uri` gets `<output.prefix><16 hex digits of its folder's hash>/<file name>/`.
    ///
    /// Different sources get different folders, none leaves the prefix, and none is hidden from readers.
    pub fn output_folder(&self, bucket: &str, key: &str) -> String {
        format!("{}{}/", self.spec.output.prefix, self.source_folder(bucket, key))
    }

    /// [`Dataset::output_folder`] without the prefix and the last slash: what names the source below any folder of the
    /// dataset, such as its quarantine.
    pub fn source_folder(&self, bucket: &str, key: &str) -> String {
        match self.below_root(bucket, key) {
            Some(below) => folder::inside(below),
            None => folder::outside(bucket, key),
        }
    }

    /// What names the source in the names of its parts where those lie in partitions' folders beside other sources':
    /// [`Dataset::source_folder`] as one name.
    pub fn source_name(&self, bucket: &str, key: &str) -> String {
        folder::flat(&self.source_folder(bucket, key))
    }

    /// Where the value at a key path such as `expectations[2].expr` stands in the file; the table around it where the
    /// key is not written.
    pub fn position(&self, path: &str) -> Option<Position> {
        let span = Locator::new(&self.text)?.span(path);
        Some(Position::of(&self.text, span.start))
    }

    /// Where a place within the string at a key path stands in the file: SQL at line 1, column 5 of an `expr` is four
    /// characters behind its opening quote.
    pub fn position_within(&self, path: &str, within: Position) -> Option<Position> {
        let span = Locator::new(&self.text)?.span(path);
        let literal = self.text.get(span.clone())?;
        Some(Position::of(&self.text, span.start + position::offset_in_literal(literal, within)))
    }

    /// [`Error::Dataset`] about the value at a key path, or about a place within it where it is a string.
    pub fn error_at(&self, path: &str, within: Option<Position>, what: impl std::fmt::Display) -> Error {
        let position = match within {
            Some(within) => self.position_within(path, within),
            None => self.position(path),
        };
        Error::Dataset(format!("{}:{}: {what}", self.origin, position.unwrap_or(Position::START)))
    }
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
