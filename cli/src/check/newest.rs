//! A look at one source of the dataset's own, where its file alone cannot tell whether its SQL is right.

use std::time::Duration;

use arrow::datatypes::SchemaRef;
use rowmill::Error;
use rowmill::clean::Cleaner;
use rowmill::dataset::{Dataset, Format};
use rowmill::ledger::Source;
use rowmill::pipeline::open::source_of;
use rowmill::pipeline::text::{Looked, look};
use rowmill::read::SourceFile;
use rowmill::read::parquet::Footer;
use rowmill::reports::validate_for;
use rowmill::storage::web::is_web;
use rowmill::storage::{StorageResult, Stores};

use crate::render::plural;

/// Pages of a listing that are read: 10,000 objects.
const PAGES: usize = 10;
/// How long listing and looking may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a look at the newest source told.
#[derive(Debug)]
pub(super) enum Newest {
    /// The dataset fits it, whose columns these are.
    Fits(Source, SchemaRef),
    /// The dataset can never work on it.
    Wrong(Source, String),
    /// No source was looked at, and why.
    Unseen(String),
}

/// Lists the dataset's `uri`, and compiles the dataset for the columns of the newest source there.
pub(super) async fn look_at_newest(stores: &dyn Stores, dataset: &Dataset) -> Newest {
    let looked = tokio::time::timeout(PATIENCE, async {
        let source = newest(stores, dataset).await?;
        Ok::<_, String>(match columns(stores, dataset, &source).await {
            Ok(schema) => Newest::Fits(source, schema),
            Err(error @ (Error::Contract(_) | Error::Dataset(_))) => Newest::Wrong(source, error.to_string()),
            Err(error) => Newest::Unseen(error.to_string()),
        })
    });
    match looked.await {
        Ok(Ok(looked)) => looked,
        Ok(Err(why)) => Newest::Unseen(why),
        Err(_) => Newest::Unseen(format!("source.uri did not answer within {} s", PATIENCE.as_secs())),
    }
}

/// The object that was modified last among the dataset's own, as far as a bounded listing tells; the last by name of several.
async fn newest(stores: &dyn Stores, dataset: &Dataset) -> Result<Source, String> {
    let Some((bucket, prefix)) = dataset.source_root() else { return Err("the file has no source.uri".to_owned()) };
    if is_web(bucket) {
        return Err("a web server does not list its files".to_owned());
    }
    let listed = list(stores, dataset, bucket, prefix).await.map_err(|error| error.to_string())?;
    let among =
        if listed.cut { format!(" among the first {}", plural(listed.objects, "object")) } else { String::new() };
    let pattern = &dataset.spec.source.pattern;
    listed.newest.ok_or_else(|| format!("no file below {bucket}/{prefix} fits source.pattern `{pattern}`{among}"))
}

/// A bounded listing.
struct Listed {
    newest: Option<Source>,
    objects: usize,
    /// Whether there is more than was listed.
    cut: bool,
}

async fn list(stores: &dyn Stores, dataset: &Dataset, bucket: &str, prefix: &str) -> StorageResult<Listed> {
    let storage = stores.open(bucket).await?;
    let mut listed = Listed { newest: None, objects: 0, cut: false };
    let mut next = None;
    for _ in 0..PAGES {
        let page = storage.list(prefix, next.as_deref()).await?;
        listed.objects += page.objects.len();
        for meta in page.objects {
            let at_ms = meta.version.last_modified_ms;
            let is_newer = listed.newest.as_ref().is_none_or(|newest| newest.version.last_modified_ms <= at_ms);
            if is_newer && dataset.matches(bucket, &meta.key) {
                listed.newest = Some(source_of(bucket, meta));
            }
        }
        next = page.next;
        listed.cut = next.is_some();
        if !listed.cut {
            break;
        }
    }
    // A listing tells no version id, a look-up does.
    if let Some(newest) = &mut listed.newest
        && let Some(meta) = storage.head(&newest.key).await?
    {
        *newest = source_of(bucket, meta);
    }
    Ok(listed)
}

/// The source's columns, once the dataset is compiled for them.
async fn columns(stores: &dyn Stores, dataset: &Dataset, source: &Source) -> rowmill::Result<SchemaRef> {
    let storage = stores.open_source(&source.bucket, dataset.web_rules()).await?;
    let file = SourceFile { storage, key: source.key.clone(), version: source.version.clone(), size: source.size };
    let (schema, cleaner) = if dataset.spec.source.format == Format::Parquet {
        let schema = Footer::read(&file).await?.schema;
        let cleaner = Cleaner::new(dataset, &schema, &file.uri())?;
        (schema, cleaner)
    } else {
        let Looked { shape, cleaner, .. } = look(dataset, &file).await?;
        (shape.schema, cleaner)
    };
    validate_for(dataset, &cleaner)?;
    Ok(schema)
}
