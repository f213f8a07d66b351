//! One slice: read, clean, write, without making anything visible.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Context;
use super::finalize::ATTEMPT;
use crate::ledger::records::PendingPart;
use crate::ledger::{Plan, RowCounts, SliceDone, keys};
use crate::{Error, Result};
