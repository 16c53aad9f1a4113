//! Commands that ask the daemon one thing: `queue`, `status`, `wait`, `explain`, `cancel`, `hold`,
//! `release`, `retry`.

use super::context::{Context, print};
use super::exit::{DONE, FAILED, Failure, INTERRUPTED, USAGE};
use super::run::write_trace;
use crate::client::encode;
use crate::render::{explain as render_explain, gantt, queue as render_queue, status as render_status};
use dunnage_wire::api::{ExplainDoc, QueueRow, StatusDoc};
use std::path::Path;

pub(crate) async fn queue(context: &Context, start: bool) -> Result<i32, Failure> {
    let path = if start { "/v1/graphs?start=true" } else { "/v1/graphs" };
    let rows: Vec<QueueRow> = context.client().await?.get(path).await?;
    context.print(&rows, |style| {
        let ended = |row: &&QueueRow| matches!(row.state.as_str(), "succeeded" | "failed" | "cancelled");
        // People want what lives, and the last that ended.
        let old = rows.iter().filter(ended).count().saturating_sub(10);
        let mut skipped = 0;
        let shown: Vec<QueueRow> = rows
            .iter()
            .filter(|row| {
                let skip = ended(row) && skipped < old;
                skipped += usize::from(skip);
                !skip
            })
            .cloned()
            .collect();
        let mut text = render_queue::queue(&shown, super::run::now_s(), start, style);
        if old > 0 {
            text.push_str(&format!(
                "{old} earlier graphs have ended and are not shown (--json lists them)\n"
            ));
        }
        text
    });
    Ok(DONE)
}

pub(crate) async fn status(
    context: &Context,
    id: &str,
    all: bool,
    draw: bool,
    trace: Option<&Path>,
) -> Result<i32, Failure> {
    let doc: StatusDoc = context.client().await?.get(&format!("/v1/graphs/{}", encode(id))).await?;
    if let Some(path) = trace {
        write_trace(&doc, path)?;
    }
    context.print(&doc, |style| {
        let mut text = render_status::status(&doc, all, style);
        if draw {
            text.push('\n');
            text.push_str(&gantt::actual(&doc, style));
        }
        text
    });
    Ok(DONE)
}

pub(crate) async fn wait(context: &Context, id: &str) -> Result<i32, Failure> {
    let mut link = crate::link::Link::Remote(context.client().await?);
    if super::run::watch(context, &mut link, id, false, super::run::Interrupts::new()?).await? {
        return Ok(INTERRUPTED);
    }
    let doc = link.status(id).await?;
    context.print(&doc, |style| crate::render::summary::summary(&doc, style));
    Ok(code_of(&doc))
}

/// The exit code that the end of a graph means.
pub(crate) fn code_of(doc: &StatusDoc) -> i32 {
    if doc.state == "succeeded" { DONE } else { FAILED }
}

pub(crate) async fn explain(context: &Context, target: &str) -> Result<i32, Failure> {
    let (id, function) = split(target);
    let Some(function) = function else {
        return Err(Failure::new(USAGE, format!("which function of graph {id}?"))
            .hint(format!("write `dunnage explain {id}/FUNCTION`; `dunnage status {id} --all` lists them")));
    };
    let path = format!("/v1/graphs/{}/explain?function={}", encode(id), encode(function));
    let doc: ExplainDoc = context.client().await?.get(&path).await?;
    context.print(&doc, |style| render_explain::explain(&doc, style));
    Ok(DONE)
}

/// A change without an answer.
pub(crate) async fn change(context: &Context, verb: &str, target: &str) -> Result<i32, Failure> {
    let (id, function) = split(target);
    let mut path = format!("/v1/graphs/{}/{verb}", encode(id));
    if let Some(function) = function {
        path.push_str(&format!("?function={}", encode(function)));
    }
    context.client().await?.post(&path, &serde_json::json!({})).await?;
    if context.common.json {
        print("{}\n");
    }
    Ok(DONE)
}

/// `ID` or `ID/FUNCTION`.
pub(crate) fn split(target: &str) -> (&str, Option<&str>) {
    match target.split_once('/') {
        Some((id, function)) => (id, Some(function)),
        None => (target, None),
    }
}
