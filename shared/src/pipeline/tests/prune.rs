//! Pruning: what is gone is removed, what cannot be seen is not.

use super::fixture::Stack;
use crate::event::{Intent, Request, Trigger};
use crate::ledger::Source;
use crate::ledger::identity::Purpose;
use crate::pipeline::check::{Answer, check};
use crate::pipeline::finalize::handle;
use crate::storage::Storage;

/// A stack on which so many sources are published.
async fn published(sources: usize) -> Stack {
    let stack = Stack::new();
    stack.ctx.ledger.apply(&stack.dataset).await.unwrap();
    for number in 0..sources {
        let source = stack.source(&format!("in/{number}.parquet"), "1").await;
        publish(&stack, &source).await;
    }
    assert_eq!(stack.seen("trips/").len(), sources);
    stack
}

async fn publish(stack: &Stack, source: &Source) {
    let plan = stack.ready(source, Purpose::Incremental, "", 1).await;
    stack.finalized(&plan).await;
}

async fn delete(stack: &Stack, sources: std::ops::Range<usize>) {
    for number in sources {
        stack.bucket.delete(&format!("in/{number}.parquet")).await.unwrap();
    }
}

async fn prune(stack: &Stack, asked: Request) -> Answer {
    let asked = Request { intent: Intent::Prune, ..asked };
    check(&stack.ctx, Trigger::Request(asked)).await.unwrap()
}

/// Handles what was sent to the finalizer: how many outputs are left.
async fn left(stack: &Stack) -> usize {
    for message in stack.finalizing.take() {
        handle(&stack.ctx, message).await.unwrap();
    }
    stack.seen("trips/").len()
}

#[tokio::test]
async fn an_emptied_bucket_is_a_problem_and_nothing_is_removed_confirmed_or_not() {
    let stack = published(3).await;
    delete(&stack, 0..3).await;
    // A folder's marker is no file.
    stack.bucket.put("in/", bytes::Bytes::new()).await.unwrap();
    for confirm in [false, true] {
        let answer = prune(&stack, Request { confirm, ..Request::default() }).await;
        assert!(answer.pruned.is_empty() && answer.matched == 0, "{answer:?}");
        assert!(answer.problems[0].contains("nothing lies at s3://source/in/"), "{answer:?}");
        assert_eq!(left(&stack).await, 3);
    }
}

#[tokio::test]
async fn more_than_half_of_the_outputs_are_removed_only_if_confirmed() {
    let stack = published(3).await;
    delete(&stack, 0..2).await;
    let refused = prune(&stack, Request::default()).await;
    assert!(refused.problems[0].contains("2 of 3 published outputs"), "{refused:?}");
    assert!(refused.pruned.is_empty());
    assert_eq!(left(&stack).await, 3);
    let dry = prune(&stack, Request { dry_run: true, ..Request::default() }).await;
    assert_eq!((dry.pruned.len(), &dry.problems), (2, &refused.problems));
    assert_eq!(left(&stack).await, 3);
    let narrowed = prune(&stack, Request { limit: Some(1), ..Request::default() }).await;
    assert_eq!(narrowed.problems, refused.problems, "a limit makes it no safer: the next request takes the next ones");
    let confirmed = prune(&stack, Request { confirm: true, ..Request::default() }).await;
    assert_eq!((confirmed.pruned.len(), confirmed.problems.len()), (2, 0));
    assert_eq!(left(&stack).await, 1);
}

#[tokio::test]
async fn half_of_the_outputs_go_without_a_question() {
    let stack = published(2).await;
    delete(&stack, 0..1).await;
    let answer = prune(&stack, Request::default()).await;
    assert_eq!((answer.pruned.as_slice(), answer.problems.len()), (&["s3://source/in/0.parquet".to_owned()][..], 0));
    assert_eq!(left(&stack).await, 1);
}

#[tokio::test]
async fn a_bucket_that_is_emptied_after_the_request_keeps_its_outputs() {
    let stack = published(3).await;
    delete(&stack, 0..1).await;
    assert_eq!(prune(&stack, Request::default()).await.pruned.len(), 1);
    let sent = stack.finalizing.take();
    delete(&stack, 1..3).await;
    for message in sent.clone() {
        handle(&stack.ctx, message).await.unwrap();
    }
    assert_eq!(stack.seen("trips/").len(), 3);
    // The others are back, and so the source is gone indeed.
    stack.source("in/1.parquet", "1").await;
    for message in sent {
        handle(&stack.ctx, message).await.unwrap();
    }
    assert_eq!(stack.seen("trips/").len(), 2);
}

#[tokio::test]
async fn a_source_outside_the_uri_is_not_pruned_unconfirmed_where_its_folder_is_gone_as_well() {
    let stack = published(3).await;
    let elsewhere = stack.source("elsewhere/a.parquet", "1").await;
    publish(&stack, &elsewhere).await;
    stack.bucket.delete("elsewhere/a.parquet").await.unwrap();
    let refused = prune(&stack, Request::default()).await;
    assert!(refused.problems[0].contains("s3://source/elsewhere/a.parquet"), "{refused:?}");
    assert_eq!(left(&stack).await, 4);
    stack.bucket.put("elsewhere/b.parquet", bytes::Bytes::from_static(b"1")).await.unwrap();
    assert_eq!(prune(&stack, Request::default()).await.problems.len(), 0);
    assert_eq!(left(&stack).await, 3);
}

#[tokio::test]
async fn a_relist_that_finds_nothing_says_why_with_counts() {
    let stack = published(3).await;
    let relist = async |asked: Request| check(&stack.ctx, Trigger::Request(asked)).await.unwrap().notes;
    assert!(relist(Request::default()).await.is_empty());
    let none = relist(Request { pattern: Some("*.csv".into()), ..Request::default() }).await;
    assert_eq!(none, ["trips: 3 files lie at s3://source/in/, 0 fit the pattern `*.csv`"]);
    stack.pass(3_600_000);
    let old = Request { modified_within: Some(std::time::Duration::from_secs(60)), ..Request::default() };
    let old = relist(old).await;
    assert_eq!(old, ["trips: 3 fit the pattern `*.parquet`, 0 were modified within 1m: modified_within 10y"]);
    delete(&stack, 0..3).await;
    assert_eq!(relist(Request::default()).await, ["trips: nothing lies at s3://source/in/: check source.uri"]);
}
