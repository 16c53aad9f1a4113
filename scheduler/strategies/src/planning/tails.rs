//! When resources are done with everything that was given to them: what rules need that fill no gaps.
//!
//! Of each resource every unit is free for good from some time on. A task takes, of the units that are free
//! when it starts, those that became free last, so that what was free earlier stays so for others. Of a
//! processor there is one unit, and this is the time at which it ends its last task. Cost: a binary search for
//! a question, the tasks that run at the same time for taking.

use super::Instance;

/// All resources of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Tails {
    lines: Vec<Line>,
}

/// Times, rising, and how many units are free for good from then on, rising.
#[derive(Clone, Debug)]
struct Line(Vec<(f64, u64)>);

impl Line {
    fn free_at(&self, time: f64) -> u64 {
        let after = self.0.partition_point(|step| step.0 <= time);
        if after == 0 { 0 } else { self.0[after - 1].1 }
    }

    fn tail(&self, amount: u64) -> f64 {
        let at = self.0.partition_point(|step| step.1 < amount);
        self.0.get(at).or(self.0.last()).map_or(0.0, |step| step.0)
    }

    fn take(&mut self, amount: u64, start: f64, end: f64) {
        let (before, after) = (self.free_at(start).saturating_sub(amount), self.free_at(end));
        if amount == 0 {
            return;
        }
        for step in self.0.iter_mut().take_while(|step| step.0 < end) {
            step.1 = if step.0 <= start { step.1.min(before) } else { step.1.saturating_sub(amount) };
        }
        let at = self.0.partition_point(|step| step.0 < end);
        if self.0.get(at).is_none_or(|step| step.0 > end) {
            self.0.insert(at, (end, after));
        }
        let mut last = 0;
        self.0.retain(|step| {
            let more = step.1 > last;
            last = last.max(step.1);
            more
        });
    }
}

impl Tails {
    /// Free but for what others hold.
    pub(crate) fn new(instance: &Instance) -> Self {
        let lines = instance.resources.iter().map(|resource| Line(vec![(0.0, resource.capacity)]));
        let mut tails = Self { lines: lines.collect() };
        for held in &instance.occupied {
            if held.until.is_finite()
                && let Some(line) = tails.lines.get_mut(held.resource as usize)
            {
                line.take(held.amount, 0.0, held.until);
            }
        }
        tails
    }

    /// From when on all of this is free for good.
    pub(crate) fn tail(&self, takes: &[(u32, u64)]) -> f64 {
        takes
            .iter()
            .map(|(resource, amount)| self.lines[*resource as usize].tail(*amount))
            .fold(0.0, f64::max)
    }

    /// Takes this from a time on at which it is free.
    pub(crate) fn take(&mut self, takes: &[(u32, u64)], start: f64, end: f64) {
        for (resource, amount) in takes {
            self.lines[*resource as usize].take(*amount, start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn units_become_free_one_after_another() {
        let mut line = Line(vec![(0.0, 4)]);
        line.take(3, 0.0, 10.0);
        assert_eq!((line.tail(1), line.tail(2)), (0.0, 10.0));
        line.take(1, 0.0, 4.0);
        assert_eq!((line.tail(1), line.tail(2), line.tail(4)), (4.0, 10.0, 10.0));
        // It takes the unit that is free from 4 on, not one that is free from 10 on.
        line.take(1, 6.0, 20.0);
        assert_eq!((line.tail(1), line.tail(3), line.tail(4)), (10.0, 10.0, 20.0));
    }

    #[test]
    fn a_late_task_leaves_what_was_free_earlier() {
        let mut line = Line(vec![(0.0, 2)]);
        line.take(1, 0.0, 5.0);
        line.take(1, 6.0, 8.0);
        assert_eq!((line.tail(1), line.tail(2)), (0.0, 8.0));
    }

    #[test]
    fn more_than_there_is_takes_all() {
        let mut line = Line(vec![(0.0, 2)]);
        line.take(u64::MAX, 0.0, 5.0);
        line.take(1, 0.0, 9.0);
        assert_eq!((line.tail(1), line.tail(2)), (5.0, 9.0));
    }
}
