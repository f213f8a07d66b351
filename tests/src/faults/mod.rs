//! Faults, injected into the deployed stack and into the embedded run, and what became of the rows.
//!
//! The binary `faults` runs all of it and prints a table; the tests run a part of the same code.

pub mod audit;
pub mod burst;
pub mod cases;
pub mod embedded;
pub mod kill;
pub mod proxy;
pub mod reader;
pub mod report;
pub mod simulated;
pub mod site;
pub mod wire;

use anyhow::Result;

use crate::stack::Stack;

/// A stack of its own for faults: functions with failpoints, a proxy in front, and no more processes at once than a small
/// machine bears. It ends with this process.
pub fn stack() -> Result<&'static Stack> {
    let few = ["--parameter", "ProcessorConcurrency=6", "--parameter", "FinalizerConcurrency=6"];
    let stack = Stack::start(&[&["--failpoints", "--proxy"], few.as_slice()].concat())?;
    Ok(Box::leak(Box::new(stack)))
}
