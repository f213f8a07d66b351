//! What cannot succeed ends, and says what to do; what can, succeeds after a `redrive`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rowmill::ledger::{Outcome, Status};
use rowmill_tests::command::rowmill;
use rowmill_tests::faults::site::{FUNCTIONS, Site, configure, set_receives, set_visibility};
use rowmill_tests::stack::{Stack, eventually};
use rowmill_tests::trips::{parquet, trips};
use serde_json::Value;

use crate::stack;

const PATIENCE: Duration = Duration::from_secs(150);
/// Below what datasets ask for by default, so that dead letters are not long in coming.
const RECEIVES: u32 = 5;

async fn set(stack: &Stack, timeout_s: i32, visibility_s: u32, stall_s: &str) -> Result<()> {
    for function in FUNCTIONS {
        configure(stack, function, timeout_s, &[("ROWMILL_STALL_SECONDS", stall_s)]).await?;
    }
    set_receives(stack, RECEIVES).await?;
    set_visibility(stack, visibility_s).await
}

/// Ingests a file of this name, which is to fail, and asserts that nothing of it is seen or left open.
async fn fails(site: &Site, file: &str) -> Result<Outcome> {
    let rows = trips(0, 1_500);
    let run = site.put(file, parquet(&rows, rows.len())?).await?;
    let mut ended = site.ended(std::slice::from_ref(&run), PATIENCE).await?;
    let outcome = ended.remove(&run.run_id).context("it has ended")?;
    assert_eq!(outcome.status, Status::Failed, "{outcome:?}");
    assert!(site.keys(&format!("{}/", site.name())).await?.is_empty(), "nothing is half visible");
    site.quiet(PATIENCE).await?;
    Ok(outcome)
}

/// Milliseconds that were left whenever a message of this run was stopped.
fn left_ms(stack: &Stack, run_id: &str) -> Result<Vec<i64>> {
    let log = std::fs::read_to_string(&stack.log)?;
    let stopped = log.lines().filter(|line| line.contains("stopped before the deadline") && line.contains(run_id));
    let left = stopped.filter_map(|line| {
        let json = line.get(line.find('{')?..)?;
        serde_json::from_str::<Value>(json).ok()?.get("left_ms")?.as_i64()
    });
    Ok(left.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_never_ends_in_time_stops_before_each_deadline_and_fails_its_run_with_what_to_set() -> Result<()> {
    let (stack, _turn) = stack().await?;
    // Three seconds of work before the margin of ten.
    set(stack, 13, 60, "600").await?;
    let site = Site::new(stack, "slow", 1_000).await?;
    let outcome = fails(&site, "a fail=upload.part:before:every:hang.parquet").await?;
    let error = outcome.error.context("a reason")?;
    assert_eq!(error.kind, "deadline");
    assert!(
        error.message.contains("ProcessorTimeout") && error.message.contains("row_group_rows"),
        "{}",
        error.message
    );
    let left = left_ms(stack, &outcome.run.run_id)?;
    println!("left before the deadline when it stopped: {left:?} ms");
    assert!(left.len() >= 3 && left.iter().all(|left| (8_000..=10_000).contains(left)), "{left:?}");
    assert!(site.open_uploads().await?.iter().all(|key| !key.contains("slow/")), "what it began is taken back");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_is_killed_every_time_fails_its_run_with_what_to_set() -> Result<()> {
    let (stack, _turn) = stack().await?;
    set(stack, 20, 20, "4").await?;
    let site = Site::new(stack, "killed", 1_000).await?;
    let outcome = fails(&site, "a fail=upload.part:before:every:crash.parquet").await?;
    let error = outcome.error.context("a reason")?;
    assert_eq!(error.kind, "killed");
    assert!(error.message.contains("raise the processor's memory or timeout"), "{}", error.message);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_understands_reaches_its_dead_letter_queue_after_its_receives() -> Result<()> {
    let (stack, _turn) = stack().await?;
    set(stack, 20, 1, "600").await?;
    let sqs = stack.sqs().await;
    for (queue, dead) in [("WorkQueueUrl", "WorkDlqUrl"), ("FinalizeQueueUrl", "FinalizeDlqUrl")] {
        sqs.send_message().queue_url(stack.output(queue)?).message_body("no message of ours").send().await?;
        let dead_letter = || async { Ok((stack.messages(dead).await? == (1, 0)).then_some(())) };
        eventually(format!("a message in {dead}"), PATIENCE, dead_letter).await?;
        let received = sqs.receive_message().queue_url(stack.output(dead)?).send().await?;
        let [message] = received.messages() else { anyhow::bail!("one message in {dead}") };
        assert_eq!(message.body(), Some("no message of ours"));
        let receipt = message.receipt_handle().context("a receipt")?;
        sqs.delete_message().queue_url(stack.output(dead)?).receipt_handle(receipt).send().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_five_times_is_ingested_once_it_is_sent_back() -> Result<()> {
    let (stack, _turn) = stack().await?;
    set(stack, 20, 1, "600").await?;
    let site = Site::new(stack, "redriven", 1_000).await?;
    let rows = trips(0, 1_500);
    let errors: Vec<String> = (1..=5).map(|call| format!("plan.put:before:{call}:error")).collect();
    let file = format!("a fail={}.parquet", errors.join(","));
    let run = site.put(&file, parquet(&rows, rows.len())?).await?;
    let dead_letter = || async { Ok((stack.messages("WorkDlqUrl").await? == (1, 0)).then_some(())) };
    eventually("its message in the dead-letter queue", PATIENCE, dead_letter).await?;
    assert!(site.ledger.outcome(site.name(), &run.run_id).await?.is_none(), "it has not ended");

    let mut redrive = rowmill()?;
    redrive.args(["redrive", "--dlq", "work", "--stack", &stack.name]).envs(stack.environment());
    let redriven = tokio::task::spawn_blocking(move || redrive.output()).await??;
    ensure!(redriven.status.success(), "{}", String::from_utf8_lossy(&redriven.stderr));
    set_visibility(stack, 60).await?;
    let ended = site.ended(std::slice::from_ref(&run), PATIENCE).await?;
    let outcome = ended.get(&run.run_id).context("it has ended")?;
    let audited = site.audit(&file, &rows, outcome).await?;
    assert_eq!((audited.lost, audited.duplicated), (0, 0));
    site.quiet(PATIENCE).await
}
