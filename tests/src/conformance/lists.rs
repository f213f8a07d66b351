//! Listings.

use bytes::Bytes;
use futures::stream::StreamExt;
use rowmill::storage::Storage;

use super::help::listed;

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
