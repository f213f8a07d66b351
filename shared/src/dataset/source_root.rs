//! `source.uri` and `source.pattern`: which objects are a dataset's own.

use std::path::{Component, Path};

use globset::{GlobBuilder, GlobMatcher};

use super::SourceSpec;
use super::problem::Problem;

/// A folder of a bucket, or of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// What stands before the key in a URI: `s3://name`, `https://host` or `file://`.
    pub bucket: String,
    /// Empty, or ends in `/`. For `file://` the absolute path less its first slash, so that `file://` + `/` + key is
    /// the URI. As written: nothing is percent-decoded.
    pub prefix: String,
}

impl Root {
    /// Reads `s3://bucket/prefix`, `https://host/prefix`, `file:///folder` or a path; a relative one is resolved
    /// against the working directory.
    pub fn parse(uri: &str) -> Result<Self, String> {
        if uri.is_empty() || uri.chars().any(char::is_control) {
            return Err(
                "the URI is empty or holds control characters: write `s3://bucket/prefix/` or a path".to_owned()
            );
        }
        match uri.split_once("://") {
            Some((scheme @ ("s3" | "https"), rest)) => Self::remote(scheme, rest),
            Some(("file", path)) => match path.strip_prefix("localhost").unwrap_or(path) {
                path if path.starts_with('/') => Self::local(path),
                _ => Err("a file URI names no host: write `file:///folder/`, with three slashes".to_owned()),
            },
            Some((scheme, _)) => {
                Err(format!("unknown scheme `{scheme}`: write `s3://bucket/prefix/`, `file:///folder/` or a path"))
            }
            None => Self::local(uri),
        }
    }

    fn remote(scheme: &str, rest: &str) -> Result<Self, String> {
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        if name.is_empty() || name.len() > 255 || !name.chars().all(allowed) {
            return Err(format!("`{name}` is no bucket's name: write `{scheme}://bucket/prefix/`"));
        }
        Ok(Self { bucket: format!("{scheme}://{name}"), prefix: folder(prefix) })
    }

    fn local(path: &str) -> Result<Self, String> {
        let absolute = std::path::absolute(Path::new(path)).map_err(|error| format!("path `{path}`: {error}"))?;
        let mut names: Vec<&str> = Vec::new();
        for component in absolute.components() {
            match component {
                Component::Normal(name) => {
                    names.push(name.to_str().ok_or_else(|| format!("path `{path}` does not resolve to UTF-8"))?);
                }
                Component::ParentDir => {
                    names.pop();
                }
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(Self { bucket: "file://".to_owned(), prefix: folder(&names.join("/")) })
    }

    /// Whether one of the two lies in the other, or both are the same folder.
    pub fn nests(&self, other: &Self) -> bool {
        let nested = self.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&self.prefix);
        self.bucket == other.bucket && nested
    }

    /// The folder `name` in this one. `name` ends in `/`.
    pub fn join(&self, name: &str) -> Self {
        Self { bucket: self.bucket.clone(), prefix: format!("{}{name}", self.prefix) }
    }
}

/// Empty, or ending in `/`.
fn folder(prefix: &str) -> String {
    if prefix.is_empty() || prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") }
}

/// `uri` and `pattern`, compiled.
#[derive(Debug, Clone)]
pub(super) struct SourceMatcher {
    root: Option<Root>,
    pattern: GlobMatcher,
}

impl SourceMatcher {
    pub fn new(source: &SourceSpec) -> Result<Self, Problem> {
        let root = source.uri.as_deref().map(Root::parse).transpose();
        let root = root.map_err(|what| Problem { path: "source.uri".to_owned(), what })?;
        let pattern = compile(&source.pattern);
        let pattern = pattern.map_err(|what| Problem { path: "source.pattern".to_owned(), what })?;
        Ok(Self { root, pattern })
    }

    pub fn root(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    pub fn below_root<'a>(&self, bucket: &str, key: &'a str) -> Option<&'a str> {
        let root = self.root.as_ref()?;
        if bucket == root.bucket { key.strip_prefix(root.prefix.as_str()) } else { None }
    }

    pub fn matches(&self, bucket: &str, key: &str) -> bool {
        // A key that ends in a slash is a folder's marker, not a file.
        match self.below_root(bucket, key) {
            Some(below) if !below.is_empty() && !below.ends_with('/') => self.pattern.is_match(below),
            _ => false,
        }
    }
}

/// Compiles a pattern over keys: `*` does not cross `/`, `**` does.
fn compile(pattern: &str) -> Result<GlobMatcher, String> {
    const MAX_PATTERN_BYTES: usize = 1024;
    if pattern.is_empty() || pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("a pattern has 1 to {MAX_PATTERN_BYTES} bytes: write one such as `*.parquet` or `**`"));
    }
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| format!("bad pattern `{pattern}`: {}", error.kind()))
}
