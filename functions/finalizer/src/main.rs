//! The finalizer: ends runs, keeps reports up to date, and tells how runs ended.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use rowmill::deployed::{
    Batch, BatchResponse, FINALIZE_QUEUE_URL, GivenBack, answer_batch, channels_from_environment,
    context_from_environment, inbox_from_environment, retried,
};
use rowmill::pipeline::Context;
use rowmill::pipeline::finalize;
use rowmill::pipeline::message::Message;
use rowmill::queue::Inbox;
use rowmill::reports::Reports;

#[tokio::main]
async fn main() -> Result<(), Error> {
    rowmill::telemetry::init_function();
    let mut ctx = context_from_environment().await?.with_reports(Some(Arc::new(Reports)));
    if let Some(channels) = channels_from_environment().await {
        ctx = ctx.telling(channels);
    }
    let inbox = inbox_from_environment(FINALIZE_QUEUE_URL).await?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Batch>| handle(&ctx, inbox.as_ref(), event))).await
}

async fn handle(ctx: &Context, inbox: &dyn Inbox, event: LambdaEvent<Batch>) -> Result<BatchResponse, Error> {
    rowmill::telemetry::invoked(ctx.now_ms());
    let deadline_ms = i64::try_from(event.context.deadline)?;
    let ctx = &ctx.until(deadline_ms);
    Ok(answer_batch(&event.payload, inbox, |body, receives| async move { one(ctx, &body, receives).await }).await)
}

async fn one(ctx: &Context, body: &str, receives: u32) -> Result<(), GivenBack> {
    let message = Message::decode(body).map_err(GivenBack::unreadable)?;
    match finalize::handle(ctx, message.clone()).await {
        Ok(finalized) => tracing::debug!(?finalized, "finalized"),
        Err(error) => retried(ctx, &message, receives, error).await?,
    }
    Ok(())
}
