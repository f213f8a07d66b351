//! Where parts and the ledger go.

use std::sync::Arc;
use std::time::Duration;

use rowmill::dataset::Dataset;
use rowmill::storage::{EntryKind, LocalStorage, Storage, Stores};

use crate::fault::Fault;
use crate::location::Location;
use crate::stores::AnyStores;

/// Where `run` writes, and where `runs` looks, unless told otherwise.
pub const DEFAULT: &str = "rowmill-out";

/// What killed processes left is removed once it is so old: longer than any run takes.
const GARBAGE_AGE: Duration = Duration::from_secs(24 * 3600);

/// Folders of the sink that are Rowmill's own.
const OWN_FOLDERS: [&str; 4] = ["_rowmill/", "_quarantine/", "_reports/", "test_pipeline/"];

/// An open sink.
#[derive(Debug)]
pub struct Sink {
    /// The storage.
    pub storage: Arc<dyn Storage>,
    place: Location,
    local: Option<LocalStorage>,
}

impl Sink {
    /// Opens a folder or `s3://bucket`. A folder is made by the first write.
    pub async fn open(name: &str, stores: &AnyStores) -> Result<Self, Fault> {
        let place = Location::parse(name)?;
        if place.is_local() {
            let path = place.path();
            let there = stores.open(&place.bucket).await?.entry(&place.key).await?;
            if let Some(there) = there.filter(|there| there.kind != EntryKind::Folder) {
                return Err(Fault::usage(format!("sink {path}: it is {}: name a folder", there.kind)));
            }
            let local = LocalStorage::new(path);
            return Ok(Self { storage: Arc::new(local.clone()), place, local: Some(local) });
        }
        if !place.key.is_empty() {
            return Err(Fault::usage(format!(
                "sink {name}: a sink is a whole bucket: name s3://bucket, and the folder in the dataset's output.prefix"
            )));
        }
        let storage = stores.open(&place.bucket).await?;
        Ok(Self { storage, place, local: None })
    }

    /// Opens a sink that is to hold a ledger already.
    pub async fn existing(name: &str, stores: &AnyStores) -> Result<Self, Fault> {
        let sink = Self::open(name, stores).await?;
        let path = sink.place.path();
        if sink.local.is_some() && !std::path::Path::new(&path).is_dir() {
            return Err(Fault::usage(format!(
                "sink {path}: no such folder: name the --sink that `rowmill run` wrote to"
            )));
        }
        Ok(sink)
    }

    /// The sink as [`rowmill::dataset::overlap`] takes it.
    pub fn uri(&self) -> String {
        self.place.uri()
    }

    /// Removes what killed processes left long ago. A failure here is nobody's business but the log's.
    pub async fn collect_garbage(&self) {
        let Some(local) = &self.local else { return };
        match local.collect_garbage(GARBAGE_AGE).await {
            Ok(collected) => tracing::info!(?collected, "garbage collected"),
            Err(error) => tracing::warn!(%error, "garbage not collected"),
        }
    }

    /// Refuses a source that lies in what this dataset writes here: parts would be read as sources.
    pub fn refuse_source(&self, dataset: &Dataset, source: &Location) -> Result<(), Fault> {
        let (sink, source) = (self.place.resolved(), source.resolved());
        let Some(below) = source.key.strip_prefix(&sink.folder()).filter(|_| source.bucket == sink.bucket) else {
            return Ok(());
        };
        let prefix = dataset.spec.output.prefix.as_str();
        match OWN_FOLDERS.into_iter().chain([prefix]).find(|folder| below.starts_with(folder)) {
            Some(folder) => Err(Fault::usage(format!(
                "{}: a source in the sink's folder `{folder}`, so parts would be read as sources: take another sink",
                source.uri()
            ))),
            None => Ok(()),
        }
    }

    /// Refuses a folder of sources that holds this sink.
    pub fn refuse_folder(&self, folder: &Location) -> Result<(), Fault> {
        let (sink, folder) = (self.place.resolved(), folder.resolved());
        if sink.bucket == folder.bucket && sink.folder().starts_with(&folder.folder()) {
            return Err(Fault::usage(format!(
                "{}: the sink {} lies in this folder of sources, so parts would be read as sources: take another sink",
                folder.uri(),
                sink.uri()
            )));
        }
        Ok(())
    }
}
