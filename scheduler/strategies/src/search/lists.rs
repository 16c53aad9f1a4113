//! Lists of tasks to begin with: priority rules (Kolisch 1996), the same with noise, and given schedules.

use super::problem::Problem;
use dunnage_core::Rng;

/// The nodes by rising key, a child's at least that of its parents.
pub(crate) fn by_key(problem: &Problem, mut key: Vec<f64>, list: &mut Vec<u32>) {
    for node in 0..problem.nodes() {
        for parent in problem.before.row(node) {
            key[node] = key[node].max(key[*parent as usize]);
        }
    }
    list.clear();
    list.extend(0..problem.nodes() as u32);
    list.sort_by(|a, b| key[*a as usize].total_cmp(&key[*b as usize]).then(a.cmp(b)));
}

/// How many rules there are.
pub(crate) const RULES: usize = 4;

/// The keys of a rule: latest finish, latest start, most work in and behind it, and the middle between
/// earliest and latest start.
pub(crate) fn rule(problem: &Problem, which: usize) -> Vec<f64> {
    let nodes = 0..problem.nodes();
    let whole = problem.critical_path();
    match which {
        0 => nodes.map(|node| (whole - problem.tail[node]) as f64).collect(),
        1 => nodes.map(|node| (whole - problem.tail[node] - problem.duration[node]) as f64).collect(),
        2 => nodes
            .map(|node| {
                let behind: i64 =
                    problem.after.row(node).iter().map(|child| problem.duration[*child as usize]).sum();
                -((problem.tail[node] + problem.duration[node] + behind) as f64)
            })
            .collect(),
        _ => nodes
            .map(|node| (whole - problem.tail[node] - problem.duration[node] + problem.head[node]) as f64)
            .collect(),
    }
}

/// Keys with noise of this share of the critical path.
pub(crate) fn noisy(problem: &Problem, keys: &[f64], share: f64, rng: &mut Rng) -> Vec<f64> {
    let width = problem.critical_path() as f64 * share;
    keys.iter().map(|key| key + width * rng.unit()).collect()
}
