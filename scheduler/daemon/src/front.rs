//! The way into the loop for everybody who wants something: the API's handlers and the embedded runner.

use crate::accept::{self, Rejected};
use crate::shell::{Command, Input, LogPart, NewGraph, Refused, Reply};
use dunnage_exec::logs::LogChunk;
use dunnage_model::{AttemptId, GraphId, Limits, Owner};
use dunnage_store::EnvStore;
use dunnage_wire::graph_file::{self, Decoded};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot};

/// Documents larger than this are read beside the loop's thread.
const LARGE: usize = 64 << 10;

/// See the module.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) inputs: mpsc::UnboundedSender<Input>,
    pub(crate) environments: Arc<EnvStore>,
    pub(crate) ended_attempts: broadcast::Sender<AttemptId>,
    pub(crate) rundir: PathBuf,
    /// The strategy of graphs that name none.
    pub(crate) strategy: String,
    pub(crate) functions_max: u32,
}

/// A submission on its way to the loop.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) decoded: Decoded,
    /// A name for a graph that has none.
    pub(crate) name: Option<String>,
    pub(crate) dir: PathBuf,
    pub(crate) environment: Option<String>,
    pub(crate) owner: Owner,
    pub(crate) held: bool,
    pub(crate) trace: Option<String>,
    pub(crate) id: Option<u64>,
}

/// Why a submission was not accepted.
#[derive(Debug)]
pub(crate) enum NotAccepted {
    /// The graph is wrong, or can never run here.
    Rejected(Rejected),
    /// The request was refused for another reason.
    Refused(Refused),
}

impl Front {
    /// Asks the loop and waits for its answer.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        let gone = || Refused::Broken("the daemon is ending".to_owned());
        self.inputs.send(Input::Command(command(reply))).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Checks a graph and hands it in.
    pub(crate) async fn submit(&self, submission: Submission) -> Result<GraphId, NotAccepted> {
        let Submission { decoded, name, dir, environment, owner, held, trace, id } = submission;
        let Decoded { mut spec, json, places: _ } = decoded;
        spec.name = spec.name.or(name);
        if spec.strategy.is_none() {
            spec.strategy = Some(self.strategy.clone());
        }
        let limits = Limits { functions: self.functions_max, ..Limits::default() };
        let graph = if json.len() > LARGE {
            tokio::task::spawn_blocking(move || accept::build(spec, &limits))
                .await
                .unwrap_or_else(|_| Err(Rejected::Invalid(Vec::new())))
        } else {
            accept::build(spec, &limits)
        };
        let mut graph = graph.map_err(NotAccepted::Rejected)?;
        graph.history = accept::history_of(owner);
        let missing = crate::shell::missing_inputs(&graph, &dir);
        if !missing.is_empty() {
            let problems = missing
                .into_iter()
                .map(|(name, path)| {
                    dunnage_model::Problem::new(format!("graph.inputs.{name}"), "there is no such file")
                        .value(path.display())
                        .hint("paths are relative to the graph file")
                })
                .collect();
            return Err(NotAccepted::Rejected(Rejected::Invalid(problems)));
        }
        let new = NewGraph { graph: Arc::new(graph), json, dir, environment, owner, held, trace, id };
        self.ask(|reply| Command::Submit { new: Box::new(new), reply }).await.map_err(|refused| match refused
        {
            Refused::Impossible(problems) => NotAccepted::Rejected(Rejected::Refused(problems)),
            other => NotAccepted::Refused(other),
        })
    }

    /// What is to be read for a request of logs.
    pub(crate) async fn logs(
        &self,
        id: GraphId,
        function: Option<String>,
        attempt: Option<u32>,
        by: Owner,
    ) -> Result<Vec<LogPart>, Refused> {
        self.ask(|reply| Command::Log { id, function, attempt, by, reply }).await
    }

    /// The next piece of a log; with `follow`, waits until there is more or the attempt has ended. The
    /// flag says whether no more will come.
    ///
    /// `ended` was subscribed to before `part` was asked for, so that no end is missed in between.
    pub(crate) async fn log_chunk(
        &self,
        part: &LogPart,
        mut ended: broadcast::Receiver<AttemptId>,
        offset: u64,
        follow: bool,
    ) -> Result<(LogChunk, bool), Refused> {
        let attempt = part.attempt;
        let mut running = part.running;
        // The watch is set before the first look, so that nothing written in between is missed.
        let mut watch = if follow && running {
            crate::watch::Watch::new(&dunnage_exec::local::log_path(&self.rundir, attempt)).ok()
        } else {
            None
        };
        loop {
            let chunk = self.ask(|reply| Command::LogChunk { attempt, offset, reply }).await?;
            let at_end = chunk.offset + chunk.bytes.len() as u64 >= chunk.total;
            if !chunk.bytes.is_empty() || !follow || !running {
                let over = at_end && !running;
                return Ok((chunk, over));
            }
            tokio::select! {
                () = changed(&mut watch) => {}
                gone = ended.recv() => {
                    // After a gap in what was heard, it may have been among those missed: look once more.
                    let missed = matches!(gone, Err(broadcast::error::RecvError::Lagged(_)));
                    running = !matches!(gone, Ok(over) if over == attempt) && (gone.is_ok() || missed);
                    if missed {
                        running = self.is_running(attempt).await?;
                    }
                }
            }
        }
    }
}

impl Front {
    async fn is_running(&self, attempt: AttemptId) -> Result<bool, Refused> {
        let snapshot = self.ask(|reply| Command::Snapshot { reply }).await?;
        Ok(snapshot.running.iter().any(|row| row.attempt == attempt))
    }
}

async fn changed(watch: &mut Option<crate::watch::Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        // The log file is not there yet, or cannot be watched: the attempt's end is still told.
        None => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
    }
}

/// Reads a graph's text as the API gets it.
pub(crate) fn limits(functions: u32, bytes: u64) -> graph_file::Limits {
    graph_file::Limits { functions, bytes, ..graph_file::Limits::default() }
}
