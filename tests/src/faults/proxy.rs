//! The proxy that injects faults, by its control interface.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// microburst, in front of the emulator.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Where it answers, `http://127.0.0.1:port`.
    pub endpoint: String,
}

impl Proxy {
    /// Replaces what it does: a list of rules. Answers them with their ids.
    pub fn set_rules(&self, rules: &Value) -> Result<Value> {
        self.ask("POST", "rules", Some(rules))
    }

    /// What it did, and forgets it.
    pub fn take_fired(&self) -> Result<Vec<Value>> {
        let fired = self.ask("GET", "fired?limit=2000", None)?;
        self.ask("DELETE", "fired", None)?;
        Ok(fired.as_array().context("a list")?.clone())
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let address = self.endpoint.strip_prefix("http://").context("a plain endpoint")?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let body = body.map(ToString::to_string).unwrap_or_default();
        write!(
            stream,
            "{method} /_microburst/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let (head, body) = reply.split_once("\r\n\r\n").context("no end of the reply's head")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {reply}");
        Ok(serde_json::from_str(body)?)
    }
}
