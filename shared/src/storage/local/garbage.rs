//! What killed processes leave behind, and its removal.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::files::absent_as_none;
use super::folders::Root;
use super::{keys, upload};

/// What a garbage collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Temporary files, and folders of uploads whose removal was cut short.
    pub temporary: usize,
    /// Uploads neither completed nor aborted.
    pub uploads: usize,
    /// Markers of completed uploads.
    pub markers: usize,
}

pub(super) fn collect(root: &Root, older_than: Duration) -> io::Result<Collected> {
    let Some(before) = SystemTime::now().checked_sub(older_than) else {
        return Ok(Collected::default());
    };
    let mut collected = Collected::default();
    each_entry(&root.own(keys::TMP), |path, stat| {
        if is_older(stat, before)? && remove(path, stat)? {
            collected.temporary += 1;
        }
        Ok(())
    })?;
    each_entry(&root.own(keys::UPLOADS), |path, stat| {
        if stat.is_dir() {
            if upload::discard_if_older(root, path, before)? {
                collected.uploads += 1;
            }
        } else if is_older(stat, before)? && remove(path, stat)? {
            collected.markers += 1;
        }
        Ok(())
    })?;
    Ok(collected)
}

fn each_entry(folder: &Path, mut visit: impl FnMut(&Path, &Metadata) -> io::Result<()>) -> io::Result<()> {
    let Some(entries) = absent_as_none(fs::read_dir(folder))? else {
        return Ok(());
    };
    for entry in entries {
        let Some(entry) = absent_as_none(entry)? else { continue };
        if let Some(stat) = absent_as_none(entry.metadata())? {
            visit(&entry.path(), &stat)?;
        }
    }
    Ok(())
}

/// False where another was faster.
fn remove(path: &Path, stat: &Metadata) -> io::Result<bool> {
    let removed = if stat.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    Ok(absent_as_none(removed)?.is_some())
}

pub(super) fn is_older(stat: &Metadata, before: SystemTime) -> io::Result<bool> {
    Ok(stat.modified()? < before)
}
