//! When a resource that one task at a time holds has room: its idle gaps, in order.
//!
//! Only gaps are kept, not what lies between them, and of these only gaps that a task yet to be planned
//! could use (see [`Gaps::forget_shorter_than`]). They stand in blocks that know their longest gap, so a
//! search skips blocks in which nothing fits: a search costs a binary search and a few steps, insertion
//! the length of a block.
//!
//! A task of no length splits a gap as any other does, and fits between two tasks that touch. That is how
//! the published list rules treat them when they keep a sorted list of busy intervals.

/// A block is cut in two when it holds this many gaps.
const BLOCK: usize = 128;

/// What rounding may add to a start plus a length, relative to the sum.
const ROUNDING: f64 = 4.0 * f64::EPSILON;

/// The idle gaps of one resource. The last one has no end.
#[derive(Clone, Debug)]
pub(crate) struct Gaps {
    blocks: Vec<Block>,
    /// Where the last gap begins.
    tail: f64,
    /// Gaps shorter than this are not kept.
    shortest: f64,
}

#[derive(Clone, Debug)]
struct Block {
    /// Start and end, ascending, not overlapping; never empty.
    gaps: Vec<(f64, f64)>,
    /// No gap of the block is longer.
    longest: f64,
    /// The end of its last gap.
    until: f64,
}

impl Block {
    fn new(gaps: Vec<(f64, f64)>) -> Self {
        let until = gaps.last().map_or(0.0, |gap| gap.1);
        let longest = gaps.iter().map(|gap| gap.1 - gap.0).fold(0.0, f64::max);
        Self { gaps, longest, until }
    }

    /// Whether no gap in here can hold a task of this length, rounding considered.
    fn is_too_short(&self, seconds: f64) -> bool {
        seconds > self.longest + self.until * ROUNDING
    }
}

impl Gaps {
    /// Idle from a time on.
    pub(crate) fn new(from: f64) -> Self {
        Self { blocks: vec![Block::new(vec![(from, f64::INFINITY)])], tail: from, shortest: 0.0 }
    }

    /// No task to come is shorter than this, so that shorter gaps need not be kept.
    pub(crate) fn forget_shorter_than(&mut self, seconds: f64) {
        self.shortest = seconds;
    }

    /// The start in the first gap that holds a task of this length which may not start before `ready`.
    pub(crate) fn earliest(&self, ready: f64, seconds: f64) -> f64 {
        if ready >= self.tail {
            return ready;
        }
        let mut at = self.blocks.partition_point(|block| block.until <= ready);
        let Some(block) = self.blocks.get(at) else { return ready };
        let from = block.gaps.partition_point(|gap| gap.1 <= ready);
        let fits = |gap: &&(f64, f64)| ready.max(gap.0) + seconds <= gap.1;
        if !block.is_too_short(seconds)
            && let Some(gap) = block.gaps[from..].iter().find(fits)
        {
            return ready.max(gap.0);
        }
        loop {
            at += 1;
            let Some(block) = self.blocks.get(at) else { return ready.max(self.tail) };
            if block.is_too_short(seconds) {
                continue;
            }
            if let Some(gap) = block.gaps.iter().find(fits) {
                return ready.max(gap.0);
            }
        }
    }

    /// Takes a time that [`Gaps::earliest`] found.
    pub(crate) fn take(&mut self, start: f64, end: f64) {
        // Of a task without length the gap that ends at its start is left as it is: it is as useful so.
        let at = self.blocks.partition_point(|block| block.until < end || block.until <= start);
        let Some(block) = self.blocks.get_mut(at) else { return };
        let gap_at = block.gaps.partition_point(|gap| gap.1 < end || gap.1 <= start);
        let Some(gap) = block.gaps.get(gap_at).copied() else { return };
        if start >= end && start <= gap.0 {
            return;
        }
        let keep = |from: f64, to: f64| to - from + to * ROUNDING >= self.shortest;
        let (before, after) = ((gap.0, start.max(gap.0)), (end, gap.1));
        if after.1 == f64::INFINITY {
            self.tail = end;
        }
        match (keep(before.0, before.1), after.1 == f64::INFINITY || keep(after.0, after.1)) {
            (true, true) => {
                block.gaps[gap_at] = before;
                block.gaps.insert(gap_at + 1, after);
            }
            (true, false) => block.gaps[gap_at] = before,
            (false, true) => block.gaps[gap_at] = after,
            (false, false) => {
                block.gaps.remove(gap_at);
            }
        }
        if block.gaps.is_empty() {
            self.blocks.remove(at);
            return;
        }
        block.until = block.gaps.last().map_or(0.0, |gap| gap.1);
        if gap.1 < f64::INFINITY && gap.1 - gap.0 >= block.longest {
            block.longest = block.gaps.iter().map(|gap| gap.1 - gap.0).fold(0.0, f64::max);
        }
        if block.gaps.len() >= BLOCK {
            // At the end, where most tasks go, the last gap gets a block of its own that fills up again.
            let cut = if at + 1 == self.blocks.len() { BLOCK - 1 } else { BLOCK / 2 };
            let block = &mut self.blocks[at];
            let rest = block.gaps.split_off(cut);
            *block = Block::new(std::mem::take(&mut block.gaps));
            self.blocks.insert(at + 1, Block::new(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gaps;
    use dunnage_core::Rng;

    /// The same by a sorted list of busy intervals, as the published programs have it.
    #[derive(Default)]
    struct Busy(Vec<(f64, f64)>);

    impl Busy {
        fn earliest(&self, ready: f64, seconds: f64) -> f64 {
            let after = self.0.partition_point(|busy| busy.0 <= ready);
            let mut at = if after > 0 { ready.max(self.0[after - 1].1) } else { ready };
            for busy in &self.0[after..] {
                if at + seconds <= busy.0 {
                    break;
                }
                at = at.max(busy.1);
            }
            at
        }

        fn take(&mut self, start: f64, end: f64) {
            let at = self.0.partition_point(|busy| *busy <= (start, end));
            self.0.insert(at, (start, end));
        }
    }

    #[test]
    fn gaps_answer_as_a_sorted_list_of_busy_times_does() {
        for seed in 0..40 {
            let mut rng = Rng::of(seed, 1);
            let shortest = if seed % 2 == 0 { 0.0 } else { 0.5 };
            let (mut gaps, mut busy) = (Gaps::new(0.0), Busy::default());
            gaps.forget_shorter_than(shortest);
            for _ in 0..1500 {
                let ready = (rng.below(6000) as f64) / 4.0;
                let seconds = shortest + (rng.below(9) as f64) / 4.0;
                let start = busy.earliest(ready, seconds);
                assert_eq!(gaps.earliest(ready, seconds), start, "seed {seed}: {ready} for {seconds}");
                gaps.take(start, start + seconds);
                busy.take(start, start + seconds);
            }
        }
    }
}
