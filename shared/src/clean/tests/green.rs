//! A real month of trips.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use arrow::array::RecordBatchReader;
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::Cleaner;
use super::dataset;
use crate::ledger::RowCounts;

const RULES: &str = r#"
[schema]
casts = [
  { column = "*flag*", to = "dictionary", values = ["Y", "N"], otherwise = "null", trim = true },
  { from = "float64", to = "float32" },
  { from = "int64", to = "int32" },
  { from = "null", to = "float32" },
]
[[expectations]]
name = "drop-off after pick-up"
expr = "lpep_dropoff_datetime >= lpep_pickup_datetime"
[[expectations]]
name = "fare is not negative"
expr = "fare_amount >= 0"
"#;

#[test]
fn green_trips_of_april_2020_lose_what_their_expectations_say_and_nothing_else() {
    let Some(corpus) = std::env::var_os("ROWMILL_CORPUS") else {
        eprintln!("skipped: ROWMILL_CORPUS is not set");
        return;
    };
    let path = PathBuf::from(corpus).join("tlc/green_tripdata_2020-04.parquet");
    let read = |rows: usize| {
        let file = File::open(&path).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(rows).build().unwrap()
    };
    let whole = |rows: usize| {
        let reader = read(rows);
        let cleaner = Cleaner::new(&dataset(RULES), &reader.schema(), "green").unwrap();
        let (mut counts, mut reasons) = (RowCounts::default(), BTreeMap::new());
        let (mut kept, mut quarantined) = (Vec::new(), Vec::new());
        for batch in reader {
            let cleaned = cleaner.clean(&batch.unwrap(), counts.read).unwrap();
            counts += cleaned.counts;
            for (reason, rows) in cleaned.reasons {
                *reasons.entry(reason).or_insert(0) += rows;
            }
            kept.push(cleaned.kept);
            quarantined.extend(cleaned.quarantined);
        }
        let kept = concat_batches(cleaner.output_schema(), &kept).unwrap();
        let quarantined = concat_batches(cleaner.quarantine_schema(), &quarantined).unwrap();
        (counts, reasons, kept, quarantined)
    };
    let (counts, reasons, kept, quarantined) = whole(8192);
    assert_eq!(counts.read, 35_644);
    assert_eq!(reasons["drop-off after pick-up"], 12);
    assert_eq!(reasons["fare is not negative"], 122);
    assert_eq!(reasons.len(), 2);
    assert!(counts.conserved() && counts.filtered == 0);
    let (counts_again, reasons_again, kept_again, quarantined_again) = whole(1_000);
    assert_eq!((counts, reasons), (counts_again, reasons_again));
    assert_eq!((kept, quarantined), (kept_again, quarantined_again));
}
