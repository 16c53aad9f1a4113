//! When a resource that several tasks hold at once has room: how much of it is free, step by step.
//!
//! Steps stand in blocks that know the least and the most that is free in them, so that a search skips
//! blocks which are all too full or all free enough, and taking a whole block is one subtraction. Equal
//! neighbours are one step, so a resource that is full for long stays short. Cost: a binary search and a few
//! steps for a search, the tasks that run at the same time divided by the length of a block for taking.
//!
//! Where thousands of tasks of all sizes wait for nothing, each search would begin at 0 and go through room
//! that is too little for it, and planning would be quadratic. So only the last [`LOOK_BACK`] blocks are
//! searched: what is left free before them, some thousands of tasks ago, is given up.

use std::cell::Cell;

/// A block is cut in two when it holds this many steps.
const BLOCK: usize = 48;

/// A search begins at most this many blocks before the end.
const LOOK_BACK: usize = 256;

/// How much of one resource is free from when on. The last step has no end.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    capacity: u64,
    /// Where each block begins: apart from the blocks, since that is what is searched.
    from: Vec<f64>,
    blocks: Vec<Block>,
    /// The block that was asked for last.
    hint: Cell<usize>,
}

#[derive(Clone, Debug)]
struct Block {
    /// Where each step begins and how much is free in it, before `taken` is subtracted; never empty.
    steps: Vec<(f64, u64)>,
    /// Taken from all of its steps.
    taken: u64,
    /// The least and the most that is free in it.
    least: u64,
    most: u64,
}

impl Block {
    fn new(steps: Vec<(f64, u64)>, taken: u64) -> Self {
        let mut block = Self { steps, taken, least: 0, most: 0 };
        block.refresh();
        block
    }

    fn refresh(&mut self) {
        let free = || self.steps.iter().map(|step| step.1.saturating_sub(self.taken));
        (self.least, self.most) = (free().min().unwrap_or(0), free().max().unwrap_or(0));
    }

    fn free(&self, at: usize) -> u64 {
        self.steps[at].1.saturating_sub(self.taken)
    }
}

impl Profile {
    /// All of it free from 0 on.
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            from: vec![0.0],
            blocks: vec![Block::new(vec![(0.0, capacity)], 0)],
            hint: Cell::new(0),
        }
    }

    /// The block in which a time lies: most questions are near the last one, if not about the end.
    fn block(&self, time: f64) -> usize {
        let last = self.from.len() - 1;
        if self.from[last] <= time {
            return last;
        }
        let hint = self.hint.get().min(last - 1);
        if self.from[hint] <= time && time < self.from[hint + 1] {
            return hint;
        }
        let block = self.from.partition_point(|from| *from <= time).saturating_sub(1);
        self.hint.set(block);
        block
    }

    /// The block and the step in which a time lies.
    fn find(&self, time: f64) -> (usize, usize) {
        let block = self.block(time);
        let step = self.blocks[block].steps.partition_point(|step| step.0 <= time).saturating_sub(1);
        (block, step)
    }

    /// The earliest time from `ready` on at which this much is free for so long.
    pub(crate) fn earliest(&self, ready: f64, seconds: f64, amount: u64) -> f64 {
        let horizon = self.from.len().saturating_sub(LOOK_BACK);
        let ready = if horizon > 0 { ready.max(self.from[horizon]) } else { ready };
        let (mut block, mut step) = self.find(ready);
        let mut start = ready;
        loop {
            // To the first step with enough.
            loop {
                let Some(here) = self.blocks.get(block) else { return start };
                if here.most >= amount
                    && let Some(found) = (step..here.steps.len()).find(|at| here.free(*at) >= amount)
                {
                    step = found;
                    break;
                }
                (block, step) = (block + 1, 0);
            }
            start = ready.max(self.blocks[block].steps[step].0);
            // From there to the first step with too little, or so far that it does not matter.
            let until = start + seconds;
            loop {
                let Some(here) = self.blocks.get(block) else { return start };
                if here.least < amount {
                    let scarce = (step..here.steps.len()).find(|at| here.free(*at) < amount);
                    if let Some(at) = scarce {
                        if here.steps[at].0 >= until {
                            return start;
                        }
                        step = at;
                        break;
                    }
                }
                (block, step) = (block + 1, 0);
                if self.from.get(block).is_none_or(|from| *from >= until) {
                    return start;
                }
            }
        }
    }

    /// Takes this much from `start` to `end`; what is not there cannot be taken.
    pub(crate) fn take(&mut self, start: f64, end: f64, amount: u64) {
        if start >= end || amount == 0 {
            return;
        }
        // The end first: cutting there moves nothing before it.
        if end < f64::INFINITY {
            self.cut(end);
        }
        self.cut(start);
        let (first, from) = self.find(start);
        let mut at = first;
        let mut begin = from;
        while let Some(block) = self.blocks.get_mut(at) {
            if self.from[at] >= end {
                break;
            }
            let until = self.from.get(at + 1).copied().unwrap_or(f64::INFINITY);
            if begin == 0 && until <= end && block.least >= amount {
                block.taken += amount;
                block.least -= amount;
                block.most -= amount;
            } else {
                for step in &mut block.steps[begin..] {
                    if step.0 >= end {
                        break;
                    }
                    step.1 = step.1.saturating_sub(block.taken).saturating_sub(amount) + block.taken;
                }
                block.refresh();
            }
            (at, begin) = (at + 1, 0);
        }
        if end < f64::INFINITY {
            self.join(end);
        }
        self.join(start);
    }

    /// Makes a step begin at a time.
    fn cut(&mut self, time: f64) {
        let (at, step) = self.find(time);
        let block = &mut self.blocks[at];
        let (from, free) = block.steps[step];
        if from >= time {
            return;
        }
        block.steps.insert(step + 1, (time, free));
        if block.steps.len() >= BLOCK {
            let cut = if at + 1 == self.blocks.len() { BLOCK - 8 } else { BLOCK / 2 };
            let block = &mut self.blocks[at];
            let rest = block.steps.split_off(cut);
            let taken = block.taken;
            block.refresh();
            self.from.insert(at + 1, rest[0].0);
            self.blocks.insert(at + 1, Block::new(rest, taken));
        }
    }

    /// Makes one step of two where the one that begins at this time is as free as the one before.
    fn join(&mut self, time: f64) {
        let (at, step) = self.find(time);
        let free = self.blocks[at].free(step);
        let before = match (at, step) {
            (0, 0) => return,
            (_, 0) => self.blocks[at - 1].free(self.blocks[at - 1].steps.len() - 1),
            _ => self.blocks[at].free(step - 1),
        };
        if self.blocks[at].steps[step].0 != time || free != before {
            return;
        }
        self.blocks[at].steps.remove(step);
        if self.blocks[at].steps.is_empty() {
            self.blocks.remove(at);
            self.from.remove(at);
        } else {
            let block = &mut self.blocks[at];
            self.from[at] = block.steps[0].0;
            if free == block.least || free == block.most {
                block.refresh();
            }
        }
    }

    /// All of it.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::Profile;
    use dunnage_core::Rng;

    /// The same by looking at every task at every start and end.
    struct Tasks(u64, Vec<(f64, f64, u64)>);

    impl Tasks {
        fn free(&self, time: f64) -> u64 {
            let held: u64 =
                self.1.iter().filter(|task| task.0 <= time && time < task.1).map(|task| task.2).sum();
            self.0 - held
        }

        fn earliest(&self, ready: f64, seconds: f64, amount: u64) -> f64 {
            let mut starts: Vec<f64> = self.1.iter().map(|task| task.1).filter(|end| *end > ready).collect();
            starts.push(ready);
            starts.sort_by(f64::total_cmp);
            let holds = |start: f64| {
                let changes =
                    self.1.iter().map(|task| task.0).filter(|at| *at > start && *at < start + seconds);
                std::iter::once(start).chain(changes).all(|at| self.free(at) >= amount)
            };
            starts.into_iter().find(|start| holds(*start)).unwrap()
        }
    }

    #[test]
    fn a_profile_answers_as_looking_at_every_task_does() {
        for seed in 0..6 {
            let mut rng = Rng::of(seed, 2);
            let (mut profile, mut tasks) = (Profile::new(10), Tasks(10, Vec::new()));
            for _ in 0..300 {
                let ready = rng.below(400) as f64;
                let seconds = (1 + rng.below(if seed % 3 == 0 { 200 } else { 12 })) as f64 / 2.0;
                let amount = 1 + rng.below(10) as u64;
                let start = tasks.earliest(ready, seconds, amount);
                assert_eq!(profile.earliest(ready, seconds, amount), start, "seed {seed}");
                profile.take(start, start + seconds, amount);
                tasks.1.push((start, start + seconds, amount));
            }
        }
    }

    #[test]
    fn what_is_long_past_is_given_up_and_nothing_is_given_twice() {
        let mut profile = Profile::new(1 << 20);
        let mut free = 1_u64 << 20;
        for n in 0..20_000_u64 {
            // A stair that no neighbour equals, so that steps do not merge.
            let amount = 1 + n % 7;
            profile.take(n as f64, n as f64 + 1.0, amount);
            free = free.min((1 << 20) - amount);
        }
        assert_eq!(profile.earliest(0.0, 1.0, 1 << 20), 20_000.0);
        let start = profile.earliest(0.0, 1.0, free);
        assert!(start > 5_000.0 && start < 19_000.0, "{start}");
    }

    #[test]
    fn a_full_stretch_stays_one_step() {
        let mut profile = Profile::new(4);
        for n in 0..1000 {
            let start = profile.earliest(0.0, 1.5, 2);
            assert_eq!(start, f64::from(n / 2) * 1.5);
            profile.take(start, start + 1.5, 2);
        }
        assert_eq!(profile.blocks.iter().map(|block| block.steps.len()).sum::<usize>(), 2);
    }
}
