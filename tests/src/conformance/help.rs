//! What several checks do.

use std::collections::BTreeMap;

use bytes::Bytes;
use rowmill::storage::{CompleteOutcome, Storage, UploadedPart, list_all};

pub(super) async fn etag(storage: &dyn Storage, key: &str) -> String {
    storage.head(key).await.unwrap().unwrap_or_else(|| panic!("{key} exists")).version.etag
}

pub(super) async fn listed(storage: &dyn Storage, prefix: &str) -> Vec<String> {
    list_all(storage, prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

pub(super) async fn uploaded(storage: &dyn Storage, key: &str, bodies: &[Bytes]) -> (String, Vec<UploadedPart>) {
    let id = storage.begin_upload(key, &BTreeMap::new()).await.unwrap();
    let mut parts = Vec::new();
    for (number, body) in (1..).zip(bodies) {
        parts.push(storage.put_part(key, &id, number, body.clone()).await.unwrap());
    }
    (id, parts)
}

pub(super) async fn completed(storage: &dyn Storage, key: &str, id: &str, parts: &[UploadedPart]) -> String {
    match storage.complete_upload(key, id, parts).await.unwrap() {
        CompleteOutcome::Completed { etag } => etag,
        CompleteOutcome::Gone => panic!("{key}: the upload is there"),
    }
}

pub(super) async fn expect_content(storage: &dyn Storage, key: &str, etag: &str, expected: &[&[u8]]) {
    let meta = storage.head(key).await.unwrap().unwrap();
    assert_eq!(meta.version.etag, etag);
    let bytes = storage.get_range(key, &meta.version, 0..meta.size).await.unwrap();
    assert!(bytes == expected.concat(), "{key}: other bytes than were uploaded");
}
