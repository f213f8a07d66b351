//! Hours of events as GitHub Archive has them: one JSON object a line, many types, gzip of several members.
//!
//! Shares of types and sizes are those of 2015-01-01, 15:00 UTC.

use std::fmt::Write as _;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::random::Random;

const SEED: u64 = 2_015;
/// A member holds so many events: an hour of 2015.
const MEMBER_EVENTS: u64 = 11_351;
/// Types but for PushEvent: share of all, and bytes of payload.
const OTHERS: [(&str, f64, usize); 7] = [
    ("CreateEvent", 0.13, 150),
    ("WatchEvent", 0.11, 30),
    ("IssueCommentEvent", 0.08, 4_300),
    ("IssuesEvent", 0.055, 2_600),
    ("PullRequestEvent", 0.045, 14_900),
    ("ForkEvent", 0.035, 4_800),
    ("PullRequestReviewCommentEvent", 0.012, 18_300),
];
const WORDS: [&str; 24] = [
    "fix",
    "the",
    "header",
    "on",
    "mobile",
    "update",
    "README",
    "merge",
    "branch",
    "'master'",
    "add",
    "tests",
    "for",
    "parser",
    "remove",
    "unused",
    "code",
    "naïve",
    "\\\"quoted\\\"",
    "path\\\\to",
    "line\\nbreak",
    "bump",
    "version",
    "v2",
];

/// Writes so many events.
pub fn write(events: u64, sink: &mut impl Write) -> io::Result<()> {
    let mut first = 0;
    while first < events {
        let end = (first + MEMBER_EVENTS).min(events);
        let mut member = GzEncoder::new(&mut *sink, Compression::default());
        for number in first..end {
            member.write_all(event(number).as_bytes())?;
            member.write_all(b"\n")?;
        }
        member.finish()?;
        first = end;
    }
    Ok(())
}

fn event(number: u64) -> String {
    let mut random = Random::new(SEED ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    let (user, repo) = (name(&mut random), name(&mut random));
    let drawn = random.unit();
    let mut sum = 0.0;
    let other = OTHERS.iter().find(|(_, share, _)| {
        sum += share;
        drawn < sum
    });
    let (kind, payload) = match other {
        Some((kind, _, bytes)) => (*kind, padding(&mut random, &user, &repo, *bytes)),
        None => ("PushEvent", push(&mut random, &user, &repo)),
    };
    let second = number * 3_600 / MEMBER_EVENTS;
    let (day, hour) = (1 + second / 86_400 % 28, second / 3_600 % 24);
    format!(
        "{{\"id\":\"{id}\",\"type\":\"{kind}\",\"actor\":{{\"id\":{number},\"login\":\"{user}\",\"gravatar_id\":\"\",\
         \"url\":\"https://api.github.com/users/{user}\"}},\"repo\":{{\"id\":{id},\"name\":\"{user}/{repo}\",\
         \"url\":\"https://api.github.com/repos/{user}/{repo}\"}},\"payload\":{payload},\"public\":true,\
         \"created_at\":\"2015-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z\"}}",
        id = 2_489_651_051 + number,
        minute = second / 60 % 60,
        second = second % 60,
    )
}

fn push(random: &mut Random, user: &str, repo: &str) -> String {
    // Most pushes are of one commit, a few of many.
    let commits = if random.chance(0.72) { 1 } else { random.between(0, 5) };
    let mut payload =
        format!("{{\"push_id\":{},\"size\":{commits},\"ref\":\"refs/heads/master\",\"commits\":[", random.bits());
    for commit in 0..commits {
        let comma = if commit > 0 { "," } else { "" };
        let (sha, author) = (random.bits(), name(random));
        let length = random.between(2, 14);
        let _ = write!(
            payload,
            "{comma}{{\"sha\":\"{sha:040x}\",\"author\":{{\"email\":\"{sha:016x}@{user}.org\",\"name\":\"{author}\"}},\
             \"message\":\"{}\",\"distinct\":true,\"url\":\"https://api.github.com/repos/{user}/{repo}/commits/{sha:040x}\"}}",
            words(random, length)
        );
    }
    payload.push_str("]}");
    payload
}

/// Members that nobody reads, of about so many bytes.
fn padding(random: &mut Random, user: &str, repo: &str, bytes: usize) -> String {
    let mut payload = String::from("{\"action\":\"opened\"");
    let mut member = 0;
    while payload.len() < bytes {
        member += 1;
        let _ = match member % 3 {
            0 => write!(payload, ",\"commits_{member}\":[{{\"message\":\"{}\"}}]", words(random, 12)),
            1 => write!(
                payload,
                ",\"url_{member}\":\"https://api.github.com/repos/{user}/{repo}/issues/{member}{{/name}}\""
            ),
            _ => write!(
                payload,
                ",\"user_{member}\":{{\"login\":\"{user}\",\"id\":{},\"type\":\"User\"}}",
                random.bits()
            ),
        };
    }
    payload.push('}');
    payload
}

fn words(random: &mut Random, count: i64) -> String {
    let words: Vec<&str> = (0..count).map(|_| random.one_of(&WORDS)).collect();
    words.join(" ")
}

fn name(random: &mut Random) -> String {
    format!("{}-{}", random.one_of(&["octo", "rust", "data", "mill", "trip"]), random.between(1, 40_000))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_line_is_an_event_and_about_half_are_pushes_of_commits() {
        let mut bytes = Vec::new();
        write(MEMBER_EVENTS + 100, &mut bytes).unwrap();
        let mut text = String::new();
        MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len() as u64, MEMBER_EVENTS + 100);
        let pushes: Vec<&Value> = events.iter().filter(|event| event["type"] == "PushEvent").collect();
        assert!((5_500..6_500).contains(&pushes.len()), "{}", pushes.len());
        let commits: usize = pushes.iter().map(|push| push["payload"]["commits"].as_array().unwrap().len()).sum();
        assert!(commits > pushes.len(), "{commits}");
    }
}
