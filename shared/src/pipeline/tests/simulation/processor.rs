//! The processor with hand-made slices: what `pipeline::process` does around reading and cleaning.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::ledger::identity::{Run, same_version};
use crate::ledger::records::{FORMAT, PendingPart};
use crate::ledger::{Failure, Plan, RowCounts, SliceDone, SliceRecord, SliceResult, Status, keys};
use crate::pipeline::heal::missing;
use crate::pipeline::message::Message;
use crate::pipeline::publish::ATTEMPT;
use crate::pipeline::{Context, close};
use crate::storage::StorageError;
use crate::write::PendingUpload;
use crate::{Error, Result, plan};

pub async fn process(ctx: &Context, message: Message) -> Result<()> {
    match message {
        Message::File { run } => file(ctx, &run).await,
        Message::Slice { dataset, run_id, slice } => {
            let plan = ctx.ledger.plan(&dataset, &run_id).await?;
            let plan = plan.ok_or_else(|| Error::Internal("a slice came, and there is no plan".into()))?;
            one_slice(ctx, &plan, slice).await
        }
        other => panic!("not for a processor: {other:?}"),
    }
}

async fn file(ctx: &Context, run: &Run) -> Result<()> {
    if ctx.ledger.outcome(&run.dataset, &run.run_id).await?.is_some() {
        return ctx.finalize.send(&[Message::of_run(run).encode()?]).await;
    }
    let plan = match ctx.ledger.plan(&run.dataset, &run.run_id).await? {
        Some(plan) => plan,
        None => match make_plan(ctx, run).await {
            Ok(plan) => ctx.ledger.settle_plan(plan).await?,
            Err(error) => return ended_by(ctx, run, error).await,
        },
    };
    let recorded = ctx.ledger.recorded(&run.dataset, &run.run_id).await?;
    let messages = missing(&plan, &recorded);
    match messages.as_slice() {
        [] => ctx.finalize.send(&[Message::of_run(run).encode()?]).await,
        [Message::Slice { slice, .. }] => one_slice(ctx, &plan, *slice).await,
        _ => ctx.work.send(&messages.iter().map(Message::encode).collect::<Result<Vec<_>>>()?).await,
    }
}

async fn ended_by(ctx: &Context, run: &Run, error: Error) -> Result<()> {
    match error {
        Error::SourceChanged { .. } => close::supersede(ctx, run, "a newer version of the source").await?,
        error if error.is_permanent() => close::fail(ctx, run, Failure::from(&error)).await?,
        error => return Err(error),
    };
    ctx.finalize.send(&[Message::of_run(run).encode()?]).await
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

async fn make_plan(ctx: &Context, run: &Run) -> Result<Plan> {
    let created_at_ms = ctx.now_ms();
    let dataset = ctx.config(&run.config).await?;
    read_source(ctx, run).await?;
    // Rows go with the version; how they are cut, with the dataset file as it was when the run was opened.
    let version = format!("{}{}", run.source.version.etag, run.source.version.last_modified_ms);
    let rows = 20 * (1 + chosen(&version, 2));
    let pointer = ctx.ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await?;
    let published = pointer.and_then(|pointer| pointer.value.published);
    let published = published.filter(|published| same_version(&published.claim.version, &run.source.version));
    let earlier = match published {
        Some(published) => ctx.ledger.plan(&run.dataset, &published.claim.run_id).await?,
        None => None,
    };
    let (row_group_rows, slices) = match earlier {
        Some(earlier) => (earlier.row_group_rows, earlier.slices),
        None => {
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
        notes: Vec::new(),
        created_at_ms,
    })
}

async fn one_slice(ctx: &Context, plan: &Plan, index: u32) -> Result<()> {
    let run = &plan.run;
    if let Some(outcome) = ctx.ledger.outcome(&run.dataset, &run.run_id).await? {
        if outcome.status != Status::Complete {
            ctx.finalize.send(&[Message::of_run(run).encode()?]).await?;
        }
        return Ok(());
    }
    let mut failed = false;
    if ctx.ledger.slice(&run.dataset, &run.run_id, index).await?.is_none() {
        let attempt = ctx.clock.new_id();
        let result = match clean_slice(ctx, plan, index, &attempt).await {
            Ok(done) => SliceResult::Done(Box::new(done)),
            Err(error @ Error::SourceChanged { .. }) => return ended_by(ctx, run, error).await,
            Err(error) if error.is_permanent() => {
                failed = true;
                SliceResult::Failed(Failure::from(&error))
            }
            Err(error) => return Err(error),
        };
        record(ctx, plan, index, attempt, result).await?;
    }
    let recorded = ctx.ledger.recorded(&run.dataset, &run.run_id).await?;
    if failed || missing(plan, &recorded).is_empty() {
        ctx.finalize.send(&[Message::of_run(run).encode()?]).await?;
    }
    Ok(())
}

async fn record(ctx: &Context, plan: &Plan, index: u32, attempt: String, result: SliceResult) -> Result<()> {
    let run = &plan.run;
    let (run_id, recorded_at_ms) = (run.run_id.clone(), ctx.now_ms());
    let record = SliceRecord { format: FORMAT, run_id, slice: index, attempt, recorded_at_ms, result };
    let mine = ctx.ledger.record_slice(&run.dataset, &record).await?;
    let SliceResult::Done(done) = &record.result else { return Ok(()) };
    let there = if mine { None } else { ctx.ledger.slice(&run.dataset, &run.run_id, index).await? };
    let lost = there.is_some_and(|there| there.value.attempt != record.attempt);
    let too_late = ctx.ledger.outcome(&run.dataset, &run.run_id).await?.is_some();
    if lost || too_late {
        close::abort_all(ctx, done.parts.iter().chain(&done.quarantine)).await?;
    }
    Ok(())
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
