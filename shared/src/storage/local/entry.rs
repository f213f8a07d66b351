//! What lies at a path, and where symbolic links lead.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::super::{Entry, EntryKind};
use super::folders::Root;
use super::keys;

/// What lies at the path of `key`; a slash at its end changes nothing.
pub(super) fn entry(root: &Root, key: &str) -> io::Result<Option<Entry>> {
    let key = key.trim_end_matches('/');
    let path = if key.is_empty() { root.path().to_path_buf() } else { root.path().join(keys::relative_folder(key)?) };
    let kind = match fs::metadata(&path) {
        Ok(stat) => kind(&stat),
        Err(error) if leads_nowhere(&error) => {
            let is_link = fs::symlink_metadata(&path).is_ok();
            return Ok(is_link.then(|| Entry { real_key: key.to_owned(), kind: EntryKind::DanglingLink }));
        }
        Err(error) => return Err(error),
    };
    let real_key = real_key(root.path(), &path).unwrap_or_else(|| key.to_owned());
    Ok(Some(Entry { real_key, kind }))
}

fn kind(stat: &Metadata) -> EntryKind {
    let kind = stat.file_type();
    if kind.is_file() {
        EntryKind::File
    } else if kind.is_dir() {
        EntryKind::Folder
    } else if kind.is_fifo() {
        EntryKind::Pipe
    } else if kind.is_socket() {
        EntryKind::Socket
    } else {
        EntryKind::Device
    }
}

fn leads_nowhere(error: &io::Error) -> bool {
    let in_a_circle = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    in_a_circle || matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The path without symbolic links, as a key. `None` where it leads out of the root, or is not UTF-8.
fn real_key(root: &Path, path: &Path) -> Option<String> {
    let (real_root, real) = (fs::canonicalize(root).ok()?, fs::canonicalize(path).ok()?);
    Some(real.strip_prefix(real_root).ok()?.to_str()?.to_owned())
}

/// The path without symbolic links, as far as it exists: what does not exist yet is kept as it is written.
pub fn real_path(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(below)) = (fs::canonicalize(above), path.strip_prefix(above)) {
            return if below.as_os_str().is_empty() { real } else { real.join(below) };
        }
    }
    path.to_path_buf()
}
