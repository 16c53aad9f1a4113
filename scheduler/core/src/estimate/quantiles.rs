//! Order statistics of the latest runs, robust against outliers.
//!
//! An exact window: the last N values in order of arrival and sorted. Any quantile is exact over the window,
//! what is older is forgotten, and nothing that one value can do moves the middle of the others. Sketches
//! for streams (P2: Jain and Chlamtac 1985; t-digest: Dunning 2019) answer for all of time and cannot
//! forget, which is wrong for times that drift; at 64 values they would not be smaller either.
//!
//! Cost: a value is taken in with two moves of at most 4 N bytes and a binary search, quantiles are
//! looked up. Bad when times have several modes: the middle may then lie between them.

/// The latest values of one quantity.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Window {
    recent: Vec<f32>,
    sorted: Vec<f32>,
}

impl Window {
    /// The latest of these values, oldest first; none if one of them is no positive number.
    pub(crate) fn of(values: &[f32], most: usize) -> Option<Self> {
        let recent = values[values.len().saturating_sub(most.max(1))..].to_vec();
        if recent.iter().any(|value| !value.is_finite() || *value <= 0.0) {
            return None;
        }
        let mut sorted = recent.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        Some(Self { recent, sorted })
    }

    /// Takes in a value; the oldest goes where there are `most` already. `false` for what is no positive
    /// number: it is refused.
    pub(crate) fn push(&mut self, value: f32, most: usize) -> bool {
        if !value.is_finite() || value <= 0.0 {
            return false;
        }
        while self.recent.len() >= most.max(1) {
            let oldest = self.recent.remove(0);
            let at = self.sorted.partition_point(|other| *other < oldest);
            self.sorted.remove(at);
        }
        self.recent.push(value);
        let at = self.sorted.partition_point(|other| *other < value);
        self.sorted.insert(at, value);
        true
    }

    /// Forgets all but the latest `keep` values.
    pub(crate) fn keep_latest(&mut self, keep: usize) {
        let extra = self.recent.len().saturating_sub(keep);
        self.recent.drain(..extra);
        self.sorted.clone_from(&self.recent);
        self.sorted.sort_by(f32::total_cmp);
    }

    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The values in order of arrival.
    pub(crate) fn recent(&self) -> &[f32] {
        &self.recent
    }

    /// A quantile, linear between neighbours (type 7 of Hyndman and Fan 1996); none of nothing.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let last = self.sorted.len().checked_sub(1)?;
        let at = q.clamp(0.0, 1.0) * last as f64;
        let low = at as usize;
        let (a, b) = (f64::from(self.sorted[low]), f64::from(self.sorted[(low + 1).min(last)]));
        Some(a + (b - a) * (at - low as f64))
    }

    /// The mean of the middle half (the interquartile mean), at least one value cut off at either end as
    /// soon as there are three. Of two it is the smaller: what disturbs a run makes it longer, above all the
    /// first one. A quarter of all values may be absurd without moving it beyond the others.
    pub(crate) fn middle(&self) -> Option<f64> {
        let n = self.sorted.len();
        if n <= 2 {
            return self.sorted.first().map(|first| f64::from(*first));
        }
        let cut = (n / 4).max(1);
        let inner = &self.sorted[cut..n - cut];
        Some(inner.iter().map(|value| f64::from(*value)).sum::<f64>() / inner.len() as f64)
    }

    /// The largest value that is not alone: one that is more than four times the next smaller one, where there
    /// are at least four, is taken for a fault of the measurement.
    pub(crate) fn high(&self) -> Option<f64> {
        let largest = f64::from(*self.sorted.last()?);
        match self.sorted.as_slice() {
            [_, .., next, _] if self.sorted.len() >= 4 && largest > 4.0 * f64::from(*next) => {
                Some(f64::from(*next))
            }
            _ => Some(largest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn window(values: &[f32]) -> Window {
        let mut window = Window::default();
        for value in values {
            assert!(window.push(*value, 64));
        }
        window
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_window() {
        let mut rng = Rng::new(7);
        for size in [1, 2, 3, 8, 31, 64] {
            let mut window = Window::default();
            let mut all = Vec::new();
            for _ in 0..300 {
                let value = (rng.unit() * 100.0) as f32 + 0.001;
                window.push(value, size);
                all.push(value);
                let mut exact: Vec<f32> = all[all.len().saturating_sub(size)..].to_vec();
                assert_eq!(window.recent(), exact.as_slice());
                exact.sort_by(f32::total_cmp);
                for q in [0.0, 0.1, 0.5, 0.9, 0.99, 1.0] {
                    let at = q * (exact.len() - 1) as f64;
                    let (low, high) = (exact[at.floor() as usize], exact[at.ceil() as usize]);
                    let found = window.quantile(q).unwrap();
                    assert!(found >= f64::from(low) && found <= f64::from(high), "{q} of {exact:?}: {found}");
                }
                assert!(window.quantile(0.1) <= window.quantile(0.9));
            }
        }
    }

    #[test]
    fn what_is_no_positive_number_is_refused() {
        let mut window = window(&[1.0]);
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!window.push(bad, 64));
        }
        assert_eq!(window.len(), 1);
    }

    #[test]
    fn one_absurd_value_does_not_move_the_middle() {
        for good in 2..40 {
            let mut values = vec![1.0; good];
            values.insert(good / 2, 1e9);
            assert_eq!(window(&values).middle(), Some(1.0), "{good} good ones");
            values[good / 2] = 1e-9;
            assert!((window(&values).middle().unwrap() - 1.0).abs() < 1e-9, "{good} good ones");
        }
    }

    #[test]
    fn a_quarter_of_absurd_values_does_not_move_the_middle() {
        let values: Vec<f32> = (0..64).map(|n| if n % 4 == 0 { 1e6 } else { 2.0 }).collect();
        assert_eq!(window(&values).middle(), Some(2.0));
    }

    #[test]
    fn a_single_peak_far_above_is_a_fault_and_two_are_not() {
        assert_eq!(window(&[1.0, 1.1, 1.2, 100.0]).high(), Some(f64::from(1.2_f32)));
        assert_eq!(window(&[1.0, 1.1, 100.0, 101.0]).high(), Some(101.0));
        assert_eq!(window(&[1.0, 100.0]).high(), Some(100.0), "of two nobody can tell");
    }

    #[test]
    fn a_window_of_many_is_that_of_one_after_another() {
        let values: Vec<f32> = (1..100).map(|n| ((n * 37) % 101) as f32).collect();
        let mut one_by_one = Window::default();
        for value in &values {
            one_by_one.push(*value, 64);
        }
        assert_eq!(Window::of(&values, 64), Some(one_by_one));
        assert_eq!(Window::of(&[], 64), Some(Window::default()));
        assert_eq!(Window::of(&[1.0, f32::NAN], 64), None);
    }

    #[test]
    fn the_latest_are_kept() {
        let mut window = window(&[9.0, 8.0, 1.0, 3.0, 2.0]);
        window.keep_latest(3);
        assert_eq!((window.recent(), window.middle()), (&[1.0, 3.0, 2.0][..], Some(2.0)));
    }
}
