//! What of a GPU, or of a node, will be left over in the end if each time the best of a few tasks is taken.
//!
//! Fragmentation F looks one task ahead. These tables look to the end: the waste of a state is 0 where
//! nothing is free; else, of k tasks drawn from what is typically asked for, the one that leads to the least
//! waste is taken, and where none of them fits, all that is free is wasted. A scheduler with many nodes can
//! choose, for each task, the node that it completes best: a node is thus offered more than it takes, and
//! k says how many. With k = 1 this is what random packing would leave.
//!
//! Own work; the choice by the best of k offers is that of the secretary and stopping problems. Cost:
//! O(states x shapes log shapes) once for a workload, O(1) for a question. Bad where what is typical has no
//! common sizes: then nothing completes anything, and the tables say little.

/// Offers from which a GPU takes the one that completes it best.
const GPU_OFFERS: u32 = 100;

/// The same for a node, where cores and GPUs must match.
const NODE_OFFERS: u32 = 4;

/// At most this many shapes, and parts of a GPU, are told apart: the most frequent.
const SHAPES_MAX: usize = 48;

/// A cell of the table of nodes, at least, in GPU milli and thousandths of cores.
const CELL: (f64, f64) = (25.0, 250.0);

/// At most this many cells.
const CELLS: (usize, usize) = (80, 64);

/// The best of k offers cannot be worth more attention than this.
const NEGLIGIBLE: f64 = 1e-4;

/// The chance that none of k draws hits something of this probability.
fn missed(probability: f64, offers: u32) -> f64 {
    let once = 1.0 - probability.clamp(0.0, 1.0);
    // By hand: the same bits on every machine.
    (0..offers).fold(1.0, |chance, _| chance * once)
}

/// The mean waste of the best offer: `offers` are wastes with the chance to miss each, `free` is what is wasted
/// where none is taken.
fn best_of(offers: &mut [(f64, f64)], free: f64) -> f64 {
    offers.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut mean, mut none) = (0.0, 1.0);
    for (waste, missed) in offers {
        mean += none * (1.0 - *missed) * *waste;
        none *= *missed;
        if none < NEGLIGIBLE {
            break;
        }
    }
    mean + none * free
}

/// The waste of one GPU, by what is free of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct GpuWaste(Vec<f32>);

impl GpuWaste {
    /// From the parts of a GPU that are asked for, in milli, each with how often.
    pub(crate) fn new(parts: &[(u16, f64)]) -> Self {
        let total: f64 = parts.iter().map(|(_, weight)| weight).sum();
        if total <= 0.0 {
            return Self::default();
        }
        let mut parts = parts.to_vec();
        parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        parts.truncate(SHAPES_MAX);
        let parts: Vec<(usize, f64)> = parts
            .iter()
            .map(|(milli, weight)| (usize::from(*milli).max(1), missed(weight / total, GPU_OFFERS)))
            .collect();
        let mut waste: Vec<f64> = Vec::with_capacity(1001);
        let mut offers = Vec::with_capacity(parts.len());
        for free in 0..=1000 {
            offers.clear();
            for (milli, missed) in parts.iter().filter(|(milli, _)| *milli <= free) {
                offers.push((waste[free - milli], *missed));
            }
            waste.push(best_of(&mut offers, free as f64));
        }
        Self(waste.into_iter().map(|waste| waste as f32).collect())
    }

    /// In milli; 0 where nothing is known.
    pub(crate) fn of(&self, free: u16) -> f64 {
        self.0.get(usize::from(free)).map_or(0.0, |waste| f64::from(*waste))
    }
}

/// The waste of a node's GPUs, by its free GPU milli and cores, as if its GPUs were one.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct NodeWaste {
    /// By cells of GPU, then of cores.
    waste: Vec<f32>,
    /// The size of a cell.
    cell: (f64, f64),
    /// How many cells, 0 included.
    cells: (usize, usize),
}

impl NodeWaste {
    /// From what tasks with GPUs ask for, as (GPU milli, thousandths of cores, how often), for nodes that have
    /// at most this much.
    pub(crate) fn new(shapes: &[(f64, f64, f64)], largest: (f64, f64)) -> Self {
        let total: f64 = shapes.iter().map(|shape| shape.2).sum();
        if total <= 0.0 || largest.0 <= 0.0 {
            return Self::default();
        }
        let cell = (CELL.0.max(largest.0 / CELLS.0 as f64), CELL.1.max(largest.1 / CELLS.1 as f64));
        let cells =
            ((largest.0 / cell.0).ceil() as usize + 1, ((largest.1 / cell.1).ceil() as usize).max(1) + 1);
        let mut rounded: Vec<((usize, usize), f64)> = shapes
            .iter()
            .map(|(gpu, cpu, weight)| {
                (((gpu / cell.0).round().max(1.0) as usize, (cpu / cell.1).round() as usize), *weight)
            })
            .collect();
        rounded.sort_by_key(|shape| shape.0);
        rounded.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        rounded.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        rounded.truncate(SHAPES_MAX);
        let shapes: Vec<(usize, usize, f64)> = rounded
            .iter()
            .map(|((gpu, cpu), weight)| (*gpu, *cpu, missed(weight / total, NODE_OFFERS)))
            .collect();

        let mut waste: Vec<f32> = Vec::with_capacity(cells.0 * cells.1);
        let mut offers = Vec::with_capacity(shapes.len());
        for gpu in 0..cells.0 {
            for cpu in 0..cells.1 {
                offers.clear();
                for (g, c, missed) in shapes.iter().filter(|(g, c, _)| *g <= gpu && *c <= cpu) {
                    offers.push((f64::from(waste[(gpu - g) * cells.1 + cpu - c]), *missed));
                }
                waste.push(best_of(&mut offers, gpu as f64 * cell.0) as f32);
            }
        }
        Self { waste, cell, cells }
    }

    /// In milli, between the cells by their mean; 0 where nothing is known.
    pub(crate) fn of(&self, gpu: i64, cpu: i64) -> f64 {
        if self.waste.is_empty() {
            return 0.0;
        }
        let place = |amount: i64, cell: f64, cells: usize| {
            let at = (amount as f64 / cell).clamp(0.0, (cells - 1) as f64);
            let low = (at as usize).min(cells - 2);
            (low, at - low as f64)
        };
        let (g, g_part) = place(gpu, self.cell.0, self.cells.0);
        let (c, c_part) = place(cpu, self.cell.1, self.cells.1);
        let at = |g: usize, c: usize| f64::from(self.waste[g * self.cells.1 + c]);
        let low = at(g, c) * (1.0 - c_part) + at(g, c + 1) * c_part;
        let high = at(g + 1, c) * (1.0 - c_part) + at(g + 1, c + 1) * c_part;
        low * (1.0 - g_part) + high * g_part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two halves fill a GPU; where only halves come, what is below a half is wasted.
    #[test]
    fn only_halves_leave_what_is_below_a_half() {
        let waste = GpuWaste::new(&[(500, 1.0)]);
        assert_eq!([0, 300, 500, 700, 1000].map(|free| waste.of(free)), [0.0, 300.0, 0.0, 200.0, 0.0]);
    }

    /// With 300 and 400 asked for alike, 700 is completed by either, 600 best by two of 300.
    #[test]
    fn the_offer_that_completes_is_waited_for() {
        let waste = GpuWaste::new(&[(300, 1.0), (400, 1.0)]);
        assert!(waste.of(700) < 1e-6, "{}", waste.of(700));
        assert!(waste.of(600) < 1e-6, "{}", waste.of(600));
        assert!(waste.of(650) > 49.0 && waste.of(650) < 51.0, "{}", waste.of(650));
        assert_eq!(GpuWaste::new(&[]).of(500), 0.0);
    }

    /// One GPU and four cores asked for each time: GPUs beyond a quarter of the cores are wasted.
    #[test]
    fn a_node_wastes_what_has_no_cores() {
        let waste = NodeWaste::new(&[(1000.0, 4000.0, 1.0)], (8000.0, 32_000.0));
        assert_eq!(waste.of(8000, 32_000), 0.0);
        assert_eq!(waste.of(4000, 8000), 2000.0);
        assert_eq!(waste.of(1000, 3000), 1000.0);
        // Half way between the cells of 3.5 and 4 cores.
        assert_eq!(waste.of(1000, 3750), 500.0);
        assert_eq!(NodeWaste::new(&[], (8000.0, 1.0)).of(1000, 1000), 0.0);
    }
}
