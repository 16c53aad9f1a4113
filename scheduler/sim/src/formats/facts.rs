//! A file's own numbers, as they stand there.
//!
//! The validator works on these alone. Planners work on the [`Instance`] that is made of them here.

use dunnage_strategies::planning::{Device, Edge, Instance, Kind, Mode, Resource, Rows, Transfers};

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// What each task is called in reports of schedules: its number or its name in the file. Tasks that the
    /// reader added, since the format's convention wants them, come after these and have none.
    pub names: TaskNames,
    /// How many tasks there are, those that the reader added among them.
    pub tasks: u32,
    /// Parent, child, and how much is moved.
    pub edges: Vec<(u32, u32, f64)>,
    /// What they run on, and how long.
    pub machine: Machine,
}

/// What tasks are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskNames {
    /// By numbers: the first is this one, and there are so many.
    Numbers {
        /// The first task's number.
        first: u64,
        /// How many tasks the file has.
        count: u32,
    },
    /// By names.
    Names(Vec<String>),
}

impl TaskNames {
    /// How many tasks the file itself has.
    pub fn count(&self) -> u32 {
        match self {
            Self::Numbers { count, .. } => *count,
            Self::Names(names) => names.len() as u32,
        }
    }
}

/// What tasks run on, and how long.
#[derive(Clone, Debug, PartialEq)]
pub enum Machine {
    /// Devices of different speed, each holding one task at a time, every two joined by a link.
    Related {
        /// For each task its work; on a device it takes this over the device's speed.
        costs: Vec<f64>,
        /// For each device its speed.
        speeds: Vec<f64>,
        /// Row-major by two devices: the speed of the link between them; 0 on the diagonal.
        links: Vec<f64>,
    },
    /// One place with amounts of renewable resources, and whole times.
    Vector {
        /// For each task how long it takes.
        durations: Vec<u64>,
        /// What tasks take while they run.
        demands: Demand,
        /// How much there is of each resource.
        capacities: Vec<u64>,
        /// What the resources are called.
        resources: Vec<String>,
        /// Whether a schedule names the unit of the one resource on which a task runs.
        processors: bool,
    },
    /// A graph of this project: what the planner sees is all that there is in numbers; see the case's graph.
    Graph,
}

/// What tasks take of resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// One unit of the only resource, each task that takes time.
    One,
    /// Row-major by task and resource.
    Table(Vec<u64>),
}

impl Demand {
    /// What a task takes of a resource.
    pub fn of(&self, task: u32, resource: usize, resources: usize, duration: u64) -> u64 {
        match self {
            Self::One => u64::from(duration > 0),
            Self::Table(table) => table[task as usize * resources + resource],
        }
    }
}

impl Facts {
    /// Whether times are whole numbers in the file.
    pub fn is_integral(&self) -> bool {
        matches!(self.machine, Machine::Vector { .. })
    }

    /// What the file calls a task; `None` for one that the reader added.
    pub fn name(&self, task: u32) -> Option<String> {
        match &self.names {
            TaskNames::Numbers { first, count } => {
                (task < *count).then(|| (first + u64::from(task)).to_string())
            }
            TaskNames::Names(names) => names.get(task as usize).cloned(),
        }
    }

    /// Whether the edges make no cycle.
    ///
    /// # Errors
    /// A cycle, as the path of its tasks.
    pub fn check_acyclic(&self) -> Result<(), String> {
        let tasks = self.tasks as usize;
        let mut missing = vec![0_u32; tasks];
        let mut first = vec![0_u32; tasks + 1];
        for (parent, child, _) in &self.edges {
            missing[*child as usize] += 1;
            first[*parent as usize + 1] += 1;
        }
        for task in 0..tasks {
            first[task + 1] += first[task];
        }
        let mut next = first.clone();
        let mut children = vec![0_u32; self.edges.len()];
        for (parent, child, _) in &self.edges {
            let at = &mut next[*parent as usize];
            children[*at as usize] = *child;
            *at += 1;
        }
        let mut ready: Vec<u32> = (0..self.tasks).filter(|task| missing[*task as usize] == 0).collect();
        let mut seen = 0;
        while let Some(task) = ready.pop() {
            seen += 1;
            for child in &children[first[task as usize] as usize..first[task as usize + 1] as usize] {
                missing[*child as usize] -= 1;
                if missing[*child as usize] == 0 {
                    ready.push(*child);
                }
            }
        }
        if seen == tasks {
            return Ok(());
        }
        Err(self.cycle(&missing))
    }

    /// A cycle among the tasks that are left, as a path.
    fn cycle(&self, missing: &[u32]) -> String {
        // Each task that is left has a parent that is left: walking back must come round.
        let mut parent_of = vec![u32::MAX; missing.len()];
        for (parent, child, _) in &self.edges {
            if missing[*parent as usize] > 0 && missing[*child as usize] > 0 {
                parent_of[*child as usize] = *parent;
            }
        }
        let mut visited = vec![false; missing.len()];
        let mut task = missing.iter().position(|left| *left > 0).unwrap_or(0);
        while !visited[task] {
            visited[task] = true;
            match parent_of[task] {
                u32::MAX => break,
                parent => task = parent as usize,
            }
        }
        let mut path = vec![task as u32];
        let mut at = task;
        loop {
            match parent_of[at] {
                u32::MAX => break,
                parent => at = parent as usize,
            }
            path.push(at as u32);
            if at == task {
                break;
            }
        }
        path.reverse();
        let names: Vec<String> =
            path.iter().map(|task| self.name(*task).unwrap_or_else(|| task.to_string())).collect();
        const SHOWN: usize = 12;
        if names.len() > SHOWN {
            format!("{} -> ... -> {}", names[..SHOWN].join(" -> "), names[names.len() - 1])
        } else {
            names.join(" -> ")
        }
    }

    /// The same as a planner sees it.
    pub fn instance(&self) -> Instance {
        let mut instance = Instance { kind_of: (0..self.tasks).collect(), ..Instance::default() };
        match &self.machine {
            Machine::Related { costs, speeds, links } => related(&mut instance, costs, speeds, links),
            Machine::Vector { durations, demands, capacities, resources, .. } => {
                vector(&mut instance, durations, demands, capacities, resources);
            }
            Machine::Graph => {}
        }
        instance.parents = self.parents();
        instance.children = instance.parents.reversed(self.tasks as usize);
        instance
    }

    /// The edges by their children, in the file's order within one.
    fn parents(&self) -> Rows<Edge> {
        let tasks = self.tasks as usize;
        let mut start = vec![0_usize; tasks + 1];
        for (_, child, _) in &self.edges {
            start[*child as usize + 1] += 1;
        }
        for task in 0..tasks {
            start[task + 1] += start[task];
        }
        let mut next = start.clone();
        let mut items = vec![Edge { node: 0, size: 0.0 }; self.edges.len()];
        for (parent, child, size) in &self.edges {
            let at = &mut next[*child as usize];
            items[*at] = Edge { node: *parent, size: *size };
            *at += 1;
        }
        let mut rows = Rows::default();
        for task in 0..tasks {
            rows.push(items[start[task]..start[task + 1]].iter().copied());
        }
        rows
    }
}

/// Each device is its own resource of one unit and its own place.
fn related(instance: &mut Instance, costs: &[f64], speeds: &[f64], links: &[f64]) {
    let devices = speeds.len();
    instance.devices = (0..devices).map(|at| Device { name: format!("p{at}"), place: at as u32 }).collect();
    instance.resources = (0..devices).map(|at| Resource { name: format!("p{at}"), capacity: 1 }).collect();
    let mut transfers = Transfers::free(devices);
    for from in 0..devices {
        for to in (0..devices).filter(|to| *to != from) {
            transfers.set(from, to, 1.0 / links[from * devices + to], 0.0);
        }
    }
    instance.transfers = transfers;
    instance.kinds = costs
        .iter()
        .map(|cost| Kind {
            modes: speeds
                .iter()
                .enumerate()
                .map(|(device, speed)| Mode {
                    variant: 0,
                    device: device as u32,
                    seconds: cost / speed,
                    takes: Box::new([(device as u32, 1)]),
                    price: 0.0,
                    joules: 0.0,
                })
                .collect(),
        })
        .collect();
}

/// One device at one place, one mode a task.
fn vector(
    instance: &mut Instance,
    durations: &[u64],
    demands: &Demand,
    capacities: &[u64],
    resources: &[String],
) {
    instance.devices = vec![Device { name: "machine".to_owned(), place: 0 }];
    instance.resources = capacities
        .iter()
        .zip(resources)
        .map(|(capacity, name)| Resource { name: name.clone(), capacity: *capacity })
        .collect();
    instance.transfers = Transfers::free(1);
    instance.kinds = (0_u32..)
        .zip(durations)
        .map(|(task, duration)| {
            let takes = (0..capacities.len())
                .map(|at| (at as u32, demands.of(task, at, capacities.len(), *duration)))
                .filter(|(_, amount)| *amount > 0)
                .collect();
            let mode =
                Mode { variant: 0, device: 0, seconds: *duration as f64, takes, price: 0.0, joules: 0.0 };
            Kind { modes: vec![mode] }
        })
        .collect();
}
