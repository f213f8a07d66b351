//! Events in: one Lambda payload becomes the list of what to do. Pure; nothing is looked up.
//!
//! [`decode`] takes every envelope in which the checker's triggers arrive: S3 notifications, EventBridge events,
//! schedules, manual requests, and each of those behind SQS, SNS or the record of a failed asynchronous invocation.
//! Three rules hold for all of them:
//!
//! * A record fails alone. What cannot be understood becomes an [`Item`] with an error that names its place; its
//!   neighbours are decoded as if it were not there.
//! * Keys are decoded by envelope, once: S3 notifications encode them, EventBridge does not.
//! * Nothing vanishes: what needs no work is [`Trigger::Ignored`] with the reason.

mod envelope;
mod error;
mod intent;
mod json;
mod key;
mod object;
mod request;
mod sequencer;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;

pub use envelope::{MAX_BODY_BYTES, MAX_ITEMS, MAX_RECORDS, MAX_WRAPPERS, decode};
pub use error::EventError;
pub use intent::Intent;
pub use object::{MAX_KEY_BYTES, ObjectCreated};
pub use request::{MAX_RUNS, Request, date};
pub use sequencer::sequencer_cmp;

/// A payload, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The outer envelope was SQS: the invocation answers with `batchItemFailures`.
    pub sqs: bool,
    /// One per record or request, in the payload's order. A message without records has no item.
    pub items: Vec<Item>,
}

/// What one record or request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The id of the SQS message it came in; several items may share one. `None` where the outer envelope was not SQS,
    /// and for an SQS record that has no id: when such an item fails, the whole batch has to.
    pub message_id: Option<String>,
    /// What to do, or why that is not to be made out.
    pub result: Result<Trigger, EventError>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// An object was created: ingest it, if a dataset wants it.
    Object(ObjectCreated),
    /// A schedule or a person asks for something.
    Request(Request),
    /// Nothing: acknowledge it.
    Ignored(Ignored),
}

/// Why an event asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// S3 sends one when a notification is set up. Not worth a line in the log.
    TestEvent,
    /// Something else happened to an object: S3's name for it, such as `ObjectRemoved:Delete` or `Object Deleted`.
    NotCreated(String),
    /// Another record of the same payload tells of the same object, and is as new or newer.
    Duplicate,
    /// The record of an asynchronous invocation that went well.
    Succeeded,
}

impl fmt::Display for Ignored {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TestEvent => formatter.write_str("a test event"),
            Self::NotCreated(name) => write!(formatter, "not the creation of an object: {name}"),
            Self::Duplicate => formatter.write_str("the same object is in another record that is as new or newer"),
            Self::Succeeded => formatter.write_str("the record of an invocation that went well"),
        }
    }
}
