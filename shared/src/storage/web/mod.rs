//! Sources on web servers: read in pinned ranges as from a bucket, and never written.
//!
//! A file's version is told by its ETag and its date; reads are pinned by `If-Match` where the ETag is a strong one, and
//! every answer is compared with the version besides. A server that knows neither ETag nor date tells a changed file by
//! its length alone. Only servers that the dataset names are asked ([`WebRules`]), also behind redirects, and only at
//! addresses that are public.

mod rules;

#[cfg(feature = "web")]
mod address;
#[cfg(feature = "web")]
mod answer;
#[cfg(feature = "web")]
mod client;
#[cfg(feature = "web")]
mod connect;
#[cfg(feature = "web")]
mod flow;
#[cfg(feature = "web")]
mod retry;
#[cfg(feature = "web")]
mod site;
#[cfg(feature = "web")]
mod stores;

#[cfg(all(test, feature = "web"))]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)]
mod tests;

#[cfg(feature = "web")]
pub use connect::ALLOW_HOSTS;
#[cfg(feature = "web")]
pub use retry::WebOptions;
pub use rules::{Host, Origin, WebRules, is_web};
#[cfg(feature = "web")]
pub use site::WebStorage;
#[cfg(feature = "web")]
pub use stores::WithWeb;
