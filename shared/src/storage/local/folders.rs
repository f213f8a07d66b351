//! The root folder: paths, durable folders, temporary files and the lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use ulid::Ulid;

use super::{identity, keys};

/// How often a write starts again because another deleted the folder, just emptied, from under it.
const FOLDER_ATTEMPTS: usize = 64;

/// The folder that is a bucket.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// The root without symbolic links, once it exists.
    real: OnceLock<PathBuf>,
}

impl Root {
    pub(super) fn new(path: PathBuf) -> Self {
        let path = std::path::absolute(&path).unwrap_or(path);
        Self { path, real: OnceLock::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the object of this key lies.
    pub(super) fn object(&self, key: &str) -> io::Result<PathBuf> {
        Ok(self.path.join(keys::relative_path(key)?))
    }

    /// A folder or file that the storage keeps for itself.
    pub(super) fn own(&self, name: &str) -> PathBuf {
        self.path.join(keys::LEDGER).join(name)
    }

    /// Makes `folder` and those above it, durably. Refuses one that symbolic links lead out of the root.
    pub(super) fn ensure_folder(&self, folder: &Path) -> io::Result<()> {
        let real = match fs::canonicalize(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder(folder)?;
                fs::canonicalize(folder)?
            }
            found => found?,
        };
        if real.starts_with(self.real()?) { Ok(()) } else { Err(leads_outside(folder)) }
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder == self.path {
            return fs::create_dir_all(folder);
        }
        let Some(parent) = folder.parent() else {
            return Ok(());
        };
        self.ensure_folder(parent)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => sync_folder(parent),
        }
    }

    fn real(&self) -> io::Result<&Path> {
        if let Some(real) = self.real.get() {
            return Ok(real);
        }
        let real = fs::canonicalize(&self.path)?;
        Ok(self.real.get_or_init(|| real))
    }

    /// Makes the folder of `path`, then does `step`; again when the folder vanished in between.
    pub(super) fn in_folder<T>(&self, path: &Path, mut step: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let parent = path.parent().unwrap_or(&self.path);
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.ensure_folder(parent).and_then(|()| step()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < FOLDER_ATTEMPTS => {}
                done => return done,
            }
        }
    }

    /// A new temporary file, removed when dropped.
    pub(super) fn temp(&self) -> io::Result<Temp> {
        let path = self.own(keys::TMP).join(Ulid::generate().to_string());
        let file = self.in_folder(&path, || OpenOptions::new().read(true).write(true).create_new(true).open(&path))?;
        Ok(Temp { path, file })
    }

    /// A temporary file with this content, durable and stamped.
    pub(super) fn sealed_temp(&self, bytes: &[u8], after: Option<SystemTime>) -> io::Result<Temp> {
        let mut temp = self.temp()?;
        temp.file.write_all(bytes)?;
        temp.seal(after)?;
        Ok(temp)
    }

    /// Takes the lock under which objects are compared and replaced; dropping the file gives it back, and so does the
    /// end of the process.
    pub(super) fn lock(&self) -> io::Result<File> {
        let path = self.own(keys::LOCK);
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        lock_exclusively(self.in_folder(&path, open)?)
    }

    /// Removes the folders above a deleted file that it left empty, and makes the deletion durable.
    pub(super) fn prune(&self, deleted: &Path) -> io::Result<()> {
        let mut folder = deleted.parent();
        while let Some(candidate) = folder.filter(|candidate| *candidate != self.path) {
            // A folder that is not empty, or that another made new meanwhile, stays.
            if fs::remove_dir(candidate).is_err() {
                break;
            }
            folder = candidate.parent();
        }
        folder.map_or(Ok(()), sync_folder)
    }
}

/// Waits for the lock on an open file.
pub(super) fn lock_exclusively(file: File) -> io::Result<File> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return locked.map(|()| file),
        }
    }
}

/// Makes the names in a folder durable. A folder that is gone has no names to keep.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|opened| opened.sync_all()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        synced => synced,
    }
}

/// As [`sync_folder`], of the folder that holds `path`.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_folder)
}

fn leads_outside(folder: &Path) -> io::Error {
    keys::refuse(format!("a symbolic link leads {} out of the storage's folder", folder.display()))
}

/// A temporary file on the file system of the objects.
#[derive(Debug)]
pub(super) struct Temp {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl Temp {
    /// Makes the content durable and stamps it later than `after`.
    pub(super) fn seal(&self, after: Option<SystemTime>) -> io::Result<()> {
        identity::stamp(&self.file, after)?;
        self.file.sync_all()
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // Renamed files are gone from here; what cannot be removed now, garbage collection removes later.
        let _ = fs::remove_file(&self.path);
    }
}
