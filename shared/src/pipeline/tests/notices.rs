//! Ended runs are told of at least once, after publication, and a channel that is down is in nobody's way.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use rstest::rstest;

use super::fixture::Stack;
use crate::dataset::Dataset;
use crate::ledger::identity::Purpose;
use crate::ledger::{Failure, Status, keys};
use crate::notify::{Channels, Heard, Message as Told, Notify, Problem};
use crate::pipeline::close;
use crate::pipeline::finalize::{Finalized, finalize, handle};
use crate::pipeline::heal::heal;
use crate::pipeline::message::Message;
use crate::storage::Storage;

/// A channel that answers as it is told.
#[derive(Debug)]
struct Moody {
    answer: Mutex<Result<(), Problem>>,
    asked: Mutex<u32>,
}

impl Moody {
    fn down() -> Arc<Self> {
        Arc::new(Self { answer: Mutex::new(Err(Problem::Down("status 503".into()))), asked: Mutex::default() })
    }

    fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }
}

#[async_trait]
impl Notify for Moody {
    fn name(&self) -> &'static str {
        "moody"
    }

    async fn tell(&self, _: &Told) -> Result<(), Problem> {
        *self.asked.lock().unwrap() += 1;
        self.answer.lock().unwrap().clone()
    }
}

fn telling(mut stack: Stack, channels: Vec<Arc<dyn Notify>>) -> Stack {
    stack.ctx = stack.ctx.telling(Channels::of(channels).unwrap());
    stack
}

/// What the sweep hands to a finalizer is worked off.
async fn swept(stack: &Stack) -> u64 {
    let healed = heal(&stack.ctx, false).await.unwrap();
    for message in stack.finalizing.take() {
        if matches!(message, Message::Notice { .. }) {
            assert_eq!(handle(&stack.ctx, message).await.unwrap(), Finalized::Noticed);
        }
    }
    healed.notices
}

fn notices(stack: &Stack) -> usize {
    stack.sink.objects().keys().filter(|key| key.starts_with(keys::NOTICES)).count()
}

#[tokio::test]
async fn a_published_run_is_told_of_once_however_often_its_message_comes() {
    let heard = Arc::new(Heard::default());
    let stack = telling(Stack::new(), vec![heard.clone()]);
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 2).await;
    for _ in 0..3 {
        stack.finalized(&plan).await;
        stack.pass(60_000);
        assert_eq!(swept(&stack).await, 0);
    }
    let messages = heard.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].status, messages[0].run_id.as_str()), ("complete", plan.run.run_id.as_str()));
    let notified = stack.ctx.ledger.notified("trips", &plan.run.run_id).await.unwrap().unwrap();
    assert_eq!(notified.told, ["log"]);
    assert_eq!(notices(&stack), 0);
}

#[tokio::test]
async fn a_failed_run_and_a_superseded_one_are_told_of_and_a_trial_is_not() {
    let heard = Arc::new(Heard::default());
    let stack = telling(Stack::new(), vec![heard.clone()]);
    let source = stack.source("in/a.parquet", "1").await;
    let failed = stack.planned(&source, Purpose::Incremental, "", 2).await;
    let failure = Failure { kind: "source".into(), message: "page 3 is corrupt".into() };
    close::fail(&stack.ctx, &failed.run, failure).await.unwrap();
    stack.finalized(&failed).await;
    let old = stack.ready(&source, Purpose::Reprocess, "01", 1).await;
    stack.source("in/a.parquet", "2").await;
    stack.finalized(&old).await;
    let trial = stack.ready(&source, Purpose::TestSubset, "02", 1).await;
    stack.finalized(&trial).await;
    let messages = heard.messages();
    assert_eq!(messages.iter().map(|message| message.status).collect::<Vec<_>>(), ["failed", "superseded"]);
    assert!(messages[0].text.contains("page 3 is corrupt"), "{}", messages[0].text);
    assert_eq!(notices(&stack), 0);
}

#[rstest]
#[case("", 1)]
#[case("[notify]\non = [\"failed\"]\n", 0)]
#[case("[notify]\non = [\"failed\", \"complete\"]\n", 1)]
#[case("[notify]\non = []\n", 0)]
#[tokio::test]
async fn a_dataset_says_which_ends_are_told(#[case] table: &str, #[case] told: usize) {
    let heard = Arc::new(Heard::default());
    let mut stack = telling(Stack::new(), vec![heard.clone()]);
    stack.dataset = Dataset::parse(&format!("{}{table}", super::fixture::DATASET), "trips.toml").unwrap();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
    stack.finalized(&plan).await;
    assert_eq!(heard.messages().len(), told);
    assert_eq!(notices(&stack), 0);
}

#[tokio::test]
async fn a_channel_that_is_down_holds_up_no_run_is_asked_again_by_the_sweep_and_told_in_the_end() {
    let (heard, moody) = (Arc::new(Heard::default()), Moody::down());
    let stack = telling(Stack::new(), vec![heard.clone(), moody.clone()]);
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
    assert_eq!(stack.finalized(&plan).await.status, Status::Complete);
    stack.assert_only(&plan).await;
    assert_eq!((heard.messages().len(), moody.asked(), notices(&stack)), (1, 1, 1));
    assert_eq!(swept(&stack).await, 0, "it is not due");
    for round in 0..4 {
        stack.pass(300_000);
        assert_eq!((swept(&stack).await, moody.asked()), (1, 2 + round));
    }
    *moody.answer.lock().unwrap() = Ok(());
    stack.pass(300_000);
    swept(&stack).await;
    assert_eq!((heard.messages().len(), notices(&stack)), (1, 0), "who took it is not told again");
    let notified = stack.ctx.ledger.notified("trips", &plan.run.run_id).await.unwrap().unwrap();
    assert_eq!(notified.told, ["log", "moody"]);
}

#[tokio::test]
async fn a_channel_that_stays_down_for_a_day_is_given_up_on_and_the_record_says_so() {
    let moody = Moody::down();
    let stack = telling(Stack::new(), vec![moody.clone()]);
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
    stack.finalized(&plan).await;
    for _ in 0..26 {
        stack.pass(3_600_000);
        swept(&stack).await;
    }
    assert_eq!(notices(&stack), 0);
    let notified = stack.ctx.ledger.notified("trips", &plan.run.run_id).await.unwrap().unwrap();
    assert_eq!(notified.dropped.get("moody").unwrap(), "status 503");
    let asked = moody.asked();
    assert!((20..30).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_thousand_runs_do_not_wait_for_a_channel_that_is_down_one_after_the_other() {
    let moody = Moody::down();
    let stack = telling(Stack::new(), vec![moody.clone()]);
    for number in 0..20 {
        let source = stack.source(&format!("in/{number}.parquet"), "1").await;
        let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
        stack.finalized(&plan).await;
    }
    assert_eq!((moody.asked(), notices(&stack)), (1, 20));
}

#[tokio::test]
async fn a_finalizer_that_dies_before_it_tells_is_followed_by_another_that_does() {
    let heard = Arc::new(Heard::default());
    let stack = telling(Stack::new(), vec![heard.clone()]);
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
    stack.finalized(&plan).await;
    // As a crash between the notice and its delivery leaves it.
    let run_id = &plan.run.run_id;
    let objects = stack.sink.objects();
    let notified = objects.get(&keys::notified("trips", run_id)).unwrap().clone();
    stack.sink.delete(&keys::notified("trips", run_id)).await.unwrap();
    let notice = format!(
        r#"{{"format":1,"dataset":"trips","run_id":"{run_id}","lease":"l","put_at_ms":{now},"attempts":1,"next_at_ms":{due},"told":[],"problems":{{}}}}"#,
        now = stack.clock.now_ms.load(Ordering::SeqCst),
        due = stack.clock.now_ms.load(Ordering::SeqCst) + 30_000,
    );
    stack.sink.put(&keys::notice(run_id), Bytes::from(notice)).await.unwrap();
    assert_eq!(swept(&stack).await, 0, "somebody may be at it");
    stack.pass(30_000);
    assert_eq!(swept(&stack).await, 1);
    assert_eq!((heard.messages().len(), notices(&stack)), (2, 0));
    assert!(!notified.is_empty());
}

#[tokio::test]
async fn without_a_channel_nothing_is_noted_and_what_was_noted_before_goes() {
    let stack = Stack::new();
    let source = stack.source("in/a.parquet", "1").await;
    let plan = stack.ready(&source, Purpose::Incremental, "", 1).await;
    assert!(matches!(finalize(&stack.ctx, "trips", &plan.run.run_id).await.unwrap(), Finalized::Ended(_)));
    assert_eq!(notices(&stack), 0);
    let left = r#"{"format":1,"dataset":"trips","run_id":"gone","lease":"l","put_at_ms":0,"attempts":1,"next_at_ms":0,"told":[],"problems":{}}"#;
    stack.sink.put(&keys::notice("gone"), Bytes::from(left)).await.unwrap();
    stack.sink.put(&keys::notice("torn"), Bytes::from("nonsense")).await.unwrap();
    assert_eq!(swept(&stack).await, 1, "one that nobody understands stops nobody");
    assert_eq!(notices(&stack), 1);
}
