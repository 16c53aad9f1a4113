//! The graph as a drawing: boxes in columns, edges between them, the critical path stronger.

use super::Colours;
use super::fold::{self, Node};
use super::layout::{self, Boxes};
use super::markup::{at, escape, short, width};
use crate::render::format;
use dunnage_wire::api::PlanDoc;
use std::fmt::Write as _;

/// Boxes: their height, bounds of their width, and the room between two and between columns.
const HEIGHT: f64 = 42.0;
const WIDTH_MIN: f64 = 92.0;
const WIDTH_MAX: f64 = 220.0;
const GAP: f64 = 16.0;
const COLUMN_GAP: f64 = 58.0;
/// Around the whole.
const MARGIN: f64 = 14.0;
/// How wide a character of the name is, about.
const LETTER: f64 = 7.7;
/// What a name cannot use of the width of its box.
const PADDING: f64 = 24.0;

/// What a file that stands alone needs of the page's style.
const STANDALONE: &str = include_str!("drawing.css");

/// A drawing, with its size.
pub(super) struct Drawing {
    body: String,
    width: f64,
    height: f64,
    /// What was folded, where it is more than families.
    pub(super) note: Option<String>,
}

impl Drawing {
    /// As a part of a page.
    pub(super) fn inline(&self) -> String {
        let (width, height) = (at(self.width), at(self.height));
        format!(
            "<svg class=\"graph\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"The graph\">{}</svg>",
            self.body
        )
    }

    /// As a file.
    pub(super) fn standalone(&self, name: &str) -> String {
        let (width, height) = (at(self.width), at(self.height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"graph\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\"><title>{}</title><style>{STANDALONE}</style><rect class=\"back\" width=\"100%\" height=\"100%\"/>{}</svg>\n",
            escape(name),
            self.body
        )
    }
}

/// Draws the graph of a plan.
pub(super) fn drawing(doc: &PlanDoc, colours: &Colours<'_>) -> Drawing {
    let folded = fold::fold(&doc.analysis);
    let nodes = &folded.nodes;
    let columns = nodes.iter().map(|node| node.column + 1).max().unwrap_or(0);
    let mut widths = vec![WIDTH_MIN; columns];
    for node in nodes {
        let wide = width(&node.name).max(width(&detail(node))) as f64 * LETTER + PADDING;
        widths[node.column] = widths[node.column].max(wide.min(WIDTH_MAX));
    }
    let mut lefts = Vec::with_capacity(columns);
    let mut x = MARGIN;
    for width in &widths {
        lefts.push(x);
        x += width + COLUMN_GAP;
    }
    let column: Vec<usize> = nodes.iter().map(|node| node.column).collect();
    let height = vec![HEIGHT; nodes.len()];
    let placed = layout::place(&Boxes { column: &column, height: &height, edges: &folded.edges, gap: GAP });
    let middle = |node: usize| placed.middle[node] + MARGIN;

    let mut body = String::new();
    let (mut plain, mut strong) = (String::new(), String::new());
    for (edge, bends) in folded.edges.iter().zip(&placed.bends) {
        let (from, to) = *edge;
        let mut point = (lefts[column[from]] + widths[column[from]], middle(from));
        let mut path = format!("M{} {}", at(point.0), at(point.1));
        for (column, y) in bends {
            let y = y + MARGIN;
            curve(&mut path, point, (lefts[*column], y));
            point = (lefts[*column] + widths[*column], y);
            let _ = write!(path, "H{}", at(point.0));
        }
        curve(&mut path, point, (lefts[column[to]] - 1.0, middle(to)));
        let on_path = folded.path.contains(edge);
        let group = if on_path { &mut strong } else { &mut plain };
        let _ = write!(group, "<path d=\"{path}\"/>");
    }
    let _ = write!(body, "<g class=\"edges\">{plain}</g><g class=\"edges path\">{strong}</g>");
    for (place, node) in nodes.iter().enumerate() {
        let left = lefts[node.column];
        let follows = folded.edges.iter().any(|(_, to)| *to == place);
        draw(&mut body, node, (left, middle(place), widths[node.column]), follows, colours);
    }
    Drawing {
        body,
        width: (x - COLUMN_GAP + MARGIN).max(2.0 * MARGIN),
        height: placed.height + 2.0 * MARGIN,
        note: folded.note,
    }
}

/// From one point to another, level at both.
fn curve(path: &mut String, from: (f64, f64), to: (f64, f64)) {
    let half = at(f64::midpoint(from.0, to.0));
    let _ = write!(path, "C{half} {} {half} {} {} {}", at(from.1), at(to.1), at(to.0), at(to.1));
}

fn draw(
    body: &mut String,
    node: &Node,
    (x, y, width): (f64, f64, f64),
    follows: bool,
    colours: &Colours<'_>,
) {
    let top = y - HEIGHT / 2.0;
    let class = if node.on_path > 0 { "box on" } else { "box" };
    let _ = write!(body, "<g class=\"{class}\"><title>{}</title>", escape(&title(node)));
    if node.tasks > 1 {
        for shift in [5.0, 2.5] {
            let _ = write!(
                body,
                "<rect class=\"card\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{HEIGHT}\" rx=\"6\"/>",
                at(x + shift),
                at(top + shift),
                at(width)
            );
        }
    }
    let _ = write!(
        body,
        "<rect class=\"card\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{HEIGHT}\" rx=\"6\"/>\
         <rect class=\"stripe {}\" x=\"{}\" y=\"{}\" width=\"4\" height=\"{}\" rx=\"2\"/>",
        at(x),
        at(top),
        at(width),
        colours.class(&node.family),
        at(x + 6.0),
        at(top + 7.0),
        HEIGHT - 14.0
    );
    let letters = ((width - PADDING) / LETTER + 1.0) as usize;
    let _ = write!(
        body,
        "<text class=\"label\" x=\"{0}\" y=\"{1}\">{2}</text><text class=\"more\" x=\"{0}\" y=\"{3}\">{4}</text>",
        at(x + 16.0),
        at(y - 3.5),
        short(&node.name, letters),
        at(y + 11.5),
        short(&detail(node), letters + 2)
    );
    if follows {
        let _ = write!(body, "<path class=\"tip\" d=\"M{} {}l7 4-7 4z\"/>", at(x - 7.0), at(y - 4.0));
    }
    body.push_str("</g>");
}

/// The second line of a box.
fn detail(node: &Node) -> String {
    let seconds = format::seconds(node.seconds);
    if node.tasks > 1 { format!("{} tasks, {seconds}", format::count(node.tasks)) } else { seconds }
}

fn title(node: &Node) -> String {
    let mut text = format!(
        "{}: {}, {} in all",
        node.name,
        format::counted(node.tasks, "task"),
        format::seconds(node.seconds)
    );
    if node.functions > 1 {
        let _ = write!(text, ", {}", format::counted(node.functions.into(), "function"));
    }
    if node.on_path > 0 {
        let on_path = format::counted(node.on_path.into(), "task");
        let _ = write!(text, "; on the critical path: {on_path}, {}", format::seconds(node.path_s));
    }
    text
}
