//! `mct` (minimum completion time): tasks in the order in which they become ready, each on the device where
//! it is complete first, after all that was given to that device before.
//!
//! Source: Maheswaran, Ali, Siegel, Hensgen and Freund, "Dynamic mapping of a class of independent tasks
//! onto heterogeneous computing systems", JPDC 59, 1999. Cost: for each task one look at each of its modes.
//! Bad when order matters, for it takes whatever comes; it fills no gaps.

use crate::planning::board::Board;
use crate::planning::table::Table;
use crate::planning::{Instance, PlanOptions, Schedule, SchedulePlanner};
use dunnage_core::Budget;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Mct;

impl SchedulePlanner for Mct {
    fn name(&self) -> &'static str {
        "mct"
    }

    fn schedule(&self, instance: &Instance, _: &PlanOptions, _: &mut Budget<'_>) -> Schedule {
        let table = Table::new(instance);
        let mut board = Board::appending(instance, &table);
        for node in instance.topological() {
            if node >= instance.tasks() {
                board.gather(node);
                continue;
            }
            board.look(node);
            let fit = board.best(node);
            board.put(node, fit);
        }
        board.finish("in order of readiness, each where it is complete first")
    }
}
