//! A dataset of its own on a stack that is to meet faults.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_sdk_lambda::types::Environment;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::types::QueueAttributeName;
use bytes::Bytes;
use rowmill::dataset::Dataset;
use rowmill::ledger::identity::{Purpose, Run, Source};
use rowmill::ledger::{Ledger, Outcome, Status, keys};
use rowmill::storage::{ObjectVersion, S3Stores, Storage, Stores, list_all};
use serde_json::json;

use super::audit::{Audited, audit};
use crate::stack::{Stack, eventually};
use crate::trips::{self, Trip};

/// The three functions, by the template's output.
pub const FUNCTIONS: [&str; 3] = ["CheckerFunction", "ProcessorFunction", "FinalizerFunction"];
/// How often the sweep is run while runs are waited for; the template's schedule does it every five minutes.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// One dataset on the stack.
#[derive(Debug)]
pub struct Site {
    /// The stack.
    pub stack: &'static Stack,
    /// Its sink's ledger.
    pub ledger: Ledger,
    /// The dataset, applied.
    pub dataset: Dataset,
    s3: aws_sdk_s3::Client,
    source_bucket: String,
}

impl Site {
    /// Applies a dataset of this name.
    pub async fn new(stack: &'static Stack, name: &str, row_group_rows: u64) -> Result<Self> {
        Self::with(stack, name, row_group_rows, "").await
    }

    /// Applies a dataset of this name with more tables in its file.
    pub async fn with(stack: &'static Stack, name: &str, row_group_rows: u64, tables: &str) -> Result<Self> {
        let stores = S3Stores::new(&stack.sdk().await);
        let sink = stores.open(&format!("s3://{}", stack.output("SinkBucket")?)).await?;
        let source_bucket = stack.output("SourceBucket")?.to_owned();
        let text = trips::dataset(name, &source_bucket, row_group_rows);
        let dataset = Dataset::parse(&format!("{text}\n{tables}"), "test.toml")?;
        let ledger = Ledger::new(sink);
        ledger.apply(&dataset).await?;
        Ok(Self { stack, ledger, dataset, s3: stack.s3().await, source_bucket })
    }

    /// The dataset's name, which is also the folder of its parts.
    pub fn name(&self) -> &str {
        &self.dataset.spec.name
    }

    /// Drops a file, and answers the run that its event starts.
    pub async fn put(&self, file: &str, content: Bytes) -> Result<Run> {
        let key = format!("{} in/{file}", self.name());
        let size = u64::try_from(content.len())?;
        let put = self.s3.put_object().bucket(&self.source_bucket).key(&key).body(ByteStream::from(content));
        let put = put.send().await?;
        let version_id = put.version_id().context("the source bucket keeps versions")?.to_owned();
        let version = ObjectVersion { version_id: Some(version_id), etag: String::new(), last_modified_ms: 0 };
        let source = Source { bucket: format!("s3://{}", self.source_bucket), key, version, size };
        Ok(Run::new(self.name(), &self.dataset.hash, Purpose::Incremental, "", source))
    }

    /// Waits until each run has an outcome and no marker, with the sweep at work. Answers outcomes by run id.
    pub async fn ended(&self, runs: &[Run], patience: Duration) -> Result<BTreeMap<String, Outcome>> {
        let mut ended = BTreeMap::new();
        let (began, mut swept) = (Instant::now(), Instant::now());
        while ended.len() < runs.len() {
            let open = self.keys(keys::OPEN).await?;
            for run in runs.iter().filter(|run| !open.contains(&keys::open(&run.run_id))) {
                if ended.contains_key(&run.run_id) {
                    continue;
                }
                if let Some(outcome) = self.ledger.outcome(self.name(), &run.run_id).await? {
                    ended.insert(run.run_id.clone(), outcome);
                }
            }
            if began.elapsed() > patience {
                let late: Vec<&str> = runs
                    .iter()
                    .filter(|run| !ended.contains_key(&run.run_id))
                    .map(|run| run.source.key.as_str())
                    .take(5)
                    .collect();
                bail!(
                    "{} of {} runs have not ended in {patience:?}, {late:?} among them",
                    runs.len() - ended.len(),
                    runs.len()
                );
            }
            if swept.elapsed() > SWEEP_EVERY {
                swept = Instant::now();
                // It may meet faults itself, and then the next one does it.
                let _ = self.stack.invoke("CheckerFunction", &json!({"intent": "heal"})).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(ended)
    }

    /// Keys below a prefix of the sink.
    pub async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let listed = list_all(self.sink(), prefix).await?;
        Ok(listed.into_iter().map(|object| object.key).collect())
    }

    /// The sink.
    pub fn sink(&self) -> &dyn Storage {
        self.ledger.sink().as_ref()
    }

    /// An object of the sink; `None` where it is gone.
    pub async fn object(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.sink().get(key, 64 << 20).await?.map(|object| object.bytes))
    }

    /// Compares what a reader finds below the file's folders, not what the run says it made, with the source's rows. What
    /// lies there must be what the outcome names, and nothing else.
    pub async fn audit(&self, file: &str, source: &[Trip], outcome: &Outcome) -> Result<Audited> {
        if outcome.status != Status::Complete {
            bail!("{file}: {:?}: {:?}", outcome.status, outcome.error);
        }
        let mut found = Vec::new();
        let folders = [format!("{}/{file}/", self.name()), format!("{}{}/{file}/", keys::QUARANTINE, self.name())];
        for (folder, named) in folders.iter().zip([&outcome.parts, &outcome.quarantine]) {
            let keys = self.keys(folder).await?;
            let expected: Vec<&str> = named.iter().map(|visible| visible.key.as_str()).collect();
            if keys != expected {
                bail!("{file}: readers see {keys:?}, and the outcome names {expected:?}");
            }
            let mut objects = Vec::new();
            for key in &keys {
                objects.push(self.object(key).await?.with_context(|| format!("{key} vanished"))?);
            }
            found.push(objects);
        }
        let [parts, quarantine] = found.as_slice() else { bail!("two folders") };
        audit(source, parts, quarantine).with_context(|| file.to_owned())
    }

    /// Open uploads of the sink, by key.
    pub async fn open_uploads(&self) -> Result<Vec<String>> {
        let sink = self.stack.output("SinkBucket")?;
        let listed = self.s3.list_multipart_uploads().bucket(sink).max_uploads(1_000).send().await?;
        Ok(listed.uploads().iter().filter_map(|upload| upload.key().map(str::to_owned)).collect())
    }

    /// Waits until the queues are empty; what lies in a dead-letter queue is an error.
    pub async fn quiet(&self, patience: Duration) -> Result<()> {
        for queue in ["WorkQueueUrl", "FinalizeQueueUrl"] {
            let empty = || async { Ok((self.stack.messages(queue).await? == (0, 0)).then_some(())) };
            eventually(format!("{queue} to be empty"), patience, empty).await?;
        }
        for queue in ["WorkDlqUrl", "FinalizeDlqUrl", "OnFailureQueueUrl", "TriggerDlqUrl"] {
            let (waiting, in_flight) = self.stack.messages(queue).await?;
            if waiting + in_flight > 0 {
                bail!("{queue} holds {} messages", waiting + in_flight);
            }
        }
        Ok(())
    }
}

/// Has the queues hide a received message for so long only: what a dead function held comes back soon.
pub async fn set_visibility(stack: &Stack, seconds: u32) -> Result<()> {
    for queue in ["WorkQueueUrl", "FinalizeQueueUrl"] {
        let set = stack.sqs().await.set_queue_attributes().queue_url(stack.output(queue)?);
        set.attributes(QueueAttributeName::VisibilityTimeout, seconds.to_string()).send().await?;
    }
    Ok(())
}

/// Has the queues give a message up after so many receives; the template's are above what any dataset asks for.
pub async fn set_receives(stack: &Stack, receives: u32) -> Result<()> {
    for (queue, dead) in [("WorkQueueUrl", "WorkDlqUrl"), ("FinalizeQueueUrl", "FinalizeDlqUrl")] {
        let arn = QueueAttributeName::QueueArn;
        let dead = stack.sqs().await.get_queue_attributes().queue_url(stack.output(dead)?).attribute_names(arn.clone());
        let dead = dead.send().await?;
        let dead = dead.attributes().and_then(|all| all.get(&arn)).context("a queue has an ARN")?;
        let policy = json!({"deadLetterTargetArn": dead, "maxReceiveCount": receives});
        let set = stack.sqs().await.set_queue_attributes().queue_url(stack.output(queue)?);
        set.attributes(QueueAttributeName::RedrivePolicy, policy.to_string()).send().await?;
    }
    Ok(())
}

/// Changes a function's timeout and some of its variables, and waits until that holds. It talks to S3 and SQS directly unless
/// the variables say otherwise.
pub async fn configure(stack: &Stack, output: &str, timeout_s: i32, variables: &[(&str, &str)]) -> Result<()> {
    let lambda = stack.lambda().await;
    let name = stack.output(output)?;
    let now = lambda.get_function_configuration().function_name(name).send().await?;
    let mut all = now.environment().and_then(|all| all.variables()).cloned().unwrap_or_default();
    for service in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS"] {
        all.insert(service.to_owned(), stack.endpoint.clone());
    }
    all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let environment = Environment::builder().set_variables(Some(all)).build();
    let update = lambda.update_function_configuration().function_name(name).environment(environment);
    update.timeout(timeout_s).send().await?;
    let active = || async {
        let now = lambda.get_function_configuration().function_name(name).send().await?;
        let done = now.last_update_status().is_none_or(|status| status.as_str() == "Successful");
        Ok((done && now.state().is_none_or(|state| state.as_str() == "Active")).then_some(()))
    };
    eventually(format!("{output} to be configured"), Duration::from_secs(60), active).await
}
