//! A deployed stack: its outputs, its ledger, its checker.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_lambda::primitives::Blob;
use rowmill::deployed::sdk_config;
use rowmill::event::Request;
use rowmill::ledger::Ledger;
use rowmill::storage::{S3Stores, Stores};
use serde_json::Value;

use crate::args::WhereArgs;
use crate::fault::Fault;
use crate::sink::{self, Sink};
use crate::stores::AnyStores;

/// The stack's sink.
pub const SINK_BUCKET: &str = "SinkBucket";
/// The checker's name.
pub const CHECKER_FUNCTION: &str = "CheckerFunction";

/// A stack's outputs, and the SDK's configuration to reach it with.
#[derive(Debug)]
pub struct Stack {
    name: String,
    outputs: BTreeMap<String, String>,
    /// From the environment.
    pub config: SdkConfig,
}

impl Stack {
    /// Looks the stack up.
    pub async fn describe(name: &str) -> Result<Self, Fault> {
        let config = sdk_config().await;
        let client = aws_sdk_cloudformation::Client::new(&config);
        let described = client.describe_stacks().stack_name(name).send().await;
        let described = described.map_err(|error| {
            let problem = aws_sdk_cloudformation::error::DisplayErrorContext(&error);
            let unknown =
                error.as_service_error().is_some_and(|service| service.meta().code() == Some("ValidationError"));
            if unknown {
                Fault::usage(format!("stack {name}: there is none in this region: check --stack and AWS_REGION"))
            } else {
                Fault::failed(format!("stack {name}: {problem}"))
            }
        })?;
        let stack = described.stacks().first();
        let stack = stack.ok_or_else(|| Fault::usage(format!("stack {name}: there is none in this region")))?;
        let outputs = stack
            .outputs()
            .iter()
            .filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned())));
        Ok(Self { name: name.to_owned(), outputs: outputs.collect(), config })
    }

    /// An output of the stack.
    pub fn output(&self, key: &str) -> Result<&str, Fault> {
        let value = self.outputs.get(key).map(String::as_str);
        value.ok_or_else(|| {
            Fault::failed(format!(
                "stack {}: it has no output {key}: is it a Rowmill stack, and up to date?",
                self.name
            ))
        })
    }

    /// The sink as `s3://bucket`.
    pub fn sink(&self) -> Result<String, Fault> {
        let bucket = self.output(SINK_BUCKET)?;
        Ok(if bucket.starts_with("s3://") { bucket.to_owned() } else { format!("s3://{bucket}") })
    }

    /// The stack's ledger.
    pub async fn ledger(&self) -> Result<Ledger, Fault> {
        let sink = S3Stores::new(&self.config).open(&self.sink()?).await?;
        Ok(Ledger::new(sink))
    }

    /// Asks the checker, and waits for its answer.
    pub async fn ask(&self, request: &Request) -> Result<Value, Fault> {
        let function = self.output(CHECKER_FUNCTION)?;
        let client = aws_sdk_lambda::Client::new(&self.config);
        let payload = Blob::new(request.to_event().to_string());
        let answered = client.invoke().function_name(function).payload(payload).send().await;
        let answered = answered.map_err(|error| {
            Fault::failed(format!("function {function}: {}", aws_sdk_lambda::error::DisplayErrorContext(&error)))
        })?;
        let body = answered.payload().map(|payload| payload.as_ref()).unwrap_or_default();
        let answer: Value =
            serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()));
        if answered.function_error().is_some() {
            let message = answer.get("errorMessage").and_then(Value::as_str).map(str::to_owned);
            return Err(Fault::failed(format!(
                "function {function}: {}",
                message.unwrap_or_else(|| answer.to_string())
            )));
        }
        Ok(answer)
    }
}

/// The ledger that `--stack` or `--sink` names.
pub async fn ledger_at(place: &WhereArgs) -> Result<Ledger, Fault> {
    if let Some(name) = &place.stack {
        return Stack::describe(name).await?.ledger().await;
    }
    let stores = AnyStores::default();
    let sink = Sink::existing(place.sink.as_deref().unwrap_or(sink::DEFAULT), &stores).await?;
    Ok(Ledger::new(sink.storage))
}
