//! Control groups, versions 1 and 2 and both at once: where this process is, and what that allows.

use dunnage_model::{Bytes, MilliCores};
use std::fs;
use std::path::{Path, PathBuf};

/// The directories of the groups that this process is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    /// Version 2.
    pub(crate) unified: Option<Group>,
    /// Version 1, memory controller.
    pub(crate) memory: Option<Group>,
    /// Version 1, cpu controller.
    pub(crate) cpu: Option<Group>,
}

/// A group's directory, and that of the root above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) mount: PathBuf,
    pub(crate) directory: PathBuf,
}

impl Groups {
    /// Where this process is.
    pub(crate) fn of_this_process() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
    }

    fn parse(cgroup: &str, mountinfo: &str) -> Self {
        let find = |controller: Option<&str>| {
            let inside = cgroup.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
                let here = match controller {
                    None => controllers.is_empty(),
                    Some(name) => controllers.split(',').any(|other| other == name),
                };
                here.then_some(path)
            })?;
            let (root, mount) = mountinfo.lines().find_map(|line| {
                let (left, right) = line.split_once(" - ")?;
                let mut left = left.split(' ').skip(3);
                let (root, mount) = (left.next()?, left.next()?);
                let mut right = right.split(' ');
                let (kind, _, options) = (right.next()?, right.next()?, right.next()?);
                let here = match controller {
                    None => kind == "cgroup2",
                    Some(name) => kind == "cgroup" && options.split(',').any(|other| other == name),
                };
                here.then(|| (root.to_owned(), PathBuf::from(mount.replace("\\040", " "))))
            })?;
            // In a container the mount's root is our group's own path, or a part of it.
            let below = if root == "/" { inside } else { inside.strip_prefix(root.as_str()).unwrap_or("") };
            let below = below.trim_start_matches('/');
            let directory =
                if below.split('/').any(|part| part == "..") { mount.clone() } else { mount.join(below) };
            Some(Group { mount, directory })
        };
        Self { unified: find(None), memory: find(Some("memory")), cpu: find(Some("cpu")) }
    }

    /// The least CPU quota from our group up to the root.
    pub(crate) fn cpu_limit(&self) -> Option<MilliCores> {
        let unified = self.unified.iter().flat_map(Group::upwards).filter_map(|directory| {
            let text = fs::read_to_string(directory.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            quota_of(quota.parse().ok()?, period.parse().ok()?)
        });
        let old = self.cpu.iter().flat_map(Group::upwards).filter_map(|directory| {
            let quota: i64 = number(&directory.join("cpu.cfs_quota_us"))?;
            let period: i64 = number(&directory.join("cpu.cfs_period_us"))?;
            quota_of(quota, period)
        });
        unified.chain(old).min()
    }

    /// The least memory limit below `total`, from our group up to the root.
    pub(crate) fn memory_limit(&self, total: Bytes) -> Option<Bytes> {
        self.tightest().map(|(limit, _)| limit).filter(|limit| *limit < total)
    }

    /// What the group with the least limit uses, without cache that the kernel would give up.
    pub(crate) fn memory_used(&self) -> Option<Bytes> {
        let (_, directory) = self.tightest()?;
        let (current, inactive) = if directory.join("memory.max").exists() {
            (number(&directory.join("memory.current"))?, "inactive_file ")
        } else {
            (number(&directory.join("memory.usage_in_bytes"))?, "total_inactive_file ")
        };
        let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
        let cache =
            stat.lines().find_map(|line| line.strip_prefix(inactive)?.trim().parse().ok()).unwrap_or(0);
        Some(Bytes(current).saturating_sub(Bytes(cache)))
    }

    fn tightest(&self) -> Option<(Bytes, PathBuf)> {
        let limit = |directory: PathBuf, file: &str| {
            let limit: u64 = number(&directory.join(file))?;
            // Version 1 writes "no limit" as the largest number of whole pages.
            (limit < 1 << 60).then_some((Bytes(limit), directory))
        };
        let unified = self.unified.iter().flat_map(Group::upwards).filter_map(|dir| limit(dir, "memory.max"));
        let old =
            self.memory.iter().flat_map(Group::upwards).filter_map(|dir| limit(dir, "memory.limit_in_bytes"));
        unified.chain(old).min()
    }
}

impl Group {
    /// Our own directory, then those above it, the mount last.
    fn upwards(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let inside = move |directory: &&Path| directory.starts_with(&self.mount);
        self.directory.ancestors().take_while(inside).map(Path::to_path_buf)
    }
}

fn quota_of(quota: i64, period: i64) -> Option<MilliCores> {
    // A quota of -1 is none; the least that the kernel takes is a hundredth of a core.
    (quota > 0 && period > 0)
        .then(|| MilliCores(u32::try_from(quota.saturating_mul(1000) / period).unwrap_or(u32::MAX)))
}

fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, below: &str, files: &[(&str, &str)]) -> Group {
        let directory = root.join(below);
        fs::create_dir_all(&directory).expect("a directory");
        for (name, text) in files {
            fs::write(directory.join(name), text).expect("a file");
        }
        Group { mount: root.to_owned(), directory }
    }

    #[test]
    fn groups_are_found_in_every_layout() {
        let mounts = "31 23 0:28 / /cg rw - tmpfs tmpfs rw\n\
            32 31 0:29 / /cg/cpu,cpuacct rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct\n\
            35 31 0:32 /outer /cg/memory rw - cgroup cgroup rw,memory\n\
            41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n";
        let groups = Groups::parse("4:memory:/outer/inner\n2:cpu,cpuacct:/a/b\n0::/../x\n", mounts);
        let directory = |group: Option<Group>| group.expect("found").directory;
        assert_eq!(directory(groups.cpu), Path::new("/cg/cpu,cpuacct/a/b"));
        assert_eq!(directory(groups.memory), Path::new("/cg/memory/inner"), "below the mount's own root");
        assert_eq!(directory(groups.unified), Path::new("/cg/unified"), "outside of what is mounted");
        assert_eq!(Groups::parse("", ""), Groups::default());
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let root = tempfile::tempdir().expect("a directory");
        group(
            root.path(),
            "a",
            &[
                ("memory.max", "1000\n"),
                ("memory.current", "700\n"),
                ("cpu.max", "max 100000\n"),
                ("memory.stat", "anon 5\ninactive_file 200\n"),
            ],
        );
        let inner = group(root.path(), "a/b", &[("memory.max", "max\n"), ("cpu.max", "150000 100000\n")]);
        let groups = Groups { unified: Some(inner), ..Groups::default() };
        assert_eq!(groups.memory_limit(Bytes(5000)), Some(Bytes(1000)));
        assert_eq!(groups.memory_limit(Bytes(900)), None, "the machine itself has less");
        assert_eq!(groups.memory_used(), Some(Bytes(500)), "without cache");
        assert_eq!(groups.cpu_limit(), Some(MilliCores(1500)));
    }

    #[test]
    fn version_one_is_read_as_well() {
        let root = tempfile::tempdir().expect("a directory");
        let memory = group(
            root.path(),
            "m",
            &[
                ("memory.limit_in_bytes", "4096\n"),
                ("memory.usage_in_bytes", "1000\n"),
                ("memory.stat", "total_inactive_file 100\n"),
            ],
        );
        let cpu = group(root.path(), "c", &[("cpu.cfs_quota_us", "-1\n"), ("cpu.cfs_period_us", "100000\n")]);
        let groups = Groups { memory: Some(memory), cpu: Some(cpu), ..Groups::default() };
        assert_eq!(groups.memory_limit(Bytes(5000)), Some(Bytes(4096)));
        assert_eq!(groups.memory_used(), Some(Bytes(900)));
        assert_eq!(groups.cpu_limit(), None);
        let unlimited = group(root.path(), "u", &[("memory.limit_in_bytes", "9223372036854771712\n")]);
        assert_eq!(
            Groups { memory: Some(unlimited), ..Groups::default() }.memory_limit(Bytes(u64::MAX)),
            None
        );
    }
}
