//! A tournament: the best of many entries, with one changed in O(log n).
//!
//! Of equally good entries the first wins, and how many are equally good is known, so that any of them can
//! be drawn.

/// Score and tie key; more is better.
pub(crate) type Key = (i64, i64);

/// What an entry has that is out.
const OUT: Key = (i64::MIN, i64::MIN);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    keys: Vec<Key>,
    /// Inner nodes from 1, the children of i are 2i and 2i + 1: the winner there and how many are as good.
    inner: Vec<(u32, u32)>,
    /// The power of two at or above the number of entries.
    width: usize,
}

impl Tree {
    /// `n` entries, all out.
    pub(crate) fn new(n: usize) -> Self {
        let width = n.next_power_of_two();
        let mut tree = Self { keys: vec![OUT; n], inner: vec![(0, 0); width.max(2)], width };
        tree.rebuild();
        tree
    }

    fn side(&self, at: usize) -> (u32, u32) {
        if at >= self.width {
            let entry = at - self.width;
            let is_in = self.keys.get(entry).is_some_and(|key| *key != OUT);
            (entry as u32, u32::from(is_in))
        } else {
            self.inner[at]
        }
    }

    fn match_of(&self, at: usize) -> (u32, u32) {
        let left = self.side(2 * at);
        let right = self.side(2 * at + 1);
        if right.1 == 0 {
            return left;
        }
        if left.1 == 0 {
            return right;
        }
        match self.keys[left.0 as usize].cmp(&self.keys[right.0 as usize]) {
            std::cmp::Ordering::Greater => left,
            std::cmp::Ordering::Less => right,
            std::cmp::Ordering::Equal => (left.0, left.1 + right.1),
        }
    }

    /// Sets a key without playing the matches; [`Self::rebuild`] must follow.
    pub(crate) fn put(&mut self, entry: usize, key: Option<Key>) {
        self.keys[entry] = key.unwrap_or(OUT);
    }

    /// Plays all matches again.
    pub(crate) fn rebuild(&mut self) {
        for at in (1..self.width).rev() {
            self.inner[at] = self.match_of(at);
        }
    }

    /// Changes one entry; `None` takes it out.
    pub(crate) fn set(&mut self, entry: usize, key: Option<Key>) {
        let key = key.unwrap_or(OUT);
        if self.keys[entry] == key {
            return;
        }
        self.keys[entry] = key;
        let mut at = (entry + self.width) >> 1;
        while at > 0 {
            let now = self.match_of(at);
            // Above, nothing changes where this entry neither was nor is the winner.
            if now == self.inner[at] && now.0 as usize != entry {
                return;
            }
            self.inner[at] = now;
            at >>= 1;
        }
    }

    fn top(&self) -> (u32, u32) {
        if self.width > 1 { self.inner[1] } else { self.side(1) }
    }

    /// The best entry, of equal ones the first.
    pub(crate) fn first(&self) -> Option<usize> {
        let (entry, count) = self.top();
        (count > 0).then_some(entry as usize)
    }

    /// How many are as good as the best.
    pub(crate) fn ties(&self) -> usize {
        self.top().1 as usize
    }

    /// The n-th of those that are as good as the best, from 0.
    pub(crate) fn nth(&self, mut n: usize) -> Option<usize> {
        let (winner, count) = self.top();
        if n >= count as usize {
            return None;
        }
        let best = self.keys[winner as usize];
        let mut at = 1;
        while at < self.width {
            let (entry, count) = self.side(2 * at);
            let count = if count > 0 && self.keys[entry as usize] == best { count as usize } else { 0 };
            at = if n < count {
                2 * at
            } else {
                n -= count;
                2 * at + 1
            };
        }
        Some(at - self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_core::Rng;

    /// Against a scan, through random changes, for sizes around the powers of two.
    #[test]
    fn finds_what_a_scan_finds() {
        for n in [1, 2, 3, 7, 8, 9, 33] {
            let mut rng = Rng::new(n as u64);
            let mut tree = Tree::new(n);
            let mut keys: Vec<Option<Key>> = vec![None; n];
            assert_eq!((tree.first(), tree.ties(), tree.nth(0)), (None, 0, None));
            for _ in 0..2000 {
                let at = rng.below(n);
                let key = (rng.below(4) > 0).then(|| (rng.below(3) as i64, rng.below(2) as i64));
                keys[at] = key;
                tree.set(at, key);
                let best = keys.iter().flatten().max();
                let equal: Vec<usize> =
                    (0..n).filter(|at| keys[*at].is_some() && keys[*at].as_ref() == best).collect();
                assert_eq!(tree.first(), equal.first().copied());
                assert_eq!(tree.ties(), equal.len());
                for (nth, at) in equal.iter().enumerate() {
                    assert_eq!(tree.nth(nth), Some(*at));
                }
                assert_eq!(tree.nth(equal.len()), None);
            }
        }
    }
}
