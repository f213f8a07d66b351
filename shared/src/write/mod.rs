//! Parts on their way to the sink: encoded while they are uploaded, not visible until a run is published.

#[cfg(feature = "process")]
mod copy;
#[cfg(feature = "process")]
mod encoder;
#[cfg(feature = "process")]
mod flat;
#[cfg(feature = "process")]
pub mod hive;
#[cfg(feature = "process")]
mod part;
mod pending;
#[cfg(feature = "process")]
mod piece;
#[cfg(all(test, feature = "process"))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_wrap)]
mod tests;
#[cfg(feature = "process")]
mod turns;
mod upload;

#[cfg(feature = "process")]
pub use copy::{EncodedChunk, fits};
#[cfg(feature = "process")]
pub use part::{FinishedPart, PartOptions, PartStats, PartWriter};
pub use pending::PendingUpload;
#[cfg(feature = "process")]
pub use turns::TurnWriter;
pub use upload::{DeferredUpload, UploadOptions};
