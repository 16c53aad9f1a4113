//! The table of wishes about the future.

use dunnage_model::{AttemptId, GraphId, TaskId, Time};
use std::collections::BTreeSet;

/// What is to be looked at when its time has come. A timer that no longer means anything, because its
/// attempt has ended, fires in vain: its handler looks at the state first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// A graph's time is over.
    GraphTimeout(GraphId),
    /// An attempt's time is over.
    TaskTimeout(AttemptId),
    /// A task that waited after a failure may start again.
    BackoffOver(TaskId),
    /// A graph has waited long enough for its plan.
    PlanOverdue(GraphId, u32),
    /// A planned attempt has run far longer than was predicted.
    Overrun(AttemptId),
    /// A graph's plan may be made again.
    ReplanDue(GraphId),
    /// A look at the queue that was cut short goes on.
    LookOn,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    table: BTreeSet<(Time, Timer)>,
    /// The earliest time that the driver was asked to wake us at.
    asked: Option<Time>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Time, timer: Timer) {
        self.table.insert((at, timer));
    }

    /// Takes back a wish that has lost its meaning, so that the table does not fill with the long
    /// timeouts of short attempts.
    pub(crate) fn clear(&mut self, at: Time, timer: Timer) {
        self.table.remove(&(at, timer));
    }

    pub(crate) fn pop_due(&mut self, now: Time) -> Option<(Time, Timer)> {
        if self.table.first()?.0 > now {
            return None;
        }
        self.table.pop_first()
    }

    /// The time to ask the driver for, if it is not the one already asked for.
    pub(crate) fn wish(&mut self, now: Time) -> Option<Time> {
        if self.asked.is_some_and(|asked| asked <= now) {
            self.asked = None;
        }
        let (next, _) = *self.table.first()?;
        if self.asked.is_some_and(|asked| asked <= next) {
            return None;
        }
        self.asked = Some(next);
        Some(next)
    }
}
