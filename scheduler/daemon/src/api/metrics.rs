//! The pages for machines: metrics, health, readiness.

use super::{Shared, State};
use crate::shell::Command;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use dunnage_exporters::{CONTENT_TYPE, ProcessInfo};
use std::sync::Arc;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}

async fn metrics(axum::extract::State(shared): State) -> Response {
    let snapshot = match shared.front.ask(|reply| Command::Snapshot { reply }).await {
        Ok(snapshot) => snapshot,
        Err(refused) => return super::answer::ApiError::from(refused).into_response(),
    };
    let process = ProcessInfo {
        now: Some(shared.clock.now()),
        start_time_seconds: Some(shared.started_wall_s),
        ..ProcessInfo::of_this_process()
    };
    let page = shared.exporter.render_page(&snapshot, &process);
    for fault in &page.faults {
        eprintln!("dunnage: the collector `{}` failed: {}", fault.collector.word(), fault.message);
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page.text).into_response()
}

async fn ready(axum::extract::State(shared): State) -> Response {
    match shared.front.ask(|reply| Command::Snapshot { reply }).await {
        Ok(_) => "ready\n".into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}
