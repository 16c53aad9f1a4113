//! Asking a daemon over its socket.

use crate::cli::exit::{FAILED, Failure, UNREACHABLE};
use bytes::Bytes;
use dunnage_wire::api::ErrorDoc;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// A connection to a daemon.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(socket: &Path) -> Result<Self, Failure> {
        let unreachable = |why: String| {
            Failure::new(UNREACHABLE, format!("no daemon answers at `{}`: {why}", socket.display()))
                .hint("start one with `dunnage daemon`, or run the graph without one: `dunnage run GRAPH`")
        };
        let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::new(
                crate::cli::exit::REFUSED,
                format!("the daemon at `{}` serves another user", socket.display()),
            ),
            _ => unreachable(error.to_string()),
        })?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        tokio::spawn(connection);
        Ok(Self { socket: socket.to_owned(), sender })
    }

    /// Asks and reads the answer. `file` names what was sent, for error messages.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        file: &str,
    ) -> Result<T, Failure> {
        let text = self.ask_text(method, path, body, file).await?;
        serde_json::from_slice(&text)
            .map_err(|error| Failure::new(FAILED, format!("the daemon's answer is not understood: {error}")))
    }

    /// Asks and gives the answer as it is.
    pub(crate) async fn ask_text(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        file: &str,
    ) -> Result<Bytes, Failure> {
        let lost = |error: String| {
            Failure::new(UNREACHABLE, format!("the connection to the daemon broke: {error}"))
                .hint("what it had accepted goes on, and is found again when it is started")
        };
        if self.sender.is_closed() {
            *self = Self::connect(&self.socket).await?;
        }
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "dunnage");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| Failure::new(FAILED, format!("cannot make the request `{path}`: {error}")))?;
        self.sender.ready().await.map_err(|error| lost(error.to_string()))?;
        let answer = self.sender.send_request(request).await.map_err(|error| lost(error.to_string()))?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.map_err(|error| lost(error.to_string()))?.to_bytes();
        if status.is_success() {
            return Ok(bytes);
        }
        let doc = serde_json::from_slice::<ErrorDoc>(&bytes).unwrap_or_else(|_| ErrorDoc {
            error: format!("the daemon answered {status}: {}", String::from_utf8_lossy(&bytes)),
            ..ErrorDoc::default()
        });
        Err(Failure::answer(status.as_u16(), doc, file))
    }

    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, None, "").await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &serde_json::Value) -> Result<(), Failure> {
        let _: serde_json::Value = self.ask(Method::POST, path, Some(body.to_string().into()), "").await?;
        Ok(())
    }
}

/// A word for a path or query of a URL.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
