//! Cores: which ones this process may run on, how they sit in NUMA nodes, how busy they were.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The cores that this process may run on, by affinity.
pub(crate) fn allowed() -> BTreeSet<u32> {
    if let Ok(set) = rustix::thread::sched_getaffinity(None) {
        let cores =
            (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).map(|core| core as u32);
        return cores.collect();
    }
    // A machine with more cores than the set holds.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map(parse_cpu_list).unwrap_or_default().into_iter().collect()
}

/// Reads `0-3,8,10-11`. What cannot be read is left out.
pub(crate) fn parse_cpu_list(text: &str) -> Vec<u32> {
    let mut cores = BTreeSet::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
            // A bound, so that a broken file cannot make us list four billion cores.
            cores.extend(first..=last.min(first.saturating_add(65_535)));
        }
    }
    cores.into_iter().collect()
}

/// The allowed cores of each NUMA node; the index is the node's number. Where the system does not say,
/// one node with all of them.
pub(crate) fn numa_nodes(directory: &Path, allowed: &BTreeSet<u32>) -> Vec<Vec<u32>> {
    let mut nodes: Vec<Vec<u32>> = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let number = file
            .to_str()
            .and_then(|name| name.strip_prefix("node"))
            .and_then(|text| text.parse::<usize>().ok());
        let Some(number) = number.filter(|number| *number < 1024) else { continue };
        let list = fs::read_to_string(entry.path().join("cpulist")).unwrap_or_default();
        if nodes.len() <= number {
            nodes.resize(number + 1, Vec::new());
        }
        nodes[number] = parse_cpu_list(&list).into_iter().filter(|core| allowed.contains(core)).collect();
    }
    if nodes.iter().all(Vec::is_empty) {
        nodes = vec![allowed.iter().copied().collect()];
    }
    nodes
}

/// The NUMA node that holds all of these cores, if one does.
pub(crate) fn numa_node_of(nodes: &[Vec<u32>], cores: &[u32]) -> Option<u16> {
    if cores.is_empty() {
        return None;
    }
    let place = nodes.iter().position(|node| cores.iter().all(|core| node.contains(core)))?;
    u16::try_from(place).ok()
}

/// Ticks of the allowed cores since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CpuTimes {
    busy: u64,
    total: u64,
}

impl CpuTimes {
    pub(super) fn read(allowed: &BTreeSet<u32>) -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?, allowed)
    }

    fn parse(text: &str, allowed: &BTreeSet<u32>) -> Option<Self> {
        let mut times = Self { busy: 0, total: 0 };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let core = words
                .next()
                .and_then(|word| word.strip_prefix("cpu"))
                .and_then(|core| core.parse::<u32>().ok());
            if !core.is_some_and(|core| allowed.contains(&core)) {
                continue;
            }
            // user nice system idle iowait irq softirq steal; guest time is inside user time.
            let ticks: Vec<u64> = words.take(8).filter_map(|word| word.parse().ok()).collect();
            let total: u64 = ticks.iter().sum();
            let idle: u64 = ticks.iter().skip(3).take(2).sum();
            times.total += total;
            times.busy += total - idle;
        }
        (times.total > 0).then_some(times)
    }

    /// The share of time in which cores were busy since `before`; `None` where no tick went by.
    pub(super) fn busy_since(&self, before: &Self) -> Option<f64> {
        let total = self.total.checked_sub(before.total).filter(|total| *total > 0)?;
        Some((self.busy.saturating_sub(before.busy) as f64 / total as f64).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(parse_cpu_list("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(parse_cpu_list("\n"), [] as [u32; 0]);
        assert_eq!(parse_cpu_list("x,2,3-y"), [2]);
        assert_eq!(parse_cpu_list("0-4294967295").len(), 65_536);
    }

    #[test]
    fn numa_nodes_keep_their_numbers() {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, list) in [("node0", "0-1"), ("node2", "2-3"), ("possible", "0-2")] {
            fs::create_dir(directory.path().join(name)).expect("a node");
            fs::write(directory.path().join(name).join("cpulist"), list).expect("its cores");
        }
        let nodes = numa_nodes(directory.path(), &BTreeSet::from([0, 2, 3]));
        assert_eq!(nodes, [vec![0], vec![], vec![2, 3]]);
        assert_eq!(numa_node_of(&nodes, &[3]), Some(2));
        assert_eq!(numa_node_of(&nodes, &[0, 3]), None);
        assert_eq!(numa_nodes(Path::new("/no/such"), &BTreeSet::from([5])), [vec![5]]);
    }

    #[test]
    fn only_the_allowed_cores_count_as_busy() {
        let text =
            |busy: u64| format!("cpu  9 9 9 9\ncpu0 {busy} 0 0 100 0 0 0 0 0 0\ncpu1 500 0 0 0\nintr 5\n");
        let allowed = BTreeSet::from([0]);
        let before = CpuTimes::parse(&text(100), &allowed).expect("times");
        let now = CpuTimes::parse(&text(150), &allowed).expect("times");
        assert_eq!(now.busy_since(&before), Some(1.0));
        assert_eq!(now.busy_since(&now), None, "no tick went by");
        assert_eq!(CpuTimes::parse("garbage", &allowed), None);
    }
}
