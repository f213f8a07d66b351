//! The processor: plans files, cleans slices.

use lambda_runtime::{LambdaEvent, service_fn};
use rowmill::Error;
use rowmill::deployed::{Batch, BatchResponse, answer_batch, context_from_environment};
use rowmill::pipeline::Context;
use rowmill::pipeline::deadline::stopped;
use rowmill::pipeline::formats::Formats;
use rowmill::pipeline::message::Message;
use rowmill::pipeline::process::process;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    rowmill::telemetry::init_function();
    let ctx = context_from_environment().await?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Batch>| handle(&ctx, event))).await
}

async fn handle(ctx: &Context, event: LambdaEvent<Batch>) -> Result<BatchResponse, lambda_runtime::Error> {
    let deadline_ms = i64::try_from(event.context.deadline)?;
    let ctx = &ctx.until(deadline_ms);
    Ok(answer_batch(event.payload, |body| async move { one(ctx, &body).await }).await)
}

async fn one(ctx: &Context, body: &str) -> rowmill::Result<()> {
    let (message, stops) = Message::decode_counted(body)?;
    match process(ctx, &Formats, message.clone()).await {
        Err(Error::Deadline(_)) => {
            stopped(ctx, &message, stops).await?;
        }
        processed => {
            // Not inside the log line, whose arguments are evaluated only where it is logged.
            let processed = processed?;
            tracing::debug!(?processed, "processed");
        }
    }
    Ok(())
}
