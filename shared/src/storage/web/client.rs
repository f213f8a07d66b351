//! One request and its answer: redirects followed by hand, each to a server that the dataset names.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::answer;
use super::connect::{Connector, not_public};
use super::retry::{WebOptions, may_pass};
use super::rules::{Origin, WebRules};

/// The most redirects of one request.
const MAX_REDIRECTS: usize = 5;
/// The largest header of an answer, bytes.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// How long an idle connection is kept. A frozen function's connections are long closed by the other side.
const KEPT_IDLE: Duration = Duration::from_secs(15);

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// Trying again may help, after as long as the server asks for.
    Passing { problem: String, wait: Option<Duration> },
    /// It would fail again.
    Permanent(String),
}

impl Failed {
    pub fn passing(problem: impl Into<String>) -> Self {
        Self::Passing { problem: problem.into(), wait: None }
    }
}

/// A client that connects to public hosts.
#[derive(Debug)]
pub(super) struct Client {
    http: legacy::Client<HttpsConnector<Connector>, Empty<Bytes>>,
    pub options: WebOptions,
}

impl Client {
    /// A client with the machine's own root certificates.
    pub fn new(allowed: Vec<SocketAddr>, options: WebOptions) -> Result<Self, String> {
        let builder = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(|error| format!("root certificates: {error}"))?;
        let connector = Connector::new(allowed, options.connect);
        let connector = builder.https_or_http().enable_http1().wrap_connector(connector);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(KEPT_IDLE)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(MAX_HEADER_BYTES)
            .build(connector);
        Ok(Self { http, options })
    }

    /// Asks for a file and follows its redirects. Answers any status but a redirect's and those that may pass.
    pub async fn ask(
        &self,
        rules: &WebRules,
        url: &str,
        method: &Method,
        headers: &[(HeaderName, String)],
    ) -> Result<Response<Incoming>, Failed> {
        let mut place = Place::parse(url).map_err(Failed::Permanent)?;
        rules.check(&place.origin).map_err(Failed::Permanent)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.once(&place, method, headers).await?;
            let status = response.status();
            if may_pass(status) {
                let problem = format!("the server answered {status}");
                return Err(Failed::Passing { problem, wait: answer::retry_after(response.headers()) });
            }
            if !is_redirect(status) {
                return Ok(response);
            }
            let next = location(response.headers())
                .and_then(|location| place.redirected(location))
                .and_then(|next| rules.check(&next.origin).map(|()| next));
            place = next
                .map_err(|why| Failed::Permanent(format!("the server answered with a redirect ({status}): {why}")))?;
        }
        Err(Failed::Permanent(format!(
            "more than {MAX_REDIRECTS} redirects in a row: name the place that they lead to"
        )))
    }

    async fn once(
        &self,
        place: &Place,
        method: &Method,
        headers: &[(HeaderName, String)],
    ) -> Result<Response<Incoming>, Failed> {
        let impossible = |error: http::Error| Failed::Permanent(format!("the request cannot be made: {error}"));
        let mut request = Request::builder()
            .method(method)
            .uri(place.uri().map_err(impossible)?)
            .header(header::USER_AGENT, concat!("rowmill/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT_ENCODING, "identity");
        for (name, value) in headers {
            request = request.header(name, HeaderValue::from_str(value).map_err(|error| impossible(error.into()))?);
        }
        let request = request.body(Empty::new()).map_err(impossible)?;
        match tokio::time::timeout(self.options.answer, self.http.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(match not_public(&error) {
                Some(refused) => Failed::Permanent(refused.to_string()),
                None => Failed::passing(chain(&error)),
            }),
            Err(_) => Err(Failed::passing(format!("no answer within {:?}", self.options.answer))),
        }
    }

    /// The next bytes of a body; `None` at its end.
    pub async fn next(&self, body: &mut Incoming) -> Result<Option<Bytes>, Failed> {
        loop {
            match tokio::time::timeout(self.options.idle, body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    // Anything else is trailers.
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Ok(Some(bytes));
                    }
                }
                Ok(Some(Err(error))) => return Err(Failed::passing(chain(&error))),
                Err(_) => return Err(Failed::passing(format!("no bytes within {:?}", self.options.idle))),
            }
        }
    }
}

/// An error with what caused it.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

fn location(headers: &HeaderMap) -> Result<&str, String> {
    let value = headers.get(header::LOCATION).ok_or("it names no place")?;
    value.to_str().map_err(|_| "its place is no text".to_owned())
}

/// A URL in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    origin: Origin,
    /// Begins with a slash.
    path: String,
}

impl Place {
    fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("`{url}` is no URL: {error}"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("`{url}` is no URL with a host"));
        };
        let origin = Origin::parse(&format!("{scheme}://{authority}"))?;
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        Ok(Self { origin, path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") } })
    }

    /// Where `location` leads to from here (RFC 3986, 5.2). What came encrypted never goes on unencrypted.
    fn redirected(&self, location: &str) -> Result<Self, String> {
        let location = location.split('#').next().unwrap_or_default();
        let scheme = if self.origin.https { "https" } else { "http" };
        let url = if location.contains("://") {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{}{location}", self.origin)
        } else {
            let path = self.path.split('?').next().unwrap_or_default();
            let folder = path.rfind('/').and_then(|slash| path.get(..=slash)).unwrap_or("/");
            format!("{}{folder}{location}", self.origin)
        };
        let next = Self::parse(&url)?;
        if self.origin.https && !next.origin.https {
            return Err(format!("it leads from https:// to {}: what is encrypted stays so", next.origin));
        }
        Ok(next)
    }

    fn uri(&self) -> Result<Uri, http::Error> {
        format!("{}{}", self.origin, self.path).parse().map_err(http::Error::from)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://cdn.org/x", "https://cdn.org/x")]
    #[case("//cdn.org/x", "https://cdn.org/x")]
    #[case("/y?z=1", "https://h.org/y?z=1")]
    #[case("y", "https://h.org/a/y")]
    #[case("HTTPS://CDN.org:443/x#top", "https://cdn.org/x")]
    fn a_redirect_leads_on(#[case] location: &str, #[case] to: &str) {
        let next = Place::parse("https://h.org/a/b?c=/d").unwrap().redirected(location).unwrap();
        assert_eq!(next.uri().unwrap().to_string(), to);
    }

    #[rstest]
    #[case("http://h.org/x", "stays so")]
    #[case("ftp://h.org/x", "no web server")]
    #[case("https://user:pass@h.org/x", "no host")]
    #[case("https://[::1]/x", "no host")]
    #[case("https://", "no URL")]
    #[case("file:///etc/passwd", "no URL")]
    fn a_redirect_leads_nowhere_else(#[case] location: &str, #[case] why: &str) {
        let error = Place::parse("https://h.org/a/b").unwrap().redirected(location).unwrap_err();
        assert!(error.contains(why), "{location}: {error}");
    }
}
