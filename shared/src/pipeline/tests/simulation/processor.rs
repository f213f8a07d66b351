//! Hand-made slices: what a format would read and clean, as far as the protocol can tell.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use crate::ledger::identity::Run;
use crate::ledger::records::{FORMAT, PendingPart};
use crate::ledger::{Plan, RowCounts, SliceDone, keys};
use crate::pipeline::Context;
use crate::pipeline::convert::Convert;
use crate::pipeline::publish::ATTEMPT;
use crate::storage::StorageError;
use crate::write::PendingUpload;
use crate::{Error, Result, plan};

/// Slices without a format.
pub struct Handmade;

#[async_trait]
impl Convert for Handmade {
    async fn plan(&self, ctx: &Context, run: &Run, earlier: Option<&Plan>) -> Result<Plan> {
        make_plan(ctx, run, earlier).await
    }

    async fn clean(&self, ctx: &Context, plan: &Plan, index: u32, attempt: &str) -> Result<SliceDone> {
        clean_slice(ctx, plan, index, attempt).await
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

/// A number that the text decides.
fn chosen(text: &str, bound: u64) -> u64 {
    text.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(1_099_511_628_211) ^ u64::from(byte)) / 7 % bound
}

async fn make_plan(ctx: &Context, run: &Run, earlier: Option<&Plan>) -> Result<Plan> {
    let created_at_ms = ctx.now_ms();
    let dataset = ctx.config(&run.config).await?;
    read_source(ctx, run).await?;
    // Rows go with the version; how they are cut, with the dataset file as it was when the run was opened.
    let version = format!("{}{}", run.source.version.etag, run.source.version.last_modified_ms);
    let rows = 20 * (1 + chosen(&version, 2));
    let (row_group_rows, slices) = match earlier {
        Some(earlier) if earlier.rows == rows => (earlier.row_group_rows, earlier.slices.clone()),
        _ => {
            let row_group_rows = 10 * (1 + chosen(&run.run_id, 2));
            (row_group_rows, plan::slices(rows, row_group_rows, 1, 1_000)?)
        }
    };
    Ok(Plan {
        format: FORMAT,
        run: run.clone(),
        rows,
        slices,
        row_group_rows,
        parts_folder: keys::parts(&dataset, run),
        quarantine_folder: keys::quarantine(&dataset, run),
        pages: None,
        text: None,
        notes: Vec::new(),
        created_at_ms,
    })
}

async fn clean_slice(ctx: &Context, plan: &Plan, index: u32, attempt: &str) -> Result<SliceDone> {
    let mut begun = Vec::new();
    let cleaned = upload_slice(ctx, plan, index, attempt, &mut begun).await;
    if cleaned.is_err() {
        for (key, upload_id) in begun {
            let _ = ctx.ledger.sink().abort_upload(&key, &upload_id).await;
        }
    }
    cleaned
}

async fn upload_slice(
    ctx: &Context,
    plan: &Plan,
    index: u32,
    attempt: &str,
    begun: &mut Vec<(String, String)>,
) -> Result<SliceDone> {
    let run_id = &plan.run.run_id;
    read_source(ctx, &plan.run).await?;
    if chosen(&format!("{index} {run_id}"), 40) == 0 {
        return Err(Error::source("s3://source/in/a.parquet", "page 3 is corrupt"));
    }
    let slice = &plan.slices[index as usize];
    let read = slice.rows.end - slice.rows.start;
    let quarantined = match (chosen(run_id, 15), chosen(&format!("{run_id} {index}"), 2)) {
        (0, _) => read - 1,
        (_, chance) => chance,
    };
    let kept = read - quarantined;
    let mut parts = vec![upload(ctx, keys::part(&plan.parts_folder, index), run_id, attempt, kept, begun).await?];
    // Some runs partition: then a slice has several parts, and which they are is not told by its index.
    for partition in 0..chosen(&format!("{index} of {run_id}"), 3).min(kept - 1) {
        let day = chosen(&format!("{partition} {run_id}"), 4);
        let key = keys::partition_part("trips/", &format!("level={partition}/day={day}/"), "a.parquet", index);
        parts.push(upload(ctx, key, run_id, attempt, 1, begun).await?);
        parts[0].rows -= 1;
    }
    let mut quarantine = Vec::new();
    if quarantined > 0 {
        let key = keys::part(&plan.quarantine_folder, index);
        quarantine.push(upload(ctx, key, run_id, attempt, quarantined, begun).await?);
    }
    read_source(ctx, &plan.run).await?;
    let rows = RowCounts { read, kept, quarantined, filtered: 0, written: kept };
    Ok(SliceDone { rows, parts, quarantine, ..SliceDone::default() })
}

/// An object in two parts, which names its run and its key.
async fn upload(
    ctx: &Context,
    key: String,
    run_id: &str,
    attempt: &str,
    rows: u64,
    begun: &mut Vec<(String, String)>,
) -> Result<PendingPart> {
    let sink = ctx.ledger.sink();
    let metadata = BTreeMap::from([(ATTEMPT.to_owned(), attempt.to_owned())]);
    let upload_id = sink.begin_upload(&key, &metadata).await?;
    begun.push((key.clone(), upload_id.clone()));
    let (head, tail) = (format!("{run_id} "), key.clone());
    let size = (head.len() + tail.len()) as u64;
    let parts = vec![
        sink.put_part(&key, &upload_id, 1, Bytes::from(head)).await?,
        sink.put_part(&key, &upload_id, 2, Bytes::from(tail)).await?,
    ];
    let upload = PendingUpload { key, upload_id, attempt: attempt.to_owned(), parts, size, crc64: "0".repeat(16) };
    Ok(PendingPart { upload, rows, row_groups: vec![rows] })
}
