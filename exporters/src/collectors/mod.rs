//! One file a collector.

mod build;
mod estimates;
mod gpu;
mod node;
mod process;
mod queue;
mod scheduler;
mod task;

use crate::collector::Collector;

/// All of them, in the order of the page.
pub(crate) fn all() -> Vec<Box<dyn Collector>> {
    vec![
        Box::new(build::Build),
        Box::new(node::Nodes),
        Box::new(gpu::Gpus),
        Box::new(task::Tasks),
        Box::new(queue::Queue),
        Box::new(scheduler::Scheduler),
        Box::new(estimates::Estimates),
        Box::new(process::Process),
    ]
}
