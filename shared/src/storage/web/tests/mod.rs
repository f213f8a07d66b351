//! Reads from a server on this machine that answers well, badly, and with malice.

mod server;

use std::sync::Arc;
use std::time::Duration;

use rstest::rstest;

use self::server::{Asked, Reply, Server};
use super::client::Client;
use super::{Host, WebOptions, WebRules, WebStorage};
use crate::storage::{ObjectVersion, Storage, StorageError};

const FILE: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const KEY: &str = "2015-01-01-0.json.gz";

fn patience() -> WebOptions {
    WebOptions {
        connect: Duration::from_secs(2),
        answer: Duration::from_millis(300),
        idle: Duration::from_millis(300),
        body: Duration::from_secs(2),
        attempts: 4,
        first_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(20),
    }
}

/// The server's files, as a dataset that names `hosts` besides may read them.
fn site(server: &Server, hosts: &[&str]) -> WebStorage {
    let own = server.address.to_string();
    let hosts = hosts.iter().copied().chain([own.as_str()]).map(|host| Host::parse(host).unwrap());
    let rules = WebRules::new(hosts.collect(), true);
    let client = Client::new(vec![server.address], patience()).unwrap();
    WebStorage::new(&format!("http://{}", server.address), rules, Arc::new(client))
}

fn serves(asked: &Asked) -> Reply {
    Reply::file(asked, FILE, "\"v1\"")
}

async fn version(site: &WebStorage) -> ObjectVersion {
    site.head(KEY).await.unwrap().unwrap().version
}

fn problem(error: StorageError) -> String {
    match error {
        StorageError::BadKey { problem, .. } => problem,
        other => panic!("trying again would not help, and this says it may: {other}"),
    }
}

#[tokio::test]
async fn a_file_is_looked_up_and_read_in_ranges_pinned_to_its_version() {
    let server = Server::start(|asked, _| serves(asked)).await;
    let site = site(&server, &[]);
    let meta = site.head(KEY).await.unwrap().unwrap();
    assert_eq!((meta.size, meta.version.etag.as_str()), (36, "v1"));
    assert_eq!(meta.version.last_modified_ms, 784_111_777_000);
    assert_eq!(site.get_range(KEY, &meta.version, 10..20).await.unwrap(), &FILE[10..20]);
    assert_eq!(site.get_range(KEY, &meta.version, 36..36).await.unwrap(), "");
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("HEAD", "/2015-01-01-0.json.gz"));
    assert_eq!((asked[1].header("range"), asked[1].header("if-match")), (Some("bytes=10-19"), Some("\"v1\"")));
    assert_eq!(asked[1].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_body_that_is_cut_goes_on_at_the_byte_where_it_stopped() {
    let server = Server::start(|asked, nth| if nth < 3 { serves(asked).cut(5) } else { serves(asked) }).await;
    let site = site(&server, &[]);
    let version = ObjectVersion { version_id: None, etag: "v1".into(), last_modified_ms: 784_111_777_000 };
    assert_eq!(site.get_range(KEY, &version, 2..30).await.unwrap(), &FILE[2..30]);
    let ranges: Vec<_> = server.asked().iter().map(|asked| asked.range().unwrap()).collect();
    assert_eq!(ranges, [(2, 29), (7, 29), (12, 29), (17, 29)]);
}

#[rstest]
#[case::error(Reply::of(500))]
#[case::busy(Reply::of(503).with("retry-after", "0"))]
#[case::too_many(Reply::of(429).with("retry-after", "7200"))]
#[case::reset(Reply::of(0))]
#[case::silent(Reply { wait: Duration::from_secs(5), ..Reply::of(206).with("content-range", "bytes 0-35/36").with_body(FILE) })]
#[case::cut(Reply::of(206).with("content-range", "bytes 0-35/36").with_body(FILE).cut(0))]
#[case::other_range(Reply::of(206).with("content-range", "bytes 1-35/36").with_body(&FILE[1..]))]
#[case::no_range(Reply::of(206).with_body(FILE))]
#[case::too_long(Reply::of(206).with("content-range", "bytes 0-3/36").with("etag", "\"v1\"").with_body(FILE))]
#[tokio::test]
async fn what_may_pass_is_tried_again_and_not_for_ever(#[case] reply: Reply) {
    let fails = reply.clone();
    let server = Server::start(move |asked, nth| if nth < 3 { fails.clone() } else { serves(asked) }).await;
    let site_once = site(&server, &[]);
    let version = ObjectVersion { version_id: None, etag: "v1".into(), last_modified_ms: 784_111_777_000 };
    let bytes = site_once.get_range(KEY, &version, 0..36).await.unwrap();
    // What came before a failure in the middle is kept: here the too long body's first bytes.
    assert_eq!(bytes, FILE);
    let server = Server::start(move |_, _| reply.clone()).await;
    let error = site(&server, &[]).get_range(KEY, &version, 0..36).await.unwrap_err();
    assert!(matches!(error, StorageError::Failed { .. }), "{error}");
    assert!(server.asked().len() <= 8, "{}", server.asked().len());
}

#[rstest]
#[case(404)]
#[case(410)]
#[tokio::test]
async fn a_file_that_is_not_there_is_told_apart_from_a_failure(#[case] status: u16) {
    let server = Server::start(move |_, _| Reply::of(status)).await;
    let site = site(&server, &[]);
    assert_eq!(site.head(KEY).await.unwrap(), None);
    let version = ObjectVersion { version_id: None, etag: "v1".into(), last_modified_ms: 0 };
    assert!(matches!(site.get_range(KEY, &version, 0..1).await, Err(StorageError::NotFound { .. })));
}

#[rstest]
#[case::condition(|asked: &Asked| Reply::file(asked, FILE, "\"v2\""))]
#[case::condition_ignored(|_: &Asked| Reply::of(206).with("content-range", "bytes 0-0/36").with("etag", "\"v2\"").with_body(b"0"))]
#[case::shrunk(|_: &Asked| Reply::of(416).with("content-range", "bytes */0"))]
#[case::by_date(|_: &Asked| Reply::of(206).with("content-range", "bytes 0-0/36").with("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT").with_body(b"0"))]
#[tokio::test]
async fn a_file_that_has_changed_is_not_read_on(#[case] reply: fn(&Asked) -> Reply) {
    let server = Server::start(move |asked, nth| if nth == 0 { serves(asked) } else { reply(asked) }).await;
    let site = site(&server, &[]);
    let version = version(&site).await;
    let read = site.get_range(KEY, &version, 0..1).await;
    assert!(matches!(read, Err(StorageError::Changed { .. })), "{read:?}");
}

#[tokio::test]
async fn a_server_without_validators_tells_a_change_by_the_length() {
    let sized = |asked: &Asked, bytes: &[u8]| {
        let (first, last) = asked.range().unwrap_or((0, bytes.len() - 1));
        let reply = Reply::of(if asked.range().is_some() { 206 } else { 200 });
        reply.with("content-range", format!("bytes {first}-{last}/{}", bytes.len())).with_body(&bytes[first..=last])
    };
    let server = Server::start(move |asked, nth| sized(asked, if nth < 2 { FILE } else { &FILE[..30] })).await;
    let site = site(&server, &[]);
    let version = version(&site).await;
    assert_eq!(site.get_range(KEY, &version, 0..4).await.unwrap(), "0123");
    let read = site.get_range(KEY, &version, 4..8).await;
    assert!(matches!(read, Err(StorageError::Changed { .. })), "{read:?}");
    assert_eq!(server.asked()[1].header("if-match"), None);
}

#[tokio::test]
async fn a_server_that_sends_files_whole_is_read_in_order_from_one_body() {
    let whole = |asked: &Asked| {
        Reply::of(200).with("etag", "\"v1\"").with_body(if asked.method == "HEAD" { b"" } else { FILE })
    };
    let server = Server::start(move |asked, nth| match nth {
        // The first body breaks off in the middle.
        2 => whole(asked).cut(12),
        _ => whole(asked),
    })
    .await;
    let site = site(&server, &[]);
    let version = ObjectVersion { version_id: None, etag: "v1".into(), last_modified_ms: 0 };
    let reads = (0..9).map(|nth| site.get_range(KEY, &version, nth * 4..nth * 4 + 4));
    let read = futures::future::try_join_all(reads).await.unwrap().concat();
    assert_eq!(read, FILE);
    let gets = server.asked().len();
    assert!(gets <= 12, "{gets} requests");
    for _ in 0..4 {
        assert_eq!(site.get_range(KEY, &version, 0..2).await.unwrap(), "01");
    }
    let error = problem(site.get_range(KEY, &version, 0..2).await.unwrap_err());
    assert!(error.contains("sends no ranges"), "{error}");
}

#[tokio::test]
async fn where_head_is_not_allowed_the_first_byte_tells() {
    let server = Server::start(|asked, _| if asked.method == "HEAD" { Reply::of(405) } else { serves(asked) }).await;
    let meta = site(&server, &[]).head(KEY).await.unwrap().unwrap();
    assert_eq!((meta.size, meta.version.etag.as_str()), (36, "v1"));
}

#[rstest]
#[case::forbidden(Reply::of(403), "403")]
#[case::coded(Reply::of(200).with("content-encoding", "br"), "coded as `br`")]
#[case::huge(Reply::of(200).with("content-length", "18446744073709551615"), "above the limit")]
#[tokio::test]
async fn what_will_not_pass_is_told_at_once(#[case] reply: Reply, #[case] why: &str) {
    let server = Server::start(move |_, _| reply.clone()).await;
    let error = problem(site(&server, &[]).head(KEY).await.unwrap_err());
    assert!(error.contains(why), "{error}");
}

#[rstest]
#[case::metadata("http://169.254.169.254/latest/meta-data/", "169.254.169.254", "does not name the host")]
#[case::loopback("http://127.0.0.1:9/", "127.0.0.1:9", "does not name the host")]
#[case::stranger("https://evil.example.org/x", "evil.example.org", "does not name the host")]
#[case::user("http://a:b@127.0.0.1/", "127.0.0.1", "no host")]
#[case::file("file:///etc/passwd", "file", "no URL")]
#[tokio::test]
async fn a_redirect_to_who_is_not_named_is_refused(#[case] to: &'static str, #[case] host: &str, #[case] why: &str) {
    let server = Server::start(move |_, _| Reply::of(302).with("location", to)).await;
    let error = problem(site(&server, &[]).head(KEY).await.unwrap_err());
    assert!(error.contains(why), "{host}: {error}");
    assert_eq!(server.asked().len(), 1, "nobody else was asked");
}

#[rstest]
#[case::metadata("http://169.254.169.254/latest/", "169.254.169.254")]
#[case::loopback("http://127.0.0.1:9/", "127.0.0.1:9")]
#[case::short("http://127.1:9/", "127.1:9")]
#[case::number("http://2130706433:9/", "2130706433:9")]
#[case::any("http://0.0.0.0:9/", "0.0.0.0:9")]
#[case::name("http://localhost:9/", "localhost:9")]
#[tokio::test]
async fn even_a_host_that_is_named_must_be_at_a_public_address(#[case] to: &'static str, #[case] host: &str) {
    let server = Server::start(move |_, _| Reply::of(307).with("location", to)).await;
    let error = problem(site(&server, &[host]).head(KEY).await.unwrap_err());
    assert!(error.contains("no public address"), "{error}");
}

#[tokio::test]
async fn redirects_between_named_hosts_are_followed_and_bounded() {
    let other = Server::start(|asked, _| serves(asked)).await;
    let to = format!("http://{}/moved/{KEY}?signature=x", other.address);
    let server = Server::start(move |_, _| Reply::of(302).with("location", to.clone())).await;
    let own = [server.address.to_string(), other.address.to_string()];
    let rules = WebRules::new(own.iter().map(|host| Host::parse(host).unwrap()).collect(), true);
    let client = Client::new(vec![server.address, other.address], patience()).unwrap();
    let site = WebStorage::new(&format!("http://{}", server.address), rules, Arc::new(client));
    let meta = site.head(KEY).await.unwrap().unwrap();
    assert_eq!(site.get_range(KEY, &meta.version, 0..3).await.unwrap(), "012");
    assert_eq!(other.asked()[0].path, format!("/moved/{KEY}?signature=x"));

    let circle = Server::start(|asked, _| Reply::of(301).with("location", asked.path.clone())).await;
    let error = problem(self::site(&circle, &[]).head(KEY).await.unwrap_err());
    assert!(error.contains("more than 5 redirects"), "{error}");
    assert_eq!(circle.asked().len(), 6);
}

#[tokio::test]
async fn nothing_is_written_to_a_web_server() {
    let server = Server::start(|asked, _| serves(asked)).await;
    let site = site(&server, &[]);
    assert!(problem(site.put(KEY, bytes::Bytes::new()).await.unwrap_err()).contains("only be read"));
    assert!(problem(site.list("", None).await.unwrap_err()).contains("only be read"));
    assert_eq!(server.asked().len(), 0);
}
