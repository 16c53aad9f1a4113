//! What the scheduler has done since the daemon began.
//!
//! Outcomes and causes that have not been seen stand at 0 from the first page on: a rate over a series
//! that appears with its first event misses that event.

use crate::collector::{CollectError, Collector, Input};
use crate::families::Families;
use crate::table::{
    ATTEMPT_FAILURES, CollectorName, EVENTS, LATE_RESULTS, Metric, PLACEMENTS, QUARANTINED_GRAPHS,
    REFUSED_PROPOSALS, RETRIES, SNAPSHOT_AGE, STALE_PLANS, TASKS,
};
use dunnage_model::{Cause, Totals};
use std::collections::BTreeMap;

const OUTCOMES: [&str; 4] = ["succeeded", "failed", "cancelled", "compensated"];

pub(crate) struct Scheduler;

impl Collector for Scheduler {
    fn name(&self) -> CollectorName {
        CollectorName::Scheduler
    }

    fn collect(&self, input: Input<'_>, out: &mut Families) -> Result<(), CollectError> {
        let Totals {
            events,
            placements,
            ended,
            failures,
            retries,
            late_results,
            stale_plans,
            refused_proposals,
            quarantined_graphs,
        } = &input.snapshot.totals;
        out.add(&EVENTS, [], *events as f64);
        for (strategy, n) in placements {
            out.add(&PLACEMENTS, [strategy], *n as f64);
        }
        let causes = Cause::ALL.map(Cause::word);
        by_word(&TASKS, &OUTCOMES, ended, out);
        by_word(&ATTEMPT_FAILURES, &causes, failures, out);
        by_word(&RETRIES, &causes, retries, out);
        out.add(&LATE_RESULTS, [], *late_results as f64);
        out.add(&STALE_PLANS, [], *stale_plans as f64);
        out.add(&REFUSED_PROPOSALS, [], *refused_proposals as f64);
        out.add(&QUARANTINED_GRAPHS, [], *quarantined_graphs as f64);
        let age = input.process.now.map(|now| now.since(input.snapshot.at).as_secs_f64());
        out.add_known(&SNAPSHOT_AGE, [], age);
        Ok(())
    }
}

/// All known words, seen or not, and then those that were seen and are not known here.
fn by_word(
    metric: &'static Metric<1>,
    known: &[&'static str],
    seen: &BTreeMap<&'static str, u64>,
    out: &mut Families,
) {
    for word in known {
        out.add(metric, [word], seen.get(word).copied().unwrap_or(0) as f64);
    }
    for (word, n) in seen.iter().filter(|(word, _)| !known.contains(word)) {
        out.add(metric, [word], *n as f64);
    }
}
