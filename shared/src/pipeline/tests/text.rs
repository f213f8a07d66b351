//! CSV and NDJSON from source to parts, over memory storage. What real files hold was worked out by DuckDB 1.x.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};

use crate::clean::{LINE, RAW, REASON_KEYS, REASONS, ROW, VALUES};
use crate::clock::SystemClock;
use crate::dataset::Dataset;
use crate::ledger::identity::{Purpose, Run};
use crate::ledger::{Outcome, RowCounts, SliceResult, Status};
use crate::pipeline::embedded::{Progress, drain};
use crate::pipeline::open::{open, source_of};
use crate::pipeline::verify::{Verdict, verify};
use crate::pipeline::{Context, Limits};
use crate::queue::MemoryQueue;
use crate::storage::{MemoryStorage, MemoryStores, Storage};

const PUSHES: &str = include_str!("../../../../infra/datasets/gharchive_push.toml");
const YELLOW_CSV: &str = include_str!("../../../../infra/datasets/yellow_csv.toml");

/// A dataset of CSV without a contract, in blocks of so many bytes.
fn plain_csv(block_bytes: usize) -> String {
    format!("name = \"t\"\n[source]\nformat = \"csv\"\nblock_bytes = {block_bytes}\n[output]\nprefix = \"t/\"\n")
}

/// A source bucket, a sink, and the embedded run over them.
struct Bench {
    ctx: Context,
    sources: Arc<MemoryStorage>,
    sink: Arc<MemoryStorage>,
    work: Arc<MemoryQueue>,
    finalize: Arc<MemoryQueue>,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(SystemClock);
        let stores = Arc::new(MemoryStores::new(clock.clone()));
        let queue = |name| Arc::new(MemoryQueue::new(name, clock.clone(), Duration::from_secs(3_600), u32::MAX));
        let (sources, sink) = (stores.bucket("source"), stores.bucket("sink"));
        let (work, finalize) = (queue("work"), queue("finalize"));
        let ctx = Context::new(
            sink.clone() as _,
            stores as _,
            work.clone() as _,
            finalize.clone() as _,
            clock,
            Limits::default(),
        );
        Self { ctx, sources, sink, work, finalize }
    }

    /// Ingests a source, in a new generation if `again`.
    async fn ingest(&self, dataset: &str, key: &str, again: Option<&str>) -> Outcome {
        let dataset = Dataset::parse(dataset, "t").unwrap();
        let meta = self.sources.head(key).await.unwrap().unwrap();
        let source = source_of("s3://source", meta);
        let (purpose, generation) = match again {
            None => (Purpose::Incremental, ""),
            Some(generation) => (Purpose::Reprocess, generation),
        };
        let run = Run::new(&dataset.spec.name, &dataset.hash, purpose, generation, source);
        open(&self.ctx, &dataset, run.clone(), false).await.unwrap();
        let mut gave_up = Vec::new();
        drain(&self.ctx, &self.work, &self.finalize, 2, |progress| {
            if let Progress::GaveUp { error, .. } = progress {
                gave_up.push(error.to_string());
            }
        })
        .await
        .unwrap();
        assert_eq!(gave_up, Vec::<String>::new());
        self.ctx.ledger.outcome(&run.dataset, &run.run_id).await.unwrap().unwrap()
    }

    async fn put_and_ingest(&self, dataset: &str, key: &str, bytes: impl Into<Bytes>) -> Outcome {
        self.sources.put(key, bytes.into()).await.unwrap();
        self.ingest(dataset, key, None).await
    }

    fn batches<'k>(&self, keys: impl Iterator<Item = &'k String>) -> Vec<RecordBatch> {
        let objects = self.sink.objects();
        let read =
            |key: &String| ParquetRecordBatchReaderBuilder::try_new(objects[key].clone()).unwrap().build().unwrap();
        keys.flat_map(read).map(Result::unwrap).collect()
    }

    fn rows(&self, outcome: &Outcome) -> Vec<RecordBatch> {
        assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
        assert!(outcome.rows.conserved());
        assert_eq!(outcome.parts.iter().map(|part| part.rows).sum::<u64>(), outcome.rows.written);
        self.batches(outcome.parts.iter().map(|part| &part.key))
    }

    fn quarantine(&self, outcome: &Outcome) -> Vec<RecordBatch> {
        self.batches(outcome.quarantine.iter().map(|part| &part.key))
    }
}

/// A value as the scripts that worked the digests out write it: null as a zero byte, timestamps as microseconds, whole
/// floats without a point.
fn shown(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "\0".to_owned();
    }
    match array.data_type() {
        DataType::Timestamp(..) => {
            cast(array, &DataType::Int64).unwrap().as_primitive::<Int64Type>().value(row).to_string()
        }
        DataType::Float64 => array.as_primitive::<arrow::datatypes::Float64Type>().value(row).to_string(),
        _ => cast(array, &DataType::Utf8).unwrap().as_string::<i32>().value(row).to_owned(),
    }
}

/// SHA-256 over all values, row by row: each followed by 0x1f, each row by 0x1e.
fn digest(batches: &[RecordBatch]) -> String {
    let mut hash = Sha256::new();
    for batch in batches {
        let texts: Vec<Vec<String>> = batch
            .columns()
            .iter()
            .map(|column| (0..batch.num_rows()).map(|row| shown(column, row)).collect())
            .collect();
        for row in 0..batch.num_rows() {
            for column in &texts {
                hash.update(column[row].as_bytes());
                hash.update([0x1f]);
            }
            hash.update([0x1e]);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn corpus(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("ROWMILL_CORPUS").map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: {test}: ROWMILL_CORPUS is not set");
    }
    found
}

fn strings(batches: &[RecordBatch], column: &str) -> Vec<String> {
    let column = |batch: &RecordBatch| batch.column_by_name(column).unwrap().clone();
    let texts = batches.iter().flat_map(|batch| {
        let array = match column(batch).as_list_opt::<i32>() {
            Some(list) => {
                let joined = list.iter().map(|item| {
                    let item = item.map(|item| cast(&item, &DataType::Utf8).unwrap());
                    item.map(|item| item.as_string::<i32>().iter().flatten().collect::<Vec<_>>().join("; "))
                });
                Arc::new(joined.collect::<arrow::array::StringArray>()) as ArrayRef
            }
            None => column(batch),
        };
        (0..batch.num_rows()).map(|row| shown(&array, row)).collect::<Vec<_>>()
    });
    texts.collect()
}

/// DuckDB, `set timezone='UTC'`:
/// ```sql
/// select actor.login, repo.name, epoch_us(created_at::timestamptz), c.message, c.author.name
/// from (select *, unnest(payload.commits) c from read_json('2015-01-01-15.json.gz', format='newline_delimited',
///   columns={type:'VARCHAR', actor:'STRUCT(login VARCHAR)', repo:'STRUCT(name VARCHAR)', created_at:'VARCHAR',
///   payload:'STRUCT(commits STRUCT(message VARCHAR, author STRUCT(name VARCHAR))[])'}) where type='PushEvent')
/// ```
/// gives 10,109 rows of this digest; 11,351 events, 5,815 of them PushEvents, 43 of those with an empty list.
#[tokio::test]
async fn an_hour_of_github_archive_gives_the_commits_that_duckdb_extracts() {
    let Some(corpus) = corpus("an_hour_of_github_archive_gives_the_commits_that_duckdb_extracts") else { return };
    let bench = Bench::new();
    let bytes = std::fs::read(corpus.join("gharchive/2015-01-01-15.json.gz")).unwrap();
    let outcome = bench.put_and_ingest(PUSHES, "2015-01-01-15.json.gz", bytes).await;
    let rows = RowCounts { read: 11_351, kept: 5_815, quarantined: 0, filtered: 5_536, written: 10_109 };
    assert_eq!(outcome.rows, rows);
    let digest = digest(&bench.rows(&outcome));
    assert_eq!(digest, "ccad45616c414e4cbf22f04af3ff71360486274fdcbd288d3b1ce7f789e3ed00");
}

/// DuckDB: `select * from read_csv(FILE, sample_size=-1, strict_mode=false)`. Its types are those inferred here, but for
/// columns without a value, which are text to both.
#[tokio::test]
async fn every_csv_of_the_corpus_is_read_as_duckdb_reads_it() {
    let Some(corpus) = corpus("every_csv_of_the_corpus_is_read_as_duckdb_reads_it") else { return };
    let expected = [
        ("fhv_tripdatasample_2020-04", 1_000, "ed668a79b4225361aeca24c34ba55424f8fcc722b6b2ad385be71c9e0a38d70f"),
        ("fhvhv_tripdatasample_2020-04", 1_000, "c1de94dc38773e335ca8a35c7ddc4bd592147eafd379b793d9e3bc30d37b359b"),
        ("green_tripdatasample_2020-04", 1_000, "1c4afb3b0a0453b39dd415ee237cd3a4bb3f9f5986f623ac33c960628df79722"),
        ("yellow_tripdata_sample_2019-01", 10_000, "cb78e50e2fff3fb8b8bc94ce6a7946e5b12df0f6e8925ca2f784646b3f2b72ad"),
        ("yellow_tripdata_sample_2019-03", 10_000, "ce54e9bb55be240fb7ca72da3cfdf117f3539f3c5c912f9106925015b6ae671a"),
        ("yellow_tripdata_sample_2020-01", 10_000, "a4a93947c124145c40f52e06859070880facfa8c6a9d7abba3e95fd40b61d811"),
        ("yellow_tripdatasample_2020-04", 1_000, "2161c89d03064dd3fdeb6044df38ad5c17df9b67d6fe2c321896fe38910162e1"),
    ];
    for (name, rows, wanted) in expected {
        let bytes = std::fs::read(corpus.join(format!("tlc/{name}.csv"))).unwrap();
        let bench = Bench::new();
        let outcome = bench.put_and_ingest(&plain_csv(64 << 10), "t.csv", bytes).await;
        assert_eq!(outcome.rows, RowCounts { read: rows, kept: rows, quarantined: 0, filtered: 0, written: rows });
        assert!(outcome.slices > 1, "{name} is cut");
        assert_eq!(digest(&bench.rows(&outcome)), wanted, "{name}");
    }
}

#[tokio::test]
async fn rows_that_cannot_be_read_or_do_not_fit_are_set_aside_with_their_text() {
    let text = "vendor_id,pickup_datetime,dropoff_datetime,fare_amount,extra_column\r\n\
                1,2020-01-01 10:00:00,2020-01-01 10:10:00,5.5,7\r\n\
                x,2020-01-01 10:00:00,2020-01-01 10:10:00,\"6\r\n\",7\r\n\
                1,2020-01-01 10:00:00\r\n\
                2,2020-01-01 10:00:00,2020-01-01 09:00:00,-1,8\r\n\
                2,,2020-01-01 10:10:00,1,8\r\n";
    let bench = Bench::new();
    let dataset = YELLOW_CSV.replace("max_quarantined = 0.1", "max_quarantined = 1.0");
    let outcome = bench.put_and_ingest(&dataset, "csv_backup/yellow_tripdata_x.csv", text).await;
    assert_eq!(outcome.rows, RowCounts { read: 5, kept: 1, quarantined: 4, filtered: 0, written: 1 });
    let rows = bench.rows(&outcome);
    assert_eq!(strings(&rows, "VendorID"), ["1"]);
    assert_eq!(strings(&rows, "extra_column"), ["7"]);
    assert_eq!(rows[0].column_by_name("extra_column").unwrap().data_type(), &DataType::Int32);
    let aside = bench.quarantine(&outcome);
    assert_eq!(strings(&aside, LINE), ["3", "5", "6", "7"]);
    assert_eq!(strings(&aside, ROW), ["1", "2", "3", "4"]);
    assert_eq!(strings(&aside, RAW)[1], "1,2020-01-01 10:00:00");
    let values = strings(&aside, VALUES);
    let wanted = r#"{"vendor_id":"x","pickup_datetime":"2020-01-01 10:00:00","dropoff_datetime":"2020-01-01 10:10:00","fare_amount":"6\r\n","extra_column":"7"}"#;
    assert_eq!(
        (values[0].as_str(), values[1].as_str()),
        (wanted, r#"{"vendor_id":"1","pickup_datetime":"2020-01-01 10:00:00"}"#)
    );
    assert_eq!(
        strings(&aside, REASONS),
        [
            r#"VendorID: "x" is no int32"#,
            "csv: too few fields",
            "drop-off after pick-up; fare is not negative",
            "tpep_pickup_datetime: null, and the contract says nullable = false",
        ]
    );
    assert_eq!(
        strings(&aside, REASON_KEYS),
        [
            "cast: VendorID",
            "csv: too few fields",
            "drop-off after pick-up; fare is not negative",
            "null: tpep_pickup_datetime",
        ]
    );
}

#[tokio::test]
async fn the_meter_tells_every_record_and_byte_that_was_cleaned() {
    let text: String = std::iter::once("id,note\n".to_owned()).chain((0..2_000).map(|n| format!("{n},n\n"))).collect();
    let bench = Bench::new();
    bench.put_and_ingest(&plain_csv(1_000), "t.csv", text.clone()).await;
    // The header belongs to no slice.
    let wanted = (2_000, (text.len() - "id,note\n".len()) as u64);
    assert_eq!((bench.ctx.meter.rows(), bench.ctx.meter.bytes()), wanted);
}

#[tokio::test]
async fn a_record_is_set_aside_whole_where_one_of_its_rows_is() {
    let dataset = PUSHES
        .replace("{ name = \"author\", type = \"string\"", "{ name = \"author\", type = \"int32\", nullable = false")
        .replace("[output]", "[transform]\nfilter = \"message <> 'left out'\"\n[output]\nmax_quarantined = 1.0");
    let event = |commits: &str| {
        format!(
            r#"{{"type":"PushEvent","actor":{{"login":"u"}},"repo":{{"name":"r"}},"created_at":"2015-01-01T15:00:01Z","payload":{{"commits":{commits}}}}}"#
        )
    };
    let lines = [
        event(r#"[{"message":"a","author":{"name":"1"}},{"message":"b","author":{"name":"x"}}]"#),
        event(r#"[{"message":"c","author":{"name":"2"}},{"message":"left out","author":{"name":"3"}}]"#),
        event(r#"[{"message":"left out","author":{"name":"4"}}]"#),
        event("[]"),
        // As GitHub writes them since 2025-10, and as it wrote them before 2015.
        r#"{"type":"PushEvent","actor":{"login":"u"},"repo":{"name":"r"},"payload":{"push_id":1},"created_at":"2025-12-01T00:00:00Z"}"#.to_owned(),
        r#"{"created_at":"2014-01-01T00:00:00-08:00","payload":{"shas":[["a","b","c","d",true]]},"type":"PushEvent","actor":"u"}"#.to_owned(),
        r#"{"type":"WatchEvent"}"#.to_owned(),
        event(r#"[{"message":"cut o"#),
    ];
    let bench = Bench::new();
    let outcome = bench.put_and_ingest(&dataset, "2015-01-01-0.json", lines.join("\n")).await;
    assert_eq!(outcome.rows, RowCounts { read: 8, kept: 4, quarantined: 2, filtered: 2, written: 1 });
    assert_eq!(outcome.warnings.get("no array of rows"), Some(&2));
    assert_eq!(strings(&bench.rows(&outcome), "message"), ["c"]);
    let aside = bench.quarantine(&outcome);
    assert_eq!(strings(&aside, REASON_KEYS), ["cast: author", "json: not well formed"]);
    // The first of its rows that has it.
    assert_eq!(strings(&aside, REASONS), [r#"author: "x" is no int32"#, "json: not well formed"]);
    assert_eq!(strings(&aside, RAW), [lines[0].clone(), lines[7].clone()]);
}

#[tokio::test]
async fn a_record_counts_once_for_each_drop_expectation_that_left_a_row_of_it_out() {
    let expectations = "[[expectations]]\nname = \"said\"\nexpr = \"message <> 'left out'\"\naction = \"drop\"\n\
                        [[expectations]]\nname = \"signed\"\nexpr = \"author <> 'x'\"\n[output]\nmax_quarantined = 1.0";
    let dataset = PUSHES.replace("[output]", expectations);
    let event = |commits: &str| {
        format!(
            r#"{{"type":"PushEvent","actor":{{"login":"u"}},"repo":{{"name":"r"}},"payload":{{"commits":{commits}}}}}"#
        )
    };
    let (left_out, kept) =
        (r#"{"message":"left out","author":{"name":"a"}}"#, r#"{"message":"m","author":{"name":"a"}}"#);
    let unsigned = r#"{"message":"m","author":{"name":"x"}}"#;
    let lines = [
        event(&format!("[{left_out},{left_out},{kept}]")),
        event(&format!("[{left_out},{left_out}]")),
        event(&format!("[{left_out},{unsigned}]")),
    ];
    let outcome = Bench::new().put_and_ingest(&dataset, "2015-01-01-0.json", lines.join("\n")).await;
    assert_eq!(outcome.rows, RowCounts { read: 3, kept: 1, quarantined: 1, filtered: 1, written: 1 });
    assert_eq!(outcome.dropped, BTreeMap::from([("said".to_owned(), 2)]));
    assert_eq!(outcome.reasons, BTreeMap::from([("signed".to_owned(), 1)]));
}

#[tokio::test]
async fn the_same_source_gives_the_same_bytes_and_a_reprocess_keeps_its_boundaries() {
    let mut text = String::from("id,note\n");
    for number in 0..5_000 {
        text.push_str(&format!("{number},\"line {number}\nand {}\"\n", number % 7));
    }
    let (one, other) = (Bench::new(), Bench::new());
    let first = one.put_and_ingest(&plain_csv(10_000), "t.csv", text.clone()).await;
    let second = other.put_and_ingest(&plain_csv(10_000), "t.csv", text).await;
    assert_eq!(digest(&one.rows(&first)), digest(&other.rows(&second)));
    assert!(first.slices > 10);
    let again = one.ingest(&plain_csv(1 << 20), "t.csv", Some("01J00000000000000000000000")).await;
    assert_eq!(again.parts.len(), first.parts.len(), "the published boundaries stay");
    assert_eq!(digest(&one.rows(&again)), digest(&one.rows(&first)));
    // Another dialect has other records: its boundaries are its own.
    let unquoted = format!("{}[csv]\nquote = \"\"\n", plain_csv(20_000))
        .replace("[output]", "[schema]\non_cast_error = \"null\"\n[output]\nmax_quarantined = 1.0");
    let unquoted = one.ingest(&unquoted, "t.csv", Some("01J00000000000000000000001")).await;
    assert_eq!(unquoted.rows.read, 10_000);
}

#[tokio::test]
async fn a_slice_that_did_not_read_all_its_bytes_is_not_published() {
    let bench = Bench::new();
    let outcome = bench.put_and_ingest(&plain_csv(10), "t.csv", "a,b\n1,2\n3,4\n5,6\n").await;
    let (dataset, run_id) = (&outcome.run.dataset, &outcome.run.run_id);
    let plan = bench.ctx.ledger.plan(dataset, run_id).await.unwrap().unwrap();
    let mut records: Vec<_> =
        bench.ctx.ledger.slices(dataset, run_id).await.unwrap().into_iter().map(|record| record.value).collect();
    assert_eq!(verify(&plan, records.iter(), 0.0), Verdict::Verified);
    if let SliceResult::Done(done) = &mut records[0].result {
        done.bytes = done.bytes.clone().map(|bytes| bytes.start..bytes.end - 1);
    }
    assert!(matches!(verify(&plan, records.iter(), 0.0), Verdict::Failed(failure) if failure.kind == "conservation"));
    let mut holed = plan.clone();
    holed.text.as_mut().unwrap().slices.remove(0);
    assert!(matches!(verify(&holed, [].into_iter(), 0.0), Verdict::Failed(failure) if failure.kind == "conservation"));
}

#[tokio::test]
async fn files_without_a_record_publish_nothing_and_end_well() {
    for (key, text) in [("t.csv", ""), ("u.csv", "a,b\n"), ("v.csv", "\n\n"), ("w.csv.gz", "")] {
        let bench = Bench::new();
        let outcome = bench.put_and_ingest(&plain_csv(1 << 20), key, text).await;
        assert_eq!((outcome.status, outcome.rows.read), (Status::Complete, 0), "{key}: {:?}", outcome.error);
    }
}

const CONTRACT: &str = "name = \"t\"
[source]
format = \"csv\"
[schema]
columns = [{ name = \"id\", type = \"int32\" }, { name = \"amt\", type = \"decimal(8, 2)\" }]
[output]
prefix = \"t/\"
max_quarantined = 1.0
";

#[tokio::test]
async fn a_file_of_carriage_returns_is_split_and_read_whole_and_its_plan_says_so() {
    let text: String = (0..1_000).map(|id| format!("{id},{}.50\r", id % 90)).collect();
    let text = format!("id,amt\r{text}");
    let bench = Bench::new();
    let dataset = CONTRACT.replace("[schema]", "block_bytes = 1000\n[schema]");
    let outcome = bench.put_and_ingest(&dataset, "t.csv", text).await;
    assert_eq!((outcome.rows.read, outcome.rows.kept), (1_000, 1_000), "{:?}", outcome.error);
    assert!(outcome.slices > 5);
    assert_eq!(strings(&bench.rows(&outcome), "amt")[1], "1.50");
    let plan = bench.ctx.ledger.plan(&outcome.run.dataset, &outcome.run.run_id).await.unwrap().unwrap();
    assert_eq!(plan.format, 3, "a version that would find one record in it refuses it");
}

#[tokio::test]
async fn a_decimal_that_would_lose_digits_is_set_aside_unless_it_may_be_rounded() {
    let text = "id,amt\n1,10.005\n2,10.500\n3,.5\n";
    let bench = Bench::new();
    let outcome = bench.put_and_ingest(CONTRACT, "t.csv", text).await;
    assert_eq!((outcome.rows.kept, outcome.rows.quarantined), (2, 1));
    assert_eq!(strings(&bench.rows(&outcome), "amt"), ["10.50", "0.50"]);
    assert_eq!(strings(&bench.quarantine(&outcome), RAW), ["1,10.005"]);
    let rounding = CONTRACT.replace("decimal(8, 2)\"", "decimal(8, 2)\", round = true");
    let by_rule = CONTRACT
        .replace(", { name = \"amt\", type = \"decimal(8, 2)\" }]", "]")
        .replace("[schema]", "[schema]\ncasts = [{ from = \"float64\", to = \"decimal(8, 2)\", round = true }]");
    for dataset in [rounding, by_rule] {
        let bench = Bench::new();
        let outcome = bench.put_and_ingest(&dataset, "t.csv", text).await;
        assert_eq!(strings(&bench.rows(&outcome), "amt"), ["10.01", "10.50", "0.50"]);
    }
}

#[tokio::test]
async fn a_header_of_another_delimiter_and_an_empty_file_are_said_in_words() {
    let required = CONTRACT.replace("\"int32\"", "\"int32\", nullable = false");
    let headless = format!("{CONTRACT}[csv]\nheader = false\n");
    let semicolon = format!("{CONTRACT}[csv]\ndelimiter = \";\"\n");
    for (dataset, text, says) in [
        (
            CONTRACT,
            "id;amt\n1;2,5\n",
            "the header has one column `id;amt`: is the delimiter `;`? set [csv] delimiter = \";\"",
        ),
        (&required, "id\tamt\n1\t2\n", "`id\\tamt`: is the delimiter `\\t`? set [csv] delimiter = \"\\t\""),
        (CONTRACT, "ID|a; b|c\n", "is the delimiter `|`?"),
        (&semicolon, "id,amt\n1,2\n", "is the delimiter `,`?"),
        (&headless, "1;2\n3;4\n", "the first record has one field `1;2`: is the delimiter `;`?"),
        (&required, "", "the file is empty: it has no byte"),
        (&required, " \r\n \n", "the file is empty: it holds nothing but white space"),
        (&required, "amt\n", "the file is empty: it has a header and no record, and the header lacks `id`"),
    ] {
        let outcome = Bench::new().put_and_ingest(dataset, "t.csv", text).await;
        let error = outcome.error.unwrap_or_else(|| panic!("{text:?}"));
        assert!(outcome.status == Status::Failed && error.message.contains(says), "{error:?}");
        assert!(!error.message.contains("nullable"), "{error:?}");
    }
    for (text, says) in [("", "no byte"), (" \n", "white space"), ("id,amt\n", "a header and no record")] {
        let outcome = Bench::new().put_and_ingest(CONTRACT, "t.csv", text).await;
        assert_eq!((outcome.status, outcome.rows.read), (Status::Complete, 0), "{text:?}: {:?}", outcome.error);
        assert!(outcome.notes.len() == 1 && outcome.notes[0].contains(says), "{:?}", outcome.notes);
    }
}

#[tokio::test]
async fn what_can_never_work_fails_the_run_with_a_reason() {
    let gone = "name = \"t\"\n[source]\nformat = \"csv\"\n[schema]\nextra_columns = \"fail\"\ncolumns = [{ name = \"z\", type = \"int32\" }]\n[output]\nprefix = \"t/\"\n";
    for (dataset, bytes, says) in [
        (gone.to_owned(), "a,b\n1,2\n", "does not name `a`"),
        (plain_csv(1 << 20), "a,a\n1,2\n", "names `a` twice"),
        (
            plain_csv(1 << 20).replace("[output]", "record_bytes = 4\n[output]"),
            "a,b\n1,2\nlonger than that,5\n",
            "record_bytes",
        ),
    ] {
        let outcome = Bench::new().put_and_ingest(&dataset, "t.csv", bytes).await;
        let error = outcome.error.unwrap();
        assert!(outcome.status == Status::Failed && error.message.contains(says), "{error:?}");
    }
}
