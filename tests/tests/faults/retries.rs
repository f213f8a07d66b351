//! Random failures: a fifth of the tasks, each tried five times, two seconds apart, as the flow that this replaces was tested.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rowmill::ledger::Status;
use rowmill_tests::faults::site::{FUNCTIONS, Site, configure, set_receives, set_visibility};
use rowmill_tests::stack::Stack;
use rowmill_tests::trips::{parquet, trips};
use serde_json::Value;

use crate::stack;

const PATIENCE: Duration = Duration::from_secs(240);
const RETRY: &str = "[retry]\nattempts = 5\nbackoff = \"2s\"\nceiling = \"2s\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_of_the_tasks_fails_at_random_and_no_row_is_lost_or_doubled() -> Result<()> {
    let (stack, _turn) = stack().await?;
    for function in FUNCTIONS {
        configure(stack, function, 60, &[("ROWMILL_STALL_SECONDS", "600")]).await?;
    }
    set_receives(stack, 15).await?;
    // What comes back before this does so because the function said so.
    set_visibility(stack, 360).await?;
    let site = Site::with(stack, "random", 1_000, RETRY).await?;
    let rows = trips(0, 2_500);
    let content = parquet(&rows, rows.len())?;
    let began = Instant::now();
    let (mut files, mut runs) = (Vec::new(), Vec::new());
    for number in 0..24 {
        let file = format!("{number} fail=slice.put:before:1in5:error.parquet");
        runs.push(site.put(&file, content.clone()).await?);
        files.push(file);
    }
    let ended = site.ended(&runs, PATIENCE).await?;
    let (mut complete, mut gave_up) = (0, 0);
    for (file, run) in files.iter().zip(&runs) {
        let outcome = ended.get(&run.run_id).context("it has ended")?;
        if outcome.status == Status::Complete {
            let audited = site.audit(file, &rows, outcome).await?;
            assert_eq!((audited.lost, audited.duplicated), (0, 0), "{file}");
            complete += 1;
        } else {
            let error = outcome.error.as_ref().context("a reason")?;
            assert!(error.message.contains("times, the last time with"), "{error:?}");
            gave_up += 1;
        }
    }
    // One task in 3,125 fails five times.
    assert!(gave_up <= 1, "{complete} complete, {gave_up} gave up");
    let waits = waits_ms(stack)?;
    println!("{complete} complete in {:?}, {gave_up} gave up, {} tasks tried again", began.elapsed(), waits.len());
    assert!(waits.len() >= 5, "a fifth of 72 tasks, about: {waits:?}");
    assert!(waits.iter().all(|wait_ms| (1_500..=2_000).contains(wait_ms)), "{waits:?}");
    site.quiet(PATIENCE).await
}

/// The waits of messages that were given back because of a failpoint.
fn waits_ms(stack: &Stack) -> Result<Vec<u64>> {
    let log = std::fs::read_to_string(&stack.log)?;
    let given_back =
        log.lines().filter(|line| line.contains("message given back") && line.contains("slice.put:before"));
    let waits = given_back.filter_map(|line| {
        let json = line.get(line.find('{')?..)?;
        serde_json::from_str::<Value>(json).ok()?.get("wait_ms")?.as_u64()
    });
    Ok(waits.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_every_time_ends_as_a_failed_run_after_its_attempts_and_says_with_what() -> Result<()> {
    let (stack, _turn) = stack().await?;
    for function in FUNCTIONS {
        configure(stack, function, 60, &[("ROWMILL_STALL_SECONDS", "600")]).await?;
    }
    set_receives(stack, 15).await?;
    set_visibility(stack, 360).await?;
    let site = Site::with(stack, "hopeless", 1_000, "[retry]\nattempts = 3\nbackoff = \"1s\"\n").await?;
    let rows = trips(0, 1_500);
    let run = site.put("a fail=upload.part:before:every:error.parquet", parquet(&rows, rows.len())?).await?;
    let ended = site.ended(std::slice::from_ref(&run), PATIENCE).await?;
    let outcome = ended.get(&run.run_id).context("it has ended")?;
    assert_eq!(outcome.status, Status::Failed);
    let error = outcome.error.as_ref().context("a reason")?;
    assert_eq!(error.kind, "storage");
    assert!(error.message.contains("failed 3 times") && error.message.contains("failpoint"), "{}", error.message);
    assert!(site.keys("hopeless/").await?.is_empty(), "nothing is half visible");
    site.quiet(PATIENCE).await
}
