//! What clients may change, and the way of a new graph into the loop.

use super::owner::Shell;
use super::queries::{no_function, no_graph};
use super::{Command, Meta, NewGraph, Refused, Reply, views};
use crate::accept::{Rejected, check_machine, check_priority};
use dunnage_exec::EnvBase;
use dunnage_model::{Event, Graph, GraphId, Owner, Submission};
use dunnage_store::{GraphRow, Write};
use std::sync::Arc;

impl Shell {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Submit { new, reply } => self.submit(*new, reply),
            Command::Queue { reply } => {
                let rows = self.queue_rows();
                drop(reply.send(rows));
            }
            Command::Outlook { reply } => {
                drop(reply.send(Ok(Box::new((self.core.outlook(), self.clock.now())))));
            }
            Command::Status { id, reply } => {
                let doc = self.with_run(id, |shell, run| {
                    Box::new(views::status(run, &shell.core, &shell.effects.values, &shell.clock))
                });
                drop(reply.send(doc));
            }
            Command::Wait { id, reply } => match self.core.graph(id) {
                Some(run) if run.ended.is_none() => self.waiters.entry(id).or_default().push(reply),
                Some(_) => drop(reply.send(Ok(()))),
                None => {
                    let known = self.history.graph(id).ok().flatten().is_some();
                    drop(reply.send(if known { Ok(()) } else { Err(no_graph(id)) }));
                }
            },
            Command::Cancel { id, function, by, reply } => {
                self.change(id, by, reply, |shell| {
                    let task = shell.task_of(id, function.as_deref())?;
                    shell.handle(Event::Cancelled { graph: id, task });
                    Ok(())
                });
            }
            Command::Hold { id, by, reply } => self.change(id, by, reply, |shell| {
                shell.handle(Event::HeldBack { graph: id });
                Ok(())
            }),
            Command::Release { id, by, reply } => self.change(id, by, reply, |shell| {
                shell.handle(Event::Released { graph: id });
                Ok(())
            }),
            Command::Retry { id, function, by, reply } => {
                if let Err(refused) = self.reload(id) {
                    drop(reply.send(Err(refused)));
                    return;
                }
                self.change(id, by, reply, |shell| {
                    let task = shell.task_of(id, function.as_deref())?;
                    let was_ended = shell.core.graph(id).is_some_and(|run| run.ended.is_some());
                    if let Some(run) = shell.core.graph(id) {
                        shell.locks.want(&run.graph);
                        shell.locks.keep(&mut shell.core);
                    }
                    if was_ended {
                        shell.writes.push(Write::Reopened { graph: id });
                    }
                    shell.handle(Event::Retried { graph: id, task });
                    Ok(())
                });
            }
            Command::Explain { id, function, reply } => {
                let doc = self.explain(id, &function);
                drop(reply.send(doc));
            }
            Command::Log { id, function, attempt, by, reply } => {
                let parts = self.log_parts(id, function.as_deref(), attempt, by);
                drop(reply.send(parts));
            }
            Command::LogChunk { attempt, offset, reply } => {
                let chunk = self.log_chunk(attempt, offset);
                drop(reply.send(chunk));
            }
            Command::Progress { id, reply } => {
                let doc = self.with_run(id, |shell, run| {
                    let mut doc = views::progress(run, &shell.core, &shell.clock);
                    doc.reason = shell.reason(run);
                    Box::new(doc)
                });
                drop(reply.send(doc));
            }
            Command::Devices { reply } => {
                let doc = views::devices(self.core.ledger(), &self.options.notes);
                drop(reply.send(Ok(Box::new(doc))));
            }
            Command::Drain { device, drain, reply } => {
                let found = self.core.ledger().nodes().flat_map(|node| &node.spec.gpus).find(|gpu| {
                    gpu.device.to_string() == device
                        || gpu.uuid == device
                        || gpu.driver_index.to_string() == device
                });
                let answer = match found.map(|gpu| gpu.device) {
                    None => {
                        Err(Refused::NotFound(format!("there is no GPU `{device}`: see `dunnage devices`")))
                    }
                    Some(device) => {
                        self.core.set_drained(device, drain);
                        self.handle(Event::TimerFired);
                        Ok(())
                    }
                };
                drop(reply.send(answer));
            }
            Command::Snapshot { reply } => {
                if self.core.ledger().nodes().all(|node| node.gpus.is_empty()) {
                    self.look();
                }
                let mut snapshot = self.core.snapshot();
                for row in &mut snapshot.running {
                    row.gpu_memory_used = self.gpu_used.get(&row.attempt).cloned().unwrap_or_default();
                }
                drop(reply.send(Ok(Arc::new(snapshot))));
            }
            Command::LauncherPid { reply } => {
                let ask = self.engine.launcher_pid();
                tokio::spawn(async move { drop(reply.send(Ok(ask.await))) });
            }
        }
    }

    /// A change of a graph by its owner, answered when it is synced.
    pub(super) fn change(
        &mut self,
        id: GraphId,
        by: Owner,
        reply: Reply<()>,
        change: impl FnOnce(&mut Self) -> Result<(), Refused>,
    ) {
        let allowed = self.may_change(id, by);
        match allowed.and_then(|()| change(self)) {
            Ok(()) => self.answers.push(Box::new(move |result| drop(reply.send(result)))),
            Err(refused) => drop(reply.send(Err(refused))),
        }
    }

    pub(super) fn may_change(&self, id: GraphId, by: Owner) -> Result<(), Refused> {
        if let Some(broken) = &self.broken {
            return Err(Refused::Broken(broken.to_string()));
        }
        let run = self.core.graph(id).ok_or_else(|| no_graph(id))?;
        let ours = Owner(rustix::process::geteuid().as_raw());
        if by == run.owner || by == Owner(0) || by == ours {
            Ok(())
        } else {
            Err(Refused::Forbidden(format!("graph {id} belongs to user {}", run.owner.0)))
        }
    }

    pub(super) fn task_of(&self, id: GraphId, function: Option<&str>) -> Result<Option<u32>, Refused> {
        let Some(name) = function else { return Ok(None) };
        let run = self.core.graph(id).ok_or_else(|| no_graph(id))?;
        run.graph.find(name).map(Some).ok_or_else(|| no_function(run, name))
    }

    pub(super) fn submit(&mut self, new: NewGraph, reply: Reply<GraphId>) {
        if let Some(broken) = &self.broken {
            drop(reply.send(Err(Refused::Broken(broken.to_string()))));
            return;
        }
        if let Err(Rejected::Refused(problems) | Rejected::Invalid(problems)) =
            check_machine(&new.graph, self.core.ledger()).and_then(|()| {
                let ours = Owner(rustix::process::geteuid().as_raw());
                check_priority(&new.graph, new.owner, ours)
            })
        {
            drop(reply.send(Err(Refused::Impossible(problems))));
            return;
        }
        let id = GraphId(new.id.unwrap_or(self.next_graph));
        self.next_graph = self.next_graph.max(id.0) + 1;
        let wall = self.clock.wall_us();
        let row = GraphRow {
            id,
            owner: new.owner,
            name: new.graph.name.clone(),
            dir: new.dir,
            environment: new.environment,
            strategy: new.graph.settings.strategy.clone(),
            functions: u64::from(new.graph.len()),
            submitted_at: self.clock.now(),
            submitted_wall_us: wall,
            seed: seed(id, &self.options.token),
            held: new.held,
            sealed: true,
            trace: new.trace,
            extra: None,
            spec: new.json,
        };
        match self.meta(&row) {
            Ok(meta) => self.metas.insert(id, meta),
            Err(refused) => {
                drop(reply.send(Err(refused)));
                return;
            }
        };
        self.locks.want(&new.graph);
        self.locks.keep(&mut self.core);
        let submission = submission(&row, new.graph);
        let at = row.submitted_at;
        self.writes.push(Write::Graph(Box::new(row)));
        self.handle_at(at, Event::Submitted(Box::new(submission)));
        self.prepare(id);
        self.answers.push(Box::new(move |result| drop(reply.send(result.map(|()| id)))));
    }

    /// Makes the folders for a graph's values. Where that fails, its attempts fail and say so.
    pub(crate) fn prepare(&self, id: GraphId) {
        if let (Some(run), Some(meta)) = (self.core.graph(id), self.metas.get(&id))
            && let Err(why) = self.effects.prepare(run, meta)
        {
            eprintln!("dunnage: {why}");
        }
    }

    /// What the shell keeps of a graph.
    pub(crate) fn meta(&mut self, row: &GraphRow) -> Result<Meta, Refused> {
        let vars = match &row.environment {
            None => Vec::new(),
            Some(name) => match self.environments.get(name) {
                Ok(Some(vars)) => vars,
                Ok(None) => {
                    return Err(Refused::Conflict(format!(
                        "the environment `{name}` is not known: send it first"
                    )));
                }
                Err(error) => return Err(Refused::Broken(error.in_full())),
            },
        };
        let me = rustix::process::geteuid().as_raw();
        let user = if row.owner.0 == me {
            None
        } else {
            let user = dunnage_exec::user::lookup(row.owner.0);
            if user.is_none() {
                return Err(Refused::Forbidden(format!("there is no user {} on this machine", row.owner.0)));
            }
            user
        };
        Ok(Meta { dir: row.dir.clone(), base: EnvBase::new(vars), user, trace: row.trace.clone() })
    }
}

/// A graph as it was accepted, as an event.
pub(super) fn submission(row: &GraphRow, graph: Arc<Graph>) -> Submission {
    Submission {
        id: row.id,
        graph,
        owner: row.owner,
        seed: row.seed,
        held: row.held,
        sealed: row.sealed,
        trace: row.trace.as_deref().map(Into::into),
    }
}

/// Where the random choices of a graph begin: the same for a graph of the same store, and written down
/// with it.
fn seed(id: GraphId, token: &str) -> u64 {
    token.bytes().fold(id.0 ^ 0x9e37_79b9_7f4a_7c15, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
