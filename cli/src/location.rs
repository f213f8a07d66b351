//! Paths and URIs as bucket and key, the way that sources are named everywhere.

use std::path::{Component, Path};

use rowmill::dataset::web_file;
use rowmill::storage::local::real_path;

use crate::fault::Fault;

/// The bucket of the machine's own files.
pub const MACHINE: &str = "file://";

/// One place: a bucket (`s3://name`, `https://host`, or `file://` for this machine) and a key without a leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// `s3://name`, `https://host` or `file://`.
    pub bucket: String,
    /// Decoded. On this machine: the absolute path without its first slash.
    pub key: String,
}

impl Location {
    /// Reads a path, `file:///path` or `s3://bucket/key`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        match text.split_once("://") {
            Some(("s3", rest)) => {
                let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
                if name.is_empty() {
                    return Err(Fault::usage(format!("{text}: no bucket: write s3://bucket/key")));
                }
                Ok(Self { bucket: format!("s3://{name}"), key: key.to_owned() })
            }
            Some(("https" | "http", _)) => Self::web(text),
            Some(("file", path)) => match path.strip_prefix("localhost").unwrap_or(path) {
                path if path.starts_with('/') => Self::local(path),
                _ => Err(Fault::usage(format!("{text}: a file URI names no host: write file:///folder/name"))),
            },
            Some((scheme, _)) if is_scheme(scheme) => Err(Fault::usage(format!(
                "{text}: unknown scheme `{scheme}`: write a path, file://, s3:// or https://"
            ))),
            _ => Self::local(text),
        }
    }

    /// A file of a web server. Its path is taken as it is sent, percent-encoded.
    fn web(text: &str) -> Result<Self, Fault> {
        let wrong = |problem: String| Fault::usage(format!("{text}: {problem}"));
        let (bucket, key) = web_file(text).map_err(wrong)?;
        Ok(Self { bucket, key })
    }

    /// A path of this machine. `.` and `..` are resolved by their names; a slash at the end stays.
    fn local(path: &str) -> Result<Self, Fault> {
        let wrong = |problem: String| Fault::usage(format!("path `{path}`: {problem}"));
        if path.is_empty() {
            return Err(Fault::usage("an empty path: name a file or a folder"));
        }
        if path == "~" || path.starts_with("~/") {
            let what = "`~` was not expanded, as a shell does at the beginning of a word without quotes";
            return Err(wrong(format!("{what}: write the whole path, or ./~ for a folder of that name")));
        }
        let absolute = std::path::absolute(Path::new(path)).map_err(|error| wrong(error.to_string()))?;
        let mut names: Vec<&str> = Vec::new();
        for component in absolute.components() {
            match component {
                Component::Normal(name) => {
                    names.push(name.to_str().ok_or_else(|| wrong("it is not UTF-8: rename it".to_owned()))?);
                }
                Component::ParentDir => {
                    names.pop();
                }
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        let slash = if path.ends_with('/') && !names.is_empty() { "/" } else { "" };
        Ok(Self { bucket: MACHINE.to_owned(), key: format!("{}{slash}", names.join("/")) })
    }

    /// Whether it lies on this machine.
    pub fn is_local(&self) -> bool {
        self.bucket == MACHINE
    }

    /// The path, for a place on this machine.
    pub fn path(&self) -> String {
        format!("/{}", self.key)
    }

    /// `s3://bucket/key` or `file:///folder/name`.
    pub fn uri(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }

    /// The key as a folder: empty, or ending in a slash.
    pub fn folder(&self) -> String {
        if self.key.is_empty() || self.key.ends_with('/') { self.key.clone() } else { format!("{}/", self.key) }
    }

    /// The same place without symbolic links, as far as it exists on this machine.
    pub fn resolved(&self) -> Self {
        if !self.is_local() {
            return self.clone();
        }
        match real_path(Path::new(&self.path())).to_str() {
            Some(real) => Self { bucket: self.bucket.clone(), key: real.trim_start_matches('/').to_owned() },
            None => self.clone(),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// A URI as people type it: a path for a place on this machine.
pub fn shown(uri: &str) -> &str {
    uri.strip_prefix(MACHINE).unwrap_or(uri)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_its_uri_are_one_place() {
        let path = Location::parse("/data/trip data/../a.parquet").unwrap();
        assert_eq!(path, Location::parse("file:///data/a.parquet").unwrap());
        assert_eq!((path.uri().as_str(), path.path().as_str()), ("file:///data/a.parquet", "/data/a.parquet"));
    }

    #[test]
    fn s3_keys_are_taken_as_they_are() {
        let object = Location::parse("s3://b/trip data/a+b%20.parquet").unwrap();
        assert_eq!((object.bucket.as_str(), object.key.as_str()), ("s3://b", "trip data/a+b%20.parquet"));
        assert_eq!(Location::parse("s3://b").unwrap().folder(), "");
    }

    #[test]
    fn what_is_no_place_is_a_usage_error() {
        for text in ["", "s3://", "ftp://host/a", "file://host/a", "~", "~/trips/*.parquet"] {
            assert!(matches!(Location::parse(text), Err(Fault::Usage(_))), "{text}");
        }
    }
}
