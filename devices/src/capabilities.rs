//! What this machine allows, for `doctor`: each facility is tried, and where it is missing the check
//! says what then happens and what would mend it.

use crate::host::Groups;
use crate::nvml::NvmlSource;
use crate::open::{OpenOptions, no_driver};
use crate::select::Selection;
use crate::source::{DeviceSource, SourceError};
use dunnage_model::Health;
use rustix::fs::{Access, CWD, access, accessat, statfs};
use std::fs;
use std::path::Path;

/// One facility.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// A short, stable name: `nvml`, `cgroup-memory` ...
    pub name: String,
    /// Whether it works, or is not needed here.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What would mend it, where it does not work.
    pub fix: Option<String>,
}

impl Check {
    fn good(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ok: true, detail: detail.into(), fix: None }
    }

    fn bad(name: &str, detail: impl Into<String>, fix: &str) -> Self {
        Self { name: name.to_owned(), ok: false, detail: detail.into(), fix: Some(fix.to_owned()) }
    }
}

/// Tries what the selection needs and what confinement can use; `runtime` is the directory for claims
/// and other short-lived files.
pub fn checks(selection: &Selection, options: &OpenOptions, runtime: &Path) -> Vec<Check> {
    let mut checks = gpus(selection, options);
    let groups = Groups::of_this_process();
    checks.push(cgroup(&groups, "memory", "a task above its memory limit is watched and killed instead"));
    checks.push(cgroup(&groups, "cpu", "a task's cores are kept apart by affinity alone"));
    checks.push(kill(&groups));
    checks.push(pressure());
    checks.push(short_lived(runtime));
    checks
}

fn gpus(selection: &Selection, options: &OpenOptions) -> Vec<Check> {
    let library = match selection {
        Selection::Host | Selection::Mock(_) => {
            return vec![Check::good("nvml", format!("not used with `--devices {selection}`"))];
        }
        Selection::Auto => {
            if let Some(why) = no_driver() {
                return vec![Check::good("nvml", format!("{why}; tasks run on CPUs"))];
            }
            None
        }
        Selection::Nvml { library } => library.clone(),
    };
    let opened =
        NvmlSource::open(options.probe_command.clone(), library, options.custom.clone(), options.deadline);
    let mut source = match opened {
        Ok(source) => source,
        Err(SourceError::Nvml { why, .. }) => {
            let fix =
                "check with `nvidia-smi` that driver and library are of one version and the driver is loaded";
            return vec![Check::bad("nvml", why, fix)];
        }
        Err(error) => return vec![Check::bad("nvml", error.to_string(), "see the message")],
    };
    let driver = source.driver().unwrap_or("of an unknown version").to_owned();
    let mut checks = vec![Check::good("nvml", format!("driver {driver}, {} GPUs", source.counted()))];
    let node = source.inventory();
    let samples = source.sample();
    for gpu in node.iter().flat_map(|node| &node.gpus) {
        let name = format!("gpu {}", gpu.uuid);
        let sample = samples.iter().find(|sample| sample.device == gpu.device);
        checks.push(match sample.map(|sample| &sample.health) {
            Some(Health::Ok | Health::Drained) => Check::good(&name, format!("{}, {}", gpu.name, gpu.memory)),
            Some(Health::Unknown { why }) => {
                Check::bad(&name, why, "see `dmesg`; the GPU is tried again by itself")
            }
            Some(Health::Lost { why }) => Check::bad(&name, why, "reset the GPU (`nvidia-smi -r`) or reboot"),
            None => Check::bad(&name, "not sampled", "run this again"),
        });
    }
    let silent = source.counted().saturating_sub(
        node.map_or(0, |node| node.gpus.iter().filter(|gpu| gpu.mig_parent.is_none()).count()),
    );
    if silent > 0 {
        checks.push(Check::bad(
            "gpus",
            format!("{silent} GPUs cannot even be described"),
            "see `dmesg`; reset or reboot",
        ));
    }
    checks
}

/// Whether we may make groups with this controller below our own.
fn cgroup(groups: &Groups, controller: &str, instead: &str) -> Check {
    let name = format!("cgroup-{controller}");
    if let Some(group) = &groups.unified {
        let text = fs::read_to_string(group.directory.join("cgroup.controllers")).unwrap_or_default();
        if text.split_ascii_whitespace().any(|other| other == controller) {
            return if writable(&group.directory) && writable(&group.directory.join("cgroup.subtree_control"))
            {
                Check::good(&name, format!("version 2, {}", group.directory.display()))
            } else {
                let detail = format!(
                    "version 2, but {} belongs to somebody else; {instead}",
                    group.directory.display()
                );
                Check::bad(
                    &name,
                    detail,
                    "start under `systemd-run --user --scope -p Delegate=yes`, or as root",
                )
            };
        }
    }
    let old = if controller == "memory" { &groups.memory } else { &groups.cpu };
    match old {
        Some(group) if writable(&group.directory) => {
            Check::good(&name, format!("version 1, {}", group.directory.display()))
        }
        Some(group) => {
            let detail =
                format!("version 1, but {} belongs to somebody else; {instead}", group.directory.display());
            Check::bad(&name, detail, "start as root, or move to version 2 with delegation")
        }
        None => {
            let detail = format!("no control group with this controller; {instead}");
            Check::bad(
                &name,
                detail,
                "boot with `systemd.unified_cgroup_hierarchy=1`, or delegate the controller",
            )
        }
    }
}

fn kill(groups: &Groups) -> Check {
    let Some(group) = groups.unified.as_ref().filter(|group| writable(&group.directory)) else {
        let detail =
            "no version 2 group of our own; a task's processes are found by their ancestry, at best effort";
        return Check::bad(
            "cgroup-kill",
            detail,
            "start under `systemd-run --user --scope -p Delegate=yes`, or as root",
        );
    };
    // The root group has no `cgroup.kill`; those below it do, since Linux 5.14.
    let has = group.directory == group.mount || group.directory.join("cgroup.kill").exists();
    if has {
        Check::good("cgroup-kill", "a task's whole tree ends at once")
    } else {
        Check::bad(
            "cgroup-kill",
            "the kernel is older than 5.14; a task's processes are ended one by one",
            "use a newer kernel",
        )
    }
}

fn pressure() -> Check {
    if fs::read_to_string("/proc/pressure/memory").is_ok() {
        Check::good("pressure", "/proc/pressure tells what tasks wait for")
    } else {
        Check::bad("pressure", "/proc/pressure cannot be read; stalls are not measured", "boot with `psi=1`")
    }
}

fn short_lived(runtime: &Path) -> Check {
    // It may not exist yet: then its nearest ancestor tells.
    let Some(existing) = runtime.ancestors().find(|path| path.exists()) else {
        return Check::bad(
            "runtime-dir",
            format!("{} does not exist", runtime.display()),
            "set XDG_RUNTIME_DIR",
        );
    };
    if !writable(existing) {
        let detail = format!("{} is not writable", existing.display());
        return Check::bad("runtime-dir", detail, "set XDG_RUNTIME_DIR to a directory of yours");
    }
    match statfs(existing) {
        // TMPFS_MAGIC and RAMFS_MAGIC.
        Ok(system) if matches!(system.f_type as u64, 0x0102_1994 | 0x8584_58f6) => {
            Check::good("runtime-dir", format!("{} is in memory", runtime.display()))
        }
        Ok(_) => {
            let detail = format!("{} is on a disk; every task pays for it", runtime.display());
            Check::bad(
                "runtime-dir",
                detail,
                "set XDG_RUNTIME_DIR to a directory on tmpfs, such as /run/user/UID",
            )
        }
        Err(error) => {
            Check::bad("runtime-dir", format!("{}: {error}", existing.display()), "set XDG_RUNTIME_DIR")
        }
    }
}

fn writable(path: &Path) -> bool {
    // As the user we are, not as the one who started us.
    let flags = rustix::fs::AtFlags::EACCESS;
    accessat(CWD, path, Access::WRITE_OK, flags).or_else(|_| access(path, Access::WRITE_OK)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_that_fails_says_what_would_mend_it() {
        let checks = checks(&Selection::Auto, &OpenOptions::default(), Path::new("/dev/shm/dunnage"));
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        for name in ["nvml", "cgroup-memory", "cgroup-cpu", "cgroup-kill", "pressure", "runtime-dir"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(
            checks.iter().all(|check| check.ok != check.fix.is_some() && !check.detail.is_empty()),
            "{checks:?}"
        );
    }

    #[test]
    fn a_directory_on_tmpfs_is_told_from_one_that_is_not() {
        assert!(short_lived(Path::new("/dev/shm/not/yet")).ok);
        assert!(!short_lived(Path::new("/proc/1")).ok);
    }

    #[test]
    fn nvml_by_request_without_a_probe_is_bad() {
        let checks =
            checks(&Selection::Nvml { library: None }, &OpenOptions::default(), Path::new("/dev/shm"));
        assert!(!checks[0].ok && checks[0].detail.contains("no probe command"), "{checks:?}");
    }
}
