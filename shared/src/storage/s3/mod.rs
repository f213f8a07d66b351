//! Objects in S3, through `aws-sdk-s3`.
//!
//! | condition | S3's answer | here |
//! |---|---|---|
//! | put if absent (`If-None-Match: *`) | 412: an object is there | `Lost` |
//! | put if the ETag matches (`If-Match`) | 412: another is there; 404: none is | `Lost` |
//! | either | 409: another conditional write is under way | tried again, then `Failed` |
//! | conditional delete (`If-Match`) | 412; 404 | `Changed`; `Gone` |
//! | pinned read (version id, else `If-Match`) | 412; 404 | `Changed`; `NotFound` |
//!
//! **A lost condition may be one's own write.** When the reply to a write is lost, the SDK sends the write again, and
//! the second attempt meets the first one's object: the caller gets `Lost`, and so do conditional deletes get `Gone`.
//! Read back and compare before taking another for the winner.
//!
//! ETags are without quotes on this side. Encryption is the bucket's default; with SSE-KMS an ETag is not an MD5, which
//! nothing here relies on.

mod errors;
mod stores;
#[cfg(test)]
mod wire_tests;

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, EncodingType};
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::aws::{Pauses, causes};
use super::{
    AbortOutcome, CompleteOutcome, DeleteOutcome, Object, ObjectMeta, ObjectVersion, Page, PutIf, PutOutcome, Storage,
    StorageError, StorageResult, UploadedPart, bad_part_number, beyond_end, too_large,
};
use errors::{Fault, describe};
pub use stores::{S3Stores, client};

/// How often a conditional write that met another (409) is sent before it is given up.
const CONFLICT_ATTEMPTS: u32 = 8;
/// How often a read starts again whose body was cut: the SDK retries only until the body begins.
const BODY_ATTEMPTS: u32 = 4;
/// The largest object read whole for a range of it, where a server ignores ranges: 64 MiB.
const MAX_WHOLE_BYTES: u64 = 64 * 1024 * 1024;
/// A versioned bucket's answer for objects from before it kept versions. It names no one version: a later write
/// while versioning is suspended has it too.
const NULL_VERSION: &str = "null";

/// One bucket.
#[derive(Debug, Clone)]
pub struct S3Storage {
    client: Client,
    bucket: String,
}

impl S3Storage {
    /// The bucket of this name, over a client as [`client`] makes it.
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
    }

    fn failed<E>(&self, operation: &'static str, key: &str, error: &SdkError<E, HttpResponse>) -> StorageError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.problem(operation, key, describe(error))
    }

    fn problem(&self, operation: &'static str, key: &str, problem: impl Into<String>) -> StorageError {
        StorageError::Failed { operation, uri: self.uri(key), problem: problem.into() }
    }

    fn etag(&self, operation: &'static str, key: &str, etag: Option<&str>) -> StorageResult<String> {
        match etag.map(unquoted) {
            Some(etag) if !etag.is_empty() => Ok(etag),
            _ => Err(self.problem(operation, key, "the answer has no ETag")),
        }
    }

    /// What a pinned call's error means.
    fn pinned<E>(&self, operation: &'static str, key: &str, error: &SdkError<E, HttpResponse>) -> StorageError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match Fault::of(error) {
            Fault::NoSuchKey => StorageError::NotFound { uri: self.uri(key) },
            Fault::ConditionFailed => StorageError::Changed { uri: self.uri(key) },
            _ => self.failed(operation, key, error),
        }
    }

    /// An empty range, which S3's `Range` cannot say: looks the version up instead.
    async fn get_nothing(&self, key: &str, version: &ObjectVersion, at: u64) -> StorageResult<Bytes> {
        let request = self.client.head_object().bucket(&self.bucket).key(key);
        let request = match &version.version_id {
            Some(version_id) => request.version_id(version_id),
            None => request.if_match(quoted(&version.etag)),
        };
        let found = request.send().await.map_err(|error| self.pinned("get_range", key, &error))?;
        let size = length(found.content_length());
        if at > size {
            return Err(self.problem("get_range", key, beyond_end(&(at..at), size)));
        }
        Ok(Bytes::new())
    }

    async fn get_range_once(
        &self,
        key: &str,
        version: &ObjectVersion,
        range: &Range<u64>,
    ) -> StorageResult<Result<Bytes, String>> {
        let last = range.end.saturating_sub(1);
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let request = request.range(format!("bytes={}-{last}", range.start));
        let request = match &version.version_id {
            Some(version_id) => request.version_id(version_id),
            None => request.if_match(quoted(&version.etag)),
        };
        let answer = request.send().await.map_err(|error| match Fault::of(&error) {
            Fault::BeyondEnd => self.problem("get_range", key, "the range starts after the object's end"),
            _ => self.pinned("get_range", key, &error),
        })?;
        let offered = length(answer.content_length());
        // HTTP lets a server ignore `Range` and answer everything; S3 does not, but an emulator does for versions.
        let is_whole = answer.content_range().is_none();
        if is_whole && offered > MAX_WHOLE_BYTES {
            return Err(self.problem(
                "get_range",
                key,
                "the server ignores ranges, and the object is too large to cut",
            ));
        }
        let start = if is_whole { range.start } else { 0 };
        let end = start.saturating_add(range.end.saturating_sub(range.start));
        if (is_whole && offered < end) || (!is_whole && offered != end) {
            let problem = format!("{offered} bytes were answered for {}..{}", range.start, range.end);
            return Err(self.problem("get_range", key, problem));
        }
        match answer.body.collect().await {
            Ok(body) => Ok(cut(&body.into_bytes(), start, end)),
            Err(cut) => Ok(Err(causes(&cut))),
        }
    }
}

#[async_trait]
impl Storage for S3Storage {
    fn uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    async fn head(&self, key: &str) -> StorageResult<Option<ObjectMeta>> {
        let answer = match self.client.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(answer) => answer,
            Err(error) if Fault::of(&error) == Fault::NoSuchKey => return Ok(None),
            Err(error) => return Err(self.failed("head", key, &error)),
        };
        if answer.content_length().is_none() {
            // Taken for an empty file, it would fail a run for good.
            return Err(self.problem("head", key, "the answer does not tell the size"));
        }
        let etag = self.etag("head", key, answer.e_tag())?;
        Ok(Some(meta_of_head(key, &answer, etag)))
    }

    async fn get(&self, key: &str, max_bytes: u64) -> StorageResult<Option<Object>> {
        let mut pauses = Pauses::new(BODY_ATTEMPTS);
        loop {
            let answer = match self.client.get_object().bucket(&self.bucket).key(key).send().await {
                Ok(answer) => answer,
                Err(error) if Fault::of(&error) == Fault::NoSuchKey => return Ok(None),
                Err(error) => return Err(self.failed("get", key, &error)),
            };
            let etag = self.etag("get", key, answer.e_tag())?;
            let meta = meta_of_get(key, &answer, etag);
            if meta.size > max_bytes {
                return Err(self.problem("get", key, too_large(meta.size, max_bytes)));
            }
            match answer.body.collect().await {
                Ok(body) => return Ok(Some(Object { meta, bytes: body.into_bytes() })),
                Err(cut) if !pauses.pause().await => {
                    return Err(self.problem("get", key, causes(&cut)));
                }
                Err(_) => {}
            }
        }
    }

    async fn get_range(&self, key: &str, version: &ObjectVersion, range: Range<u64>) -> StorageResult<Bytes> {
        if range.start > range.end {
            return Err(self.problem("get_range", key, "a range starts before it ends"));
        }
        if range.is_empty() {
            return self.get_nothing(key, version, range.start).await;
        }
        let mut pauses = Pauses::new(BODY_ATTEMPTS);
        loop {
            match self.get_range_once(key, version, &range).await? {
                Ok(bytes) => return Ok(bytes),
                Err(cut) if !pauses.pause().await => return Err(self.problem("get_range", key, cut)),
                Err(_) => {}
            }
        }
    }

    async fn list(&self, prefix: &str, next: Option<&str>) -> StorageResult<Page> {
        // Encoded, because XML cannot hold every key.
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let request = request.encoding_type(EncodingType::Url).set_continuation_token(next.map(str::to_owned));
        let answer = request.send().await.map_err(|error| self.failed("list", prefix, &error))?;
        let is_encoded = answer.encoding_type().is_some();
        let mut objects = Vec::with_capacity(answer.contents().len());
        for listed in answer.contents() {
            let Some(name) = listed.key() else {
                return Err(self.problem("list", prefix, "the answer has an object without a key"));
            };
            let key = if is_encoded { decoded(name) } else { Some(name.to_owned()) };
            let Some(key) = key else {
                return Err(self.problem("list", prefix, format!("the key {name} is not UTF-8")));
            };
            let etag = self.etag("list", &key, listed.e_tag())?;
            let version = ObjectVersion { version_id: None, etag, last_modified_ms: millis(listed.last_modified()) };
            objects.push(ObjectMeta { key, size: length(listed.size()), version, metadata: BTreeMap::new() });
        }
        let next = match answer.is_truncated() {
            Some(true) => answer.next_continuation_token().map(str::to_owned),
            _ => None,
        };
        Ok(Page { objects, next })
    }

    async fn put(&self, key: &str, bytes: Bytes) -> StorageResult<String> {
        let request = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes));
        let answer = request.send().await.map_err(|error| self.failed("put", key, &error))?;
        self.etag("put", key, answer.e_tag())
    }

    async fn put_if(&self, key: &str, condition: PutIf<'_>, bytes: Bytes) -> StorageResult<PutOutcome> {
        let mut pauses = Pauses::new(CONFLICT_ATTEMPTS);
        loop {
            let request = self.client.put_object().bucket(&self.bucket).key(key);
            let request = match condition {
                PutIf::Absent => request.if_none_match("*"),
                PutIf::Matches(etag) => request.if_match(quoted(etag)),
            };
            let error = match request.body(ByteStream::from(bytes.clone())).send().await {
                Ok(answer) => {
                    let etag = self.etag("put_if", key, answer.e_tag())?;
                    return Ok(PutOutcome::Written { etag });
                }
                Err(error) => error,
            };
            match (Fault::of(&error), condition) {
                (Fault::ConditionFailed, _) | (Fault::NoSuchKey, PutIf::Matches(_)) => return Ok(PutOutcome::Lost),
                (Fault::Conflict, _) if pauses.pause().await => {}
                _ => return Err(self.failed("put_if", key, &error)),
            }
        }
    }

    async fn delete(&self, key: &str) -> StorageResult<()> {
        match self.client.delete_object().bucket(&self.bucket).key(key).send().await {
            Err(error) if Fault::of(&error) != Fault::NoSuchKey => Err(self.failed("delete", key, &error)),
            _ => Ok(()),
        }
    }

    async fn delete_if(&self, key: &str, etag: &str) -> StorageResult<DeleteOutcome> {
        let mut pauses = Pauses::new(CONFLICT_ATTEMPTS);
        loop {
            let request = self.client.delete_object().bucket(&self.bucket).key(key).if_match(quoted(etag));
            let Err(error) = request.send().await else {
                return Ok(DeleteOutcome::Deleted);
            };
            match Fault::of(&error) {
                Fault::ConditionFailed => return Ok(DeleteOutcome::Changed),
                Fault::NoSuchKey => return Ok(DeleteOutcome::Gone),
                Fault::Conflict if pauses.pause().await => {}
                _ => return Err(self.failed("delete_if", key, &error)),
            }
        }
    }

    async fn begin_upload(&self, key: &str, metadata: &BTreeMap<String, String>) -> StorageResult<String> {
        let metadata = metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let request = self.client.create_multipart_upload().bucket(&self.bucket).key(key);
        let answer = request.set_metadata(Some(metadata)).send().await;
        let answer = answer.map_err(|error| self.failed("begin_upload", key, &error))?;
        let id = answer.upload_id.filter(|id| !id.is_empty());
        id.ok_or_else(|| self.problem("begin_upload", key, "the answer has no upload id"))
    }

    async fn put_part(&self, key: &str, upload_id: &str, number: u32, bytes: Bytes) -> StorageResult<UploadedPart> {
        let part_number = i32::try_from(number).ok().filter(|number| (1..=10_000).contains(number));
        let part_number = part_number.ok_or_else(|| self.problem("put_part", key, bad_part_number(number)))?;
        let request = self.client.upload_part().bucket(&self.bucket).key(key).upload_id(upload_id);
        let answer = request.part_number(part_number).body(ByteStream::from(bytes)).send().await;
        let answer = answer.map_err(|error| self.failed("put_part", key, &error))?;
        Ok(UploadedPart { number, etag: self.etag("put_part", key, answer.e_tag())? })
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[UploadedPart],
    ) -> StorageResult<CompleteOutcome> {
        let mut completed = Vec::with_capacity(parts.len());
        for part in parts {
            let number = i32::try_from(part.number);
            let number = number.map_err(|_| self.problem("complete_upload", key, bad_part_number(part.number)))?;
            completed.push(CompletedPart::builder().part_number(number).e_tag(quoted(&part.etag)).build());
        }
        let upload = CompletedMultipartUpload::builder().set_parts(Some(completed)).build();
        let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(key);
        match request.upload_id(upload_id).multipart_upload(upload).send().await {
            Ok(answer) => {
                let etag = self.etag("complete_upload", key, answer.e_tag())?;
                Ok(CompleteOutcome::Completed { etag })
            }
            Err(error) if Fault::of(&error) == Fault::NoSuchUpload => Ok(CompleteOutcome::Gone),
            Err(error) => Err(self.failed("complete_upload", key, &error)),
        }
    }

    async fn abort_upload(&self, key: &str, upload_id: &str) -> StorageResult<AbortOutcome> {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload_id);
        match request.send().await {
            Ok(_) => Ok(AbortOutcome::Aborted),
            Err(error) if Fault::of(&error) == Fault::NoSuchUpload => Ok(AbortOutcome::Gone),
            Err(error) => Err(self.failed("abort_upload", key, &error)),
        }
    }

    async fn upload_is_open(&self, key: &str, upload_id: &str) -> StorageResult<bool> {
        let request = self.client.list_parts().bucket(&self.bucket).key(key).upload_id(upload_id).max_parts(1);
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if Fault::of(&error) == Fault::NoSuchUpload => Ok(false),
            Err(error) => Err(self.failed("upload_is_open", key, &error)),
        }
    }

    async fn made_by(&self, key: &str, _upload_id: &str, name: &str, value: &str) -> StorageResult<Option<String>> {
        let meta = self.head(key).await?;
        Ok(meta
            .filter(|meta| meta.metadata.get(name).is_some_and(|found| found == value))
            .map(|meta| meta.version.etag))
    }
}

/// The bytes asked for of those answered. A body shorter than it claimed counts as cut on the way.
fn cut(body: &Bytes, start: u64, end: u64) -> Result<Bytes, String> {
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if start <= end && end <= body.len() => Ok(body.slice(start..end)),
        _ => Err(format!("the body ended after {} bytes of {end}", body.len())),
    }
}

fn meta_of_head(key: &str, answer: &HeadObjectOutput, etag: String) -> ObjectMeta {
    let metadata = answer.metadata().into_iter().flatten();
    ObjectMeta {
        key: key.to_owned(),
        size: length(answer.content_length()),
        version: version(answer.version_id(), etag, answer.last_modified()),
        metadata: metadata.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

fn meta_of_get(key: &str, answer: &GetObjectOutput, etag: String) -> ObjectMeta {
    let metadata = answer.metadata().into_iter().flatten();
    ObjectMeta {
        key: key.to_owned(),
        size: length(answer.content_length()),
        version: version(answer.version_id(), etag, answer.last_modified()),
        metadata: metadata.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

fn version(version_id: Option<&str>, etag: String, last_modified: Option<&DateTime>) -> ObjectVersion {
    let version_id = version_id.filter(|id| *id != NULL_VERSION).map(str::to_owned);
    ObjectVersion { version_id, etag, last_modified_ms: millis(last_modified) }
}

fn millis(time: Option<&DateTime>) -> i64 {
    time.and_then(|time| time.to_millis().ok()).unwrap_or(0)
}

fn length(bytes: Option<i64>) -> u64 {
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// A key of a listing, which encodes a space as `+`.
fn decoded(name: &str) -> Option<String> {
    let spaces = name.replace('+', "%20");
    percent_decode_str(&spaces).decode_utf8().ok().map(|key| key.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_key_is_decoded_once() {
        assert_eq!(decoded("trip+data/a%2Bb%2520.csv").as_deref(), Some("trip data/a+b%20.csv"));
        assert_eq!(decoded("%ff"), None);
    }

    #[test]
    fn etags_have_quotes_only_on_the_wire() {
        assert_eq!(unquoted("\"abc-2\""), "abc-2");
        assert_eq!(quoted("abc-2"), "\"abc-2\"");
    }

    #[test]
    fn the_null_version_pins_nothing() {
        assert_eq!(version(Some("null"), "e".to_owned(), None).version_id, None);
        assert_eq!(version(Some("v1"), "e".to_owned(), None).version_id.as_deref(), Some("v1"));
    }
}
