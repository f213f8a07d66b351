//! Who is told how a run ended: subscribers of the topic, and the webhook whose URL lies in Secrets Manager.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sqs::types::QueueAttributeName;
use bytes::Bytes;
use rowmill::dataset::Dataset;
use rowmill::ledger::{Ledger, Status, keys};
use rowmill::storage::{S3Stores, Stores, list_all};
use rowmill_tests::stack::{Stack, eventually};
use rowmill_tests::trips::{self, parquet, trips};
use serde_json::{Value, json};

use crate::bench::Bench;

const PATIENCE: Duration = Duration::from_secs(120);

/// A queue that hears what the topic says of one dataset.
async fn subscribed(stack: &Stack, dataset: &str) -> Result<String> {
    let sqs = stack.sqs().await;
    let url = sqs.create_queue().queue_name(format!("heard-{dataset}")).send().await?;
    let url = url.queue_url().context("a queue has a URL")?.to_owned();
    let arn = QueueAttributeName::QueueArn;
    let asked = sqs.get_queue_attributes().queue_url(&url).attribute_names(arn.clone()).send().await?;
    let queue = asked.attributes().and_then(|all| all.get(&arn)).context("a queue has an ARN")?.clone();
    let topic = stack.output("NotificationTopicArn")?;
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": queue, "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }]});
    let set = sqs.set_queue_attributes().queue_url(&url);
    set.attributes(QueueAttributeName::Policy, policy.to_string()).send().await?;
    let sns = aws_sdk_sns::Client::new(&stack.sdk().await);
    let subscribe = sns.subscribe().topic_arn(topic).protocol("sqs").endpoint(queue);
    subscribe.attributes("FilterPolicy", json!({"dataset": [dataset]}).to_string()).send().await?;
    Ok(url)
}

/// The next notification that the queue holds.
async fn heard(stack: &Stack, url: &str) -> Result<Value> {
    let sqs = stack.sqs().await;
    let receive = || async {
        let received = sqs.receive_message().queue_url(url).send().await?;
        let Some(message) = received.messages().first() else { return Ok(None) };
        let receipt = message.receipt_handle().context("a receipt")?;
        sqs.delete_message().queue_url(url).receipt_handle(receipt).send().await?;
        Ok(Some(serde_json::from_str(message.body().context("a body")?)?))
    };
    eventually("a notification", PATIENCE, receive).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_tells_its_subscribers_of_a_complete_run_and_of_a_failed_one() -> Result<()> {
    let bench = Bench::applied("told", 1_000).await?;
    let url = subscribed(bench.stack, "told").await?;
    bench.put("a.parquet", parquet(&trips(0, 2_000), 2_000)?).await?;
    assert_eq!(bench.ingested("a.parquet").await?.status, Status::Complete);
    let complete = heard(bench.stack, &url).await?;
    assert_eq!(complete["Subject"], "Rowmill: told complete: a.parquet");
    let text = complete["Message"].as_str().context("a message")?;
    for fact in ["2,000 read", "fare is not negative", "time ", "about $", "invocations", "told in/a.parquet"] {
        assert!(text.contains(fact), "{fact}: {text}");
    }
    let run_id = complete["MessageAttributes"]["run_id"]["Value"].as_str().context("the run")?;
    for metric in ["PlanDuration", "SliceDuration", "PublishDuration", "Cost"] {
        bench.said(&format!("\"{metric}\":"), run_id).await?;
    }
    bench.said("\"ColdStarts\":1", "Function").await?;
    assert_eq!(complete["MessageAttributes"]["status"]["Value"], "complete");

    bench.put("b.parquet", Bytes::from_static(b"number,fare\n1,2.5\n")).await?;
    assert_eq!(bench.ingested("b.parquet").await?.status, Status::Failed);
    let failed = heard(bench.stack, &url).await?;
    assert_eq!(failed["Subject"], "Rowmill: told failed: b.parquet");
    let text = failed["Message"].as_str().context("a message")?;
    assert!(text.contains("not a Parquet file") && text.contains("rowmill redrive"), "{text}");
    bench.quiet().await
}

/// Answers the first request with 503 and every other with 200, and keeps what these posted.
fn server() -> Result<(String, Arc<Mutex<Vec<Value>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/services/T0/B0/hush", listener.local_addr()?);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&heard);
    thread::spawn(move || -> Result<()> {
        for (number, stream) in listener.incoming().enumerate() {
            let mut reader = BufReader::new(stream?);
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line)? > 2 {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse()?;
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let status = if number == 0 { 503 } else { 200 };
            if status == 200 {
                keep.lock().unwrap().push(serde_json::from_slice(&body)?);
            }
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes())?;
        }
        Ok(())
    });
    Ok((url, heard))
}

/// Begins with the name that the secret gets; the emulator takes the ARN without its random end, as AWS does. Roles are not
/// enforced here, for they name the whole ARN; the test above publishes with the finalizer's own role.
const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:rowmill-webhook";

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_of_the_secret_is_told_by_the_sweep_where_it_was_down_and_its_url_is_never_logged() -> Result<()> {
    let parameter = format!("WebhookSecretArn={SECRET}");
    let start = move || Stack::start(&["--no-iam", "--parameter", &parameter]);
    let stack = tokio::task::spawn_blocking(start).await??;
    let (url, heard) = server()?;
    let secrets = aws_sdk_secretsmanager::Client::new(&stack.sdk().await);
    secrets.create_secret().name("rowmill-webhook").secret_string(&url).send().await?;

    let stores = S3Stores::new(&stack.sdk().await);
    let sink = stores.open(&format!("s3://{}", stack.output("SinkBucket")?)).await?;
    let bucket = stack.output("SourceBucket")?;
    let ledger = Ledger::new(Arc::clone(&sink));
    ledger.apply(&Dataset::parse(&trips::dataset("hooked", bucket, 1_000), "test.toml")?).await?;
    let content = parquet(&trips(0, 1_500), 1_500)?;
    let put = stack.s3().await.put_object().bucket(bucket).key("hooked in/a.parquet").body(content.into());
    put.send().await?;

    // The first try meets a 503. What is left is a notice, which the sweep hands to a finalizer.
    let told = || async {
        stack.invoke("CheckerFunction", &json!({"intent": "heal"})).await?;
        Ok((!heard.lock().unwrap().is_empty()).then_some(()))
    };
    eventually("the webhook to be told", PATIENCE, told).await?;
    let posted = heard.lock().unwrap()[0].clone();
    assert_eq!(posted["text"], "\u{2705} hooked: a.parquet is complete");
    let gone = || async { Ok(list_all(sink.as_ref(), keys::NOTICES).await?.is_empty().then_some(())) };
    eventually("the notice to be gone", PATIENCE, gone).await?;
    assert_eq!(heard.lock().unwrap().len(), 1, "once");
    assert!(!std::fs::read_to_string(&stack.log)?.contains("hush"), "its URL is a secret");
    Ok(())
}
