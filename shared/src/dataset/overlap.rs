//! What `apply` refuses: datasets that would write over each other, or read what they write.

use std::collections::BTreeMap;

use crate::{Error, Result};

use super::Dataset;
use super::source_root::Root;

/// Folders of the sink that are Rowmill's own.
const OWN_FOLDERS: [&str; 4] = ["_rowmill/", "_quarantine/", "_reports/", "test_pipeline/"];

/// Checks the datasets of one sink against each other and against the sink, `s3://bucket` or a folder's URI.
///
/// # Errors
///
/// [`Error::Dataset`], with the place in the file of the dataset that comes later in `datasets`: two datasets of one
/// name, outputs that are equal or nested, a sink under a source, a source under the sink's outputs.
pub fn overlap(datasets: &[&Dataset], sink_bucket: &str) -> Result<()> {
    let sink = Root::parse(sink_bucket).map_err(|problem| Error::Dataset(format!("sink: {problem}")))?.resolved();
    names_differ(datasets)?;
    outputs_differ(datasets)?;
    for dataset in datasets {
        source_lies_apart(dataset, datasets, &sink)?;
    }
    Ok(())
}

fn names_differ(datasets: &[&Dataset]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for dataset in datasets {
        if let Some(origin) = seen.insert(dataset.spec.name.as_str(), &dataset.origin) {
            let what = format!("dataset `{}` is also defined in {origin}: rename one", dataset.spec.name);
            return Err(dataset.error_at("name", None, what));
        }
    }
    Ok(())
}

fn outputs_differ(datasets: &[&Dataset]) -> Result<()> {
    for (index, later) in datasets.iter().enumerate() {
        for earlier in datasets.iter().take(index) {
            let (one, other) = (&later.spec.output.prefix, &earlier.spec.output.prefix);
            if one.starts_with(other.as_str()) || other.starts_with(one.as_str()) {
                let what = format!(
                    "output `{one}` is the same as, around or inside output `{other}` of dataset `{}`: give each dataset \
                     a folder of its own",
                    earlier.spec.name
                );
                return Err(later.error_at("output.prefix", None, what));
            }
        }
    }
    Ok(())
}

/// The dataset's source neither holds nor lies in what any dataset writes to the sink.
fn source_lies_apart(dataset: &Dataset, datasets: &[&Dataset], sink: &Root) -> Result<()> {
    let Some((bucket, prefix)) = dataset.source_root() else { return Ok(()) };
    let source = Root { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
    let outputs = datasets.iter().map(|dataset| dataset.spec.output.prefix.as_str());
    for folder in outputs.chain(OWN_FOLDERS) {
        if source.nests(&sink.join(folder)) {
            let what = format!(
                "the source is the same as, around or inside the sink's folder `{folder}`, so parts would be read as \
                 sources: narrow `uri`, or take another sink"
            );
            return Err(dataset.error_at("source.uri", None, what));
        }
    }
    Ok(())
}
