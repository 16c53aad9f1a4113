//! The body of a submission as a stream that a blocking parser reads.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use std::io::{self, Read};
use std::time::Duration;
use tokio::sync::mpsc;

/// A client that sends nothing for this long is given up.
const CHUNK_WITHIN: Duration = Duration::from_secs(10);

/// The parser's end.
pub(crate) struct BodyReader {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

/// Starts to pass a body on. Only a few chunks are held at a time.
pub(crate) fn reader(mut body: Body) -> BodyReader {
    let (sender, chunks) = mpsc::channel(8);
    tokio::spawn(async move {
        loop {
            let frame = match tokio::time::timeout(CHUNK_WITHIN, body.frame()).await {
                Ok(None) => return,
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Ok(data),
                    Err(_) => continue,
                },
                Ok(Some(Err(error))) => Err(io::Error::other(error)),
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client sent nothing for 10 s")),
            };
            let failed = frame.is_err();
            if sender.send(frame).await.is_err() || failed {
                return;
            }
        }
    });
    BodyReader { chunks, current: Bytes::new() }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.current = chunk?,
            }
        }
        let taken = self.current.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&self.current.split_to(taken));
        Ok(taken)
    }
}
