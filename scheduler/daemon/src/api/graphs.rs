//! Graphs: submitting, looking, changing.

use super::answer::ApiError;
use super::{Peer, State, body};
use crate::front::{Submission, limits};
use crate::shell::{Command, Refused};
use axum::body::Body;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::{Extension, Json};
use dunnage_model::GraphId;
use dunnage_wire::api::{
    ErrorDoc, ExplainDoc, LogDoc, ProblemDoc, ProgressDoc, QueueRow, StatusDoc, SubmittedDoc,
};
use dunnage_wire::graph_file;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// An environment may have this many bytes.
const ENVIRONMENT_MAX: usize = 4 << 20;

fn id(text: &str) -> Result<GraphId, ApiError> {
    text.parse().map(GraphId).map_err(|_| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no graph `{text}`: ids are numbers"),
        )
    })
}

pub(crate) async fn environment(
    axum::extract::State(shared): State,
    body: Body,
) -> Result<Json<serde_json::Value>, ApiError> {
    let bytes = axum::body::to_bytes(body, ENVIRONMENT_MAX).await.map_err(|_| {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid", "the environment is larger than 4 MiB")
    })?;
    let vars: BTreeMap<String, String> = serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid", format!("not a table of texts: {error}"))
    })?;
    let environments = std::sync::Arc::clone(&shared.front.environments);
    let pairs: Vec<(String, String)> = vars.into_iter().collect();
    let name = tokio::task::spawn_blocking(move || environments.put(&pairs))
        .await
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()))?
        .map_err(|error| ApiError::from(Refused::Broken(error.in_full())))?;
    Ok(Json(serde_json::json!({ "environment": name })))
}

#[derive(Deserialize)]
pub(crate) struct SubmitQuery {
    /// What relative paths are relative to; absolute.
    dir: PathBuf,
    /// A name for a graph that has none.
    name: Option<String>,
    /// The name of an environment that was sent before.
    environment: Option<String>,
    #[serde(default)]
    hold: bool,
    trace: Option<String>,
}

pub(crate) async fn submit(
    axum::extract::State(shared): State,
    Extension(peer): Extension<Peer>,
    Query(query): Query<SubmitQuery>,
    body: Body,
) -> Result<(StatusCode, Json<SubmittedDoc>), ApiError> {
    if !query.dir.is_absolute() {
        let text = format!("dir: not an absolute path: `{}`", query.dir.display());
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid", text));
    }
    let reader = body::reader(body);
    let limits = limits(shared.front.functions_max, shared.graph_bytes_max);
    let decoded = tokio::task::spawn_blocking(move || graph_file::decode_json(reader, &limits))
        .await
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()))?
        .map_err(|problems| {
            ApiError(
                StatusCode::BAD_REQUEST,
                ErrorDoc {
                    error: "the graph is not valid".to_owned(),
                    code: "invalid".to_owned(),
                    problems: problems.iter().map(ProblemDoc::from).collect(),
                },
            )
        })?;
    let id = shared
        .front
        .submit(Submission {
            decoded,
            name: query.name,
            dir: query.dir,
            environment: query.environment,
            owner: peer.owner,
            held: query.hold,
            trace: query.trace,
            id: None,
        })
        .await?;
    Ok((StatusCode::CREATED, Json(SubmittedDoc { id: id.to_string() })))
}

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    /// Whether starts and ends are to be predicted.
    #[serde(default)]
    start: bool,
}

pub(crate) async fn list(
    axum::extract::State(shared): State,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<QueueRow>>, ApiError> {
    let mut rows: Vec<QueueRow> = shared.front.ask(|reply| Command::Queue { reply }).await?;
    if query.start {
        let (outlook, now) = *shared.front.ask(|reply| Command::Outlook { reply }).await?;
        let times = tokio::task::spawn_blocking(move || outlook.times()).await.map_err(|error| {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
        })?;
        for row in &mut rows {
            let expected = row.id.parse().ok().and_then(|id| times.get(&GraphId(id)));
            if let Some(expected) = expected {
                row.start_s = expected.start.map(|at| at.since(now).as_secs_f64());
                row.end_s = expected.end.map(|at| at.since(now).as_secs_f64());
            }
        }
    }
    Ok(Json(rows))
}

pub(crate) async fn status(
    axum::extract::State(shared): State,
    Path(graph): Path<String>,
) -> Result<Json<StatusDoc>, ApiError> {
    let id = id(&graph)?;
    Ok(Json(*shared.front.ask(|reply| Command::Status { id, reply }).await?))
}

pub(crate) async fn progress(
    axum::extract::State(shared): State,
    Path(graph): Path<String>,
) -> Result<Json<ProgressDoc>, ApiError> {
    let id = id(&graph)?;
    Ok(Json(*shared.front.ask(|reply| Command::Progress { id, reply }).await?))
}

pub(crate) async fn wait(
    axum::extract::State(shared): State,
    Path(graph): Path<String>,
) -> Result<Json<StatusDoc>, ApiError> {
    let id = id(&graph)?;
    shared.front.ask(|reply| Command::Wait { id, reply }).await?;
    Ok(Json(*shared.front.ask(|reply| Command::Status { id, reply }).await?))
}

#[derive(Deserialize, Default)]
pub(crate) struct FunctionQuery {
    function: Option<String>,
}

pub(crate) async fn cancel(
    axum::extract::State(shared): State,
    Extension(peer): Extension<Peer>,
    Path(graph): Path<String>,
    Query(query): Query<FunctionQuery>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let (id, function, by) = (id(&graph)?, query.function, peer.owner);
    shared.front.ask(|reply| Command::Cancel { id, function, by, reply }).await?;
    Ok(Json(serde_json::json!({})))
}

pub(crate) async fn hold(
    axum::extract::State(shared): State,
    Extension(peer): Extension<Peer>,
    Path(graph): Path<String>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let (id, by) = (id(&graph)?, peer.owner);
    shared.front.ask(|reply| Command::Hold { id, by, reply }).await?;
    Ok(Json(serde_json::json!({})))
}

pub(crate) async fn release(
    axum::extract::State(shared): State,
    Extension(peer): Extension<Peer>,
    Path(graph): Path<String>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let (id, by) = (id(&graph)?, peer.owner);
    shared.front.ask(|reply| Command::Release { id, by, reply }).await?;
    Ok(Json(serde_json::json!({})))
}

pub(crate) async fn retry(
    axum::extract::State(shared): State,
    Extension(peer): Extension<Peer>,
    Path(graph): Path<String>,
    Query(query): Query<FunctionQuery>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let (id, function, by) = (id(&graph)?, query.function, peer.owner);
    shared.front.ask(|reply| Command::Retry { id, function, by, reply }).await?;
    Ok(Json(serde_json::json!({})))
}

pub(crate) async fn explain(
    axum::extract::State(shared): State,
    Path(graph): Path<String>,
    Query(query): Query<FunctionQuery>,
) -> Result<Json<ExplainDoc>, ApiError> {
    let id = id(&graph)?;
    let Some(function) = query.function else {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid", "which function? add `?function=ID`"));
    };
    Ok(Json(*shared.front.ask(|reply| Command::Explain { id, function, reply }).await?))
}

#[derive(Deserialize, Default)]
pub(crate) struct LogQuery {
    function: Option<String>,
    attempt: Option<u32>,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    follow: bool,
}

/// Which logs there are: one entry without text for each task that was started.
pub(crate) async fn logs(
    axum::extract::State(shared): State,
    Extension(peer): Extension<Peer>,
    Path(graph): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Json<Vec<LogDoc>>, ApiError> {
    let parts = shared.front.logs(id(&graph)?, query.function, query.attempt, peer.owner).await?;
    Ok(Json(
        parts
            .into_iter()
            .map(|part| LogDoc {
                function: part.function,
                attempt: part.attempt.attempt.0,
                ended: !part.running,
                ..LogDoc::default()
            })
            .collect(),
    ))
}

/// A piece of one log; with `follow`, answered when there is more.
pub(crate) async fn log(
    axum::extract::State(shared): State,
    Extension(peer): Extension<Peer>,
    Path(graph): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogDoc>, ApiError> {
    let ended = shared.front.ended_attempts.subscribe();
    let parts = shared.front.logs(id(&graph)?, query.function, query.attempt, peer.owner).await?;
    let Some(part) = parts.first() else {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "it was not started yet: there is no log",
        ));
    };
    let (chunk, over) = shared.front.log_chunk(part, ended, query.offset, query.follow).await?;
    Ok(Json(LogDoc {
        function: part.function.clone(),
        attempt: part.attempt.attempt.0,
        text: String::from_utf8_lossy(&chunk.bytes).into_owned(),
        next: chunk.offset + chunk.bytes.len() as u64,
        ended: over,
        truncated: chunk.cut,
    }))
}
