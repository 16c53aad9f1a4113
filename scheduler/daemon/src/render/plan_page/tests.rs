//! The page of a small plan as a whole, and what holds for every page.

use super::*;
use crate::render::sample::{self, check_page};
use dunnage_wire::api::{
    AnalysisDoc, DeviceUseDoc, LevelDoc, PathStepDoc, PlanDeviceDoc, PlanFunctionDoc, PlanGpuDoc,
    PlanStrategyDoc, PlanTaskDoc, RedundantDoc,
};

const GIB: u64 = 1 << 30;

/// A function before a family of four, and one after both: on two cores and a GPU.
fn small() -> PlanDoc {
    let task = |id: &str, family: &str, device: &str, start_s: f64, end_s: f64| PlanTaskDoc {
        id: id.to_owned(),
        family: family.to_owned(),
        device: device.to_owned(),
        start_s,
        end_s,
        cpus: 1.0,
        memory_bytes: 2 * GIB,
        gpus: if device == "cpu" {
            Vec::new()
        } else {
            vec![PlanGpuDoc { device: device.to_owned(), share: 0.0, memory_bytes: 8 * GIB }]
        },
        ..PlanTaskDoc::default()
    };
    let function = |id: &str, instances, layer, seconds, path_s, after: &[u32]| PlanFunctionDoc {
        id: id.to_owned(),
        family: id.split('-').next().unwrap_or(id).to_owned(),
        instances,
        layer,
        seconds,
        on_path: 1,
        path_s,
        slack_s: 0.0,
        after: after.to_vec(),
    };
    let step = |id: &str, family: &str, seconds| PathStepDoc {
        id: id.to_owned(),
        family: family.to_owned(),
        seconds,
    };
    let level =
        |tasks, seconds, functions: &[(u32, u32)]| LevelDoc { tasks, seconds, functions: functions.to_vec() };
    let device = |device: &str, name: &str, cores, gib: u64| PlanDeviceDoc {
        device: device.to_owned(),
        name: name.to_owned(),
        cores,
        memory_bytes: gib * GIB,
    };
    let one = |strategy: &str, makespan_s| PlanStrategyDoc {
        strategy: strategy.to_owned(),
        makespan_s,
        money: 4.2,
        joules: 1250.0,
        gpu_ratio: Some(0.4),
        cpu_ratio: 0.75,
    };
    PlanDoc {
        graph: "small".to_owned(),
        functions: 6,
        strategy: "heft".to_owned(),
        why: String::new(),
        makespan_s: 4.0,
        lower_bound_s: 3.5,
        basis: "declaration".to_owned(),
        devices: vec![
            DeviceUseDoc { device: "cpu".to_owned(), allocated_ratio: 0.5, ..DeviceUseDoc::default() },
            DeviceUseDoc { device: "gpu0".to_owned(), allocated_ratio: 0.33, ..DeviceUseDoc::default() },
        ],
        tasks: vec![
            task("load", "load", "cpu", 0.0, 1.0),
            task("train-0", "train", "gpu0", 1.0, 3.0),
            task("train-1", "train", "gpu0", 1.0, 3.0),
            task("train-2", "train", "cpu", 1.0, 2.5),
            task("train-3", "train", "cpu", 1.0, 2.5),
            task("best", "best", "cpu", 3.0, 4.0),
        ],
        money: 4.2,
        joules: 1250.0,
        machine: vec![
            device("cpu", "AMD EPYC", 2.0, 16),
            device("gpu0", "NVIDIA A10", 0.0, 24),
            device("gpu1", "NVIDIA A10", 0.0, 24),
        ],
        analysis: AnalysisDoc {
            dependencies: 6,
            components: 1,
            sources: 1,
            sinks: 1,
            work_s: 9.0,
            critical_path_s: 4.0,
            parallelism: 2.25,
            widest_level: 1,
            levels: vec![level(1, 1.0, &[(0, 1)]), level(4, 7.0, &[(1, 4)]), level(1, 1.0, &[(2, 1)])],
            critical_path: vec![
                step("load", "load", 1.0),
                step("train-0", "train", 2.0),
                step("best", "best", 1.0),
            ],
            bottlenecks: vec!["train".to_owned(), "load".to_owned(), "best".to_owned()],
            functions: vec![
                function("load", 1, 0, 1.0, 1.0, &[]),
                function("train-{n}", 4, 1, 7.0, 2.0, &[0]),
                function("best", 1, 2, 1.0, 1.0, &[1, 0]),
            ],
            redundant: vec![RedundantDoc { function: "best".to_owned(), after: "load".to_owned() }],
        },
        strategies: vec![one("random", 5.5), one("heft", 4.0)],
    }
}

/// A plan whose every text is `text`.
fn named(text: &str) -> PlanDoc {
    let mut doc = small();
    let mut all: Vec<&mut String> = vec![&mut doc.graph, &mut doc.strategy, &mut doc.why, &mut doc.basis];
    for device in &mut doc.machine {
        all.extend([&mut device.device, &mut device.name]);
    }
    for device in &mut doc.devices {
        all.extend([&mut device.device, &mut device.name]);
    }
    for task in &mut doc.tasks {
        all.extend([&mut task.id, &mut task.family, &mut task.device]);
        all.extend(task.gpus.iter_mut().map(|gpu| &mut gpu.device));
    }
    let analysis = &mut doc.analysis;
    for function in &mut analysis.functions {
        all.extend([&mut function.id, &mut function.family]);
    }
    for step in &mut analysis.critical_path {
        all.extend([&mut step.id, &mut step.family]);
    }
    for redundant in &mut analysis.redundant {
        all.extend([&mut redundant.function, &mut redundant.after]);
    }
    all.extend(&mut analysis.bottlenecks);
    all.extend(doc.strategies.iter_mut().map(|one| &mut one.strategy));
    for name in all {
        text.clone_into(name);
    }
    doc
}

/// The opening tags of a page, without those of its style.
fn tags(page: &str) -> Vec<&str> {
    let mut tags: Vec<&str> = page
        .split('<')
        .skip(1)
        .map(|rest| rest.split(['>', ' ', '\n']).next().unwrap_or_default())
        .filter(|tag| !tag.starts_with('/'))
        .collect();
    tags.sort_unstable();
    tags
}

#[test]
fn a_small_plan_as_a_page() {
    let page = page(&small());
    let body = page.split_once("<body>").map_or("", |(_, body)| body);
    let lines = body.replace("><", ">\n<");
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("plan_page", lines);
    });
}

#[test]
fn a_small_plan_as_text() {
    let style = sample::plain(90);
    let doc = small();
    let text = crate::render::gantt::plan(&doc, &style)
        + &shape::shape(&doc, &style)
        + &shape::strategies(&doc, &style);
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("plan_text", text);
    });
}

#[test]
fn no_name_becomes_markup() {
    let plain = page(&named("name"));
    for evil in
        ["</title></style><script>alert(1)</script>", "\" onload=\"x\" '", "--><img src=x>", "&lt;b&gt;"]
    {
        let doc = named(evil);
        let page = page(&doc);
        // The same elements as with a harmless name, and no more.
        assert_eq!(tags(&page), tags(&plain), "{evil}");
        for forbidden in ["<script", "<img", "onload=\"", "</title></style>"] {
            assert!(!page.contains(forbidden), "{evil}: {forbidden}");
        }
        let drawing = drawing(&doc);
        assert_eq!(tags(&drawing), tags(&super::drawing(&named("name"))), "{evil}");
    }
    assert!(page(&named("<i>")).contains("<h1>&lt;i&gt;</h1>"));
    let odd = page(&named("a\u{1b}\u{0}\u{202e}b"));
    assert!(!odd.contains(['\u{1b}', '\u{0}', '\u{202e}']));
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let page = page(&small());
    for outside in ["http:", "https:", "src=", "url(", "@import", "<link", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // The name space of SVG is a name, and the only address.
    assert_eq!(drawing(&small()).matches("http").count(), 1);
}

#[test]
fn nothing_and_nonsense_are_drawn_without_complaint() {
    assert!(page(&PlanDoc::default()).contains("There is nothing to draw."));
    for odd in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
        let mut doc = small();
        doc.makespan_s = odd;
        doc.lower_bound_s = odd;
        doc.analysis.critical_path_s = odd;
        doc.tasks[0].end_s = odd;
        doc.tasks[1].start_s = odd;
        doc.tasks[2].cpus = odd;
        doc.analysis.functions[1].seconds = odd;
        doc.analysis.functions[1].after = vec![0, 1, 2, 77];
        let page = page(&doc);
        assert!(!page.contains("NaN") && !page.contains("inf"), "{odd}");
        for style in sample::styles() {
            check_page(&shape::shape(&doc, &style), &style);
            check_page(&shape::strategies(&doc, &style), &style);
        }
    }
}

#[test]
fn a_large_plan_stays_a_bearable_page() {
    let mut doc = small();
    doc.tasks = (0..60_000)
        .map(|n| {
            let start = f64::from(n / 50) * 0.003;
            PlanTaskDoc {
                id: format!("t-{n}"),
                family: "t".to_owned(),
                device: "cpu".to_owned(),
                start_s: start,
                end_s: start + 0.003,
                cpus: 0.01,
                ..PlanTaskDoc::default()
            }
        })
        .collect();
    doc.analysis.functions = (0..5_000)
        .map(|n: u32| PlanFunctionDoc {
            id: format!("f{n}"),
            family: format!("f{n}"),
            instances: 12,
            layer: n,
            after: (0..n.min(3)).map(|back| n - back - 1).collect(),
            ..PlanFunctionDoc::default()
        })
        .collect();
    doc.analysis.levels = vec![LevelDoc { tasks: 12, seconds: 1.0, functions: vec![(0, 12)] }; 5_000];
    let page = page(&doc);
    assert!(page.len() < 6_000_000, "{}", page.len());
    assert!(page.contains("columns share a box") && page.contains("on further lanes"));
}

#[test]
fn kinds_are_families_without_the_numbers_at_their_end() {
    assert_eq!(
        ["syrk-1-2", "train", "conv2d_03", "7", "a-b.1"].map(kind),
        ["syrk", "train", "conv2d", "7", "a-b"]
    );
}
