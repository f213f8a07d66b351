//! Every storage keeps the promises of `rowmill::storage::Storage`. S3 is asked on the deployed stack.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use rowmill::clock::SystemClock;
use rowmill::storage::{LocalStorage, MemoryStorage};
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
