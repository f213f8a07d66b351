//! The ledger's objects. Each carries [`FORMAT`]; a reader refuses by name what it does not understand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{RowCounts, Run};
use crate::cost::{Took, Usage};
use crate::plan::Slice;
use crate::storage::{Content, ObjectVersion};
use crate::write::PendingUpload;

/// The format of ledger objects and messages that this version writes and reads.
pub const FORMAT: u32 = 1;
/// The format of plans whose slices are byte ranges: a version that knows [`FORMAT`] alone refuses them.
pub const TEXT_FORMAT: u32 = 2;
/// The format of plans of files whose lines end with carriage returns: older versions would find one record in them.
pub const RETURNS_FORMAT: u32 = 3;

/// The split of a source into slices, written once per run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose plan.
    pub run: Run,
    /// The run that was published of this very version when the plan was made: whoever cuts otherwise than that one did,
    /// did so knowing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<String>,
    /// Rows of the source, from its footer, or counted; 0 where the plan of a text did not count them.
    pub rows: u64,
    /// The slices, by index.
    pub slices: Vec<Slice>,
    /// Source rows per output row group.
    pub row_group_rows: u64,
    /// The folder of the parts.
    pub parts_folder: String,
    /// The folder of the quarantine.
    pub quarantine_folder: String,
    /// Where the source's pages lie, where it has no offset index and slices share row groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<crate::plan::PageMap>,
    /// How a CSV or NDJSON source is split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<crate::plan::TextPlan>,
    /// What a person should know of this plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// When planning began, milliseconds since 1970-01-01 UTC.
    pub created_at_ms: i64,
    /// What planning used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// An object that becomes visible when its upload is completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingPart {
    /// The deferred upload.
    #[serde(flatten)]
    pub upload: PendingUpload,
    /// Rows in it.
    pub rows: u64,
    /// Rows of each row group.
    pub row_groups: Vec<u64>,
}

/// One slice's record: put if absent, so that a slice has one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose slice.
    pub run_id: String,
    /// Its index in the plan.
    pub slice: u32,
    /// Which attempt wrote this.
    pub attempt: String,
    /// When it was written, milliseconds since 1970-01-01 UTC.
    pub recorded_at_ms: i64,
    /// What the attempt used; absent where nobody cleaned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// How the slice ended.
    #[serde(flatten)]
    pub result: SliceResult,
}

/// How a slice ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum SliceResult {
    /// Its rows are cleaned and uploaded.
    Done(Box<SliceDone>),
    /// It can never succeed; the run fails.
    Failed(Failure),
}

/// What a finished slice made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SliceDone {
    /// Its rows by fate.
    pub rows: RowCounts,
    /// Quarantined rows by reason; a row may have several.
    #[serde(default)]
    pub reasons: BTreeMap<String, u64>,
    /// Rows left out by expectations whose action is `drop`, by name; a row may break several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
    /// Breaks of expectations whose action is `warn`, and casts that became null.
    #[serde(default)]
    pub warnings: BTreeMap<String, u64>,
    /// How the source differs from the contract.
    #[serde(default)]
    pub drift: Vec<String>,
    /// Columns that were cast, and how many rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coerced: Vec<Coerced>,
    /// Reports whose figures of this slice lie beside its record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<String>,
    /// Reports that lack this slice, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub report_errors: Vec<ReportError>,
    /// The bytes of a text source that were read, from a record's start to a record's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<std::ops::Range<u64>>,
    /// The parts.
    pub parts: Vec<PendingPart>,
    /// The quarantine; empty where no row was set aside.
    pub quarantine: Vec<PendingPart>,
    /// Wall time, milliseconds.
    pub duration_ms: u64,
}

/// A report that a source's rows could not be told in. The rows are kept all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportError {
    /// The report's name.
    pub report: String,
    /// What, where, what to do.
    pub message: String,
}

/// A column that was cast: what it was, what it is, and what became of its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coerced {
    /// The output's name.
    pub column: String,
    /// The source's type.
    pub from: String,
    /// The output's type.
    pub to: String,
    /// Whether every value of the one type is a value of the other.
    pub widening: bool,
    /// Rows that had a value.
    pub rows: u64,
    /// Of these, rows whose value did not fit: set aside, or null, as the dataset's file says.
    pub unfit: u64,
}

impl Coerced {
    /// The cast in words, without its rows: as the line of `drift` that tells of it.
    pub fn words(&self) -> String {
        format!("{}: {} to {}", self.column, self.from, self.to)
    }

    /// Adds the rows of another slice. Columns come in one order in all slices of a source.
    pub fn add(sums: &mut Vec<Self>, more: &[Self]) {
        for one in more {
            let same = |known: &&mut Self| known.column == one.column && known.from == one.from && known.to == one.to;
            match sums.iter_mut().find(same) {
                Some(known) => {
                    known.rows += one.rows;
                    known.unfit += one.unfit;
                }
                None => sums.push(one.clone()),
            }
        }
    }
}

/// Why something failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word: [`crate::Error::kind`], or `killed`.
    pub kind: String,
    /// What, where, what to do.
    pub message: String,
}

impl From<&crate::Error> for Failure {
    fn from(error: &crate::Error) -> Self {
        Self { kind: error.kind().to_owned(), message: error.to_string() }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Published.
    Complete,
    /// Closed by an error; what was published stays.
    Failed,
    /// A newer object version or a later request took its place.
    Superseded,
    /// A web server had no such file. The next request looks again.
    Missing,
}

/// A visible object: one line of a run's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visible {
    /// Where.
    pub key: String,
    /// Its ETag: what a conditional delete compares.
    pub etag: String,
    /// Rows in it.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Rows of each row group.
    pub row_groups: Vec<u64>,
    /// CRC-64/NVME of the bytes, 16 hex digits.
    pub crc64: String,
}

/// How a run ended, put if absent: a run has one outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose outcome.
    pub run: Run,
    /// How it ended.
    pub status: Status,
    /// Why it failed or what superseded it.
    pub error: Option<Failure>,
    /// Slices planned.
    pub slices: u32,
    /// Rows by fate, over all slices.
    pub rows: RowCounts,
    /// Quarantined rows by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Rows left out by expectations whose action is `drop`, by name; a row may break several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
    /// Warnings by name.
    pub warnings: BTreeMap<String, u64>,
    /// How the source differs from the contract.
    pub drift: Vec<String>,
    /// Columns that were cast, and how many rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coerced: Vec<Coerced>,
    /// The manifest. Empty unless complete.
    pub parts: Vec<Visible>,
    /// The quarantine that is visible: also of a run that failed because of it.
    pub quarantine: Vec<Visible>,
    /// What a person should know of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Reports that lack rows of this run, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub report_errors: Vec<ReportError>,
    /// When the run was opened, milliseconds since 1970-01-01 UTC.
    pub started_at_ms: i64,
    /// When it ended.
    pub finished_at_ms: i64,
    /// What it took; absent in outcomes written before this was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Took>,
}

/// The marker of an unfinished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// [`FORMAT`].
    pub format: u32,
    /// The run.
    pub run: Run,
    /// Whether its first message is known to be sent. A trigger that failed in between is tried again, and sends it.
    pub sent: bool,
    /// When it was opened, milliseconds since 1970-01-01 UTC.
    pub opened_at_ms: i64,
    /// When a sweep last saw progress.
    pub progress_at_ms: i64,
    /// Slices recorded at that time.
    pub recorded: u32,
    /// How often a sweep restarted it without progress since.
    pub restarts: u32,
}

/// The marker of an ended run that somebody is to be told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// [`FORMAT`].
    pub format: u32,
    /// The run's dataset.
    pub dataset: String,
    /// The run.
    pub run_id: String,
    /// Whose it is to deliver: a new name with each attempt, so that two that begin in the same moment are told apart.
    pub lease: String,
    /// When it was put, milliseconds since 1970-01-01 UTC.
    pub put_at_ms: i64,
    /// Attempts begun.
    pub attempts: u32,
    /// Not to be delivered before: somebody may be at it, or a channel was down.
    pub next_at_ms: i64,
    /// The channels that took it.
    pub told: Vec<String>,
    /// What the others said last, by channel.
    pub problems: BTreeMap<String, String>,
}

/// That an ended run was told of: put if absent, in the run's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// [`FORMAT`].
    pub format: u32,
    /// The run.
    pub run_id: String,
    /// When, milliseconds since 1970-01-01 UTC.
    pub at_ms: i64,
    /// The channels that took it.
    pub told: Vec<String>,
    /// Channels that were given up on, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, String>,
}

/// What readers see of a source, and who is changing it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pointer {
    /// [`FORMAT`].
    pub format: u32,
    /// The dataset.
    pub dataset: String,
    /// The source's bucket.
    pub bucket: String,
    /// The source's key.
    pub key: String,
    /// Grows with each change.
    pub epoch: u64,
    /// The run that readers see.
    pub published: Option<Published>,
    /// The run that is publishing.
    pub claim: Option<Claim>,
    /// Runs whose objects are to be retired once the claim, or the published run, stands.
    pub displaced: Vec<Displaced>,
}

/// The run that readers see; its manifest is its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Published {
    /// Who and of which version.
    #[serde(flatten)]
    pub claim: Claim,
    /// Keys of its parts.
    pub parts: Vec<String>,
}

/// A run's right to publish.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The run.
    pub run_id: String,
    /// Its source's version.
    pub version: ObjectVersion,
    /// Its generation.
    pub generation: String,
}

impl Claim {
    /// The claim that `run` would make.
    pub fn of(run: &Run) -> Self {
        Self { run_id: run.run_id.clone(), version: run.source.version.clone(), generation: run.generation.clone() }
    }
}

/// A run that lost its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Displaced {
    /// The run.
    pub run_id: String,
    /// Whether its uploads are known to be aborted or completed, so that `visible` is all that it left.
    pub fenced: bool,
    /// Whether some of it may lie over published parts: only the next publication can replace those, and until then the
    /// entry stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_published: bool,
    /// Objects that it left: key and ETag.
    pub visible: Vec<Left>,
}

/// An object that a displaced run left.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Left {
    /// Where.
    pub key: String,
    /// Its ETag then. A copy of the sink has another one.
    pub etag: String,
    /// Its bytes, by which a copy is recognised; absent in pointers written before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
}

impl From<&Visible> for Left {
    fn from(visible: &Visible) -> Self {
        Self { key: visible.key.clone(), etag: visible.etag.clone(), content: Some(visible.content()) }
    }
}

impl Visible {
    /// What its bytes are.
    pub fn content(&self) -> Content {
        Content { bytes: self.bytes, crc64: self.crc64.clone() }
    }
}

impl PendingPart {
    /// What its bytes are.
    pub fn content(&self) -> Content {
        Content { bytes: self.upload.size, crc64: self.upload.crc64.clone() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As written before casts were counted.
    const OLDER: &str = r#"{"format":1,"run_id":"r","slice":0,"attempt":"a","recorded_at_ms":1,"status":"done",
        "rows":{"read":1,"kept":1,"quarantined":0,"filtered":0,"written":1},"reasons":{},"warnings":{},
        "drift":["fee: int64 to int32"],"parts":[],"quarantine":[],"duration_ms":1}"#;

    #[test]
    fn an_older_record_is_understood_and_one_without_casts_is_written_as_before() {
        let record: SliceRecord = crate::ledger::parse("slice", OLDER.as_bytes()).unwrap();
        let SliceResult::Done(done) = &record.result else { unreachable!() };
        assert_eq!((done.drift.len(), done.coerced.as_slice()), (1, [].as_slice()));
        let again: serde_json::Value = serde_json::from_slice(&serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(OLDER).unwrap());
    }

    #[test]
    fn casts_of_slices_add_up_by_column_and_types() {
        let cast = |column: &str, rows, unfit| Coerced {
            column: column.into(),
            from: "int64".into(),
            to: "int32".into(),
            widening: false,
            rows,
            unfit,
        };
        let mut sums = vec![cast("a", 1, 0)];
        Coerced::add(&mut sums, &[cast("a", 2, 1), cast("b", 4, 0)]);
        assert_eq!(sums, [cast("a", 3, 1), cast("b", 4, 0)]);
    }
}
