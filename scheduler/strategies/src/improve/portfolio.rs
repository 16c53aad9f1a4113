//! What a search begins with: the schedules of the list rules, and of a few orders of its own.
//!
//! Rules cannot be interrupted. So that the clock is kept to about a tenth, a rule that may take long is
//! made only after ten times its work has been done otherwise: the first at once, the others between the
//! rounds of the search.

use super::decoder::{Choose, Sgs};
use super::encoding::Net;
use super::objective::Objective;
use super::search::{Count, SGS_WORK, Solution};
use super::seeds::{self, Length};
use crate::planning::{Instance, MeanComm, PlanOptions, Schedule, steps_of_bound};
use dunnage_core::{Budget, Rng};

/// The rules, those first that are best more often; the first is always made.
const RULES: [(&str, MeanComm); 9] = [
    ("heft", MeanComm::Pairs),
    ("peft", MeanComm::Pairs),
    ("cpop", MeanComm::Pairs),
    ("heft", MeanComm::Saga),
    ("mct", MeanComm::Pairs),
    ("min-min", MeanComm::Pairs),
    ("sufferage", MeanComm::Pairs),
    ("max-min", MeanComm::Pairs),
    ("cpop", MeanComm::Saga),
];

/// Orders of our own: how long a task is taken to be, the weight of transfers, that of the way from the
/// beginning.
const ORDERS: [(Length, f64, f64); 4] =
    [(Length::Mean, 1.0, 0.0), (Length::Least, 1.0, 0.0), (Length::Mean, 1.0, 1.0), (Length::Most, 0.0, 0.0)];

/// In a chain a rule costs about as much as decoding this many nodes for each mode and edge.
const RULE_WORK: u64 = 8;

/// Nodes of work that may be spent on a rule without having done ten times as much before.
const SMALL: u64 = 40_000;

/// The rules that were made, and the best of them.
#[derive(Debug)]
pub(crate) struct Portfolio<'n, 'i> {
    net: &'n Net<'i>,
    options: PlanOptions,
    /// The rule whose turn it is.
    next: usize,
    work_of_rule: u64,
    orders_are_made: bool,
    /// What was made so far, with its makespan.
    pub(crate) made: Vec<(&'static str, f64)>,
}

impl<'n, 'i> Portfolio<'n, 'i> {
    /// `first` is the schedule of the first rule, where it is made already.
    pub(crate) fn new(net: &'n Net<'i>, options: &PlanOptions, first: Option<&Schedule>) -> Self {
        let modes: u64 = net
            .instance
            .kind_of
            .iter()
            .map(|kind| u64::from(net.kind_start[*kind as usize + 1] - net.kind_start[*kind as usize]))
            .sum();
        // Without a chain a schedule with fixed modes looks for room, too, and costs a third of a rule.
        let work_of_rule = if net.is_chain {
            RULE_WORK * (modes + net.instance.parents.items() as u64)
        } else {
            3 * SGS_WORK as u64 * u64::from(net.nodes)
        };
        let made: Vec<_> = first.iter().map(|first| (RULES[0].0, first.makespan)).collect();
        Self { net, options: *options, next: made.len(), work_of_rule, orders_are_made: false, made }
    }

    /// The schedule of the first rule, which needs nothing compiled.
    pub(crate) fn first(
        instance: &Instance,
        options: &PlanOptions,
        count: &mut Count<'_, '_>,
    ) -> Option<Schedule> {
        let (name, mean_comm) = RULES[0];
        let rule = crate::schedule_planner(name)?;
        count.rule();
        Some(rule.schedule(instance, &PlanOptions { mean_comm, ..*options }, &mut Budget::of(0)))
    }

    /// The schedules of the rules whose turn it is after the work that was done. The clock is looked at
    /// between them.
    pub(crate) fn rules(&mut self, count: &mut Count<'_, '_>) -> Vec<Schedule> {
        let mut found = Vec::new();
        while let Some((name, mean_comm)) = RULES.get(self.next) {
            if self.next > 0 && !self.may(count.total) {
                break;
            }
            if !count.rule() {
                break;
            }
            self.next += 1;
            if let Some(rule) = crate::schedule_planner(name) {
                let options = PlanOptions { mean_comm: *mean_comm, ..self.options };
                let schedule = rule.schedule(self.net.instance, &options, &mut Budget::of(0));
                count.has_plan(schedule.makespan);
                self.made.push((name, schedule.makespan));
                found.push(schedule);
            }
        }
        found
    }

    /// Whether something that takes as long as a rule may be done after this much work.
    pub(crate) fn may(&self, work: u64) -> bool {
        let needs = self.work_of_rule;
        needs <= SMALL || work / 10 >= needs
    }

    /// Whether the lower bound may be worked out after this much work.
    pub(crate) fn may_bound(&self, work: u64) -> bool {
        let needs = self.work_of_rule.max(steps_of_bound(self.net.instance) / 2);
        needs <= SMALL || work / 10 >= needs
    }

    /// Solutions of our own orders, each task where it ends first; one at least where there `must` be
    /// and the budget is not spent.
    pub(crate) fn orders(
        &mut self,
        sgs: &mut Sgs,
        objective: &Objective,
        must: bool,
        count: &mut Count<'_, '_>,
    ) -> Vec<Solution> {
        let mut found = Vec::new();
        if self.orders_are_made || !(must || self.may(count.total)) {
            return found;
        }
        self.orders_are_made = true;
        for (length, moving, down) in ORDERS {
            if !count.rule() {
                break;
            }
            let mut rank = seeds::upward(self.net, length, moving);
            if down != 0.0 {
                for (rank, way) in rank.iter_mut().zip(seeds::downward(self.net, length)) {
                    *rank += down * way;
                }
            }
            let list = seeds::by_rank(self.net, &rank, 0.0, &mut Rng::new(0));
            let must = must && found.is_empty();
            let made =
                Solution::of(self.net, sgs, objective, list, Choose::All, &mut || !must && count.is_over());
            if count.was_cut() {
                break;
            }
            found.extend(made);
        }
        found
    }
}
