//! `heft` (heterogeneous earliest finish time): tasks by falling upward rank (the longest way to the end of
//! the graph by mean times), each in the mode in which it ends earliest, in the first idle gap that holds it.
//!
//! Source: Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task scheduling for
//! heterogeneous computing", IEEE TPDS 13(3), 2002. A device here may hold several tasks, so "idle" means
//! that all which the mode takes is free for so long (of resources that tasks share, gaps some thousands of
//! tasks old are given up). Ties of rank go depth first to the lower index, ties of end to the lower mode.
//! Cost: one sort, for each edge a look at each memory, for each task and mode a search among idle gaps.
//! Bad when estimates are wrong or missing, when the mean over unlike devices says little (a task that only
//! one of eight devices does fast), and when a task that is ready early blocks a device that a more urgent
//! one will want: it never looks ahead.

use crate::planning::board::Board;
use crate::planning::ranks::{MeanTransfer, by_falling, depth_first, upward};
use crate::planning::table::Table;
use crate::planning::{Instance, PlanOptions, Schedule, SchedulePlanner};
use dunnage_core::Budget;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Heft;

impl SchedulePlanner for Heft {
    fn name(&self) -> &'static str {
        "heft"
    }

    fn schedule(&self, instance: &Instance, options: &PlanOptions, _: &mut Budget<'_>) -> Schedule {
        let table = Table::new(instance);
        let topological = depth_first(instance);
        let mean = MeanTransfer::new(instance, options.mean_comm);
        let rank = upward(instance, &table, mean, &topological);
        let mut board = Board::new(instance, &table);
        board.put_in_order(&by_falling(&rank, &topological));
        board.finish("longest way to the end first, each where it ends earliest")
    }
}
