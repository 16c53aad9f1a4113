//! Running tasks on their GPUs: what each was given and what its processes use.
//!
//! Made from the attempts that hold devices at this moment, so that series end with their task. There
//! is one series for a task and a GPU: a task whose former attempt still holds something, while its
//! node is out of contact, is shown with the sum of both and described by the newer one.

use crate::collector::{CollectError, Collector, Input};
use crate::families::{Families, clean};
use crate::table::{
    CollectorName, LABEL_CHARS_MAX, TASK_GPU_INFO, TASK_GPU_MEMORY_ALLOCATED, TASK_GPU_MEMORY_USED,
    TASK_SERIES_MAX,
};
use dunnage_model::{Bytes, DeviceId, RunningRow, TaskId};
use std::collections::BTreeMap;

pub(crate) struct Tasks;

/// A task on a GPU.
struct Held<'a> {
    newest: &'a RunningRow,
    allocated: Option<Bytes>,
    used: Option<Bytes>,
}

impl Collector for Tasks {
    fn name(&self) -> CollectorName {
        CollectorName::Task
    }

    fn collect(&self, input: Input<'_>, out: &mut Families) -> Result<(), CollectError> {
        let uuids: BTreeMap<DeviceId, &str> = input
            .snapshot
            .nodes
            .iter()
            .flat_map(|node| &node.gpus)
            .map(|gpu| (gpu.device, gpu.uuid.as_str()))
            .collect();
        let held = held(&input.snapshot.running);
        let mut problem = None;
        if held.len() > TASK_SERIES_MAX {
            problem = Some(CollectError::TooMany { found: held.len(), max: TASK_SERIES_MAX });
        }
        for ((task, device), held) in held.iter().take(TASK_SERIES_MAX) {
            let Some(uuid) = uuids.get(device) else {
                problem.get_or_insert(CollectError::UnknownDevice { device: *device });
                continue;
            };
            one(*task, uuid, held, out);
        }
        problem.map_or(Ok(()), Err)
    }
}

fn held(running: &[RunningRow]) -> BTreeMap<(TaskId, DeviceId), Held<'_>> {
    let mut held = BTreeMap::new();
    for row in running {
        for grant in &row.gpus {
            add(&mut on(&mut held, row, grant.device).allocated, grant.memory);
        }
        for (device, bytes) in &row.gpu_memory_used {
            add(&mut on(&mut held, row, *device).used, *bytes);
        }
    }
    held
}

/// The entry of a row's task on a device, described by the newest attempt.
fn on<'m, 'a>(
    held: &'m mut BTreeMap<(TaskId, DeviceId), Held<'a>>,
    row: &'a RunningRow,
    device: DeviceId,
) -> &'m mut Held<'a> {
    let entry = held.entry((row.attempt.task, device));
    let held = entry.or_insert(Held { newest: row, allocated: None, used: None });
    if held.newest.attempt < row.attempt {
        held.newest = row;
    }
    held
}

fn add(sum: &mut Option<Bytes>, bytes: Bytes) {
    *sum = Some(sum.unwrap_or_default().saturating_add(bytes));
}

fn one(task: TaskId, uuid: &str, held: &Held<'_>, out: &mut Families) {
    let row = held.newest;
    let name = task_label(task, &row.function);
    let attempt = row.attempt.attempt.0.to_string();
    out.add(
        &TASK_GPU_INFO,
        [&name, uuid, &row.graph_name, &row.function, &row.family, &attempt, &row.strategy, row.basis.word()],
        1.0,
    );
    out.add_known(&TASK_GPU_MEMORY_ALLOCATED, [&name, uuid], held.allocated.map(|bytes| bytes.0 as f64));
    out.add_known(&TASK_GPU_MEMORY_USED, [&name, uuid], held.used.map(|bytes| bytes.0 as f64));
}

/// `GRAPH/FUNCTION`, as on the command line. A name that does not fit or has to be cleaned ends with
/// `~` and the task's index, because two such names may have become the same.
fn task_label(task: TaskId, function: &str) -> String {
    let whole = format!("{}/{function}", task.graph);
    if *clean(&whole) == *whole {
        return whole;
    }
    let mark = format!("~{}", task.index);
    let head: String = whole.chars().take(LABEL_CHARS_MAX - mark.len()).collect();
    clean(&head).into_owned() + &mark
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_model::GraphId;

    #[test]
    fn names_that_are_cut_stay_different() {
        let long = "x".repeat(500);
        let (a, b) = (task_label(GraphId(7).task(1), &long), task_label(GraphId(7).task(12), &long));
        assert_ne!(a, b);
        assert_eq!((a.chars().count(), b.chars().count()), (LABEL_CHARS_MAX, LABEL_CHARS_MAX));
        assert!(a.ends_with("x~1"), "{a}");
    }

    #[test]
    fn names_that_are_cleaned_stay_different() {
        let (a, b) = (task_label(GraphId(7).task(1), "a\u{1}"), task_label(GraphId(7).task(2), "a\u{2}"));
        assert_eq!((a.as_str(), b.as_str()), ("7/a\u{fffd}~1", "7/a\u{fffd}~2"));
        assert_eq!(task_label(GraphId(7).task(3), "train-0.1"), "7/train-0.1");
    }
}
