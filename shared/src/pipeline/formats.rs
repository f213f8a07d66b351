//! The formats that sources come in: how each is planned and cleaned.

use async_trait::async_trait;

use super::Context;
use super::convert::Convert;
use super::prepared::PreparedSources;
use super::slice::{clean_slice, source_file};
use super::text::{TextSplit, split_text};
use crate::dataset::Format;
use crate::ledger::records::{FORMAT, RETURNS_FORMAT, TEXT_FORMAT};
use crate::ledger::{Plan, Run, SliceDone, keys};
use crate::plan::LineEnd;
use crate::plan::admission::{self, Shape};
use crate::read::parquet::{find_pages, read_again, read_from_start};
use crate::{Result, plan};

/// The formats that a dataset file may name. Built once per process: it keeps what the slices of a run have in common.
#[derive(Debug, Default)]
pub struct Formats {
    prepared: PreparedSources,
}

#[async_trait]
impl Convert for Formats {
    async fn plan(&self, ctx: &Context, run: &Run, earlier: Option<&Plan>) -> Result<Plan> {
        ctx.before_deadline(make_plan(ctx, &self.prepared, run, earlier)).await
    }

    async fn clean(&self, ctx: &Context, plan: &Plan, index: u32, attempt: &str) -> Result<SliceDone> {
        clean_slice(ctx, &self.prepared, plan, index, attempt).await
    }
}

async fn make_plan(ctx: &Context, prepared: &PreparedSources, run: &Run, earlier: Option<&Plan>) -> Result<Plan> {
    let created_at_ms = ctx.now_ms();
    let dataset = ctx.config(&run.config).await?;
    if dataset.spec.source.format != Format::Parquet {
        let file = source_file(ctx, run).await?;
        let split = split_text(&dataset, &file, earlier, ctx.limits.plan_slices).await?;
        let TextSplit { rows, slices, text, notes, .. } = split;
        return Ok(Plan {
            format: if text.line_end == LineEnd::Return { RETURNS_FORMAT } else { TEXT_FORMAT },
            run: run.clone(),
            follows: None,
            rows,
            slices,
            row_group_rows: earlier.map_or(dataset.spec.output.row_group_rows, |earlier| earlier.row_group_rows),
            parts_folder: keys::parts(&dataset, run),
            quarantine_folder: keys::quarantine(&dataset, run),
            pages: None,
            text: Some(text),
            notes,
            created_at_ms,
            usage: None,
        });
    }
    let file = source_file(ctx, run).await?;
    let prepared = prepared.of(run, &dataset, &file).await?;
    let footer = &prepared.footer;
    let output = &dataset.spec.output;
    let wanted = Shape { row_group_rows: output.row_group_rows, slice_row_groups: output.slice_row_groups };
    let (row_group_rows, slices, shape_note) = match earlier {
        Some(earlier) if earlier.rows == footer.total_rows => (earlier.row_group_rows, earlier.slices.clone(), None),
        _ => {
            let (shape, note) = match ctx.limits.memory_bytes {
                None => (wanted, None),
                Some(limit) => {
                    let shape = admission::admit(&footer.widths(), wanted, limit)?;
                    (shape, admission::note(wanted, shape, limit))
                }
            };
            let limit = ctx.limits.plan_slices;
            let slices = plan::slices(footer.total_rows, shape.row_group_rows, shape.slice_row_groups, limit)?;
            (shape.row_group_rows, slices, note)
        }
    };
    let pages = find_pages(&file, footer, &slices).await?;
    let notes = shape_note.into_iter().chain(read_from_start(footer, &slices, &pages));
    let notes = notes.chain(read_again(footer, &slices, &pages)).collect();
    Ok(Plan {
        format: FORMAT,
        run: run.clone(),
        follows: None,
        rows: footer.total_rows,
        slices,
        row_group_rows,
        parts_folder: keys::parts(&dataset, run),
        quarantine_folder: keys::quarantine(&dataset, run),
        pages: (!pages.row_groups.is_empty()).then_some(pages),
        text: None,
        notes,
        created_at_ms,
        usage: None,
    })
}
