//! When a task is started again, and after which wait.

use crate::rng::Rng;
use dunnage_model::{Backoff, Cause, Function, Retry, Span};

/// How often a task may be placed anew in a row after losses that were not its fault.
const LOSSES_IN_A_ROW_MAX: u32 = 10;

/// What has been spent so far.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) retries: u32,
    pub(crate) oom: u32,
    pub(crate) losses_in_a_row: u32,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Verdict {
    /// It has failed for good.
    Final,
    /// It is placed anew at once; nothing is counted.
    Anew,
    /// It is started again after a wait.
    After(Span),
    /// It is started again with its memory multiplied.
    WithMoreMemory(f64),
}

/// Judges a failed attempt by its cause (DESIGN: "Retry governs starts").
pub(crate) fn judge(function: &Function, cause: Cause, spent: &mut Spent, rng: &mut Rng) -> Verdict {
    let retry = function.retry.as_deref().filter(|retry| retry.max > 0);
    if cause.is_loss() {
        // A loss is nobody's fault. Pure code may simply run again; other code only where its author
        // allows further starts at all.
        spent.losses_in_a_row += 1;
        let allowed = function.is_pure() || retry.is_some();
        return if allowed && spent.losses_in_a_row <= LOSSES_IN_A_ROW_MAX {
            Verdict::Anew
        } else {
            Verdict::Final
        };
    }
    spent.losses_in_a_row = 0;
    let Some(retry) = retry else { return Verdict::Final };
    match cause {
        Cause::OutOfMemory if spent.oom < retry.oom.max => {
            spent.oom += 1;
            Verdict::WithMoreMemory(retry.oom.factor)
        }
        Cause::User | Cause::Timeout | Cause::SpawnFailed if spent.retries < retry.max => {
            let wait = wait(retry, spent.retries, rng);
            spent.retries += 1;
            Verdict::After(wait)
        }
        Cause::User
        | Cause::Timeout
        | Cause::SpawnFailed
        | Cause::OutOfMemory
        | Cause::UpstreamFailed
        | Cause::Cancelled
        | Cause::Refused => Verdict::Final,
        Cause::WorkerDied | Cause::DeviceLost | Cause::NodeLost | Cause::ValueLost | Cause::Preempted => {
            Verdict::Final
        }
    }
}

/// `base * 2^n`, at most `cap`; with jitter drawn evenly from its upper half.
fn wait(retry: &Retry, earlier: u32, rng: &mut Rng) -> Span {
    let factor = match retry.backoff {
        Backoff::Exponential => 1_u64 << earlier.min(40),
        Backoff::Fixed => 1,
    };
    let full = Span(retry.base.0.saturating_mul(factor)).min(retry.cap);
    if retry.jitter { Span::from_secs_f64(full.as_secs_f64() * (0.5 + 0.5 * rng.unit())) } else { full }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let retry = Retry { jitter: false, base: Span::secs(1), cap: Span::secs(5), ..Retry::default() };
        let mut rng = Rng::new(1);
        let waits: Vec<u64> = (0..5).map(|n| wait(&retry, n, &mut rng).0 / 1_000_000).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
    }

    #[test]
    fn jitter_stays_in_the_upper_half() {
        let retry = Retry { base: Span::secs(4), ..Retry::default() };
        let mut rng = Rng::new(7);
        for _ in 0..100 {
            let wait = wait(&retry, 0, &mut rng);
            assert!(wait >= Span::secs(2) && wait <= Span::secs(4), "{wait}");
        }
    }
}
