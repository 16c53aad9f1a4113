//! The scheduler's mind: a pure state machine. Events go in, decisions come out.
//!
//! ```text
//! handle(now, event, &mut decisions)
//!     apply     the fact changes the state, by rule: the same fact always changes it alike
//!     dispatch  ready tasks are offered to their graph's strategy; the ledger re-checks each proposal
//! ```
//!
//! The contract for every driver (daemon, simulator, test): hand in one event, take out all decisions
//! it produced, carry them out, and only then hand in the next. Time is an argument, wishes about the
//! future leave as `WakeAt`, randomness comes from the submission's seed. Same events, same decisions,
//! bit for bit.
//!
//! A placement is a fact: recovery applies `Placed` events with [`Scheduler::replay`], in which no
//! strategy is asked, and goes on with [`Scheduler::resume`].

mod apply;
mod aware;
mod dispatch;
mod estimate;
mod explain;
mod fair_share;
mod invariants;
mod learn;
mod ledger;
mod plan;
mod policy;
mod project;
mod queue;
mod replan;
mod reservation;
mod retry;
mod rng;
mod run;
mod scheduler;
mod start_times;
mod strategy;
mod timers;
mod transfer;

pub use estimate::{Estimate, Estimates, Learned, SIGNATURES_MAX, Score, Source};
pub use explain::{Explanation, Option as PlacementOption, Why};
pub use ledger::{GpuLedger, Ledger, NodeLedger, Refusal};
pub use plan::{Budget, Busy, PlanProblem, Planner};
pub use policy::{Guard, Policy};
pub use project::TaskRow;
pub use rng::Rng;
pub use run::{GraphRun, Record, TaskSlot};
pub use scheduler::Scheduler;
pub use start_times::{Expected, Outlook};
pub use strategy::{Candidate, Proposal, Strategy, View};
