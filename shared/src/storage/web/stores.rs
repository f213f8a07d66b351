//! Other stores, and web servers beside them.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::client::Client;
use super::connect::{ALLOW_HOSTS, allowed};
use super::retry::WebOptions;
use super::rules::{Origin, WebRules, is_web};
use super::site::WebStorage;
use crate::storage::{Storage, StorageError, StorageResult, Stores};

/// Stores that also read sources from web servers. The client is made by the first of those.
#[derive(Debug, Default)]
pub struct WithWeb<S> {
    inner: S,
    options: WebOptions,
    client: Mutex<Option<Arc<Client>>>,
}

impl<S> WithWeb<S> {
    /// Web servers beside `inner`.
    pub fn new(inner: S) -> Self {
        Self::with_options(inner, WebOptions::default())
    }

    /// The same with another patience.
    pub fn with_options(inner: S, options: WebOptions) -> Self {
        Self { inner, options, client: Mutex::new(None) }
    }

    fn client(&self) -> Result<Arc<Client>, String> {
        let mut made = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.as_ref() {
            return Ok(Arc::clone(client));
        }
        let allowed = allowed(&std::env::var(ALLOW_HOSTS).unwrap_or_default())?;
        let client = Arc::new(Client::new(allowed, self.options.clone())?);
        *made = Some(Arc::clone(&client));
        Ok(client)
    }
}

#[async_trait]
impl<S: Stores> Stores for WithWeb<S> {
    async fn open(&self, bucket: &str) -> StorageResult<Arc<dyn Storage>> {
        self.inner.open(bucket).await
    }

    async fn open_source(&self, bucket: &str, rules: &WebRules) -> StorageResult<Arc<dyn Storage>> {
        if !is_web(bucket) {
            return self.inner.open_source(bucket, rules).await;
        }
        let refused = |problem: String| StorageError::BadKey { uri: bucket.to_owned(), problem };
        rules.check(&Origin::parse(bucket).map_err(refused)?).map_err(refused)?;
        let client = self.client().map_err(|problem| StorageError::Failed {
            operation: "open",
            uri: bucket.to_owned(),
            problem,
        })?;
        Ok(Arc::new(WebStorage::new(bucket, rules.clone(), client)))
    }
}
