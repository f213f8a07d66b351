//! Every file of the public Parquet corpus reads, or fails in plain words.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;
use crate::read::testing::OneFile;

fn corpus(folder: &str) -> Option<PathBuf> {
    match std::env::var_os("ROWMILL_CORPUS") {
        Some(root) => Some(Path::new(&root).join(folder)),
        None => {
            eprintln!("skipped: ROWMILL_CORPUS is not set");
            None
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(".parquet") || path.ends_with(".encrypted")))
        .collect();
    files.sort();
    files
}

async fn read_file(path: &Path) -> Result<RecordBatch> {
    let (_, source) = OneFile::new(std::fs::read(path).unwrap()).source();
    let started = Instant::now();
    // Cut inside row groups where they are small enough to cut.
    let footer = Footer::read(&source).await?;
    let slice_rows = (footer.total_rows / 3 + 1).max(1);
    let result = read_all(&source, slice_rows, &ReadOptions::default()).await;
    let options = ReadOptions { coded: true, ..ReadOptions::default() };
    match (&result, read_all(&source, slice_rows, &options).await) {
        (Ok(plain), Ok(coded)) => assert!(*plain == coded || format!("{plain:?}") == format!("{coded:?}"), "{path:?}"),
        (Err(_), Err(_)) => {}
        (plain, coded) => panic!("{path:?}: plain: {:?}, coded: {:?}", plain.as_ref().err(), coded.err()),
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{path:?} took {:?}", started.elapsed());
    result
}

/// What is known to be unreadable, and the words it must fail with.
const UNREADABLE: &[(&str, &str)] = &[
    // Its footer gives a field of the format another type.
    ("dict-page-offset-zero.parquet", "the footer cannot be read"),
    // A page of 1 GiB from 1.6 kB.
    ("large_string_map.brotli.parquet", "claims to become 1073741828"),
    // Its chunk is some bytes shorter than its pages.
    ("nation.dict-malformed.parquet", "reaches beyond its column"),
    // Its footer claims no rows, its row group holds six.
    ("repeated_no_annotation.parquet", "it claims 0 rows, its row groups hold 6"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_good_file_reads_and_every_encrypted_one_says_so() {
    let Some(folder) = corpus("parquet/data") else { return };
    let mut failed = Vec::new();
    for path in files(&folder).into_iter().chain(files(&folder.join("geospatial"))).chain(files(&folder.join("aes256")))
    {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match read_file(&path).await {
            Ok(_) if name.ends_with(".encrypted") => failed.push(format!("{name}: read")),
            Ok(_) => {}
            Err(error) if name.ends_with(".encrypted") && error.to_string().contains("encrypted: not supported") => {}
            Err(error) if UNREADABLE.iter().any(|(known, why)| *known == name && problem(&error).contains(why)) => {}
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_file_reads_or_fails_as_a_bad_source() {
    let Some(folder) = corpus("parquet/bad_data") else { return };
    for path in files(&folder) {
        match read_file(&path).await {
            Ok(batch) => eprintln!("{path:?}: {} rows", batch.num_rows()),
            Err(error) => eprintln!("{path:?}: {}", problem(&error)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn int96_timestamps_far_from_now_are_exact() {
    let Some(folder) = corpus("parquet/data") else { return };
    let batch = read_file(&folder.join("int96_from_spark.parquet")).await.unwrap();
    let times = batch.column(0).as_any().downcast_ref::<TimestampMicrosecondArray>().unwrap();
    // int96_from_spark.md: 9999-12-31T03:00:00 among them.
    assert!(times.iter().flatten().any(|time| time == 253_402_225_200_000_000), "{times:?}");
}
