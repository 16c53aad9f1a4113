//! The daemon itself and the machine.

use super::answer::ApiError;
use super::{Peer, State};
use crate::shell::{Command, Input};
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use dunnage_wire::api::{DaemonDoc, DevicesDoc};
use serde::Deserialize;

pub(crate) async fn daemon(axum::extract::State(shared): State) -> Result<Json<DaemonDoc>, ApiError> {
    let launcher_pid = shared.front.ask(|reply| Command::LauncherPid { reply }).await?;
    Ok(Json(DaemonDoc {
        pid: std::process::id(),
        launcher_pid,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state_dir: shared.state_dir.display().to_string(),
        up_s: shared.started.elapsed().as_secs(),
    }))
}

#[derive(Deserialize, Default)]
pub(crate) struct StopBody {
    #[serde(default)]
    kill: bool,
}

pub(crate) async fn stop(
    axum::extract::State(shared): State,
    Extension(peer): Extension<Peer>,
    Json(body): Json<StopBody>,
) -> Result<Json<serde_json::Value>, ApiError> {
    operator(peer)?;
    drop(shared.front.inputs.send(Input::Stop { kill: body.kill }));
    Ok(Json(serde_json::json!({})))
}

/// The machine belongs to whoever runs the daemon.
fn operator(peer: Peer) -> Result<(), ApiError> {
    let me = rustix::process::geteuid().as_raw();
    if peer.owner.0 == me || peer.owner.0 == 0 {
        Ok(())
    } else {
        Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", "only who runs the daemon may do this"))
    }
}

pub(crate) async fn devices(axum::extract::State(shared): State) -> Result<Json<DevicesDoc>, ApiError> {
    Ok(Json(*shared.front.ask(|reply| Command::Devices { reply }).await?))
}

pub(crate) async fn drain(
    axum::extract::State(shared): State,
    Extension(peer): Extension<Peer>,
    Path(device): Path<String>,
) -> Result<Json<serde_json::Value>, ApiError> {
    operator(peer)?;
    shared.front.ask(|reply| Command::Drain { device, drain: true, reply }).await?;
    Ok(Json(serde_json::json!({})))
}

pub(crate) async fn resume(
    axum::extract::State(shared): State,
    Extension(peer): Extension<Peer>,
    Path(device): Path<String>,
) -> Result<Json<serde_json::Value>, ApiError> {
    operator(peer)?;
    shared.front.ask(|reply| Command::Drain { device, drain: false, reply }).await?;
    Ok(Json(serde_json::json!({})))
}

pub(crate) async fn schema() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/schema+json")], dunnage_wire::schema::graph_schema())
}
