//! `source.uri` and `source.pattern`: which objects are a dataset's own.

use std::path::{Component, Path};

use globset::{GlobBuilder, GlobMatcher};

use super::SourceSpec;
use super::archive::{Archive, check_key};
use super::problem::Problem;
use crate::storage::local::{BUCKET as MACHINE, real_path};
use crate::storage::web::{Host, Origin, WebRules, is_web};

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
            Some(("https" | "http", _)) => Self::web(uri),
            Some(("s3", rest)) => Self::s3(rest),
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

    /// A web server, and the folder that its files lie in.
    fn web(uri: &str) -> Result<Self, String> {
        let (origin, path) = split_web(uri);
        let bucket = Origin::parse(origin)?.to_string();
        let prefix = folder(path);
        check_key(&prefix)?;
        Ok(Self { bucket, prefix })
    }

    fn s3(rest: &str) -> Result<Self, String> {
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        if name.is_empty() || name.len() > 255 || !name.chars().all(allowed) {
            return Err(format!("`{name}` is no bucket's name: write `s3://bucket/prefix/`"));
        }
        Ok(Self { bucket: format!("s3://{name}"), prefix: folder(prefix) })
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
        Ok(Self { bucket: MACHINE.to_owned(), prefix: folder(&names.join("/")) })
    }

    /// The same folder without symbolic links, if it is one of this machine: one folder has one name.
    pub fn resolved(self) -> Self {
        if self.bucket != MACHINE {
            return self;
        }
        match real_path(Path::new(&format!("/{}", self.prefix))).to_str() {
            Some(real) => Self { prefix: folder(real.trim_start_matches('/')), ..self },
            None => self,
        }
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
    /// `uri` without symbolic links.
    root: Option<Root>,
    /// `uri` as it is written. Ledgers of earlier versions name sources below it.
    written: Option<Root>,
    pattern: GlobMatcher,
    archive: Option<Archive>,
    web_rules: WebRules,
}

impl SourceMatcher {
    pub fn new(source: &SourceSpec) -> Result<Self, Problem> {
        let at = |key: &str| {
            let path = format!("source.{key}");
            |what| Problem { path, what }
        };
        let mut archive = None;
        let root = match source.uri.as_deref() {
            Some(uri) if Archive::is_template(uri) => {
                let (root, template) = archived(uri).map_err(at("uri"))?;
                archive = Some(template);
                Some(root)
            }
            Some(uri) => Some(Root::parse(uri).map_err(at("uri"))?),
            None => None,
        };
        if archive.is_some() && source.modified_within.is_some() {
            let what = "an archive's files are told by date: leave `modified_within` out, and ask with `from` and `to`";
            return Err(at("modified_within")(what.to_owned()));
        }
        let web_rules = web_rules(source, root.as_ref())?;
        let pattern = compile(&source.pattern).map_err(at("pattern"))?;
        let written = root.clone();
        let root = root.map(Root::resolved);
        Ok(Self { root, written, pattern, archive, web_rules })
    }

    pub fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }

    pub fn web_rules(&self) -> &WebRules {
        &self.web_rules
    }

    pub fn root(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    pub fn below_root<'a>(&self, bucket: &str, key: &'a str) -> Option<&'a str> {
        let roots = self.root.iter().chain(&self.written).filter(|root| root.bucket == bucket);
        roots.filter_map(|root| key.strip_prefix(root.prefix.as_str())).next()
    }

    pub fn matches(&self, bucket: &str, key: &str) -> bool {
        // A key that ends in a slash is a folder's marker, not a file.
        match self.below_root(bucket, key) {
            Some(below) if !below.is_empty() && !below.ends_with('/') => self.pattern.is_match(below),
            _ => false,
        }
    }
}

/// The scheme and authority of a URL, and its path without the slash between them.
fn split_web(uri: &str) -> (&str, &str) {
    let authority = uri.find("://").map_or(0, |colon| colon + "://".len());
    let slash = uri.get(authority..).and_then(|rest| rest.find('/')).map(|slash| authority + slash);
    let (origin, path) = uri.split_at(slash.unwrap_or(uri.len()));
    (origin, path.strip_prefix('/').unwrap_or(path))
}

/// The bucket and the key of a file on a web server: `https://host/path`.
///
/// # Errors
///
/// What is wrong with the URL, and what to write.
pub fn web_file(url: &str) -> Result<(String, String), String> {
    let (origin, path) = split_web(url);
    let bucket = Origin::parse(origin)?.to_string();
    check_key(path)?;
    if path.is_empty() || path.ends_with('/') {
        return Err("files of a web server are named one by one: write `https://host/path/file`".to_owned());
    }
    Ok((bucket, path.to_owned()))
}

/// An archive by date: its server and the folder that all its files lie in, and how they are named.
fn archived(uri: &str) -> Result<(Root, Archive), String> {
    if !is_web(uri) {
        return Err(
            "`{date}` and `{hour}` are for archives on the web: write `https://host/…`; in a bucket or a folder, files are \
             found by `pattern`"
                .to_owned(),
        );
    }
    let (origin, template) = split_web(uri);
    let bucket = Origin::parse(origin)?.to_string();
    let archive = Archive::parse(template)?;
    Ok((Root { bucket, prefix: archive.folder() }, archive))
}

/// The most hosts that a file may name.
const MAX_HOSTS: usize = 64;

/// Which web servers the dataset allows.
fn web_rules(source: &SourceSpec, root: Option<&Root>) -> Result<WebRules, Problem> {
    let at = |path: String| |what| Problem { path, what };
    if source.hosts.len() > MAX_HOSTS {
        let what = format!("{} entries, above the limit of {MAX_HOSTS}: write fewer", source.hosts.len());
        return Err(at("source.hosts".to_owned())(what));
    }
    let mut hosts = Vec::new();
    for (index, host) in source.hosts.iter().enumerate() {
        hosts.push(Host::parse(host).map_err(at(format!("source.hosts[{index}]")))?);
    }
    let origin = root.filter(|root| is_web(&root.bucket)).map(|root| Origin::parse(&root.bucket)).transpose();
    let origin = origin.map_err(at("source.uri".to_owned()))?;
    if let Some(origin) = &origin {
        hosts.push(Host::parse(&format!("{}:{}", origin.host, origin.port)).map_err(at("source.uri".to_owned()))?);
    }
    let rules = WebRules::new(hosts, source.allow_http);
    origin.map_or(Ok(()), |origin| rules.check(&origin)).map_err(at("source.uri".to_owned()))?;
    Ok(rules)
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
