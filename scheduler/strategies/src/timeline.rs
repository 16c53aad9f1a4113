//! When a device has room, as a planner sees it: a device is cut into equal slots, a task takes as many
//! as its largest fraction of it needs, and starts when that many are free.

/// The slots of one device with the time at which each becomes free.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// Ascending.
    free_at: Vec<f64>,
}

impl Timeline {
    pub(crate) fn new(slots: usize) -> Self {
        Self { free_at: vec![0.0; slots.max(1)] }
    }

    /// The least number of slots that hold this fraction of the device.
    pub(crate) fn slots_for(&self, fraction: f64) -> usize {
        let slots = self.free_at.len();
        // A hair less, so that a third of three slots is one.
        ((fraction * slots as f64 - 1e-9).ceil().max(0.0) as usize).min(slots)
    }

    /// When this many slots are free for a task that could begin at `ready`.
    pub(crate) fn start(&self, ready: f64, slots: usize) -> f64 {
        if slots == 0 { ready } else { self.free_at[slots - 1].max(ready) }
    }

    /// Takes these slots from `start` until `end`: of those that are free by then the ones that became free
    /// last, so that what was free earlier stays so for others.
    pub(crate) fn take(&mut self, slots: usize, start: f64, end: f64) {
        let free = self.free_at.partition_point(|free| *free <= start).max(slots);
        self.free_at.drain(free - slots..free);
        let at = self.free_at.partition_point(|free| *free <= end);
        self.free_at.splice(at..at, std::iter::repeat_n(end, slots));
    }
}

#[cfg(test)]
mod tests {
    use super::Timeline;

    #[test]
    fn a_task_starts_when_enough_slots_are_free() {
        let mut line = Timeline::new(4);
        assert_eq!(line.start(0.0, 3), 0.0);
        line.take(3, 0.0, 10.0);
        assert_eq!(line.start(0.0, 1), 0.0);
        assert_eq!(line.start(0.0, 2), 10.0);
        line.take(1, 0.0, 4.0);
        assert_eq!(line.start(0.0, 1), 4.0);
        assert_eq!(line.start(12.0, 4), 12.0);
    }

    #[test]
    fn a_late_task_leaves_what_was_free_earlier() {
        let mut line = Timeline::new(2);
        line.take(1, 0.0, 5.0);
        line.take(1, 6.0, 8.0);
        assert_eq!(line.start(0.0, 1), 0.0);
    }

    #[test]
    fn fractions_round_up_to_slots() {
        let line = Timeline::new(3);
        assert_eq!(line.slots_for(1.0 / 3.0), 1);
        assert_eq!(line.slots_for(0.34), 2);
        assert_eq!(line.slots_for(0.0), 0);
        assert_eq!(line.slots_for(7.0), 3);
    }
}
