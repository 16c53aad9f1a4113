//! What the daemon tells about its own process. The exporter does no I/O while it makes a page; the
//! daemon reads this before, once a scrape.

use dunnage_model::Time;
use std::fs;

/// Clock ticks a second in `/proc`: 100 for every program on Linux, whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the daemon knows of its own process; what it does not know is absent from the page.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct ProcessInfo {
    /// The scheduler's clock as the page is asked for: the age of the snapshot is measured from it.
    pub now: Option<Time>,
    /// When it began, in seconds since 1970.
    pub start_time_seconds: Option<f64>,
    /// RAM it holds.
    pub resident_memory_bytes: Option<u64>,
    /// CPU time it has used.
    pub cpu_seconds: Option<f64>,
    /// Files it has open.
    pub open_fds: Option<u64>,
}

impl ProcessInfo {
    /// Reads `/proc/self`. What cannot be read, as on a system without `/proc`, is `None`; so is
    /// `now`, which only the daemon knows.
    pub fn of_this_process() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            now: None,
            start_time_seconds: start_time(&stat, &boot),
            resident_memory_bytes: resident_memory(&status),
            cpu_seconds: cpu_seconds(&stat),
            // The directory that is being read is itself one of them.
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|entries| (entries.count() as u64).saturating_sub(1)),
        }
    }
}

/// A field of `/proc/PID/stat` by the number that proc(5) gives it. The command's name, field 2, may
/// hold spaces and brackets; everything after its last bracket is plain.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

fn start_time(stat: &str, boot: &str) -> Option<f64> {
    let booted: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(booted + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

fn resident_memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a ) (b) S 1 7 7 0 -1 4194304 9 0 0 0 250 150 0 0 20 0 8 0 4200 1000 64";

    #[test]
    fn fields_are_counted_after_the_last_bracket_of_the_name() {
        assert_eq!(cpu_seconds(STAT), Some(4.0));
        assert_eq!(start_time(STAT, "cpu 1 2\nbtime 1000\n"), Some(1042.0));
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident_memory("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
    }

    #[test]
    fn garbage_is_absent() {
        assert_eq!(cpu_seconds(""), None);
        assert_eq!(cpu_seconds("7 (x) S 1"), None);
        assert_eq!(start_time(STAT, ""), None);
        assert_eq!(resident_memory("VmRSS: many kB"), None);
    }
}
