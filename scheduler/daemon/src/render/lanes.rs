//! Intervals put side by side: the fewest lanes on which no two overlap.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// The lane of each interval `(start, end)`, from 0, lowest free lane first. Intervals that only touch do
/// not overlap. The result is in the order of the input.
pub(crate) fn pack(intervals: &[(u64, u64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..intervals.len()).collect();
    order.sort_by_key(|index| (intervals[*index], *index));
    let mut lanes = vec![0; intervals.len()];
    let mut busy: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut free: BTreeSet<usize> = BTreeSet::new();
    let mut opened = 0;
    for index in order {
        let (start, end) = intervals[index];
        while let Some(Reverse((until, lane))) = busy.peek().copied() {
            if until > start {
                break;
            }
            busy.pop();
            free.insert(lane);
        }
        let lane = free.pop_first().unwrap_or_else(|| {
            opened += 1;
            opened - 1
        });
        lanes[index] = lane;
        busy.push(Reverse((end.max(start), lane)));
    }
    lanes
}

/// Seconds as whole microseconds; nothing where they are no time.
pub(crate) fn micros(seconds: f64) -> Option<u64> {
    seconds.is_finite().then(|| (seconds.max(0.0) * 1e6).round().min(1e18) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_lane_is_taken() {
        assert_eq!(pack(&[]), Vec::<usize>::new());
        assert_eq!(pack(&[(5, 9), (0, 5), (4, 6), (6, 7)]), [0, 0, 1, 1]);
    }

    #[test]
    fn nothing_overlaps_on_a_lane() {
        let mut seed = 7_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 40
        };
        let intervals: Vec<(u64, u64)> = (0..500)
            .map(|_| {
                let start = next() % 1000;
                (start, start + 1 + next() % 50)
            })
            .collect();
        let lanes = pack(&intervals);
        for a in 0..intervals.len() {
            for b in 0..a {
                let apart = intervals[a].1 <= intervals[b].0 || intervals[b].1 <= intervals[a].0;
                assert!(apart || lanes[a] != lanes[b], "{a} {b}");
            }
        }
    }

    #[test]
    fn no_time_is_no_interval() {
        assert_eq!(micros(f64::NAN), None);
        assert_eq!(micros(-1.0), Some(0));
        assert_eq!(micros(0.001_5), Some(1500));
    }
}
