//! Why a task is where it is, for people.

use crate::ledger::Refusal;
use crate::scheduler::Scheduler;
use dunnage_model::{Basis, DeviceId, Need, Span, TaskId, TaskState};

/// The answer to "why".
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// The task's state in one word.
    pub state: &'static str,
    /// Why, as a code and a sentence.
    pub why: Why,
    /// The strategy of its graph.
    pub strategy: &'static str,
    /// Where it could be placed and what that would cost, one for each variant and device.
    pub options: Vec<Option>,
}

/// A reason, as a code for programs and a sentence for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// `dependency`, `resources`, `held`, `backoff`, `planning`, `limit`, `priority`, `running`, `ended`.
    pub code: &'static str,
    /// The sentence.
    pub text: String,
}

/// A way to place it.
#[derive(Clone, PartialEq, Debug)]
pub struct Option {
    /// Which variant.
    pub variant: u8,
    /// Which device.
    pub device: DeviceId,
    /// What it is expected to take there.
    pub predicted: std::option::Option<Span>,
    /// On what that rests.
    pub basis: Basis,
    /// The same with its band and the number of runs.
    pub estimate: crate::estimate::Estimate,
    /// What is known of earlier runs, for people.
    pub remarks: Vec<String>,
    /// Why it does not fit there now; `None` where it does.
    pub obstacle: std::option::Option<String>,
}

impl Scheduler {
    /// Explains a task's state; `None` where there is no such task.
    pub fn explain(&self, id: TaskId) -> std::option::Option<Explanation> {
        let run = self.graphs.get(&id.graph)?;
        let slot = run.slots.get(id.index as usize)?;
        let why = |code, text: String| Why { code, text };
        let reason = match &slot.state {
            TaskState::Waiting if run.held => {
                why("held", "the graph is kept back: `dunnage release` lets it go".to_owned())
            }
            TaskState::Waiting if run.is_planning() && slot.missing == 0 => {
                why("planning", "waits for the plan of its graph".to_owned())
            }
            TaskState::Waiting => {
                let open = self.open_needs(id);
                why("dependency", format!("waits for {}", open.join(", ")))
            }
            TaskState::Held => why("held", "it is kept back by its owner".to_owned()),
            TaskState::BackingOff { until } => {
                why("backoff", format!("failed before and is started again in {}", until.since(self.now)))
            }
            TaskState::Ready if run.held => {
                why("held", "the graph is kept back: `dunnage release` lets it go".to_owned())
            }
            TaskState::Ready if run.is_planning() => {
                why("planning", "waits for the plan of its graph".to_owned())
            }
            TaskState::Ready if run.is_at_limit(id.index) => {
                why("limit", "as many of its function or graph run as may run at once".to_owned())
            }
            TaskState::Ready => self.why_not_placed(id),
            TaskState::Running(running) => why(
                "running",
                match running.ending {
                    None => format!("runs on {}", running.placement.main_device()),
                    Some(_) => format!("was told to end on {}", running.placement.main_device()),
                },
            ),
            TaskState::Succeeded => why("ended", "it succeeded".to_owned()),
            TaskState::Failed => {
                let failure = slot.record.as_ref().and_then(|record| record.failure.as_ref());
                why(
                    "ended",
                    failure.map_or("it failed".to_owned(), |f| format!("{}: {}", f.cause, f.message)),
                )
            }
            TaskState::Cancelled { cause: dunnage_model::Cause::UpstreamFailed } => why(
                "ended",
                format!("cancelled because {} did not succeed", self.failed_needs(id).join(", ")),
            ),
            TaskState::Cancelled { .. } => why(
                "ended",
                "cancelled by its owner, or because its graph failed or ran out of time".to_owned(),
            ),
            TaskState::Compensated => why("ended", "it succeeded, and its work was undone".to_owned()),
        };
        Some(Explanation {
            state: slot.state.word(),
            why: reason,
            strategy: self.strategies[run.strategy].name(),
            options: self.alternatives(id),
        })
    }

    fn open_needs(&self, id: TaskId) -> Vec<String> {
        self.needs_in(id, |state| *state != TaskState::Succeeded, TaskState::is_final)
    }

    fn failed_needs(&self, id: TaskId) -> Vec<String> {
        let bad = |state: &TaskState| state.is_final() && *state != TaskState::Succeeded;
        self.needs_in(id, bad, |_| true)
    }

    /// The names of what a task needs that is in some state, at most five and a count.
    fn needs_in(
        &self,
        id: TaskId,
        wanted: impl Fn(&TaskState) -> bool,
        ended: impl Fn(&TaskState) -> bool,
    ) -> Vec<String> {
        let Some(run) = self.graphs.get(&id.graph) else { return Vec::new() };
        let mut open: Vec<u32> = Vec::new();
        for need in run.graph.needs(id.index) {
            match need {
                Need::Task(task) => open.push(*task),
                Need::Group(group) => open.extend(run.graph.members(*group)),
                Need::GroupEnd(group) => {
                    open.extend(
                        run.graph.members(*group).filter(|task| !ended(&run.slots[*task as usize].state)),
                    );
                }
            }
        }
        open.retain(|task| wanted(&run.slots[*task as usize].state));
        let more = open.len().saturating_sub(5);
        let mut names: Vec<String> =
            open.iter().take(5).map(|task| format!("`{}`", run.graph.task_name(*task))).collect();
        if more > 0 {
            names.push(format!("{more} more"));
        }
        names
    }

    fn why_not_placed(&self, id: TaskId) -> Why {
        let Some(run) = self.graphs.get(&id.graph) else {
            return Why { code: "ended", text: "its graph is gone".to_owned() };
        };
        let mut refusals: Vec<Refusal> = Vec::new();
        for variant in 0..run.graph.function(id.index).variants.len() as u8 {
            for node in self.ledger.nodes() {
                let request = self.request_on(run, id.index, variant, node.spec.id);
                match node.check(&request) {
                    Ok(()) => {
                        if let Some((task, at)) = self.reserved().filter(|(task, _)| *task != id) {
                            let other = self.graphs.get(&task.graph);
                            let name = other.map_or(String::new(), |run| run.graph.task_name(task.index));
                            let text = format!(
                                "room is kept for `{name}` of graph {}, which is predicted to start in {}",
                                task.graph,
                                at.since(self.now)
                            );
                            return Why { code: "priority", text };
                        }
                        let text = match run.planned(id.index) {
                            Some(place) => format!("its plan keeps it for {}", place.device),
                            None => "others go before it".to_owned(),
                        };
                        return Why { code: "priority", text };
                    }
                    Err(refusal @ Refusal::Later(_)) => refusals.push(
                        self.memory_story(run, id.index, variant, &request, node)
                            .filter(|_| node.only_lacks_memory(&request))
                            .map_or(refusal, Refusal::Later),
                    ),
                    Err(refusal) => refusals.push(refusal),
                }
            }
        }
        let later = refusals.iter().find(|refusal| matches!(refusal, Refusal::Later(_)));
        let text = later.or(refusals.first()).map_or("no node is known", Refusal::text);
        Why { code: "resources", text: text.to_owned() }
    }

    /// Every variant on every device, with what it would cost and what stands in its way.
    fn alternatives(&self, id: TaskId) -> Vec<Option> {
        let Some(run) = self.graphs.get(&id.graph) else { return Vec::new() };
        let mut options = Vec::new();
        for variant in 0..run.graph.function(id.index).variants.len() as u8 {
            for node in self.ledger.nodes() {
                let request = self.request_on(run, id.index, variant, node.spec.id);
                let fitting = self.ledger.options(&request, node.spec.id);
                let devices: Vec<DeviceId> = match request.kind() {
                    dunnage_model::DeviceKind::Cpu => vec![DeviceId::host(node.spec.id)],
                    dunnage_model::DeviceKind::Gpu if node.gpus.is_empty() => {
                        vec![DeviceId::host(node.spec.id)]
                    }
                    dunnage_model::DeviceKind::Gpu => node.gpus.iter().map(|gpu| gpu.device).collect(),
                };
                for device in devices {
                    let fits = fitting.iter().any(|gpus| {
                        gpus.first().copied().unwrap_or(DeviceId::host(node.spec.id)) == device
                            || gpus.contains(&device)
                    });
                    let estimate =
                        self.estimates.predict(&run.graph, id.index, variant, node.spec.class(device));
                    let obstacle = (!fits).then(|| {
                        self.memory_story(run, id.index, variant, &request, node)
                            .filter(|_| node.only_lacks_memory(&request))
                            .unwrap_or_else(|| self.obstacle(&request, node, device))
                    });
                    options.push(Option {
                        variant,
                        device,
                        predicted: estimate.duration,
                        basis: estimate.basis,
                        estimate,
                        remarks: self.estimates.remarks(
                            &run.graph,
                            id.index,
                            variant,
                            node.spec.class(device),
                        ),
                        obstacle,
                    });
                }
            }
        }
        options
    }

    fn obstacle(
        &self,
        request: &dunnage_model::Request,
        node: &crate::ledger::NodeLedger,
        device: DeviceId,
    ) -> String {
        if let Some((gpu, spec)) = self.ledger.gpu(device)
            && let Err(refusal) = gpu.check_one(spec, request)
        {
            return refusal.text().to_owned();
        }
        match node.check(request) {
            Ok(()) => "others on this node go before it".to_owned(),
            Err(refusal) => refusal.text().to_owned(),
        }
    }
}
