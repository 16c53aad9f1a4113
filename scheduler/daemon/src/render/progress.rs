//! The progress of `run`: a small block that is drawn over itself on a terminal, a rare line elsewhere.

use super::format;
use super::page::Line;
use super::style::{Style, Tone};
use super::text;
use std::fmt::Write as _;
use std::io::Write;

/// The block has at most so many lines.
const LINES_MAX: usize = 5;
/// Seconds between two lines where nobody watches, and before the first.
const QUIET_S: f64 = 10.0;
const DEVICE_BAR_CELLS: usize = 8;

/// Where a run stands.
#[derive(Clone, Default, Debug)]
pub(crate) struct ProgressState {
    /// The graph's name.
    pub(crate) name: String,
    /// How many functions it has.
    pub(crate) total: u64,
    /// How many wait.
    pub(crate) queued: u64,
    /// How many run.
    pub(crate) running: u64,
    /// How many succeeded.
    pub(crate) succeeded: u64,
    /// How many failed.
    pub(crate) failed: u64,
    /// How many were cancelled.
    pub(crate) cancelled: u64,
    /// Since the run began.
    pub(crate) elapsed_s: f64,
    /// How long the whole is expected to take.
    pub(crate) predicted_s: Option<f64>,
    /// Some of the functions that run.
    pub(crate) running_names: Vec<String>,
    /// Devices with the share of each that is given away, 0 to 1.
    pub(crate) devices: Vec<(String, f64)>,
}

impl ProgressState {
    fn done(&self) -> u64 {
        self.succeeded.saturating_add(self.failed).saturating_add(self.cancelled)
    }

    fn share(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.done() as f64 / self.total as f64 }
    }

    /// The elapsed time, with the expected one where it still makes sense.
    fn time(&self) -> String {
        let elapsed = format::seconds(self.elapsed_s);
        match self.predicted_s {
            Some(predicted) if predicted.is_finite() && predicted >= self.elapsed_s => {
                format!("{elapsed} of about {}", format::seconds(predicted))
            }
            Some(_) | None => elapsed,
        }
    }
}

/// Draws the progress. What cannot be written is lost: a broken terminal must not end a run.
#[derive(Debug)]
pub(crate) struct Progress {
    style: Style,
    interactive: bool,
    /// The block on the screen as written, and how many lines it has.
    drawn: String,
    drawn_lines: usize,
    /// When the last plain line was written.
    told_s: f64,
}

impl Progress {
    /// Progress on a terminal, or, where not interactive, for a log.
    pub(crate) fn new(style: Style, interactive: bool) -> Self {
        Self { style, interactive, drawn: String::new(), drawn_lines: 0, told_s: 0.0 }
    }

    /// Shows a state. May be called as often as one likes: nothing is written that is there already.
    pub(crate) fn update(&mut self, state: &ProgressState, out: &mut dyn Write) {
        if !self.interactive {
            self.tell(state, out);
            return;
        }
        let lines = self.block(state);
        let text = lines.join("\n");
        if text == self.drawn {
            return;
        }
        let mut bytes = self.back();
        for line in &lines {
            bytes.push_str("\r\x1b[2K");
            bytes.push_str(line);
            bytes.push('\n');
        }
        // A block that has become shorter leaves lines behind.
        if lines.len() < self.drawn_lines {
            bytes.push_str("\x1b[J");
        }
        self.drawn = text;
        self.drawn_lines = lines.len();
        // In one piece, so that the terminal never shows half of it.
        let _ = out.write_all(bytes.as_bytes()).and_then(|()| out.flush());
    }

    /// Takes the block away, so that what follows stands in its place.
    pub(crate) fn finish(&mut self, out: &mut dyn Write) {
        if self.drawn_lines > 0 {
            let bytes = self.back() + "\r\x1b[J";
            let _ = out.write_all(bytes.as_bytes()).and_then(|()| out.flush());
        }
        self.drawn.clear();
        self.drawn_lines = 0;
    }

    /// The escape that leads back to the first line of the block.
    fn back(&self) -> String {
        if self.drawn_lines > 0 { format!("\x1b[{}A", self.drawn_lines) } else { String::new() }
    }

    fn tell(&mut self, state: &ProgressState, out: &mut dyn Write) {
        if !(state.elapsed_s - self.told_s).is_finite() || state.elapsed_s - self.told_s < QUIET_S {
            return;
        }
        self.told_s = state.elapsed_s;
        let mut counts: Vec<String> = counts(state).into_iter().map(|(_, words)| words).collect();
        counts.push(state.time());
        let words = format!(
            "{}: {} of {} done, {}",
            state.name,
            format::count(state.done()),
            format::count(state.total),
            counts.join(", ")
        );
        let (line, _) = Line::new().plain(words).render(self.style.width, &self.style);
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    /// The lines of the block, each a column narrower than the terminal, so that none of them wraps.
    fn block(&self, state: &ProgressState) -> Vec<String> {
        let style = &self.style;
        let columns = self.style.width.saturating_sub(1);
        let layout = style.layout_width().min(columns);
        let mut lines = Vec::with_capacity(LINES_MAX);

        let done = format!(
            "{}/{}  {}  {}",
            format::count(state.done()),
            format::count(state.total),
            format::percent(state.share()),
            state.time()
        );
        let name = text::cut(&text::clean(&state.name, style), (layout / 3).max(8), style);
        let cells = layout.saturating_sub(text::width(&name) + text::width(&done) + 4).min(40);
        let mut line = Line::new().add(Tone::Strong, name).plain("  ");
        if cells >= 4 {
            line.push(Tone::Good, format::bar(state.share(), cells, style));
            line.push(Tone::Plain, "  ");
        }
        lines.push(line.plain(done));

        let mut line = Line::new();
        for (at, (tone, words)) in counts(state).into_iter().enumerate() {
            line.push(Tone::Plain, if at == 0 { "" } else { ", " });
            line.push(tone, words);
        }
        lines.push(line);

        lines.extend(self.devices(state, layout));
        if !state.running_names.is_empty() {
            lines.push(self.names(state, layout));
        }
        lines.truncate(LINES_MAX);
        lines.iter().map(|line| line.render(columns, style).0).collect()
    }

    /// The devices with their bars: as many as fit on two lines.
    fn devices(&self, state: &ProgressState, layout: usize) -> Vec<Line> {
        let style = &self.style;
        let name = |device: &str| text::cut(&text::clean(device, style), 12, style);
        let wide = state.devices.iter().map(|(device, _)| text::width(&name(device))).max().unwrap_or(0);
        // Name, bar, percentage, and the gap to the next.
        let each = wide + 1 + DEVICE_BAR_CELLS + 1 + 5 + 3;
        let a_line = (layout / each).max(1);
        let mut lines: Vec<Line> = state
            .devices
            .chunks(a_line)
            .take(2)
            .map(|devices| {
                let mut line = Line::new();
                for (device, share) in devices {
                    line.push(Tone::Plain, text::pad(&name(device), wide, false) + " ");
                    line.push(Tone::Good, format::bar(*share, DEVICE_BAR_CELLS, style));
                    line.push(Tone::Plain, format!(" {:>5}   ", format::percent(share.min(9.0))));
                }
                line
            })
            .collect();
        let hidden = state.devices.len().saturating_sub(2 * a_line);
        if let Some(last) = lines.last_mut().filter(|_| hidden > 0) {
            last.push(Tone::Dim, format!("+{hidden}"));
        }
        lines
    }

    /// Some of the running functions: whole names as long as they fit.
    fn names(&self, state: &ProgressState, layout: usize) -> Line {
        let style = &self.style;
        let mut words = String::from("now: ");
        let mut shown = 0;
        for name in &state.running_names {
            let name = text::cut(&text::clean(name, style), layout.saturating_sub(12).max(8), style);
            // The number of the others needs some room behind.
            if shown > 0 && text::width(&words) + 2 + text::width(&name) + 8 > layout {
                break;
            }
            if shown > 0 {
                words.push_str(", ");
            }
            words.push_str(&name);
            shown += 1;
        }
        let hidden = state.running.max(state.running_names.len() as u64) - shown;
        if hidden > 0 {
            let _ = write!(words, " +{}", format::count(hidden));
        }
        Line::new().add(Tone::Dim, words)
    }
}

/// The numbers that matter now, with their words.
fn counts(state: &ProgressState) -> Vec<(Tone, String)> {
    let mut counts = vec![(Tone::Warn, format!("{} running", format::count(state.running)))];
    for (tone, number, word) in [
        (Tone::Dim, state.queued, "queued"),
        (Tone::Bad, state.failed, "failed"),
        (Tone::Dim, state.cancelled, "cancelled"),
    ] {
        if number > 0 {
            counts.push((tone, format!("{} {word}", format::count(number))));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, check_page};
    use super::*;

    fn state() -> ProgressState {
        ProgressState {
            name: "gp-regression".to_owned(),
            total: 617,
            queued: 201,
            running: 4,
            succeeded: 411,
            failed: 1,
            cancelled: 0,
            elapsed_s: 1.2,
            predicted_s: Some(1.8),
            running_names: ["gemm-0-1", "trsm-1-2", "syrk-2-2", "potrf-0"].map(str::to_owned).to_vec(),
            devices: vec![("cpu".to_owned(), 0.94), ("gpu0".to_owned(), 0.3)],
        }
    }

    fn update(progress: &mut Progress, state: &ProgressState) -> String {
        let mut out = Vec::new();
        progress.update(state, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_block_is_drawn_over_itself() {
        let mut progress = Progress::new(sample::plain(80), true);
        let first = update(&mut progress, &state());
        assert_eq!(first.matches('\n').count(), 4, "{first}");
        assert!(!first.contains("A\r"), "nothing to go back to: {first:?}");
        assert_eq!(update(&mut progress, &state()), "", "nothing changed");
        let shorter = ProgressState { running_names: Vec::new(), ..state() };
        let second = update(&mut progress, &shorter);
        assert!(second.starts_with("\x1b[4A\r\x1b[2K") && second.ends_with("\x1b[J"), "{second:?}");
        let mut out = Vec::new();
        progress.finish(&mut out);
        assert_eq!(out, b"\x1b[3A\r\x1b[J");
        progress.finish(&mut out);
        assert_eq!(out, b"\x1b[3A\r\x1b[J", "finished once");
    }

    #[test]
    fn nobody_watching_gets_a_line_every_ten_seconds() {
        let mut progress = Progress::new(sample::plain(80), false);
        let mut told = Vec::new();
        for tenth in 0..=350 {
            let text =
                update(&mut progress, &ProgressState { elapsed_s: f64::from(tenth) / 10.0, ..state() });
            if !text.is_empty() {
                told.push((tenth, text));
            }
        }
        assert_eq!(told.iter().map(|(tenth, _)| *tenth).collect::<Vec<_>>(), [100, 200, 300]);
        assert_eq!(told[0].1, "gp-regression: 412 of 617 done, 4 running, 201 queued, 1 failed, 10.0 s\n");
        let mut out = Vec::new();
        progress.finish(&mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn the_block_never_wraps() {
        let odd = ProgressState {
            name: "名\x1b[5m".repeat(40),
            total: 0,
            queued: u64::MAX,
            running: u64::MAX,
            succeeded: u64::MAX,
            failed: u64::MAX,
            cancelled: u64::MAX,
            elapsed_s: f64::NAN,
            predicted_s: Some(f64::INFINITY),
            running_names: vec!["🚀\n".repeat(90); 50],
            devices: vec![("gpu\t0".repeat(9), f64::NAN); 40],
        };
        for style in sample::styles() {
            for state in [&state(), &odd, &ProgressState::default()] {
                let mut progress = Progress::new(style, true);
                let text = update(&mut progress, state);
                let lines: Vec<&str> = text.split_terminator('\n').collect();
                assert!(lines.len() <= LINES_MAX, "{text:?}");
                let narrower = Style { width: style.width.saturating_sub(1), ..style };
                for line in lines {
                    let line = line.strip_prefix("\r\x1b[2K").expect("the line is cleared first");
                    check_page(&format!("{line}\n"), &narrower);
                }
                let mut progress = Progress::new(style, false);
                check_page(
                    &update(&mut progress, &ProgressState { elapsed_s: 99.0, ..(*state).clone() }),
                    &style,
                );
            }
        }
    }
}
