//! End to end on the deployed stack: `template.yaml`, built and deployed by SAM, on an AWS emulator.

mod bench;
mod failures;
mod flow;
mod operations;
mod reports;
mod storage;
