//! Single objects: what one call promises.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rowmill::storage::{DeleteOutcome, ObjectVersion, PutIf, PutOutcome, Storage, StorageError, list_all};

use super::help::etag;

/// A put is visible to every kind of read, and they agree on its version.
pub async fn a_put_is_read_back(storage: &dyn Storage, at: &str) {
    let key = format!("{at}/object.json");
    assert_eq!(storage.head(&key).await.unwrap(), None);
    assert!(storage.get(&key, 100).await.unwrap().is_none());
    let etag = storage.put(&key, Bytes::from_static(b"first")).await.unwrap();
    let head = storage.head(&key).await.unwrap().expect("a put is visible once it returned");
    assert_eq!((head.key.as_str(), head.size, &head.version.etag), (key.as_str(), 5, &etag));
    assert!(!etag.is_empty() && !etag.contains('"'), "an etag without quotes: {etag}");
    let object = storage.get(&key, 5).await.unwrap().unwrap();
    assert_eq!(&object.bytes[..], b"first");
    assert_eq!(object.meta.version, head.version);
    let listed = list_all(storage, &key).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].key, listed[0].size, &listed[0].version.etag), (&key, 5, &etag));
    let lag_ms = listed[0].version.last_modified_ms.abs_diff(head.version.last_modified_ms);
    assert!(lag_ms < 1_000, "a listing and a look-up tell the same second");
    assert!(storage.uri(&key).ends_with(&key));

    let replaced = storage.put(&key, Bytes::from_static(b"second, longer")).await.unwrap();
    assert_ne!(replaced, etag);
    assert_eq!(&storage.get(&key, 100).await.unwrap().unwrap().bytes[..], b"second, longer");
}

/// `get` refuses what is larger than its caller expects.
pub async fn an_object_above_the_limit_is_not_read(storage: &dyn Storage, at: &str) {
    storage.put(at, Bytes::from_static(b"12345")).await.unwrap();
    assert!(storage.get(at, 5).await.unwrap().is_some());
    assert!(matches!(storage.get(at, 4).await, Err(StorageError::Failed { .. })));
}

/// The first conditional put writes, the second loses and changes nothing.
pub async fn put_if_absent_writes_once(storage: &dyn Storage, at: &str) {
    let first = storage.put_if(at, PutIf::Absent, Bytes::from_static(b"first")).await.unwrap();
    let second = storage.put_if(at, PutIf::Absent, Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(first, PutOutcome::Written { etag: etag(storage, at).await });
    assert_eq!(second, PutOutcome::Lost);
    assert_eq!(&storage.get(at, 100).await.unwrap().unwrap().bytes[..], b"first");
}

/// Compare-and-swap writes only where the ETag is the one given.
pub async fn put_if_matches_swaps_only_what_was_read(storage: &dyn Storage, at: &str) {
    let missing = storage.put_if(at, PutIf::Matches("0123456789abcdef"), Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(missing, PutOutcome::Lost, "there is nothing to swap");
    assert_eq!(storage.head(at).await.unwrap(), None);
    let first = storage.put(at, Bytes::from_static(b"first")).await.unwrap();
    let swapped = storage.put_if(at, PutIf::Matches(&first), Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(swapped, PutOutcome::Written { etag: etag(storage, at).await });
    let late = storage.put_if(at, PutIf::Matches(&first), Bytes::from_static(b"third")).await.unwrap();
    assert_eq!(late, PutOutcome::Lost);
    assert_eq!(&storage.get(at, 100).await.unwrap().unwrap().bytes[..], b"second");
}

/// A conditional delete tells what it met; a plain one may be repeated.
pub async fn deletes_are_conditional_and_repeatable(storage: &dyn Storage, at: &str) {
    let first = storage.put(at, Bytes::from_static(b"first")).await.unwrap();
    let second = storage.put(at, Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(storage.delete_if(at, &first).await.unwrap(), DeleteOutcome::Changed);
    assert_eq!(&storage.get(at, 100).await.unwrap().unwrap().bytes[..], b"second");
    assert_eq!(storage.delete_if(at, &second).await.unwrap(), DeleteOutcome::Deleted);
    assert_eq!(storage.head(at).await.unwrap(), None);
    assert_eq!(storage.delete_if(at, &second).await.unwrap(), DeleteOutcome::Gone);
    storage.put(at, Bytes::from_static(b"third")).await.unwrap();
    storage.delete(at).await.unwrap();
    storage.delete(at).await.unwrap();
    assert_eq!(storage.head(at).await.unwrap(), None);
}

/// A ranged read gives exactly the bytes of the version asked for, or says why not.
pub async fn a_pinned_read_sees_its_version_or_none(storage: &dyn Storage, at: &str) {
    storage.put(at, Bytes::from_static(b"0123456789")).await.unwrap();
    let version = storage.head(at).await.unwrap().unwrap().version;
    assert_eq!(&storage.get_range(at, &version, 0..10).await.unwrap()[..], b"0123456789");
    assert_eq!(&storage.get_range(at, &version, 3..5).await.unwrap()[..], b"34");
    assert!(storage.get_range(at, &version, 4..4).await.unwrap().is_empty());
    for beyond in [5..11, 10..11, 400..500] {
        let read = storage.get_range(at, &version, beyond.clone()).await;
        assert!(matches!(read, Err(StorageError::Failed { .. })), "{beyond:?}: {read:?}");
    }
    storage.put(at, Bytes::from_static(b"9876543210")).await.unwrap();
    let changed = storage.get_range(at, &version, 0..3).await;
    if version.version_id.is_some() {
        assert_eq!(&changed.unwrap()[..], b"012", "a bucket that keeps versions still has the one asked for");
    } else {
        assert!(matches!(changed, Err(StorageError::Changed { .. })), "{changed:?}");
        storage.delete(at).await.unwrap();
        let gone = storage.get_range(at, &version, 0..3).await;
        assert!(matches!(gone, Err(StorageError::NotFound { .. })), "{gone:?}");
    }
    let never = ObjectVersion { version_id: None, etag: "none".to_owned(), last_modified_ms: 0 };
    let missing = storage.get_range(&format!("{at}/never"), &never, 0..1).await;
    assert!(matches!(missing, Err(StorageError::NotFound { .. })), "{missing:?}");
}

/// Each read of a turn is told by the one before it; all are of the version asked for.
pub async fn reads_in_turn_see_one_version_or_none(storage: &dyn Storage, at: &str) {
    storage.put(at, Bytes::from_static(b"3.........")).await.unwrap();
    let version = storage.head(at).await.unwrap().unwrap().version;
    // Where each byte that is no dot tells the place of the next one.
    let follow = |beyond: u64| {
        let (seen, mut is_first) = (Arc::new(Mutex::new(Vec::new())), true);
        let told = seen.clone();
        let next = move |read: Bytes| {
            if std::mem::take(&mut is_first) {
                return Some(0..1);
            }
            seen.lock().unwrap().extend_from_slice(&read);
            let place = u64::from(read[0].checked_sub(b'0')?);
            Some(place..place + if place == 9 { beyond } else { 1 })
        };
        (told, Box::new(next))
    };
    let (told, next) = follow(1);
    storage.get_in_turn(at, &version, next).await.unwrap();
    assert_eq!(&told.lock().unwrap()[..], b"3.");
    storage.put(at, Bytes::from_static(b"3..7...9.!")).await.unwrap();
    let (told, next) = follow(1);
    let changed = storage.get_in_turn(at, &version, next).await;
    let now = storage.head(at).await.unwrap().unwrap().version;
    if version.version_id.is_some() {
        changed.unwrap();
        assert_eq!(&told.lock().unwrap()[..], b"3.", "a bucket that keeps versions still has the one asked for");
    } else {
        assert!(matches!(changed, Err(StorageError::Changed { .. })), "{changed:?}");
    }
    let (told, next) = follow(1);
    storage.get_in_turn(at, &now, next).await.unwrap();
    assert_eq!(&told.lock().unwrap()[..], b"379!");
    let beyond = storage.get_in_turn(at, &now, follow(2).1).await;
    assert!(matches!(beyond, Err(StorageError::Failed { .. })), "{beyond:?}");
    let missing = storage.get_in_turn(&format!("{at}/never"), &now, follow(1).1).await;
    assert!(matches!(missing, Err(StorageError::NotFound { .. } | StorageError::Changed { .. })), "{missing:?}");
}
