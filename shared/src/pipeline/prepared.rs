//! What the slices of a run have in common: read and compiled once in a process, not once for each slice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::Result;
use crate::clean::{Cleaner, Untouched};
use crate::dataset::Dataset;
use crate::ledger::Run;
use crate::read::SourceFile;
use crate::read::parquet::Footer;

/// Runs whose sources are kept prepared: a process works on few at a time.
const KEPT: usize = 4;

/// A run's Parquet source: its footer, and its dataset compiled for it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub footer: Footer,
    pub cleaner: Arc<Cleaner>,
    untouched: OnceLock<Option<Arc<Untouched>>>,
}

impl Prepared {
    /// How to tell whether rows pass unchanged: see [`Cleaner::untouched`].
    pub fn untouched(&self, dataset: &Dataset) -> Result<Option<Arc<Untouched>>> {
        if let Some(known) = self.untouched.get() {
            return Ok(known.clone());
        }
        let untouched = self.cleaner.untouched(dataset)?.map(Arc::new);
        Ok(self.untouched.get_or_init(|| untouched).clone())
    }
}

/// The sources of the last runs. A run names its source's version and its dataset file, so neither changes.
#[derive(Debug, Default)]
pub(super) struct PreparedSources(Mutex<VecDeque<(Run, Arc<Prepared>)>>);

impl PreparedSources {
    /// The source of `run`, which `file` reads.
    ///
    /// Errors are those of [`Footer::read`] and [`Cleaner::new`]: the dataset's contract and SQL are compiled against this
    /// very schema, so that what can never work fails before any row.
    pub async fn of(&self, run: &Run, dataset: &Dataset, file: &SourceFile) -> Result<Arc<Prepared>> {
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept().iter().find(|(of, _)| of == run).map(|(_, prepared)| Arc::clone(prepared));
        if let Some(prepared) = known {
            return Ok(prepared);
        }
        let footer = Footer::read(file).await?;
        let cleaner = Cleaner::new(dataset, &footer.schema, &file.uri())?.of_run(&run.run_id);
        let prepared = Arc::new(Prepared { footer, cleaner: Arc::new(cleaner), untouched: OnceLock::new() });
        let mut kept = kept();
        kept.retain(|(of, _)| of != run);
        kept.truncate(KEPT - 1);
        kept.push_front((run.clone(), Arc::clone(&prepared)));
        Ok(prepared)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::ledger::{Purpose, Source};
    use crate::read::testing::OneFile;

    const DATASET: &str = "name = \"numbers\"\n[source]\nformat = \"parquet\"\n[output]\nprefix = \"out/\"\n";

    fn run(file: &SourceFile, generation: &str) -> Run {
        let (key, version) = (file.key.clone(), file.version.clone());
        let source = Source { bucket: "test".to_owned(), key, version, size: file.size };
        Run::new("numbers", "config", Purpose::Incremental, generation, source)
    }

    #[tokio::test]
    async fn a_source_is_read_once_for_all_slices_of_a_run_and_the_last_runs_are_kept() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
        let batch = RecordBatch::try_from_iter([("number", numbers)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let (storage, file) = OneFile::new(writer.into_inner().unwrap()).source();
        let dataset = Dataset::parse(DATASET, "numbers.toml").unwrap();
        let sources = PreparedSources::default();
        let first = sources.of(&run(&file, "first"), &dataset, &file).await.unwrap();
        assert_eq!(storage.take_reads().len(), 1);
        for generation in (1..KEPT).map(|number| number.to_string()) {
            sources.of(&run(&file, &generation), &dataset, &file).await.unwrap();
        }
        assert_eq!(storage.take_reads().len(), KEPT - 1, "other runs have sources of their own");
        let again = sources.of(&run(&file, "first"), &dataset, &file).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(storage.take_reads().len(), 0);
        sources.of(&run(&file, "one more"), &dataset, &file).await.unwrap();
        sources.of(&run(&file, "first"), &dataset, &file).await.unwrap();
        assert_eq!(storage.take_reads().len(), 2, "the oldest one is forgotten");
    }
}
