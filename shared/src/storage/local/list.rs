//! Listings: a walk in the order of keys, which is not the order of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::memory::PAGE_KEYS;
use super::super::{ObjectMeta, Page};
use super::files::{absent_as_none, head_path};
use super::folders::Root;
use super::keys;

/// One page of the keys that start with `prefix` and come after `after`.
///
/// Only the folder that the prefix names is walked. Symbolic links to files are files; below the prefix, links to
/// folders are not followed (they may lead in a circle).
pub(super) fn page(root: &Root, prefix: &str, after: Option<&str>) -> io::Result<Page> {
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = if folder.is_empty() && !prefix.starts_with('/') {
        root.path().to_path_buf()
    } else {
        root.path().join(keys::relative_folder(folder)?)
    };
    let folder_key = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let mut walk = Walk { prefix, after, objects: Vec::new(), more: false };
    walk.folder(&path, &folder_key)?;
    let next = if walk.more { walk.objects.last().map(|last| last.key.clone()) } else { None };
    Ok(Page { objects: walk.objects, next })
}

struct Walk<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    objects: Vec<ObjectMeta>,
    /// Set once an object was found that the page has no room for.
    more: bool,
}

impl Walk<'_> {
    /// Walks one folder, whose key ends at `/` (or is empty), in the order of keys: a folder sorts as its name and `/`.
    fn folder(&mut self, path: &Path, folder_key: &str) -> io::Result<()> {
        for (key, entry) in self.entries(path, folder_key)? {
            if self.more {
                return Ok(());
            }
            if key.ends_with('/') {
                self.folder(&entry, &key)?;
                continue;
            }
            // Looked up before the page is called full: a file may be gone meanwhile, or be none.
            let Some(object) = head_path(&entry, &key)? else {
                continue;
            };
            if self.objects.len() == PAGE_KEYS {
                self.more = true;
            } else {
                self.objects.push(ObjectMeta { metadata: BTreeMap::new(), ..object });
            }
        }
        Ok(())
    }

    /// The entries that can hold keys of this page, sorted; keys of folders end at `/`.
    fn entries(&self, path: &Path, folder_key: &str) -> io::Result<BTreeMap<String, PathBuf>> {
        let mut entries = BTreeMap::new();
        let Some(names) = absent_as_none(fs::read_dir(path))? else {
            return Ok(entries);
        };
        for entry in names {
            let Some(entry) = absent_as_none(entry)? else { continue };
            let Ok(name) = entry.file_name().into_string() else {
                tracing::warn!(path = %entry.path().display(), "left out of the listing: the name is not UTF-8");
                continue;
            };
            let Some(kind) = absent_as_none(entry.file_type())? else { continue };
            let slash = if kind.is_dir() { "/" } else { "" };
            let key = format!("{folder_key}{name}{slash}");
            if !keys::is_reserved(&key) && self.may_hold(&key) {
                entries.insert(key, entry.path());
            }
        }
        Ok(entries)
    }

    fn may_hold(&self, key: &str) -> bool {
        let is_folder = key.ends_with('/');
        let in_prefix = key.starts_with(self.prefix) || (is_folder && self.prefix.starts_with(key));
        let comes_after = self.after.is_none_or(|after| key > after || (is_folder && after.starts_with(key)));
        in_prefix && comes_after
    }
}
