//! Archives by date on the stack: the functions read a web server of this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rowmill::dataset::Dataset;
use rowmill::ledger::{Ledger, Outcome, Status};
use rowmill::storage::{S3Stores, Stores};
use rowmill_tests::archive::{Faults, Server, dataset, day, name, pushes, rows};
use rowmill_tests::command::rowmill;
use rowmill_tests::stack::{Stack, eventually};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

/// Two tests cannot serve the one address at once.
static SERVED: Mutex<()> = Mutex::const_new(());

const PATIENCE: Duration = Duration::from_secs(300);

struct Archived {
    stack: &'static Stack,
    ledger: Ledger,
    dataset: Dataset,
    server: Server,
    _alone: MutexGuard<'static, ()>,
}

impl Archived {
    /// The dataset `name`, applied, and a server of these files.
    async fn new(dataset_name: &str, files: BTreeMap<String, Bytes>, faults: Faults) -> Result<Self> {
        let alone = SERVED.lock().await;
        let stack = tokio::task::spawn_blocking(Stack::up).await??;
        let stores = S3Stores::new(&stack.sdk().await);
        let ledger = Ledger::new(stores.open(&format!("s3://{}", stack.output("SinkBucket")?)).await?);
        // The address stays the same for the next test, and so does whoever serves it first.
        static SERVER: std::sync::OnceLock<Server> = std::sync::OnceLock::new();
        let server = match SERVER.get() {
            Some(server) => server.clone(),
            None => {
                let server = Server::start_on(stack.archive.try_clone()?, BTreeMap::new(), Faults::none())?;
                SERVER.get_or_init(|| server).clone()
            }
        };
        {
            let mut state = server.state();
            (state.files, state.faults) = (files, faults);
        }
        let text = dataset(&server.origin()).replace("gharchive_push_range", dataset_name);
        let dataset = Dataset::parse(&text, "archive.toml")?;
        ledger.apply(&dataset).await?;
        Ok(Self { stack, ledger, dataset, server, _alone: alone })
    }

    /// `rowmill trigger`, and its answer.
    async fn trigger(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = rowmill()?;
        command.args(["trigger", "", "--stack", &self.stack.name, "--dataset", &self.dataset.spec.name, "--json"]);
        command.args(arguments).envs(self.stack.environment());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let context = || format!("{output:?}");
        serde_json::from_slice(&output.stdout).with_context(context)
    }

    /// Waits until the run of each hour has ended, and answers their outcomes.
    async fn ended(&self, answer: &Value) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for run in answer["runs"].as_array().context("no runs")? {
            let id = run.as_str().context("no run id")?;
            let ended = || async {
                let outcome = self.ledger.outcome(&self.dataset.spec.name, id).await?;
                let open = self.ledger.open_run(id).await?;
                Ok(outcome.filter(|_| open.is_none()))
            };
            outcomes.push(eventually(format!("the end of run {id}"), PATIENCE, ended).await?);
        }
        Ok(outcomes)
    }

    async fn parts(&self) -> Result<Vec<Bytes>> {
        let sink = self.ledger.sink();
        let mut parts = Vec::new();
        for object in rowmill::storage::list_all(sink.as_ref(), &self.dataset.spec.output.prefix).await? {
            parts.push(sink.get(&object.key, u64::MAX).await?.context("gone")?.bytes);
        }
        Ok(parts)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_hours_from_a_server_that_fails_20_percent_of_requests_all_complete_none_twice() -> Result<()> {
    let corpus = std::env::var_os("ROWMILL_CORPUS").map(PathBuf::from);
    let files = day(7, 500, corpus.as_deref())?;
    let expected = pushes(&files)?;
    let archived = Archived::new("archived_day", files, Faults::new(1_961, 0.2)).await?;
    let days = ["--from", "2015-01-01", "--to", "2015-01-01"];
    let answer = archived.trigger(&days).await?;
    assert_eq!((&answer["matched"], &answer["enqueued"]), (&json!(24), &json!(24)), "{answer}");
    let outcomes = archived.ended(&answer).await?;
    for outcome in &outcomes {
        ensure!(outcome.status == Status::Complete, "{}: {:?}", outcome.run.source.uri(), outcome.error);
        ensure!(outcome.rows.conserved());
    }
    assert_eq!(outcomes.len(), 24);
    assert_eq!(archived.parts().await?.len(), 24, "one part an hour");
    assert_eq!(rows(archived.parts().await?)?, expected);
    let again = archived.trigger(&days).await?;
    assert_eq!((&again["enqueued"], &again["skipped"]), (&json!(0), &json!(24)), "{again}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_that_is_missing_is_recorded_and_comes_with_the_next_request() -> Result<()> {
    let mut files = day(8, 40, None)?;
    let late = files.remove_entry(&name(0)).context("no hour 0")?;
    let archived = Archived::new("archived_gap", files, Faults::none()).await?;
    let days = ["--from", "2015-01-01", "--to", "2015-01-01"];
    let answer = archived.trigger(&days).await?;
    assert_eq!((&answer["enqueued"], &answer["missing"]), (&json!(23), &json!(1)), "{answer}");
    archived.ended(&answer).await?;
    let source = archived.dataset.source_root().context("no root")?.0;
    let missing = rowmill::pipeline::archive::missing_run(&archived.dataset, source, &name(0)).run_id;
    let told = || async { archived.ledger.outcome(&archived.dataset.spec.name, &missing).await.map_err(Into::into) };
    let outcome = eventually("the record of the missing hour".to_owned(), PATIENCE, told).await?;
    assert_eq!(outcome.status, Status::Missing);
    archived.server.state().files.extend([late]);
    let answer = archived.trigger(&days).await?;
    assert_eq!((&answer["enqueued"], &answer["skipped"]), (&json!(1), &json!(23)), "{answer}");
    assert_eq!(archived.ended(&answer).await?[0].status, Status::Complete);
    let expected = pushes(&archived.server.state().files)?;
    assert_eq!(rows(archived.parts().await?)?, expected);
    Ok(())
}
