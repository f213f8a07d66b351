//! The matrices. `cargo run --release -p rowmill-tests --bin faults` runs them whole.

use anyhow::Result;
use rowmill_tests::faults::report::Report;
use rowmill_tests::faults::{burst, cases, embedded, kill, wire};

use crate::stack;

fn assert_holds(report: &Report) {
    println!("{}", report.table());
    let broken = report.broken();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_die_around_a_side_effect_lose_and_double_nothing() -> Result<()> {
    let (stack, _turn) = stack().await?;
    assert_holds(&kill::kill(stack, &cases::few()).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_between_the_functions_and_s3_and_sqs_lose_and_double_nothing() -> Result<()> {
    let (stack, _turn) = stack().await?;
    assert_holds(&wire::wire(stack, &wire::few()).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_files_is_published_each_once() -> Result<()> {
    let (stack, _turn) = stack().await?;
    assert_holds(&burst::burst(stack, 100).await?);
    Ok(())
}

#[test]
fn an_embedded_run_that_is_killed_loses_and_doubles_nothing() -> Result<()> {
    assert_holds(&embedded::embedded(1)?);
    Ok(())
}
