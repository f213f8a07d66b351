//! Every storage keeps the promises of `rowmill::storage::Storage`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use rowmill::clock::SystemClock;
use rowmill::storage::{LocalStorage, MemoryStorage, S3Stores};
use rowmill_tests::conformance::conformance;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_promises() {
    conformance(&MemoryStorage::new("conformance", Arc::new(SystemClock))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_folder_keeps_the_promises() {
    let folder = tempfile::tempdir().unwrap();
    conformance(&LocalStorage::new(folder.path().join("not/yet/there"))).await;
}

/// Against whatever the AWS environment names: an emulator, or a real bucket made for this.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_keeps_the_promises() {
    let Ok(bucket) = std::env::var("ROWMILL_CONFORMANCE_BUCKET") else {
        eprintln!("skipped: ROWMILL_CONFORMANCE_BUCKET names no bucket to write to");
        return;
    };
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    conformance(S3Stores::new(&config).bucket(&bucket).as_ref()).await;
}
