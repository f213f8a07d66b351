//! SOURCE arguments as objects: files, folders, globs, s3:// URIs.

use globset::{GlobBuilder, GlobMatcher};
use rowmill::ledger::Source;
use rowmill::pipeline::archive::Looked;
use rowmill::pipeline::open::source_of;
use rowmill::storage::web::{WebRules, is_web};
use rowmill::storage::{EntryKind, Storage, StorageError, StorageResult, Stores, holds_files, list_all};

use crate::fault::Fault;
use crate::location::{Location, shown};
use crate::render::plural;

/// What a SOURCE argument stands for.
#[derive(Debug)]
pub enum Named {
    /// An object.
    Found(Source),
    /// A web server has no such file.
    Missing(Location),
    /// Nothing, or nothing that can be looked up.
    Unfound {
        /// Where it was looked for.
        uri: String,
        /// Why it was not found, and what to do.
        problem: String,
    },
}

impl From<Looked> for Named {
    fn from(looked: Looked) -> Self {
        match looked {
            Looked::Found(source) => Self::Found(source),
            Looked::Missing(run) => Self::Missing(Location { bucket: run.source.bucket, key: run.source.key }),
            Looked::Unknown { uri, problem } => Self::Unfound { uri, problem },
        }
    }
}

/// The sources named, each once, in the order of the arguments, and the folders among the arguments.
#[derive(Debug, Default)]
pub struct Names {
    /// The sources.
    pub sources: Vec<Named>,
    /// Arguments that were folders.
    pub folders: Vec<Location>,
    /// Arguments that stand for nothing, and what lies there.
    pub notes: Vec<String>,
}

/// Looks every SOURCE up, those on web servers as far as `rules` allow. A folder stands for the files below it whose name ends in one of `extensions`, a glob for those
/// that fit; both only as far as `pattern` fits, taken from the folder on.
pub async fn named(
    stores: &dyn Stores,
    rules: &WebRules,
    arguments: &[String],
    pattern: Option<&str>,
    extensions: &[&str],
) -> Result<Names, Fault> {
    let pattern = pattern.map(glob).transpose()?;
    let mut names = Names::default();
    for argument in arguments {
        let place = Location::parse(argument)?;
        let storage = match stores.open_source(&place.bucket, rules).await {
            Err(StorageError::BadKey { uri, problem }) => return Err(Fault::usage(format!("{uri}: {problem}"))),
            storage => storage?,
        };
        let found = one(storage.as_ref(), &place, pattern.as_ref(), extensions, &mut names).await?;
        for source in found {
            if !names.sources.iter().any(|known| same(known, &source)) {
                names.sources.push(source);
            }
        }
    }
    Ok(names)
}

async fn one(
    storage: &dyn Storage,
    place: &Location,
    pattern: Option<&GlobMatcher>,
    extensions: &[&str],
    names: &mut Names,
) -> Result<Vec<Named>, Fault> {
    if is_folder(place) {
        names.folders.push(place.clone());
        let folder = place.folder();
        let fits = |below: &str| {
            let lower = below.to_lowercase();
            extensions.iter().any(|extension| lower.ends_with(extension)) && !is_hidden(below)
        };
        let wanted = |key: &str| {
            key.strip_prefix(&folder)
                .is_some_and(|below| fits(below) && pattern.is_none_or(|glob| glob.is_match(below)))
        };
        let (files, found) = below(storage, &place.bucket, &folder, wanted).await?;
        if found.is_empty() {
            names.notes.push(format!(
                "{}: {}, 0 end in {}{}",
                shown(&place.uri()),
                plural(files, "file"),
                extensions.join(" or "),
                fitting(pattern)
            ));
        }
        return Ok(found);
    }
    match look_up(storage, place).await {
        Ok(Some(named)) => return Ok(vec![named]),
        Ok(None) => {}
        Err(StorageError::BadKey { problem, .. } | StorageError::Failed { problem, .. }) => {
            return Ok(vec![Named::Unfound { uri: place.uri(), problem }]);
        }
        Err(error) => return Err(error.into()),
    }
    let glob = glob(&place.key)?;
    let before = place.key.find(GLOB_CHARACTERS).and_then(|at| place.key.get(..at)).unwrap_or("");
    let folder = before.rfind('/').and_then(|slash| before.get(..=slash)).unwrap_or("");
    let (files, found) = below(storage, &place.bucket, folder, |key| {
        let below = key.strip_prefix(folder).unwrap_or(key);
        glob.is_match(key) && pattern.is_none_or(|pattern| pattern.is_match(below))
    })
    .await?;
    if found.is_empty() {
        let root = Location { bucket: place.bucket.clone(), key: folder.to_owned() };
        if root.is_local() && !is_folder(&root) {
            let problem = format!("no such folder as {}: check the path", root.path());
            return Ok(vec![Named::Unfound { uri: place.uri(), problem }]);
        }
        names.notes.push(format!(
            "{}: {} at {}, 0 fit{}",
            shown(&place.uri()),
            plural(files, "file"),
            shown(&root.uri()),
            fitting(pattern)
        ));
    }
    Ok(found)
}

fn fitting(pattern: Option<&GlobMatcher>) -> String {
    pattern.map(|pattern| format!(" and --pattern `{}`", pattern.glob())).unwrap_or_default()
}

/// What one file is; `None` where the place is a glob.
async fn look_up(storage: &dyn Storage, place: &Location) -> StorageResult<Option<Named>> {
    let unfound = |problem: String| Ok(Some(Named::Unfound { uri: place.uri(), problem }));
    if let Some(entry) = storage.entry(&place.key).await? {
        let kind = entry.kind;
        match kind {
            EntryKind::File if place.key.ends_with('/') => {
                return unfound("it is a file: leave out the slash at its end".to_owned());
            }
            EntryKind::File => {}
            EntryKind::Folder => return unfound("it is a folder: name a file".to_owned()),
            EntryKind::Pipe => {
                return unfound(format!("it is {kind}, and a source is read more than once: write it to a file first"));
            }
            EntryKind::Device | EntryKind::Socket => return unfound(format!("it is {kind}: name a file")),
            EntryKind::DanglingLink => return unfound(format!("it is {kind}: check where it leads")),
        }
    } else if place.is_local() {
        return if is_glob(&place.key) {
            Ok(None)
        } else if place.key.ends_with('/') {
            unfound("no such folder: check the path".to_owned())
        } else {
            unfound("no such file: check the path".to_owned())
        };
    }
    match storage.head(&place.key).await? {
        Some(meta) => Ok(Some(Named::Found(source_of(&place.bucket, meta)))),
        None if is_web(&place.bucket) => Ok(Some(Named::Missing(place.clone()))),
        None if is_glob(&place.key) => Ok(None),
        None if !place.is_local() && holds_files(storage, &format!("{}/", place.key)).await? => {
            unfound("it is a folder: write it with a slash at its end".to_owned())
        }
        None => unfound("no such file: check the path".to_owned()),
    }
}

/// How many files lie below a folder, and those that are wanted, looked up: a listing tells no version id.
async fn below(
    storage: &dyn Storage,
    bucket: &str,
    folder: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<(usize, Vec<Named>), Fault> {
    let mut found = Vec::new();
    let listed = list_all(storage, folder).await?;
    for listed in &listed {
        if !wanted(&listed.key) {
            continue;
        }
        if let Some(meta) = storage.head(&listed.key).await? {
            found.push(Named::Found(source_of(bucket, meta)));
        }
    }
    Ok((listed.len(), found))
}

const GLOB_CHARACTERS: [char; 4] = ['*', '?', '[', '{'];

fn is_glob(key: &str) -> bool {
    key.contains(GLOB_CHARACTERS)
}

fn is_folder(place: &Location) -> bool {
    if place.is_local() { std::path::Path::new(&place.path()).is_dir() } else { place.folder() == place.key }
}

/// Whether readers of the folder would not see it: Spark, Hive, Dask and Athena skip such names.
fn is_hidden(below: &str) -> bool {
    below.split('/').any(|name| name.starts_with(['_', '.']))
}

fn glob(pattern: &str) -> Result<GlobMatcher, Fault> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    Ok(glob.map_err(|error| Fault::usage(format!("pattern `{pattern}`: {}", error.kind())))?.compile_matcher())
}

fn same(left: &Named, right: &Named) -> bool {
    uri(left) == uri(right)
}

fn uri(named: &Named) -> String {
    match named {
        Named::Found(source) => source.uri(),
        Named::Missing(place) => place.uri(),
        Named::Unfound { uri, .. } => uri.clone(),
    }
}
