//! SOURCE arguments as objects: files, folders, globs, s3:// URIs.

use globset::{GlobBuilder, GlobMatcher};
use rowmill::ledger::Source;
use rowmill::pipeline::archive::Looked;
use rowmill::pipeline::open::source_of;
use rowmill::storage::web::{WebRules, is_web};
use rowmill::storage::{Storage, StorageError, Stores, list_all};

use crate::fault::Fault;
use crate::location::Location;

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
        let found = one(storage.as_ref(), &place, pattern.as_ref(), extensions, &mut names.folders).await?;
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
    folders: &mut Vec<Location>,
) -> Result<Vec<Named>, Fault> {
    if is_folder(place) {
        folders.push(place.clone());
        let folder = place.folder();
        let fits = |below: &str| {
            let lower = below.to_lowercase();
            extensions.iter().any(|extension| lower.ends_with(extension)) && !is_hidden(below)
        };
        return below(storage, &place.bucket, &folder, |key| {
            key.strip_prefix(&folder)
                .is_some_and(|below| fits(below) && pattern.is_none_or(|glob| glob.is_match(below)))
        })
        .await;
    }
    match storage.head(&place.key).await {
        Ok(Some(meta)) => return Ok(vec![Named::Found(source_of(&place.bucket, meta))]),
        Ok(None) if is_web(&place.bucket) => return Ok(vec![Named::Missing(place.clone())]),
        Ok(None) if is_glob(&place.key) => {}
        Ok(None) => {
            let problem = "no such file: check the path".to_owned();
            return Ok(vec![Named::Unfound { uri: place.uri(), problem }]);
        }
        Err(StorageError::BadKey { problem, .. } | StorageError::Failed { problem, .. }) => {
            return Ok(vec![Named::Unfound { uri: place.uri(), problem }]);
        }
        Err(error) => return Err(error.into()),
    }
    let glob = glob(&place.key)?;
    let before = place.key.find(GLOB_CHARACTERS).and_then(|at| place.key.get(..at)).unwrap_or("");
    let folder = before.rfind('/').and_then(|slash| before.get(..=slash)).unwrap_or("");
    below(storage, &place.bucket, folder, |key| {
        let below = key.strip_prefix(folder).unwrap_or(key);
        glob.is_match(key) && pattern.is_none_or(|pattern| pattern.is_match(below))
    })
    .await
}

/// The objects below a folder that are wanted, looked up: a listing tells no version id.
async fn below(
    storage: &dyn Storage,
    bucket: &str,
    folder: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Named>, Fault> {
    let mut found = Vec::new();
    for listed in list_all(storage, folder).await? {
        if !wanted(&listed.key) {
            continue;
        }
        if let Some(meta) = storage.head(&listed.key).await? {
            found.push(Named::Found(source_of(bucket, meta)));
        }
    }
    Ok(found)
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
