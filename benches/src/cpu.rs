//! Where CPU time goes: the daemon's threads, its launcher, the shims and the tasks under them.

use std::collections::BTreeMap;
use std::fs;

/// Nanoseconds on a core so far, by who spent them and its process or thread.
#[derive(Clone, Debug, Default)]
pub struct CpuTimes(BTreeMap<(String, u32), u64>);

impl CpuTimes {
    /// Looks at a daemon and, where there is one, its launcher with the shims below it.
    pub fn of(daemon: u32, launcher: Option<u32>) -> Self {
        let mut times = Self::default();
        for thread in numbers(&format!("/proc/{daemon}/task")) {
            let folder = format!("/proc/{daemon}/task/{thread}");
            let name = fs::read_to_string(format!("{folder}/comm")).unwrap_or_default();
            let name = if thread == daemon { "main" } else { name.trim() };
            times.add(format!("daemon, thread {name}"), thread, running(&folder));
        }
        times.below("daemon's children", daemon);
        if let Some(launcher) = launcher {
            times.add("launcher".to_owned(), launcher, running(&format!("/proc/{launcher}")));
            times.below("shims", launcher);
        }
        times
    }

    /// The children of a process, and what their own ended children took (in ticks of 10 ms).
    fn below(&mut self, name: &str, parent: u32) {
        let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        for child in list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()) {
            self.add(name.to_owned(), child, running(&format!("/proc/{child}")));
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
            let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            self.add(format!("below {name}"), child, (ticks(13) + ticks(14)) * 10_000_000);
        }
    }

    fn add(&mut self, name: String, id: u32, nanos: u64) {
        *self.0.entry((name, id)).or_default() += nanos;
    }

    /// What was spent since an earlier look, by who spent it, for each of `count` tasks in microseconds.
    pub fn since(&self, earlier: &Self, count: usize) -> Vec<(String, f64)> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (key, nanos) in &self.0 {
            let spent = nanos.saturating_sub(earlier.0.get(key).copied().unwrap_or(0));
            *sums.entry(&key.0).or_default() += spent;
        }
        let mut list: Vec<(String, f64)> = sums
            .into_iter()
            .map(|(name, nanos)| (name.to_owned(), nanos as f64 / 1e3 / count as f64))
            .collect();
        list.retain(|(_, micros)| *micros >= 0.05);
        list.sort_by(|a, b| b.1.total_cmp(&a.1));
        list
    }
}

/// One line of text about where time went.
pub fn told(what: &str, spent: &[(String, f64)]) -> String {
    let parts: Vec<String> = spent.iter().map(|(name, micros)| format!("{name} {micros:.1}")).collect();
    format!("CPU microseconds for {what}: {}", parts.join("; "))
}

fn numbers(folder: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Time on a core, of one thread.
fn running(folder: &str) -> u64 {
    let text = fs::read_to_string(format!("{folder}/schedstat")).unwrap_or_default();
    text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

/// Time on a core that the calling thread has had so far.
pub fn of_this_thread() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
