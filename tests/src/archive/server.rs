//! A web server of a few files, with ranges and conditions, on a thread for each connection.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;

use super::faults::{Fault, Faults};

/// The server. Its threads end with the process.
#[derive(Debug, Clone)]
pub struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// What a server knows.
#[derive(Debug)]
pub struct State {
    /// The files, by name.
    pub files: BTreeMap<String, Bytes>,
    /// Which requests go wrong.
    pub faults: Faults,
    /// Bytes of bodies sent, by file.
    pub sent: BTreeMap<String, u64>,
}

struct Request {
    method: String,
    name: String,
    headers: BTreeMap<String, String>,
}

impl Server {
    /// Serves these files on a port of its own.
    pub fn start(files: BTreeMap<String, Bytes>, faults: Faults) -> Result<Self> {
        Self::start_on(TcpListener::bind("127.0.0.1:0")?, files, faults)
    }

    /// Serves these files to those who connect to `listener`.
    pub fn start_on(listener: TcpListener, files: BTreeMap<String, Bytes>, faults: Faults) -> Result<Self> {
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State { files, faults, sent: BTreeMap::new() }));
        let server = Self { address, state };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // Whoever hangs up ends it.
                thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        Ok(server)
    }

    /// Its address, as the variable `ROWMILL_ALLOW_HOSTS` takes it.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What stands before a file's name in its URL, but for the slash.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it knows.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some(request) = read(&mut reader)? {
            if !self.answer(&request, &mut stream)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers one request. False where the connection is at its end.
    fn answer(&self, request: &Request, stream: &mut TcpStream) -> Result<bool> {
        let (file, fault) = {
            let mut state = self.state();
            (state.files.get(&request.name).cloned(), state.faults.roll())
        };
        match fault {
            Some(Fault::Reset) => return Ok(false),
            Some(Fault::Error) => return plain(stream, "500 Internal Server Error", ""),
            Some(Fault::Busy) => return plain(stream, "503 Service Unavailable", "retry-after: 0\r\n"),
            Some(Fault::Cut | Fault::Slow) | None => {}
        }
        let Some(file) = file else { return plain(stream, "404 Not Found", "") };
        let etag = etag(&file);
        if request.headers.get("if-match").is_some_and(|wanted| *wanted != etag) {
            return plain(stream, "412 Precondition Failed", "");
        }
        let whole = 0..file.len();
        let (status, range) = match request.headers.get("range").map(|range| slice(range, file.len())) {
            None => ("200 OK", whole),
            Some(Some(range)) => ("206 Partial Content", range),
            Some(None) => return plain(stream, "416 Range Not Satisfiable", ""),
        };
        let mut head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: {etag}\r\naccept-ranges: bytes\r\n\
             last-modified: Thu, 01 Jan 2015 16:00:00 GMT\r\n",
            range.len()
        );
        if status.starts_with("206") {
            head.push_str(&format!("content-range: bytes {}-{}/{}\r\n", range.start, range.end - 1, file.len()));
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if request.method == "HEAD" {
            return Ok(true);
        }
        let body = file.slice(range);
        let sent = if fault == Some(Fault::Cut) { body.len() / 2 } else { body.len() };
        *self.state().sent.entry(request.name.clone()).or_default() += u64::try_from(sent)?;
        let drop_bytes = if fault == Some(Fault::Slow) { body.len() / 5 + 1 } else { body.len().max(1) };
        for drop in body.slice(..sent).chunks(drop_bytes) {
            stream.write_all(drop)?;
            if fault == Some(Fault::Slow) {
                thread::sleep(Duration::from_millis(60));
            }
        }
        Ok(sent == body.len())
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Result<Option<Request>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let name = words.next().unwrap_or_default().trim_start_matches('/').to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(Some(Request { method, name, headers }));
        }
        if let Some((key, value)) = line.trim().split_once(':') {
            headers.insert(key.to_lowercase(), value.trim().to_owned());
        }
    }
}

fn plain(stream: &mut TcpStream, status: &str, headers: &str) -> Result<bool> {
    stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n{headers}\r\n").as_bytes())?;
    Ok(true)
}

/// The range that `bytes=first-last` asks for.
fn slice(text: &str, length: usize) -> Option<std::ops::Range<usize>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    let end = last.checked_add(1)?.min(length);
    (first < end).then_some(first..end)
}

fn etag(file: &Bytes) -> String {
    let mut hash = DefaultHasher::new();
    file.hash(&mut hash);
    format!("\"{:016x}\"", hash.finish())
}
