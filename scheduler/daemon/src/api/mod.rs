//! The HTTP API on the daemon's Unix socket, and the read-only listener for metrics.
//!
//! Who asks is told by the kernel (`SO_PEERCRED`), never by the request. `Host` and `Origin` are
//! checked on every method, so that no page in a browser can reach the socket through a proxy.

mod answer;
mod body;
mod events;
mod graphs;
mod guard;
mod machine;
mod metrics;
mod openapi;
mod serve;

use crate::front::Front;
use axum::Router;
use axum::routing::{get, post, put};
use std::sync::Arc;

pub(crate) use guard::Peer;
pub(crate) use serve::{bind, metrics_listener, serve};

/// What the handlers share.
pub(crate) struct Shared {
    pub(crate) front: Front,
    pub(crate) exporter: dunnage_exporters::Exporter,
    /// Bytes that the document of one graph may have.
    pub(crate) graph_bytes_max: u64,
    pub(crate) state_dir: std::path::PathBuf,
    pub(crate) started: std::time::Instant,
    pub(crate) started_wall_s: f64,
    /// The store's file, for readers of the past.
    pub(crate) journal: std::path::PathBuf,
    pub(crate) clock: dunnage_store::StoreClock,
}

pub(crate) type State = axum::extract::State<Arc<Shared>>;

/// All routes of the socket.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/daemon", get(machine::daemon))
        .route("/v1/stop", post(machine::stop))
        .route("/v1/environments", put(graphs::environment))
        .route("/v1/graphs", get(graphs::list).post(graphs::submit))
        .route("/v1/graphs/{id}", get(graphs::status))
        .route("/v1/graphs/{id}/progress", get(graphs::progress))
        .route("/v1/graphs/{id}/wait", get(graphs::wait))
        .route("/v1/graphs/{id}/cancel", post(graphs::cancel))
        .route("/v1/graphs/{id}/hold", post(graphs::hold))
        .route("/v1/graphs/{id}/release", post(graphs::release))
        .route("/v1/graphs/{id}/retry", post(graphs::retry))
        .route("/v1/graphs/{id}/explain", get(graphs::explain))
        .route("/v1/graphs/{id}/logs", get(graphs::logs))
        .route("/v1/graphs/{id}/log", get(graphs::log))
        .route("/v1/devices", get(machine::devices))
        .route("/v1/devices/{id}/drain", post(machine::drain))
        .route("/v1/devices/{id}/resume", post(machine::resume))
        .route("/v1/events", get(events::events))
        .route("/v1/schema", get(machine::schema))
        .route("/v1/openapi.json", get(openapi::openapi))
        .merge(metrics::router())
        .layer(axum::middleware::from_fn(guard::check))
        .with_state(shared)
}
