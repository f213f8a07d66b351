//! Objects recognised by their bytes: what a copied or restored sink holds.

use bytes::Bytes;
use rowmill::storage::{Content, DeleteOutcome, Storage, delete_content, find_content};

use super::help::{completed, etag, uploaded};

const BYTES: &[u8] = b"a part of run 1";
const OTHER: &[u8] = b"a part of run 2";

/// An object that was uploaded in parts and then put anew with the same bytes has another ETag, and is found and deleted
/// all the same.
pub async fn a_copy_with_another_etag_is_recognised_by_its_bytes(storage: &dyn Storage, at: &str) {
    let key = format!("{at}/part.parquet");
    let content = Content::of(BYTES);
    assert_eq!(find_content(storage, &key, &content).await.unwrap(), None, "nothing lies there");
    let (id, parts) = uploaded(storage, &key, &[Bytes::from_static(BYTES)]).await;
    let recorded = completed(storage, &key, &id, &parts).await;
    assert_eq!(find_content(storage, &key, &content).await.unwrap(), Some(recorded.clone()));

    let copied = storage.put(&key, Bytes::from_static(BYTES)).await.unwrap();
    assert_ne!(copied, recorded, "a copy has an ETag of its own");
    assert_eq!(find_content(storage, &key, &content).await.unwrap(), Some(copied));
    let deleted = delete_content(storage, &key, &recorded, Some(&content)).await.unwrap();
    assert_eq!(deleted, DeleteOutcome::Deleted);
    assert_eq!(storage.head(&key).await.unwrap(), None);
    let again = delete_content(storage, &key, &recorded, Some(&content)).await.unwrap();
    assert_eq!(again, DeleteOutcome::Gone);
}

/// Another object at the key, even one of the same length, is left alone; so is a copy whose bytes nobody recorded.
pub async fn something_else_at_the_key_is_left_alone(storage: &dyn Storage, at: &str) {
    let key = format!("{at}/part.parquet");
    let recorded = storage.put(&key, Bytes::from_static(BYTES)).await.unwrap();
    for bytes in [OTHER, b"shorter", b""] {
        storage.put(&key, Bytes::from_static(bytes)).await.unwrap();
        let left = delete_content(storage, &key, &recorded, Some(&Content::of(BYTES))).await.unwrap();
        assert_eq!(left, DeleteOutcome::Changed);
        let without = delete_content(storage, &key, &recorded, None).await.unwrap();
        assert_eq!(without, DeleteOutcome::Changed);
        assert_eq!(&storage.get(&key, 100).await.unwrap().unwrap().bytes[..], bytes);
    }
    let present = etag(storage, &key).await;
    assert_eq!(delete_content(storage, &key, &present, None).await.unwrap(), DeleteOutcome::Deleted);
}
