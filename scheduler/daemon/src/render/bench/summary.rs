//! How strategies stand over all instances.

use super::{PlanBench, PlanRow};

/// A strategy over all instances.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) strategy: String,
    /// On how many instances.
    pub(crate) instances: usize,
    /// Geometric mean of makespan over the least of all strategies.
    pub(crate) to_best: f64,
    /// Mean of makespan over lower bound, less 1.
    pub(crate) gap: f64,
    /// How often nobody was better.
    pub(crate) wins: usize,
    /// How often it met the lower bound, which proves it optimal.
    pub(crate) proved: usize,
    /// Geometric mean of makespan over that of `random`.
    pub(crate) to_random: f64,
    /// Mean milliseconds.
    pub(crate) plan_ms: f64,
    /// How many schedules were judged invalid.
    pub(crate) invalid: usize,
}

/// Makespans that differ by less than this part are the same.
const SAME: f64 = 1e-9;

/// The least makespan of valid schedules.
pub(crate) fn best(rows: &[PlanRow]) -> f64 {
    rows.iter().filter(|row| row.valid).map(|row| row.makespan.time).fold(f64::INFINITY, f64::min)
}

/// Whether a makespan is as small as another.
pub(crate) fn meets(makespan: f64, other: f64) -> bool {
    makespan <= other * (1.0 + SAME)
}

/// A ratio, 1 where both are 0.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        part / whole
    } else if part > 0.0 {
        f64::INFINITY
    } else {
        1.0
    }
}

/// The makespan of `random` on an instance.
pub(crate) fn random(rows: &[PlanRow]) -> Option<f64> {
    rows.iter().find(|row| row.strategy == "random").map(|row| row.makespan.time)
}

/// Over all instances, the best first.
pub(crate) fn standings(bench: &PlanBench) -> Vec<Standing> {
    let mut all: Vec<Standing> = Vec::new();
    for rows in bench.instances() {
        let (best, random) = (best(rows), random(rows));
        for row in rows {
            let at = all.iter().position(|known| known.strategy == row.strategy).unwrap_or_else(|| {
                all.push(Standing {
                    strategy: row.strategy.clone(),
                    instances: 0,
                    to_best: 0.0,
                    gap: 0.0,
                    wins: 0,
                    proved: 0,
                    to_random: 0.0,
                    plan_ms: 0.0,
                    invalid: 0,
                });
                all.len() - 1
            });
            let (makespan, standing) = (row.makespan.time, &mut all[at]);
            standing.instances += 1;
            standing.plan_ms += row.plan_ms;
            standing.invalid += usize::from(!row.valid);
            standing.to_best += ratio(makespan, best).ln();
            standing.gap += ratio(makespan, row.lower_bound.time) - 1.0;
            standing.to_random += ratio(makespan, random.unwrap_or(makespan)).ln();
            standing.wins += usize::from(row.valid && meets(makespan, best));
            standing.proved += usize::from(row.valid && meets(makespan, row.lower_bound.time));
        }
    }
    for standing in &mut all {
        let instances = standing.instances as f64;
        standing.to_best = (standing.to_best / instances).exp();
        standing.to_random = (standing.to_random / instances).exp();
        standing.gap /= instances;
        standing.plan_ms /= instances;
    }
    all.sort_by(|a, b| {
        a.to_best.total_cmp(&b.to_best).then(b.wins.cmp(&a.wins)).then(a.plan_ms.total_cmp(&b.plan_ms))
    });
    all
}
