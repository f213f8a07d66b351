//! What the processor asks of whoever knows a source's format. The protocol around it ([`super::process`](mod@super::process))
//! is the same for every format, and for a simulation that has none.

use async_trait::async_trait;

use super::Context;
use crate::Result;
use crate::ledger::{Plan, Run, SliceDone};

/// Turns a source into parts. Errors tell by [`Error::is_permanent`](crate::Error::is_permanent) whether the run ends.
#[async_trait]
pub trait Convert: Send + Sync {
    /// Reads what the source says of itself and splits it into slices. Changes nothing.
    ///
    /// `earlier` is the plan of the run that is published for this very object version: where the source still fits it,
    /// its boundaries are kept, so that a reader sees each part old or new and never a row twice.
    async fn plan(&self, ctx: &Context, run: &Run, earlier: Option<&Plan>) -> Result<Plan>;

    /// Cleans the slice with this index to deferred uploads, begun with `attempt` in their metadata. Nothing becomes
    /// visible. On an error its uploads are aborted, as far as that is possible.
    async fn clean(&self, ctx: &Context, plan: &Plan, index: u32, attempt: &str) -> Result<SliceDone>;
}
