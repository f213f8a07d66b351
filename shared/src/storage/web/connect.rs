//! Connections, checked where they are made: after the name was resolved, on the very address that is connected to. A name
//! that resolves otherwise the next time (DNS rebinding) passes no check that way.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tower_service::Service;

use super::address::is_public;

/// The environment variable that names addresses which are connected to although they are not public, such as
/// `127.0.0.1:8080,127.0.0.1:8081`: for tests. No dataset file can set it.
pub const ALLOW_HOSTS: &str = "ROWMILL_ALLOW_HOSTS";

/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A name led to addresses that are not public.
#[derive(Debug)]
pub(super) struct NotPublic {
    host: String,
    address: IpAddr,
}

impl fmt::Display for NotPublic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the host `{}` is at {}, which is no public address: private, loopback, link-local and metadata addresses are \
             never connected to",
            self.host, self.address
        )
    }
}

impl StdError for NotPublic {}

/// Connects to public addresses, and to those that the environment allows.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    allowed: Arc<[SocketAddr]>,
    timeout: Duration,
}

impl Connector {
    pub fn new(allowed: Vec<SocketAddr>, timeout: Duration) -> Self {
        Self { allowed: allowed.into(), timeout }
    }

    fn permits(&self, address: &SocketAddr) -> bool {
        is_public(address.ip()) || self.allowed.contains(address)
    }

    async fn connect(self, uri: Uri) -> io::Result<TokioIo<TcpStream>> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let late = |what: &str| io::Error::new(io::ErrorKind::TimedOut, format!("{what} took too long"));
        let found = tokio::time::timeout(self.timeout, lookup_host((host.as_str(), port)));
        let found: Vec<SocketAddr> =
            found.await.map_err(|_| late("looking its name up"))??.take(MAX_ADDRESSES).collect();
        let refused = found.iter().find(|address| !self.permits(address)).map(SocketAddr::ip);
        let mut last = match refused {
            Some(address) => io::Error::new(io::ErrorKind::PermissionDenied, NotPublic { host, address }),
            None => io::Error::new(io::ErrorKind::NotFound, "its name has no address"),
        };
        for address in found.into_iter().filter(|address| self.permits(address)) {
            match tokio::time::timeout(self.timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = late("connecting"),
            }
        }
        Err(last)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// The addresses that a value of [`ALLOW_HOSTS`] names.
///
/// # Errors
///
/// The entry that is none.
pub(super) fn allowed(text: &str) -> Result<Vec<SocketAddr>, String> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let address = |entry: &str| entry.parse().map_err(|_| format!("{ALLOW_HOSTS}: `{entry}` is no address and port"));
    entries.map(address).collect()
}

/// Whether a failed request never left, because its host is not public.
pub(super) fn not_public<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a NotPublic> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<NotPublic>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
