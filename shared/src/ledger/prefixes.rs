//! Which dataset writes below which prefix of the sink.
//!
//! Two datasets below one prefix would replace and retire each other's parts. `apply` compares the dataset files of a
//! deployed stack; on one machine each run names a file of its own. So the sink keeps a list, `_rowmill/prefixes.json`, to
//! which every dataset adds its prefix by compare-and-swap before its first run is opened.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::keys;
use super::records::{FORMAT, Pointer};
use super::store::{Ledger, Stamped};
use crate::dataset::Dataset;
use crate::storage::list_all;
use crate::{Error, Result};

/// The prefixes of a sink and the datasets that write below them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Prefixes {
    /// [`FORMAT`].
    format: u32,
    /// By prefix, each with a slash at its end.
    prefixes: BTreeMap<String, Vec<String>>,
}

/// A dataset and a prefix below which it writes, or wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    prefix: String,
    dataset: String,
}

impl Prefixes {
    /// The other datasets whose prefix is the same as, around or inside `prefix`.
    fn rivals(&self, dataset: &str, prefix: &str) -> Vec<Owner> {
        let nested = self.prefixes.iter().filter(|(other, _)| other.starts_with(prefix) || prefix.starts_with(*other));
        let owners = nested.flat_map(|(prefix, datasets)| {
            datasets.iter().map(|dataset| Owner { prefix: prefix.clone(), dataset: dataset.clone() })
        });
        owners.filter(|owner| owner.dataset != dataset).collect()
    }

    fn holds(&self, dataset: &str, prefix: &str) -> bool {
        self.prefixes.get(prefix).is_some_and(|datasets| datasets.iter().any(|known| known == dataset))
    }

    fn add(&mut self, dataset: &str, prefix: &str) {
        if !self.holds(dataset, prefix) {
            self.prefixes.entry(prefix.to_owned()).or_default().push(dataset.to_owned());
        }
    }

    fn remove(&mut self, owner: &Owner) {
        if let Some(datasets) = self.prefixes.get_mut(&owner.prefix) {
            datasets.retain(|dataset| *dataset != owner.dataset);
        }
        self.prefixes.retain(|_, datasets| !datasets.is_empty());
    }
}

/// Whether a source's output may lie below `prefix`: what readers see, what is being published, or what is to be retired.
fn lies_below(pointer: &Pointer, prefix: &str) -> bool {
    let parts = pointer.published.iter().flat_map(|published| &published.parts);
    let left = pointer.displaced.iter().flat_map(|displaced| displaced.visible.iter().map(|left| &left.key));
    pointer.claim.is_some() || parts.chain(left).any(|key| key.starts_with(prefix))
}

impl Ledger {
    /// Notes that the dataset writes below its `output.prefix`.
    ///
    /// # Errors
    ///
    /// [`Error::Dataset`] where another dataset writes below a prefix that is the same as, around or inside it, unless
    /// nothing of that dataset lies there any more and none of its runs is open.
    pub async fn own_prefix(&self, dataset: &Dataset) -> Result<()> {
        loop {
            let (next, etag) = match self.granted(dataset).await? {
                (Some(next), etag) => (next, etag),
                (None, _) => return Ok(()),
            };
            if self.swap(keys::PREFIXES, etag.as_deref(), &next).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Checks what [`own_prefix`](Self::own_prefix) would answer, and notes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`own_prefix`](Self::own_prefix).
    pub async fn check_prefix(&self, dataset: &Dataset) -> Result<()> {
        self.granted(dataset).await.map(drop)
    }

    /// The list with the dataset's prefix in it, and the ETag of the one it replaces; `None` where it is in it already.
    async fn granted(&self, dataset: &Dataset) -> Result<(Option<Prefixes>, Option<String>)> {
        let (name, prefix) = (&dataset.spec.name, &dataset.spec.output.prefix);
        let (mut list, etag) = match self.read::<Prefixes>(keys::PREFIXES).await? {
            Some(Stamped { value, etag }) => (value, Some(etag)),
            None => (self.prefixes_of_configs().await?, None),
        };
        let rivals = list.rivals(name, prefix);
        for rival in &rivals {
            if self.writes(rival).await? {
                let what = format!(
                    "output `{prefix}` is the same as, around or inside `{}`, where parts of dataset `{}` lie in this sink: \
                     give each dataset a folder of its own",
                    rival.prefix, rival.dataset
                );
                return Err(dataset.error_at("output.prefix", None, what));
            }
            list.remove(rival);
        }
        if rivals.is_empty() && etag.is_some() && list.holds(name, prefix) {
            return Ok((None, etag));
        }
        list.add(name, prefix);
        Ok((Some(list), etag))
    }

    /// The prefixes of all dataset files that runs were ever pinned to: for a sink that is older than its list.
    async fn prefixes_of_configs(&self) -> Result<Prefixes> {
        let mut list = Prefixes { format: FORMAT, prefixes: BTreeMap::new() };
        for object in list_all(self.sink().as_ref(), keys::CONFIGS).await? {
            let hash = object.key.strip_prefix(keys::CONFIGS).and_then(|file| file.strip_suffix(".toml"));
            let Some(hash) = hash else { continue };
            match self.config(hash).await {
                Ok(dataset) => list.add(&dataset.spec.name, &dataset.spec.output.prefix),
                // A file of a version that took other keys: its prefix is unknown, and its runs are over.
                Err(Error::Dataset(problem)) => {
                    tracing::warn!(problem, "the prefix of an older dataset file is unknown")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(list)
    }

    /// Whether the owner's parts lie below its prefix, or may come to lie there.
    async fn writes(&self, owner: &Owner) -> Result<bool> {
        if self.open_runs().await?.iter().any(|open| open.value.run.dataset == owner.dataset) {
            return Ok(true);
        }
        let pointers = self.pointers(&owner.dataset).await?;
        Ok(pointers.iter().any(|pointer| lies_below(&pointer.value, &owner.prefix)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ledger::records::{Claim, Published};
    use crate::ledger::{Purpose, Run, Source};
    use crate::simulation::Hand;
    use crate::storage::{MemoryStorage, ObjectVersion};

    fn ledger() -> Ledger {
        Ledger::new(Arc::new(MemoryStorage::new("sink", Arc::new(Hand::default()))))
    }

    fn dataset(name: &str, prefix: &str) -> Dataset {
        let text = format!(
            "name = \"{name}\"\n[source]\nformat = \"parquet\"\nuri = \"s3://source/in/\"\n[output]\nprefix = \"{prefix}\"\n"
        );
        Dataset::parse(&text, &format!("{name}.toml")).unwrap()
    }

    fn run(dataset: &Dataset) -> Run {
        let version = ObjectVersion { version_id: None, etag: "1".into(), last_modified_ms: 1 };
        let source = Source { bucket: "s3://source".into(), key: "in/a".into(), version, size: 1 };
        Run::new(&dataset.spec.name, &dataset.hash, Purpose::Incremental, "", source)
    }

    /// Publishes a part of the dataset below its prefix.
    async fn publish(ledger: &Ledger, dataset: &Dataset) {
        let run = run(dataset);
        let part = format!("{}a/part-00000.parquet", dataset.spec.output.prefix);
        let pointer = Pointer {
            format: FORMAT,
            dataset: run.dataset.clone(),
            bucket: run.source.bucket.clone(),
            key: run.source.key.clone(),
            epoch: 1,
            published: Some(Published { claim: Claim::of(&run), parts: vec![part] }),
            claim: None,
            displaced: Vec::new(),
        };
        ledger.swap_pointer(None, &pointer).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_prefix_that_is_equal_around_or_inside_that_of_another_dataset_is_refused() {
        let ledger = ledger();
        let green = dataset("green", "taxi/green/");
        ledger.own_prefix(&green).await.unwrap();
        publish(&ledger, &green).await;
        ledger.own_prefix(&green).await.unwrap();
        for prefix in ["taxi/green/", "taxi/", "taxi/green/2020/"] {
            let other = dataset("yellow", prefix);
            for refused in [ledger.check_prefix(&other).await, ledger.own_prefix(&other).await] {
                let refused = refused.unwrap_err().to_string();
                assert!(refused.contains("yellow.toml:6:") && refused.contains("dataset `green`"), "{refused}");
            }
        }
        ledger.own_prefix(&dataset("yellow", "taxi/yellow/")).await.unwrap();
        ledger.own_prefix(&dataset("blue", "taxi/green2/")).await.unwrap();
    }

    #[tokio::test]
    async fn a_dataset_that_moves_keeps_its_old_prefix_while_parts_lie_there() {
        let ledger = ledger();
        let before = dataset("green", "old/");
        ledger.own_prefix(&before).await.unwrap();
        publish(&ledger, &before).await;
        ledger.own_prefix(&dataset("green", "new/")).await.unwrap();
        for prefix in ["old/", "new/"] {
            let refused = ledger.own_prefix(&dataset("yellow", prefix)).await;
            assert_eq!(refused.is_err(), prefix == "old/", "{prefix}: nothing of green lies below new/ yet");
        }
    }

    #[tokio::test]
    async fn a_prefix_is_free_once_nothing_of_its_dataset_lies_there_and_no_run_of_it_is_open() {
        let ledger = ledger();
        let green = dataset("green", "taxi/");
        ledger.own_prefix(&green).await.unwrap();
        ledger.open(&run(&green), 1).await.unwrap();
        ledger.own_prefix(&dataset("yellow", "taxi/")).await.unwrap_err();
        ledger.close(&run(&green).run_id).await.unwrap();
        ledger.own_prefix(&dataset("yellow", "taxi/")).await.unwrap();
        publish(&ledger, &dataset("yellow", "taxi/")).await;
        ledger.own_prefix(&green).await.unwrap_err();
    }

    #[tokio::test]
    async fn in_a_sink_without_a_list_the_dataset_files_of_earlier_runs_count() {
        let ledger = ledger();
        let green = dataset("green", "taxi/");
        ledger.keep_config(&green).await.unwrap();
        publish(&ledger, &green).await;
        ledger.own_prefix(&dataset("yellow", "taxi/")).await.unwrap_err();
        ledger.own_prefix(&green).await.unwrap();
    }
}
