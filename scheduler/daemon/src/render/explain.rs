//! `explain`: why a task is where it is, and what every other place would have meant.

use super::format;
use super::page::{Line, Page};
use super::style::{Style, Tone};
use super::table::{Cell, Column, table};
use super::text;
use dunnage_wire::api::{ExplainDoc, StoryDoc};

/// Remarks on earlier runs that are shown.
const REMARKS_MAX: usize = 12;

/// A task's state and reason, its options with their expected times, and its story.
pub(crate) fn explain(doc: &ExplainDoc, style: &Style) -> String {
    let mut page = Page::new(style);
    let mut line = Line::new().add(Tone::Strong, doc.function.as_str()).plain(" ");
    line.push(Tone::of_state(&doc.state), doc.state.as_str());
    if let Some(device) = &doc.device {
        line.push(Tone::Plain, format!(" on {device}"));
    }
    line.push(Tone::Dim, format!("  (graph {}", doc.id));
    if !doc.reason.is_empty() && doc.reason != doc.state {
        line.push(Tone::Dim, format!(", {}", doc.reason));
    }
    line.push(Tone::Dim, ")");
    page.line(&line);
    if !doc.message.is_empty() {
        page.wrapped(2, Tone::Plain, &doc.message, usize::MAX);
    }
    let mut words = Vec::new();
    if let Some(predicted) = doc.predicted_s.filter(|predicted| predicted.is_finite()) {
        let basis = doc.basis.as_deref().filter(|basis| !basis.is_empty() && *basis != "none");
        let basis = basis.map(|basis| format!(" from {basis}")).unwrap_or_default();
        words.push(format!("expected to take {}{basis}", format::seconds(predicted)));
    }
    if !doc.strategy.is_empty() {
        words.push(format!("strategy {}", doc.strategy));
    }
    match doc.memory_control.as_deref() {
        None | Some("") => {}
        Some("none") => words.push("its memory is not limited".to_owned()),
        Some(control) => words.push(format!("its memory is held by {control}")),
    }
    if !words.is_empty() {
        page.wrapped(2, Tone::Dim, &words.join(", "), usize::MAX);
    }
    options(&mut page, doc);
    story(&mut page, &doc.story);
    page.finish()
}

/// Adds every variant on every device, the soonest done marked.
fn options(page: &mut Page<'_>, doc: &ExplainDoc) {
    if doc.options.is_empty() {
        return;
    }
    let fastest = doc
        .options
        .iter()
        .filter_map(|option| option.predicted_s)
        .filter(|time| time.is_finite())
        .min_by(f64::total_cmp);
    page.heading("Options");
    let style = *page.style;
    let columns = [
        Column::left(""),
        Column::right("VARIANT").expendable(2),
        Column::left("DEVICE").shrinks(6),
        Column::right("EXPECTED"),
        Column::left("FROM").expendable(1),
        Column::left("NOW"),
    ];
    let rows: Vec<Vec<Cell>> = doc
        .options
        .iter()
        .map(|option| {
            let here = doc.device.as_deref() == Some(option.device.as_str());
            let expected = format::maybe_seconds(option.predicted_s);
            let is_fastest = option.predicted_s.is_some() && option.predicted_s == fastest;
            let fits = match &option.obstacle {
                None => Cell::new(Tone::Good, "fits"),
                Some(obstacle) => Cell::new(Tone::Warn, obstacle.as_str()),
            };
            vec![
                Cell::new(Tone::Strong, if here { style.pick("→", ">") } else { " " }),
                option.variant.to_string().into(),
                option.device.as_str().into(),
                Cell::new(if is_fastest { Tone::Good } else { Tone::Plain }, expected),
                Cell::new(Tone::Dim, option.basis.as_str()),
                fits,
            ]
        })
        .collect();
    table(page, 0, &columns, rows);
    remarks(page, doc);
}

/// Adds what is known of earlier runs; what holds for several options is told once.
fn remarks(page: &mut Page<'_>, doc: &ExplainDoc) {
    let mut told: Vec<&str> = Vec::new();
    for remark in doc.options.iter().flat_map(|option| &option.remarks) {
        if !told.contains(&remark.as_str()) && told.len() < REMARKS_MAX {
            told.push(remark);
        }
    }
    if told.is_empty() {
        return;
    }
    page.heading("Earlier runs");
    for remark in told {
        page.wrapped(2, Tone::Plain, remark, 3);
    }
}

/// Adds what happened, with times since the first event.
fn story(page: &mut Page<'_>, story: &[StoryDoc]) {
    let Some(first) = story.first() else { return };
    page.heading(format!("Story, from {}", format::date(first.at)));
    let wide = story.iter().map(|event| format::seconds(event.at - first.at).len()).max().unwrap_or(0);
    for event in story {
        let time = format::seconds(event.at - first.at);
        let time = format!("  +{time:>wide$}  ");
        let columns = page.style.layout_width().saturating_sub(time.len()).max(10);
        let clean = text::clean(&event.what, page.style);
        for (at, part) in text::wrap(&clean, columns, false).into_iter().enumerate() {
            let head = if at == 0 { time.clone() } else { " ".repeat(time.len()) };
            page.line(&Line::new().add(Tone::Dim, head).plain(part));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, check_page};
    use super::*;
    use dunnage_wire::api::ExplainOptionDoc;

    fn waiting() -> ExplainDoc {
        ExplainDoc {
            id: "3".to_owned(),
            function: "train-0.1-3".to_owned(),
            state: "queued".to_owned(),
            reason: "resources".to_owned(),
            message: "waits for 20 GiB of GPU memory: gpu0 has 3.0 GiB free".to_owned(),
            strategy: "load-balanced".to_owned(),
            device: Some("cpu".to_owned()),
            predicted_s: Some(12.0),
            basis: Some("history".to_owned()),
            memory_control: Some("cgroup v2".to_owned()),
            options: vec![
                ExplainOptionDoc {
                    variant: 0,
                    device: "gpu0".to_owned(),
                    predicted_s: Some(1.5),
                    basis: "declaration".to_owned(),
                    remarks: vec!["14 runs of `train` on a GPU took 1.5s".to_owned()],
                    obstacle: Some("3.0 GiB of 20 GiB free".to_owned()),
                    ..ExplainOptionDoc::default()
                },
                ExplainOptionDoc {
                    variant: 1,
                    device: "cpu".to_owned(),
                    predicted_s: None,
                    basis: "none".to_owned(),
                    ..ExplainOptionDoc::default()
                },
            ],
            story: vec![
                StoryDoc { at: 1_795_237_387.0, what: "submitted".to_owned() },
                StoryDoc { at: 1_795_237_389.5, what: "out of memory on gpu0 at 18 GiB".to_owned() },
            ],
        }
    }

    #[test]
    fn reason_options_and_story_are_told() {
        let text = explain(&waiting(), &sample::plain(200));
        for part in [
            "train-0.1-3 queued on cpu  (graph 3, resources)",
            "waits for 20 GiB",
            "expected to take 12.0 s from history, strategy load-balanced, its memory is held by cgroup v2",
            "3.0 GiB of 20 GiB free",
            "14 runs of `train` on a GPU took 1.5s",
            "2026-11-21 05:03:07 UTC",
            "+2.50 s  out of memory on gpu0 at 18 GiB",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn every_width_holds() {
        let mut odd = waiting();
        odd.message = "\x1b名 ".repeat(200);
        odd.predicted_s = Some(f64::NAN);
        odd.options[1].predicted_s = Some(f64::NAN);
        odd.options[0].remarks = vec!["\x1b長 ".repeat(200); 40];
        odd.options[0].obstacle = Some("長い\n".repeat(80));
        odd.story[1].at = f64::NEG_INFINITY;
        odd.story[1].what = "long ".repeat(80);
        for style in sample::styles() {
            for doc in [&waiting(), &odd, &ExplainDoc::default()] {
                check_page(&explain(doc, &style), &style);
            }
        }
    }
}
