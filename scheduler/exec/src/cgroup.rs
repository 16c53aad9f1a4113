//! Memory limits held by the kernel: one leaf of the control groups for each attempt that has a limit.
//!
//! Version 2 where the memory controller is ours to hand on (a delegated scope, or root), else version
//! 1, else nothing, and the shim watches. A process of ours never sits in a task's leaf.

use crate::engine::MemoryControl;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where leaves are made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cgroups {
    version: Version,
    base: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    V1,
    V2,
}

/// The group of one attempt.
#[derive(Debug)]
pub(crate) struct Leaf {
    version: Version,
    dir: PathBuf,
    pub(crate) procs: File,
}

/// Our own group while leaves exist beside it: version 2 allows no processes in inner groups.
const OURS: &str = "dunnage-main";

/// How a memory limit would be held on this machine, by us, now.
pub fn probe() -> MemoryControl {
    match Cgroups::find(&format!("dunnage-probe-{}", std::process::id())) {
        Some(groups) => {
            let control = match groups.version {
                Version::V1 => MemoryControl::CgroupV1,
                Version::V2 => MemoryControl::CgroupV2,
            };
            groups.remove();
            control
        }
        None => MemoryControl::Watched,
    }
}

impl Cgroups {
    /// Makes the group `name` below our own, where that is allowed.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        Self::version_2(&membership, &mounts, name).or_else(|| Self::version_1(&membership, &mounts, name))
    }

    fn version_2(membership: &str, mounts: &str, name: &str) -> Option<Self> {
        let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
        let mount = mount_of(mounts, |kind, _| kind == "cgroup2")?;
        let own = join(&mount, path);
        let inner =
            if own.file_name().is_some_and(|last| last == OURS) { own.parent()?.to_owned() } else { own };
        let words = |file: &str| fs::read_to_string(inner.join(file)).unwrap_or_default();
        if !words("cgroup.controllers").split_ascii_whitespace().any(|word| word == "memory") {
            return None;
        }
        if !words("cgroup.subtree_control").split_ascii_whitespace().any(|word| word == "memory")
            && fs::write(inner.join("cgroup.subtree_control"), "+memory").is_err()
        {
            let ours = inner.join(OURS);
            make(&ours).ok()?;
            for pid in words("cgroup.procs").split_ascii_whitespace() {
                // One that has just ended is no obstacle.
                let _ = fs::write(ours.join("cgroup.procs"), pid);
            }
            fs::write(inner.join("cgroup.subtree_control"), "+memory").ok()?;
        }
        let base = inner.join(name);
        make(&base).ok()?;
        // Leaves are one level further down.
        fs::write(base.join("cgroup.subtree_control"), "+memory").ok()?;
        Some(Self { version: Version::V2, base })
    }

    fn version_1(membership: &str, mounts: &str, name: &str) -> Option<Self> {
        let path = membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            fields.next()?.split(',').any(|controller| controller == "memory").then(|| fields.next())?
        })?;
        let mount =
            mount_of(mounts, |kind, options| kind == "cgroup" && options.split(',').any(|o| o == "memory"))?;
        let base = join(&mount, path).join(name);
        make(&base).ok()?;
        base.join("memory.limit_in_bytes").exists().then_some(Self { version: Version::V1, base })
    }

    /// A leaf with a limit.
    pub(crate) fn leaf(&self, name: &str, limit: u64) -> io::Result<Leaf> {
        let dir = self.base.join(name);
        make(&dir)?;
        let set = |file: &str, text: &str| fs::write(dir.join(file), text);
        match self.version {
            Version::V2 => {
                set("memory.max", &limit.to_string())?;
                // Swapping would hide that the limit is too small; the tree dies as one.
                let _ = set("memory.swap.max", "0");
                let _ = set("memory.oom.group", "1");
            }
            Version::V1 => {
                set("memory.limit_in_bytes", &limit.to_string())?;
                let _ = set("memory.memsw.limit_in_bytes", &limit.to_string());
            }
        }
        let procs = fs::OpenOptions::new().write(true).open(dir.join("cgroup.procs"))?;
        Ok(Leaf { version: self.version, dir, procs })
    }

    /// The group `name` if it was made before; nothing is changed.
    pub(crate) fn existing(name: &str) -> Option<Self> {
        let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let candidates = membership.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let (version, mount) = if number == "0" {
                (Version::V2, mount_of(&mounts, |kind, _| kind == "cgroup2")?)
            } else if controllers.split(',').any(|controller| controller == "memory") {
                let wanted =
                    |kind: &str, options: &str| kind == "cgroup" && options.split(',').any(|o| o == "memory");
                (Version::V1, mount_of(&mounts, wanted)?)
            } else {
                return None;
            };
            let own = join(&mount, path);
            let inner =
                if own.file_name().is_some_and(|last| last == OURS) { own.parent()?.to_owned() } else { own };
            Some(Self { version, base: inner.join(name) })
        });
        candidates.into_iter().find(|groups| groups.base.is_dir())
    }

    /// Removes the group when nothing is in it.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_dir(&self.base);
    }
}

impl Leaf {
    /// How many processes the kernel has killed for want of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let file = match self.version {
            Version::V2 => "memory.events",
            Version::V1 => "memory.oom_control",
        };
        let text = fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
    }

    /// The most memory that was held at once.
    pub(crate) fn peak(&self) -> Option<u64> {
        let file = match self.version {
            Version::V2 => "memory.peak",
            Version::V1 => "memory.max_usage_in_bytes",
        };
        fs::read_to_string(self.dir.join(file)).ok()?.trim().parse().ok()
    }

    /// Kills everything in it at once, where the kernel can.
    pub(crate) fn kill(&self) {
        if self.version == Version::V2
            && let Ok(mut file) = fs::OpenOptions::new().write(true).open(self.dir.join("cgroup.kill"))
        {
            let _ = file.write_all(b"1");
        }
    }

    /// Removes it; the last process may need a moment to be gone from it.
    pub(crate) fn remove(self) {
        for _ in 0..20 {
            match fs::remove_dir(&self.dir) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                _ => return,
            }
        }
    }
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// `path` as the kernel gives it is absolute within the mount.
fn join(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

/// The mount point whose type and super options please `wanted`.
fn mount_of(mounts: &str, wanted: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        wanted(kind, options).then(|| left.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a control group mount, as far as reading and writing files goes.
    fn mounts(v2: &Path, v1: &Path) -> String {
        format!(
            "30 1 0:26 / {} rw shared:4 - cgroup2 cgroup2 rw\n31 1 0:27 / {} rw - cgroup cgroup rw,memory\n",
            v2.display(),
            v1.display()
        )
    }

    #[test]
    fn version_2_is_used_where_memory_is_delegated() {
        let (v2, v1) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let mounts = mounts(v2.path(), v1.path());
        let scope = v2.path().join("user/scope");
        fs::create_dir_all(&scope).expect("makes");
        let membership = "3:memory:/there\n0::/user/scope\n";
        assert_eq!(Cgroups::version_2(membership, &mounts, "d"), None, "no controllers file");
        fs::write(scope.join("cgroup.controllers"), "cpu memory pids\n").expect("writes");
        let groups = Cgroups::version_2(membership, &mounts, "d").expect("delegated");
        assert_eq!(groups, Cgroups { version: Version::V2, base: scope.join("d") });
        let leaf_dir = scope.join("d/1.2.3");
        fs::create_dir(&leaf_dir).expect("makes");
        fs::write(leaf_dir.join("cgroup.procs"), "").expect("writes");
        fs::write(leaf_dir.join("memory.events"), "low 0\noom 2\noom_kill 1\noom_group_kill 0\n")
            .expect("writes");
        let leaf = groups.leaf("1.2.3", 4096).expect("a leaf");
        assert_eq!(fs::read_to_string(leaf_dir.join("memory.max")).expect("reads"), "4096");
        assert_eq!(leaf.oom_kills(), 1);
        let inside = format!("0::/user/scope/{OURS}\n");
        let again = Cgroups::version_2(&inside, &mounts, "d").expect("found from inside");
        assert_eq!(again, groups);
    }

    #[test]
    fn version_1_is_found_by_its_controller() {
        let (v2, v1) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let mounts = mounts(v2.path(), v1.path());
        fs::create_dir_all(v1.path().join("there/d")).expect("makes");
        fs::write(v1.path().join("there/d/memory.limit_in_bytes"), "").expect("writes");
        let groups = Cgroups::version_1("9:cpu,memory:/there\n0::/\n", &mounts, "d").expect("found");
        assert_eq!(groups, Cgroups { version: Version::V1, base: v1.path().join("there/d") });
        assert_eq!(Cgroups::version_1("9:cpu:/there\n", &mounts, "d"), None);
    }
}
