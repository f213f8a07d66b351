//! What a run took, summed over its records.

use serde::{Deserialize, Serialize};

use super::{Architecture, Prices, Requests, Shape, Usage};
use crate::ledger::{Plan, SliceRecord, SliceResult};

/// What a run took: part of its outcome.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Took {
    /// Invocations of the three functions; embedded, the steps that would have been.
    pub invocations: u64,
    /// Planning, milliseconds.
    pub plan_ms: u64,
    /// Cleaning, over all slices, milliseconds.
    pub slices_ms: u64,
    /// Verifying and publishing, milliseconds.
    pub publish_ms: u64,
    /// The most memory that a process had used, MiB; absent where none was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_mib: Option<u64>,
    /// GB-seconds of the functions; 0 where none ran.
    pub gb_seconds: f64,
    /// Requests to S3 and SQS, as the protocol makes them; embedded, as it would have.
    pub requests: Requests,
    /// US dollars, by [`Prices::US_EAST_1`]; absent where nothing was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dollars: Option<f64>,
}

impl Took {
    /// Sums over a run's plan and records, and what its end took.
    pub fn of<'a>(plan: Option<&Plan>, records: impl Iterator<Item = &'a SliceRecord>, publish: Option<Usage>) -> Self {
        let planned = plan.and_then(|plan| plan.usage);
        let mut took = Self {
            plan_ms: planned.map_or(0, |usage| usage.duration_ms),
            publish_ms: publish.map_or(0, |usage| usage.duration_ms),
            ..Self::default()
        };
        let mut used: Vec<Usage> = planned.into_iter().chain(publish).collect();
        let mut shape = Shape {
            slices: plan.map_or(0, |plan| u64::try_from(plan.slices.len()).unwrap_or(u64::MAX)),
            source_bytes: plan.map_or(0, |plan| plan.run.source.size),
            ..Shape::default()
        };
        for record in records {
            let done = match &record.result {
                SliceResult::Done(done) => Some(done),
                SliceResult::Failed(_) => None,
            };
            for part in done.iter().flat_map(|done| done.parts.iter().chain(&done.quarantine)) {
                shape.uploads += 1;
                shape.upload_parts += u64::try_from(part.upload.parts.len()).unwrap_or(0);
            }
            let of_cleaning = done.map(|done| Usage { duration_ms: done.duration_ms, ..Usage::default() });
            let Some(usage) = record.usage.or(of_cleaning) else { continue };
            took.slices_ms += usage.duration_ms;
            used.push(usage);
        }
        took.invocations = shape.invocations();
        took.requests = Requests::of(shape);
        took.peak_mib = used.iter().filter_map(|usage| usage.peak_mib).max();
        took.gb_seconds = used.iter().map(Usage::gb_seconds).sum();
        let deployed = used.iter().any(|usage| usage.memory_mib.is_some());
        took.dollars = deployed.then(|| took.priced(&Prices::US_EAST_1, Architecture::of_this_build()));
        took
    }

    /// US dollars.
    pub fn priced(&self, prices: &Prices, architecture: Architecture) -> f64 {
        self.gb_seconds * prices.gb_second(architecture)
            + super::float(self.invocations) * prices.invocation
            + self.requests.dollars(prices)
    }

    /// Milliseconds in which something worked, over all invocations.
    pub fn compute_ms(&self) -> u64 {
        self.plan_ms + self.slices_ms + self.publish_ms
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ledger::SliceDone;
    use crate::ledger::records::FORMAT;

    fn record(slice: u32, usage: Option<Usage>, duration_ms: u64) -> SliceRecord {
        SliceRecord {
            format: FORMAT,
            run_id: "r".into(),
            slice,
            attempt: "a".into(),
            recorded_at_ms: 1,
            usage,
            result: SliceResult::Done(Box::new(SliceDone { duration_ms, ..SliceDone::default() })),
        }
    }

    fn of_function(duration_ms: u64) -> Usage {
        Usage { duration_ms, memory_mib: Some(2_048), peak_mib: Some(700) }
    }

    #[test]
    fn gb_seconds_are_times_by_the_functions_memory() {
        let records = [record(0, Some(of_function(1_500)), 1_400), record(1, Some(of_function(500)), 400)];
        let took = Took::of(None, records.iter(), Some(Usage { memory_mib: Some(1_024), ..of_function(1_000) }));
        assert_eq!((took.slices_ms, took.publish_ms, took.compute_ms()), (2_000, 1_000, 3_000));
        assert!((took.gb_seconds - 5.0).abs() < 1e-9, "{took:?}");
        assert_eq!(took.peak_mib, Some(700));
        let lambda = 5.0 * Prices::US_EAST_1.x86_64_gb_second;
        assert!(took.priced(&Prices::US_EAST_1, Architecture::X86_64) > lambda);
        assert!(took.dollars.is_some());
    }

    #[test]
    fn a_run_on_one_machine_has_times_and_no_bill() {
        let took = Took::of(None, [record(0, None, 300)].iter(), None);
        assert_eq!((took.slices_ms, took.gb_seconds, took.dollars), (300, 0.0, None));
        let json = serde_json::to_value(&took).unwrap();
        assert!(json.get("dollars").is_none() && json.get("peak_mib").is_none(), "{json}");
    }
}
