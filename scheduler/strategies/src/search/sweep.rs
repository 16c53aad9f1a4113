//! A first schedule of a large instance: one sweep over time (parallel schedule generation, Kolisch 1996),
//! at each event those of the most urgent ready tasks started that fit.
//!
//! Only so many ready tasks are looked at per event, so that a sweep costs n log n and not n^2 where
//! nearly all are ready at once. Bad where the best schedule lets a resource idle for a task to come.

use super::problem::Problem;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Ready tasks looked at per event.
const LOOK: usize = 48;

/// The start of each node in a sweep where a lower key is more urgent; `None` where `stop`, asked now and
/// then, says so.
pub(crate) fn sweep(problem: &Problem, keys: &[f64], stop: &mut dyn FnMut() -> bool) -> Option<Vec<i64>> {
    let nodes = problem.nodes();
    let mut order: Vec<u32> = (0..nodes as u32).collect();
    order.sort_unstable_by(|a, b| keys[*a as usize].total_cmp(&keys[*b as usize]).then(a.cmp(b)));
    let mut rank = vec![0_u32; nodes];
    for (at, node) in order.iter().enumerate() {
        rank[*node as usize] = at as u32;
    }
    let words = problem.packed.words;
    let guards = &problem.packed.guards;
    let mut free = problem.packed.full.clone();
    // What happens when: a node ends, a node may start, a block is given back.
    let mut events: BinaryHeap<Reverse<(i64, u32)>> = BinaryHeap::with_capacity(nodes);
    let start_of = |node: usize| (2 * node + 1) as u32;
    let block_of = |block: usize| (2 * (nodes + block)) as u32;
    for (at, block) in problem.blocks.iter().enumerate() {
        for (free, taken) in free.iter_mut().zip(&block.words) {
            *free -= taken;
        }
        events.push(Reverse((block.until, block_of(at))));
    }
    let mut missing: Vec<u32> = (0..nodes).map(|node| problem.before.row(node).len() as u32).collect();
    for node in (0..nodes).filter(|node| missing[*node] == 0) {
        events.push(Reverse((problem.release[node], start_of(node))));
    }
    let mut start = vec![0_i64; nodes];
    // The most urgent of the ready by rising rank, and the rest.
    let mut front: Vec<u32> = Vec::with_capacity(LOOK + 1);
    let mut ready: BinaryHeap<Reverse<u32>> = BinaryHeap::new();
    let mut since = 0;
    while let Some(Reverse((now, _))) = events.peek().copied() {
        while let Some(Reverse((_, what))) = events.peek().copied().filter(|next| next.0.0 == now) {
            events.pop();
            let node = (what / 2) as usize;
            if node >= nodes {
                for (free, taken) in free.iter_mut().zip(&problem.blocks[node - nodes].words) {
                    *free += taken;
                }
            } else if what % 2 == 1 {
                if front.len() < LOOK || front.last().is_some_and(|last| rank[node] < *last) {
                    let at = front.partition_point(|other| *other < rank[node]);
                    front.insert(at, rank[node]);
                    if front.len() > LOOK {
                        ready.extend(front.pop().map(Reverse));
                    }
                } else {
                    ready.push(Reverse(rank[node]));
                }
            } else {
                for (free, taken) in free.iter_mut().zip(problem.packed.need(node)) {
                    *free += taken;
                }
                for child in problem.after.row(node) {
                    let child = *child as usize;
                    missing[child] -= 1;
                    if missing[child] == 0 {
                        events.push(Reverse((problem.release[child].max(now), start_of(child))));
                    }
                }
            }
        }
        let mut at = 0;
        while at < front.len() {
            let node = order[front[at] as usize] as usize;
            let need = problem.packed.need(node);
            if !(0..words).all(|word| free[word].wrapping_sub(need[word]) & guards[word] == guards[word]) {
                at += 1;
                continue;
            }
            for (free, taken) in free.iter_mut().zip(need) {
                *free -= taken;
            }
            start[node] = now;
            events.push(Reverse((now + problem.duration[node], (2 * node) as u32)));
            front.remove(at);
            front.extend(ready.pop().map(|next| next.0));
            since += 1;
        }
        if since >= 1024 {
            since = 0;
            if stop() {
                return None;
            }
        }
    }
    Some(start)
}
