//! A dataset of its own on the shared stack, and what a test asks of it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use rowmill::dataset::Dataset;
use rowmill::ledger::identity::{Purpose, Run};
use rowmill::ledger::records::Visible;
use rowmill::ledger::{Ledger, Outcome};
use rowmill::pipeline::open::source_of;
use rowmill::storage::{S3Stores, Stores};
use rowmill_tests::stack::{Stack, eventually};
use rowmill_tests::trips::{self, Row};
use serde_json::{Value, json};

/// How long a test waits for an outcome: a cold start of a debug-sized binary on a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Bench {
    pub stack: &'static Stack,
    pub s3: aws_sdk_s3::Client,
    pub ledger: Ledger,
    pub stores: S3Stores,
    pub source_bucket: String,
    pub dataset: Dataset,
}

impl Bench {
    /// The shared stack with the dataset `name` ready, but not applied.
    pub async fn new(name: &str, row_group_rows: u64) -> Result<Self> {
        let stack = tokio::task::spawn_blocking(Stack::up).await??;
        let stores = S3Stores::new(&stack.sdk().await);
        let sink = stores.open(&format!("s3://{}", stack.output("SinkBucket")?)).await?;
        let source_bucket = stack.output("SourceBucket")?.to_owned();
        let text = trips::dataset(name, &source_bucket, row_group_rows);
        let dataset = Dataset::parse(&text, "test.toml")?;
        Ok(Self { stack, s3: stack.s3().await, ledger: Ledger::new(sink), stores, source_bucket, dataset })
    }

    pub async fn applied(name: &str, row_group_rows: u64) -> Result<Self> {
        let bench = Self::new(name, row_group_rows).await?;
        bench.ledger.apply(&bench.dataset).await?;
        Ok(bench)
    }

    fn name(&self) -> &str {
        &self.dataset.spec.name
    }

    /// The key of a source file of this dataset; the folder has a space in it.
    pub fn key(&self, file: &str) -> String {
        format!("{} in/{file}", self.name())
    }

    pub async fn put(&self, file: &str, content: Bytes) -> Result<()> {
        let put = self.s3.put_object().bucket(&self.source_bucket).key(self.key(file));
        put.body(ByteStream::from(content)).send().await?;
        Ok(())
    }

    /// The run that this file's newest version has, or would have.
    pub async fn run(&self, file: &str, purpose: Purpose, generation: &str) -> Result<Run> {
        let bucket = format!("s3://{}", self.source_bucket);
        let meta = self.stores.open(&bucket).await?.head(&self.key(file)).await?.context("no such source")?;
        Ok(Run::new(self.name(), &self.dataset.hash, purpose, generation, source_of(&bucket, meta)))
    }

    /// Waits until a run has ended: its outcome is written and its marker is gone.
    pub async fn ended(&self, run_id: &str) -> Result<Outcome> {
        let ended = || async {
            let outcome = self.ledger.outcome(self.name(), run_id).await?;
            let open = self.ledger.open_run(run_id).await?;
            Ok(outcome.filter(|_| open.is_none()))
        };
        eventually(format!("the end of run {run_id}"), PATIENCE, ended).await
    }

    /// Waits for the incremental run of a file's newest version.
    pub async fn ingested(&self, file: &str) -> Result<Outcome> {
        let run = self.run(file, Purpose::Incremental, "").await?;
        self.ended(&run.run_id).await
    }

    pub async fn object(&self, key: &str) -> Result<Bytes> {
        let object = self.s3.get_object().bucket(self.stack.output("SinkBucket")?).key(key).send().await?;
        Ok(object.body.collect().await?.into_bytes())
    }

    /// All rows of these parts, in order.
    pub async fn rows(&self, parts: &[Visible]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for part in parts {
            rows.extend(trips::rows(self.object(&part.key).await?)?);
        }
        Ok(rows)
    }

    /// Keys below a prefix of the sink.
    pub async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let listed = rowmill::storage::list_all(self.ledger.sink().as_ref(), prefix).await?;
        Ok(listed.into_iter().map(|object| object.key).collect())
    }

    /// Asks the checker, as `rowmill trigger` does.
    pub async fn ask(&self, intent: &str) -> Result<Value> {
        self.stack.invoke("CheckerFunction", &json!({"intent": intent, "dataset": self.name()})).await
    }

    /// Waits until a function has logged a line that holds both texts.
    pub async fn said(&self, text: &str, about: &str) -> Result<()> {
        let said = || async {
            let log = tokio::fs::read_to_string(&self.stack.log).await?;
            Ok(log.lines().any(|line| line.contains(text) && line.contains(about)).then_some(()))
        };
        eventually(format!("a log line with {text} and {about}"), PATIENCE, said).await
    }

    /// Waits until both queues are empty, and says so if a dead-letter queue is not.
    pub async fn quiet(&self) -> Result<()> {
        for queue in ["WorkQueueUrl", "FinalizeQueueUrl"] {
            let empty = || async { Ok((self.stack.messages(queue).await? == (0, 0)).then_some(())) };
            eventually(format!("{queue} to be empty"), PATIENCE, empty).await?;
        }
        for queue in ["WorkDlqUrl", "FinalizeDlqUrl", "OnFailureQueueUrl"] {
            if self.stack.messages(queue).await? != (0, 0) {
                bail!("{queue} is not empty");
            }
        }
        Ok(())
    }
}
