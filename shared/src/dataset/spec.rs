//! The dataset file's shape, as parsed and validated. Field names are the file's keys.

use serde::Deserialize;

use super::text::CsvSpec;
use super::{ColumnType, Compression, Lineage, NotifySpec, PartitionSpec, ReportSpec, RetrySpec};

/// The file's top level.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// Letters, digits, `_` and `-`; names the dataset's folders in the ledger.
    pub name: String,
    /// Where sources come from.
    pub source: SourceSpec,
    /// The dialect of a CSV source. Absent: commas, double quotes, a header.
    pub csv: Option<CsvSpec>,
    /// Casts and the contract. Absent: columns stay as they are.
    #[serde(default)]
    pub schema: SchemaSpec,
    /// Checked on every row, in order.
    #[serde(default)]
    pub expectations: Vec<Expectation>,
    /// A filter and derived columns.
    #[serde(default)]
    pub transform: TransformSpec,
    /// Where parts go and how they are written.
    pub output: OutputSpec,
    /// How often, and how far apart, what failed is tried again. Absent: [`RetrySpec::default`] on a deployed stack; on one
    /// machine five quick tries, after which the run stays open for the next command.
    pub retry: Option<RetrySpec>,
    /// Which ends of runs are told.
    #[serde(default)]
    pub notify: NotifySpec,
    /// Figures over the rows kept.
    #[serde(default)]
    pub reports: Vec<ReportSpec>,
}

/// `[source]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// `s3://bucket/prefix`, `file:///folder/`, a bare path, or an archive's `https://host/{date}-{hour}.gz`. Absent:
    /// sources are named on the command line only.
    pub uri: Option<String>,
    /// Glob over the key below `uri`. `*` does not cross `/`, `**` does. Default `**`.
    #[serde(default = "SourceSpec::default_pattern")]
    pub pattern: String,
    /// The format.
    pub format: Format,
    /// The relist's window, such as `7d`; absent: all.
    #[serde(default, deserialize_with = "super::duration::deserialize_option")]
    pub modified_within: Option<std::time::Duration>,
    /// NDJSON: which records are read, such as `type = 'PushEvent'`; the others count as filtered. See [`super::Keep`].
    pub keep: Option<String>,
    /// Other web servers that `uri`'s redirects may lead to, or that a SOURCE may lie on: `host` or `host:port`.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Whether web servers may be read from without encryption, by `http://`. Default false.
    #[serde(default)]
    pub allow_http: bool,
    /// A file smaller than this is cleaned by the invocation that planned it, a larger one by one invocation for each
    /// slice. Bytes; 0: each slice is an invocation of its own. Default 32 MiB.
    #[serde(default = "SourceSpec::default_small_bytes")]
    pub small_bytes: u64,
    /// CSV and NDJSON that is not compressed: bytes of a slice, about. Default 16 MiB.
    #[serde(default = "SourceSpec::default_block_bytes")]
    pub block_bytes: u64,
    /// CSV and NDJSON: the largest record, bytes. Default 16 MiB.
    #[serde(default = "SourceSpec::default_record_bytes")]
    pub record_bytes: u64,
    /// NDJSON: arrays and objects in one another. Default 128.
    #[serde(default = "SourceSpec::default_depth")]
    pub depth: u32,
    /// CSV and NDJSON, compressed: decompressed bytes per compressed byte. Default 200.
    #[serde(default = "SourceSpec::default_expansion")]
    pub expansion: u64,
}

/// A source's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values.
    Csv,
    /// One JSON value a line.
    Ndjson,
}

/// `[schema]`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchemaSpec {
    /// What becomes of columns that `columns` does not name. Only read where `columns` is not empty.
    pub extra_columns: ExtraColumns,
    /// What becomes of a row with a value that does not fit its type.
    pub on_cast_error: OnCastError,
    /// Casts for columns that `columns` does not name; the first that matches wins.
    pub casts: Vec<CastRule>,
    /// The contract: the columns of the output, in order. Empty: the source's columns.
    pub columns: Vec<ColumnSpec>,
}

/// `extra_columns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExtraColumns {
    /// Kept behind the contract's columns.
    #[default]
    Keep,
    /// Left out.
    Drop,
    /// The run fails.
    Fail,
}

/// `on_cast_error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCastError {
    /// The row goes to quarantine with the source's value and the reason.
    #[default]
    Quarantine,
    /// The value becomes null, counted as a warning.
    Null,
    /// The run fails.
    Fail,
}

/// One entry of `casts`. It matches a column whose name fits `column` (a glob, case-insensitive) and whose source type
/// is `from`; at least one of the two is given.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CastRule {
    /// Glob over column names.
    pub column: Option<String>,
    /// The source's type.
    pub from: Option<ColumnType>,
    /// The type to cast to.
    pub to: ColumnType,
    /// The values allowed; empty: any.
    #[serde(default)]
    pub values: Vec<String>,
    /// What becomes of a value that is not among `values`.
    #[serde(default)]
    pub otherwise: Otherwise,
    /// Trim white space from strings before anything else.
    #[serde(default)]
    pub trim: bool,
    /// Decimals: round half away from zero what has more digits behind the point than the type. Otherwise it does not fit.
    #[serde(default)]
    pub round: bool,
}

/// `otherwise`: what becomes of a value outside the value list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// It becomes null.
    Null,
    /// As a value that does not fit its type (`on_cast_error`).
    #[default]
    Error,
}

/// One entry of `columns`: a column of the output.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Its name in the output.
    pub name: String,
    /// Its type in the output.
    #[serde(rename = "type")]
    pub data_type: ColumnType,
    /// Whether nulls are allowed; a null in a column that allows none is a cast error.
    #[serde(default = "ColumnSpec::default_nullable")]
    pub nullable: bool,
    /// Other names of the column in sources. Names match without case where that is unambiguous.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// NDJSON: where the values lie in a record, such as `actor.login`; `payload.commits[].message` makes a row of each
    /// element. Absent: the name is the key.
    pub path: Option<String>,
    /// The value where the source has no such column, or a null: TOML of the column's type. Absent: null.
    pub default: Option<toml::Value>,
    /// The values allowed; empty: any.
    #[serde(default)]
    pub values: Vec<String>,
    /// What becomes of a value that is not among `values`.
    #[serde(default)]
    pub otherwise: Otherwise,
    /// Trim white space from strings before anything else.
    #[serde(default)]
    pub trim: bool,
    /// Decimals: round half away from zero what has more digits behind the point than the type. Otherwise it does not fit.
    #[serde(default)]
    pub round: bool,
}

/// One of `[[expectations]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The reason given for rows that break it; unique in the file.
    pub name: String,
    /// SQL boolean over the output's columns. NULL passes, as in a CHECK constraint.
    pub expr: String,
    /// What becomes of rows that break it.
    #[serde(default)]
    pub action: Action,
}

/// An expectation's action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The row goes to quarantine with the expectation's name as a reason.
    #[default]
    Quarantine,
    /// The row is left out and counted as filtered.
    Drop,
    /// The row is kept; the break is counted.
    Warn,
    /// The run fails.
    Fail,
}

/// `[transform]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransformSpec {
    /// SQL boolean: rows where it is not true are left out and counted as filtered.
    pub filter: Option<String>,
    /// Columns derived from the row, appended in order.
    pub columns: Vec<DerivedColumn>,
}

/// One of `transform.columns`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DerivedColumn {
    /// Its name in the output.
    pub name: String,
    /// SQL over the output's columns.
    pub expr: String,
}

/// `[output]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// The folder in the sink, such as `fhvhv/`.
    pub prefix: String,
    /// Source rows per output row group. Default 1,048,576.
    #[serde(default = "OutputSpec::default_row_group_rows")]
    pub row_group_rows: u64,
    /// Output row groups per slice. Default 1.
    #[serde(default = "OutputSpec::default_slice_row_groups")]
    pub slice_row_groups: u64,
    /// The codec. Default `zstd(1)`.
    #[serde(default)]
    pub compression: Compression,
    /// The largest share of rows in quarantine, 0 to 1, before the run fails. Default 0.05.
    #[serde(default = "OutputSpec::default_max_quarantined")]
    pub max_quarantined: f64,
    /// Levels of `<name>=<value>/` folders. Empty: parts lie by source.
    #[serde(default)]
    pub partition_by: Vec<PartitionSpec>,
    /// The most partitions of one slice. Default 64.
    #[serde(default = "OutputSpec::default_max_partitions")]
    pub max_partitions: u64,
    /// Columns that tell where a row comes from. Default none.
    #[serde(default)]
    pub lineage: Lineage,
}

impl SourceSpec {
    fn default_pattern() -> String {
        "**".to_owned()
    }

    fn default_small_bytes() -> u64 {
        32 << 20
    }
}

impl ColumnSpec {
    fn default_nullable() -> bool {
        true
    }
}

impl OutputSpec {
    fn default_row_group_rows() -> u64 {
        1_048_576
    }

    fn default_slice_row_groups() -> u64 {
        1
    }

    fn default_max_quarantined() -> f64 {
        0.05
    }

    fn default_max_partitions() -> u64 {
        64
    }
}
