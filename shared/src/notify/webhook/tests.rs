//! A webhook against a server on this machine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rstest::rstest;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn message() -> Message {
    Message {
        run_id: "r".into(),
        dataset: "d".into(),
        status: "complete",
        subject: "s".into(),
        text: "t".into(),
        slack: json!({"text": "d: a is complete"}),
    }
}

/// Answers each request with the next of these statuses, and keeps what was sent.
async fn server(statuses: Vec<u16>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&heard);
    tokio::spawn(async move {
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !String::from_utf8_lossy(&request).contains("is complete\"}") {
                let mut buffer = [0_u8; 4_096];
                let read = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
            }
            keep.lock().unwrap().push(String::from_utf8(request).unwrap());
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (format!("http://{address}/services/T0/B0/secret"), heard)
}

#[tokio::test]
async fn a_message_is_posted_as_json() {
    let (url, heard) = server(vec![200]).await;
    let webhook = Webhook::new(FixedUrl::new(&url).unwrap());
    webhook.tell(&message()).await.unwrap();
    let heard = heard.lock().unwrap();
    let lower = heard[0].to_lowercase();
    assert!(heard[0].starts_with("POST /services/T0/B0/secret HTTP/1.1\r\n"), "{}", heard[0]);
    assert!(lower.contains("content-type: application/json\r\n"), "{lower}");
    assert!(heard[0].ends_with(r#"{"text":"d: a is complete"}"#), "{}", heard[0]);
}

#[rstest]
#[case(500, false)]
#[case(429, false)]
#[case(302, false)]
#[case(404, false)]
#[case(400, true)]
#[case(413, true)]
#[tokio::test]
async fn a_status_tells_whether_to_try_again_and_no_problem_holds_the_url(#[case] status: u16, #[case] refused: bool) {
    let (url, _) = server(vec![status]).await;
    let webhook = Webhook::new(FixedUrl::new(&url).unwrap());
    let problem = webhook.tell(&message()).await.unwrap_err();
    assert_eq!(matches!(problem, Problem::Refused(_)), refused, "{problem}");
    assert!(!format!("{problem:?} {webhook:?}").contains("secret"), "{problem:?} {webhook:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_problem_that_does_not_name_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret", listener.local_addr().unwrap());
    drop(listener);
    let problem = Webhook::new(FixedUrl::new(&url).unwrap()).tell(&message()).await.unwrap_err();
    assert_eq!(problem, Problem::Down("the webhook: it cannot be reached".into()));
}

/// A URL that is another one each time that it is read anew.
#[derive(Debug)]
struct Rotated(Vec<String>, AtomicU64);

#[async_trait]
impl Url for Rotated {
    async fn url(&self, anew: bool) -> Result<String, Problem> {
        let at = if anew { self.1.fetch_add(1, Ordering::SeqCst) + 1 } else { self.1.load(Ordering::SeqCst) };
        Ok(self.0[usize::try_from(at).unwrap()].clone())
    }

    fn may_change(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_url_that_was_revoked_is_read_anew() {
    let (old, _) = server(vec![404]).await;
    let (new, heard) = server(vec![200, 200]).await;
    let webhook = Webhook::new(Rotated(vec![old, new], AtomicU64::new(0)));
    webhook.tell(&message()).await.unwrap();
    webhook.tell(&message()).await.unwrap();
    assert_eq!(heard.lock().unwrap().len(), 2);
}

#[rstest]
#[case("https://hooks.slack.com/services/T0/B0/x", true)]
#[case("http://127.0.0.1:8080/x", true)]
#[case("http://localhost/x", true)]
#[case("http://[::1]:80/x", true)]
#[case("http://hooks.slack.com/x", false)]
#[case("http://127.0.0.1.evil.example/x", false)]
#[case("http://127.0.0.1@evil.example/x", false)]
#[case("https://user:word@host/x", false)]
#[case("https:///x", false)]
#[case("ftp://host/x", false)]
#[case("https://host/a b", false)]
#[case("", false)]
fn only_tls_or_this_machine_is_posted_to(#[case] url: &str, #[case] taken: bool) {
    let checked = FixedUrl::new(url);
    assert_eq!(checked.is_ok(), taken, "{checked:?}");
    if let (Err(problem), false) = (checked, url.is_empty()) {
        assert!(!problem.contains(url), "{problem}");
    }
}
