//! A web server as a storage that can only be read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, Method, StatusCode, header};
use tokio::sync::Mutex;

use super::answer::{self, Told};
use super::client::{Client, Failed};
use super::flow::{Flow, MAX_REWINDS, Sequence};
use super::rules::WebRules;
use crate::storage::{
    AbortOutcome, CompleteOutcome, DeleteOutcome, Object, ObjectMeta, ObjectVersion, Page, PutIf, PutOutcome, Storage,
    StorageError, StorageResult, UploadedPart, beyond_end, too_large,
};

/// The largest file that is read, bytes.
const MAX_FILE_BYTES: u64 = 64 << 30;
/// Requests of one ranged read, however much each of them brought.
const MAX_REQUESTS: u32 = 100;

/// One server, as far as one dataset may read from it.
#[derive(Debug)]
pub struct WebStorage {
    bucket: String,
    rules: WebRules,
    client: Arc<Client>,
    /// Set once the server was seen to send a file whole where a range was asked for.
    sends_whole: AtomicBool,
    sequence: Mutex<Sequence>,
}

/// How a try ended that did not fail.
enum Tried {
    /// It brought all it was asked for.
    Done,
    /// The server does not answer with ranges.
    Whole,
}

/// Why a try ended a read.
enum Broken {
    Failed(Failed),
    Changed,
    Gone,
}

impl From<Failed> for Broken {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl WebStorage {
    pub(super) fn new(bucket: &str, rules: WebRules, client: Arc<Client>) -> Self {
        let sends_whole = AtomicBool::new(false);
        Self { bucket: bucket.to_owned(), rules, client, sends_whole, sequence: Mutex::default() }
    }

    fn failed(&self, operation: &'static str, key: &str, problem: impl Into<String>) -> StorageError {
        StorageError::Failed { operation, uri: self.uri(key), problem: problem.into() }
    }

    fn refused(&self, key: &str, problem: impl Into<String>) -> StorageError {
        StorageError::BadKey { uri: self.uri(key), problem: problem.into() }
    }

    fn read_only<T>(&self, key: &str) -> StorageResult<T> {
        Err(self.refused(key, "files on a web server can only be read, one by one"))
    }

    /// After a failure: waits for the next try, or answers the error that the operation ends with.
    async fn again(&self, operation: &'static str, key: &str, failures: u32, failed: Failed) -> StorageResult<()> {
        match failed {
            Failed::Permanent(problem) => Err(self.refused(key, problem)),
            Failed::Passing { problem, .. } if failures >= self.client.options.attempts => {
                Err(self.failed(operation, key, format!("{problem} ({failures} tries)")))
            }
            Failed::Passing { problem, wait } => {
                tracing::debug!(uri = self.uri(key), failures, problem, "asking again");
                tokio::time::sleep(self.client.options.delay(failures, wait)).await;
                Ok(())
            }
        }
    }

    /// Looks a file up: by HEAD, and where the server does not answer that, by its first byte.
    async fn look_up(&self, key: &str) -> Result<Option<Told>, Failed> {
        let url = self.uri(key);
        let response = self.client.ask(&self.rules, &url, &Method::HEAD, &[]).await?;
        let (status, headers) = (response.status(), response.headers());
        if status == StatusCode::OK {
            self.check_coding(headers, key)?;
            if let Some(size) = answer::content_length(headers) {
                return Ok(Some(answer::told(headers, size)));
            }
        }
        if is_gone(status) {
            return Ok(None);
        }
        let first = [(header::RANGE, "bytes=0-0".to_owned())];
        let response = self.client.ask(&self.rules, &url, &Method::GET, &first).await?;
        let (status, headers) = (response.status(), response.headers());
        self.check_coding(headers, key)?;
        let size = match status {
            StatusCode::PARTIAL_CONTENT => answer::content_range(headers).map(|(_, size)| size),
            StatusCode::OK => answer::content_length(headers),
            StatusCode::RANGE_NOT_SATISFIABLE => answer::unsatisfied_size(headers),
            status if is_gone(status) => return Ok(None),
            status => return Err(unexpected(status)),
        };
        match size {
            Some(size) => Ok(Some(answer::told(headers, size))),
            None => Err(Failed::Permanent(
                "the server does not tell how long the file is: download it, and ingest it from a bucket or a folder"
                    .to_owned(),
            )),
        }
    }

    fn check_coding(&self, headers: &http::HeaderMap, key: &str) -> Result<(), Failed> {
        match answer::foreign_coding(headers, key) {
            None => Ok(()),
            Some(coding) => Err(Failed::Permanent(format!(
                "the server sends the file coded as `{coding}`, though it was asked not to: download it, and ingest it from a \
                 bucket or a folder"
            ))),
        }
    }

    fn pinned(&self, version: &ObjectVersion) -> Vec<(HeaderName, String)> {
        answer::if_match(version).map(|pin| (header::IF_MATCH, pin)).into_iter().collect()
    }

    /// One request for a range; what comes goes behind `taken`, also where it fails in the middle.
    async fn read_range(
        &self,
        key: &str,
        version: &ObjectVersion,
        range: Range<u64>,
        taken: &mut BytesMut,
    ) -> Result<Tried, Broken> {
        let mut headers = self.pinned(version);
        headers.push((header::RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1))));
        let response = self.client.ask(&self.rules, &self.uri(key), &Method::GET, &headers).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => return Ok(Tried::Whole),
            StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => return Err(Broken::Changed),
            status if is_gone(status) => return Err(Broken::Gone),
            status => return Err(unexpected(status).into()),
        }
        self.check_coding(response.headers(), key)?;
        let found = answer::content_range(response.headers());
        let (found, size) = found.ok_or_else(|| Failed::passing("its answer does not say which bytes it holds"))?;
        if !answer::is_same(version, response.headers(), size) {
            return Err(Broken::Changed);
        }
        if found.start != range.start || found.end > range.end {
            return Err(Failed::passing(format!("it sent bytes {found:?} where {range:?} were asked for")).into());
        }
        let mut left = found.end - found.start;
        let mut body = response.into_body();
        let reading = async {
            while let Some(bytes) = self.client.next(&mut body).await? {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                left = left.checked_sub(length).ok_or_else(|| Failed::passing("it sent more bytes than it said"))?;
                taken.extend_from_slice(&bytes);
            }
            Ok(())
        };
        let late = || Failed::passing(format!("its body was not there within {:?}", self.client.options.body));
        tokio::time::timeout(self.client.options.body, reading).await.unwrap_or_else(|_| Err(late()))?;
        if left > 0 {
            Err(Failed::passing(format!("its body ended {left} bytes early")).into())
        } else {
            Ok(Tried::Done)
        }
    }

    /// Reads in order, from one body that holds the whole file; begun again where it breaks.
    async fn read_on(&self, key: &str, version: &ObjectVersion, range: &Range<u64>) -> StorageResult<Bytes> {
        let mut sequence = self.sequence.lock().await;
        let mut failures = 0;
        loop {
            if !sequence.flow.as_ref().is_some_and(|flow| flow.reaches(key, version, range.start)) {
                if sequence.flow.take().is_some() {
                    sequence.rewinds += 1;
                }
                if sequence.rewinds > MAX_REWINDS {
                    let problem = "the server sends no ranges, and this format is not read in order: download the file, and \
                                   ingest it from a bucket or a folder";
                    return Err(self.refused(key, problem));
                }
                match self.begin(key, version).await {
                    Ok(flow) => sequence.flow = Some(flow),
                    Err(broken) => {
                        failures += 1;
                        self.recover(key, failures, broken).await?;
                        continue;
                    }
                }
            }
            let Some(flow) = sequence.flow.as_mut() else { continue };
            match flow.read(&self.client, range).await {
                Ok(bytes) => return Ok(bytes),
                Err(failed) => {
                    sequence.flow = None;
                    failures += 1;
                    self.again("get_range", key, failures, failed).await?;
                }
            }
        }
    }

    async fn begin(&self, key: &str, version: &ObjectVersion) -> Result<Flow, Broken> {
        let response = self.client.ask(&self.rules, &self.uri(key), &Method::GET, &self.pinned(version)).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::PRECONDITION_FAILED => return Err(Broken::Changed),
            status if is_gone(status) => return Err(Broken::Gone),
            status => return Err(unexpected(status).into()),
        }
        self.check_coding(response.headers(), key)?;
        let size = answer::content_length(response.headers());
        let same = size.is_none_or(|size| answer::is_same(version, response.headers(), size));
        if !same {
            return Err(Broken::Changed);
        }
        Ok(Flow::new(key, version, response.into_body()))
    }

    /// After a broken try: waits for the next one, or answers the error that the read ends with.
    async fn recover(&self, key: &str, failures: u32, broken: Broken) -> StorageResult<()> {
        match broken {
            Broken::Failed(failed) => self.again("get_range", key, failures, failed).await,
            Broken::Changed => Err(StorageError::Changed { uri: self.uri(key) }),
            Broken::Gone => Err(StorageError::NotFound { uri: self.uri(key) }),
        }
    }
}

fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

fn unexpected(status: StatusCode) -> Failed {
    Failed::Permanent(format!("the server answered {status}: is the address right, and is the file free to read?"))
}

#[async_trait]
impl Storage for WebStorage {
    fn uri(&self, key: &str) -> String {
        format!("{}/{key}", self.bucket)
    }

    async fn head(&self, key: &str) -> StorageResult<Option<ObjectMeta>> {
        let mut failures = 0;
        let told = loop {
            match self.look_up(key).await {
                Ok(None) => return Ok(None),
                Ok(Some(told)) => break told,
                Err(failed) => {
                    failures += 1;
                    self.again("head", key, failures, failed).await?;
                }
            }
        };
        let Told { version, size } = told;
        if size > MAX_FILE_BYTES {
            return Err(self.refused(key, format!("the file has {size} bytes, above the limit of {MAX_FILE_BYTES}")));
        }
        Ok(Some(ObjectMeta { key: key.to_owned(), size, version, metadata: BTreeMap::new() }))
    }

    async fn get(&self, key: &str, max_bytes: u64) -> StorageResult<Option<Object>> {
        let Some(meta) = self.head(key).await? else { return Ok(None) };
        if meta.size > max_bytes {
            return Err(self.failed("get", key, too_large(meta.size, max_bytes)));
        }
        let bytes = self.get_range(key, &meta.version, 0..meta.size).await?;
        Ok(Some(Object { meta, bytes }))
    }

    async fn get_range(&self, key: &str, version: &ObjectVersion, range: Range<u64>) -> StorageResult<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        // Grows with what comes: a length that was only claimed is not made room for.
        let (mut taken, mut failures) = (BytesMut::new(), 0);
        for _ in 0..MAX_REQUESTS {
            if self.sends_whole.load(Ordering::Relaxed) {
                return self.read_on(key, version, &range).await;
            }
            let before = taken.len();
            let start = range.start + u64::try_from(before).unwrap_or(u64::MAX);
            if start >= range.end {
                return Ok(taken.freeze());
            }
            match self.read_range(key, version, start..range.end, &mut taken).await {
                Ok(Tried::Done) => failures = 0,
                Ok(Tried::Whole) => self.sends_whole.store(true, Ordering::Relaxed),
                Err(broken) => {
                    failures = if taken.len() > before { 1 } else { failures + 1 };
                    self.recover(key, failures, broken).await?;
                }
            }
        }
        Err(self.failed("get_range", key, beyond_end(&range, range.start + u64::try_from(taken.len()).unwrap_or(0))))
    }

    async fn list(&self, prefix: &str, _: Option<&str>) -> StorageResult<Page> {
        self.read_only(prefix)
    }

    async fn put(&self, key: &str, _: Bytes) -> StorageResult<String> {
        self.read_only(key)
    }

    async fn put_if(&self, key: &str, _: PutIf<'_>, _: Bytes) -> StorageResult<PutOutcome> {
        self.read_only(key)
    }

    async fn delete(&self, key: &str) -> StorageResult<()> {
        self.read_only(key)
    }

    async fn delete_if(&self, key: &str, _: &str) -> StorageResult<DeleteOutcome> {
        self.read_only(key)
    }

    async fn begin_upload(&self, key: &str, _: &BTreeMap<String, String>) -> StorageResult<String> {
        self.read_only(key)
    }

    async fn put_part(&self, key: &str, _: &str, _: u32, _: Bytes) -> StorageResult<UploadedPart> {
        self.read_only(key)
    }

    async fn complete_upload(&self, key: &str, _: &str, _: &[UploadedPart]) -> StorageResult<CompleteOutcome> {
        self.read_only(key)
    }

    async fn abort_upload(&self, key: &str, _: &str) -> StorageResult<AbortOutcome> {
        self.read_only(key)
    }

    async fn upload_is_open(&self, key: &str, _: &str) -> StorageResult<bool> {
        self.read_only(key)
    }

    async fn made_by(&self, key: &str, _: &str, _: &str, _: &str) -> StorageResult<Option<String>> {
        self.read_only(key)
    }
}
