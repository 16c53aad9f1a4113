//! `doctor`: what works on this machine, and what to do about the rest.

use super::format;
use super::page::{Line, Page};
use super::style::{Style, Tone};
use super::text;
use dunnage_wire::api::DoctorDoc;
use std::fmt::Write as _;

const NAME_MAX: usize = 24;

/// The checks, each with what was found and, where it is not well, how to mend it; then the daemon.
pub(crate) fn doctor(doc: &DoctorDoc, style: &Style) -> String {
    let mut page = Page::new(style);
    let names: Vec<String> =
        doc.checks.iter().map(|check| text::cut(&text::clean(&check.name, style), NAME_MAX, style)).collect();
    let wide = names.iter().map(|name| text::width(name)).max().unwrap_or(0);
    for (check, name) in doc.checks.iter().zip(&names) {
        let (tone, mark) = if check.ok { (Tone::Good, "ok  ") } else { (Tone::Bad, "FAIL") };
        let head = Line::new()
            .add(tone, mark)
            .plain("  ")
            .add(Tone::Strong, text::pad(name, wide, false))
            .plain("  ");
        let indent = wide + 8;
        let columns = style.layout_width().saturating_sub(indent).max(10);
        let detail = text::clean(&check.detail, style);
        for (at, part) in text::wrap(&detail, columns, false).into_iter().enumerate() {
            let line = if at == 0 { head.clone() } else { Line::new().plain(" ".repeat(indent)) };
            page.line(&line.plain(part));
        }
        if let Some(fix) = check.fix.as_deref().filter(|fix| !fix.is_empty()) {
            page.wrapped(
                6,
                if check.ok { Tone::Dim } else { Tone::Warn },
                &format!("fix: {fix}"),
                usize::MAX,
            );
        }
    }
    let failed = doc.checks.iter().filter(|check| !check.ok).count() as u64;
    page.blank();
    match &doc.daemon {
        Some(daemon) => {
            let mut words = format!("daemon: running, pid {}", daemon.pid);
            if let Some(launcher) = daemon.launcher_pid {
                let _ = write!(words, ", launcher {launcher}");
            }
            if !daemon.version.is_empty() {
                let _ = write!(words, ", version {}", daemon.version);
            }
            let _ = write!(words, ", up {}", format::seconds(daemon.up_s as f64));
            if !daemon.state_dir.is_empty() {
                let _ = write!(words, ", state in {}", daemon.state_dir);
            }
            page.wrapped(0, Tone::Plain, &words, usize::MAX);
        }
        None => page.line(&Line::new().add(Tone::Dim, "daemon: none is reachable; `run` works without one")),
    }
    let checks = format::counted(doc.checks.len() as u64, "check");
    if failed == 0 {
        page.line(&Line::new().add(Tone::Good, format!("{checks}, all is well")));
    } else {
        page.line(&Line::new().add(Tone::Bad, format!("{checks}, {} not well", format::count(failed))));
    }
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, check_page};
    use super::*;
    use dunnage_wire::api::{CheckDoc, DaemonDoc};

    fn check(name: &str, ok: bool, detail: &str, fix: Option<&str>) -> CheckDoc {
        CheckDoc { name: name.to_owned(), ok, detail: detail.to_owned(), fix: fix.map(str::to_owned) }
    }

    #[test]
    fn a_fault_comes_with_its_fix() {
        let doc = DoctorDoc {
            checks: vec![
                check("cores", true, "16", None),
                check("memory limits", false, "no delegated cgroup", Some("log in through systemd")),
            ],
            daemon: None,
        };
        assert_eq!(
            doctor(&doc, &sample::plain(80)),
            "ok    cores          16\n\
             FAIL  memory limits  no delegated cgroup\n      \
             fix: log in through systemd\n\n\
             daemon: none is reachable; `run` works without one\n\
             2 checks, 1 not well\n"
        );
    }

    #[test]
    fn every_width_holds() {
        let daemon =
            DaemonDoc { pid: 7, launcher_pid: Some(8), state_dir: "/s".repeat(90), ..DaemonDoc::default() };
        let long = DoctorDoc {
            checks: vec![check(
                &"名".repeat(60),
                false,
                &"\x1b[1mword ".repeat(60),
                Some(&"fix ".repeat(90)),
            )],
            daemon: Some(daemon),
        };
        for style in sample::styles() {
            for doc in [&long, &DoctorDoc::default()] {
                check_page(&doctor(doc, &style), &style);
            }
        }
    }
}
