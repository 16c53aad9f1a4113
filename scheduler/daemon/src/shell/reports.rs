//! What engine and devices report: attempts that began and ended, what they left behind, who uses what.

use super::owner::{Claimed, LOGS_EVERY, Shell};
use super::sampler::Look;
use super::{Input, outcome};
use crate::tree::TreeUse;
use dunnage_exec::{Ending, EngineEvent, Outcome};
use dunnage_model::{
    AttemptId, Bytes, Cause, Code, DeviceId, DeviceSample, Event, Failure, Health, NodeSpec, ProcessUse,
    Usage,
};
use dunnage_store::Write;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the daemon itself may use without being counted with others.
const OWN_USE: Bytes = Bytes::mib(64);

impl Shell {
    pub(super) fn engine_event(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Started { attempt, pid } => {
                self.pids.insert(attempt, pid);
                let at = self.clock.now();
                let is_kernel = self.core.graph(attempt.task.graph).is_some_and(|run| {
                    matches!(run.graph.function(attempt.task.index).code, Code::Kernel { .. })
                });
                if is_kernel {
                    // Kernels do not outlive the daemon, so nobody asks later when they began.
                    let mut decisions = Vec::new();
                    self.core.handle(at, Event::Started { attempt }, &mut decisions);
                    self.gather(at, decisions);
                } else {
                    self.handle_at(at, Event::Started { attempt });
                }
            }
            EngineEvent::Ended { attempt, outcome } => self.inspect(attempt, *outcome),
            EngineEvent::NeverStarted { attempt } => {
                self.forget_attempt(attempt);
                // The claim that fenced it off has done its work once the fact is on disk.
                self.claims_now.push(Claimed { attempt, has_log: false });
                self.handle(Event::NeverStarted { attempt });
            }
            EngineEvent::Lost { attempt } => {
                self.forget_attempt(attempt);
                let failure =
                    Box::new(Failure::new(Cause::WorkerDied, "its worker was ended with another call"));
                self.handle(Event::Failed { attempt, failure, usage: Usage::default() });
            }
            EngineEvent::LauncherLost { pid } => {
                eprintln!("dunnage: the launcher (process {pid}) is gone; what it had started is watched");
            }
            EngineEvent::LauncherUnavailable { why } => {
                eprintln!("dunnage: no launcher can be started, so no command can: {why}");
            }
        }
    }

    /// What an attempt left behind that ended while nobody looked.
    pub(crate) fn inspect_recovered(&mut self, attempt: AttemptId, outcome: Outcome) {
        let Some(run) = self.core.graph(attempt.task.graph) else { return };
        let inspection = self.effects.inspection(run, self.metas.get(&attempt.task.graph), attempt, &outcome);
        let (event, lost) = outcome::judge(&inspection, &outcome);
        for task in lost {
            self.handle_quietly(Event::ValueLost { task: attempt.task.graph.task(task) });
        }
        self.handle_quietly(event);
        self.claims_now.push(Claimed { attempt, has_log: true });
        let rows = self.effects.pack_log(attempt);
        self.writes.extend(rows.into_iter().map(Write::Log));
    }

    /// Looks at what an ended attempt left behind: at once where that is quick, beside the loop where
    /// something must be synced to disk.
    pub(super) fn inspect(&mut self, attempt: AttemptId, outcome: Outcome) {
        let Some(run) = self.core.graph(attempt.task.graph) else {
            // Of a graph that was put away: nothing depends on it any more.
            drop(self.engine.claims().remove(attempt));
            return;
        };
        let inspection = self.effects.inspection(run, self.metas.get(&attempt.task.graph), attempt, &outcome);
        // A log of nothing was removed by its shim; of one that died nothing is known.
        let has_log = outcome.log_bytes > 0 || matches!(outcome.ending, Ending::ShimDied);
        if inspection.outputs.iter().any(|(_, _, durable)| *durable) && outcome.is_success() {
            self.effects.inspecting += 1;
            let sender = self.sender.clone();
            tokio::task::spawn_blocking(move || {
                let (event, lost) = outcome::judge(&inspection, &outcome);
                drop(sender.send(Input::Judged { attempt, event: Box::new(event), lost, has_log }));
            });
        } else {
            self.effects.inspecting += 1;
            let (event, lost) = outcome::judge(&inspection, &outcome);
            self.judged(attempt, event, &lost, has_log);
        }
    }

    pub(super) fn judged(&mut self, attempt: AttemptId, mut event: Event, lost: &[u32], has_log: bool) {
        if let (Event::Finished { usage, .. } | Event::Failed { usage, .. }, Some(peak)) =
            (&mut event, self.gpu_peaks.get(&attempt))
        {
            usage.peak_gpu_memory.get_or_insert(*peak);
        }
        self.effects.inspecting = self.effects.inspecting.saturating_sub(1);
        for task in lost {
            self.handle(Event::ValueLost { task: attempt.task.graph.task(*task) });
        }
        for (name, value) in self.effects.reports(attempt) {
            self.handle(Event::Reported { task: attempt.task, name, value });
        }
        self.forget_attempt(attempt);
        self.handle(event);
        let is_command = self
            .core
            .graph(attempt.task.graph)
            .is_some_and(|run| matches!(run.graph.function(attempt.task.index).code, Code::Command(_)));
        if is_command {
            self.claims_now.push(Claimed { attempt, has_log });
            if has_log {
                let rows = self.effects.pack_log(attempt);
                self.writes.extend(rows.into_iter().map(Write::Log));
            }
        }
    }

    pub(super) fn forget_attempt(&mut self, attempt: AttemptId) {
        // Nobody listening is fine.
        let _ = self.ended_attempts.send(attempt);
        self.pids.remove(&attempt);
        self.gpu_used.remove(&attempt);
        self.gpu_peaks.remove(&attempt);
    }

    pub(super) fn sampled(&mut self, samples: Vec<DeviceSample>, node: Option<NodeSpec>, trees: &TreeUse) {
        if let Some(node) = node {
            self.handle(Event::NodeSeen(Arc::new(node)));
        }
        for event in self.seen(samples, trees) {
            self.handle(event);
        }
    }

    /// Takes in the first look at the devices, before anything is placed. A device that is not well is left
    /// to the next look: what is to be done about it must not be lost.
    pub(super) fn first_look(&mut self, mut samples: Vec<DeviceSample>) {
        samples.retain(|sample| sample.health == Health::Ok);
        let roots: Vec<u32> =
            if self.options.made_up { Vec::new() } else { self.pids.values().copied().collect() };
        let trees = crate::tree::memory_of(&roots);
        for event in self.seen(samples, &trees) {
            self.handle_quietly(event);
        }
    }

    /// What samples say of our tasks and of others, as events.
    fn seen(&mut self, samples: Vec<DeviceSample>, trees: &TreeUse) -> Vec<Event> {
        let roots: BTreeMap<u32, AttemptId> =
            self.pids.iter().map(|(attempt, pid)| (*pid, *attempt)).collect();
        let mut events = Vec::with_capacity(2 * samples.len());
        let mut used: BTreeMap<AttemptId, Vec<(DeviceId, Bytes)>> = BTreeMap::new();
        for sample in samples {
            let reserved = self
                .core
                .ledger()
                .gpu(sample.device)
                .map_or(Bytes::ZERO, |(gpu, _)| Bytes(gpu.memory_held.max(0) as u64));
            for process in &sample.processes {
                if let Some(attempt) = crate::tree::owner_of(process.pid, &roots)
                    && let Some(memory) = process.memory
                {
                    let list = used.entry(attempt).or_default();
                    match list.iter_mut().find(|(device, _)| *device == sample.device) {
                        Some((_, sum)) => *sum = sum.saturating_add(memory),
                        None => list.push((sample.device, memory)),
                    }
                }
            }
            let by =
                if sample.device.is_host() { self.host_use(trees) } else { used_of(&used, sample.device) };
            // Also when nobody uses anything any more: what was seen before is forgotten by it.
            events.push(Event::MemoryUsed { device: sample.device, by });
            if sample.device.is_host() {
                let foreign = self.host_foreign(&sample, trees);
                events.push(Event::DeviceSampled { sample: Box::new(sample), foreign });
                continue;
            }
            let own = std::process::id();
            let ours = |pid: u32| pid == own || crate::tree::owner_of(pid, &roots).is_some();
            let foreign =
                dunnage_devices::foreign_memory(&sample, &ours, reserved, self.options.ignore_foreign_below)
                    .unwrap_or_default();
            events.push(Event::DeviceSampled { sample: Box::new(sample), foreign });
        }
        for (attempt, devices) in &used {
            let most = devices.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default();
            let peak = self.gpu_peaks.entry(*attempt).or_default();
            *peak = most.max(*peak);
        }
        self.gpu_used = used;
        events
    }

    /// The RAM that attempts were seen to use.
    fn host_use(&self, trees: &TreeUse) -> Vec<(AttemptId, Bytes)> {
        if self.options.made_up {
            return Vec::new();
        }
        self.pids.iter().filter_map(|(attempt, pid)| Some((*attempt, *trees.by_root.get(pid)?))).collect()
    }

    /// The RAM that others use. Of a made-up machine nothing real says.
    fn host_foreign(&self, sample: &DeviceSample, trees: &TreeUse) -> Bytes {
        let Some(used) = sample.memory_used.filter(|_| !self.options.made_up) else { return Bytes::ZERO };
        // Workers belong to this process, and what they use for a call is counted with what the call holds.
        // More than that, as a worker keeps it between calls, nobody holds: it is used like what others use.
        let calls = self.core.ledger().holdings().filter(|(attempt, _)| {
            !self.pids.get(*attempt).is_some_and(|pid| trees.by_root.contains_key(pid))
        });
        let held = calls.fold(OWN_USE, |sum, (_, held)| sum.saturating_add(held.memory));
        let ours = trees.by_root.values().fold(trees.own.min(held), |sum, bytes| sum.saturating_add(*bytes));
        let foreign = used.saturating_sub(ours);
        if foreign < self.options.ignore_foreign_below { Bytes::ZERO } else { foreign }
    }

    pub(super) fn keep_logs(&mut self) {
        let now = self.clock.now();
        let core = &self.core;
        let old = self.pids.keys().copied().filter(|attempt| {
            core.graph(attempt.task.graph).is_some_and(|run| {
                let task = attempt.task.index;
                let begun = run.slots()[task as usize].record.as_ref().and_then(|record| record.placed_at);
                matches!(run.graph.function(task).code, Code::Command(_))
                    && begun.is_some_and(|at| now.since(at).to_std() >= LOGS_EVERY)
            })
        });
        self.effects.keep_logs(old);
    }

    /// Asks for a look at the devices.
    pub(crate) fn look(&mut self) {
        let before = self.core.ledger().generation();
        self.locks.keep(&mut self.core);
        if self.core.ledger().generation() != before {
            self.handle(Event::TimerFired);
        }
        self.locks.give_back(&mut self.core);
        self.flush();
        let Some(sampler) = &self.sampler else { return };
        let mut load: BTreeMap<DeviceId, Vec<ProcessUse>> = BTreeMap::new();
        for node in self.core.ledger().nodes() {
            for gpu in &node.gpus {
                load.insert(gpu.device, Vec::new());
            }
        }
        for (attempt, placement) in self.core.ledger().holdings() {
            let Some(pid) = self.pids.get(attempt) else { continue };
            for grant in &placement.gpus {
                // A task that was given memory alone is taken to use a tenth of the cores.
                let share = if grant.share.0 == 0 { 0.1 } else { f64::from(grant.share.0) / 1000.0 };
                load.entry(grant.device).or_default().push(ProcessUse {
                    pid: *pid,
                    memory: Some(grant.memory),
                    sm_share: Some(share),
                });
            }
        }
        let roots = if self.options.made_up { Vec::new() } else { self.pids.values().copied().collect() };
        sampler.ask(Look { load: load.into_iter().collect(), roots });
    }
}

fn used_of(used: &BTreeMap<AttemptId, Vec<(DeviceId, Bytes)>>, device: DeviceId) -> Vec<(AttemptId, Bytes)> {
    let on_it =
        |list: &[(DeviceId, Bytes)]| list.iter().find(|(on, _)| *on == device).map(|(_, bytes)| *bytes);
    used.iter().filter_map(|(attempt, list)| Some((*attempt, on_it(list)?))).collect()
}
