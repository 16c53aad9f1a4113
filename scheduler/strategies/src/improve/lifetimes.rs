//! Values that take up memory from their making to their last reading.
//!
//! Where an instance says of a place which of its resources is the memory of values
//! ([`crate::planning::Instance::value_memory`]):
//!
//! - the value of a task is as large as the largest of its edges, in whole units rounded up;
//! - it takes of the memory where it was made from the start of its task until the last reader there has
//!   ended and the last reader elsewhere has begun, or until it has been moved out;
//! - a reader elsewhere has a copy, from when its transfer begins until the reader ends; transfers end when
//!   their reader starts.
//!
//! The serial scheme is as without values, except that what has readers left is held without an end, so a
//! memory is never overfull at any time, whatever is placed later. Where the next task does not fit, a later
//! one goes first if it is the last reader of something; where none is, values are moved out, those read
//! last first: to the nearest place without a limit, or where there is none to files, which cost no time.
//! So there is always a plan. A task whose inputs and output alone exceed the memory keeps them in files.
//!
//! Source: the setting is that of MemHEFT (Herrmann, Marchal and Robert 2014); the order and the moving
//! out are ours. Cost: that of the serial scheme, and for each task that waits a look at the others. Bad
//! where memory is so short that nearly everything is moved out: it does not plan ahead for that.

use super::decoder::{Choose, Sgs};
use super::encoding::{List, ModeRow, Net};
use crate::planning::{Edge, Instance, Moved, Rows};

/// Above this many pairs of a task and what it reads through gathers, gathered values count as files.
const PAIRS_MAX: usize = 1 << 22;

/// A line that does not exist.
const NONE: u32 = u32::MAX;

/// Who reads what, and where memory is counted.
#[derive(Debug)]
pub(crate) struct Values {
    /// For each place the line of its memory.
    memory: Vec<u32>,
    /// For each task what it reads, gathers seen through.
    inputs: Rows<Edge>,
    /// For each task who reads it.
    readers: Rows<Edge>,
    /// For each task the units that its value takes.
    size: Vec<i64>,
}

impl Values {
    /// `None` where values cost no memory anywhere.
    pub(crate) fn of(instance: &Instance, places: usize, line_of: &[u32]) -> Option<Self> {
        let memory: Vec<u32> = (0..places)
            .map(|place| {
                let resource = instance.value_memory.get(place).copied().flatten();
                resource.and_then(|resource| line_of.get(resource as usize).copied()).unwrap_or(NONE)
            })
            .collect();
        if memory.iter().all(|line| *line == NONE) {
            return None;
        }
        let mut inputs: Rows<Edge> = Rows::default();
        let mut row = Vec::new();
        for task in 0..instance.tasks() {
            let left = PAIRS_MAX.saturating_sub(inputs.items());
            collect(instance, task, left, &mut row);
            inputs.push(row.drain(..));
        }
        let tasks = instance.tasks() as usize;
        let readers = inputs.reversed(tasks);
        let size = (0..tasks as u32)
            .map(|task| readers.row(task).iter().map(|edge| units(edge.size)).max().unwrap_or(0))
            .collect();
        Some(Self { memory, inputs, readers, size })
    }
}

/// Whole units.
fn units(size: f64) -> i64 {
    // Casts of what is too large are the largest number.
    size.ceil() as i64
}

/// What a task reads, each value once, the largest edge of it.
fn collect(instance: &Instance, task: u32, most: usize, row: &mut Vec<Edge>) {
    row.clear();
    let mut open: Vec<u32> = Vec::new();
    for edge in instance.parents.row(task) {
        if edge.node < instance.tasks() {
            row.push(*edge);
        } else {
            open.push(edge.node);
        }
    }
    while let Some(gather) = open.pop() {
        for edge in instance.parents.row(gather) {
            if edge.node >= instance.tasks() {
                open.push(edge.node);
            } else if row.len() < most {
                row.push(*edge);
            }
        }
    }
    row.retain(|edge| edge.size > 0.0);
    row.sort_by(|a, b| a.node.cmp(&b.node).then(b.size.total_cmp(&a.size)));
    row.dedup_by_key(|edge| edge.node);
}

/// Where the value of a task is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// Where it was made.
    Home,
    /// At a place without a limit, from a time on.
    Place(u32, f64),
    /// In files, from a time on.
    Files(f64),
}

/// What is known while a schedule with values is made.
#[derive(Debug, Default)]
pub(crate) struct Held {
    at: Vec<At>,
    /// For each value until when it is needed where it was made by what is placed.
    until: Vec<f64>,
    /// For each value how many readers are not placed.
    left: Vec<u32>,
    /// For each task how many inputs and gathers are not placed.
    missing: Vec<u32>,
    is_placed: Vec<bool>,
    /// What was moved out, by time of decision.
    pub(crate) moved: Vec<Moved>,
}

impl Sgs {
    /// As [`Sgs::run`], with values.
    pub(super) fn run_with_values(
        &mut self,
        net: &Net<'_>,
        values: &Values,
        list: &mut List,
        choose: Choose,
        limit: f64,
        is_over: &mut dyn FnMut() -> bool,
    ) -> f64 {
        let tasks = net.tasks as usize;
        self.held.at.clear();
        self.held.at.resize(tasks, At::Home);
        self.held.until.clear();
        self.held.until.resize(tasks, 0.0);
        self.held.left.clear();
        self.held.left.extend((0..net.tasks).map(|task| values.readers.row(task).len() as u32));
        self.held.missing.clear();
        self.held.missing.extend((0..net.nodes).map(|node| net.parents(node).len() as u32));
        self.held.is_placed.clear();
        self.held.is_placed.resize(net.nodes as usize, false);
        self.held.moved.clear();
        let mut makespan = 0.0_f64;
        let mut first = 0;
        let mut steps = 0;
        while first < list.order.len() {
            steps += 1;
            if steps % 256 == 0 && is_over() {
                return f64::INFINITY;
            }
            let node = list.order[first];
            if self.held.is_placed[node as usize] {
                first += 1;
                continue;
            }
            if node >= net.tasks {
                self.gather(net, node);
                self.mark(net, node);
                continue;
            }
            let end = match self.best_mode(net, values, list, choose, node) {
                Some((row, start)) => self.settle(net, values, list, node, row, start),
                None => match self.reader_that_fits(net, values, list, choose, first) {
                    Some((task, row, start)) => self.settle(net, values, list, task, row, start),
                    None => self.make_room(net, values, list, choose, node),
                },
            };
            makespan = makespan.max(end);
            if makespan >= limit {
                return f64::INFINITY;
            }
        }
        makespan
    }

    fn mark(&mut self, net: &Net<'_>, node: u32) {
        self.held.is_placed[node as usize] = true;
        for edge in net.children(node) {
            self.held.missing[edge.node as usize] -= 1;
        }
    }

    /// When a value can be at a place, and whether that takes a copy.
    fn input(&self, net: &Net<'_>, edge: &Edge, place: u32) -> (f64, f64, bool) {
        let parent = edge.node as usize;
        match self.held.at[parent] {
            At::Home if self.place[parent] == place => (self.end[parent], 0.0, false),
            At::Home => (self.end[parent], net.moving(edge.size, self.place[parent], place), true),
            At::Place(from, since) => (since, net.moving(edge.size, from, place), from != place),
            At::Files(since) => (since, 0.0, true),
        }
    }

    /// The first time at which a task could start in a mode with all its values; infinite where never.
    fn fit_with_values(&self, net: &Net<'_>, values: &Values, task: u32, mode: &ModeRow) -> f64 {
        let mut ready = self.ready_at(net, task, mode.place);
        let memory = values.memory[mode.place as usize];
        let (mut copies, mut longest) = (0_i64, 0.0_f64);
        for edge in values.inputs.row(task) {
            let (since, moving, is_copy) = self.input(net, edge, mode.place);
            ready = ready.max(since + moving);
            if is_copy {
                copies = copies.saturating_add(units(edge.size));
                longest = longest.max(moving);
            }
        }
        if memory == NONE {
            return self.fit(net, mode, ready);
        }
        let own = values.size[task as usize];
        let taken = net.takes_of(mode).iter().find(|take| take.0 == memory).map_or(0, |take| take.1);
        let all = taken.saturating_add(own).saturating_add(copies);
        let line = &self.lines[memory as usize];
        let mut at = ready;
        loop {
            let before = at;
            at = self.fit(net, mode, at);
            // All of it at once from the first transfer to the end, and then the value alone.
            while let Some(until) = line.blocked((at - longest).max(0.0), at + mode.seconds, all) {
                at = at.max(until + longest);
                while at - longest < until {
                    at = at.next_up();
                }
                if at == f64::INFINITY {
                    return at;
                }
            }
            at = line.fit(at, f64::INFINITY, own);
            if at == f64::INFINITY || at == before {
                return at;
            }
        }
    }

    /// The mode in which a task ends first, and its start; `None` where it fits in none.
    fn best_mode(
        &self,
        net: &Net<'_>,
        values: &Values,
        list: &List,
        choose: Choose,
        task: u32,
    ) -> Option<(u32, f64)> {
        let fixed = list.mode[task as usize];
        let rows = match choose {
            Choose::No => fixed as usize..fixed as usize + 1,
            Choose::All => net.modes_of(task),
        };
        let mut best: Option<(u32, f64, f64)> = None;
        for row in rows {
            let start = self.fit_with_values(net, values, task, &net.modes[row]);
            let end = start + net.modes[row].seconds;
            if end < best.map_or(f64::INFINITY, |best| best.2) {
                best = Some((row as u32, start, end));
            }
        }
        best.map(|(row, start, _)| (row, start))
    }

    /// The first task behind a blocked one that could be placed and is the last reader of something.
    fn reader_that_fits(
        &self,
        net: &Net<'_>,
        values: &Values,
        list: &List,
        choose: Choose,
        first: usize,
    ) -> Option<(u32, u32, f64)> {
        list.order[first + 1..].iter().copied().filter(|task| *task < net.tasks).find_map(|task| {
            let is_last = |edge: &Edge| {
                self.held.left[edge.node as usize] == 1
                    && self.held.at[edge.node as usize] == At::Home
                    && values.memory[self.place[edge.node as usize] as usize] != NONE
            };
            let may = !self.held.is_placed[task as usize]
                && self.held.missing[task as usize] == 0
                && values.inputs.row(task).iter().any(is_last);
            let (row, start) = may.then(|| self.best_mode(net, values, list, choose, task)).flatten()?;
            Some((task, row, start))
        })
    }

    /// Places a task, and lets go of what it was the last to read.
    fn settle(
        &mut self,
        net: &Net<'_>,
        values: &Values,
        list: &mut List,
        task: u32,
        row: u32,
        start: f64,
    ) -> f64 {
        let mode = &net.modes[row as usize];
        let end = start + mode.seconds;
        for (line, amount) in net.takes_of(mode) {
            self.lines[*line as usize].take(start, end, *amount);
        }
        let memory = values.memory[mode.place as usize];
        for edge in values.inputs.row(task) {
            let (_, moving, is_copy) = self.input(net, edge, mode.place);
            if is_copy && memory != NONE {
                self.lines[memory as usize].take((start - moving).max(0.0), end, units(edge.size));
            }
        }
        self.place[task as usize] = mode.place;
        self.start[task as usize] = start;
        self.end[task as usize] = end;
        list.mode[task as usize] = row;
        let own = values.size[task as usize];
        if memory != NONE && own > 0 {
            self.lines[memory as usize].take(start, f64::INFINITY, own);
        }
        self.let_go(values, task, mode.place, start, end);
        self.held.until[task as usize] = end;
        self.mark(net, task);
        end
    }

    /// Counts a reader of its inputs as placed.
    fn let_go(&mut self, values: &Values, task: u32, place: u32, start: f64, end: f64) {
        for edge in values.inputs.row(task) {
            let parent = edge.node as usize;
            self.held.left[parent] -= 1;
            if self.held.at[parent] != At::Home {
                continue;
            }
            let home = self.place[parent];
            let until = if home == place { end } else { start };
            self.held.until[parent] = self.held.until[parent].max(until);
            let memory = values.memory[home as usize];
            if self.held.left[parent] == 0 && memory != NONE {
                self.lines[memory as usize].free(self.held.until[parent], values.size[parent]);
            }
        }
    }

    /// Moves values out until a task fits, and places it.
    fn make_room(
        &mut self,
        net: &Net<'_>,
        values: &Values,
        list: &mut List,
        choose: Choose,
        task: u32,
    ) -> f64 {
        let fixed = list.mode[task as usize];
        let rows = match choose {
            Choose::No => fixed as usize..fixed as usize + 1,
            Choose::All => net.modes_of(task),
        };
        // The quickest mode first; the others where it does not fit even alone.
        let mut rows: Vec<u32> = rows.map(|row| row as u32).collect();
        rows.sort_by(|a, b| {
            net.modes[*a as usize].seconds.total_cmp(&net.modes[*b as usize].seconds).then(a.cmp(b))
        });
        let mut next_use = vec![usize::MAX; net.tasks as usize];
        for (at, reader) in list.order.iter().enumerate().rev() {
            if *reader < net.tasks && !self.held.is_placed[*reader as usize] {
                for edge in values.inputs.row(*reader) {
                    next_use[edge.node as usize] = at;
                }
            }
        }
        for row in rows.iter().copied() {
            let mode = &net.modes[row as usize];
            let mut here: Vec<u32> = (0..net.tasks)
                .filter(|value| {
                    let at = *value as usize;
                    self.held.is_placed[at]
                        && self.held.left[at] > 0
                        && self.held.at[at] == At::Home
                        && self.place[at] == mode.place
                        && values.inputs.row(task).iter().all(|edge| edge.node != *value)
                })
                .collect();
            here.sort_by_key(|value| (std::cmp::Reverse(next_use[*value as usize]), *value));
            for value in here {
                self.move_out(net, values, value);
                let start = self.fit_with_values(net, values, task, mode);
                if start < f64::INFINITY {
                    return self.settle(net, values, list, task, row, start);
                }
            }
        }
        self.place_with_files(net, values, list, task, rows.first().copied().unwrap_or(fixed))
    }

    /// Moves a value to where memory has no limit, after those that read it here.
    fn move_out(&mut self, net: &Net<'_>, values: &Values, value: u32) {
        let home = self.place[value as usize];
        let size = values.readers.row(value).iter().map(|edge| edge.size).fold(0.0, f64::max);
        let to = (0..net.places as u32)
            .filter(|place| values.memory[*place as usize] == NONE)
            .min_by(|a, b| net.moving(size, home, *a).total_cmp(&net.moving(size, home, *b)));
        let from = self.held.until[value as usize];
        let until = from + to.map_or(0.0, |to| net.moving(size, home, to));
        self.held.at[value as usize] = to.map_or(At::Files(until), |to| At::Place(to, until));
        self.held.moved.push(Moved { task: value, to, from, until });
        let memory = values.memory[home as usize];
        self.lines[memory as usize].free(until, values.size[value as usize]);
    }

    /// Places a task that does not fit even alone: what it reads here goes to files first, and what it reads
    /// and makes takes no memory.
    fn place_with_files(
        &mut self,
        net: &Net<'_>,
        values: &Values,
        list: &mut List,
        task: u32,
        row: u32,
    ) -> f64 {
        let mode = &net.modes[row as usize];
        let mut ready = self.ready_at(net, task, mode.place);
        for edge in values.inputs.row(task) {
            let at = edge.node as usize;
            if self.held.at[at] == At::Home
                && self.place[at] == mode.place
                && values.memory[mode.place as usize] != NONE
            {
                self.move_out(net, values, edge.node);
            }
            let (since, moving, _) = self.input(net, edge, mode.place);
            ready = ready.max(since + moving);
        }
        let start = self.fit(net, mode, ready);
        let end = start + mode.seconds;
        for (line, amount) in net.takes_of(mode) {
            self.lines[*line as usize].take(start, end, *amount);
        }
        self.place[task as usize] = mode.place;
        self.start[task as usize] = start;
        self.end[task as usize] = end;
        self.held.until[task as usize] = end;
        list.mode[task as usize] = row;
        if values.size[task as usize] > 0 && values.memory[mode.place as usize] != NONE {
            self.held.at[task as usize] = At::Files(end);
            self.held.moved.push(Moved { task, to: None, from: start, until: start });
        }
        self.let_go(values, task, mode.place, start, end);
        self.mark(net, task);
        end
    }
}
