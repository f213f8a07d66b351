//! What holds for any key and any JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::date;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// Encodes a key as S3 does in its notifications: a space is `+`, slashes stay, other bytes are `%XX`.
fn encoded_as_s3_does(key: &str) -> String {
    key.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b'/' | b'-' | b'_' | b'.' | b'*' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn notification(encoded: &str) -> Value {
    let s3 = json!({"bucket": {"name": "tlc"}, "object": {"key": encoded}});
    json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]})
}

fn event_bridge(key: &str) -> Value {
    let detail = json!({"bucket": {"name": "tlc"}, "object": {"key": key}});
    json!({"detail-type": "Object Created", "source": "aws.s3", "detail": detail})
}

fn over_sqs(body: &str) -> Value {
    json!({"eventSource": "aws:sqs", "messageId": "m", "body": body})
}

fn only_key(payload: &Value) -> String {
    match &decode(payload).unwrap().items[..] {
        [Item { result: Ok(Trigger::Object(object)), .. }] => object.key.clone(),
        other => panic!("not one object: {other:?}"),
    }
}

/// Keys with much of what is easily decoded wrong.
fn any_key() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("+".to_owned()),
        Just("%".to_owned()),
        Just("%2B".to_owned()),
        Just("%20".to_owned()),
        Just(" ".to_owned()),
        Just("/".to_owned()),
        Just("é".to_owned()),
        any::<char>().prop_map(String::from),
        "[a-z0-9_.-]{1,8}",
    ];
    vec(piece, 1..40).prop_map(|pieces| pieces.concat())
}

/// JSON whose names and strings are those that the decoder looks for, so that its depths are reached.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "Records",
        "eventSource",
        "EventSource",
        "eventName",
        "messageId",
        "body",
        "Sns",
        "Message",
        "Type",
        "TopicArn",
        "Event",
        "requestPayload",
        "requestContext",
        "condition",
        "detail-type",
        "source",
        "detail",
        "bucket",
        "name",
        "object",
        "key",
        "s3",
        "size",
        "sequencer",
        "intent",
        "dataset",
        "pattern",
        "modified_within",
        "from",
        "to",
        "limit",
        "stale",
        "dry_run",
        "confirm",
        "runs",
    ]);
    let word = prop::sample::select(vec![
        "aws:s3",
        "aws:sqs",
        "aws:sns",
        "aws.s3",
        "aws.events",
        "ObjectCreated:Put",
        "Object Created",
        "Scheduled Event",
        "Notification",
        "s3:TestEvent",
        "Success",
        "",
        "reprocess",
        "redrive",
        "7d",
        "2015-01-01",
        "%",
        "+",
        "[",
        "tlc",
        "{\"Records\":[{}]}",
        "{\"intent\":\"\"}",
        "é",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let fields = vec((name.clone(), inner.clone()), 0..8);
        let object = fields.prop_map(|fields| {
            Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
        });
        prop_oneof![
            2 => object.clone(),
            1 => object.prop_map(|inner| Value::String(inner.to_string())),
            1 => vec(inner, 0..6).prop_map(Value::Array),
        ]
    })
}

/// Requests for sources; those for runs have few fields.
fn any_request() -> impl Strategy<Value = Request> {
    let intent = prop::sample::select(vec![Intent::Incremental, Intent::Reprocess, Intent::TestSubset]);
    let text = prop::option::of("[A-Za-z0-9_-]{1,20}");
    let window = prop::option::of((1..=3_000_000_000_u64).prop_map(Duration::from_secs));
    let days = prop::option::of((0_i32..200_000, 0_i32..200_000));
    let limit = prop::option::of(1..=u64::MAX);
    (intent, text.clone(), text, window, days, limit, any::<bool>(), any::<bool>()).prop_map(
        |(intent, dataset, pattern, modified_within, days, limit, stale, dry_run)| {
            let stale = stale && intent == Intent::Reprocess;
            let day = |count: i32| date(1970, 1, 1).checked_add(i64::from(count).days()).unwrap();
            let from = days.map(|(start, _)| day(start));
            let to = days.map(|(start, length)| day(start + length));
            Request { intent, dataset, pattern, modified_within, from, to, limit, stale, dry_run, ..Request::default() }
        },
    )
}

proptest! {
    #[test]
    fn any_key_survives_the_encoding_of_s3_and_is_left_alone_by_event_bridge(key in any_key()) {
        prop_assume!(key.len() <= MAX_KEY_BYTES);
        prop_assert_eq!(only_key(&notification(&encoded_as_s3_does(&key))), key.clone());
        prop_assert_eq!(only_key(&event_bridge(&key)), key.clone());
        let queued = json!({"Records": [over_sqs(&event_bridge(&key).to_string())]});
        prop_assert_eq!(only_key(&queued), key);
    }

    #[test]
    fn no_json_makes_the_decoder_panic_and_every_error_is_short(payload in any_json()) {
        let errors = match decode(&payload) {
            Ok(decoded) => decoded.items.into_iter().filter_map(|item| item.result.err()).collect(),
            Err(error) => vec![error],
        };
        prop_assert!(errors.iter().all(|error| error.to_string().len() < 4_000));
    }

    #[test]
    fn a_message_with_anything_in_it_does_not_fail_its_neighbours(body in any_json(), text in any::<String>()) {
        let first = notification("first").to_string();
        let last = notification("last").to_string();
        let messages = [over_sqs(&first), over_sqs(&body.to_string()), over_sqs(&text), over_sqs(&last)];
        let decoded = decode(&json!({"Records": messages})).unwrap();
        let is_object = |item: &Item, key: &str| matches!(&item.result, Ok(Trigger::Object(o)) if o.key == key);
        prop_assert!(decoded.sqs);
        prop_assert!(is_object(decoded.items.first().unwrap(), "first"));
        prop_assert!(is_object(decoded.items.last().unwrap(), "last"));
        prop_assert!(decoded.items.iter().all(|item| item.message_id.as_deref() == Some("m")));
    }

    #[test]
    fn a_request_written_as_an_event_is_read_as_the_same_request(request in any_request()) {
        let item = Item { message_id: None, result: Ok(Trigger::Request(request.clone())) };
        prop_assert_eq!(decode(&request.to_event()).unwrap(), Decoded { sqs: false, items: vec![item] });
    }

    #[test]
    fn sequencers_have_one_order(a in "[0-9A-F]{0,18}", b in "[0-9A-F]{0,18}", c in "[0-9A-F]{0,18}") {
        prop_assert_eq!(sequencer_cmp(&a, &b), sequencer_cmp(&b, &a).reverse());
        if sequencer_cmp(&a, &b).is_le() && sequencer_cmp(&b, &c).is_le() {
            prop_assert!(sequencer_cmp(&a, &c).is_le());
        }
    }
}
