#![allow(clippy::unwrap_used)]

use super::*;
use crate::clock::SystemClock;
use crate::queue::MemoryQueue;
use crate::storage::MemoryStorage;

type Armed = (Arc<dyn Storage>, Arc<dyn Queue>, Arc<dyn Queue>);

fn armed() -> (Arc<dyn Storage>, Armed) {
    let clock = Arc::new(SystemClock);
    let sink: Arc<dyn Storage> = Arc::new(MemoryStorage::new("s3://sink", clock.clone()));
    let queue = || -> Arc<dyn Queue> { Arc::new(MemoryQueue::new("queue", clock.clone(), HANG, 5)) };
    (Arc::clone(&sink), arm(sink, queue(), queue()))
}

fn plan(name: &str) -> Bytes {
    Bytes::from(format!(r#"{{"run":{{"run_id":"r1","source":{{"key":"d in/{name}"}}}}}}"#))
}

const PLAN: &str = "_rowmill/runs/d/r1/plan.json";

#[tokio::test]
async fn the_call_that_the_name_asks_for_fails_and_no_other() {
    let (inner, (sink, ..)) = armed();
    let body = plan("7 fail=plan.put:before:2:error.parquet");
    sink.put_if(PLAN, PutIf::Absent, body.clone()).await.unwrap();
    sink.delete_if(PLAN, &inner.head(PLAN).await.unwrap().unwrap().version.etag).await.unwrap();
    assert!(sink.put_if(PLAN, PutIf::Absent, body.clone()).await.is_err());
    assert!(inner.head(PLAN).await.unwrap().is_none(), "it failed before it was done");
    sink.put_if(PLAN, PutIf::Absent, body).await.unwrap();
}

#[tokio::test]
async fn what_fails_afterwards_took_effect() {
    let (inner, (sink, ..)) = armed();
    let body = plan("7 fail=plan.put:after:1:error.parquet");
    assert!(sink.put_if(PLAN, PutIf::Absent, body).await.is_err());
    assert!(inner.head(PLAN).await.unwrap().is_some());
}

#[tokio::test]
async fn a_run_is_known_by_its_plan_where_the_name_does_not_stand() {
    let (_, (sink, _, finalize)) = armed();
    let body = plan("7 fail=send.run:before:1:error,slice.put:before:1:error.parquet");
    sink.put_if(PLAN, PutIf::Absent, body).await.unwrap();
    let record = Bytes::from_static(br#"{"run_id":"r1","slice":0}"#);
    assert!(sink.put_if("_rowmill/runs/d/r1/slices/00000.json", PutIf::Absent, record).await.is_err());
    let message = r#"{"format":1,"kind":"run","dataset":"d","run_id":"r1"}"#.to_owned();
    assert!(finalize.send(std::slice::from_ref(&message)).await.is_err());
    assert!(finalize.send(&[message]).await.is_ok());
}
