//! Hand-made slices: what a format would read and clean, as far as the protocol can tell.

use std::collections::BTreeMap;
use std::future::pending;

use async_trait::async_trait;
use bytes::Bytes;

use super::dice::Dice;
use crate::ledger::identity::Run;
use crate::ledger::records::{FORMAT, PendingPart};
use crate::ledger::{Plan, RowCounts, SliceDone, keys};
use crate::pipeline::Context;
use crate::pipeline::convert::Convert;
use crate::pipeline::publish::ATTEMPT;
use crate::storage::{ObjectVersion, StorageError};
use crate::write::PendingUpload;
use crate::{Error, Result, plan};

/// Slices without a format.
#[derive(Debug, Clone)]
pub struct Handmade(pub Dice);

/// What an object holds: rows `first..end` of a run's source, and where it is meant to lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub run_id: String,
    pub key: String,
    pub first: u64,
    pub end: u64,
}

impl Content {
    fn encode(&self) -> Bytes {
        Bytes::from(format!("{} {} {} {}", self.run_id, self.key, self.first, self.end))
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split(' ').map(str::to_owned);
        let (run_id, key) = (words.next()?, words.next()?);
        Some(Self { run_id, key, first: words.next()?.parse().ok()?, end: words.next()?.parse().ok()? })
    }
}

/// CRC-64/NVME, 16 hex digits.
pub fn crc64(bytes: &[u8]) -> String {
    crate::storage::Content::of(bytes).crc64
}

/// A number that the text decides.
fn chosen(text: &str, bound: u64) -> u64 {
    text.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(1_099_511_628_211) ^ u64::from(byte)) / 7 % bound
}

/// The rows of a source: they go with its version.
pub fn rows_of(version: &ObjectVersion) -> u64 {
    10 * (1 + chosen(&format!("{}{}", version.etag, version.last_modified_ms), 4))
}

#[async_trait]
impl Convert for Handmade {
    async fn plan(&self, ctx: &Context, run: &Run, earlier: Option<&Plan>) -> Result<Plan> {
        let created_at_ms = ctx.now_ms();
        let dataset = ctx.config(&run.config).await?;
        read_source(ctx, run).await?;
        let rows = rows_of(&run.source.version);
        let (row_group_rows, slices) = match earlier {
            Some(earlier) if earlier.rows == rows => (earlier.row_group_rows, earlier.slices.clone()),
            _ => {
                let row_group_rows = dataset.spec.output.row_group_rows;
                (row_group_rows, plan::slices(rows, row_group_rows, 1, 1_000)?)
            }
        };
        Ok(Plan {
            format: FORMAT,
            run: run.clone(),
            follows: None,
            rows,
            slices,
            row_group_rows,
            parts_folder: keys::parts(&dataset, run),
            quarantine_folder: keys::quarantine(&dataset, run),
            pages: None,
            text: None,
            notes: Vec::new(),
            created_at_ms,
            usage: None,
        })
    }

    async fn clean(&self, ctx: &Context, plan: &Plan, index: u32, attempt: &str) -> Result<SliceDone> {
        let mut begun = Vec::new();
        let cleaned = self.upload_slice(ctx, plan, index, attempt, &mut begun).await;
        if cleaned.is_err() {
            for (key, upload_id) in begun {
                let _ = ctx.ledger.sink().abort_upload(&key, &upload_id).await;
            }
        }
        cleaned
    }
}

impl Handmade {
    async fn upload_slice(
        &self,
        ctx: &Context,
        plan: &Plan,
        index: u32,
        attempt: &str,
        begun: &mut Vec<(String, String)>,
    ) -> Result<SliceDone> {
        let run = &plan.run;
        let run_id = &run.run_id;
        read_source(ctx, run).await?;
        let version = &run.source.version;
        match chosen(&format!("{index} {} {}", version.etag, version.last_modified_ms), 70) {
            0 => return Err(Error::source(run.source.uri(), "page 3 is corrupt")),
            1 => {
                // Too much memory: no error, no record, nothing.
                self.0.state().kill = true;
                pending::<()>().await;
            }
            _ => {}
        }
        let rows = plan.slices[index as usize].rows.clone();
        let read = rows.end - rows.start;
        // The first rows are set aside, the last ones filtered.
        let quarantined = match (chosen(run_id, 15), chosen(&format!("{run_id} {index}"), 3)) {
            (0, _) => read - 1,
            (_, 0) => 1,
            _ => 0,
        };
        let filtered = u64::from(quarantined + 1 < read && chosen(&format!("{index}{run_id}"), 4) == 0);
        let aside = rows.start + quarantined;
        let content = |key, first, end| Content { run_id: run_id.clone(), key, first, end };
        let kept = rows.end - filtered - aside;
        // Some runs partition: then a slice has several parts, and which they are is not told by its index.
        let partitions = chosen(&format!("{index} of {run_id}"), 3).min(kept - 1);
        let first = rows.end - filtered - partitions;
        let part = content(keys::part(&plan.parts_folder, index), aside, first);
        let mut parts = vec![upload(ctx, part, attempt, begun).await?];
        let root = if run.purpose.publishes() { "trips/" } else { plan.parts_folder.as_str() };
        for partition in 0..partitions {
            let folders = format!("level={partition}/day={}/", chosen(&format!("{partition} {run_id}"), 4));
            let key = keys::partition_part(root, &folders, &run.source.key, index);
            let row = first + partition;
            parts.push(upload(ctx, content(key, row, row + 1), attempt, begun).await?);
        }
        let mut quarantine = Vec::new();
        if quarantined > 0 {
            let part = content(keys::part(&plan.quarantine_folder, index), rows.start, aside);
            quarantine.push(upload(ctx, part, attempt, begun).await?);
        }
        read_source(ctx, run).await?;
        if self.0.hits(20) {
            self.0.count("stopped before the deadline");
            return Err(Error::Deadline(0));
        }
        let rows = RowCounts { read, kept, quarantined, filtered, written: kept };
        Ok(SliceDone { rows, parts, quarantine, ..SliceDone::default() })
    }
}

/// A ranged read pinned to the run's version.
async fn read_source(ctx: &Context, run: &Run) -> Result<()> {
    let storage = ctx.stores.open(&run.source.bucket).await?;
    match storage.get_range(&run.source.key, &run.source.version, 0..1).await {
        Ok(_) => Ok(()),
        Err(StorageError::NotFound { uri }) => Err(Error::SourceMissing { uri }),
        Err(StorageError::Changed { uri }) => Err(Error::SourceChanged { uri }),
        Err(error) => Err(error.into()),
    }
}

/// An object in two parts.
async fn upload(
    ctx: &Context,
    content: Content,
    attempt: &str,
    begun: &mut Vec<(String, String)>,
) -> Result<PendingPart> {
    let sink = ctx.ledger.sink();
    let metadata = BTreeMap::from([(ATTEMPT.to_owned(), attempt.to_owned())]);
    let bytes = content.encode();
    let (key, rows) = (content.key, content.end - content.first);
    let upload_id = sink.begin_upload(&key, &metadata).await?;
    begun.push((key.clone(), upload_id.clone()));
    let (head, tail) = (bytes.slice(..10), bytes.slice(10..));
    let parts = vec![sink.put_part(&key, &upload_id, 1, head).await?, sink.put_part(&key, &upload_id, 2, tail).await?];
    let size = bytes.len() as u64;
    let upload = PendingUpload { key, upload_id, attempt: attempt.to_owned(), parts, size, crc64: crc64(&bytes) };
    Ok(PendingPart { upload, rows, row_groups: vec![rows] })
}
