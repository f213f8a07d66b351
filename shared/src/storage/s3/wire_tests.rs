//! Answers that an emulator does not give: conflicts, lost replies, errors inside a 200, cut bodies.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};

use super::*;

/// An HTTP server that gives scripted answers, one a request, and keeps each request's head.
struct Script {
    storage: S3Storage,
    requests: Arc<Mutex<Vec<String>>>,
}

fn script(answers: Vec<String>) -> Script {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let head = read_request(&mut stream);
            seen.lock().unwrap().push(head);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    Script { storage: S3Storage::new(client(&config), "bucket"), requests }
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" || line.is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    head
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn error(status: &str, code: &str) -> String {
    let body = format!("<Error><Code>{code}</Code><Message>told so</Message></Error>");
    answer(status, "x-amz-request-id: REQ1\r\n", &body)
}

fn pin() -> ObjectVersion {
    ObjectVersion { version_id: None, etag: "e1".to_owned(), last_modified_ms: 0 }
}

impl Script {
    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_conflict_is_tried_again_with_the_same_condition() {
    let conflict = || error("409 Conflict", "ConditionalRequestConflict");
    let script = script(vec![conflict(), conflict(), answer("200 OK", "etag: \"e2\"\r\n", "")]);
    let outcome = script.storage.put_if("key", PutIf::Matches("e1"), Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(outcome, PutOutcome::Written { etag: "e2".to_owned() });
    assert_eq!(script.requests().len(), 3);
    assert!(script.requests().iter().all(|head| head.to_lowercase().contains("if-match: \"e1\"")));
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_comes_back_as_lost() {
    let script = script(vec![String::new(), error("412 Precondition Failed", "PreconditionFailed")]);
    let outcome = script.storage.put_if("key", PutIf::Absent, Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(outcome, PutOutcome::Lost);
    assert!(script.requests().iter().all(|head| head.to_lowercase().contains("if-none-match: *")));
}

#[tokio::test]
async fn throttling_is_retried_by_the_client() {
    let script = script(vec![error("503 Slow Down", "SlowDown"), answer("200 OK", "etag: \"e2\"\r\n", "")]);
    assert_eq!(script.storage.put("key", Bytes::from_static(b"x")).await.unwrap(), "e2");
}

#[tokio::test]
async fn a_completion_whose_200_holds_an_error_is_no_completion() {
    let script = script(vec![error("200 OK", "InvalidPart")]);
    let parts = [UploadedPart { number: 1, etag: "p1".to_owned() }];
    let failed = script.storage.complete_upload("key", "id", &parts).await.unwrap_err().to_string();
    assert!(failed.contains("InvalidPart") && failed.contains("REQ1"), "{failed}");
}

#[tokio::test]
async fn a_completion_without_an_etag_is_no_completion() {
    let body = "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>";
    let script = script(vec![answer("200 OK", "", body)]);
    let parts = [UploadedPart { number: 1, etag: "p1".to_owned() }];
    assert!(script.storage.complete_upload("key", "id", &parts).await.is_err());
}

#[tokio::test]
async fn an_upload_that_is_gone_is_an_outcome_but_a_missing_bucket_is_an_error() {
    let gone = script(vec![error("404 Not Found", "NoSuchUpload"), error("404 Not Found", "NoSuchUpload")]);
    let parts = [UploadedPart { number: 1, etag: "p1".to_owned() }];
    assert_eq!(gone.storage.complete_upload("key", "id", &parts).await.unwrap(), CompleteOutcome::Gone);
    assert_eq!(gone.storage.abort_upload("key", "id").await.unwrap(), AbortOutcome::Gone);
    let no_bucket = || error("404 Not Found", "NoSuchBucket");
    let missing = script(vec![no_bucket(), no_bucket(), no_bucket()]);
    assert!(missing.storage.complete_upload("key", "id", &parts).await.is_err());
    assert!(missing.storage.put_if("key", PutIf::Matches("e"), Bytes::new()).await.is_err());
    assert!(missing.storage.get("key", 1).await.is_err());
}

#[tokio::test]
async fn a_body_that_is_cut_is_read_again() {
    let head = "HTTP/1.1 206 Partial Content\r\nconnection: close\r\netag: \"e1\"\r\n\
                content-range: bytes 2-5/9\r\ncontent-length: 4\r\n\r\n";
    let script = script(vec![format!("{head}ab"), format!("{head}abcd")]);
    assert_eq!(&script.storage.get_range("key", &pin(), 2..6).await.unwrap()[..], b"abcd");
    assert!(script.requests()[1].to_lowercase().contains("range: bytes=2-5"));
}

#[tokio::test]
async fn a_server_that_ignores_the_range_is_cut_to_it() {
    let script = script(vec![answer("200 OK", "etag: \"e1\"\r\n", "012345678"), answer("200 OK", "", "012")]);
    assert_eq!(&script.storage.get_range("key", &pin(), 2..6).await.unwrap()[..], b"2345");
    assert!(matches!(script.storage.get_range("key", &pin(), 2..6).await, Err(StorageError::Failed { .. })));
}

#[tokio::test]
async fn an_object_above_the_limit_is_refused_before_its_body_comes() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"e1\"\r\ncontent-length: 99999999999\r\n\r\nx";
    let script = script(vec![head.to_owned()]);
    let refused = script.storage.get("key", 1_000).await.unwrap_err().to_string();
    assert!(refused.contains("99999999999"), "{refused}");
}

#[tokio::test]
async fn parts_are_signed_whole_and_carry_no_second_checksum() {
    let script = script(vec![answer("200 OK", "etag: \"p1\"\r\n", "")]);
    script.storage.put_part("key", "id", 1, Bytes::from_static(b"rows")).await.unwrap();
    let head = script.requests()[0].to_lowercase();
    assert!(!head.contains("x-amz-checksum") && !head.contains("x-amz-trailer"), "{head}");
    let signed = head.lines().find_map(|line| line.strip_prefix("x-amz-content-sha256: ")).unwrap().trim().to_owned();
    assert_eq!(signed.len(), 64, "a hash of the body, not a word for unsigned: {signed}");
}

#[tokio::test]
async fn an_answer_that_does_not_tell_the_size_is_no_empty_file() {
    let head = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_owned();
    let script = script(vec![head]);
    let looked_up = script.storage.head("key").await;
    assert!(matches!(looked_up, Err(StorageError::Failed { .. })), "{looked_up:?}");
}
