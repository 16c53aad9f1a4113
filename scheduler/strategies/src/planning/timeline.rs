//! When all that a task takes has room at once.
//!
//! A resource of which two tasks can never hold something together (a processor, a core of its own, a whole
//! GPU) is a list of idle [gaps](super::gaps); any other a [profile](super::profile) of what is free.

use super::Instance;
use super::gaps::Gaps;
use super::profile::Profile;

/// All resources of an instance over time.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
enum Line {
    Alone(Gaps),
    Shared(Profile),
}

impl Line {
    fn earliest(&self, ready: f64, seconds: f64, amount: u64) -> f64 {
        match self {
            Self::Alone(gaps) => gaps.earliest(ready, seconds),
            Self::Shared(profile) => profile.earliest(ready, seconds, amount),
        }
    }
}

impl Timeline {
    /// Free but for what others hold. `least` is the least that any mode takes of each resource.
    pub(crate) fn new(instance: &Instance, least: &[u64]) -> Self {
        let is_alone = |resource: usize| {
            let capacity = instance.resources[resource].capacity;
            least.get(resource).is_some_and(|least| least.saturating_mul(2) > capacity)
        };
        let mut free_from = vec![0.0_f64; instance.resources.len()];
        let mut is_cut = vec![false; instance.resources.len()];
        let occupied = || {
            instance.occupied.iter().filter(|held| {
                held.until.is_finite()
                    && held.until > 0.0
                    && (held.resource as usize) < instance.resources.len()
            })
        };
        for held in occupied() {
            let resource = held.resource as usize;
            let capacity = instance.resources[resource].capacity;
            if held.amount >= capacity {
                free_from[resource] = free_from[resource].max(held.until);
            } else {
                is_cut[resource] = true;
            }
        }
        let mut lines: Vec<Line> = (0..instance.resources.len())
            .map(|resource| {
                if is_alone(resource) && !is_cut[resource] {
                    Line::Alone(Gaps::new(free_from[resource]))
                } else {
                    Line::Shared(Profile::new(instance.resources[resource].capacity))
                }
            })
            .collect();
        for held in occupied() {
            if let Line::Shared(profile) = &mut lines[held.resource as usize] {
                profile.take(0.0, held.until, held.amount.min(profile.capacity()));
            }
        }
        Self { lines }
    }

    /// The earliest time from `ready` on at which all of this is free for so long. Where that would end at
    /// `limit` or later, some time before it that would end so late too.
    pub(crate) fn earliest(&self, takes: &[(u32, u64)], ready: f64, seconds: f64, limit: f64) -> f64 {
        if let [(resource, amount)] = takes {
            return self.lines[*resource as usize].earliest(ready, seconds, *amount);
        }
        let mut start = ready;
        let mut agreed = 0;
        // Round and round until all of them agree in a row.
        for (resource, amount) in takes.iter().cycle() {
            let at = self.lines[*resource as usize].earliest(start, seconds, *amount);
            if at > start {
                start = at;
                agreed = 0;
                if start + seconds >= limit {
                    break;
                }
            }
            agreed += 1;
            if agreed >= takes.len() {
                break;
            }
        }
        start
    }

    /// Takes a time that was found free.
    pub(crate) fn take(&mut self, takes: &[(u32, u64)], start: f64, end: f64) {
        for (resource, amount) in takes {
            match &mut self.lines[*resource as usize] {
                Line::Alone(gaps) => gaps.take(start, end),
                Line::Shared(profile) => profile.take(start, end, *amount),
            }
        }
    }

    /// No task to come is shorter than this.
    pub(crate) fn forget_shorter_than(&mut self, seconds: f64) {
        for line in &mut self.lines {
            if let Line::Alone(gaps) = line {
                gaps.forget_shorter_than(seconds);
            }
        }
    }
}
