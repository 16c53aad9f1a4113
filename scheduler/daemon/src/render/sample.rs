//! Documents for the tests of the views, and what holds for every page.

use super::style::Style;
use super::text;
use dunnage_wire::api::{DeviceUseDoc, FunctionDoc, OutputDoc, QueueRow, StatusDoc};
use serde_json::json;

/// Without colour, with Unicode.
pub(crate) fn plain(width: usize) -> Style {
    Style { colour: false, width, unicode: true }
}

/// Styles that a view must be able to serve.
pub(crate) fn styles() -> Vec<Style> {
    let mut styles = Vec::new();
    for width in [1, 7, 20, 40, 80, 100, 200, usize::MAX] {
        for (colour, unicode) in [(false, true), (true, true), (false, false)] {
            styles.push(Style { colour, width, unicode });
        }
    }
    styles
}

/// Checks what holds for every page: no line too wide, no escape without colour, nothing but colours with
/// it, ASCII where asked for, a line feed at the end.
pub(crate) fn check_page(page: &str, style: &Style) {
    assert!(page.is_empty() || page.ends_with('\n'), "{page:?}");
    for line in page.lines() {
        let mut bare = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("\x1b[") {
            bare.push_str(before);
            let (code, behind) = after.split_once('m').expect("a colour");
            assert!(style.colour && code.bytes().all(|byte| byte.is_ascii_digit()), "{line:?}");
            rest = behind;
        }
        bare.push_str(rest);
        assert!(text::width(&bare) <= style.width, "{} > {}: {line:?}", text::width(&bare), style.width);
        assert!(!bare.chars().any(char::is_control), "{line:?}");
        assert!(style.unicode || bare.is_ascii(), "{line:?}");
    }
}

/// A line of the queue.
pub(crate) fn queue_row() -> QueueRow {
    QueueRow {
        id: "3".to_owned(),
        name: "sweep".to_owned(),
        state: "running".to_owned(),
        functions: 617,
        queued: 571,
        running: 4,
        succeeded: 40,
        failed: 1,
        cancelled: 1,
        compensated: 0,
        submitted_at: 100.0,
        started_at: None,
        ended_at: None,
        strategy: "heft".to_owned(),
        priority: 0,
        owner: 1000,
        reason: None,
        start_s: None,
        end_s: None,
    }
}

/// Families of a tiled Gaussian-process regression: name, instances a setting, milliseconds each.
const FAMILIES: [(&str, usize, f64); 26] = [
    ("diag", 3, 6.0),
    ("cov", 1, 5.0),
    ("cross", 1, 4.0),
    ("potrf-0", 1, 3.0),
    ("trsm-0", 2, 2.5),
    ("syrk-0", 2, 2.2),
    ("gemm-0-2-1", 1, 4.1),
    ("potrf-1", 1, 3.0),
    ("trsm-1-2", 1, 2.5),
    ("syrk-1-2", 1, 2.2),
    ("potrf-2", 1, 3.0),
    ("forward-0", 1, 0.4),
    ("forward-update-0", 2, 0.3),
    ("forward-1", 1, 0.4),
    ("forward-update-1-2", 1, 0.3),
    ("forward-2", 1, 0.4),
    ("backward-2", 1, 0.4),
    ("backward-update-2-1", 1, 0.3),
    ("backward-1", 1, 0.4),
    ("backward-update-2-0", 1, 0.3),
    ("backward-0", 1, 0.4),
    ("logdet", 3, 0.2),
    ("likelihood", 1, 0.2),
    ("predict", 2, 1.1),
    ("error", 1, 0.2),
    ("score", 1, 0.2),
];

/// A plausible regression of 617 functions on 4 cores: ended, or half done.
pub(crate) fn gp(half: bool) -> StatusDoc {
    let mut functions: Vec<FunctionDoc> = Vec::new();
    let mut free = [0.0_f64; 4];
    let mut place = |id: String, family: &str, ms: f64, after: f64| {
        let number = functions.len();
        let core = (0..4).min_by(|a, b| free[*a].total_cmp(&free[*b])).unwrap_or(0);
        let start = free[core].max(after);
        // Some spread, the same at every call.
        let time = ms / 1e3 * (0.8 + (number * 7919 % 100) as f64 / 200.0);
        free[core] = start + time;
        functions.push(FunctionDoc {
            id,
            family: family.to_owned(),
            state: "succeeded".to_owned(),
            attempts: 1,
            device: Some("cpu".to_owned()),
            start_s: Some(start),
            end_s: Some(start + time),
            predicted_s: Some(ms / 1e3),
            basis: Some("calibration".to_owned()),
            peak_memory_bytes: Some(12 << 20),
            cpu_s: Some(time),
            cpus: Some(1.0),
            outputs: vec![OutputDoc { kind: "npy".to_owned(), path: None, value: None }],
            ..FunctionDoc::default()
        });
        start + time
    };
    let loaded = place("load".to_owned(), "load", 9.0, 0.0);
    for length in [1, 2, 3, 4, 6, 8] {
        for noise in [0.5, 0.7, 0.9] {
            for (family, count, ms) in FAMILIES {
                for index in 0..count {
                    let id = match count {
                        1 => format!("{family}-{length}-{noise}"),
                        _ => format!("{family}-{index}-{length}-{noise}"),
                    };
                    place(id, family, ms, loaded);
                }
            }
        }
    }
    for index in 0..3 {
        place(format!("y-{index}"), "y", 0.1, loaded);
    }
    let end = functions.iter().filter_map(|function| function.end_s).fold(0.0, f64::max);
    let mut best = functions[0].clone();
    "best".clone_into(&mut best.id);
    best.family = best.id.clone();
    best.start_s = Some(end);
    best.end_s = Some(end + 0.001);
    best.outputs = vec![OutputDoc {
        kind: "json".to_owned(),
        path: Some("/home/ada/.local/state/dunnage/values/3/best/1/out.0".to_owned()),
        value: Some(json!({
            "length_scale": 4.0, "noise": 0.7, "log_marginal_likelihood": -387.123_456, "rmse": 54.210_9
        })),
    }];
    functions.push(best);
    let mut doc = StatusDoc {
        id: "3".to_owned(),
        graph: "gp-regression".to_owned(),
        state: "succeeded".to_owned(),
        makespan_s: Some(end + 0.001),
        succeeded: functions.len() as u64,
        strategy: "auto".to_owned(),
        strategy_why: Some("heft: 617 functions with known costs".to_owned()),
        predicted_makespan_s: Some(end * 0.87),
        submitted_at: 1_795_237_387.0,
        waited_s: Some(0.002),
        owner: 1000,
        critical_path: functions.iter().step_by(29).map(|function| function.id.clone()).collect(),
        critical_path_s: Some(end * 0.31),
        devices: vec![DeviceUseDoc {
            device: "cpu".to_owned(),
            name: "AMD EPYC 9654 96-Core Processor".to_owned(),
            attempts: functions.len() as u64,
            allocated_s: end * 3.7,
            allocated_ratio: 0.93,
            busy_ratio: Some(0.88),
        }],
        functions,
        ..StatusDoc::default()
    };
    if half {
        let now = end / 2.0;
        doc.state = "running".to_owned();
        doc.makespan_s = Some(now);
        doc.critical_path = Vec::new();
        doc.critical_path_s = None;
        for function in &mut doc.functions {
            if function.start_s.is_some_and(|start| start >= now) {
                "queued".clone_into(&mut function.state);
                function.attempts = 0;
                (function.device, function.start_s, function.end_s) = (None, None, None);
                (function.predicted_s, function.peak_memory_bytes) = (None, None);
                function.outputs.iter_mut().for_each(|output| *output = OutputDoc::default());
            } else if function.end_s.is_some_and(|end| end > now) {
                "running".clone_into(&mut function.state);
                (function.end_s, function.peak_memory_bytes) = (None, None);
            }
        }
        let number =
            |state: &str| doc.functions.iter().filter(|function| function.state == state).count() as u64;
        (doc.succeeded, doc.running, doc.queued) = (number("succeeded"), number("running"), number("queued"));
    }
    doc
}

/// A small graph on two GPUs in which two trainings ran out of memory.
pub(crate) fn failing() -> StatusDoc {
    let function = |id: &str, state: &str, device: Option<&str>, start: f64| FunctionDoc {
        id: id.to_owned(),
        family: id.split('-').next().unwrap_or(id).to_owned(),
        state: state.to_owned(),
        attempts: u32::from(device.is_some()),
        device: device.map(str::to_owned),
        start_s: device.map(|_| start),
        end_s: device.map(|_| start + 61.5),
        ..FunctionDoc::default()
    };
    let mut functions = vec![function("prepare", "succeeded", Some("cpu"), 0.0)];
    for index in 0..6 {
        let state = if index < 2 { "failed" } else { "succeeded" };
        let gpu = if index % 2 == 0 { "gpu0" } else { "gpu1" };
        let mut train =
            function(&format!("train-{index}"), state, Some(gpu), 61.5 * f64::from(1 + index / 2));
        train.predicted_s = Some(20.0);
        if state == "failed" {
            train.attempts = 4;
            train.cause = Some("out_of_memory".to_owned());
            train.place = Some("gpu".to_owned());
            train.message =
                Some("CUDA error: out of memory: 20 GiB were reserved, 24 GiB is all there is".to_owned());
            train.exit_code = Some(1);
            train.detail =
                Some("Traceback\n  File \"train.py\", line 12\ntorch.OutOfMemoryError\n".to_owned());
        }
        functions.push(train);
    }
    let mut last = function("score", "cancelled", None, 0.0);
    last.cause = Some("upstream_failed".to_owned());
    functions.push(last);
    let device = |device: &str, attempts: u64, share: f64, busy: Option<f64>| DeviceUseDoc {
        device: device.to_owned(),
        name: "NVIDIA GeForce RTX 4090".to_owned(),
        attempts,
        allocated_s: share * 246.0,
        allocated_ratio: share,
        busy_ratio: busy,
    };
    StatusDoc {
        id: "7".to_owned(),
        graph: "trials".to_owned(),
        state: "failed".to_owned(),
        makespan_s: Some(246.0),
        succeeded: 5,
        failed: 2,
        cancelled: 1,
        strategy: "load-balanced".to_owned(),
        critical_path: vec!["prepare".to_owned(), "train-4".to_owned()],
        critical_path_s: Some(123.0),
        devices: vec![
            device("cpu", 1, 0.1, Some(0.04)),
            device("gpu0", 6, 0.75, None),
            device("gpu1", 6, 0.75, None),
        ],
        functions,
        ..StatusDoc::default()
    }
}

/// Names, numbers and texts that nobody expects.
pub(crate) fn strange() -> StatusDoc {
    let names = ["", "日本語の関数", "tab\there", "esc\x1b[31mred", "e\u{301}\u{202e}rtl", "🚀🚀🚀"];
    let mut functions = Vec::new();
    for (index, name) in names.iter().enumerate() {
        for repeat in [1, 50] {
            functions.push(FunctionDoc {
                id: name.repeat(repeat),
                state: ["failed", "running", "succeeded", "no such state"][index % 4].to_owned(),
                attempts: u32::MAX,
                cause: Some(name.repeat(repeat)),
                message: Some(format!("{name}\n").repeat(repeat)),
                detail: Some(format!("{name}\r\n").repeat(repeat)),
                device: Some(name.repeat(repeat)),
                start_s: Some([f64::NAN, 0.0, -5.0, f64::INFINITY][index % 4]),
                end_s: Some([1.0, f64::NAN, f64::NEG_INFINITY, 1e300][(index + repeat) % 4]),
                predicted_s: Some([f64::NAN, 0.0, -1.0][index % 3]),
                peak_memory_bytes: Some(u64::MAX),
                cpu_s: Some(f64::NAN),
                outputs: vec![
                    OutputDoc {
                        kind: "json".to_owned(),
                        path: Some("/v".to_owned()),
                        value: Some(json!({ "": null, "a\nb": [1, 2, { "c": "\x1b" }], (name.repeat(repeat)): "x".repeat(300) })),
                    },
                    OutputDoc { kind: "file".to_owned(), path: None, value: None },
                ],
                ..FunctionDoc::default()
            });
        }
    }
    StatusDoc {
        id: "\x07".repeat(30),
        graph: "\x1b]0;title\x07".repeat(20),
        state: "failed\n".to_owned(),
        makespan_s: Some(f64::NAN),
        succeeded: u64::MAX,
        failed: u64::MAX,
        cancelled: u64::MAX,
        queued: u64::MAX,
        running: u64::MAX,
        compensated: u64::MAX,
        strategy: "s\ts".repeat(50),
        strategy_why: Some("w\n".repeat(50)),
        predicted_makespan_s: Some(f64::INFINITY),
        submitted_at: f64::NAN,
        waited_s: Some(f64::NAN),
        critical_path: names.iter().map(|name| name.repeat(40)).collect(),
        critical_path_s: Some(f64::NAN),
        devices: names
            .iter()
            .map(|name| DeviceUseDoc {
                device: name.repeat(9),
                name: name.repeat(30),
                attempts: u64::MAX,
                allocated_s: f64::NAN,
                allocated_ratio: f64::NAN,
                busy_ratio: Some(f64::INFINITY),
            })
            .collect(),
        functions,
        ..StatusDoc::default()
    }
}
