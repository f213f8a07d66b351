//! Parts on their way to the sink: encoded while they are uploaded, not visible until a run is published.

#[cfg(feature = "process")]
mod encoder;
#[cfg(feature = "process")]
mod flat;
#[cfg(feature = "process")]
mod part;
mod pending;
#[cfg(all(test, feature = "process"))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_wrap)]
mod tests;
mod upload;

#[cfg(feature = "process")]
pub use part::{FinishedPart, PartOptions, PartStats, PartWriter};
pub use pending::PendingUpload;
pub use upload::{DeferredUpload, UploadOptions};
