//! What the finalizer asks of whoever computes reports. The protocol around it is the same without, and for a simulation.

use std::fmt::Debug;

use async_trait::async_trait;

use super::Context;
use crate::Result;

/// Keeps a dataset's reports up to date.
#[async_trait]
pub trait Refresh: Debug + Send + Sync {
    /// Makes the reports of a dataset those of what is published now; does nothing where they are. May be called at any
    /// time, by many at once. `config` is the hash of a dataset file to go by where none is applied; `None`: the one that
    /// they were made by last.
    ///
    /// # Errors
    ///
    /// Only where storage failed: what is wrong with a report is told in it.
    async fn refresh(&self, ctx: &Context, dataset: &str, config: Option<&str>) -> Result<()>;
}
