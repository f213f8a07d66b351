//! The checker: every trigger in, one message per file out.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use rowmill::deployed::{BatchResponse, context_from_environment};
use rowmill::event::{self, Decoded};
use rowmill::pipeline::Context;
use rowmill::pipeline::check::{Answer, check};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    rowmill::telemetry::init_function();
    let ctx = context_from_environment().await?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| handle(&ctx, event.payload))).await
}

/// Behind SQS each message fails alone; a direct invocation fails whole, after every record had its turn, and Lambda
/// tries it again or hands it to the on-failure queue.
async fn handle(ctx: &Context, payload: Value) -> Result<Value, Error> {
    rowmill::telemetry::invoked(ctx.now_ms());
    let Decoded { sqs, items } = event::decode(&payload)?;
    let (mut answers, mut failed, mut last_error) = (Vec::new(), Vec::new(), None);
    for item in items {
        let handled = match item.result {
            Ok(trigger) => check(ctx, trigger).await.map_err(Error::from),
            Err(error) => Err(Error::from(error)),
        };
        match handled {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                tracing::error!(%error, message_id = item.message_id, "trigger failed");
                if sqs && item.message_id.is_none() {
                    return Err(error);
                }
                failed.extend(item.message_id);
                last_error = Some(error);
            }
        }
    }
    match last_error {
        _ if sqs => Ok(serde_json::to_value(BatchResponse::of(failed))?),
        Some(error) => Err(error),
        None => Ok(serde_json::to_value(Answer::sum(answers))?),
    }
}
