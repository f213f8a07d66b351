//! End to end on the deployed stack: `template.yaml`, built and deployed by SAM, on an AWS emulator.

mod archives;
mod bench;
mod copied;
mod failures;
mod flow;
mod formats;
mod notify;
mod operations;
mod quarantine;
mod reports;
mod storage;
