//! What is free between events: the profile for times that are not small whole numbers.
//!
//! Steps are kept in blocks of bounded length, so that an insertion moves few of them; a small instance has
//! one block. Where the last search ended is remembered: the next one mostly begins near it, and what was
//! found is mostly taken.
//!
//! Cost of a placement: the steps from the earliest start to the end, and those after it in its block.

use super::decode::Profile;

/// Steps a block has at most.
const BLOCK: usize = 256;
/// Steps looked at one by one before a search by halves.
const NEAR: usize = 12;

/// A step function of `W` words; `W` 0 stands for any number of words.
#[derive(Clone, Debug)]
pub(crate) struct Events<const W: usize> {
    stride: usize,
    full: Vec<u64>,
    guards: Vec<u64>,
    blocks: Vec<Steps>,
    /// Blocks that are not in use now.
    spare: Vec<Steps>,
    /// The block and step that the last search began its answer in.
    hint: (usize, usize),
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

    #[inline]
    fn fits(&self, free: &[u64], step: usize, need: &[u64]) -> bool {
        if W == 1 {
            return free[step].wrapping_sub(need[0]) & self.guards[0] == self.guards[0];
        }
        let stride = self.stride();
        let entry = &free[step * stride..(step + 1) * stride];
        (0..stride).all(|word| entry[word].wrapping_sub(need[word]) & self.guards[word] == self.guards[word])
    }

    /// The step that a time lies in.
    #[inline]
    fn step_at(&self, time: i64) -> (usize, usize) {
        let (block, mut step) = self.hint;
        if let Some(steps) = self.blocks.get(block) {
            let begin = &steps.begin[..];
            let is_last = block + 1 == self.blocks.len();
            for _ in 0..NEAR {
                if step >= begin.len() {
                    break;
                }
                if begin[step] > time {
                    if step == 0 {
                        break;
                    }
                    step -= 1;
                } else if step + 1 < begin.len() {
                    if begin[step + 1] > time {
                        return (block, step);
                    }
                    step += 1;
                } else if is_last {
                    return (block, step);
                } else {
                    break;
                }
            }
        }
        let block = self.blocks.partition_point(|block| block.begin[0] <= time) - 1;
        (block, self.blocks[block].begin.partition_point(|begin| *begin <= time) - 1)
    }

    /// Makes a step begin at a time within the given one; returns where it is.
    fn split(&mut self, block: usize, step: usize, time: i64) -> (usize, usize) {
        let stride = self.stride();
        let steps = &mut self.blocks[block];
        if steps.begin[step] == time {
            return (block, step);
        }
        steps.open(step, 1, stride);
        steps.begin[step + 1] = time;
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

    /// Takes across blocks, or where a block grows too long.
    #[cold]
    fn lower(&mut self, from: i64, to: i64, need: &[u64]) {
        let stride = self.stride();
        let (block, step) = self.step_at(to);
        self.split(block, step, to);
        let (block, step) = self.step_at(from);
        let (mut block, mut step) = self.split(block, step, from);
        self.hint = (block, step);
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

impl Steps {
    /// Moves what is after a step by so many; the copies of the step remain between.
    #[inline]
    fn open(&mut self, step: usize, by: usize, stride: usize) {
        let len = self.begin.len();
        self.begin.resize(len + by, 0);
        self.begin.copy_within(step..len, step + by);
        let width = self.free.len();
        self.free.resize(width + by * stride, 0);
        self.free.copy_within(step * stride..width, (step + by) * stride);
    }
}

#[inline]
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
            hint: (0, 0),
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
        self.hint = (0, 0);
    }

    #[inline]
    fn take(&mut self, from: i64, to: i64, need: &[u64]) {
        let from = from.max(0);
        if from >= to {
            return;
        }
        let stride = self.stride();
        let (block, step) = self.step_at(from);
        let is_last_block = block + 1 == self.blocks.len();
        let steps = &mut self.blocks[block];
        // The last step that begins before `to`.
        let mut last = step;
        while last + 1 < steps.begin.len() && steps.begin[last + 1] < to {
            last += 1;
        }
        let is_end = last + 1 == steps.begin.len();
        if (is_end && !is_last_block) || steps.begin.len() + 2 > BLOCK {
            self.lower(from, to, need);
            return;
        }
        if is_end || steps.begin[last + 1] != to {
            steps.open(last, 1, stride);
            steps.begin[last + 1] = to;
        }
        let mut first = step;
        if steps.begin[step] != from {
            steps.open(step, 1, stride);
            steps.begin[step + 1] = from;
            first += 1;
            last += 1;
        }
        if W == 1 {
            let need = need[0];
            for free in &mut steps.free[first..=last] {
                *free -= need;
            }
        } else {
            subtract(&mut steps.free[first * stride..(last + 1) * stride], need, stride);
        }
        self.hint = (block, first);
    }

    #[inline]
    fn find(&mut self, earliest: i64, duration: i64, need: &[u64]) -> i64 {
        let (mut block, mut step) = self.step_at(earliest);
        let mut begin = earliest;
        let mut found = (block, step);
        loop {
            let steps = &self.blocks[block];
            let (begins, free) = (&steps.begin[..], &steps.free[..]);
            while step < begins.len() {
                if begins[step] >= begin + duration {
                    self.hint = found;
                    return begin;
                }
                let fits = self.fits(free, step, need);
                step += 1;
                if fits {
                    continue;
                }
                while step < begins.len() && !self.fits(free, step, need) {
                    step += 1;
                }
                if step < begins.len() {
                    begin = begins[step];
                    found = (block, step);
                } else if let Some(next) = self.blocks.get(block + 1) {
                    // Looked at when its turn comes.
                    begin = next.begin[0];
                    found = (block + 1, 0);
                }
            }
            block += 1;
            step = 0;
            if block == self.blocks.len() {
                self.hint = found;
                return begin;
            }
        }
    }
}
