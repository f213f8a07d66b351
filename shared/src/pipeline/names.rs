//! One name for one object: symbolic links give a file of this machine several paths, and it is ingested once.
//!
//! A file's name is its path without links. A source that was ingested under another path, as earlier versions did, keeps
//! that name in its ledger.

use std::collections::{HashMap, HashSet};

use super::Context;
use crate::Result;
use crate::dataset::Dataset;
use crate::ledger::Source;
use crate::storage::local::BUCKET as MACHINE;

/// Names the sources of one request.
#[derive(Debug)]
pub struct Names<'a> {
    ctx: &'a Context,
    dataset: &'a Dataset,
    /// Real paths that were named already.
    taken: HashSet<String>,
    /// The names in the ledger that are not real paths, by real path; read once they are needed.
    known: Option<HashMap<String, String>>,
}

impl<'a> Names<'a> {
    /// No source is named yet.
    pub fn new(ctx: &'a Context, dataset: &'a Dataset) -> Self {
        Self { ctx, dataset, taken: HashSet::new(), known: None }
    }

    /// The source under its one name; `None` where another path led to it before.
    pub async fn one(&mut self, source: Source) -> Result<Option<Source>> {
        if source.bucket != MACHINE {
            return Ok(Some(source));
        }
        let real = self.real(&source.key).await?.unwrap_or_else(|| source.key.clone());
        if !self.taken.insert(real.clone()) {
            return Ok(None);
        }
        // How a file is packed is told by its ending: a link `a.csv.gz` to a file without one keeps its name.
        let name = if packing(&source.key).is_some() && packing(&real).is_none() { &source.key } else { &real };
        let is_known = self.ctx.ledger.pointer(&self.dataset.spec.name, MACHINE, name).await?.is_some();
        let key = if is_known { name.clone() } else { self.known_as(&real).await?.unwrap_or_else(|| name.clone()) };
        Ok(Some(Source { key, ..source }))
    }

    /// The name that the ledger has for the file at this real path, if it is another.
    async fn known_as(&mut self, real: &str) -> Result<Option<String>> {
        if self.known.is_none() {
            self.known = Some(self.read_known().await?);
        }
        Ok(self.known.as_ref().and_then(|known| known.get(real)).cloned())
    }

    async fn read_known(&self) -> Result<HashMap<String, String>> {
        let name = &self.dataset.spec.name;
        let pointers = self.ctx.ledger.pointers(name).await?.into_iter();
        let pointers = pointers.filter(|read| read.value.bucket == MACHINE).map(|read| read.value.key);
        let open = self.ctx.ledger.open_runs().await?.into_iter().map(|read| read.value.run);
        let open = open.filter(|run| run.dataset == *name && run.source.bucket == MACHINE).map(|run| run.source.key);
        let mut known = HashMap::new();
        for key in pointers.chain(open) {
            if let Some(real) = self.real(&key).await?.filter(|real| *real != key) {
                known.entry(real).or_insert(key);
            }
        }
        Ok(known)
    }

    /// Where links lead; `None` where nothing lies there.
    async fn real(&self, key: &str) -> Result<Option<String>> {
        let entry = self.ctx.stores.open(MACHINE).await?.entry(key).await;
        // What cannot be looked at has no other name.
        Ok(entry.ok().flatten().map(|entry| entry.real_key))
    }
}

fn packing(key: &str) -> Option<&str> {
    key.rsplit_once('.').map(|(_, ending)| ending).filter(|ending| ["gz", "zst"].contains(ending))
}
