//! Cut anywhere, merged in any order: the same report.

use std::collections::BTreeMap;

use arrow::array::{AsArray, DictionaryArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{Float64Type, Int8Type};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const REPORT: &str = "where = \"tip >= 0\"\ngroup_by = [\"zone\"]\nmeasures = [\
    { name = \"rows\", expr = \"count(*)\" }, { name = \"whole\", expr = \"sum(number)\" }, \
    { name = \"best\", expr = \"arg_max(number, tip)\" }, \
    { name = \"least\", expr = \"min(tip)\" }, { name = \"most\", expr = \"max(tip)\" }, \
    { name = \"mean\", expr = \"avg(tip)\" }, { name = \"sum\", expr = \"sum(tip)\" }, \
    { name = \"spread\", expr = \"stddev(tip)\" }]";

/// Zone, tip, number.
type Trip = (Option<i32>, Option<f64>, i64);

fn rows(trips: &[Trip]) -> RecordBatch {
    batch([
        ("zone", array(trips.iter().map(|trip| trip.0).collect::<Int32Array>())),
        ("tip", array(trips.iter().map(|trip| trip.1).collect::<Float64Array>())),
        ("number", array(trips.iter().map(|trip| Some(trip.2)).collect::<Int64Array>())),
    ])
}

fn trips() -> impl Strategy<Value = Vec<Trip>> {
    // Few distinct tips, so that there are ties.
    let tip = prop_oneof![1 => Just(None), 9 => (-2..20i32).prop_map(|tip| Some(f64::from(tip) * 0.35))];
    let trip = (proptest::option::weighted(0.9, 0..4i32), tip);
    proptest::collection::vec(trip, 1..120)
        .prop_map(|trips| (0i64..).zip(trips).map(|(number, (zone, tip))| (zone, tip, number)).collect())
}

/// A zone, its exact measures, and the others.
type Zone = (Option<i32>, (u64, i64, i64), [f64; 5]);

/// What the report is to tell, worked out row by row.
fn by_hand(trips: &[Trip]) -> Vec<Zone> {
    type Tips = Vec<(f64, i64)>;
    let mut zones: BTreeMap<(bool, Option<i32>), Tips> = BTreeMap::new();
    for (zone, tip, number) in trips {
        if let Some(tip) = tip.filter(|tip| *tip >= 0.0) {
            zones.entry((zone.is_none(), *zone)).or_default().push((tip, *number));
        }
    }
    let zones = zones.into_iter().map(|((_, zone), tips)| {
        let count = tips.len() as f64;
        let sum: f64 = tips.iter().map(|(tip, _)| tip).sum();
        let squares: f64 = tips.iter().map(|(tip, _)| (tip - sum / count).powi(2)).sum();
        let most = tips.iter().map(|(tip, _)| *tip).fold(f64::MIN, f64::max);
        let least = tips.iter().map(|(tip, _)| *tip).fold(f64::MAX, f64::min);
        let best = tips.iter().find(|(tip, _)| *tip == most).unwrap().1;
        let whole = tips.iter().map(|(_, number)| number).sum();
        let spread = if tips.len() < 2 { f64::NAN } else { (squares / (count - 1.0)).sqrt() };
        (zone, (tips.len() as u64, whole, best), [least, most, sum / count, sum, spread])
    });
    zones.collect()
}

fn assert_tells(shown: &Shown, trips: &[Trip]) {
    assert_eq!(shown.problems, Vec::<String>::new());
    let (told, expected) = (groups(shown), by_hand(trips));
    assert_eq!(told.len(), expected.len());
    for (row, (zone, (count, whole, best), about)) in told.iter().zip(expected) {
        assert_eq!(row[..4], [json!(zone), json!(count), json!(whole), json!(best)]);
        for (found, wanted) in row[4..].iter().zip(about) {
            match found.as_f64() {
                Some(found) => {
                    assert!((found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "{found} is not {wanted}")
                }
                None => assert!(wanted.is_nan(), "null is not {wanted}"),
            }
        }
    }
}

/// Cuts rows at these places.
fn cut(trips: &[Trip], cuts: &[prop::sample::Index]) -> Vec<RecordBatch> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(trips.len() + 1)).collect();
    places.extend([0, trips.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| rows(&trips[pair[0]..pair[1]])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_cut_into_batches_slices_and_sources_tells_the_same(
        trips in trips(),
        sources in proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
        slices in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        batches in 1..40usize,
    ) {
        let dataset = report(REPORT);
        let mut at = 0;
        let runs: Vec<Figures> = cut(&trips, &sources).iter().map(|source| {
            let of_source = &trips[at..at + source.num_rows()];
            at += source.num_rows();
            let slices: Vec<Figures> = cut(of_source, &slices).iter().map(|rows| {
                let count = rows.num_rows();
                let starts = (0..count.max(1)).step_by(batches);
                let batches: Vec<_> = starts.map(|start| rows.slice(start, batches.min(count - start))).collect();
                slice(&dataset, &batches)
            }).collect();
            merge::of_run(&dataset, &slices)
        }).collect();
        assert_tells(&over(&dataset, &runs), &trips);
    }

    #[test]
    fn figures_are_the_same_bytes_however_the_rows_come_in_batches(trips in trips(), one in 1..40usize, other in 1..40usize) {
        let dataset = report(REPORT);
        let all = rows(&trips);
        let figures = |size: usize| {
            let batches: Vec<_> = (0..trips.len()).step_by(size).map(|at| all.slice(at, size.min(trips.len() - at))).collect();
            serde_json::to_vec(&slice(&dataset, &batches)).unwrap()
        };
        prop_assert_eq!(figures(one), figures(other));
    }
}

#[test]
fn percentiles_of_many_slices_are_about_those_of_all_rows() {
    let dataset = report("measures = [{ name = \"p90\", expr = \"approx_percentile_cont(x, 0.9)\" }]");
    let of = |from: i64, to: i64| {
        let values = (from..to).map(|row| (row * 7_919 % 10_000) as f64);
        slice(&dataset, &[batch([("x", array(Float64Array::from_iter_values(values)))])])
    };
    let slices: Vec<Figures> = (0..20).map(|part| of(part * 500, part * 500 + 500)).collect();
    let shown = over(&dataset, &[merge::of_run(&dataset, &slices)]);
    let found = shown.batch().unwrap().column(0).as_primitive::<Float64Type>().value(0);
    assert!((found - 9_000.0).abs() < 50.0, "{found}");
}

#[test]
fn sources_whose_types_drifted_are_merged_in_a_type_that_holds_both() {
    let dataset = report(
        "group_by = [\"zone\", \"flag\"]\nmeasures = [{ name = \"s\", expr = \"sum(x)\" }, { name = \"m\", expr = \"max(x)\" }]",
    );
    let words = StringArray::from(vec!["N", "Y"]);
    let one = batch([
        ("zone", array(Int32Array::from(vec![1, 2]))),
        ("flag", array(words)),
        ("x", array(Int32Array::from(vec![10, 20]))),
    ]);
    let coded: DictionaryArray<Int8Type> = vec!["N", "N"].into_iter().collect();
    let other = batch([
        ("x", array(Float64Array::from(vec![0.5, 0.25]))),
        ("zone", array(Int64Array::from(vec![1, 5_000_000_000]))),
        ("flag", array(coded)),
    ]);
    let run = |rows: RecordBatch| merge::of_run(&dataset, &[slice(&dataset, &[rows])]);
    let shown = over(&dataset, &[run(one), run(other)]);
    assert_eq!(shown.problems, Vec::<String>::new());
    let expected =
        [json!([1, "N", 10.5, 10.0]), json!([2, "Y", 20.0, 20.0]), json!([5_000_000_000i64, "N", 0.25, 0.25])];
    assert_eq!(groups(&shown), expected.map(|row| row.as_array().unwrap().clone()));
}

#[test]
fn what_was_ingested_by_another_report_or_none_is_told_and_left_out() {
    let rows = batch([("x", array(Int64Array::from(vec![1, 2])))]);
    let of = |expr: &str| report(&format!("measures = [{{ name = \"it\", expr = \"{expr}\" }}]"));
    let run = |dataset: &Dataset| merge::of_run(dataset, &[slice(dataset, std::slice::from_ref(&rows))]);
    let now = of("round(sum(x), 2)");
    let none = Figures::default();
    let runs = [run(&of("sum(x)")), run(&of("avg(x)")), none];
    let shown = over(&now, &runs);
    assert_eq!(groups(&shown), [[json!(3)]], "another way to round needs no reprocess");
    assert_eq!((shown.sources, shown.complete), (1, false));
    assert!(shown.problems.iter().any(|it| it == "s3://trips/1: ingested when this report was another: reprocess it"));
    assert!(shown.problems.iter().any(|it| it == "s3://trips/2: ingested before there was this report: reprocess it"));
}

#[test]
fn damaged_figures_are_told_and_cost_no_other_source() {
    let rows = batch([("x", array(Int64Array::from(vec![1, 2])))]);
    let dataset = report("measures = [{ name = \"it\", expr = \"sum(x)\" }]");
    let good = merge::of_run(&dataset, &[slice(&dataset, &[rows])]);
    let damage = |change: fn(&mut crate::reports::figures::ReportFigures)| {
        let mut bad = good.clone();
        bad.reports.values_mut().for_each(change);
        over(&dataset, &[good.clone(), bad])
    };
    for shown in [
        damage(|it| it.states = "nonsense".into()),
        damage(|it| it.states = "AAAA".into()),
        damage(|it| it.columns.truncate(8)),
        damage(|it| it.states = it.columns.clone()),
    ] {
        assert_eq!((shown.complete, groups(&shown)), (false, vec![vec![json!(3)]]), "{:?}", shown.problems);
        assert!(shown.problems[0].starts_with("s3://trips/1: its figures are damaged"), "{:?}", shown.problems);
    }
}
