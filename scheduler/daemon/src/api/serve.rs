//! Accepting connections: bounded in number, and no client keeps one by saying nothing.

use super::{Peer, Shared};
use axum::Router;
use dunnage_model::Owner;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// At most this many connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// A client has this long for the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Takes the socket: a stale one is replaced, a living daemon's is not.
pub(crate) async fn bind(path: &Path) -> Result<UnixListener, String> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
    }
    if path.exists() {
        if UnixStream::connect(path).await.is_ok() {
            return Err(format!(
                "another daemon listens on `{}`: stop it, or give another --socket",
                path.display()
            ));
        }
        let meta = std::fs::symlink_metadata(path).map_err(|error| error.to_string())?;
        if !std::os::unix::fs::FileTypeExt::is_socket(&meta.file_type()) {
            return Err(format!("`{}` is there and is not a socket: give another --socket", path.display()));
        }
        std::fs::remove_file(path)
            .map_err(|error| format!("cannot replace the stale socket `{}`: {error}", path.display()))?;
    }
    let listener = UnixListener::bind(path)
        .map_err(|error| format!("cannot listen on `{}`: {error}", path.display()))?;
    // Whom a daemon of root serves besides, its administrator says with the group of the socket.
    let mode = 0o660;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|error| format!("cannot set the mode of `{}`: {error}", path.display()))?;
    Ok(listener)
}

/// Serves the socket until the task is dropped.
pub(crate) async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    let router = super::router(shared);
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of descriptors: give those that are open time to end.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(credentials) = stream.peer_cred() else { continue };
        let peer = Peer { owner: Owner(credentials.uid()) };
        let service = router.clone().layer(axum::Extension(peer));
        tokio::spawn(async move {
            connection(TokioIo::new(stream), service).await;
            drop(permit);
        });
    }
}

async fn connection<I>(io: I, router: Router)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    // What a client does wrong on its own connection is its own affair.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(64 << 10)
        .serve_connection(io, TowerToHyperService::new(router))
        .await;
}

/// Serves `/metrics`, `/healthz` and `/readyz` over TCP, and nothing else.
pub(crate) async fn metrics_listener(address: SocketAddr, shared: Arc<Shared>) -> Result<SocketAddr, String> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address} for metrics: {error}"))?;
    let bound = listener.local_addr().map_err(|error| error.to_string())?;
    let router = super::metrics::router().with_state(shared);
    let permits = Arc::new(Semaphore::new(64));
    tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let router = router.clone();
            tokio::spawn(async move {
                connection(TokioIo::new(stream), router).await;
                drop(permit);
            });
        }
    });
    Ok(bound)
}
