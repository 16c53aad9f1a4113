//! Who may ask, and from where.

use super::answer::ApiError;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dunnage_model::Owner;

/// Who is at the other end of a connection, by the kernel's word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) owner: Owner,
}

/// Names under which the API may be asked for.
const HOSTS: [&str; 4] = ["localhost", "127.0.0.1", "[::1]", "dunnage"];

/// Checks host and origin of every request; a daemon run by a user serves only that user and root.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return ApiError::new(StatusCode::FORBIDDEN, "forbidden", "the peer is not known").into_response();
    };
    let me = rustix::process::geteuid().as_raw();
    if me != 0 && peer.owner.0 != me && peer.owner.0 != 0 {
        let text =
            format!("this daemon is run by user {me} and serves nobody else; you are user {}", peer.owner.0);
        return ApiError::new(StatusCode::FORBIDDEN, "forbidden", text).into_response();
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_local) {
        let text = format!("host `{}` is not one of {}", host.unwrap_or_default(), HOSTS.join(", "));
        return ApiError::new(StatusCode::MISDIRECTED_REQUEST, "forbidden", text).into_response();
    }
    if request.headers().contains_key(header::ORIGIN) {
        let text = "requests from pages of a browser are not served here";
        return ApiError::new(StatusCode::FORBIDDEN, "forbidden", text).into_response();
    }
    next.run(request).await
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    HOSTS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_local_names_are_hosts() {
        for host in ["localhost", "localhost:80", "127.0.0.1:9400", "[::1]:1", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "", "127.0.0.1.nip.io"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
