//! What every strategy with a plan does when a task is ready: it follows the plan.

use dunnage_core::{Candidate, Proposal, Rng, Strategy, View};
use dunnage_model::Graph;

/// A strategy of this name whose choices are those of its plan.
#[derive(Clone, Copy, Debug)]
pub struct Follow(pub &'static str);

impl Strategy for Follow {
    fn name(&self) -> &'static str {
        self.0
    }

    fn needs_plan(&self, graph: &Graph) -> bool {
        graph.len() > 1
    }

    fn choose(
        &mut self,
        view: &View<'_>,
        task: &Candidate<'_>,
        options: &[Proposal],
        _: &mut Rng,
    ) -> Option<usize> {
        follow(view, task, options)
    }
}

/// Takes the place that the plan wants; waits for it while that device could take the task; without a plan,
/// or when it could not, takes the variant that is expected to end first.
pub(crate) fn follow(view: &View<'_>, task: &Candidate<'_>, options: &[Proposal]) -> Option<usize> {
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
        // Another device of the same kind that is free now is as good: a plan is made as if the machine were
        // empty, and holds nothing back from what is idle.
        let planned = place.end_s - place.start_s;
        let as_good =
            options.iter().position(|option| option.variant == place.variant || option.seconds() <= planned);
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
