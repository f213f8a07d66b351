//! Failpoints, for the tests of faults on a deployed stack: calls that crash, hang or fail because the source's name says so.
//!
//! Compiled in by the feature `failpoints` only. The sink and the queues are wrapped, and nothing else knows of them. A
//! source named `7 fail=plan.put:before:1:crash.parquet` kills the process before the first put of its plan, in whatever
//! invocation that is; `slice.put:before:1in5:error` fails one such call in five. Calls are counted in the sink, so that they
//! are counted over invocations.
//!
//! | point | side effect |
//! |---|---|
//! | `open.put`, `open.touch`, `open.delete` | the marker is opened, noted on, closed |
//! | `plan.put`, `slice.put`, `slice.delete`, `outcome.put` | ledger objects of a run |
//! | `pointer.claim`, `pointer.mark` | swaps of the pointer that leave a claim in it, or none |
//! | `upload.begin`, `upload.part`, `upload.complete`, `upload.abort` | uploads of parts and quarantine |
//! | `notice.put`, `notice.touch`, `notified.put`, `notice.delete` | somebody is to be told of a run's end, and is |
//! | `part.delete` | a part or a quarantine file is retired |
//! | `send.file`, `send.slice`, `send.run`, `send.notice` | messages |

mod point;
mod queue;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::queue::Queue;
use crate::storage::{PutIf, PutOutcome, Storage};
use point::{Action, Failpoint, When};
use queue::FailingQueue;
use storage::FailingStorage;

/// Where calls are counted: where every function may write. The ledger lists it nowhere.
const FOLDER: &str = "_rowmill/configs/failpoints/";
/// Calls are told apart up to this one.
const COUNTED_CALLS: u32 = 64;
/// Longer than any function may run.
const HANG: Duration = Duration::from_secs(3_600);

/// The sink, the work queue and the finalize queue with failpoints in them.
pub fn arm(
    sink: Arc<dyn Storage>,
    work: Arc<dyn Queue>,
    finalize: Arc<dyn Queue>,
) -> (Arc<dyn Storage>, Arc<dyn Queue>, Arc<dyn Queue>) {
    let failpoints = Arc::new(Failpoints { sink: Arc::clone(&sink), names: Mutex::default() });
    let queue = |inner| -> Arc<dyn Queue> { Arc::new(FailingQueue { inner, failpoints: Arc::clone(&failpoints) }) };
    let (work, finalize) = (queue(work), queue(finalize));
    (Arc::new(FailingStorage { inner: sink, failpoints }), work, finalize)
}

/// What is known of the sources that ask for failpoints.
#[derive(Debug)]
struct Failpoints {
    /// Without failpoints.
    sink: Arc<dyn Storage>,
    /// The source's file name of each run that asks for failpoints, from what passed by.
    names: Mutex<HashMap<String, String>>,
}

/// A call that is to fail, perhaps.
struct Armed {
    name: String,
    failpoints: Vec<Failpoint>,
}

impl Failpoints {
    /// Learns which source a run has, from a ledger object or a message that holds the whole run.
    fn learn(&self, body: &[u8]) {
        let Some(name) = std::str::from_utf8(body).ok().and_then(point::armed_name) else { return };
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { return };
        if let Some(run_id) = value.pointer("/run/run_id").and_then(serde_json::Value::as_str) {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.insert(run_id.to_owned(), name.to_owned());
        }
    }

    /// The failpoints at `point` of the source that `text` is about: it names the source or one of its runs.
    fn armed(&self, point: &str, text: &str) -> Option<Armed> {
        let name = match point::armed_name(text) {
            Some(name) => name.to_owned(),
            None => {
                let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
                names.iter().find(|(run_id, _)| text.contains(run_id.as_str()))?.1.clone()
            }
        };
        let failpoints: Vec<_> = point::failpoints(&name).into_iter().filter(|asked| asked.point == point).collect();
        (!failpoints.is_empty()).then_some(Armed { name, failpoints })
    }

    /// Makes a call that may fail on either side. `refuse` makes the error of one that is to fail.
    async fn around<T, E>(
        &self,
        armed: Option<Armed>,
        call: impl Future<Output = Result<T, E>>,
        refuse: impl Fn(String) -> E,
    ) -> Result<T, E> {
        let Some(armed) = armed else { return call.await };
        let number = self.count(&armed).await;
        self.fail(&armed, When::Before, number).await.map_err(&refuse)?;
        let answer = call.await?;
        self.fail(&armed, When::After, number).await.map_err(&refuse)?;
        Ok(answer)
    }

    /// Which call of its point this is, from 1.
    async fn count(&self, armed: &Armed) -> u32 {
        let Some(point) = armed.failpoints.first().map(|failpoint| &failpoint.point) else { return 0 };
        let folder = folder(&armed.name);
        for number in 1..COUNTED_CALLS {
            let key = format!("{folder}calls/{point}:{number}");
            if let Ok(PutOutcome::Written { .. }) = self.sink.put_if(&key, PutIf::Absent, Bytes::new()).await {
                return number;
            }
        }
        COUNTED_CALLS
    }

    async fn fail(&self, armed: &Armed, when: When, number: u32) -> Result<(), String> {
        let asked = |failpoint: &&Failpoint| failpoint.when == when && failpoint.call.asks_for(&armed.name, number);
        let Some(failpoint) = armed.failpoints.iter().find(asked) else { return Ok(()) };
        let fired = format!("{}:{}:{number}", failpoint.point, when.word());
        // Told first: a process that is dead tells nothing.
        let key = format!("{}fired/{fired}", folder(&armed.name));
        if let Err(error) = self.sink.put(&key, Bytes::from(armed.name.clone())).await {
            tracing::error!(%error, "a failpoint's record");
        }
        tracing::warn!(fired, action = ?failpoint.action, "failpoint");
        match failpoint.action {
            Action::Crash => std::process::abort(),
            Action::Hang => {
                tokio::time::sleep(HANG).await;
                Ok(())
            }
            Action::Error => Err(format!("failpoint {fired}")),
        }
    }
}

/// Where the calls of a source are counted.
fn folder(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{FOLDER}{hex}/")
}
