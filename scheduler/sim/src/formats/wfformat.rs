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
    facts(name, trace)
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
        sizes.insert(file.id.clone(), file.size);
    }
    let mut seconds = vec![None; specification.tasks.len()];
    for (at, executed) in execution.tasks.iter().enumerate() {
        let path = [Key("workflow"), Key("execution"), Key("tasks"), Index(at)];
        if !executed.seconds.is_finite() || executed.seconds < 0.0 {
            return Err(source
                .wrong(&[&path[..], &[Key("runtimeInSeconds")]].concat(), "a run time must be 0 or more"));
        }
        if let Some(task) = by_id.get(executed.id.as_str()) {
            seconds[*task] = Some(executed.seconds);
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
            trace.sizes.insert(file.name.clone(), file.size);
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
    Ok(trace)
}

fn facts(name: &str, trace: Trace) -> Result<Facts, FormatError> {
    let mut costs: Vec<f64> = trace.seconds.iter().map(|seconds| seconds.max(LEAST)).collect();
    let mut edges: Vec<(u32, u32, f64)> = Vec::new();
    let tasks = costs.len();
    let (mut has_parent, mut has_child) = (vec![false; tasks], vec![false; tasks]);
    for (task, parents) in trace.parents.iter().enumerate() {
        for parent in parents {
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
        return Err(FormatError::new(
            name,
            "workflow",
            "the times of all tasks and transfers together overflow",
        ));
    }
    Ok(Facts {
        tasks: costs.len() as u32,
        names: TaskNames::Names(trace.names),
        edges,
        machine: Machine::Related { costs, speeds: SPEEDS.to_vec(), links },
    })
}
