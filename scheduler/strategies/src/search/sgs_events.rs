//! What is free between events: the profile for times that are not small whole numbers.
//!
//! Steps are kept in blocks of bounded length, so that an insertion moves few of them.
//!
//! Cost of a placement: the steps from the earliest start to the end, about one and a half times that of
//! [`super::sgs_slots`] on short tasks.

use super::decode::Profile;

/// Steps a block has at most.
const BLOCK: usize = 64;

/// A step function of `W` words; `W` 0 stands for any number of words.
#[derive(Clone, Debug)]
pub(crate) struct Events<const W: usize> {
    stride: usize,
    full: Vec<u64>,
    guards: Vec<u64>,
    blocks: Vec<Steps>,
    /// Blocks that are not in use now.
    spare: Vec<Steps>,
}

/// Some steps in a row; each lasts until the next.
#[derive(Clone, Debug, Default)]
struct Steps {
    begin: Vec<i64>,
    free: Vec<u64>,
}

impl<const W: usize> Events<W> {
    const fn stride(&self) -> usize {
        if W == 0 { self.stride } else { W }
    }

    fn fits(&self, block: usize, step: usize, need: &[u64]) -> bool {
        let stride = self.stride();
        let entry = &self.blocks[block].free[step * stride..(step + 1) * stride];
        let mut fits = true;
        for word in 0..stride {
            fits &= entry[word].wrapping_sub(need[word]) & self.guards[word] == self.guards[word];
        }
        fits
    }

    /// The step that a time lies in.
    fn step_at(&self, time: i64) -> (usize, usize) {
        let block = self.blocks.partition_point(|block| block.begin[0] <= time) - 1;
        let step = self.blocks[block].begin.partition_point(|begin| *begin <= time) - 1;
        (block, step)
    }

    /// Makes a step begin at a time within the given one; returns where it is.
    fn split(&mut self, block: usize, step: usize, time: i64) -> (usize, usize) {
        let stride = self.stride();
        let steps = &mut self.blocks[block];
        if steps.begin[step] == time {
            return (block, step);
        }
        steps.begin.insert(step + 1, time);
        if W == 1 {
            let same = steps.free[step];
            steps.free.insert(step + 1, same);
        } else {
            let from = step * stride;
            let tail = steps.free.len();
            steps.free.extend_from_within(tail - stride..);
            steps.free.copy_within(from..tail - stride, from + stride);
        }
        if steps.begin.len() <= BLOCK {
            return (block, step + 1);
        }
        let half = BLOCK / 2;
        let mut upper = self.spare.pop().unwrap_or_default();
        upper.begin.clear();
        upper.free.clear();
        let steps = &mut self.blocks[block];
        upper.begin.extend_from_slice(&steps.begin[half..]);
        upper.free.extend_from_slice(&steps.free[half * stride..]);
        steps.begin.truncate(half);
        steps.free.truncate(half * stride);
        self.blocks.insert(block + 1, upper);
        if step + 1 >= half { (block + 1, step + 1 - half) } else { (block, step + 1) }
    }

    /// Takes from `from` until `to`.
    fn lower(&mut self, from: i64, to: i64, need: &[u64]) {
        let stride = self.stride();
        let (block, step) = self.step_at(to);
        self.split(block, step, to);
        let (block, step) = self.step_at(from);
        let (mut block, mut step) = self.split(block, step, from);
        loop {
            let steps = &mut self.blocks[block];
            let until = steps.begin.partition_point(|begin| *begin < to);
            subtract(&mut steps.free[step * stride..until * stride], need, stride);
            if until < steps.begin.len() || block + 1 == self.blocks.len() {
                return;
            }
            block += 1;
            step = 0;
        }
    }
}

fn subtract(entries: &mut [u64], need: &[u64], stride: usize) {
    for entry in entries.chunks_exact_mut(stride) {
        for (free, need) in entry.iter_mut().zip(need) {
            *free -= need;
        }
    }
}

impl<const W: usize> Profile for Events<W> {
    fn new(full: &[u64], guards: &[u64], _: usize) -> Self {
        let mut events = Self {
            stride: full.len(),
            full: full.to_vec(),
            guards: guards.to_vec(),
            blocks: Vec::new(),
            spare: Vec::new(),
        };
        events.reset();
        events
    }

    fn reset(&mut self) {
        self.spare.append(&mut self.blocks);
        let mut first = self.spare.pop().unwrap_or_default();
        first.begin.clear();
        first.free.clear();
        first.begin.push(0);
        first.free.extend_from_slice(&self.full);
        self.blocks.push(first);
    }

    fn take(&mut self, from: i64, to: i64, need: &[u64]) {
        let from = from.max(0);
        if from < to {
            self.lower(from, to, need);
        }
    }

    #[inline]
    fn find(&mut self, earliest: i64, duration: i64, need: &[u64]) -> i64 {
        let (mut block, mut step) = self.step_at(earliest);
        let mut begin = earliest;
        'scan: loop {
            while step < self.blocks[block].begin.len() {
                if self.blocks[block].begin[step] >= begin + duration {
                    break 'scan;
                }
                if self.fits(block, step, need) {
                    step += 1;
                } else {
                    step += 1;
                    while step < self.blocks[block].begin.len() && !self.fits(block, step, need) {
                        step += 1;
                    }
                    // Where the block ends, the next one's first step says when to begin.
                    begin = match self.blocks[block].begin.get(step) {
                        Some(begin) => *begin,
                        None => match self.blocks.get(block + 1) {
                            Some(next) => next.begin[0],
                            // The last step is all free.
                            None => break 'scan,
                        },
                    };
                }
            }
            block += 1;
            step = 0;
            if block == self.blocks.len() {
                break;
            }
        }
        begin
    }
}
