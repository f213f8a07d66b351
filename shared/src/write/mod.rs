//! Parts and uploads.

mod pending;

pub use pending::PendingUpload;
