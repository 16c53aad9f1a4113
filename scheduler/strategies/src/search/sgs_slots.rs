//! What is free in each whole tick: the fastest profile where tasks take few ticks.
//!
//! Cost of a placement: the ticks from the earliest start to the end. Bad where tasks take hundreds of
//! ticks; [`super::sgs_events`] is for these.

use super::decode::Profile;

/// One entry of `W` words a tick; `W` 0 stands for any number of words.
#[derive(Clone, Debug)]
pub(crate) struct Slots<const W: usize> {
    stride: usize,
    full: Vec<u64>,
    guards: Vec<u64>,
    free: Vec<u64>,
    /// Ticks from here on are all free.
    used: usize,
}

impl<const W: usize> Slots<W> {
    const fn stride(&self) -> usize {
        if W == 0 { self.stride } else { W }
    }

    #[cold]
    fn grow(&mut self, ticks: usize) {
        let more = (self.free.len() / self.stride()).max(ticks);
        for _ in 0..more {
            self.free.extend_from_slice(&self.full);
        }
    }

    fn subtract(&mut self, from: usize, to: usize, need: &[u64]) {
        let stride = self.stride();
        for entry in self.free[from * stride..to * stride].chunks_exact_mut(stride) {
            for (free, need) in entry.iter_mut().zip(need) {
                *free -= need;
            }
        }
        self.used = self.used.max(to);
    }
}

impl<const W: usize> Profile for Slots<W> {
    fn new(full: &[u64], guards: &[u64], ticks: usize) -> Self {
        let mut slots = Self {
            stride: full.len(),
            full: full.to_vec(),
            guards: guards.to_vec(),
            free: Vec::with_capacity((ticks + 1) * full.len()),
            used: 0,
        };
        slots.grow(ticks + 1);
        slots
    }

    fn reset(&mut self) {
        let stride = self.stride();
        let used = &mut self.free[..self.used * stride];
        if W == 1 {
            used.fill(self.full[0]);
        } else {
            for entry in used.chunks_exact_mut(stride) {
                entry.copy_from_slice(&self.full);
            }
        }
        self.used = 0;
    }

    fn take(&mut self, from: i64, to: i64, need: &[u64]) {
        let (from, to) = (from.max(0) as usize, to.max(0) as usize);
        if from < to {
            while self.free.len() < to * self.stride() {
                self.grow(to);
            }
            self.subtract(from, to, need);
        }
    }

    #[inline]
    fn find(&mut self, earliest: i64, duration: i64, need: &[u64]) -> i64 {
        let stride = self.stride();
        let duration = duration as usize;
        let mut at = earliest as usize;
        let mut begin = at;
        loop {
            if self.free.len() < (begin + duration) * stride {
                self.grow(duration);
                continue;
            }
            let (full_need, guards) = (&need[..stride], &self.guards[..stride]);
            let mut is_free = true;
            for entry in self.free[at * stride..(begin + duration) * stride].chunks_exact(stride) {
                at += 1;
                let mut fits = true;
                for word in 0..stride {
                    fits &= entry[word].wrapping_sub(full_need[word]) & guards[word] == guards[word];
                }
                if !fits {
                    is_free = false;
                    break;
                }
            }
            if is_free {
                break;
            }
            // The tick before `at` is taken: skip what else is.
            let free = self.free[at * stride..].chunks_exact(stride);
            for entry in free {
                let mut fits = true;
                for word in 0..stride {
                    fits &= entry[word].wrapping_sub(full_need[word]) & guards[word] == guards[word];
                }
                if fits {
                    break;
                }
                at += 1;
            }
            begin = at;
        }
        begin as i64
    }
}
