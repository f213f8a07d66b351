//! Objects as files: reads, puts and deletes, plain and conditional.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};

use super::super::{DeleteOutcome, NextRange, Object, ObjectMeta, PutOutcome, beyond_end, etag, too_large};
use super::folders::{Root, sync_parent};
use super::{identity, keys};

/// How often a read starts again because another program writes the file in place.
const READ_ATTEMPTS: usize = 3;

/// How a pinned read ended.
pub(super) enum Pinned<T> {
    Read(T),
    Changed,
    Gone,
}

/// An object's file, open.
struct Opened {
    file: File,
    stat: Metadata,
    etag: String,
}

pub(super) fn head(root: &Root, key: &str) -> io::Result<Option<ObjectMeta>> {
    head_path(&root.object(key)?, key)
}

/// As [`head`], by path. Only a ledger object's content is read.
pub(super) fn head_path(path: &Path, key: &str) -> io::Result<Option<ObjectMeta>> {
    if keys::is_ledger(key) {
        let opened = open(path, key)?;
        return Ok(opened.map(|opened| identity::meta(key, &opened.stat, opened.etag)));
    }
    let stat = absent_as_none(fs::metadata(path))?.filter(Metadata::is_file);
    Ok(stat.map(|stat| identity::meta(key, &stat, identity::stat_etag(&stat))))
}

pub(super) fn get(root: &Root, key: &str, max_bytes: u64) -> io::Result<Option<Object>> {
    let path = root.object(key)?;
    for _ in 0..READ_ATTEMPTS {
        let Some(opened) = open(&path, key)? else {
            return Ok(None);
        };
        let size = opened.stat.len();
        if size > max_bytes {
            return Err(io::Error::other(too_large(size, max_bytes)));
        }
        let bytes = read_whole(&opened.file, size)?;
        if opened.is_unchanged()? && bytes.len() as u64 == size {
            let meta = identity::meta(key, &opened.stat, opened.etag);
            return Ok(Some(Object { meta, bytes: Bytes::from(bytes) }));
        }
    }
    Err(io::Error::other("another program is writing this file: try again when it is done"))
}

pub(super) fn get_range(root: &Root, key: &str, etag: &str, range: Range<u64>) -> io::Result<Pinned<Bytes>> {
    pinned(root, key, etag, |opened| opened.read(range))
}

pub(super) fn get_in_turn(root: &Root, key: &str, etag: &str, mut next: NextRange) -> io::Result<Pinned<()>> {
    pinned(root, key, etag, |opened| {
        let mut bytes = Bytes::new();
        while let Some(range) = next(bytes) {
            bytes = opened.read(range)?;
        }
        Ok(())
    })
}

/// What `read` reads of the version with this ETag.
fn pinned<T>(root: &Root, key: &str, etag: &str, read: impl FnOnce(&Opened) -> io::Result<T>) -> io::Result<Pinned<T>> {
    let Some(opened) = open(&root.object(key)?, key)? else {
        return Ok(Pinned::Gone);
    };
    if opened.etag != etag {
        return Ok(Pinned::Changed);
    }
    let read = read(&opened);
    if !opened.is_unchanged()? {
        return Ok(Pinned::Changed);
    }
    read.map(Pinned::Read)
}

pub(super) fn put(root: &Root, key: &str, bytes: &[u8]) -> io::Result<String> {
    let path = root.object(key)?;
    let temp = root.sealed_temp(bytes, None)?;
    let etag = etag_of_written(&temp.file, key, bytes)?;
    replace(root, &temp.path, &path)?;
    Ok(etag)
}

pub(super) fn put_if_absent(root: &Root, key: &str, bytes: &[u8]) -> io::Result<PutOutcome> {
    let path = root.object(key)?;
    let temp = root.sealed_temp(bytes, None)?;
    let etag = etag_of_written(&temp.file, key, bytes)?;
    match root.in_folder(&path, || fs::hard_link(&temp.path, &path)) {
        Ok(()) => sync_parent(&path).map(|()| PutOutcome::Written { etag }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if path.is_dir() {
                Err(io::ErrorKind::IsADirectory.into())
            } else {
                Ok(PutOutcome::Lost)
            }
        }
        Err(error) => Err(error),
    }
}

pub(super) fn put_if_matches(root: &Root, key: &str, etag: &str, bytes: &[u8]) -> io::Result<PutOutcome> {
    let path = root.object(key)?;
    if head_path(&path, key)?.is_none_or(|present| present.version.etag != etag) {
        return Ok(PutOutcome::Lost);
    }
    let temp = root.sealed_temp(bytes, None)?;
    let _lock = root.lock()?;
    if head_path(&path, key)?.is_none_or(|present| present.version.etag != etag) {
        return Ok(PutOutcome::Lost);
    }
    let replaced: Option<SystemTime> = absent_as_none(fs::metadata(&path))?.map(|stat| stat.modified()).transpose()?;
    // Already stamped, but maybe before the version that it replaces was.
    if replaced >= Some(temp.file.metadata()?.modified()?) {
        temp.seal(replaced)?;
    }
    let written = etag_of_written(&temp.file, key, bytes)?;
    root.in_folder(&path, || fs::rename(&temp.path, &path))?;
    // Within the lock: who reads the new value may act on it, so it must outlive a power cut first.
    sync_parent(&path)?;
    Ok(PutOutcome::Written { etag: written })
}

/// Deletes the object, or only the one with this ETag.
pub(super) fn delete(root: &Root, key: &str, etag: Option<&str>) -> io::Result<DeleteOutcome> {
    let path = root.object(key)?;
    // Looked up first, so that deleting nothing writes nothing.
    if absent_as_none(fs::symlink_metadata(&path))?.is_none_or(|stat| stat.is_dir()) {
        return Ok(DeleteOutcome::Gone);
    }
    root.ensure_folder(path.parent().unwrap_or(root.path()))?;
    let _lock = root.lock()?;
    if let Some(etag) = etag {
        match head_path(&path, key)? {
            None => return Ok(DeleteOutcome::Gone),
            Some(present) if present.version.etag != etag => return Ok(DeleteOutcome::Changed),
            Some(_) => {}
        }
    }
    match absent_as_none(fs::remove_file(&path))? {
        None => Ok(DeleteOutcome::Gone),
        Some(()) => root.prune(&path).map(|()| DeleteOutcome::Deleted),
    }
}

/// Renames a finished file onto a key, durably. Under the lock, so that it never falls between the comparison and the
/// change of a conditional write.
pub(super) fn replace(root: &Root, from: &Path, to: &Path) -> io::Result<()> {
    {
        let _lock = root.lock()?;
        root.in_folder(to, || fs::rename(from, to))?;
    }
    sync_parent(to)
}

/// `None` where there is no such file, also where a file lies in place of a folder above it.
pub(super) fn absent_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        result => result.map(Some),
    }
}

/// The ETag that a look-up will answer for a sealed file, which a rename does not change.
pub(super) fn etag_of_sealed(file: &File, key: &str) -> io::Result<String> {
    etag_of(file, &file.metadata()?, key)
}

fn etag_of(file: &File, stat: &Metadata, key: &str) -> io::Result<String> {
    if is_hashed(key, stat) {
        Ok(etag::of_content(&read_at(file, 0, usize::try_from(stat.len()).map_err(io::Error::other)?)?))
    } else {
        Ok(identity::stat_etag(stat))
    }
}

fn etag_of_written(file: &File, key: &str, bytes: &[u8]) -> io::Result<String> {
    let stat = file.metadata()?;
    Ok(if is_hashed(key, &stat) { etag::of_content(bytes) } else { identity::stat_etag(&stat) })
}

fn is_hashed(key: &str, stat: &Metadata) -> bool {
    keys::is_ledger(key) && stat.len() <= identity::HASHED_BYTES
}

fn open(path: &Path, key: &str) -> io::Result<Option<Opened>> {
    // Without NONBLOCK, opening a named pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
    let Some(file) = absent_as_none(opened)?.map(File::from) else {
        return Ok(None);
    };
    let stat = file.metadata()?;
    if !stat.is_file() {
        return Ok(None);
    }
    let etag = etag_of(&file, &stat, key)?;
    Ok(Some(Opened { file, stat, etag }))
}

fn read_whole(mut file: &File, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.by_ref().take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Exactly `length` bytes from `start` on, read into memory that was not cleared before.
fn read_at(file: &File, start: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let at = start.saturating_add(bytes.len() as u64);
        match rustix::io::pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

impl Opened {
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let size = self.stat.len();
        let length = match range.end.checked_sub(range.start) {
            Some(length) if range.end <= size => usize::try_from(length).map_err(io::Error::other)?,
            _ => return Err(io::Error::other(beyond_end(&range, size))),
        };
        read_at(&self.file, range.start, length).map(Bytes::from)
    }

    /// False where another program wrote the file in place since it was opened.
    fn is_unchanged(&self) -> io::Result<bool> {
        Ok(identity::stat_etag(&self.file.metadata()?) == identity::stat_etag(&self.stat))
    }
}
