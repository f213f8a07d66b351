//! Calls at once on one key, and keys that are unusual.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use rowmill::storage::{DeleteOutcome, PutIf, PutOutcome, Storage};

use super::help::{completed, etag, listed, uploaded};

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
