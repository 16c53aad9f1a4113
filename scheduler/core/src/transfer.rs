//! What moving a task's inputs to a device takes, as far as their sizes are declared.
//!
//! Values are files on the host, so a task on cores finds them where they are, and one on a GPU copies them
//! over the link between host and GPU, whose bandwidth the node declares.

use crate::run::GraphRun;
use dunnage_model::{Arg, NodeSpec};

/// Bytes of a task's inputs whose sizes are declared, and how many values those are.
pub(crate) fn inputs(run: &GraphRun, task: u32) -> (f64, f64) {
    let graph = &run.graph;
    let size = |producer: u32, output: u16| {
        graph.function(producer).outputs.get(usize::from(output)).and_then(|spec| spec.size)
    };
    let (mut bytes, mut values) = (0.0, 0.0);
    for arg in graph.args(task) {
        let (first, output, count) = match arg {
            Arg::Value { task, index } => (Some(*task), *index, 1.0),
            // The members of a family are instances of one function, or declared alike.
            Arg::Family { group, index, .. } => {
                let members = graph.members(*group);
                (members.clone().next(), *index, members.count() as f64)
            }
        };
        if let Some(size) = first.and_then(|producer| size(producer, output)) {
            bytes += size.0 as f64 * count;
            values += count;
        }
    }
    (bytes, values)
}

/// Seconds that inputs take to a GPU of this node; none to its cores.
pub(crate) fn seconds((bytes, values): (f64, f64), node: &NodeSpec, on_gpu: bool) -> f64 {
    let links = &node.tariff.links;
    if !on_gpu || values == 0.0 || links.host_gpu.is_nan() || links.host_gpu <= 0.0 {
        return 0.0;
    }
    bytes / links.host_gpu + values * links.latency.max(0.0)
}
