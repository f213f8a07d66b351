//! The client: time-outs, retries, checksums, addressing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;

use super::super::{Storage, StorageResult, Stores, unknown_bucket};
use super::S3Storage;

/// Attempts of one call, the first included; the SDK's own default is 3.
const ATTEMPTS: u32 = 5;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one attempt may take: a part of the largest size over a slow link, or the completion of thousands of parts.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);

/// Opens any `s3://bucket`, all over one client and its connections.
#[derive(Debug)]
pub struct S3Stores {
    client: Client,
    buckets: Mutex<BTreeMap<String, Arc<S3Storage>>>,
}

impl S3Stores {
    /// Stores with the credentials, region and endpoint of `config`. See [`client`] for the rest.
    pub fn new(config: &SdkConfig) -> Self {
        Self::with_client(client(config))
    }

    /// Stores over a client that the caller has made.
    pub fn with_client(client: Client) -> Self {
        Self { client, buckets: Mutex::default() }
    }

    /// The bucket of this name, without `s3://`.
    pub fn bucket(&self, name: &str) -> Arc<S3Storage> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket =
            buckets.entry(name.to_owned()).or_insert_with(|| Arc::new(S3Storage::new(self.client.clone(), name)));
        Arc::clone(bucket)
    }
}

#[async_trait]
impl Stores for S3Stores {
    async fn open(&self, bucket: &str) -> StorageResult<Arc<dyn Storage>> {
        match bucket.strip_prefix("s3://").map(|name| name.trim_end_matches('/')) {
            Some(name) if !name.is_empty() && !name.contains('/') => {
                let storage: Arc<dyn Storage> = self.bucket(name);
                Ok(storage)
            }
            _ => Err(unknown_bucket(bucket, "s3://name")),
        }
    }
}

/// A client as Rowmill wants it. Of `config` it takes everything but:
///
/// * retries: standard mode, at least 5 attempts;
/// * time-outs that `config` leaves open: 3 s to connect, 120 s an attempt. A cut or stalled answer is the SDK's
///   stalled-stream protection, on by default;
/// * request checksums only where S3 requires them. The SDK would add a CRC32 to every part, but not tell S3 so when it
///   begins the upload, and then a completion may find its parts missing: it would have to name each part's checksum.
///   Nothing is lost: the signature covers a SHA-256 of the body, which S3 verifies, and S3 keeps a CRC64 of its own;
/// * buckets by path, not by host name, wherever an endpoint is given: emulators and proxies have no DNS.
pub fn client(config: &SdkConfig) -> Client {
    let defaults =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    let mut timeouts = config.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled);
    timeouts.take_defaults_from(&defaults);
    let attempts = config.retry_config().map_or(ATTEMPTS, |retry| retry.max_attempts().max(ATTEMPTS));
    let has_endpoint = config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
    let s3 = aws_sdk_s3::config::Builder::from(config)
        .retry_config(RetryConfig::standard().with_max_attempts(attempts))
        .timeout_config(timeouts)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .force_path_style(has_endpoint)
        .build();
    Client::from_conf(s3)
}
