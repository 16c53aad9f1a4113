//! The API on the socket: what it describes, whom it serves, and its stream of events.

use dunnage_tests::{Home, Stream, ask, has_keys, is_status, until};
use serde_json::Value;
use std::collections::BTreeSet;

const GOOD: &str = r#"{"graph": {"name": "by hand"}, "function": [{"id": "a", "command": ["sh", "-c", "echo $WHO > {out.0}"], "outputs": ["json"]}]}"#;

#[test]
fn the_description_covers_what_is_served() {
    let home = Home::new();
    let _daemon = home.daemon("");
    home.call("submit --wait -- true").ok();
    let answer = ask(&home.socket(), "GET", "/v1/openapi.json", &[], "");
    assert_eq!(answer.status, 200);
    let doc = answer.json();
    assert!(doc["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    let paths = doc["paths"].as_object().expect("paths");
    for (path, methods) in paths {
        assert!(
            methods.as_object().is_some_and(|methods| methods
                .values()
                .all(|m| m["summary"].is_string() && m["responses"].is_object())),
            "{path}"
        );
        if methods["get"].is_object() && path != "/v1/events" && !path.starts_with("/v1/graphs/{id}/l") {
            let path = path.replace("{id}", "1");
            let path = if path.ends_with("/explain") { format!("{path}?function=job") } else { path };
            let answer = ask(&home.socket(), "GET", &path, &[], "");
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
    }
    for path in [
        "/v1/graphs",
        "/v1/graphs/{id}",
        "/v1/graphs/{id}/wait",
        "/v1/graphs/{id}/cancel",
        "/v1/events",
        "/metrics",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
}

#[test]
fn a_graph_is_submitted_and_read_by_hand() {
    let home = Home::new();
    let _daemon = home.daemon("");
    let socket = home.socket();
    let environment =
        ask(&socket, "PUT", "/v1/environments", &[], r#"{"PATH": "/usr/bin:/bin", "WHO": "42"}"#);
    assert_eq!(environment.status, 200, "{environment:?}");
    let name = environment.json()["environment"].as_str().expect("a name").to_owned();
    let dir = home.text("");
    let submitted = ask(&socket, "POST", &format!("/v1/graphs?dir={dir}&environment={name}"), &[], GOOD);
    assert_eq!(submitted.status, 201, "{submitted:?}");
    let id = submitted.json()["id"].as_str().expect("ids are texts").to_owned();
    let doc = ask(&socket, "GET", &format!("/v1/graphs/{id}/wait"), &[], "").json();
    is_status(&doc);
    assert_eq!(
        (doc["graph"].as_str(), doc["functions"][0]["outputs"][0]["value"].as_u64()),
        (Some("by hand"), Some(42))
    );
    let logs = ask(&socket, "GET", &format!("/v1/graphs/{id}/log?function=a"), &[], "");
    assert_eq!((logs.status, logs.json()["ended"].as_bool()), (200, Some(true)));
    let daemon = ask(&socket, "GET", "/v1/daemon", &[], "").json();
    has_keys(&daemon, "pid:count launcher_pid:count|? version:string state_dir:string");
    let schema = ask(&socket, "GET", "/v1/schema", &[], "").json();
    assert_eq!(schema, home.call("schema").ok().json());
}

#[test]
fn pages_of_a_browser_are_not_served() {
    let home = Home::new();
    let _daemon = home.daemon("");
    let socket = home.socket();
    let submit = format!("/v1/graphs?dir={}", home.text(""));
    for (method, path, body) in [
        ("GET", "/v1/graphs", ""),
        ("GET", "/metrics", ""),
        ("HEAD", "/v1/graphs", ""),
        ("POST", submit.as_str(), GOOD),
        ("PUT", "/v1/environments", "{}"),
        ("POST", "/v1/stop", "{}"),
        ("OPTIONS", "/v1/graphs", ""),
    ] {
        for head in [
            "Host: evil.example",
            "Host: 127.0.0.1.evil.example",
            "Origin: http://evil.example",
            "Origin: null",
        ] {
            let answer = ask(&socket, method, path, &[head], body);
            assert!(matches!(answer.status, 400 | 403 | 421), "{method} {path} with `{head}`: {answer:?}");
        }
    }
    let nameless = dunnage_tests::raw(&socket, b"GET /v1/graphs HTTP/1.0\r\n\r\n");
    assert!(!String::from_utf8_lossy(&nameless).contains(" 200 "), "no host at all");
    for head in ["Host: localhost", "Host: localhost:80", "Host: 127.0.0.1:9", "Host: dunnage"] {
        assert_eq!(ask(&socket, "GET", "/v1/graphs", &[head], "").status, 200, "{head}");
    }
    assert_eq!(
        home.call("queue --json").ok().json().as_array().map(Vec::len),
        Some(0),
        "nothing was accepted"
    );
}

#[test]
fn errors_are_documents() {
    let home = Home::new();
    let _daemon = home.daemon("");
    let socket = home.socket();
    for (method, path, status) in [
        ("GET", "/v1/graphs/7", 404),
        ("GET", "/v1/graphs/x", 404),
        ("GET", "/v1/graphs/99999999999999999999999", 404),
        ("POST", "/v1/graphs/7/cancel", 404),
        ("POST", "/v1/devices/gpu9/drain", 404),
    ] {
        let answer = ask(&socket, method, path, &[], "");
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        has_keys(&answer.json(), "error:string code:string");
        assert_eq!(answer.json()["code"], "not_found");
    }
    assert_eq!(ask(&socket, "GET", "/v2/graphs", &[], "").status, 404);
    assert_eq!(ask(&socket, "DELETE", "/v1/graphs", &[], "").status, 405);
    let impossible = r#"{"function": [{"id": "a", "command": ["true"], "cost": {"cpus": 100000}}]}"#;
    let answer = ask(&socket, "POST", "/v1/graphs?dir=/tmp", &[], impossible);
    assert_eq!(
        (answer.status, answer.json()["code"].as_str().map(str::to_owned)),
        (422, Some("refused".to_owned()))
    );
}

/// What the facts of a graph say, in order.
fn kinds(events: &[(u64, Value)], graph: &str) -> Vec<String> {
    events
        .iter()
        .filter(|(_, data)| data["graph"] == graph)
        .flat_map(|(_, data)| data["facts"].as_array().cloned().unwrap_or_default())
        .filter_map(|fact| fact["event"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn events_are_resumed_across_a_restart() {
    let home = Home::new();
    let daemon = home.daemon("");
    home.call("submit --wait -- true").ok();
    let mut stream = Stream::open(&home.socket(), "/v1/events", None);
    let before = stream.until(|events| kinds(events, "1").iter().any(|kind| kind == "finished"));
    assert_eq!(kinds(&before, "1"), ["placed", "started", "finished"]);
    let ids: Vec<u64> = before.iter().map(|(id, _)| *id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let last = *ids.last().expect("an event");

    // What comes while it listens is told to it.
    home.call("submit --wait -- false").end().expect(1);
    let live = stream.until(|events| kinds(events, "2").iter().any(|kind| kind == "failed"));
    assert_eq!(kinds(&live, "1").len(), 3);

    daemon.crash();
    let daemon = home.daemon("");
    home.call("submit --wait -- true").ok();
    let mut resumed = Stream::open(&home.socket(), "/v1/events", Some(last));
    let after = resumed.until(|events| kinds(events, "3").iter().any(|kind| kind == "finished"));
    assert!(after.iter().all(|(id, _)| *id > last), "what is known is not told again");
    assert_eq!(kinds(&after, "1"), Vec::<String>::new());
    assert_eq!(kinds(&after, "2"), ["placed", "started", "failed"]);
    let mut all = Stream::open(&home.socket(), "/v1/events", None);
    let every = all.until(|events| kinds(events, "3").iter().any(|kind| kind == "finished"));
    let distinct: BTreeSet<u64> = every.iter().map(|(id, _)| *id).collect();
    assert_eq!(distinct.len(), every.len(), "an id is given once");
    for fact in every.iter().flat_map(|(_, data)| data["facts"].as_array().cloned().unwrap_or_default()) {
        has_keys(&fact, "at:number event:string task:count|? attempt:count|?");
    }
    daemon.terminate().expect(0);
}

#[test]
fn a_daemon_with_listeners_still_stops() {
    let home = Home::new();
    let daemon = home.daemon("");
    let mut stream = Stream::open(&home.socket(), "/v1/events", None);
    home.call("submit --wait -- true").ok();
    stream.events(1);
    home.call("submit --hold -- true").ok();
    let waiter = home.call("wait 2").start();
    until("the waiter", || (waiter.pid() > 0).then_some(()));
    daemon.terminate().expect(0);
    waiter.end().expect(3);
}
