//! HTTP by hand, so that requests can be wrong in every way.

use crate::wait::PATIENCE;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends a request on a connection of its own and reads the answer. `head` holds further header lines.
pub fn ask(socket: &Path, method: &str, path: &str, head: &[&str], body: &str) -> Answer {
    let mut lines = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !head.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
        lines.push_str("Host: dunnage\r\n");
    }
    for line in head {
        lines.push_str(line);
        lines.push_str("\r\n");
    }
    if !body.is_empty() {
        lines.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    parse(&exchange(socket, format!("{lines}\r\n{body}").as_bytes(), false))
}

/// Sends bytes as they are, says that no more will come, and gives all that comes back.
///
/// # Panics
/// Nobody listens, or the other end keeps the connection for too long.
pub fn raw(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    exchange(socket, bytes, true)
}

fn exchange(socket: &Path, bytes: &[u8], hang_up: bool) -> Vec<u8> {
    let mut stream = connect(socket);
    // The other end may have hung up before it had everything.
    let _ = stream.write_all(bytes);
    if hang_up {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset && error.kind() != ErrorKind::BrokenPipe => {
            panic!("no answer: {error}")
        }
        _ => answer,
    }
}

fn connect(socket: &Path) -> UnixStream {
    let stream =
        UnixStream::connect(socket).unwrap_or_else(|error| panic!("`{}`: {error}", socket.display()));
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        unchunk(body)
    } else {
        body.to_owned()
    };
    Answer { status, head: head.to_owned(), body }
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || after.len() < size {
            break;
        }
        body.push_str(&after[..size]);
        rest = after.get(size + 2..).unwrap_or("");
    }
    body
}

/// Server-sent events as they come.
#[derive(Debug)]
pub struct Stream {
    stream: UnixStream,
    text: String,
}

impl Stream {
    /// Asks for events, after one that is known already.
    ///
    /// # Panics
    /// Nobody listens.
    pub fn open(socket: &Path, path: &str, after: Option<u64>) -> Self {
        let mut stream = connect(socket);
        let last = after.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        write!(stream, "GET {path} HTTP/1.1\r\nHost: dunnage\r\n{last}\r\n").expect("a request");
        Self { stream, text: String::new() }
    }

    /// Reads until there are so many events, as their ids and data.
    ///
    /// # Panics
    /// The connection breaks, or nothing comes.
    pub fn events(&mut self, count: usize) -> Vec<(u64, Value)> {
        self.until(|events| events.len() >= count)
    }

    /// Reads until the events are as wanted, and gives all of them.
    ///
    /// # Panics
    /// The connection breaks, or nothing comes.
    pub fn until(&mut self, so: impl Fn(&[(u64, Value)]) -> bool) -> Vec<(u64, Value)> {
        loop {
            let events = self.parsed();
            if so(&events) {
                return events;
            }
            let mut buffer = [0_u8; 8192];
            let read = self.stream.read(&mut buffer).expect("events");
            assert!(read > 0, "the stream ended: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    }

    /// The events that are there in full.
    fn parsed(&self) -> Vec<(u64, Value)> {
        let mut events = Vec::new();
        for event in self.text.split("\n\n").filter(|event| event.contains("id: ")) {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(data)) = (field("id: "), field("data: "))
                && let (Ok(id), Ok(data)) = (id.trim().parse(), serde_json::from_str(data))
            {
                events.push((id, data));
            }
        }
        events
    }
}
