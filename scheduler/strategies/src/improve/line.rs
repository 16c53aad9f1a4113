//! What a resource holds over time, and when it has room: disjoint busy intervals where one task at a time
//! has all of it, else how much is free from each time on. Looking for room and taking it cost one search and
//! one step for each interval that is passed.

use super::encoding::LineSpec;

/// How many steps before its end a resource is searched for room.
pub(super) const REACH: usize = 4096;

/// What one resource holds over time.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// One task at a time: disjoint busy intervals that do not touch, ascending.
    Unary(Vec<(f64, f64)>),
    /// From each time on this much is free; ascending, the first at 0.
    Shared(Vec<(f64, i64)>),
}

impl Line {
    pub(super) fn clear(&mut self, spec: &LineSpec) {
        match self {
            Self::Unary(busy) => {
                busy.clear();
                let until = spec.occupied.iter().map(|(until, _)| *until).fold(0.0, f64::max);
                if until > 0.0 {
                    busy.push((0.0, until));
                }
            }
            Self::Shared(free) => {
                free.clear();
                free.push((0.0, spec.capacity));
                for (until, amount) in &spec.occupied {
                    take(free, 0.0, *until, *amount);
                }
            }
        }
    }

    /// The first time from `ready` on at which `amount` is free for `seconds`.
    pub(super) fn fit(&self, ready: f64, seconds: f64, amount: i64) -> f64 {
        match self {
            Self::Unary(busy) => {
                let first =
                    busy.partition_point(|(_, end)| *end <= ready).max(busy.len().saturating_sub(REACH));
                let mut at = match busy.get(first.wrapping_sub(1)) {
                    Some((_, end)) => ready.max(*end),
                    None => ready,
                };
                for (start, end) in &busy[first..] {
                    if at + seconds <= *start {
                        return at;
                    }
                    at = at.max(*end);
                }
                at
            }
            Self::Shared(free) => {
                let reach = free.len().saturating_sub(REACH);
                let first = free.partition_point(|(time, _)| *time <= ready).saturating_sub(1).max(reach);
                let mut at = ready.max(free[first].0);
                for (step, (_, has)) in free.iter().enumerate().skip(first) {
                    let next = free.get(step + 1).map_or(f64::INFINITY, |(time, _)| *time);
                    if *has < amount {
                        at = next;
                    } else if at + seconds <= next {
                        return at;
                    }
                }
                at
            }
        }
    }

    /// Until when less than this is free within a stretch of time, at the latest; `None` where it always is.
    pub(super) fn blocked(&self, from: f64, to: f64, amount: i64) -> Option<f64> {
        let Self::Shared(free) = self else { return None };
        let first = free.partition_point(|(time, _)| *time <= from).saturating_sub(1);
        let mut until = None;
        for (step, (time, has)) in free.iter().enumerate().skip(first) {
            if *time >= to {
                break;
            }
            if *has < amount {
                until = Some(free.get(step + 1).map_or(f64::INFINITY, |(time, _)| *time));
            }
        }
        until
    }

    /// Gives back what was taken without an end.
    pub(super) fn free(&mut self, from: f64, amount: i64) {
        if let Self::Shared(free) = self {
            take(free, from, f64::INFINITY, -amount);
        }
    }

    pub(super) fn take(&mut self, start: f64, end: f64, amount: i64) {
        if end <= start {
            return;
        }
        match self {
            Self::Unary(busy) => {
                let at = busy.partition_point(|(_, before)| *before < start);
                // Joined with what it touches, so that a busy run is one step.
                let joins_before = busy.get(at).is_some_and(|(_, before)| *before == start);
                let next = if joins_before { at + 1 } else { at };
                let joins_after = busy.get(next).is_some_and(|(after, _)| *after == end);
                match (joins_before, joins_after) {
                    (true, true) => {
                        busy[at].1 = busy[next].1;
                        busy.remove(next);
                    }
                    (true, false) => busy[at].1 = end,
                    (false, true) => busy[at].0 = start,
                    (false, false) => busy.insert(at, (start, end)),
                }
            }
            Self::Shared(free) => take(free, start, end, amount),
        }
    }
}

fn take(free: &mut Vec<(f64, i64)>, start: f64, end: f64, amount: i64) {
    let from = free.partition_point(|(time, _)| *time < start);
    if free.get(from).is_none_or(|(time, _)| *time > start) {
        let has = free[from.saturating_sub(1)].1;
        free.insert(from, (start, has));
    }
    let mut to = from;
    let mut has = free[from].1;
    while to < free.len() && free[to].0 < end {
        has = free[to].1;
        free[to].1 = has.saturating_sub(amount);
        to += 1;
    }
    if free.get(to).is_none_or(|(time, _)| *time > end) {
        free.insert(to, (end, has));
    }
    // Steps without a difference are dropped, so that a full stretch is one step.
    if to < free.len() && free[to].1 == free[to - 1].1 {
        free.remove(to);
    }
    if from > 0 && free[from].1 == free[from - 1].1 {
        free.remove(from);
    }
}
