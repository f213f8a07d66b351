//! What every storage must promise: one suite that runs against memory, a local folder and S3.
//!
//! Each check is a function of its own that writes below a prefix of its own, so that they may run at once and leave
//! nothing behind that another sees. A broken promise is a panic that names it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use rowmill::storage::{
    AbortOutcome, CompleteOutcome, DeleteOutcome, ObjectVersion, PutIf, PutOutcome, Storage, StorageError,
    UploadedPart, list_all,
};

/// S3's least size of a part that is not the last.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// Runs every check. `storage` may hold other objects, but none below `conformance/` and `_rowmill/conformance/`.
pub async fn conformance(storage: &dyn Storage) {
    for place in ["conformance", "_rowmill/conformance"] {
        let at = |name: &str| format!("{place}/{name}");
        a_put_is_read_back(storage, &at("put")).await;
        an_object_above_the_limit_is_not_read(storage, &at("limit")).await;
        put_if_absent_writes_once(storage, &at("absent")).await;
        put_if_matches_swaps_only_what_was_read(storage, &at("swap")).await;
        deletes_are_conditional_and_repeatable(storage, &at("delete")).await;
        a_pinned_read_sees_its_version_or_none(storage, &at("pinned")).await;
        reads_in_turn_see_one_version_or_none(storage, &at("in-turn")).await;
        one_of_many_writers_wins(storage, &at("winner")).await;
        no_increment_is_lost(storage, &at("counter")).await;
        plain_writes_and_swaps_do_not_mix_up(storage, &at("mixed")).await;
    }
    unusual_keys_and_empty_objects_are_kept(storage, "conformance/keys").await;
    an_upload_is_invisible_until_completed(storage, "conformance/upload").await;
    an_upload_of_many_parts_is_their_bytes_in_order(storage, "conformance/parts").await;
    completing_twice_answers_the_same(storage, "conformance/twice").await;
    completing_at_once_makes_one_object(storage, "conformance/at-once").await;
    completing_again_does_not_bring_an_object_back(storage, "conformance/again").await;
    an_aborted_upload_never_becomes_an_object(storage, "conformance/aborted").await;
    aborting_a_completed_upload_leaves_its_object(storage, "conformance/abort-late").await;
    completing_replaces_what_lay_there(storage, "conformance/replace").await;
    an_upload_tells_whether_it_is_open_and_what_it_made(storage, "conformance/made").await;
    a_listing_is_in_key_order_and_paged(storage, "conformance/list").await;
    a_prefix_need_not_end_at_a_slash(storage, "conformance/prefix").await;
    what_was_deleted_is_not_listed(storage, "conformance/emptied").await;
}

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

/// Of many conditional puts at once exactly one writes, and its bytes are the object.
pub async fn one_of_many_writers_wins(storage: &dyn Storage, at: &str) {
    const WRITERS: usize = 24;
    for round in 0..3 {
        let key = format!("{at}/{round}");
        let write = |writer: usize| {
            let key = key.clone();
            async move {
                let body = Bytes::from(format!("writer {writer}"));
                (writer, storage.put_if(&key, PutIf::Absent, body).await.unwrap())
            }
        };
        let outcomes: Vec<_> = (0..WRITERS).map(write).collect::<FuturesUnordered<_>>().collect().await;
        let winners: Vec<usize> =
            outcomes.iter().filter(|(_, outcome)| *outcome != PutOutcome::Lost).map(|(writer, _)| *writer).collect();
        assert_eq!(winners.len(), 1, "exactly one winner: {winners:?}");
        let object = storage.get(&key, 100).await.unwrap().unwrap();
        assert_eq!(object.bytes, format!("writer {}", winners[0]));
    }
}

/// Many tasks that increment a counter by compare-and-swap lose nothing, though the counter has one width throughout.
pub async fn no_increment_is_lost(storage: &dyn Storage, at: &str) {
    const TASKS: usize = 8;
    const INCREMENTS: usize = 12;
    storage.put(at, Bytes::from_static(b"000000")).await.unwrap();
    let increment = |_| async move {
        for _ in 0..INCREMENTS {
            loop {
                let object = storage.get(at, 100).await.unwrap().unwrap();
                let count: usize = std::str::from_utf8(&object.bytes).unwrap().parse().unwrap();
                let next = Bytes::from(format!("{:06}", count + 1));
                let outcome = storage.put_if(at, PutIf::Matches(&object.meta.version.etag), next).await.unwrap();
                if outcome != PutOutcome::Lost {
                    break;
                }
            }
        }
    };
    (0..TASKS).map(increment).collect::<FuturesUnordered<_>>().collect::<Vec<()>>().await;
    let total = storage.get(at, 100).await.unwrap().unwrap().bytes;
    assert_eq!(total, format!("{:06}", TASKS * INCREMENTS));
}

/// Objects that come and go at one key, all of one size, never pass for one another: no ETag is that of other bytes.
pub async fn plain_writes_and_swaps_do_not_mix_up(storage: &dyn Storage, at: &str) {
    let mut seen: BTreeMap<String, Bytes> = BTreeMap::new();
    for round in 0..60 {
        let body = Bytes::from(format!("round {round:04}"));
        let present = storage.head(at).await.unwrap();
        let etag = match (round % 3, present) {
            (0, _) | (_, None) => storage.put(at, body.clone()).await.unwrap(),
            (_, Some(present)) => {
                let swap = storage.put_if(at, PutIf::Matches(&present.version.etag), body.clone()).await.unwrap();
                match swap {
                    PutOutcome::Written { etag } => etag,
                    PutOutcome::Lost => panic!("no one else writes here"),
                }
            }
        };
        if let Some(other) = seen.insert(etag.clone(), body.clone()) {
            panic!("{other:?} and {body:?} have the same etag {etag}");
        }
        if round % 7 == 0 {
            assert_eq!(storage.delete_if(at, &etag).await.unwrap(), DeleteOutcome::Deleted);
        }
    }
}

/// Keys come back as they were given.
pub async fn unusual_keys_and_empty_objects_are_kept(storage: &dyn Storage, at: &str) {
    let names = [
        "trip data/a b.csv",
        "plus+plus",
        "per%20cent%",
        "ünïcödé/日本語-🚕",
        "a=b&c;d?e#f",
        "quote'\"<>",
        "dots..and.",
        "trailing space ",
        "(paren)[x]{y}~^`|",
        "back\\slash",
        "tab\there",
    ];
    let mut keys: Vec<String> = names.iter().map(|name| format!("{at}/{name}")).collect();
    for key in &keys {
        storage.put(key, Bytes::new()).await.unwrap_or_else(|error| panic!("{key:?}: {error}"));
        let head = storage.head(key).await.unwrap().unwrap_or_else(|| panic!("{key:?} is kept"));
        assert_eq!((&head.key, head.size), (key, 0));
        let object = storage.get(key, 0).await.unwrap().unwrap();
        assert!(object.bytes.is_empty());
        assert!(storage.get_range(key, &object.meta.version, 0..0).await.unwrap().is_empty());
        assert!(storage.get_range(key, &object.meta.version, 0..1).await.is_err());
    }
    keys.sort();
    assert_eq!(listed(storage, &format!("{at}/")).await, keys);
    let with_space = format!("{at}/trip data/");
    assert_eq!(listed(storage, &with_space).await, [format!("{with_space}a b.csv")]);
    let upload_key = format!("{at}/trip data/up+load %.parquet");
    let (id, parts) = uploaded(storage, &upload_key, &[Bytes::from_static(b"x")]).await;
    completed(storage, &upload_key, &id, &parts).await;
    assert!(storage.head(&upload_key).await.unwrap().is_some());
    for key in &keys {
        let etag = etag(storage, key).await;
        assert_eq!(storage.delete_if(key, &etag).await.unwrap(), DeleteOutcome::Deleted, "{key:?}");
    }
}

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

/// Listings are in ascending byte order of the keys, whatever folders they look like, at most 1,000 a page.
pub async fn a_listing_is_in_key_order_and_paged(storage: &dyn Storage, at: &str) {
    let mut keys: Vec<String> = (0..2_010).map(|number| format!("{at}/{:02}/{number:05}", number % 3)).collect();
    keys.extend(["a", "a b/c", "a-b/c", "a.b", "a0", "aa/b", "00-/x", "00.", "000"].map(|name| format!("{at}/{name}")));
    let put = |key: String| async move { storage.put(&key, Bytes::new()).await.map(|_| ()) };
    let mut puts = futures::stream::iter(keys.clone()).map(put).buffer_unordered(32);
    while let Some(done) = puts.next().await {
        done.unwrap();
    }
    keys.sort();
    let mut found = Vec::new();
    let mut pages = Vec::new();
    let mut next = None;
    loop {
        let page = storage.list(&format!("{at}/"), next.as_deref()).await.unwrap();
        pages.push(page.objects.len());
        found.extend(page.objects.into_iter().map(|object| object.key));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(found, keys);
    assert_eq!(pages, [1_000, 1_000, 19]);
    let one_folder = listed(storage, &format!("{at}/01/")).await;
    assert_eq!(one_folder.len(), 670);
    let exactly_full: Vec<String> = (0..1_000).map(|number| format!("{at}-full/{number:04}")).collect();
    let put = |key: String| async move { storage.put(&key, Bytes::new()).await.map(|_| ()) };
    futures::stream::iter(exactly_full).map(put).buffer_unordered(32).collect::<Vec<_>>().await;
    let page = storage.list(&format!("{at}-full/"), None).await.unwrap();
    assert_eq!((page.objects.len(), page.next), (1_000, None), "a full page may be the last");
}

/// A prefix is a string, not a folder.
pub async fn a_prefix_need_not_end_at_a_slash(storage: &dyn Storage, at: &str) {
    for name in ["trips/2024-01.csv", "trips/2024-02.csv", "trips/2025-01.csv", "trips-old/2024.csv"] {
        storage.put(&format!("{at}/{name}"), Bytes::new()).await.unwrap();
    }
    let below = |prefix: &str| {
        let prefix = format!("{at}/{prefix}");
        async move { listed(storage, &prefix).await.len() }
    };
    assert_eq!(below("trips/2024-").await, 2);
    assert_eq!(below("trips").await, 4);
    assert_eq!(below("trips/").await, 3);
    assert_eq!(below("trips/2025-01.csv").await, 1);
    assert_eq!(below("trips/2025-01.csv/").await, 0);
    assert_eq!(below("nothing/here/").await, 0);
    let below_one: Vec<String> = listed(storage, &format!("{at}/trips-")).await;
    assert_eq!(below_one, [format!("{at}/trips-old/2024.csv")]);
}

/// Deleted objects leave nothing behind, and their place may be taken again.
pub async fn what_was_deleted_is_not_listed(storage: &dyn Storage, at: &str) {
    for round in 0..2 {
        let keys = [format!("{at}/a/b/c.json"), format!("{at}/a/d.json")];
        for key in &keys {
            storage.put(key, Bytes::from(format!("round {round}"))).await.unwrap();
        }
        assert_eq!(listed(storage, at).await, keys);
        for key in &keys {
            storage.delete(key).await.unwrap();
        }
        assert!(listed(storage, at).await.is_empty());
    }
    storage.put(&format!("{at}/a"), Bytes::from_static(b"a file where a folder was")).await.unwrap();
    assert_eq!(listed(storage, at).await, [format!("{at}/a")]);
}

async fn etag(storage: &dyn Storage, key: &str) -> String {
    storage.head(key).await.unwrap().unwrap_or_else(|| panic!("{key} exists")).version.etag
}

async fn listed(storage: &dyn Storage, prefix: &str) -> Vec<String> {
    list_all(storage, prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

async fn uploaded(storage: &dyn Storage, key: &str, bodies: &[Bytes]) -> (String, Vec<UploadedPart>) {
    let id = storage.begin_upload(key, &BTreeMap::new()).await.unwrap();
    let mut parts = Vec::new();
    for (number, body) in (1..).zip(bodies) {
        parts.push(storage.put_part(key, &id, number, body.clone()).await.unwrap());
    }
    (id, parts)
}

async fn completed(storage: &dyn Storage, key: &str, id: &str, parts: &[UploadedPart]) -> String {
    match storage.complete_upload(key, id, parts).await.unwrap() {
        CompleteOutcome::Completed { etag } => etag,
        CompleteOutcome::Gone => panic!("{key}: the upload is there"),
    }
}

async fn expect_content(storage: &dyn Storage, key: &str, etag: &str, expected: &[&[u8]]) {
    let meta = storage.head(key).await.unwrap().unwrap();
    assert_eq!(meta.version.etag, etag);
    let bytes = storage.get_range(key, &meta.version, 0..meta.size).await.unwrap();
    assert!(bytes == expected.concat(), "{key}: other bytes than were uploaded");
}
