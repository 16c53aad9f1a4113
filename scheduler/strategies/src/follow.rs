//! What every strategy with a plan does when a task is ready: it follows the plan.

use dunnage_core::{Candidate, Proposal, Rng, Strategy, View};
use dunnage_model::{DeviceId, Graph, Weights};

/// A strategy of this name whose choices are those of its plan.
#[derive(Clone, Copy, Debug)]
pub struct Follow {
    name: &'static str,
    goal: Goal,
}

/// What a plan was made for, as far as it matters to who follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// Less time: what is as quick is as good.
    Time,
    /// Something else as well: what is quicker may cost more of it.
    Other,
}

impl Goal {
    /// The goal of a plan for less time, with these weights.
    pub(crate) fn of(weights: Weights) -> Self {
        if weights == Weights::default() { Self::Time } else { Self::Other }
    }
}

impl Follow {
    /// A strategy whose plans are for less time.
    pub const fn time(name: &'static str) -> Self {
        Self { name, goal: Goal::Time }
    }

    /// A strategy whose plans are for something else.
    pub const fn other(name: &'static str) -> Self {
        Self { name, goal: Goal::Other }
    }
}

impl Strategy for Follow {
    fn name(&self) -> &'static str {
        self.name
    }

    fn needs_plan(&self, graph: &Graph) -> bool {
        match (self.goal, Goal::of(graph.settings.weights)) {
            (Goal::Time, Goal::Time) => graph.len() > 1,
            // Even one function alone has a device that is best by what counts.
            (Goal::Other, _) | (_, Goal::Other) => !graph.is_empty(),
        }
    }

    fn choose(
        &mut self,
        view: &View<'_>,
        task: &Candidate<'_>,
        options: &[Proposal],
        _: &mut Rng,
    ) -> Option<usize> {
        let goal = if self.goal == Goal::Other { Goal::Other } else { Goal::of(task.weights) };
        follow(view, task, options, goal)
    }
}

/// Takes the place that the plan wants, or one that is as good; waits for it while that device could take
/// the task; without a plan, or when it could not, takes the variant that is expected to end first.
pub(crate) fn follow(
    view: &View<'_>,
    task: &Candidate<'_>,
    options: &[Proposal],
    goal: Goal,
) -> Option<usize> {
    if let Some(place) = task.planned {
        let wanted = options
            .iter()
            .position(|option| option.variant == place.variant && option.main_device() == place.device)
            .or_else(|| {
                options
                    .iter()
                    .position(|option| option.variant == place.variant && option.gpus.contains(&place.device))
            });
        if wanted.is_some() {
            return wanted;
        }
        // A device of the same class that is free now is as good, and for time alone any on which it takes no
        // longer: a plan holds nothing back from what is idle.
        let planned = place.end_s - place.start_s;
        let class = |device: DeviceId| view.ledger.node(device.node).map(|node| node.spec.class(device));
        let as_good = options.iter().position(|option| {
            let alike = option.variant == place.variant && class(option.main_device()) == class(place.device);
            alike || (goal == Goal::Time && option.seconds() <= planned)
        });
        if as_good.is_some() {
            return as_good;
        }
        // Where it could not go even if all of ours had ended (the device is not well, others use its memory,
        // the task has grown), waiting is in vain.
        let request = task.requests.get(usize::from(place.variant));
        if request.is_some_and(|request| view.ledger.could_take_when_idle(request, place.device)) {
            return None;
        }
    }
    let seconds = |(_, option): &(usize, &Proposal)| option.seconds();
    options.iter().enumerate().min_by(|a, b| seconds(a).total_cmp(&seconds(b))).map(|(at, _)| at)
}
