//! Every event shape, by the samples of `infra/events`, and the rules that hold between records.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cmp::Ordering;
use std::time::Duration;

use jiff::civil::date;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

/// Reads one of the sample events.
fn sample(name: &str) -> Value {
    let path = format!("{}/../infra/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Decodes what must have an outer envelope that is known.
fn decoded(payload: &Value) -> Decoded {
    decode(payload).unwrap()
}

/// The keys of the objects created, in order.
fn keys(decoded: &Decoded) -> Vec<&str> {
    decoded.items.iter().filter_map(|item| Some(object(item)?.key.as_str())).collect()
}

fn object(item: &Item) -> Option<&ObjectCreated> {
    match &item.result {
        Ok(Trigger::Object(object)) => Some(object),
        _ => None,
    }
}

fn only_request(payload: &Value) -> Request {
    match &decoded(payload).items[..] {
        [Item { result: Ok(Trigger::Request(request)), message_id: None }] => request.clone(),
        other => panic!("not one request: {other:?}"),
    }
}

fn record(key: &str, sequencer: Option<&str>) -> Value {
    let object = json!({"key": key, "sequencer": sequencer, "eTag": sequencer});
    json!({"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "tlc"}, "object": object}})
}

fn message(id: &str, body: &Value) -> Value {
    json!({"eventSource": "aws:sqs", "messageId": id, "body": body.to_string()})
}

const PLAIN: &str = "trip-data/green_tripdata_2020-04.parquet";
const ODD: &str = "trip data/café + 50% (new)/fhvhv_tripdata_2024-01.parquet";
const ODD_EVENT_BRIDGE: &str = "trip data/50%25 + more/fhvhv_tripdata_2024-01.parquet";

#[rstest]
#[case("s3-put", false, &[PLAIN])]
#[case("s3-put-encoded-key", false, &[ODD])]
#[case("s3-two-records", false, &["trip-data/a.parquet", "trip-data/b.parquet"])]
#[case("s3-no-records", false, &[])]
#[case("s3-repeated-object", false, &["trip-data/a.parquet"])]
#[case("s3-removed", false, &[])]
#[case("s3-one-bad-record", false, &["trip-data/a.parquet", "trip-data/c.parquet"])]
#[case("s3-test", false, &[])]
#[case("eventbridge-object-created", false, &[ODD_EVENT_BRIDGE])]
#[case("eventbridge-object-deleted", false, &[])]
#[case("sqs-s3", true, &[PLAIN, "trip data/b.parquet", "trip data/c.parquet"])]
#[case("sqs-one-bad-body", true, &[PLAIN, "trip data/b.parquet", "trip data/c.parquet"])]
#[case("sqs-test", true, &[])]
#[case("sqs-eventbridge", true, &[ODD_EVENT_BRIDGE])]
#[case("sns-s3", false, &[ODD])]
#[case("sqs-sns-s3", true, &[ODD])]
#[case("on-failure", false, &[ODD])]
#[case("sqs-on-failure", true, &[ODD])]
#[case("on-success", false, &[])]
fn each_envelope_gives_its_objects_with_keys_decoded_once(
    #[case] name: &str,
    #[case] sqs: bool,
    #[case] expected: &[&str],
) {
    let decoded = decoded(&sample(name));
    assert_eq!(decoded.sqs, sqs);
    assert_eq!(keys(&decoded), expected);
    assert!(decoded.items.iter().all(|item| item.message_id.is_some() == sqs));
}

#[rstest]
#[case("s3-put-encoded-key")]
#[case("eventbridge-object-created")]
fn an_object_carries_what_the_event_tells_of_it(#[case] name: &str) {
    let decoded = decoded(&sample(name));
    let object = object(&decoded.items[0]).unwrap();
    assert_eq!(object.bucket, "s3://nyc-tlc");
    assert_eq!(object.version_id.as_deref(), Some("096fKKXTRTtl3on89fVO.nfljtsv6qko"));
    assert_eq!(object.etag.as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e-57"));
    assert_eq!(object.size, Some(473_000_000));
    assert_eq!(object.sequencer.as_deref(), Some("0066F1C2A3B4D5E6F7"));
}

#[test]
fn hints_of_another_type_are_absent_and_the_object_is_still_found() {
    let mut record = record("a", None);
    record["s3"]["object"] = json!({"key": "a", "size": "12", "eTag": "\"abc\"", "versionId": "", "sequencer": 5});
    let decoded = decoded(&json!({"Records": [record]}));
    let object = object(&decoded.items[0]).unwrap();
    assert_eq!(object.etag.as_deref(), Some("abc"));
    assert_eq!((object.size, &object.version_id, &object.sequencer), (None, &None, &None));
}

#[rstest]
#[case("s3-test", Ignored::TestEvent)]
#[case("sqs-test", Ignored::TestEvent)]
#[case("s3-removed", Ignored::NotCreated("ObjectRemoved:Delete".to_owned()))]
#[case("eventbridge-object-deleted", Ignored::NotCreated("Object Deleted".to_owned()))]
#[case("on-success", Ignored::Succeeded)]
fn what_asks_for_nothing_is_ignored_with_its_reason(#[case] name: &str, #[case] expected: Ignored) {
    let decoded = decoded(&sample(name));
    assert_eq!(decoded.items.len(), 1);
    assert_eq!(decoded.items[0].result, Ok(Trigger::Ignored(expected)));
}

#[test]
fn a_bad_record_fails_alone_and_says_where() {
    let decoded = decoded(&sample("s3-one-bad-record"));
    let error = decoded.items[1].result.clone().unwrap_err();
    assert_eq!(error.at, "$.Records[1].s3.object.key");
    assert_eq!(error.what, "is not UTF-8 once decoded: \"trip-data/%FF.parquet\"");
}

#[test]
fn a_bad_body_fails_alone_and_keeps_its_message_id() {
    let decoded = decoded(&sample("sqs-one-bad-body"));
    let ids: Vec<&str> = decoded.items.iter().map(|item| item.message_id.as_deref().unwrap()).collect();
    let common = "059f36b4-87a3-44ab-83d2-66197595167";
    let last_digits: Vec<&str> = ids.iter().map(|id| id.strip_prefix(common).unwrap()).collect();
    assert_eq!(last_digits, ["0", "1", "2", "2"]);
    let error = decoded.items[1].result.clone().unwrap_err();
    assert_eq!(error.at, "$.Records[1].body");
    assert!(error.what.starts_with("is not JSON"), "{error}");
}

#[test]
fn a_bad_record_inside_a_message_is_named_through_the_body() {
    let body = json!({"Records": [record("a", None), record("%zz", None)]});
    let decoded = decoded(&json!({"Records": [message("m", &body)]}));
    assert_eq!(keys(&decoded), ["a"]);
    let error = decoded.items[1].result.clone().unwrap_err();
    assert_eq!(error.at, "$.Records[0].body.Records[1].s3.object.key");
    assert_eq!(decoded.items[1].message_id.as_deref(), Some("m"));
}

#[test]
fn a_subscription_that_is_not_confirmed_is_an_error_that_says_so() {
    let decoded = decoded(&sample("sqs-sns-confirmation"));
    let error = decoded.items[0].result.clone().unwrap_err();
    assert_eq!(
        error.to_string(),
        "$.Records[0].body.Type is \"SubscriptionConfirmation\": confirm the topic's subscription in SNS"
    );
}

#[rstest]
#[case::record_without_source(json!({"messageId": "x"}), "$.Records[1].eventSource is missing")]
#[case::foreign_source(json!({"eventSource": "aws:kinesis"}), "$.Records[1].eventSource is \"aws:kinesis\"")]
#[case::not_an_object(json!(7), "$.Records[1].eventSource is missing")]
#[case::message_without_body(json!({"eventSource": "aws:sqs"}), "$.Records[1].body is missing")]
#[case::body_not_text(json!({"eventSource": "aws:sqs", "body": {}}), "$.Records[1].body is an object, not a string")]
#[case::notification_without_message(json!({"EventSource": "aws:sns", "Sns": {}}), "$.Records[1].Sns.Message is missing")]
#[case::no_event_name(json!({"eventSource": "aws:s3"}), "$.Records[1].eventName is missing")]
fn a_record_of_a_wrong_shape_fails_alone(#[case] wrong: Value, #[case] expected: &str) {
    let neighbour = message("good", &json!({"Records": [record("a", None)]}));
    let decoded = decoded(&json!({"Records": [neighbour, wrong]}));
    assert_eq!(keys(&decoded), ["a"]);
    let error = decoded.items[1].result.clone().unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[rstest]
#[case("", "is empty")]
#[case("50%", "has a %")]
#[case("%4", "has a %")]
#[case("%é0", "has a %")]
#[case("%C3+%A9", "is not UTF-8")]
fn a_key_that_s3_does_not_write_is_refused(#[case] encoded: &str, #[case] expected: &str) {
    let decoded = decoded(&json!({"Records": [record(encoded, None)]}));
    let error = decoded.items[0].result.clone().unwrap_err();
    assert!(error.what.starts_with(expected), "{error}");
}

#[rstest]
#[case("a%2Bb+c", "a+b c")]
#[case("%252B", "%2B")]
#[case("caf%c3%a9", "café")]
#[case("a%00b", "a\0b")]
fn plus_becomes_a_space_before_percent_is_decoded(#[case] encoded: &str, #[case] expected: &str) {
    assert_eq!(keys(&decoded(&json!({"Records": [record(encoded, None)]}))), [expected]);
}

#[rstest]
#[case("../etc")]
#[case("a/b")]
#[case("ab")]
fn a_bucket_that_would_change_the_meaning_of_a_uri_is_refused(#[case] bucket: &str) {
    let mut record = record("a", None);
    record["s3"]["bucket"]["name"] = json!(bucket);
    let decoded = decoded(&json!({"Records": [record]}));
    assert_eq!(decoded.items[0].result.clone().unwrap_err().at, "$.Records[0].s3.bucket.name");
}

#[rstest]
#[case("0A", "0A00", Ordering::Equal)]
#[case("0A", "0A01", Ordering::Less)]
#[case("0B", "0A01", Ordering::Greater)]
#[case("1", "09FF", Ordering::Greater)]
#[case("", "0", Ordering::Equal)]
fn the_shorter_sequencer_is_padded_with_zeros_on_the_right(
    #[case] a: &str,
    #[case] b: &str,
    #[case] expected: Ordering,
) {
    assert_eq!(sequencer_cmp(a, b), expected);
    assert_eq!(sequencer_cmp(b, a), expected.reverse());
}

#[rstest]
#[case::in_order(&[("a", Some("01")), ("a", Some("02"))], &[1])]
#[case::out_of_order(&[("a", Some("02")), ("a", Some("01")), ("a", Some("015"))], &[0])]
#[case::without_sequencers_the_last(&[("a", None), ("a", None)], &[1])]
#[case::other_keys_are_apart(&[("a", Some("02")), ("b", Some("01")), ("a", Some("03"))], &[1, 2])]
fn of_an_object_told_of_twice_the_newest_record_is_kept(#[case] told: &[(&str, Option<&str>)], #[case] kept: &[usize]) {
    let messages: Vec<Value> = told
        .iter()
        .enumerate()
        .map(|(index, (key, sequencer))| message(&index.to_string(), &json!({"Records": [record(key, *sequencer)]})))
        .collect();
    let decoded = decoded(&json!({"Records": messages}));
    for (index, item) in decoded.items.iter().enumerate() {
        match kept.contains(&index) {
            true => assert!(object(item).is_some(), "{index}"),
            false => assert_eq!(item.result, Ok(Trigger::Ignored(Ignored::Duplicate)), "{index}"),
        }
        assert_eq!(item.message_id, Some(index.to_string()));
    }
}

#[rstest]
#[case("scheduled")]
#[case("scheduler")]
#[case("manual-incremental")]
fn a_schedule_asks_for_what_is_not_published_yet(#[case] name: &str) {
    assert_eq!(only_request(&sample(name)), Request::default());
}

#[test]
fn a_manual_event_gives_every_field() {
    let expected = Request {
        intent: Intent::Reprocess,
        dataset: Some("fhvhv".to_owned()),
        pattern: Some("fhvhv_tripdata_2024-*.parquet".to_owned()),
        modified_within: Some(Duration::from_secs(7 * 86_400)),
        from: Some(date(2024, 1, 1)),
        to: Some(date(2024, 12, 31)),
        limit: Some(10),
        stale: false,
        dry_run: true,
        confirm: false,
        runs: Vec::new(),
    };
    assert_eq!(only_request(&sample("manual-reprocess")), expected);
}

#[rstest]
#[case("manual-test-subset", Intent::TestSubset)]
#[case("manual-prune", Intent::Prune)]
#[case("manual-prune-confirmed", Intent::Prune)]
#[case("manual-heal", Intent::Heal)]
#[case("manual-redrive", Intent::Redrive)]
fn each_intent_has_its_word(#[case] name: &str, #[case] intent: Intent) {
    let request = only_request(&sample(name));
    assert_eq!(request.intent, intent);
    assert_eq!(only_request(&request.to_event()), request);
}

#[test]
fn a_request_for_stale_sources_reprocesses_them_whether_it_says_so_or_not() {
    let expected = Request { intent: Intent::Reprocess, stale: true, ..Request::default() };
    for intent in ["", "reprocess"] {
        assert_eq!(only_request(&json!({"intent": intent, "stale": true})), expected);
    }
    assert_eq!(only_request(&expected.to_event()), expected);
    assert_eq!(only_request(&json!({"intent": "", "stale": false})), Request::default());
}

#[test]
fn a_null_in_a_request_is_an_absent_field_and_a_run_named_twice_is_one() {
    let event = json!({"intent": "redrive", "dataset": null, "limit": null, "dry_run": null, "runs": ["a", "b", "a"]});
    let expected = Request { intent: Intent::Redrive, runs: vec!["a".into(), "b".into()], ..Request::default() };
    assert_eq!(only_request(&event), expected);
}

#[test]
fn a_request_may_come_over_a_queue() {
    let decoded = decoded(&json!({"Records": [message("m", &sample("manual-heal"))]}));
    assert!(matches!(&decoded.items[0].result, Ok(Trigger::Request(Request { intent: Intent::Heal, .. }))));
    assert_eq!(decoded.items[0].message_id.as_deref(), Some("m"));
}

#[rstest]
#[case(json!({"intent": "reprocess", "datset": "x", "Limit": 1}), "$ has keys that a request does not: \"Limit\", \"datset\": leave them out; the keys are intent,")]
#[case(json!({"intent": "rebuild"}), "$.intent is \"rebuild\": it is \"\", \"reprocess\",")]
#[case(json!({"intent": null}), "$.intent is null, not a string")]
#[case(json!({"intent": 1}), "$.intent is a number, not a string")]
#[case(json!({"dataset": "x"}), "$.intent is missing")]
#[case(json!({"intent": "", "limit": "10"}), "$.limit is a string, not a whole number")]
#[case(json!({"intent": "", "limit": 1.5}), "$.limit is 1.5, not a whole number above 0")]
#[case(json!({"intent": "", "limit": -1}), "$.limit is -1, not a whole number above 0")]
#[case(json!({"intent": "", "limit": 0}), "$.limit is 0, not a whole number above 0")]
#[case(json!({"intent": "", "dry_run": "true"}), "$.dry_run is a string, not a boolean")]
#[case(json!({"intent": "", "dataset": "../x"}), "$.dataset is \"../x\"")]
#[case(json!({"intent": "", "dataset": ""}), "$.dataset is empty")]
#[case(json!({"intent": "", "pattern": "a[.parquet"}), "$.pattern is no glob (")]
#[case(json!({"intent": "", "pattern": ["a"]}), "$.pattern is an array, not a string")]
#[case(json!({"intent": "", "modified_within": "7 daze"}), "$.modified_within is \"7 daze\", not a duration")]
#[case(json!({"intent": "", "modified_within": 7}), "$.modified_within is a number, not a string")]
#[case(json!({"intent": "", "modified_within": "99999999999999999999d"}), "$.modified_within is")]
#[case(json!({"intent": "", "from": "2015-02-29"}), "$.from is \"2015-02-29\", not a date")]
#[case(json!({"intent": "", "from": "2015-01-01T10:00"}), "$.from is \"2015-01-01T10:00\", not a date")]
#[case(json!({"intent": "", "to": "20150101"}), "$.to is \"20150101\", not a date")]
#[case(json!({"intent": "", "from": "2015-02-01", "to": "2015-01-31"}), "$.from is 2015-02-01, after to, 2015-01-31")]
#[case(json!({"intent": "", "runs": ["a"]}), "$.runs has no meaning with intent \"\"")]
#[case(json!({"intent": "heal", "pattern": "*"}), "$.pattern has no meaning with intent \"heal\"")]
#[case(json!({"intent": "reprocess", "confirm": true}), "$.confirm has no meaning with intent \"reprocess\"")]
#[case(json!({"intent": "prune", "confirm": "yes"}), "$.confirm is a string, not a boolean")]
#[case(json!({"intent": "prune", "modified_within": "7d"}), "$.modified_within has no meaning")]
#[case(json!({"intent": "", "stale": "yes"}), "$.stale is a string, not a boolean")]
#[case(json!({"intent": "prune", "stale": true}), "$.stale has no meaning with intent \"prune\"")]
#[case(json!({"intent": "test_subset", "stale": true}), "$.stale has no meaning with intent \"test_subset\"")]
#[case(json!({"intent": "redrive"}), "$.runs names no run")]
#[case(json!({"intent": "redrive", "runs": "a"}), "$.runs is a string, not an array")]
#[case(json!({"intent": "redrive", "runs": [1]}), "$.runs[0] is a number, not a string")]
#[case(json!({"intent": "redrive", "runs": ["a/../b"]}), "$.runs[0] is \"a/../b\", not a run id")]
#[case(json!({}), "$ is an empty object")]
#[case(json!(null), "$ is null, not an event")]
#[case(json!({"hello": 1}), "$ is no event known, its fields begin with \"hello\"")]
#[case(json!({"Records": {}}), "$.Records is an object, not an array")]
#[case(json!({"detail-type": "Object Created", "source": "mine"}), "$.detail-type is \"Object Created\" of \"mine\"")]
#[case(json!({"requestPayload": 5}), "$.requestPayload is a number, not an event")]
fn what_is_wrong_with_a_payload_is_said_with_its_place(#[case] payload: Value, #[case] expected: &str) {
    let error = decode(&payload).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn from_and_to_may_be_the_same_day() {
    let request = only_request(&json!({"intent": "", "from": "2015-01-01", "to": "2015-01-01"}));
    assert_eq!((request.from, request.to), (Some(date(2015, 1, 1)), Some(date(2015, 1, 1))));
}

/// An S3 event with `count` wrappers around it.
fn wrapped(count: usize) -> Value {
    let event = json!({"Records": [record("a", None)]});
    (0..count).fold(event, |inner, _| json!({"requestPayload": inner}))
}

#[test]
fn wrappers_are_opened_up_to_the_limit() {
    assert_eq!(keys(&decoded(&wrapped(MAX_WRAPPERS))), ["a"]);
    let error = decode(&wrapped(MAX_WRAPPERS + 1)).unwrap_err();
    assert!(error.what.contains("other envelopes"), "{error}");
}

#[test]
fn too_long_a_body_and_too_many_records_fail_their_message_alone() {
    let padding = " ".repeat(MAX_BODY_BYTES);
    let long = json!({"eventSource": "aws:sqs", "messageId": "0", "body": format!("{{\"intent\": \"\"}}{padding}")});
    let many = message("1", &json!({"Records": vec![0; MAX_RECORDS + 1]}));
    let good = message("2", &json!({"Records": [record("a", None)]}));
    let decoded = decoded(&json!({"Records": [long, many, good]}));
    let failed: Vec<bool> = decoded.items.iter().map(|item| item.result.is_err()).collect();
    assert_eq!(failed, [true, true, false]);
}

#[test]
fn above_the_limit_of_items_each_further_message_fails_and_none_is_lost() {
    let full = json!({"Records": vec![0; MAX_RECORDS]});
    let count = MAX_ITEMS / MAX_RECORDS + 2;
    let mut messages: Vec<Value> = (0..count - 1).map(|id| message(&id.to_string(), &full)).collect();
    messages.push(message(&(count - 1).to_string(), &json!({"intent": ""})));
    let decoded = decoded(&json!({"Records": messages}));
    assert_eq!(decoded.items.len(), MAX_ITEMS + 2);
    assert!(decoded.items.iter().all(|item| item.result.is_err()));
    assert_eq!(decoded.items.last().unwrap().message_id, Some((count - 1).to_string()));
}

#[test]
fn a_key_longer_than_s3_allows_is_refused() {
    let payload = |bytes: usize| json!({"Records": [record(&"k".repeat(bytes), None)]});
    assert_eq!(keys(&decoded(&payload(MAX_KEY_BYTES))).len(), 1);
    let decoded = decoded(&payload(MAX_KEY_BYTES + 1));
    assert_eq!(decoded.items[0].result.clone().unwrap_err().what, "is 1025 bytes long, above the limit of 1024");
}

#[test]
fn a_message_id_outside_sqs_is_not_one_to_answer_with() {
    let mut record = record("a", None);
    record["messageId"] = json!("m");
    assert_eq!(decoded(&json!({"Records": [record]})).items[0].message_id, None);
}

#[test]
fn a_request_with_too_long_a_text_or_too_many_runs_is_refused() {
    let long = decode(&json!({"intent": "", "pattern": "p".repeat(1_025)})).unwrap_err();
    assert_eq!(long.what, "is 1025 bytes long, above the limit of 1024");
    let many = decode(&json!({"intent": "redrive", "runs": vec!["r"; MAX_RUNS + 1]})).unwrap_err();
    assert_eq!(many.what, "has 1001 entries, above the limit of 1000");
}

#[test]
fn an_error_repeats_only_the_beginning_of_what_it_found() {
    let error = decode(&json!({"intent": "x".repeat(100_000)})).unwrap_err();
    assert!(error.to_string().len() < 400);
    let permanent = crate::Error::from(error);
    assert!(permanent.is_permanent());
    assert!(permanent.to_string().starts_with("event $.intent: is \"xxx"), "{permanent}");
}
