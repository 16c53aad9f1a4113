//! The description of the API for machines.

use axum::Json;
use serde_json::{Value, json};

/// Path, method, what it does, the parameters beside those of the path, and what it answers.
const ROUTES: &[(&str, &str, &str, &[&str], &str)] = &[
    ("/v1/daemon", "get", "The daemon's process, version and state directory", &[], "DaemonDoc"),
    ("/v1/stop", "post", "Stop the daemon; with {\"kill\": true} end the tasks first", &[], "Empty"),
    (
        "/v1/environments",
        "put",
        "Store an environment, a table of texts, and get its name",
        &[],
        "Environment",
    ),
    ("/v1/graphs", "get", "List graphs", &["start"], "QueueRow[]"),
    (
        "/v1/graphs",
        "post",
        "Submit a graph: the body is a graph file in JSON",
        &["dir", "name", "environment", "hold", "trace"],
        "SubmittedDoc",
    ),
    ("/v1/graphs/{id}", "get", "A graph and its functions", &[], "StatusDoc"),
    ("/v1/graphs/{id}/progress", "get", "How far a graph is", &[], "ProgressDoc"),
    ("/v1/graphs/{id}/wait", "get", "As the graph itself, answered when it has ended", &[], "StatusDoc"),
    ("/v1/graphs/{id}/cancel", "post", "Cancel a graph or a function of it", &["function"], "Empty"),
    ("/v1/graphs/{id}/hold", "post", "Keep a graph back", &[], "Empty"),
    ("/v1/graphs/{id}/release", "post", "Let a held graph go", &[], "Empty"),
    ("/v1/graphs/{id}/retry", "post", "Run again what failed or was cancelled", &["function"], "Empty"),
    ("/v1/graphs/{id}/explain", "get", "Why a task is where it is", &["function"], "ExplainDoc"),
    ("/v1/graphs/{id}/logs", "get", "Which logs there are", &["function", "attempt"], "LogDoc[]"),
    (
        "/v1/graphs/{id}/log",
        "get",
        "A piece of a log; with follow=true answered when there is more",
        &["function", "attempt", "offset", "follow"],
        "LogDoc",
    ),
    ("/v1/devices", "get", "The machine", &[], "DevicesDoc"),
    ("/v1/devices/{id}/drain", "post", "Place nothing new on a GPU", &[], "Empty"),
    ("/v1/devices/{id}/resume", "post", "Use a drained GPU again", &[], "Empty"),
    ("/v1/events", "get", "What happens, as server-sent events; resumes with Last-Event-ID", &[], "Events"),
    ("/v1/openapi.json", "get", "This document", &[], "OpenAPI"),
    ("/v1/schema", "get", "JSON Schema of graph files", &[], "Schema"),
    ("/metrics", "get", "Prometheus metrics", &[], "Text"),
    ("/healthz", "get", "Whether the process lives", &[], "Text"),
    ("/readyz", "get", "Whether the scheduler answers", &[], "Text"),
];

pub(crate) async fn openapi() -> Json<Value> {
    Json(document())
}

fn document() -> Value {
    let mut paths = serde_json::Map::new();
    for (path, method, summary, query, answer) in ROUTES {
        let mut parameters: Vec<Value> = query
            .iter()
            .map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" }, "required": *name == "dir" }))
            .collect();
        if path.contains("{id}") {
            parameters.push(
                json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }),
            );
        }
        let kind = match *answer {
            "Text" => "text/plain",
            "Events" => "text/event-stream",
            _ => "application/json",
        };
        let status = if *method == "post" && *path == "/v1/graphs" { "201" } else { "200" };
        let mut operation = json!({
            "summary": summary,
            "parameters": parameters,
            "responses": {
                status: { "description": answer, "content": { kind: {} } },
                "default": {
                    "description": "An error: {\"error\", \"code\", \"problems\"}",
                    "content": { "application/json": {} }
                }
            }
        });
        if matches!(*method, "post" | "put")
            && matches!(*path, "/v1/graphs" | "/v1/environments" | "/v1/stop")
        {
            operation["requestBody"] = json!({ "required": true, "content": { "application/json": {} } });
        }
        let entry = paths.entry((*path).to_owned()).or_insert_with(|| json!({}));
        entry[*method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "dunnage", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_router_is_described() {
        let source = include_str!("mod.rs").to_owned() + include_str!("metrics.rs");
        for line in source.lines().filter(|line| line.trim_start().starts_with(".route(")) {
            let path = line.split('"').nth(1).unwrap();
            assert!(document()["paths"].get(path).is_some(), "{path} is not described");
        }
    }
}
