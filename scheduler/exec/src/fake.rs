//! A scripted engine for tests: what it says is decided beforehand, and goes through the real
//! serialiser, so that a message that cannot be written or read is met in unit tests.

use crate::engine::{AttemptSpec, Ending, Engine, EngineCaps, EngineEvent, MemoryControl, Outcome};
use crate::frame::{self, FrameReader};
use crate::proto::LauncherEvent;
use dunnage_model::{AttemptId, TaskId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;

/// What becomes of an attempt.
#[derive(Clone, PartialEq, Debug)]
pub enum Act {
    /// It starts and ends like this at the next `step`.
    End(Outcome),
    /// It starts and runs until it is cancelled.
    Hang,
    /// It never starts.
    NeverStart,
    /// It is lost and may run again.
    Lose,
}

/// The engine.
#[derive(Debug)]
pub struct FakeEngine {
    events: mpsc::UnboundedSender<EngineEvent>,
    /// Acts still to come, by task; when a task's list is empty, `otherwise` is done.
    script: BTreeMap<TaskId, VecDeque<Act>>,
    otherwise: Act,
    running: BTreeMap<AttemptId, Act>,
    submitted: Vec<AttemptSpec>,
    cancelled: Vec<AttemptId>,
}

impl Act {
    /// It succeeds.
    pub const fn succeed() -> Self {
        Self::End(Outcome::bare(Ending::Exited { code: 0 }))
    }

    /// It fails with an exit code.
    pub const fn fail(code: i32) -> Self {
        Self::End(Outcome::bare(Ending::Exited { code }))
    }
}

impl FakeEngine {
    /// An engine in which everything succeeds that is not scripted.
    pub const fn new(events: mpsc::UnboundedSender<EngineEvent>) -> Self {
        Self {
            events,
            script: BTreeMap::new(),
            otherwise: Act::succeed(),
            running: BTreeMap::new(),
            submitted: Vec::new(),
            cancelled: Vec::new(),
        }
    }

    /// What is done with a task's next attempts, in order.
    pub fn script(mut self, task: TaskId, acts: impl IntoIterator<Item = Act>) -> Self {
        self.script.entry(task).or_default().extend(acts);
        self
    }

    /// What is done where nothing is scripted.
    pub fn otherwise(mut self, act: Act) -> Self {
        self.otherwise = act;
        self
    }

    /// Lets everything end that is going to.
    pub fn step(&mut self) {
        let ending: Vec<AttemptId> =
            self.running.iter().filter(|(_, act)| **act != Act::Hang).map(|(attempt, _)| *attempt).collect();
        for attempt in ending {
            match self.running.remove(&attempt) {
                Some(Act::End(outcome)) => {
                    self.tell(&LauncherEvent::Ended { id: attempt.into(), outcome: Box::new(outcome) });
                }
                Some(Act::Lose) => {
                    let _ = self.events.send(EngineEvent::Lost { attempt });
                }
                Some(Act::Hang | Act::NeverStart) | None => {}
            }
        }
    }

    /// Everything that was ever submitted.
    pub fn submitted(&self) -> &[AttemptSpec] {
        &self.submitted
    }

    /// Everything that was ever cancelled.
    pub fn cancelled(&self) -> &[AttemptId] {
        &self.cancelled
    }

    fn tell(&self, event: &LauncherEvent) {
        let mut bytes = Vec::new();
        frame::encode(event, &mut bytes).expect("an event can be written");
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        let event = match reader.next_message().expect("an event can be read").expect("it is whole") {
            LauncherEvent::Started { id, pid } => EngineEvent::Started { attempt: id.into(), pid },
            LauncherEvent::Ended { id, outcome } => EngineEvent::Ended { attempt: id.into(), outcome },
            LauncherEvent::NeverStarted { id } => EngineEvent::NeverStarted { attempt: id.into() },
        };
        let _ = self.events.send(event);
    }
}

impl Engine for FakeEngine {
    fn caps(&self) -> EngineCaps {
        EngineCaps {
            reattach: false,
            switch_user: false,
            memory: MemoryControl::Watched,
            fetch: false,
            scale: false,
        }
    }

    fn submit(&mut self, batch: Vec<AttemptSpec>) {
        for spec in batch {
            let id = spec.id;
            let act = self.script.get_mut(&id.task).and_then(VecDeque::pop_front);
            let act = act.unwrap_or_else(|| self.otherwise.clone());
            self.submitted.push(spec);
            if act == Act::NeverStart {
                self.tell(&LauncherEvent::NeverStarted { id: id.into() });
            } else {
                self.tell(&LauncherEvent::Started { id: id.into(), pid: 1 });
                self.running.insert(id, act);
            }
        }
    }

    fn cancel(&mut self, attempt: AttemptId, signal: i32, _grace: Duration) {
        self.cancelled.push(attempt);
        if self.running.remove(&attempt).is_some() {
            let mut outcome = Outcome::bare(Ending::Signalled { signal });
            outcome.cancelled = true;
            self.tell(&LauncherEvent::Ended { id: attempt.into(), outcome: Box::new(outcome) });
        }
    }
}
