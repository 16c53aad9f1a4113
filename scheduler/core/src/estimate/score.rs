//! How well predictions come true: `|actual / predicted - 1|` of each attempt that succeeded.

use super::quantiles::Window;
use dunnage_model::{Basis, PredictionRow};

/// So many of the latest errors are looked at for the median.
const LATEST: usize = 256;

/// An attempt that took within this much of what was predicted was predicted well.
pub(super) const NEAR: f64 = 0.2;

/// How well predictions of one function came true.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Score {
    /// How many.
    pub predictions: u32,
    /// How many of them within a fifth.
    pub near: u32,
    /// The median of `|actual / predicted - 1|`.
    pub median_error: f64,
}

/// The same over all functions, by what the predictions rested on.
#[derive(Debug, Default)]
pub(super) struct Scores {
    by_basis: [Counted; 4],
}

#[derive(Debug, Default)]
struct Counted {
    ended: u64,
    near: u64,
    errors: Window,
}

const BASES: [Basis; 4] = [Basis::History, Basis::Declaration, Basis::Calibration, Basis::None];

const fn index(basis: Basis) -> usize {
    match basis {
        Basis::History => 0,
        Basis::Declaration => 1,
        Basis::Calibration => 2,
        Basis::None => 3,
    }
}

impl Scores {
    pub(super) fn add(&mut self, basis: Basis, error: f64) {
        let counted = &mut self.by_basis[index(basis)];
        counted.ended += 1;
        counted.near += u64::from(error <= NEAR);
        // A window takes no zero; a millionth is as good.
        counted.errors.push((error as f32).max(1e-6), LATEST);
    }

    pub(super) fn rows(&self) -> Vec<PredictionRow> {
        BASES
            .into_iter()
            .filter(|basis| *basis != Basis::None)
            .map(|basis| {
                let Counted { ended, near, errors } = &self.by_basis[index(basis)];
                let median_error = errors.quantile(0.5);
                PredictionRow { basis: basis.word(), ended: *ended, near: *near, median_error }
            })
            .collect()
    }
}
