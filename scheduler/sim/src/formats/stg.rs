//! The Standard Task Graph Set (Tobita and Kasahara 2002): `.stg`.
//!
//! The first line is the number of tasks without the two dummies, then one line a task: its number, its
//! processing time, how many predecessors it has, and their numbers; lines that begin with `#` are
//! comments. Tasks are scheduled on identical processors; moving data costs nothing. A task without time
//! takes no processor.

use super::FormatError;
use super::facts::{Demand, Facts, Machine, TaskNames};
use super::text::{self, Words};

/// At most this many tasks.
const TASKS_MAX: u64 = 10_000_000;

/// At most this many processors.
pub(super) const PROCESSORS_MAX: u64 = 1_000_000;

/// No sum of times may be larger: up to here a float holds every whole number.
pub(super) const TIME_MAX: u64 = 1 << 52;

/// A line of a task has at least its number, its time and a count, and ends.
const LINE_BYTES: usize = 6;

pub(super) fn parse(name: &str, bytes: &[u8], processors: Option<u64>) -> Result<Facts, FormatError> {
    let Some(processors) = processors else {
        return Err(FormatError::new(name, "", "an STG file does not say how many processors there are")
            .hint("add `--processors 4`"));
    };
    if processors == 0 || processors > PROCESSORS_MAX {
        return Err(FormatError::new(name, "--processors", format!("must be 1 to {PROCESSORS_MAX}"))
            .value(processors));
    }
    let text = text::utf8(name, bytes)?;
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let Some((at, line)) = lines.next() else {
        return Err(FormatError::new(name, "", "the file is empty"));
    };
    let mut words = Words::new(name, at, line);
    let count = words.number("number of tasks", TASKS_MAX)? + 2;
    words.end("number of tasks")?;
    let room = bytes.len() / LINE_BYTES + 1;
    if count as usize > room {
        return Err(words
            .wrong("number of tasks", format!("the file is too short for {count} tasks (with both dummies)"))
            .value(count - 2));
    }
    let mut durations = Vec::with_capacity(count as usize);
    let mut edges = Vec::new();
    let mut total = 0_u64;
    let mut last = at;
    for (at, line) in lines {
        last = at;
        let mut words = Words::new(name, at, line);
        let wanted = durations.len() as u64;
        if wanted == count {
            return Err(words.wrong(
                "",
                format!("there are more lines than the {count} tasks of the first line (with both dummies)"),
            ));
        }
        let task = words.number("task number", TASKS_MAX)?;
        if task != wanted {
            return Err(words
                .wrong("task number", format!("tasks are numbered in order: {wanted} comes next"))
                .value(task));
        }
        let field = |what: &str| format!("task {task}, {what}");
        let duration = words.number(&field("processing time"), TIME_MAX)?;
        total = total.saturating_add(duration);
        if total > TIME_MAX {
            return Err(words
                .wrong(&field("processing time"), format!("all processing times together exceed {TIME_MAX}"))
                .value(duration));
        }
        let parents = words.number(&field("number of predecessors"), count)?;
        for place in 1..=parents {
            let parent = words.number(&format!("task {task}, predecessor {place}"), TASKS_MAX)?;
            if parent >= count {
                return Err(words
                    .wrong(&format!("task {task}, predecessor {place}"), "there is no such task")
                    .value(parent)
                    .hint(format!("tasks are 0 to {}", count - 1)));
            }
            edges.push((parent as u32, task as u32, 0.0));
        }
        let named = edges.len() - parents as usize;
        let mut sorted: Vec<u32> = edges[named..].iter().map(|edge| edge.0).collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(words
                .wrong(&field("predecessors"), "a predecessor is named twice")
                .value(pair[0])
                .hint(
                    "name it once and correct the number of predecessors, or name the one that was meant",
                ));
        }
        words.end(&field("predecessors"))?;
        durations.push(duration);
    }
    if (durations.len() as u64) < count {
        return Err(FormatError::new(
            name,
            "",
            format!(
                "the file ends after {} of {count} tasks (the first line's number and both dummies)",
                durations.len()
            ),
        )
        .line(last));
    }
    Ok(Facts {
        names: TaskNames::Numbers { first: 0, count: count as u32 },
        tasks: count as u32,
        edges,
        machine: Machine::Vector {
            durations,
            demands: Demand::One,
            capacities: vec![processors],
            resources: vec!["processors".to_owned()],
            processors: true,
        },
    })
}
