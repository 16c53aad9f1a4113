//! What happens, as server-sent events. Their ids are places in the journal, so a client that lost its
//! connection, or whose daemon was restarted, goes on with `Last-Event-ID` where it was.

use super::State;
use super::answer::ApiError;
use crate::shell::Refused;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dunnage_model::Event;
use dunnage_store::{History, Reader};
use dunnage_wire::journal::decode_facts;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::json;
use std::convert::Infallible;
use std::fmt::Write;
use tokio::sync::mpsc;

/// At most this many records are read at a time.
const RECORDS: usize = 256;

pub(crate) async fn events(
    axum::extract::State(shared): State,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let last =
        headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse::<u64>().ok());
    let mut reader =
        Reader::open(&shared.journal).map_err(|error| ApiError::from(Refused::Broken(error.in_full())))?;
    let (sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(16);
    let mut ended = shared.front.ended_attempts.subscribe();
    let mut after = last.unwrap_or(0);
    let clock = shared.clock.clone();
    tokio::spawn(async move {
        loop {
            let Ok((back, records)) = tokio::task::spawn_blocking(move || {
                let records = reader.facts_since(after, RECORDS);
                (reader, records)
            })
            .await
            else {
                return;
            };
            reader = back;
            let Ok(records) = records else { return };
            if records.is_empty() {
                // Something ends, or a comment keeps the connection known to be alive.
                tokio::select! {
                    _ = ended.recv() => {}
                    () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {
                        if sender.is_closed() {
                            return;
                        }
                    }
                }
                continue;
            }
            let mut text = String::new();
            for record in &records {
                after = record.seq;
                let mut facts = Vec::new();
                let _ = decode_facts(&record.body, &mut |fact| {
                    let at = clock.wall_us_of(fact.at) as f64 / 1e6;
                    let (kind, task, attempt) = told(&fact.event);
                    facts.push(json!({ "at": at, "event": kind, "task": task, "attempt": attempt }));
                });
                let data = json!({ "graph": record.graph.to_string(), "facts": facts });
                let _ = write!(text, "id: {}\nevent: facts\ndata: {data}\n\n", record.seq);
            }
            if sender.send(Ok(Frame::data(Bytes::from(text)))).await.is_err() {
                return;
            }
        }
    });
    let stream = futures_from(receiver);
    let body = axum::body::Body::new(StreamBody::new(stream));
    Ok(([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")], body)
        .into_response())
}

fn told(event: &Event) -> (&'static str, Option<u32>, Option<u32>) {
    match event {
        Event::Placed { attempt, .. } => ("placed", Some(attempt.task.index), Some(attempt.attempt.0)),
        Event::Started { attempt } => ("started", Some(attempt.task.index), Some(attempt.attempt.0)),
        Event::Finished { attempt, .. } => ("finished", Some(attempt.task.index), Some(attempt.attempt.0)),
        Event::Failed { attempt, .. } => ("failed", Some(attempt.task.index), Some(attempt.attempt.0)),
        Event::NeverStarted { attempt } => {
            ("never_started", Some(attempt.task.index), Some(attempt.attempt.0))
        }
        Event::ValueLost { task } => ("value_lost", Some(task.index), None),
        Event::Cancelled { task, .. } => ("cancelled", *task, None),
        Event::HeldBack { .. } => ("held", None, None),
        Event::Released { .. } => ("released", None, None),
        Event::Retried { task, .. } => ("retried", *task, None),
        Event::Submitted(_)
        | Event::Extended { .. }
        | Event::NodeSeen(_)
        | Event::DeviceSampled { .. }
        | Event::MemoryUsed { .. }
        | Event::DeviceLost { .. }
        | Event::NodeLost { .. }
        | Event::Planned { .. }
        | Event::Reported { .. }
        | Event::TimerFired => ("other", None, None),
    }
}

/// A channel as a stream.
fn futures_from<T>(receiver: mpsc::Receiver<T>) -> Channel<T> {
    Channel(receiver)
}

struct Channel<T>(mpsc::Receiver<T>);

impl<T> futures_core::Stream for Channel<T> {
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}
