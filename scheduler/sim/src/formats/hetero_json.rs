//! `hetero-json`: devices of different speed that are joined by links of different speed.
//!
//! A document with `tasks` (the work of each), `edges` ([parent, child, size]), `speeds` (of each device) and
//! `links` ([p, q, speed], the same in both directions). A task takes its work over the device's speed;
//! moving takes the size over the link's speed, nothing within one device. Every two devices need a link.

use super::FormatError;
use super::facts::{Facts, Machine, TaskNames};
use super::json::{self, Step};
use serde::Deserialize;

/// At most this many devices: links are kept for each two of them.
const DEVICES_MAX: usize = 4096;

/// At most this many tasks.
const TASKS_MAX: usize = 10_000_000;

/// At most this many pairs of a task and a device: a planner keeps about 90 bytes for each of them.
const PAIRS_MAX: usize = 20_000_000;

#[derive(Deserialize)]
struct Doc {
    tasks: Vec<f64>,
    edges: Vec<(u64, u64, f64)>,
    speeds: Vec<f64>,
    links: Vec<(u64, u64, f64)>,
}

pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Facts, FormatError> {
    use Step::{Index, Key};
    let doc: Doc = json::read(name, bytes)?;
    let wrong = |path: &[Step<'_>], message: String| json::wrong(name, bytes, path, message);
    let devices = doc.speeds.len();
    if devices == 0 {
        return Err(wrong(&[Key("speeds")], "there is no device".to_owned()));
    }
    if devices > DEVICES_MAX {
        return Err(FormatError::new(name, "speeds", format!("there are more than {DEVICES_MAX} devices"))
            .value(devices));
    }
    if doc.tasks.len() > TASKS_MAX {
        return Err(FormatError::new(name, "tasks", format!("there are more than {TASKS_MAX} tasks"))
            .value(doc.tasks.len()));
    }
    if doc.tasks.len().saturating_mul(devices) > PAIRS_MAX {
        return Err(FormatError::new(
            name,
            "tasks",
            format!("tasks times devices are more than {PAIRS_MAX}, too many ways to run them to plan with"),
        )
        .value(format!("{} x {devices}", doc.tasks.len()))
        .hint("plan for fewer devices, or cut the graph into parts"));
    }
    for (at, speed) in doc.speeds.iter().enumerate() {
        if !speed.is_normal() || *speed <= 0.0 {
            return Err(wrong(&[Key("speeds"), Index(at)], "a speed must be above 0".to_owned()));
        }
    }
    let slowest = doc.speeds.iter().copied().fold(f64::INFINITY, f64::min);
    let mut total = 0.0;
    for (at, cost) in doc.tasks.iter().enumerate() {
        if !cost.is_finite() || *cost < 0.0 {
            return Err(wrong(&[Key("tasks"), Index(at)], "a cost must be 0 or more".to_owned()));
        }
        total += cost / slowest;
        if !is_sane(total) {
            return Err(wrong(
                &[Key("tasks"), Index(at)],
                "the times of all tasks together overflow".to_owned(),
            ));
        }
    }
    let mut links = vec![0.0; devices * devices];
    for (at, (from, to, speed)) in doc.links.iter().enumerate() {
        for (part, end) in [from, to].into_iter().enumerate() {
            if *end >= devices as u64 {
                return Err(wrong(
                    &[Key("links"), Index(at), Index(part)],
                    "there is no such device".to_owned(),
                )
                .hint(format!("devices are 0 to {}", devices - 1)));
            }
        }
        if !speed.is_normal() || *speed <= 0.0 {
            return Err(wrong(&[Key("links"), Index(at), Index(2)], "a speed must be above 0".to_owned()));
        }
        if from == to {
            return Err(wrong(&[Key("links"), Index(at)], "a link joins two devices".to_owned())
                .hint("moving within one device takes no time: leave it out"));
        }
        for (a, b) in [(*from, *to), (*to, *from)] {
            let known = &mut links[a as usize * devices + b as usize];
            if *known != 0.0 && *known != *speed {
                return Err(wrong(
                    &[Key("links"), Index(at)],
                    format!(
                        "these two have a link of another speed ({known}); links are the same in both directions"
                    ),
                ));
            }
            *known = *speed;
        }
    }
    let slowest_link = check_complete(name, &links, devices)?;
    let tasks = doc.tasks.len() as u64;
    let mut edges = Vec::with_capacity(doc.edges.len());
    for (at, (parent, child, size)) in doc.edges.iter().enumerate() {
        for (part, end) in [parent, child].into_iter().enumerate() {
            if *end >= tasks {
                return Err(wrong(
                    &[Key("edges"), Index(at), Index(part)],
                    "there is no such task".to_owned(),
                )
                .hint(format!("there are {tasks} tasks, counted from 0")));
            }
        }
        if !size.is_finite() || *size < 0.0 {
            return Err(wrong(&[Key("edges"), Index(at), Index(2)], "a size must be 0 or more".to_owned()));
        }
        if devices > 1 {
            total += size / slowest_link;
        }
        if !is_sane(total) {
            return Err(wrong(
                &[Key("edges"), Index(at), Index(2)],
                "the times of all tasks and transfers together overflow".to_owned(),
            ));
        }
        edges.push((*parent as u32, *child as u32, *size));
    }
    if let Some((at, known)) = contradiction(&edges) {
        let (parent, child, _) = edges[at];
        return Err(wrong(
            &[Key("edges"), Index(at)],
            format!(
                "the edge from {parent} to {child} is there before, as edges[{known}] with another size ({})",
                edges[known].2
            ),
        )
        .hint("leave one of them out, or add their sizes"));
    }
    without_repetition(&mut edges);
    let count = doc.tasks.len() as u32;
    Ok(Facts {
        names: TaskNames::Numbers { first: 0, count },
        tasks: count,
        edges,
        machine: Machine::Related { costs: doc.tasks, speeds: doc.speeds, links },
    })
}

/// The places of edges by parent and child, those of the same two in the file's order.
fn by_ends(edges: &[(u32, u32, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..edges.len()).collect();
    order.sort_unstable_by_key(|at| (edges[*at].0, edges[*at].1, *at));
    order
}

/// The first edge that was there before with another size, and where it was.
fn contradiction(edges: &[(u32, u32, f64)]) -> Option<(usize, usize)> {
    let order = by_ends(edges);
    let pairs = order.windows(2).map(|pair| (pair[1], pair[0]));
    pairs
        .filter(|(at, known)| {
            let (a, b) = (edges[*at], edges[*known]);
            (a.0, a.1) == (b.0, b.1) && a.2 != b.2
        })
        .min()
}

/// Leaves each edge in once: saying the same twice changes nothing.
fn without_repetition(edges: &mut Vec<(u32, u32, f64)>) {
    let order = by_ends(edges);
    let mut again = vec![false; edges.len()];
    for pair in order.windows(2) {
        let (a, b) = (edges[pair[0]], edges[pair[1]]);
        again[pair[1]] = (a.0, a.1) == (b.0, b.1);
    }
    let mut at = 0;
    edges.retain(|_| {
        at += 1;
        !again[at - 1]
    });
}

/// Whether a sum of times can be worked with: far enough from overflow that sums of sums stay finite.
pub(super) fn is_sane(total: f64) -> bool {
    total.is_finite() && total < 1e200
}

/// The slowest link, where every two devices have one.
fn check_complete(name: &str, links: &[f64], devices: usize) -> Result<f64, FormatError> {
    let mut slowest = f64::INFINITY;
    for from in 0..devices {
        for to in from + 1..devices {
            let speed = links[from * devices + to];
            if speed == 0.0 {
                return Err(FormatError::new(name, "links", format!("devices {from} and {to} have no link"))
                    .hint(format!("add [{from}, {to}, SPEED]")));
            }
            slowest = slowest.min(speed);
        }
    }
    Ok(slowest)
}
