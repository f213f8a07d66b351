//! stub
use crate::args::CheckArgs;
use crate::fault::{Exit, Fault};
pub async fn check(_args: CheckArgs) -> Result<Exit, Fault> { Ok(Exit::Done) }
