//! One connection to a daemon's socket, kept open: enough of HTTP/1.1 for our own answers.

use crate::Failure;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    /// Connects.
    pub fn connect(socket: &Path) -> std::io::Result<Self> {
        Ok(Self { reader: BufReader::new(UnixStream::connect(socket)?) })
    }

    /// Asks and gives the body of the answer, which must be a success.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>, Failure> {
        let (status, answer) = self.exchange(method, path, body)?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        Err(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&answer)).into())
    }

    /// Asks and gives the answer as JSON.
    pub fn json(&mut self, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
        Ok(serde_json::from_slice(&self.ask(method, path, body)?)?)
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, Vec<u8>), Failure> {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: dunnage\r\n{kind}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = self.reader.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let status = self.line()?;
        let status: u16 = status.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("no status")?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        let mut answer = Vec::new();
        if !chunked {
            answer.resize(length, 0);
            self.reader.read_exact(&mut answer)?;
            return Ok((status, answer));
        }
        loop {
            let size = usize::from_str_radix(self.line()?.trim(), 16)?;
            let begin = answer.len();
            answer.resize(begin + size, 0);
            self.reader.read_exact(&mut answer[begin..])?;
            self.line()?;
            if size == 0 {
                return Ok((status, answer));
            }
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err("the daemon closed the connection".into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}
