//! Keys as paths below the root, and the keys that cannot be paths.

use std::io;
use std::path::PathBuf;

/// Where the ledger lies, and below it what this storage keeps for itself.
pub(super) const LEDGER: &str = "_rowmill";
/// Temporary files, below [`LEDGER`].
pub(super) const TMP: &str = "tmp";
/// Uploads and the markers of completed ones, below [`LEDGER`].
pub(super) const UPLOADS: &str = "uploads";
/// The lock file, below [`LEDGER`].
pub(super) const LOCK: &str = "lock";

/// The longest name most file systems take, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// The longest path that Linux takes, in bytes. Checked before a folder is made, and before anything recurses.
const MAX_PATH_BYTES: usize = 4_096;

/// The key as a path relative to the root, or why it cannot be one.
pub(super) fn relative_path(key: &str) -> io::Result<PathBuf> {
    let path = relative_folder(key)?;
    if is_reserved(key) {
        return Err(refuse("this key is kept for the storage itself"));
    }
    Ok(path)
}

/// As [`relative_path`], for a folder that is only looked into.
pub(super) fn relative_folder(key: &str) -> io::Result<PathBuf> {
    if key.len() > MAX_PATH_BYTES {
        return Err(refuse(format!("a key of {} bytes is above the limit of {MAX_PATH_BYTES} of a folder", key.len())));
    }
    let mut path = PathBuf::new();
    for name in key.split('/') {
        check_name(name)?;
        path.push(name);
    }
    Ok(path)
}

fn check_name(name: &str) -> io::Result<()> {
    match name {
        "" => {
            Err(refuse("a key in a folder has no empty component: it neither starts nor ends with `/`, nor has `//`"))
        }
        "." | ".." => Err(refuse("a key in a folder has no component `.` or `..`")),
        _ if name.contains('\0') => Err(refuse("a key in a folder has no NUL")),
        _ if name.len() > MAX_NAME_BYTES => {
            Err(refuse(format!("a name of {} bytes is above the limit of {MAX_NAME_BYTES} of a folder", name.len())))
        }
        _ => Ok(()),
    }
}

/// True for what the storage keeps for itself: `_rowmill/tmp`, `_rowmill/uploads`, `_rowmill/lock`, and all below.
pub(super) fn is_reserved(key: &str) -> bool {
    let mut names = key.split('/');
    names.next() == Some(LEDGER) && names.next().is_some_and(|name| [TMP, UPLOADS, LOCK].contains(&name))
}

/// True for keys of the ledger.
pub(super) fn is_ledger(key: &str) -> bool {
    key.split('/').next() == Some(LEDGER)
}

/// An error that says that the key cannot exist here.
pub(super) fn refuse(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem.into())
}

/// Why the key cannot exist here, where the error says so.
pub(super) fn refusal(error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::InvalidInput if error.get_ref().is_some() => Some(error.to_string()),
        io::ErrorKind::InvalidFilename => Some(format!("the path is too long for this file system ({error})")),
        io::ErrorKind::NotADirectory => Some("a file lies where the key needs a folder".to_owned()),
        io::ErrorKind::IsADirectory => Some("a folder lies where the key needs a file".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_path_below_the_root() {
        for key in ["a", "a/b.c/d", "trip data/é+%.csv", "_rowmill/runs/x.json", "a/..b", "a/...", "_rowmill/tmpfile"]
        {
            assert_eq!(relative_path(key).unwrap(), PathBuf::from(key));
        }
    }

    #[test]
    fn keys_that_would_leave_the_root_or_have_no_path_are_refused() {
        let (long, deep) = ("é".repeat(128), "a/".repeat(500_000) + "a");
        let keys = [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/",
            "..",
            "a/../b",
            "./a",
            "a/.",
            "a\0b",
            &long,
            &deep,
            "_rowmill/tmp/x",
            "_rowmill/lock",
        ];
        for key in keys {
            let error = relative_path(key).unwrap_err();
            assert!(refusal(&error).is_some(), "{}", key.len());
        }
    }
}
