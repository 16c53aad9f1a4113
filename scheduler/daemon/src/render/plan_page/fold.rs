//! What a drawing of a graph shows as one box: a function with all its instances, or more of the graph where
//! it has too many functions for a person to see.

use dunnage_wire::api::{AnalysisDoc, PlanFunctionDoc};
use std::collections::{BTreeMap, BTreeSet};

/// Boxes of a drawing, of one column, and columns.
const BOXES_MAX: usize = 160;
const COLUMN_MAX: usize = 40;
const COLUMNS_MAX: usize = 60;

/// A box.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// What it is called.
    pub(super) name: String,
    /// How many functions are in it.
    pub(super) functions: u32,
    /// How many tasks.
    pub(super) tasks: u64,
    /// Their seconds.
    pub(super) seconds: f64,
    /// Those on the critical path.
    pub(super) path_s: f64,
    /// How many tasks of it are on the critical path.
    pub(super) on_path: u32,
    /// Its column, from 0 without gaps.
    pub(super) column: usize,
    /// The family that gives it its colour.
    pub(super) family: String,
}

/// The boxes, and which comes after which.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Folded {
    pub(super) nodes: Vec<Node>,
    /// Pairs of a box and one that waits for it, in a later column, each once.
    pub(super) edges: Vec<(usize, usize)>,
    /// Pairs whose edge the critical path goes along.
    pub(super) path: BTreeSet<(usize, usize)>,
    /// What was folded, where it is more than the instances of a function.
    pub(super) note: Option<String>,
}

/// What goes into one box together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Function,
    /// Functions of one column whose names differ in their numbers.
    Stem,
    Column,
    /// So many columns.
    Band(u32),
}

/// Folds as far as is needed for a drawing of bearable size.
pub(super) fn fold(analysis: &AnalysisDoc) -> Folded {
    let columns = analysis.functions.iter().map(|function| function.layer + 1).max().unwrap_or(0);
    let band = columns.div_ceil(COLUMNS_MAX as u32).max(1);
    let mut folded = Folded::default();
    for by in [By::Function, By::Stem, By::Column, By::Band(band)] {
        folded = folded_by(analysis, by);
        let mut widths: BTreeMap<usize, usize> = BTreeMap::new();
        for node in &folded.nodes {
            *widths.entry(node.column).or_default() += 1;
        }
        let widest = widths.values().copied().max().unwrap_or(0);
        if folded.nodes.len() <= BOXES_MAX && widest <= COLUMN_MAX && widths.len() <= COLUMNS_MAX {
            break;
        }
    }
    folded
}

fn folded_by(analysis: &AnalysisDoc, by: By) -> Folded {
    let functions = &analysis.functions;
    let mut folded = Folded::default();
    let mut boxes: BTreeMap<(u32, String), usize> = BTreeMap::new();
    let mut box_of: Vec<usize> = Vec::with_capacity(functions.len());
    for (at, function) in functions.iter().enumerate() {
        let column = match by {
            By::Band(columns) => function.layer / columns,
            By::Function | By::Stem | By::Column => function.layer,
        };
        let key = match by {
            By::Function => format!("{at}"),
            By::Stem => stem(&function.family),
            By::Column | By::Band(_) => String::new(),
        };
        let place = *boxes.entry((column, key)).or_insert_with(|| {
            folded.nodes.push(empty(function, column as usize, by));
            folded.nodes.len() - 1
        });
        let node = &mut folded.nodes[place];
        node.functions += 1;
        node.tasks += u64::from(function.instances);
        node.seconds += function.seconds;
        node.path_s += function.path_s;
        node.on_path += function.on_path;
        box_of.push(place);
    }
    for (place, node) in folded.nodes.iter_mut().enumerate().filter(|(_, node)| node.functions > 1) {
        match by {
            By::Stem => node.name = stem(&node.name),
            By::Column | By::Band(_) => {
                let last = box_of.iter().rposition(|of| *of == place);
                let last = last.map_or("", |last| functions[last].family.as_str());
                node.name = format!("{} … {last}", node.name);
            }
            By::Function => {}
        }
    }
    let mut edges: BTreeSet<(usize, usize)> = BTreeSet::new();
    for (to, function) in functions.iter().enumerate() {
        for from in &function.after {
            let Some(from) = box_of.get(*from as usize) else { continue };
            let (from, to) = (*from, box_of[to]);
            // Functions that wait for each other share a column, and instances of one a box.
            if folded.nodes[from].column < folded.nodes[to].column {
                edges.insert((from, to));
            }
        }
    }
    folded.edges = edges.into_iter().collect();
    let family: BTreeMap<&str, usize> =
        functions.iter().zip(&box_of).map(|(function, place)| (function.family.as_str(), *place)).collect();
    let steps: Vec<Option<usize>> =
        analysis.critical_path.iter().map(|step| family.get(step.family.as_str()).copied()).collect();
    folded.path = steps
        .windows(2)
        .filter_map(|pair| Some((pair[0]?, pair[1]?)))
        .filter(|pair| folded.edges.binary_search(pair).is_ok())
        .collect();
    let count = functions.len();
    folded.note = match by {
        By::Function => None,
        By::Stem => Some(format!(
            "The graph has {count} functions: those of one column whose names differ in numbers alone share a box."
        )),
        By::Column => Some(format!("The graph has {count} functions: all of one column share a box.")),
        By::Band(1) => Some(format!("The graph has {count} functions: all of one column share a box.")),
        By::Band(columns) => Some(format!(
            "The graph has {count} functions in more columns than can be seen: {columns} columns share a box."
        )),
    };
    folded
}

fn empty(function: &PlanFunctionDoc, column: usize, by: By) -> Node {
    Node {
        name: match by {
            By::Function => function.id.clone(),
            By::Stem | By::Column | By::Band(_) => function.family.clone(),
        },
        functions: 0,
        tasks: 0,
        seconds: 0.0,
        path_s: 0.0,
        on_path: 0,
        column,
        family: function.family.clone(),
    }
}

/// A name with `#` for each run of digits.
fn stem(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns of so many functions, each after all of the column before.
    fn grid(columns: u32, rows: u32) -> AnalysisDoc {
        let functions = (0..columns * rows).map(|n| PlanFunctionDoc {
            id: format!("f-{}-{}", n / rows, n % rows),
            family: format!("f-{}-{}", n / rows, n % rows),
            instances: 2,
            layer: n / rows,
            seconds: 1.0,
            after: if n < rows { Vec::new() } else { (n / rows * rows - rows..n / rows * rows).collect() },
            ..PlanFunctionDoc::default()
        });
        AnalysisDoc { functions: functions.collect(), ..AnalysisDoc::default() }
    }

    #[test]
    fn every_graph_becomes_a_bearable_drawing() {
        for (columns, rows, boxes) in
            [(0, 0, 0), (1, 1, 1), (3, 4, 12), (3, 400, 3), (50, 50, 50), (1000, 2, 59), (2000, 1, 59)]
        {
            let folded = fold(&grid(columns, rows));
            assert_eq!(folded.nodes.len(), boxes, "{columns} x {rows}");
            assert_eq!(folded.note.is_some(), boxes as u32 != columns * rows);
            let tasks: u64 = folded.nodes.iter().map(|node| node.tasks).sum();
            assert_eq!(tasks, u64::from(columns * rows) * 2);
            assert!(folded.edges.iter().all(|(a, b)| folded.nodes[*a].column < folded.nodes[*b].column));
        }
    }

    #[test]
    fn numbers_make_no_difference_to_a_stem() {
        assert_eq!(stem("gemm-0-12-1"), "gemm-#-#-#");
        assert_eq!(stem("ab"), "ab");
    }
}
