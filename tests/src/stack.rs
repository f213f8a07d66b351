//! The deployed stack: `template.yaml` as it is, built and deployed by SAM to an AWS emulator on this machine.
//!
//! [`Stack::up`] starts `infra/stack up` once for a test binary and holds the other end of its stdin. When the test
//! process ends, however it ends, that pipe closes, and the script ends the emulator and all that runs in it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use aws_config::{BehaviorVersion, Region, SdkConfig};

/// A running stack, and what its template calls things.
#[derive(Debug)]
pub struct Stack {
    /// Where the emulator answers for every service, such as `http://127.0.0.1:41873`.
    pub endpoint: String,
    /// The CloudFormation stack's name, as `rowmill --stack` takes it.
    pub name: String,
    /// The template's outputs by key: `SourceBucket`, `SinkBucket`, `WorkQueueUrl` and so on.
    pub outputs: BTreeMap<String, String>,
    /// The proxy that injects faults, in front of the emulator, where one was asked for.
    pub proxy: Option<String>,
    /// The one address on this machine that functions may read sources from: see `ROWMILL_ALLOW_HOSTS`.
    pub archive: TcpListener,
    /// The emulator's log, with what the functions print.
    pub log: PathBuf,
    region: String,
    access_key_id: String,
    secret_access_key: String,
    /// Never waited for: a static is not dropped, and the kernel closes the pipe to its stdin when this process ends.
    _script: Child,
}

impl Stack {
    /// The stack of this test binary, deployed on first use. The first build takes minutes, a later one seconds.
    ///
    /// Blocks; from async code, call it once at the start of the test. An error is the same for every caller: what
    /// failed to deploy once is not tried again.
    pub fn up() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Stack, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::start(&[]).map_err(|error| format!("{error:#}")));
        shared.as_ref().map_err(|error| anyhow!("{error}"))
    }

    /// A stack of its own with these arguments of `infra/stack up`, such as `--parameter KEY=VALUE`, for a test that cannot
    /// share one.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        // Functions are processes of the emulator, and have its variables.
        let archive = TcpListener::bind("127.0.0.1:0")?;
        let mut command = Command::new(repository().join("infra/stack"));
        command.env("ROWMILL_ALLOW_HOSTS", archive.local_addr()?.to_string());
        let mut script = command
            .arg("up")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("infra/stack needs Python 3.11 or later as python3")?;
        let stdout = script.stdout.take().context("infra/stack has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() {
            bail!("infra/stack up ended with {}; its log is above", script.wait()?);
        }
        Self::read(&line, script, archive).with_context(|| format!("infra/stack printed {line:?}"))
    }

    fn read(line: &str, script: Child, archive: TcpListener) -> Result<Self> {
        let document: serde_json::Value = serde_json::from_str(line)?;
        let text = |key: &str| {
            let value = document.get(key).and_then(serde_json::Value::as_str);
            value.map(str::to_owned).with_context(|| format!("no {key}"))
        };
        let outputs = document.get("outputs").context("no outputs")?;
        Ok(Self {
            endpoint: text("endpoint")?,
            name: text("stack")?,
            outputs: serde_json::from_value(outputs.clone())?,
            proxy: text("proxy").ok(),
            archive,
            log: PathBuf::from(text("log")?),
            region: text("region")?,
            access_key_id: text("access_key_id")?,
            secret_access_key: text("secret_access_key")?,
            _script: script,
        })
    }

    /// One of the template's outputs.
    pub fn output(&self, key: &str) -> Result<&str> {
        let value = self.outputs.get(key).with_context(|| format!("the stack has no output {key}"))?;
        Ok(value)
    }

    /// What every client is made of: this endpoint, and the account's own key, which may do everything.
    pub async fn sdk(&self) -> SdkConfig {
        self.sdk_at(&self.endpoint).await
    }

    /// The same by way of another endpoint, such as a proxy that injects faults.
    pub async fn sdk_at(&self, endpoint: &str) -> SdkConfig {
        let key = aws_sdk_s3::config::Credentials::new(
            self.access_key_id.clone(),
            self.secret_access_key.clone(),
            None,
            None,
            "rowmill-tests",
        );
        aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(endpoint)
            .credentials_provider(key)
            .load()
            .await
    }

    /// An S3 client that addresses buckets by path.
    pub async fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk().await).force_path_style(true).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// An SQS client.
    pub async fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.sdk().await)
    }

    /// A Lambda client.
    pub async fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.sdk().await)
    }

    /// Environment variables that point a program, such as the `rowmill` command, at this stack and at nothing else.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_ACCESS_KEY_ID", self.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
        ]
    }

    /// Messages in a queue: waiting and in flight.
    pub async fn messages(&self, output: &str) -> Result<(u64, u64)> {
        use aws_sdk_sqs::types::QueueAttributeName as Name;
        let (waiting, in_flight) = (Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesNotVisible);
        let request = self.sqs().await.get_queue_attributes().queue_url(self.output(output)?);
        let reply = request.attribute_names(waiting.clone()).attribute_names(in_flight.clone()).send().await?;
        let count = |name: &Name| -> Result<u64> {
            let value = reply.attributes().and_then(|attributes| attributes.get(name));
            Ok(value.with_context(|| format!("{output} has no {name}"))?.parse()?)
        };
        Ok((count(&waiting)?, count(&in_flight)?))
    }

    /// Invokes the function behind an output and waits. An error of the function is an error here.
    pub async fn invoke(&self, output: &str, event: &serde_json::Value) -> Result<serde_json::Value> {
        let payload = aws_sdk_lambda::primitives::Blob::new(serde_json::to_vec(event)?);
        let request = self.lambda().await.invoke().function_name(self.output(output)?).payload(payload);
        let reply = request.send().await?;
        let body = reply.payload().map(|blob| blob.as_ref().to_vec()).unwrap_or_default();
        if let Some(kind) = reply.function_error() {
            bail!("{output} failed ({kind}): {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Asks again, with pauses that grow to half a second, until there is an answer: `Some`. An error ends it at once.
pub async fn eventually<T, F, Asked>(what: impl Debug, timeout: Duration, mut ask: F) -> Result<T>
where
    F: FnMut() -> Asked,
    Asked: Future<Output = Result<Option<T>>>,
{
    let start = Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if start.elapsed() > timeout {
            bail!("waited {timeout:?} in vain for {what:?}");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}
