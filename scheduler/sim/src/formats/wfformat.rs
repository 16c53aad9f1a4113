//! WfFormat of WfCommons: traces of real workflows, version 1.5 and the flat layouts before it.
//!
//! A trace says how long each task ran and which files it read and wrote, not on what it is to be planned.
//! Here a task's work is its run time (at least a nanosecond); an edge moves the files that the parent
//! writes and the child reads, in MiB (at least 1e-9). The machine is one of eight devices with the speeds
//! [`SPEEDS`], every two joined by a link; link speeds are scaled so that moving a mean edge takes half as
//! long as a mean task. A source and a sink without work are added where there is not exactly one of each;
//! they are no tasks of the file and stand in no list of schedules.

use super::FormatError;
use super::facts::{Facts, Machine, TaskNames};
use super::hetero_json::is_sane;
use super::json::{self, Step};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};

/// The speeds of the devices.
const SPEEDS: [f64; 8] = [1.0, 1.0, 1.13, 1.13, 2.07, 2.07, 3.91, 3.91];

/// Time for moving over time for computing, in the mean.
const COMMUNICATION: f64 = 0.5;

/// The least work, in seconds, and the least size of an edge, in MiB.
const LEAST: f64 = 1e-9;

#[derive(Deserialize)]
struct Doc {
    workflow: Workflow,
}

#[derive(Deserialize)]
struct Workflow {
    specification: Option<Specification>,
    execution: Option<Execution>,
    /// Before 1.5 everything was in one list, once called `jobs`.
    tasks: Option<Vec<Flat>>,
    jobs: Option<Vec<Flat>>,
}

#[derive(Deserialize)]
struct Specification {
    tasks: Vec<Task>,
    #[serde(default)]
    files: Vec<FileSize>,
}

#[derive(Deserialize)]
struct Task {
    id: String,
    #[serde(default)]
    parents: Vec<String>,
    #[serde(default)]
    children: Vec<String>,
    #[serde(default, rename = "inputFiles")]
    inputs: Vec<String>,
    #[serde(default, rename = "outputFiles")]
    outputs: Vec<String>,
}

#[derive(Deserialize)]
struct FileSize {
    id: String,
    #[serde(rename = "sizeInBytes")]
    size: f64,
}

#[derive(Deserialize)]
struct Execution {
    tasks: Vec<Executed>,
}

#[derive(Deserialize)]
struct Executed {
    id: String,
    #[serde(rename = "runtimeInSeconds")]
    seconds: f64,
}

#[derive(Deserialize)]
struct Flat {
    id: Option<String>,
    name: String,
    #[serde(alias = "runtime", rename = "runtimeInSeconds")]
    seconds: f64,
    #[serde(default)]
    parents: Vec<String>,
    #[serde(default)]
    children: Vec<String>,
    #[serde(default)]
    files: Vec<FlatFile>,
}

#[derive(Deserialize)]
struct FlatFile {
    #[serde(alias = "id")]
    name: String,
    #[serde(alias = "size", rename = "sizeInBytes")]
    size: f64,
    link: Link,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Link {
    Input,
    Output,
}

/// A trace of either layout.
struct Trace {
    names: Vec<String>,
    seconds: Vec<f64>,
    parents: Vec<Vec<usize>>,
    inputs: Vec<BTreeSet<String>>,
    outputs: Vec<BTreeSet<String>>,
    sizes: HashMap<String, f64>,
}

pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Facts, FormatError> {
    let doc: Doc = json::read(name, bytes)?;
    let workflow = doc.workflow;
    let source = Source { name, bytes };
    let trace = match (workflow.specification, workflow.execution) {
        (Some(specification), Some(execution)) => nested(source, specification, execution)?,
        (Some(_), None) => {
            return Err(FormatError::new(
                name,
                "workflow.execution",
                "a trace without run times cannot be planned",
            )
            .hint("use an instance of WfInstances, not a recipe"));
        }
        (None, _) => match (workflow.tasks, workflow.jobs) {
            (Some(tasks), _) => flat(source, "tasks", tasks)?,
            (None, Some(jobs)) => flat(source, "jobs", jobs)?,
            (None, None) => {
                return Err(FormatError::new(
                    name,
                    "workflow",
                    "there is neither `specification` nor `tasks`",
                )
                .hint("is this a WfFormat file?"));
            }
        },
    };
    facts(source, trace)
}

/// The document, for errors.
#[derive(Clone, Copy)]
struct Source<'b> {
    name: &'b str,
    bytes: &'b [u8],
}

impl Source<'_> {
    fn wrong(self, path: &[Step<'_>], message: &str) -> FormatError {
        json::wrong(self.name, self.bytes, path, message)
    }
}

fn nested(
    source: Source<'_>,
    specification: Specification,
    execution: Execution,
) -> Result<Trace, FormatError> {
    use Step::{Index, Key};
    let tasks = [Key("workflow"), Key("specification"), Key("tasks")];
    let mut by_id = HashMap::with_capacity(specification.tasks.len());
    for (at, task) in specification.tasks.iter().enumerate() {
        if by_id.insert(task.id.as_str(), at).is_some() {
            return Err(
                source.wrong(&[&tasks[..], &[Index(at), Key("id")]].concat(), "two tasks have this id")
            );
        }
    }
    let mut sizes = HashMap::with_capacity(specification.files.len());
    for (at, file) in specification.files.iter().enumerate() {
        if !file.size.is_finite() || file.size < 0.0 {
            let path = [Key("workflow"), Key("specification"), Key("files"), Index(at), Key("sizeInBytes")];
            return Err(source.wrong(&path, "a size must be 0 or more"));
        }
        if let Some(known) = sizes.insert(file.id.clone(), file.size).filter(|known| *known != file.size) {
            let path = [Key("workflow"), Key("specification"), Key("files"), Index(at), Key("sizeInBytes")];
            return Err(source
                .wrong(&path, &format!("file `{}` is there before with another size ({known})", file.id))
                .hint("leave one of them out"));
        }
    }
    let mut seconds = vec![None; specification.tasks.len()];
    for (at, executed) in execution.tasks.iter().enumerate() {
        let path = [Key("workflow"), Key("execution"), Key("tasks"), Index(at)];
        if !executed.seconds.is_finite() || executed.seconds < 0.0 {
            return Err(source
                .wrong(&[&path[..], &[Key("runtimeInSeconds")]].concat(), "a run time must be 0 or more"));
        }
        if let Some(task) = by_id.get(executed.id.as_str()) {
            let known = seconds[*task].replace(executed.seconds);
            if let Some(known) = known.filter(|known| *known != executed.seconds) {
                return Err(source
                    .wrong(
                        &[&path[..], &[Key("runtimeInSeconds")]].concat(),
                        &format!("task `{}` is there before with another run time ({known})", executed.id),
                    )
                    .hint("a task runs once: leave one of them out"));
            }
        }
    }
    let mut trace = Trace {
        names: Vec::new(),
        seconds: Vec::new(),
        parents: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        sizes,
    };
    for (at, task) in specification.tasks.iter().enumerate() {
        let path = [&tasks[..], &[Index(at)]].concat();
        let Some(seconds) = seconds[at] else {
            return Err(source
                .wrong(&[&path[..], &[Key("id")]].concat(), "nothing is said of its run time")
                .hint("`workflow.execution.tasks` has no entry with this id"));
        };
        let mut parents = Vec::with_capacity(task.parents.len());
        for (place, parent) in task.parents.iter().enumerate() {
            let Some(parent) = by_id.get(parent.as_str()) else {
                return Err(source
                    .wrong(&[&path[..], &[Key("parents"), Index(place)]].concat(), "there is no such task"));
            };
            parents.push(*parent);
        }
        trace.names.push(task.id.clone());
        trace.seconds.push(seconds);
        trace.parents.push(parents);
        trace.inputs.push(task.inputs.iter().cloned().collect());
        trace.outputs.push(task.outputs.iter().cloned().collect());
    }
    let children: Vec<&[String]> = specification.tasks.iter().map(|task| task.children.as_slice()).collect();
    check_children(source, &tasks, &trace, &children, |name| by_id.get(name).copied())?;
    Ok(trace)
}

fn flat(source: Source<'_>, list: &str, tasks: Vec<Flat>) -> Result<Trace, FormatError> {
    use Step::{Index, Key};
    let mut by_id: HashMap<&str, usize> = HashMap::with_capacity(tasks.len());
    let mut by_name: HashMap<&str, usize> = HashMap::with_capacity(tasks.len());
    for (at, task) in tasks.iter().enumerate() {
        let path = |key| [Key("workflow"), Key(list), Index(at), Key(key)];
        if !task.seconds.is_finite() || task.seconds < 0.0 {
            let key = if json::wrong(source.name, source.bytes, &path("runtime"), "").at.is_some() {
                "runtime"
            } else {
                "runtimeInSeconds"
            };
            return Err(source.wrong(&path(key), "a run time must be 0 or more"));
        }
        let twice = match &task.id {
            Some(id) => by_id.insert(id, at).map(|_| "id"),
            None => by_name.contains_key(task.name.as_str()).then_some("name"),
        };
        if let Some(key) = twice {
            return Err(source.wrong(&path(key), "two tasks are called so"));
        }
        by_name.entry(&task.name).or_insert(at);
    }
    let mut trace = Trace {
        names: Vec::new(),
        seconds: Vec::new(),
        parents: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        sizes: HashMap::new(),
    };
    for (at, task) in tasks.iter().enumerate() {
        let mut parents = Vec::with_capacity(task.parents.len());
        for (place, parent) in task.parents.iter().enumerate() {
            let known = by_id.get(parent.as_str()).or_else(|| by_name.get(parent.as_str()));
            let Some(parent) = known else {
                let path = [Key("workflow"), Key(list), Index(at), Key("parents"), Index(place)];
                return Err(source.wrong(&path, "there is no such task"));
            };
            parents.push(*parent);
        }
        for (place, file) in task.files.iter().enumerate() {
            if !file.size.is_finite() || file.size < 0.0 {
                let path = [Key("workflow"), Key(list), Index(at), Key("files"), Index(place)];
                return Err(source.wrong(&path, "a size must be 0 or more"));
            }
            let known = trace.sizes.insert(file.name.clone(), file.size);
            if let Some(known) = known.filter(|known| *known != file.size) {
                let path = [Key("workflow"), Key(list), Index(at), Key("files"), Index(place)];
                return Err(source
                    .wrong(
                        &path,
                        &format!("file `{}` is there before with another size ({known})", file.name),
                    )
                    .hint("a file has one size: give both entries the same"));
            }
        }
        let linked = |link: &Link| {
            task.files.iter().filter(|file| file.link == *link).map(|file| file.name.clone()).collect()
        };
        trace.names.push(task.id.clone().unwrap_or_else(|| task.name.clone()));
        trace.seconds.push(task.seconds);
        trace.parents.push(parents);
        trace.inputs.push(linked(&Link::Input));
        trace.outputs.push(linked(&Link::Output));
    }
    let children: Vec<&[String]> = tasks.iter().map(|task| task.children.as_slice()).collect();
    check_children(source, &[Key("workflow"), Key(list)], &trace, &children, |name| {
        by_id.get(name).or_else(|| by_name.get(name)).copied()
    })?;
    Ok(trace)
}

/// Where a trace lists children, they are those that name the task as a parent. A trace without any list of
/// children says nothing of them.
fn check_children(
    source: Source<'_>,
    tasks: &[Step<'_>],
    trace: &Trace,
    children: &[&[String]],
    find: impl Fn(&str) -> Option<usize>,
) -> Result<(), FormatError> {
    if children.iter().all(|children| children.is_empty()) {
        return Ok(());
    }
    let edges: BTreeSet<(usize, usize)> = (0..)
        .zip(&trace.parents)
        .flat_map(|(child, parents)| parents.iter().map(move |parent| (*parent, child)))
        .collect();
    let mut listed = BTreeSet::new();
    for (at, names) in children.iter().enumerate() {
        for (place, child) in names.iter().enumerate() {
            let wrong = |message: &str| {
                let path = [tasks, &[Step::Index(at), Step::Key("children"), Step::Index(place)]].concat();
                source.wrong(&path, message)
            };
            let Some(found) = find(child) else { return Err(wrong("there is no such task")) };
            if !edges.contains(&(at, found)) {
                return Err(wrong(&format!(
                    "task `{child}` does not name `{}` as a parent",
                    trace.names[at]
                ))
                .hint("the `parents` of the one and the `children` of the other must say the same"));
            }
            listed.insert((at, found));
        }
    }
    match edges.iter().find(|edge| !listed.contains(edge)) {
        None => Ok(()),
        Some((parent, child)) => {
            let path = [tasks, &[Step::Index(*parent), Step::Key("children")]].concat();
            let (parent, child) = (&trace.names[*parent], &trace.names[*child]);
            Err(source
                .wrong(
                    &path,
                    &format!("`{child}` names `{parent}` as a parent and is not listed as a child of it"),
                )
                .hint("the `parents` of the one and the `children` of the other must say the same"))
        }
    }
}

fn facts(source: Source<'_>, trace: Trace) -> Result<Facts, FormatError> {
    let mut costs: Vec<f64> = trace.seconds.iter().map(|seconds| seconds.max(LEAST)).collect();
    let mut edges: Vec<(u32, u32, f64)> = Vec::new();
    let tasks = costs.len();
    let (mut has_parent, mut has_child) = (vec![false; tasks], vec![false; tasks]);
    for (task, parents) in trace.parents.iter().enumerate() {
        // A parent that is named again is the same edge.
        let mut known = BTreeSet::new();
        for parent in parents.iter().filter(|parent| known.insert(**parent)) {
            let mut size = 0.0;
            for file in trace.outputs[*parent].intersection(&trace.inputs[task]) {
                size += trace.sizes.get(file).copied().unwrap_or(0.0) / f64::from(1 << 20);
            }
            edges.push((*parent as u32, task as u32, size.max(LEAST)));
            (has_parent[task], has_child[*parent]) = (true, true);
        }
    }
    let without = |marks: &[bool]| -> Vec<u32> {
        (0_u32..).zip(marks).filter(|(_, mark)| !**mark).map(|(task, _)| task).collect()
    };
    let (roots, leaves) = (without(&has_parent), without(&has_child));
    // A trace that is nothing but a cycle has no root; the cycle is told later.
    if roots.len() > 1 {
        costs.push(0.0);
        edges.extend(roots.iter().map(|root| (costs.len() as u32 - 1, *root, 0.0)));
    }
    if leaves.len() > 1 {
        costs.push(0.0);
        edges.extend(leaves.iter().map(|leaf| (*leaf, costs.len() as u32 - 1, 0.0)));
    }
    let devices = SPEEDS.len();
    let mut base = vec![0.0; devices * devices];
    let mut sum = 0.0;
    for from in 0..devices {
        for to in from + 1..devices {
            let speed = 1.0 + 0.01 * (from + 3 * to) as f64;
            (base[from * devices + to], base[to * devices + from]) = (speed, speed);
            sum += speed;
        }
    }
    let mean_size = edges.iter().map(|edge| edge.2).sum::<f64>() / edges.len().max(1) as f64;
    let mean_cost = costs.iter().sum::<f64>() / costs.len().max(1) as f64;
    let mean_speed = SPEEDS.iter().sum::<f64>() / devices as f64;
    let mean_base = sum / (devices * (devices - 1) / 2) as f64;
    let wanted = mean_size / (COMMUNICATION * mean_cost / mean_speed);
    let factor = if wanted.is_normal() { wanted / mean_base } else { 1.0 };
    let links: Vec<f64> = base.iter().map(|speed| speed * factor).collect();
    let times = costs.iter().sum::<f64>() + edges.iter().map(|edge| edge.2).sum::<f64>() / factor;
    if !is_sane(times) || !factor.is_normal() {
        // The largest number is the one to look at.
        let of = |values: &mut dyn Iterator<Item = (&str, f64)>| {
            values
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .map_or_else(String::new, |(name, value)| format!("{name}: {value:e}"))
        };
        let task = of(&mut trace.names.iter().map(String::as_str).zip(trace.seconds.iter().copied()));
        let mut files: Vec<(&str, f64)> =
            trace.sizes.iter().map(|(name, size)| (name.as_str(), *size)).collect();
        files.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let file = of(&mut files.into_iter());
        return Err(FormatError::new(
            source.name,
            "workflow",
            "the times of all tasks and transfers together overflow",
        )
        .value(format!("longest task {task} s; largest file {file} bytes"))
        .hint("check these two: a run time or a size is not a real one"));
    }
    Ok(Facts {
        tasks: costs.len() as u32,
        names: TaskNames::Names(trace.names),
        edges,
        machine: Machine::Related { costs, speeds: SPEEDS.to_vec(), links },
    })
}
