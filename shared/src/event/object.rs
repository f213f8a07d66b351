//! Records about one object: S3 notifications and EventBridge events.

use serde_json::Value;

use super::error::{EventError, cut, quoted};
use super::{Ignored, Trigger, json, key};

/// The longest key S3 takes, in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
pub const MAX_KEY_BYTES: usize = 1_024;

const AS_S3_SENDS_IT: &str = "send the record as S3 does";

/// An object that was created. Everything but its name is a hint, absent where the event does not tell: the object is
/// looked up before it is read, and may be another by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectCreated {
    /// The storage that holds it: `s3://` and the bucket's name.
    pub bucket: String,
    /// Its key, decoded.
    pub key: String,
    /// Its version id, in a bucket that keeps versions.
    pub version_id: Option<String>,
    /// Its ETag without quotes.
    pub etag: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Orders the events about this key: see [`super::sequencer_cmp`].
    pub sequencer: Option<String>,
}

/// Decodes one record of an S3 notification. Its key is encoded.
pub(super) fn notification(record: &Value, at: &str) -> Result<Trigger, EventError> {
    let full_name = json::text(record, at, &["eventName"], AS_S3_SENDS_IT)?;
    let name = full_name.strip_prefix("s3:").unwrap_or(full_name);
    if !name.starts_with("ObjectCreated:") {
        return Ok(Trigger::Ignored(Ignored::NotCreated(cut(name))));
    }
    let bucket = json::text(record, at, &["s3", "bucket", "name"], AS_S3_SENDS_IT)?;
    let encoded = json::text(record, at, &["s3", "object", "key"], AS_S3_SENDS_IT)?;
    let decoded = key::decode(encoded).map_err(|what| {
        EventError::new(
            format!("{at}.s3.object.key"),
            format!("{what}: {}", quoted(encoded)),
            "encode the key as S3 does: UTF-8, percent-encoded, spaces as +",
        )
    })?;
    let object = json::find(record, &["s3", "object"]).unwrap_or(&Value::Null);
    created(bucket, decoded, object, &OBJECT_OF_NOTIFICATION, &format!("{at}.s3"))
}

/// Decodes an EventBridge event of S3. Its key is not encoded.
pub(super) fn event_bridge(event: &Value, detail_type: &str, at: &str) -> Result<Trigger, EventError> {
    if detail_type != "Object Created" {
        return Ok(Trigger::Ignored(Ignored::NotCreated(cut(detail_type))));
    }
    let bucket = json::text(event, at, &["detail", "bucket", "name"], AS_S3_SENDS_IT)?;
    let plain = json::text(event, at, &["detail", "object", "key"], AS_S3_SENDS_IT)?;
    let object = json::find(event, &["detail", "object"]).unwrap_or(&Value::Null);
    created(bucket, plain.to_owned(), object, &OBJECT_OF_EVENT_BRIDGE, &format!("{at}.detail"))
}

/// What an envelope calls the fields of an object.
struct Names {
    version_id: &'static str,
    etag: &'static str,
}

const OBJECT_OF_NOTIFICATION: Names = Names { version_id: "versionId", etag: "eTag" };
const OBJECT_OF_EVENT_BRIDGE: Names = Names { version_id: "version-id", etag: "etag" };

fn created(bucket: &str, key: String, object: &Value, names: &Names, at: &str) -> Result<Trigger, EventError> {
    if !key::is_bucket_name(bucket) {
        let what = format!("is not a bucket's name: {}", quoted(bucket));
        return Err(EventError::new(format!("{at}.bucket.name"), what, AS_S3_SENDS_IT));
    }
    if key.len() > MAX_KEY_BYTES {
        let what = format!("is {} bytes long, above the limit of {MAX_KEY_BYTES}", key.len());
        return Err(EventError::new(format!("{at}.object.key"), what, "no object of S3 has such a key"));
    }
    let text = |name| json::find_text(object, &[name]).map(str::to_owned);
    let etag = json::find_text(object, &[names.etag]).map(|etag| etag.trim_matches('"').to_owned());
    Ok(Trigger::Object(ObjectCreated {
        bucket: format!("s3://{bucket}"),
        key,
        version_id: text(names.version_id),
        etag: etag.filter(|etag| !etag.is_empty()),
        size: object.get("size").and_then(Value::as_u64),
        sequencer: text("sequencer"),
    }))
}
