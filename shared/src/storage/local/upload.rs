//! Multipart uploads in a folder.
//!
//! `_rowmill/uploads/<id>/` holds `index` (the key, then a line for every part) and `data`. A part that arrives in
//! order is appended to `data`, so that the completion renames `data` to its key and copies nothing. A part that
//! arrives early, or again with other bytes, waits in a file of its own: an early one is appended when its turn comes,
//! and only an upload whose parts were replaced is joined at its completion.
//!
//! `_rowmill/uploads/<id>.done` is written before the rename and holds the final ETag: completing again answers it,
//! and makes up for a rename that a crash prevented. The lock on `index` lets one change at a time through.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::super::{AbortOutcome, CompleteOutcome, NO_SUCH_UPLOAD, UploadedPart, bad_part_number};
use super::files::{absent_as_none, etag_of_sealed, replace};
use super::folders::{Root, Temp, lock_exclusively, sync_folder, sync_parent};
use super::parts::{Parts, Place, StoredPart};
use super::{direct, garbage, identity, keys};

const INDEX: &str = "index";
const DATA: &str = "data";
/// S3's highest part number.
const MAX_PART_NUMBER: u32 = 10_000;

/// The index's first line.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    key: String,
}

/// What the marker of a completed upload holds.
#[derive(Serialize, Deserialize)]
struct Done {
    key: String,
    etag: String,
}

/// An upload, locked.
struct Upload {
    folder: PathBuf,
    index: File,
    key: String,
    parts: Parts,
}

pub(super) fn begin(root: &Root, key: &str) -> io::Result<String> {
    root.ensure_folder(root.object(key)?.parent().unwrap_or(root.path()))?;
    let id = Ulid::generate().to_string();
    let index_path = root.own(keys::UPLOADS).join(&id).join(INDEX);
    let mut index =
        root.in_folder(&index_path, || OpenOptions::new().write(true).create_new(true).open(&index_path))?;
    let header = line(&Header { format: 1, key: key.to_owned() })?;
    let written = index.write_all(&header).and_then(|()| index.sync_all()).and_then(|()| sync_parent(&index_path));
    if let Err(error) = written {
        // Nobody knows its id: on a full disk, every attempt would leave one.
        let _ = fs::remove_dir_all(index_path.parent().unwrap_or(&index_path));
        return Err(error);
    }
    Ok(id)
}

pub(super) fn put_part(root: &Root, key: &str, id: &str, number: u32, bytes: &[u8]) -> io::Result<UploadedPart> {
    if number == 0 || number > MAX_PART_NUMBER {
        return Err(io::Error::other(bad_part_number(number)));
    }
    let opened = upload_folder(root, id).map_or(Ok(None), |folder| Upload::open(&folder))?;
    let Some(mut upload) = opened.filter(|upload| upload.key == key) else {
        return Err(io::Error::other(NO_SUCH_UPLOAD));
    };
    let etag = format!("{:016x}", crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes));
    let size = bytes.len() as u64;
    let kept_already = upload.parts.get(number).is_some_and(|part| part.etag == etag && part.size == size);
    if !kept_already {
        upload.store(number, &etag, bytes)?;
    }
    Ok(UploadedPart { number, etag })
}

pub(super) fn complete(root: &Root, key: &str, id: &str, parts: &[UploadedPart]) -> io::Result<CompleteOutcome> {
    let Some(folder) = upload_folder(root, id) else {
        return Ok(CompleteOutcome::Gone);
    };
    let Some(upload) = Upload::open(&folder)? else {
        let done = read_done(&folder)?.filter(|done| done.key == key);
        return Ok(done.map_or(CompleteOutcome::Gone, |done| CompleteOutcome::Completed { etag: done.etag }));
    };
    if upload.key != key {
        return Ok(CompleteOutcome::Gone);
    }
    let done = match read_done(&folder)? {
        Some(done) => done,
        None => upload.finish(root, parts)?,
    };
    if upload.has_data()? {
        replace(root, &folder.join(DATA), &root.object(key)?)?;
    } else {
        // Renamed before a crash; the name may not be durable yet.
        sync_parent(&root.object(key)?)?;
    }
    upload.discard(root)?;
    Ok(CompleteOutcome::Completed { etag: done.etag })
}

pub(super) fn abort(root: &Root, key: &str, id: &str) -> io::Result<AbortOutcome> {
    let opened = upload_folder(root, id).map_or(Ok(None), |folder| Upload::open(&folder))?;
    match opened.filter(|upload| upload.key == key) {
        None => Ok(AbortOutcome::Gone),
        Some(upload) => upload.abort(root),
    }
}

/// Whether the upload is neither completed nor aborted. One whose marker is written but whose object is not yet in
/// place is open: completing it again makes up for the crash.
pub(super) fn is_open(root: &Root, key: &str, id: &str) -> io::Result<bool> {
    let opened = upload_folder(root, id).map_or(Ok(None), |folder| Upload::open(&folder))?;
    Ok(opened.is_some_and(|upload| upload.key == key))
}

/// The ETag that the upload's object got at its completion, if it was completed at this key.
pub(super) fn completed_etag(root: &Root, key: &str, id: &str) -> io::Result<Option<String>> {
    let Some(folder) = upload_folder(root, id) else { return Ok(None) };
    Ok(read_done(&folder)?.filter(|done| done.key == key).map(|done| done.etag))
}

/// Discards the upload in this folder if nothing happened to it since `before`.
pub(super) fn discard_if_older(root: &Root, folder: &Path, before: SystemTime) -> io::Result<bool> {
    let is_older = |path: &Path| match absent_as_none(fs::metadata(path))? {
        Some(stat) => garbage::is_older(&stat, before),
        None => Ok(true),
    };
    let Some(upload) = Upload::open(folder)? else {
        // Begun, and killed before its index was written: no one knows its id.
        return Ok(is_older(folder)? && absent_as_none(fs::remove_dir_all(folder))?.is_some());
    };
    if !is_older(&folder.join(INDEX))? || !is_older(&folder.join(DATA))? {
        return Ok(false);
    }
    upload.abort(root).map(|_| true)
}

impl Upload {
    /// Opens and locks an upload. `None` where there is none, or where it ended while this waited for the lock.
    fn open(folder: &Path) -> io::Result<Option<Self>> {
        let index_path = folder.join(INDEX);
        let opened = OpenOptions::new().read(true).write(true).open(&index_path);
        let Some(index) = absent_as_none(opened)? else {
            return Ok(None);
        };
        let mut index = lock_exclusively(index)?;
        if !index_path.try_exists()? {
            return Ok(None);
        }
        let mut text = Vec::new();
        index.read_to_end(&mut text)?;
        // A line that a crash cut short counts as not written, and the next one is written over it.
        let whole_lines = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if whole_lines < text.len() {
            // Only then: it makes the upload look used.
            text.truncate(whole_lines);
            index.set_len(whole_lines as u64)?;
        }
        index.seek(SeekFrom::End(0))?;
        let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let Some(header) = lines.next() else {
            return Ok(None);
        };
        let header: Header = serde_json::from_slice(header)?;
        if header.format != 1 {
            return Err(io::Error::other(format!("an upload of format {} needs a newer rowmill", header.format)));
        }
        let parts = lines.map(serde_json::from_slice).collect::<Result<Vec<StoredPart>, _>>()?;
        let parts = parts.into_iter().collect();
        Ok(Some(Self { folder: folder.to_path_buf(), index, key: header.key, parts }))
    }

    /// Stores one part, and those that waited for it.
    fn store(&mut self, number: u32, etag: &str, bytes: &[u8]) -> io::Result<()> {
        if number != self.parts.next_in_order() {
            let mut aside = File::create(self.aside(number, etag))?;
            aside.write_all(bytes)?;
            aside.sync_all()?;
            sync_folder(&self.folder)?;
            return self.record(number, etag, bytes.len() as u64, Place::Aside);
        }
        self.append(number, etag, bytes)?;
        while let Some(waiting) = self.parts.waiting_in_order().cloned() {
            let path = self.aside(waiting.number, &waiting.etag);
            self.append(waiting.number, &waiting.etag, &fs::read(&path)?)?;
            fs::remove_file(&path)?;
        }
        Ok(())
    }

    fn append(&mut self, number: u32, etag: &str, bytes: &[u8]) -> io::Result<()> {
        let offset = self.parts.data_end();
        direct::write_at(&self.folder.join(DATA), bytes, offset)?.sync_all()?;
        if offset == 0 {
            sync_folder(&self.folder)?;
        }
        self.record(number, etag, bytes.len() as u64, Place::Data { offset })
    }

    /// Records a part after its bytes are durable.
    fn record(&mut self, number: u32, etag: &str, size: u64, place: Place) -> io::Result<()> {
        let part = StoredPart { number, etag: etag.to_owned(), size, place };
        self.index.write_all(&line(&part)?)?;
        self.index.sync_data()?;
        self.parts.add(part);
        Ok(())
    }

    fn aside(&self, number: u32, etag: &str) -> PathBuf {
        self.folder.join(format!("part-{number:05}-{etag}"))
    }

    fn has_data(&self) -> io::Result<bool> {
        self.folder.join(DATA).try_exists()
    }

    /// Makes `data` the object, and writes the marker that says so.
    fn finish(&self, root: &Root, parts: &[UploadedPart]) -> io::Result<Done> {
        let chosen = self.parts.choose(parts).map_err(io::Error::other)?;
        let data_path = self.folder.join(DATA);
        let data = match Parts::length_in_order(&chosen) {
            Some(length) => {
                let data = OpenOptions::new().read(true).write(true).open(&data_path)?;
                data.set_len(length)?;
                data
            }
            None => self.join(root, &chosen)?,
        };
        identity::stamp(&data, None)?;
        data.sync_all()?;
        let done = Done { key: self.key.clone(), etag: etag_of_sealed(&data, &self.key)? };
        let marker = root.sealed_temp(&line(&done)?, None)?;
        fs::rename(&marker.path, done_path(&self.folder))?;
        sync_parent(&self.folder)?;
        Ok(done)
    }

    /// Joins parts that do not lie in order in `data`, and puts the result in its place.
    fn join(&self, root: &Root, chosen: &[StoredPart]) -> io::Result<File> {
        let data_path = self.folder.join(DATA);
        let whole: Temp = root.temp()?;
        let mut to = &whole.file;
        for part in chosen {
            let mut from = match part.place {
                Place::Aside => File::open(self.aside(part.number, &part.etag))?,
                Place::Data { .. } => File::open(&data_path)?,
            };
            if let Place::Data { offset } = part.place {
                from.seek(SeekFrom::Start(offset))?;
            }
            if io::copy(&mut from.take(part.size), &mut to)? != part.size {
                return Err(io::Error::other(format!("part {} of the upload is cut short", part.number)));
            }
        }
        whole.file.sync_all()?;
        fs::rename(&whole.path, &data_path)?;
        sync_folder(&self.folder)?;
        whole.file.try_clone()
    }

    /// Ends the upload without an object. One whose marker is written but which has not become visible never does.
    fn abort(self, root: &Root) -> io::Result<AbortOutcome> {
        let marker = done_path(&self.folder);
        if marker.try_exists()? {
            if !self.has_data()? {
                return self.discard(root).map(|()| AbortOutcome::Gone);
            }
            fs::remove_file(&marker)?;
        }
        self.discard(root).map(|()| AbortOutcome::Aborted)
    }

    /// Removes the folder, under another name first so that no one finds half of it.
    fn discard(self, root: &Root) -> io::Result<()> {
        let grave = root.own(keys::TMP).join(Ulid::generate().to_string());
        root.in_folder(&grave, || fs::rename(&self.folder, &grave))?;
        sync_parent(&self.folder)?;
        fs::remove_dir_all(&grave)
    }
}

/// Where an upload lies; `None` for what is no id of an upload here.
fn upload_folder(root: &Root, id: &str) -> Option<PathBuf> {
    let ulid = Ulid::from_string(id).ok()?;
    (ulid.to_string() == id).then(|| root.own(keys::UPLOADS).join(id))
}

fn done_path(folder: &Path) -> PathBuf {
    folder.with_extension("done")
}

fn read_done(folder: &Path) -> io::Result<Option<Done>> {
    match absent_as_none(fs::read(done_path(folder)))? {
        Some(text) => Ok(Some(serde_json::from_slice(&text)?)),
        None => Ok(None),
    }
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
