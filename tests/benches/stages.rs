//! What each stage of a slice costs by itself, on 262,144 made-up trips in one row group:
//! `cargo bench -p rowmill-tests --bench stages`.
//!
//! Stages overlap in the pipeline, so their sum is CPU time, not the time that a slice takes. Compressing is the
//! difference between the two encodings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use divan::Bencher;
use divan::counter::ItemsCount;
use parquet::basic::{Compression, ZstdLevel};
use rowmill::clean::Cleaner;
use rowmill::clock::SystemClock;
use rowmill::dataset::Dataset;
use rowmill::plan::slices;
use rowmill::read::SourceFile;
use rowmill::read::parquet::{Footer, HeldRowGroup, ReadOptions, SliceReader, find_pages};
use rowmill::storage::{LocalStorage, MemoryStorage, Storage};
use rowmill::write::{DeferredUpload, PartOptions, PartWriter, UploadOptions};
use rowmill_tests::fhvhv::{self, Layout};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const ROWS: u64 = 262_144;

fn main() {
    divan::main();
}

/// A file of trips, and what is read of it.
struct Trips {
    _folder: TempDir,
    source: SourceFile,
    footer: Footer,
    batches: Vec<RecordBatch>,
}

impl Trips {
    fn make(layout: Layout) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("trips.parquet"), fhvhv::write(layout, ROWS, Vec::new()).unwrap()).unwrap();
        runtime().block_on(Self::open(folder))
    }

    async fn open(folder: TempDir) -> Self {
        let storage = Arc::new(LocalStorage::new(folder.path()));
        let found = storage.head("trips.parquet").await.unwrap().unwrap();
        let source = SourceFile { storage, key: found.key, version: found.version, size: found.size };
        let footer = Footer::read(&source).await.unwrap();
        let batches = decoded(&source, &footer).await;
        Self { _folder: folder, source, footer, batches }
    }
}

async fn decoded(source: &SourceFile, footer: &Footer) -> Vec<RecordBatch> {
    let mut reader = SliceReader::open(source, footer, None, 0..ROWS, &ReadOptions::default()).await.unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = reader.next().await.unwrap() {
        batches.push(batch);
    }
    batches
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

fn published() -> &'static Trips {
    static TRIPS: OnceLock<Trips> = OnceLock::new();
    TRIPS.get_or_init(|| Trips::make(Layout::OneRowGroup))
}

fn narrow() -> &'static Trips {
    static TRIPS: OnceLock<Trips> = OnceLock::new();
    TRIPS.get_or_init(|| Trips::make(Layout::Uniform(ROWS)))
}

fn dataset() -> Dataset {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/peers/jobs/trips/rowmill.toml");
    Dataset::parse(&std::fs::read_to_string(path).unwrap(), "rowmill.toml").unwrap()
}

#[divan::bench]
fn walk_page_headers(bencher: Bencher<'_, '_>) {
    let trips = published();
    let slices = slices(ROWS, ROWS / 4, 1, 100).unwrap();
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench(|| runtime().block_on(find_pages(&trips.source, &trips.footer, &slices)).unwrap());
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let trips = published();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| runtime().block_on(decoded(&trips.source, &trips.footer)));
}

#[divan::bench]
fn clean(bencher: Bencher<'_, '_>) {
    let trips = published();
    let cleaner = Cleaner::new(&dataset(), &trips.footer.schema, "trips").unwrap();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        let cleaned = trips.batches.iter().map(|batch| cleaner.clean(batch, 0).unwrap().kept);
        cleaned.collect::<Vec<_>>()
    });
}

#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    encoded(bencher, Compression::UNCOMPRESSED);
}

#[divan::bench]
fn encode_and_compress(bencher: Bencher<'_, '_>) {
    encoded(bencher, Compression::ZSTD(ZstdLevel::try_new(1).unwrap()));
}

fn encoded(bencher: Bencher<'_, '_>, compression: Compression) {
    let trips = published();
    let cleaner = Cleaner::new(&dataset(), &trips.footer.schema, "trips").unwrap();
    let cleaned: Vec<_> = trips.batches.iter().map(|batch| cleaner.select(batch, 0).unwrap().kept).collect();
    let options = PartOptions { compression, metadata: BTreeMap::new(), threads: 1 };
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        runtime().block_on(async {
            let mut part = PartWriter::begin(cleaner.output_schema().clone(), options.clone(), upload().await);
            for batch in &cleaned {
                part.write(batch.clone()).await.unwrap();
            }
            part.finish().await.unwrap()
        })
    });
}

#[divan::bench]
fn copy(bencher: Bencher<'_, '_>) {
    let trips = narrow();
    let schema = Cleaner::new(&dataset(), &trips.footer.schema, "trips").unwrap().output_schema().clone();
    let compression = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    let options = PartOptions { compression, metadata: BTreeMap::new(), threads: 1 };
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        runtime().block_on(async {
            let held = HeldRowGroup::fetch(&trips.source, &trips.footer, 0, 0..ROWS, &BTreeSet::new()).await;
            let (sender, chunks) = mpsc::channel(1);
            let sending = tokio::spawn(held.unwrap().unwrap().send_chunks(sender));
            let mut part = PartWriter::begin(schema.clone(), options.clone(), upload().await);
            part.copy_row_group(chunks).await.unwrap();
            assert!(sending.await.unwrap().unwrap());
            part.finish().await.unwrap()
        })
    });
}

async fn upload() -> DeferredUpload {
    let storage = Arc::new(MemoryStorage::new("bench", Arc::new(SystemClock)));
    DeferredUpload::begin(storage, "part", "1", &BTreeMap::new(), UploadOptions::default()).await.unwrap()
}
