//! The estimate, and how near it comes to what a run takes.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::Path;

use rowmill::cost::Took;
use rowmill::dataset::Dataset;
use rowmill_tests::embedded::ingest;
use rowmill_tests::fhvhv::{Layout, write};

use super::*;

/// The stated margin: neither side is more than so many times the other.
const MARGIN: f64 = 2.0;
const COLUMNS: f64 = 24.0;

fn estimate(shape: Shape, machine: &Machine) -> Estimate {
    Estimate::of(shape, machine, &Prices::US_EAST_1, Architecture::X86_64)
}

fn month() -> Shape {
    let row_group_rows = 1_048_576.0;
    let (bytes, rows, slices) = (450_000_000, 18.5e6, 18);
    let (sets_aside, partitioned) = (true, false);
    Shape { bytes, text: None, rows, columns: COLUMNS, slices, sets_aside, row_group_rows, partitioned }
}

#[test]
fn a_month_of_fhvhv_costs_less_than_a_cent_or_two() {
    let estimate_of_month = estimate(month(), &Machine::TEMPLATE);
    let more = estimate(Shape { partitioned: true, ..month() }, &Machine::TEMPLATE).memory_bytes;
    let more = more - estimate_of_month.memory_bytes;
    assert!((100_000_000..300_000_000).contains(&more), "{more}");
    assert!((0.0005..0.02).contains(&estimate_of_month.dollars), "{estimate_of_month:?}");
    assert!(estimate_of_month.memory_bytes < 1_000_000_000, "{estimate_of_month:?}");
    assert_eq!(estimate_of_month.invocations, 21, "a checker, a plan, 18 slices, a finalizer");
}

#[test]
fn text_costs_by_its_bytes_and_compressed_text_by_what_it_unfolds_to() {
    let of = |text| estimate(Shape { text: Some(text), ..month() }, &Machine::TEMPLATE).seconds;
    let (plain, compressed) = (of(Packed::Plain), of(Packed::Compressed));
    assert!(plain > 1.0 && compressed > 2.0 * plain, "{plain} {compressed}");
}

fn within(what: &str, expected: f64, found: f64, margin: f64) {
    let ratio = expected / found;
    println!("{what}: {expected:.3} expected, {found:.3} found: {ratio:.2} times");
    assert!((1.0 / margin..=margin).contains(&ratio), "{what}: {expected} expected, {found} found");
}

async fn took(folder: &Path, rows: u64) -> (Took, u64, u64) {
    let path = folder.join(format!("{rows}.parquet"));
    write(Layout::RowGroups(50_000), rows, File::create(&path).unwrap()).unwrap();
    let text = include_str!("../../../infra/datasets/fhvhv.toml");
    let text = text.replace("row_group_rows = 1_048_576", "row_group_rows = 50_000");
    let dataset = Dataset::parse(&text, "fhvhv.toml").unwrap();
    let sink = folder.join(format!("out-{rows}"));
    let outcome = ingest(&dataset, &[&path], &sink, 1).await.unwrap().remove(0);
    (outcome.took.unwrap(), std::fs::metadata(&path).unwrap().len(), u64::from(outcome.slices))
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_took_is_within_the_stated_margin_of_the_estimate() {
    let folder = tempfile::tempdir().unwrap();
    // What a value takes in this build, on this machine, now: a debug build is many times slower.
    const SAMPLE: u64 = 50_000;
    let (sample, _, _) = took(folder.path(), SAMPLE).await;
    let here = Machine {
        cores: 1.0,
        nanoseconds_a_value: sample.slices_ms as f64 * 1e6 / (SAMPLE as f64 * COLUMNS),
        overhead: 0.0,
        ..Machine::TEMPLATE
    };
    println!("{:.0} ns a value here", here.nanoseconds_a_value);
    const ROWS: u64 = 150_000;
    let (took, bytes, slices) = took(folder.path(), ROWS).await;
    let shape = Shape {
        bytes,
        text: None,
        rows: ROWS as f64,
        columns: COLUMNS,
        slices,
        sets_aside: true,
        row_group_rows: 50_000.0,
        partitioned: false,
    };
    let expected = estimate(shape, &here);
    assert_eq!((slices, took.invocations), (3, expected.invocations));
    within("seconds", expected.seconds, took.compute_ms() as f64 / 1e3, MARGIN);
    within("PUTs", expected.requests.put as f64, took.requests.put as f64, 1.5);
    within("GETs", expected.requests.get as f64, took.requests.get as f64, 1.01);
    within("queue requests", expected.requests.queue as f64, took.requests.queue as f64, 1.01);
    if !cfg!(debug_assertions) {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let measured = Machine { nanoseconds_a_value: NANOSECONDS_A_VALUE, cores: cores as f64, ..here };
        within("seconds by the constant", estimate(shape, &measured).seconds, took.compute_ms() as f64 / 1e3, 3.0);
    }
}
