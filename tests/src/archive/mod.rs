//! An archive of hours like GitHub Archive's: made-up events, the rows that they make, and a server that has bad moments.

mod faults;
mod server;

pub use faults::{Fault, Faults};
pub use server::Server;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use arrow::array::{Array, StringArray};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::random::Random;

/// A commit that was pushed: user, repository, message.
pub type Push = (String, String, String);

/// The dataset file, reading from `origin`.
pub fn dataset(origin: &str) -> String {
    let shipped = include_str!("../../../infra/datasets/gharchive_push_range.toml");
    shipped
        .replace("https://data.gharchive.org/", &format!("{origin}/"))
        .replace("[source]", "[source]\nallow_http = true")
}

/// The name of an hour's file.
pub fn name(hour: u32) -> String {
    format!("2015-01-01-{hour}.json.gz")
}

/// The 24 hours of 2015-01-01, by name: made up, but for the one hour that the corpus has.
pub fn day(seed: u64, events: usize, corpus: Option<&Path>) -> Result<BTreeMap<String, Bytes>> {
    let mut files = BTreeMap::new();
    for hour in 0..24 {
        let real = corpus.map(|corpus| corpus.join("gharchive").join(name(hour))).filter(|path| path.exists());
        let bytes = match real {
            Some(path) => std::fs::read(path)?,
            None => packed(&events_of(seed, hour, events))?,
        };
        files.insert(name(hour), Bytes::from(bytes));
    }
    Ok(files)
}

/// Events of one hour, one a line: pushes of no to three commits, and others whose payload has another shape.
pub fn events_of(seed: u64, hour: u32, events: usize) -> String {
    let mut random = Random::new(seed.wrapping_mul(31).wrapping_add(u64::from(hour)));
    let mut text = String::new();
    for number in 0..events {
        let created_at = format!("2015-01-01T{hour:02}:{:02}:{:02}Z", number % 60, number / 60 % 60);
        let user = format!("user{}", random.between(0, 99));
        let commits: Vec<Value> = (0..random.between(0, 3))
            .map(|nth| {
                json!({"sha": format!("{:016x}", random.bits()), "author": {"name": user},
                "message": format!("hour {hour} event {number} commit {nth}: \"ünïcode\"\nsecond line")})
            })
            .collect();
        let (kind, payload) = match random.between(0, 2) {
            0 => ("WatchEvent", json!({"action": "started", "commits": "none"})),
            _ => ("PushEvent", json!({"size": commits.len(), "commits": commits})),
        };
        let event = json!({"id": number.to_string(), "type": kind, "actor": {"login": user},
            "repo": {"name": format!("{user}/repo")}, "payload": payload, "created_at": created_at});
        text.push_str(&format!("{event}\n"));
    }
    text
}

/// Gzip in two members, as some archives have it.
pub fn packed(text: &str) -> Result<Vec<u8>> {
    let half = text.len() / 2;
    let cut = text.get(half..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| half + end + 1);
    let mut bytes = Vec::new();
    for member in [text.get(..cut), text.get(cut..)].into_iter().flatten() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(member.as_bytes())?;
        bytes.extend(encoder.finish()?);
    }
    Ok(bytes)
}

/// The commits in these files, sorted: what another reader makes of them.
pub fn pushes(files: &BTreeMap<String, Bytes>) -> Result<Vec<Push>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut pushes = Vec::new();
    for bytes in files.values() {
        let mut plain = String::new();
        MultiGzDecoder::new(bytes.as_ref()).read_to_string(&mut plain)?;
        for line in plain.lines() {
            let event: Value = serde_json::from_str(line)?;
            if event["type"] != "PushEvent" {
                continue;
            }
            for commit in event["payload"]["commits"].as_array().into_iter().flatten() {
                pushes.push((text(&event["actor"]["login"]), text(&event["repo"]["name"]), text(&commit["message"])));
            }
        }
    }
    pushes.sort();
    Ok(pushes)
}

/// The commits in these parts, sorted.
pub fn rows(parts: impl IntoIterator<Item = Bytes>) -> Result<Vec<Push>> {
    let mut rows = Vec::new();
    for part in parts {
        for batch in ParquetRecordBatchReaderBuilder::try_new(part)?.build()? {
            let batch = batch?;
            let column = |name: &str| -> Result<StringArray> {
                let column = batch.column_by_name(name).with_context(|| format!("no column {name}"))?;
                let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8)?;
                Ok(column.as_any().downcast_ref::<StringArray>().context("not text")?.clone())
            };
            let (user, repo, message) = (column("user")?, column("repo")?, column("message")?);
            for row in 0..batch.num_rows() {
                let text = |column: &StringArray| column.value(row).to_owned();
                rows.push((text(&user), text(&repo), text(&message)));
            }
        }
    }
    rows.sort();
    Ok(rows)
}
