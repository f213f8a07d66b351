//! stub
use crate::args::DemoArgs;
use crate::fault::{Exit, Fault};
pub async fn demo(_args: DemoArgs) -> Result<Exit, Fault> { Ok(Exit::Done) }
