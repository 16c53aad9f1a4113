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

    #[inline]
    fn subtract(&mut self, from: usize, to: usize, need: &[u64]) {
        let stride = self.stride();
        self.used = self.used.max(to);
        if W == 1 {
            let need = need[0];
            for free in &mut self.free[from..to] {
                *free -= need;
            }
            return;
        }
        for entry in self.free[from * stride..to * stride].chunks_exact_mut(stride) {
            for (free, need) in entry.iter_mut().zip(&need[..stride]) {
                *free -= need;
            }
        }
    }

    #[inline]
    fn fits(&self, at: usize, need: &[u64]) -> bool {
        if W == 1 {
            return self.free[at].wrapping_sub(need[0]) & self.guards[0] == self.guards[0];
        }
        let stride = self.stride();
        let entry = &self.free[at * stride..(at + 1) * stride];
        (0..stride).all(|word| entry[word].wrapping_sub(need[word]) & self.guards[word] == self.guards[word])
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
        let duration = duration as usize;
        let mut begin = earliest as usize;
        // Ticks from `begin` up to here are known to be free.
        let mut known = begin;
        loop {
            let end = begin + duration;
            while self.free.len() < end * self.stride() {
                self.grow(duration);
            }
            // From behind: where a tick is taken, all starts before it are out at once.
            let taken = if W == 1 {
                let (need, guards) = (need[0], self.guards[0]);
                self.free[known..end].iter().rposition(|free| free.wrapping_sub(need) & guards != guards)
            } else {
                (0..end - known).rev().find(|at| !self.fits(known + at, need))
            };
            match taken {
                None => return begin as i64,
                Some(at) => begin = known + at + 1,
            }
            known = end;
        }
    }
}
