//! `doctor`.

use super::context::Context;
use super::exit::{DONE, Failure};
use crate::client::Client;
use crate::render::doctor as render_doctor;
use dunnage_exec::MemoryControl;
use dunnage_wire::api::{CheckDoc, DaemonDoc, DoctorDoc};

pub(crate) async fn doctor(context: &Context) -> Result<i32, Failure> {
    let state_dir = &context.config.state_dir;
    let mut checks = Vec::new();
    let rundir = match dunnage_exec::rundir::choose(state_dir) {
        // Whether it is in memory is among the checks of the machine.
        Ok(rundir) => rundir.path,
        Err(error) => {
            checks.push(CheckDoc {
                name: "runtime directory".to_owned(),
                ok: false,
                detail: error.to_string(),
                fix: Some("set XDG_RUNTIME_DIR to a private folder on tmpfs".to_owned()),
            });
            std::env::temp_dir()
        }
    };
    checks.push(state_check(state_dir));
    let options =
        crate::setup::open_options(&context.config.resources, context.config.probe_timeout.to_std());
    checks.extend(dunnage_devices::checks(&context.selection()?, &options, &rundir).into_iter().map(
        |check| CheckDoc { name: check.name.clone(), ok: check.ok, detail: check.detail, fix: check.fix },
    ));
    checks.push(memory_check());
    for warning in &context.config.warnings {
        checks.push(CheckDoc {
            name: "configuration".to_owned(),
            ok: false,
            detail: warning.message.clone(),
            fix: Some(warning.hint.clone()),
        });
    }
    let daemon: Option<DaemonDoc> = match Client::connect(&context.config.socket).await {
        Ok(mut client) => client.get("/v1/daemon").await.ok(),
        Err(_) => None,
    };
    let doc = DoctorDoc { checks, daemon };
    context.print(&doc, |style| render_doctor::doctor(&doc, style));
    Ok(DONE)
}

fn state_check(dir: &std::path::Path) -> CheckDoc {
    let name = "state directory".to_owned();
    let there = dir.ancestors().find(|path| path.exists());
    let writable = there.is_some_and(|path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok());
    CheckDoc {
        name,
        ok: writable,
        detail: if writable {
            dir.display().to_string()
        } else {
            format!("{} cannot be written", dir.display())
        },
        fix: (!writable).then(|| "give another with --state-dir or DUNNAGE_STATE_DIR".to_owned()),
    }
}

/// How memory limits of tasks are held.
fn memory_check() -> CheckDoc {
    let (ok, detail) = match dunnage_exec::cgroup::probe() {
        MemoryControl::CgroupV2 => (true, "held by the kernel (cgroup v2)"),
        MemoryControl::CgroupV1 => (true, "held by the kernel (cgroup v1)"),
        MemoryControl::Watched => {
            (false, "watched: a task above its limit is seen within a second and killed")
        }
    };
    CheckDoc {
        name: "memory limits".to_owned(),
        ok,
        detail: detail.to_owned(),
        fix: (!ok).then(|| {
            "run under a user manager that delegates the memory controller (Delegate=yes)".to_owned()
        }),
    }
}
