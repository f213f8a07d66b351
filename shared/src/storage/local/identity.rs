//! What an ETag is in a folder.
//!
//! A file's ETag is its inode, its modification time in nanoseconds and its size. It needs no read of the content,
//! it is the same in a look-up and in a listing, and a rename leaves it as it is. Copying, restoring or touching a
//! file makes another version of it.
//!
//! A file system stamps files with a clock that ticks every few milliseconds, and hands a freed inode out again at
//! once, so two versions a moment apart could look the same. The storage therefore stamps what it writes itself, in
//! nanoseconds that never repeat within a process, and a compare-and-swap stamps later than what it replaces. Objects
//! of the ledger (`_rowmill/…`) up to [`HASHED_BYTES`], which are what compare-and-swap guards, have a hash of their
//! content as on S3.
//!
//! What no ETag here can show: another program that overwrites a file in place, within one tick of the file system's
//! clock after it was last written, with as many bytes.

use std::fs::{File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::{ObjectMeta, ObjectVersion};

/// Up to this size an object of the ledger has a hash of its content as ETag: 1 MiB.
pub const HASHED_BYTES: u64 = 1024 * 1024;

/// The ETag of a file by what the file system tells of it.
pub(super) fn stat_etag(stat: &Metadata) -> String {
    format!("{:x}-{}{:09}-{:x}", stat.ino(), stat.mtime(), stat.mtime_nsec(), stat.size())
}

/// What a look-up answers for a file. Folders keep no metadata of uploads.
pub(super) fn meta(key: &str, stat: &Metadata, etag: String) -> ObjectMeta {
    let last_modified_ms = stat.mtime().saturating_mul(1_000).saturating_add(stat.mtime_nsec() / 1_000_000);
    ObjectMeta {
        key: key.to_owned(),
        size: stat.size(),
        version: ObjectVersion { version_id: None, etag, last_modified_ms },
        metadata: Default::default(),
    }
}

/// Stamps a file that is about to become an object: now, but later than every stamp of this process and than `after`.
pub(super) fn stamp(file: &File, after: Option<SystemTime>) -> io::Result<()> {
    static LAST_NS: AtomicU64 = AtomicU64::new(0);

    let now_ns = since_epoch_ns(SystemTime::now());
    let next_ns = |last_ns: u64| now_ns.max(last_ns.saturating_add(1));
    let last_ns = LAST_NS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last_ns| Some(next_ns(last_ns)));
    let unique_ns = next_ns(last_ns.unwrap_or_else(|last_ns| last_ns));
    // After the counter has moved, so that one file from the future does not take all later ones there.
    let floor_ns = after.map_or(0, |after| since_epoch_ns(after).saturating_add(1));
    let stamp_ns = unique_ns.max(floor_ns);
    file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_nanos(stamp_ns)))
}

fn since_epoch_ns(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_two_stamps_of_a_process_are_equal() {
        let file = tempfile::tempfile().unwrap();
        let mut last = None;
        for _ in 0..1_000 {
            stamp(&file, None).unwrap();
            let stamped = file.metadata().unwrap().modified().unwrap();
            assert!(Some(stamped) > last);
            last = Some(stamped);
        }
    }

    #[test]
    fn a_stamp_is_later_than_the_version_it_replaces_even_one_from_the_future() {
        let file = tempfile::tempfile().unwrap();
        let future = SystemTime::now() + Duration::from_secs(60);
        stamp(&file, Some(future)).unwrap();
        assert!(file.metadata().unwrap().modified().unwrap() > future);
    }
}
