//! Where a graph runs, as `run`, `submit` and `wait` see it: in this process, or in a daemon.

use crate::cli::exit::{FAILED, Failure, REFUSED, USAGE};
use crate::client::{Client, encode};
use crate::front::{Front, NotAccepted, Submission};
use crate::shell::{Command, Refused};
use dunnage_model::{GraphId, Owner};
use dunnage_wire::api::{LogDoc, ProgressDoc, StatusDoc, SubmittedDoc};
use dunnage_wire::graph_file::Decoded;
use hyper::Method;
use std::path::PathBuf;

/// See the module.
pub(crate) enum Link {
    Local(Box<Front>),
    Remote(Client),
}

/// A graph on its way.
pub(crate) struct Outgoing {
    pub(crate) decoded: Decoded,
    /// The graph file, for error messages.
    pub(crate) file: String,
    /// A name for a graph that has none.
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) held: bool,
    pub(crate) id: Option<u64>,
}

impl Link {
    /// Hands a graph in; its id is the answer.
    pub(crate) async fn submit(&mut self, out: Outgoing) -> Result<String, Failure> {
        let Outgoing { decoded, file, name, dir, environment, held, id } = out;
        let trace = std::env::var("TRACEPARENT").ok();
        match self {
            Self::Local(front) => {
                let environment = front
                    .environments
                    .put(&environment)
                    .map_err(|error| Failure::new(FAILED, error.in_full()))?;
                let places = decoded.places.clone();
                front
                    .submit(Submission {
                        decoded,
                        name: Some(name),
                        dir,
                        environment: Some(environment),
                        owner: Owner(rustix::process::geteuid().as_raw()),
                        held,
                        trace,
                        id,
                    })
                    .await
                    .map(|id| id.to_string())
                    .map_err(|not| match not {
                        NotAccepted::Rejected(rejected) => Failure::rejected(&file, &rejected, &places),
                        NotAccepted::Refused(refused) => refused.into(),
                    })
            }
            Self::Remote(client) => {
                let vars: serde_json::Map<String, serde_json::Value> =
                    environment.into_iter().map(|(name, value)| (name, value.into())).collect();
                let body = serde_json::Value::Object(vars).to_string();
                let stored: serde_json::Value =
                    client.ask(Method::PUT, "/v1/environments", Some(body.into()), "").await?;
                let environment = stored["environment"].as_str().unwrap_or_default();
                let mut path = format!(
                    "/v1/graphs?dir={}&name={}&environment={}&hold={held}",
                    encode(&dir.display().to_string()),
                    encode(&name),
                    encode(environment)
                );
                if let Some(trace) = trace {
                    path.push_str("&trace=");
                    path.push_str(&encode(&trace));
                }
                let places = decoded.places;
                let answer: Result<SubmittedDoc, Failure> =
                    client.ask(Method::POST, &path, Some(decoded.json.into()), &file).await;
                answer.map(|doc| doc.id).map_err(|mut failure| {
                    // The daemon does not know the lines of the file.
                    if !failure.problems.is_empty() {
                        let problems: Vec<dunnage_model::Problem> =
                            failure.problems.iter().cloned().map(Into::into).collect();
                        failure.report = Some(dunnage_wire::graph_file::render(&problems, &file, &places));
                    }
                    failure
                })
            }
        }
    }

    /// Waits for the end of a graph.
    pub(crate) async fn wait(&mut self, id: &str) -> Result<(), Failure> {
        match self {
            Self::Local(front) => {
                let id = parse(id)?;
                Ok(front.ask(|reply| Command::Wait { id, reply }).await?)
            }
            Self::Remote(client) => {
                client.ask_text(Method::GET, &format!("/v1/graphs/{}/wait", encode(id)), None, "").await?;
                Ok(())
            }
        }
    }

    pub(crate) async fn status(&mut self, id: &str) -> Result<StatusDoc, Failure> {
        match self {
            Self::Local(front) => {
                let id = parse(id)?;
                Ok(*front.ask(|reply| Command::Status { id, reply }).await?)
            }
            Self::Remote(client) => client.get(&format!("/v1/graphs/{}", encode(id))).await,
        }
    }

    pub(crate) async fn progress(&mut self, id: &str) -> Result<ProgressDoc, Failure> {
        match self {
            Self::Local(front) => {
                let id = parse(id)?;
                Ok(*front.ask(|reply| Command::Progress { id, reply }).await?)
            }
            Self::Remote(client) => client.get(&format!("/v1/graphs/{}/progress", encode(id))).await,
        }
    }

    pub(crate) async fn cancel(&mut self, id: &str) -> Result<(), Failure> {
        match self {
            Self::Local(front) => {
                let id = parse(id)?;
                let by = Owner(rustix::process::geteuid().as_raw());
                Ok(front.ask(|reply| Command::Cancel { id, function: None, by, reply }).await?)
            }
            Self::Remote(client) => {
                client.post(&format!("/v1/graphs/{}/cancel", encode(id)), &serde_json::json!({})).await
            }
        }
    }

    /// The next piece of the log of a function; waits for it with `follow`.
    pub(crate) async fn log(
        &mut self,
        id: &str,
        function: &str,
        attempt: Option<u32>,
        offset: u64,
        follow: bool,
    ) -> Result<LogDoc, Failure> {
        match self {
            Self::Local(front) => {
                let graph = parse(id)?;
                let by = Owner(rustix::process::geteuid().as_raw());
                let ended = front.ended_attempts.subscribe();
                let parts = front.logs(graph, Some(function.to_owned()), attempt, by).await?;
                let Some(part) = parts.first() else {
                    return Err(Failure::new(
                        USAGE,
                        format!("`{function}` was not started yet: there is no log"),
                    ));
                };
                let (chunk, ended) = front.log_chunk(part, ended, offset, follow).await?;
                Ok(LogDoc {
                    function: part.function.clone(),
                    attempt: part.attempt.attempt.0,
                    text: String::from_utf8_lossy(&chunk.bytes).into_owned(),
                    next: chunk.offset + chunk.bytes.len() as u64,
                    ended,
                    truncated: chunk.cut,
                })
            }
            Self::Remote(client) => {
                let mut path = format!(
                    "/v1/graphs/{}/log?function={}&offset={offset}&follow={follow}",
                    encode(id),
                    encode(function)
                );
                if let Some(attempt) = attempt {
                    path.push_str(&format!("&attempt={attempt}"));
                }
                client.get(&path).await
            }
        }
    }
}

fn parse(id: &str) -> Result<GraphId, Failure> {
    id.parse()
        .map(GraphId)
        .map_err(|_| Failure::new(USAGE, format!("there is no graph `{id}`: ids are numbers")))
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound(text) => Self::new(USAGE, text),
            Refused::Forbidden(text) => Self::new(REFUSED, text),
            Refused::Conflict(text) | Refused::Broken(text) => Self::new(FAILED, text),
            Refused::Impossible(problems) => Self::rejected(
                "",
                &crate::accept::Rejected::Refused(problems),
                &dunnage_wire::graph_file::Places::none(),
            ),
        }
    }
}
