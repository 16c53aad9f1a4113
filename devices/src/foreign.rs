//! Memory of a GPU that is taken by others than us, so that nothing is placed onto it.

use dunnage_model::{Bytes, DeviceSample};

/// What is used of a GPU by processes that are not ours, with what the driver keeps for itself.
///
/// Where the driver lists our processes with their memory, that is taken off the used memory. Where it
/// does not (another pid namespace, an old driver, or a task that has not touched the GPU yet),
/// `reserved_by_us` is taken off instead: reservations are what we promised to stay below.
///
/// Less than `ignore_below` counts as nothing, so that a desktop's display server does not keep whole
/// cards idle. `None` where the driver does not tell how much is used.
pub fn foreign_memory(
    sample: &DeviceSample,
    ours: &dyn Fn(u32) -> bool,
    reserved_by_us: Bytes,
    ignore_below: Bytes,
) -> Option<Bytes> {
    let used = sample.memory_used?;
    let foreign = used.saturating_sub(part_of_ours(sample, ours, reserved_by_us));
    Some(if foreign < ignore_below { Bytes::ZERO } else { foreign })
}

fn part_of_ours(sample: &DeviceSample, ours: &dyn Fn(u32) -> bool, reserved: Bytes) -> Bytes {
    let told = sample.processes.iter().any(|process| process.memory.is_some());
    let mut sum = Bytes::ZERO;
    let mut complete = told;
    for process in sample.processes.iter().filter(|process| ours(process.pid)) {
        match process.memory {
            Some(memory) => sum = sum.saturating_add(memory),
            None => complete = false,
        }
    }
    // Some of ours use an unknown amount: what we reserved is the best guess, never less than was seen.
    if complete { sum } else { sum.max(reserved) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunnage_model::{DeviceId, Health, NodeId, ProcessUse};

    const OURS: u32 = 10;
    const THEIRS: u32 = 20;

    fn check(used: Option<u64>, processes: &[(u32, Option<u64>)], reserved: u64, expected: Option<u64>) {
        let mut sample = DeviceSample::health(DeviceId { node: NodeId::LOCAL, local: 1 }, Health::Ok);
        sample.memory_used = used.map(Bytes::gib);
        sample.processes = processes
            .iter()
            .map(|(pid, memory)| ProcessUse { pid: *pid, memory: memory.map(Bytes::gib), sm_share: None })
            .collect();
        let foreign = foreign_memory(&sample, &|pid| pid == OURS, Bytes::gib(reserved), Bytes::gib(2));
        assert_eq!(foreign, expected.map(Bytes::gib));
    }

    #[test]
    fn ours_is_taken_off_what_is_used() {
        check(Some(12), &[(OURS, Some(8)), (THEIRS, Some(4))], 10, Some(4));
    }

    #[test]
    fn what_the_driver_keeps_counts_as_foreign() {
        check(Some(12), &[(OURS, Some(8))], 8, Some(4));
    }

    #[test]
    fn a_task_that_has_not_begun_hides_nobody() {
        check(Some(10), &[(THEIRS, Some(10))], 8, Some(10));
    }

    #[test]
    fn without_a_list_our_reservations_are_taken_off() {
        check(Some(12), &[], 8, Some(4));
        check(Some(12), &[(OURS, None), (THEIRS, None)], 8, Some(4));
        check(Some(4), &[], 8, Some(0));
    }

    #[test]
    fn one_of_ours_with_an_unknown_amount_makes_the_reservation_count() {
        check(Some(12), &[(OURS, None), (THEIRS, Some(4))], 8, Some(4));
    }

    #[test]
    fn a_little_is_ignored_and_the_threshold_itself_is_not() {
        check(Some(1), &[(THEIRS, Some(1))], 0, Some(0));
        check(Some(2), &[(THEIRS, Some(2))], 0, Some(2));
    }

    #[test]
    fn not_told_is_not_nothing() {
        check(None, &[(THEIRS, Some(4))], 0, None);
    }
}
