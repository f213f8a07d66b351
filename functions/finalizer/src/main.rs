//! The finalizer: ends runs, and keeps reports up to date.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use rowmill::deployed::{Batch, BatchResponse, answer_batch, context_from_environment};
use rowmill::pipeline::Context;
use rowmill::pipeline::finalize;
use rowmill::pipeline::message::Message;
use rowmill::reports::Reports;

#[tokio::main]
async fn main() -> Result<(), Error> {
    rowmill::telemetry::init_function();
    let ctx = context_from_environment().await?.with_reports(Some(Arc::new(Reports)));
    lambda_runtime::run(service_fn(|event: LambdaEvent<Batch>| handle(&ctx, event))).await
}

async fn handle(ctx: &Context, event: LambdaEvent<Batch>) -> Result<BatchResponse, Error> {
    let deadline_ms = i64::try_from(event.context.deadline)?;
    let ctx = &ctx.until(deadline_ms);
    Ok(answer_batch(event.payload, |body| async move { one(ctx, &body).await }).await)
}

async fn one(ctx: &Context, body: &str) -> rowmill::Result<()> {
    let finalized = finalize::handle(ctx, Message::decode(body)?).await?;
    tracing::debug!(?finalized, "finalized");
    Ok(())
}
