//! Whether a run may be published, told from its plan and its records alone.

use crate::ledger::{Failure, Plan, RowCounts, SliceRecord, SliceResult};

/// Parts of one run: a manifest of more would be larger than what is read of a ledger object.
const MAX_PARTS: usize = 100_000;

/// What the records say.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Every slice is recorded and every row has one fate.
    Verified,
    /// So many slices have no record.
    Missing(usize),
    /// The run can never be published.
    Failed(Failure),
    /// More rows were set aside than the dataset allows: the run fails and shows them.
    TooMuchQuarantined(Failure),
}

/// Verifies the records against the plan, whose rows come from the source's footer, or were counted. A text
/// that was not counted is told complete by its bytes: every one of them was read, up to a record's end.
pub fn verify<'a>(plan: &Plan, records: impl Iterator<Item = &'a SliceRecord>, max_quarantined: f64) -> Verdict {
    let counted = plan.text.as_ref().is_none_or(|text| text.counted);
    if let Some(text) = &plan.text
        && (text.slices.len() != plan.slices.len() || !text.tiles(plan.run.source.size))
    {
        return conservation("the plan's slices do not cover the source".to_owned());
    }
    let mut recorded = vec![false; plan.slices.len()];
    let mut sum = RowCounts::default();
    let mut failed: Option<(u32, &Failure)> = None;
    let mut parts = 0;
    for record in records {
        let index = usize::try_from(record.slice).unwrap_or(usize::MAX);
        let (Some(seen), Some(slice)) = (recorded.get_mut(index), plan.slices.get(index)) else {
            return conservation(format!("slice {} is recorded, and the plan has {}", record.slice, plan.slices.len()));
        };
        *seen = true;
        match &record.result {
            SliceResult::Failed(failure) => {
                if failed.is_none_or(|(first, _)| record.slice < first) {
                    failed = Some((record.slice, failure));
                }
            }
            SliceResult::Done(done) => {
                let planned = slice.rows.end - slice.rows.start;
                if (counted && done.rows.read != planned) || !done.rows.conserved() {
                    return conservation(format!(
                        "slice {index} has {planned} rows, and its record says {:?}",
                        done.rows
                    ));
                }
                let place = plan.text.as_ref().map(|text| text.slices.get(index).map(|place| &place.bytes));
                if let Some(place) = place
                    && place != done.bytes.as_ref()
                {
                    return conservation(format!(
                        "slice {index} lies at bytes {place:?}, and its record says {:?}",
                        done.bytes
                    ));
                }
                let in_parts: u64 = done.parts.iter().map(|part| part.rows).sum();
                let set_aside: u64 = done.quarantine.iter().map(|part| part.rows).sum();
                if in_parts != done.rows.written || set_aside != done.rows.quarantined {
                    return conservation(format!(
                        "slice {index} has {in_parts} rows in parts and {set_aside} in quarantine, and its record says {:?}",
                        done.rows
                    ));
                }
                parts += done.parts.len();
                sum += done.rows;
            }
        }
    }
    if let Some((_, failure)) = failed {
        return Verdict::Failed(failure.clone());
    }
    match recorded.iter().filter(|seen| !**seen).count() {
        0 => {}
        missing => return Verdict::Missing(missing),
    }
    if counted && sum.read != plan.rows {
        return conservation(format!("the source has {} rows, and the slices read {}", plan.rows, sum.read));
    }
    if parts > MAX_PARTS {
        let message = format!(
            "the run made {parts} parts, above the limit of {MAX_PARTS}: partition by fewer values, or raise \
             output.slice_row_groups"
        );
        return Verdict::Failed(Failure { kind: "limit".into(), message });
    }
    if exceeds(sum.quarantined, sum.read, max_quarantined) {
        let message = format!(
            "{} of {} rows were quarantined, above output.max_quarantined = {max_quarantined}: see the reasons, \
             then mend the source or the dataset file",
            sum.quarantined, sum.read
        );
        return Verdict::TooMuchQuarantined(Failure { kind: "quarantine".into(), message });
    }
    Verdict::Verified
}

fn conservation(problem: String) -> Verdict {
    Verdict::Failed(Failure { kind: "conservation".into(), message: format!("rows do not add up: {problem}") })
}

/// Whether `part` of `whole` is a share above `limit`.
#[expect(clippy::cast_precision_loss, reason = "a share: the error is below one part in 2^52")]
fn exceeds(part: u64, whole: u64, limit: f64) -> bool {
    part > 0 && part as f64 > whole as f64 * limit
}
