//! The processor: plans files, cleans slices.

use lambda_runtime::{LambdaEvent, service_fn};
use rowmill::Error;
use rowmill::deployed::{
    Batch, BatchResponse, GivenBack, WORK_QUEUE_URL, answer_batch, context_from_environment, inbox_from_environment,
    retried,
};
use rowmill::pipeline::Context;
use rowmill::pipeline::deadline::stopped;
use rowmill::pipeline::formats::Formats;
use rowmill::pipeline::message::Message;
use rowmill::pipeline::process::process;
use rowmill::queue::Inbox;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    rowmill::telemetry::init_function();
    let ctx = context_from_environment().await?;
    let inbox = inbox_from_environment(WORK_QUEUE_URL).await?;
    let formats = Formats::default();
    lambda_runtime::run(service_fn(|event: LambdaEvent<Batch>| handle(&ctx, &formats, inbox.as_ref(), event))).await
}

async fn handle(
    ctx: &Context,
    formats: &Formats,
    inbox: &dyn Inbox,
    event: LambdaEvent<Batch>,
) -> Result<BatchResponse, lambda_runtime::Error> {
    rowmill::telemetry::invoked(ctx.now_ms());
    let deadline_ms = i64::try_from(event.context.deadline)?;
    let ctx = &ctx.until(deadline_ms);
    Ok(answer_batch(&event.payload, inbox, |body, receives| async move { one(ctx, formats, &body, receives).await })
        .await)
}

async fn one(ctx: &Context, formats: &Formats, body: &str, receives: u32) -> Result<(), GivenBack> {
    let (message, stops) = Message::decode_counted(body).map_err(GivenBack::unreadable)?;
    let failed = match process(ctx, formats, message.clone()).await {
        Ok(processed) => {
            tracing::debug!(?processed, "processed");
            return Ok(());
        }
        Err(Error::Deadline(_)) => match stopped(ctx, &message, stops).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        },
        Err(error) => error,
    };
    retried(ctx, &message, receives, failed).await
}
