//! Whether times have changed for good: a new version of the code, other data, another clock of the GPU.
//!
//! Two cumulative sums over the logarithm of the times, one for slower and one for faster (CUSUM: Page 1954;
//! the Page-Hinkley test is its one-sided form), standardised by the middle and the spread of the window.
//! Each step is cut to three spreads, so that no single run, however absurd, raises an alarm. At an alarm
//! the runs since the sum began to grow are the new behaviour, and those before are dropped.
//!
//! Cost: two logarithms a run. Bad when times swing slowly to and fro: each swing may be taken for a change.

use super::quantiles::Window;

/// Runs before the test begins: with fewer the spread means nothing.
const WARM_UP: usize = 8;

/// Spreads that a run may lie off without adding anything.
const SLACK: f64 = 0.75;

/// The sum that is an alarm: at least four runs in a row far off, or more that are less far off.
const ALARM: f64 = 9.0;

/// What the sum comes to now and then without any change.
const NOISE: f64 = 2.0;

/// The least spread: a twentieth. Times closer than that are not told apart.
const SPREAD_LEAST: f64 = 0.05;

/// The state of the test for one signature.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Drift {
    slower: Sum,
    faster: Sum,
}

#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Sum {
    value: f64,
    /// How many runs it has been above the noise.
    length: u32,
}

impl Sum {
    fn add(&mut self, step: f64) {
        self.value = (self.value + step - SLACK).max(0.0);
        self.length = if self.value > NOISE { self.length.saturating_add(1) } else { 0 };
    }
}

impl Drift {
    /// Looks at a time before it is added to the window of earlier ones. At an alarm: how many of the
    /// latest runs, this one counted in, are the new behaviour.
    pub(crate) fn look(&mut self, seconds: f64, window: &Window) -> Option<usize> {
        if window.len() < WARM_UP {
            return None;
        }
        let (low, middle, high) = (window.quantile(0.25)?, window.quantile(0.5)?, window.quantile(0.75)?);
        // Of a normal distribution, 1.349 spreads lie between the quartiles.
        let spread = ((high.ln() - low.ln()) / 1.349).max(SPREAD_LEAST);
        let step = ((seconds.ln() - middle.ln()) / spread).clamp(-3.0, 3.0);
        self.slower.add(step);
        self.faster.add(-step);
        let sum = if self.slower.value > ALARM {
            self.slower
        } else if self.faster.value > ALARM {
            self.faster
        } else {
            return None;
        };
        *self = Self::default();
        Some(sum.length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// The runs after which an alarm came, and how many runs it kept.
    fn alarms(times: impl Iterator<Item = f64>) -> Vec<(usize, usize)> {
        let (mut drift, mut window, mut found) = (Drift::default(), Window::default(), Vec::new());
        for (at, time) in times.enumerate() {
            let alarm = drift.look(time, &window);
            window.push(time as f32, 64);
            if let Some(keep) = alarm {
                window.keep_latest(keep);
                found.push((at, keep));
            }
        }
        found
    }

    fn noisy(rng: &mut Rng, around: f64) -> f64 {
        around * (0.9 + 0.2 * rng.unit())
    }

    #[test]
    fn a_change_is_noticed_within_a_few_runs_and_only_it_is_kept() {
        let mut rng = Rng::new(1);
        for factor in [0.4, 2.5] {
            let found = alarms((0..60).map(|n| noisy(&mut rng, if n < 30 { 1.0 } else { factor })));
            assert_eq!(found.len(), 1, "{factor}: {found:?}");
            let (at, kept) = found[0];
            assert!((33..=38).contains(&at), "{factor}: {found:?}");
            assert!(kept <= at - 29 + 1, "{factor}: {found:?}");
        }
    }

    #[test]
    fn steady_noise_raises_no_alarm() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            assert_eq!(alarms((0..500).map(|_| noisy(&mut rng, 3.0))), [], "seed {seed}");
        }
    }

    #[test]
    fn a_few_absurd_runs_raise_no_alarm() {
        let mut rng = Rng::new(5);
        let found = alarms((0..200).map(|n| if n % 10 == 0 { 1e6 } else { noisy(&mut rng, 1.0) }));
        assert_eq!(found, []);
    }
}
