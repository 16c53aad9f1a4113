//! What each user took of the machine of late, so that who took less goes first.
//!
//! Use is device-seconds (a GPU counts for several cores) that halve with age, as in Slurm's fair-share
//! factor. All users' amounts fade alike, so their order does not change with time alone: amounts are kept
//! as they would count at one common moment, and only a change is written. An attempt is charged at its
//! placement with what is predicted, and set right at its end; so two users with equal streams of tasks
//! take turns at once, and not only when the first tasks end.

use dunnage_model::{Owner, Placement, Span, Time};
use std::collections::BTreeMap;

/// What is charged in advance for an attempt of unknown length, in seconds.
const UNKNOWN_SECONDS: f64 = 60.0;

/// Beyond so many half-lives the common moment is moved, before numbers grow too large.
const MOVE_AFTER: f64 = 64.0;

/// Moves of so many times that leave nothing of what was used before.
const STEPS_MAX: u32 = 32;

/// At most so many users are remembered; who used least is forgotten first.
const USERS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct FairShare {
    /// Weighted device-seconds of each user, as they count at `moment`.
    used: BTreeMap<Owner, f64>,
    /// The first time it heard of, and later ones.
    moment: Option<Time>,
}

impl FairShare {
    /// What a user has used, comparable between users only.
    pub(crate) fn used(&self, owner: Owner) -> f64 {
        self.used.get(&owner).copied().unwrap_or(0.0)
    }

    /// An attempt was placed.
    pub(crate) fn placed(&mut self, owner: Owner, at: Time, held: &Placement, half_life: Span, gpu: f64) {
        let until = at.after(expected(held));
        self.charge(owner, weight(held, gpu), at, until, half_life);
    }

    /// It ended, or never began.
    pub(crate) fn ended(
        &mut self,
        owner: Owner,
        (placed, now): (Time, Time),
        held: &Placement,
        half_life: Span,
        gpu: f64,
    ) {
        // What was charged too little; less than nothing where it was too much.
        self.charge(owner, weight(held, gpu), placed.after(expected(held)), now, half_life);
    }

    fn charge(&mut self, owner: Owner, weight: f64, from: Time, until: Time, half_life: Span) {
        let half_life = half_life.as_secs_f64().max(1.0);
        // Either may be predicted, and by whatever was declared.
        let first = from.min(until);
        let mut moment = *self.moment.get_or_insert(first);
        let step = Span::from_secs_f64(MOVE_AFTER * half_life);
        // After so many steps nothing is left of any amount, and the rest is one step.
        for _ in 0..STEPS_MAX {
            if moment.after(step) >= first || step.0 == 0 {
                break;
            }
            moment = moment.after(step);
            for used in self.used.values_mut() {
                *used *= (-MOVE_AFTER).exp2();
            }
        }
        if moment.after(step) < first {
            moment = first;
            self.used.clear();
        }
        self.moment = Some(moment);
        let age = |at: Time| {
            // Before the common moment where a journal is replayed graph after graph.
            let after = at.since(moment).as_secs_f64();
            let before = moment.since(at).as_secs_f64();
            (after - before) / half_life
        };
        let most = age(first).max(0.0) + MOVE_AFTER * 4.0;
        let (from, until) = (age(from).min(most), age(until).min(most));
        // The integral of 2^t over the time of use; over a short one, the value in its middle.
        let integral = if (until - from).abs() < 1e-3 {
            f64::midpoint(from, until).exp2() * (until - from)
        } else {
            (until.exp2() - from.exp2()) / std::f64::consts::LN_2
        };
        let amount = weight * integral * half_life;
        let used = self.used.entry(owner).or_insert(0.0);
        *used = (*used + amount).max(0.0);
        if self.used.len() > USERS_MAX
            && let Some(least) = self.used.iter().min_by(|a, b| a.1.total_cmp(b.1)).map(|(least, _)| *least)
        {
            self.used.remove(&least);
        }
    }
}

fn expected(held: &Placement) -> Span {
    held.predicted.unwrap_or(Span::from_secs_f64(UNKNOWN_SECONDS))
}

/// What it holds, in cores.
fn weight(held: &Placement, gpu: f64) -> f64 {
    let gpus: f64 = held.gpus.iter().map(|grant| f64::from(grant.share.0) / 1000.0).sum();
    // What holds no core at all still takes a turn.
    (f64::from(held.cpus.0) / 1000.0 + gpu * gpus).max(0.01)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_model::{Basis, NodeId};

    #[test]
    fn use_counts_alike_however_late_it_is() {
        let held = Placement {
            variant: 0,
            node: NodeId::LOCAL,
            cpus: dunnage_model::MilliCores::cores(1),
            memory: dunnage_model::Bytes::ZERO,
            memory_limit: None,
            gpus: Vec::new(),
            custom: Vec::new(),
            predicted: Some(Span::secs(60)),
            basis: Basis::None,
        };
        let day = Span::secs(24 * 3600);
        for days in [0, 100, 300, 5000, 100_000] {
            // A scheduler that was started anew, and one that has run all the time.
            let late = Time::ZERO.after(Span::secs(days * 24 * 3600));
            let (mut fresh, mut old) = (FairShare::default(), FairShare::default());
            old.placed(Owner(3), Time::ZERO, &held, day, 16.0);
            for fair in [&mut fresh, &mut old] {
                fair.placed(Owner(1), late, &held, day, 16.0);
                fair.placed(Owner(2), late, &held, day, 16.0);
                fair.placed(Owner(2), late, &held, day, 16.0);
                assert!(fair.used(Owner(1)) > 0.0, "{days} days");
                assert!(fair.used(Owner(2)) > 1.9 * fair.used(Owner(1)), "{days} days");
                assert!(fair.used(Owner(3)) <= fair.used(Owner(1)) * 1.001, "{days} days");
            }
        }
    }
}
