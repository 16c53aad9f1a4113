//! `logs`.

use super::context::{Context, print};
use super::exit::{DONE, Failure};
use super::queries::split;
use crate::client::encode;
use crate::link::Link;
use dunnage_wire::api::LogDoc;

pub(crate) async fn logs(
    context: &Context,
    target: &str,
    follow: bool,
    attempt: Option<u32>,
) -> Result<i32, Failure> {
    let (id, function) = split(target);
    let mut client = context.client().await?;
    let mut path = format!("/v1/graphs/{}/logs?", encode(id));
    if let Some(function) = function {
        path.push_str(&format!("function={}&", encode(function)));
    }
    if let Some(attempt) = attempt {
        path.push_str(&format!("attempt={attempt}"));
    }
    let parts: Vec<LogDoc> = client.get(&path).await?;
    let mut link = Link::Remote(client);
    let several = parts.len() > 1;
    let mut docs = Vec::new();
    for part in parts {
        if several && !context.common.json {
            print(&format!("==> {} (attempt {}) <==\n", part.function, part.attempt));
        }
        let mut text = String::new();
        stream(&mut link, id, &part.function, Some(part.attempt), follow && !several, &mut |piece| {
            if context.common.json {
                text.push_str(piece);
            } else {
                print(piece);
            }
        })
        .await?;
        docs.push(LogDoc { text, ..part });
    }
    if context.common.json {
        print(&(serde_json::to_string(&docs).unwrap_or_default() + "\n"));
    }
    Ok(DONE)
}

/// Passes on a log piece by piece, to its present end or, following, to its last.
pub(crate) async fn stream(
    link: &mut Link,
    id: &str,
    function: &str,
    attempt: Option<u32>,
    follow: bool,
    sink: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    let mut offset = 0;
    loop {
        let doc = link.log(id, function, attempt, offset, follow).await?;
        if doc.truncated > offset {
            sink(&format!(
                "[{} bytes were cut away here because the log was too long]\n",
                doc.truncated - offset
            ));
        }
        sink(&doc.text);
        let moved = doc.next > offset;
        offset = doc.next;
        if doc.ended || (!follow && !moved) {
            return Ok(());
        }
    }
}
