//! A webhook that takes Slack's JSON: Slack, Mattermost, Discord's `/slack`, and whoever reads `text`.
//!
//! Its URL is a secret: whoever knows it may post. It is never logged, and no problem holds it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

use super::{Message, Notify, Problem, Told};

/// How long one delivery may take, the look-up of the URL included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest URL.
const MAX_URL_BYTES: usize = 2_048;

/// Where a webhook's URL comes from.
#[async_trait]
pub trait Url: fmt::Debug + Send + Sync {
    /// The URL; read anew where `anew` asks for it, because the known one was refused.
    async fn url(&self, anew: bool) -> Result<String, Problem>;

    /// Whether reading it anew may give another.
    fn may_change(&self) -> bool;
}

/// A URL that is known from the start.
pub struct FixedUrl(String);

impl FixedUrl {
    /// Takes `https://…`, and `http://` on this machine.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without its text.
    pub fn new(url: &str) -> Result<Self, String> {
        checked(url).map(Self)
    }
}

impl fmt::Debug for FixedUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FixedUrl(…)")
    }
}

#[async_trait]
impl Url for FixedUrl {
    async fn url(&self, _anew: bool) -> Result<String, Problem> {
        Ok(self.0.clone())
    }

    fn may_change(&self) -> bool {
        false
    }
}

/// The URL, if messages may be sent there: by TLS, or to this machine itself.
pub(super) fn checked(url: &str) -> Result<String, String> {
    let url = url.trim();
    if url.len() > MAX_URL_BYTES || url.chars().any(|c| !c.is_ascii_graphic()) {
        return Err(format!("the webhook's URL holds spaces or more than {MAX_URL_BYTES} bytes"));
    }
    let rest = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => rest,
        (None, Some(rest)) if is_loopback(authority(rest)) => rest,
        _ => return Err("the webhook's URL does not begin with https:// (http:// is for 127.0.0.1 alone)".to_owned()),
    };
    let host = authority(rest);
    if host.is_empty() || host.contains('@') {
        return Err("the webhook's URL names no host, or a user: write https://host/path".to_owned());
    }
    Ok(url.to_owned())
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host == "localhost" || host == "[::1]" || host.parse().is_ok_and(|ip: std::net::Ipv4Addr| ip.is_loopback())
}

/// A webhook.
pub struct Webhook {
    url: Box<dyn Url>,
    connector: Connector,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Webhook").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Webhook {
    /// Posts to this URL, over the TLS that the AWS clients use.
    pub fn new(url: impl Url + 'static) -> Self {
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build();
        Self { url: Box::new(url), connector }
    }

    async fn deliver(&self, message: &Message) -> Told {
        let body = message.slack.to_string();
        let status = self.post(&self.url.url(false).await?, &body).await?;
        match status {
            // The URL may have been revoked and replaced since it was read.
            401 | 403 | 404 | 410 if self.url.may_change() => {
                judged(self.post(&self.url.url(true).await?, &body).await?)
            }
            status => judged(status),
        }
    }

    async fn post(&self, url: &str, body: &str) -> Result<u16, Problem> {
        let mut request = HttpRequest::new(SdkBody::from(body));
        let malformed = || Problem::Down("the webhook's URL is none".to_owned());
        request.set_method("POST").map_err(|_| malformed())?;
        request.set_uri(url).map_err(|_| malformed())?;
        request.headers_mut().insert("content-type", "application/json");
        request.headers_mut().insert("user-agent", concat!("rowmill/", env!("CARGO_PKG_VERSION")));
        let answer = self.connector.call(request).await.map_err(|error| Problem::Down(described(&error)))?;
        Ok(answer.status().as_u16())
    }
}

/// What went wrong on the way, without the words of the client: they may hold the URL.
fn described(error: &ConnectorError) -> String {
    let what = match error {
        error if error.is_timeout() => "it did not answer in time",
        error if error.is_io() => "it cannot be reached",
        _ => "the request could not be made",
    };
    format!("the webhook: {what}")
}

/// What a status says of the message. Redirects are not followed: they could lead anywhere.
fn judged(status: u16) -> Told {
    match status {
        200..300 => Ok(()),
        // Bad request, too large, not processable: the same message again gets the same answer.
        400 | 413 | 415 | 422 => Err(Problem::Refused(format!("the webhook refused the message: status {status}"))),
        _ => Err(Problem::Down(format!("the webhook answered with status {status}"))),
    }
}

#[async_trait]
impl Notify for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    async fn tell(&self, message: &Message) -> Told {
        let late = |_| Err(Problem::Down("the webhook: it did not answer in time".to_owned()));
        tokio::time::timeout(TIMEOUT, self.deliver(message)).await.unwrap_or_else(late)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
