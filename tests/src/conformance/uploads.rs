//! Uploads in parts.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use rowmill::storage::{AbortOutcome, CompleteOutcome, DeleteOutcome, Storage, UploadedPart, list_all};

use super::help::{completed, etag, expect_content, listed, uploaded};

/// S3's least size of a part that is not the last.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// Nothing shows of an upload until it is completed; its metadata, where the backend keeps any, shows then.
pub async fn an_upload_is_invisible_until_completed(storage: &dyn Storage, at: &str) {
    let key = format!("{at}/part-00000.parquet");
    let metadata = BTreeMap::from([("rowmill-checksum".to_owned(), "abc=".to_owned())]);
    let id = storage.begin_upload(&key, &metadata).await.unwrap();
    let part = storage.put_part(&key, &id, 1, Bytes::from_static(b"rows")).await.unwrap();
    assert!(!part.etag.contains('"'), "an etag without quotes: {}", part.etag);
    assert_eq!(storage.head(&key).await.unwrap(), None);
    assert!(storage.get(&key, 100).await.unwrap().is_none());
    assert!(listed(storage, at).await.is_empty());
    let etag = completed(storage, &key, &id, &[part]).await;
    let head = storage.head(&key).await.unwrap().unwrap();
    assert_eq!((head.size, &head.version.etag), (4, &etag));
    assert!(head.metadata.is_empty() || head.metadata == metadata, "{:?}", head.metadata);
    assert_eq!(&storage.get_range(&key, &head.version, 1..3).await.unwrap()[..], b"ow");
    let in_list = list_all(storage, at).await.unwrap();
    assert_eq!((in_list.len(), &in_list[0].version.etag, in_list[0].size), (1, &etag, 4));
}

/// Parts may arrive in any order, at once and repeatedly; the object is the named ones in order.
pub async fn an_upload_of_many_parts_is_their_bytes_in_order(storage: &dyn Storage, at: &str) {
    let body = |fill: u8| Bytes::from(vec![fill; PART_BYTES]);
    for (case, order) in [[1, 2, 3], [3, 2, 1], [2, 1, 3]].into_iter().enumerate() {
        let key = format!("{at}/{case}");
        let id = storage.begin_upload(&key, &BTreeMap::new()).await.unwrap();
        storage
            .put_part(&key, &id, 2, Bytes::from_static(b"replaced by the next upload of this number"))
            .await
            .unwrap();
        let mut parts = Vec::new();
        for number in order {
            let bytes = if number == 3 { Bytes::from_static(b"last") } else { body(number) };
            parts.push(storage.put_part(&key, &id, u32::from(number), bytes).await.unwrap());
        }
        parts.sort_by_key(|part| part.number);
        let etag = completed(storage, &key, &id, &parts).await;
        expect_content(storage, &key, &etag, &[&body(1), &body(2), b"last"]).await;
    }
    let key = format!("{at}/concurrent");
    let id = storage.begin_upload(&key, &BTreeMap::new()).await.unwrap();
    let put = |number: u8| storage.put_part(&key, &id, u32::from(number), body(number));
    let put: Vec<_> = (1..=4).map(put).collect::<FuturesUnordered<_>>().collect().await;
    let mut parts: Vec<UploadedPart> = put.into_iter().map(Result::unwrap).collect();
    parts.sort_by_key(|part| part.number);
    // The third is left out on purpose: an object is made of the parts that its completion names.
    let chosen = [parts[0].clone(), parts[1].clone(), parts[3].clone()];
    let wrong = [UploadedPart { number: 1, etag: "00000000000000000000000000000000".to_owned() }];
    assert!(storage.complete_upload(&key, &id, &wrong).await.is_err(), "a part that was never uploaded");
    let etag = completed(storage, &key, &id, &chosen).await;
    expect_content(storage, &key, &etag, &[&body(1), &body(2), &body(4)]).await;
}

/// A completion whose reply was lost may be repeated.
pub async fn completing_twice_answers_the_same(storage: &dyn Storage, at: &str) {
    let (id, parts) = uploaded(storage, at, &[Bytes::from_static(b"rows")]).await;
    let first = completed(storage, at, &id, &parts).await;
    let second = completed(storage, at, &id, &parts).await;
    assert_eq!(first, second);
    assert_eq!(etag(storage, at).await, first);
}

/// Two finalizers that complete one upload at once both succeed.
pub async fn completing_at_once_makes_one_object(storage: &dyn Storage, at: &str) {
    let (id, parts) = uploaded(storage, at, &[Bytes::from_static(b"rows")]).await;
    let complete = |_| storage.complete_upload(at, &id, &parts);
    let outcomes: Vec<_> = (0..6).map(complete).collect::<FuturesUnordered<_>>().collect().await;
    let expected = CompleteOutcome::Completed { etag: etag(storage, at).await };
    for outcome in outcomes {
        assert_eq!(outcome.unwrap(), expected);
    }
}

/// Completing an upload again, after its object was replaced or deleted, changes nothing.
pub async fn completing_again_does_not_bring_an_object_back(storage: &dyn Storage, at: &str) {
    let (id, parts) = uploaded(storage, at, &[Bytes::from_static(b"rows")]).await;
    completed(storage, at, &id, &parts).await;
    let newer = storage.put(at, Bytes::from_static(b"newer")).await.unwrap();
    storage.complete_upload(at, &id, &parts).await.unwrap();
    assert_eq!(etag(storage, at).await, newer);
    storage.delete(at).await.unwrap();
    storage.complete_upload(at, &id, &parts).await.unwrap();
    assert_eq!(storage.head(at).await.unwrap(), None);
}

/// After an abort, the upload takes no parts and cannot be completed.
pub async fn an_aborted_upload_never_becomes_an_object(storage: &dyn Storage, at: &str) {
    let (id, parts) = uploaded(storage, at, &[Bytes::from_static(b"rows")]).await;
    assert_eq!(storage.abort_upload(at, &id).await.unwrap(), AbortOutcome::Aborted);
    assert_eq!(storage.complete_upload(at, &id, &parts).await.unwrap(), CompleteOutcome::Gone);
    assert_eq!(storage.abort_upload(at, &id).await.unwrap(), AbortOutcome::Gone);
    assert!(storage.put_part(at, &id, 2, Bytes::from_static(b"late")).await.is_err());
    assert_eq!(storage.head(at).await.unwrap(), None);
    let unknown = storage.complete_upload(at, "../no-such-upload", &parts).await.unwrap();
    assert_eq!(unknown, CompleteOutcome::Gone);
    assert_eq!(storage.abort_upload(at, "../no-such-upload").await.unwrap(), AbortOutcome::Gone);
}

/// An abort that comes after the completion does no harm.
pub async fn aborting_a_completed_upload_leaves_its_object(storage: &dyn Storage, at: &str) {
    let (id, parts) = uploaded(storage, at, &[Bytes::from_static(b"rows")]).await;
    let etag_completed = completed(storage, at, &id, &parts).await;
    // Whether it answers `Aborted` or `Gone` is left open: S3 answers the one for hours, and then the other.
    storage.abort_upload(at, &id).await.unwrap();
    assert_eq!(etag(storage, at).await, etag_completed);
    let again = storage.complete_upload(at, &id, &parts).await.unwrap();
    assert_eq!(again, CompleteOutcome::Completed { etag: etag_completed });
}

/// A completion takes the place of the object at its key, and leaves other uploads to the key alone.
pub async fn completing_replaces_what_lay_there(storage: &dyn Storage, at: &str) {
    let old = storage.put(at, Bytes::from_static(b"old")).await.unwrap();
    let (id, parts) = uploaded(storage, at, &[Bytes::from_static(b"new rows")]).await;
    let (other_id, other_parts) = uploaded(storage, at, &[Bytes::from_static(b"other rows")]).await;
    assert_eq!(etag(storage, at).await, old, "an upload in progress leaves the object alone");
    let new = completed(storage, at, &id, &parts).await;
    assert_ne!(new, old);
    expect_content(storage, at, &new, &[b"new rows"]).await;
    let other = completed(storage, at, &other_id, &other_parts).await;
    expect_content(storage, at, &other, &[b"other rows"]).await;
    assert_eq!(storage.delete_if(at, &new).await.unwrap(), DeleteOutcome::Changed);
}

/// An upload is open until it is completed or aborted, and knows its object until another takes its place.
pub async fn an_upload_tells_whether_it_is_open_and_what_it_made(storage: &dyn Storage, at: &str) {
    let metadata = BTreeMap::from([("attempt".to_owned(), "first".to_owned())]);
    let id = storage.begin_upload(at, &metadata).await.unwrap();
    let part = storage.put_part(at, &id, 1, Bytes::from_static(b"made")).await.unwrap();
    assert!(storage.upload_is_open(at, &id).await.unwrap());
    assert_eq!(storage.made_by(at, &id, "attempt", "first").await.unwrap(), None);
    let etag = completed(storage, at, &id, &[part]).await;
    assert!(!storage.upload_is_open(at, &id).await.unwrap());
    assert_eq!(storage.made_by(at, &id, "attempt", "first").await.unwrap(), Some(etag));
    storage.put(at, Bytes::from_static(b"another")).await.unwrap();
    assert_eq!(storage.made_by(at, &id, "attempt", "first").await.unwrap(), None);

    let aborted = storage.begin_upload(at, &metadata).await.unwrap();
    storage.abort_upload(at, &aborted).await.unwrap();
    assert!(!storage.upload_is_open(at, &aborted).await.unwrap());
    assert_eq!(storage.made_by(at, &aborted, "attempt", "first").await.unwrap(), None);
}
