//! From a graph as given to a graph as checked, or to the list of everything that is wrong with it.
//!
//! Passes, each over all functions before the next begins: names and families, instances and their
//! ids, placeholders, variants and requests, references, and last the order, by Kahn's method; only
//! where that leaves something over is the cycle looked for and shown as its path. No pass is left out
//! because an earlier one found something, so that an author sees everything at once; at the end the
//! problems are put into the order of the file.

use super::validated::{Rows, bindings, hash_id, instance_id};
use crate::{
    Arg, ArgSpec, Axis, Code, Cost, DeviceKind, Extras, Family, Function, FunctionSpec, Graph, GraphSpec,
    Group, Literal, MilliShare, Need, OnFailure, Piece, Problem, Request, Settings, Tolerance, Variant,
    expand, names, nearest, pieces,
};
use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// How large a graph may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Tasks, all instances of sweeps counted.
    pub functions: u32,
    /// Dependencies, counted as in [`Graph::edges`].
    pub edges: usize,
    /// Problems that are listed; the rest is counted.
    pub problems: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { functions: 1_000_000, edges: 50_000_000, problems: 100 }
    }
}

/// At most this many outputs of one function: they are bits of one word.
const OUTPUTS_MAX: usize = 64;

/// A misspelt name is compared with at most this many known ones.
const NEAREST_AMONG: usize = 5000;

/// For each problem that is listed so many are kept, so that the listed ones are the first of the file
/// and not the first that were found.
const KEPT_FOR_ONE_LISTED: usize = 8;

/// Variables by which a task is confined to its devices.
const RESERVED_VARIABLES: [&str; 3] = ["CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES"];

/// The placeholders that every function knows, besides `arg.N`, `out.N`, `input.NAME` and its own.
const COMMON_NAMES: [&str; 6] = ["graph", "id", "attempt", "gpus", "cpus", "port"];

impl Graph {
    /// Checks a graph and makes it ready to run.
    ///
    /// # Errors
    /// All problems at once, in the order of the file, at most `limits.problems` of them.
    pub fn build(spec: GraphSpec, limits: &Limits) -> Result<Self, Vec<Problem>> {
        Builder::new(spec, *limits).build()
    }
}

struct Builder {
    spec: GraphSpec,
    limits: Limits,
    problems: Vec<Problem>,
    unlisted: usize,
    functions: Vec<Function>,
    families: Vec<Family>,
    /// Families by a hash of their names, sorted; of families with one name the first.
    family_index: Vec<(u64, u32)>,
    first: Vec<u32>,
    /// Sorted.
    by_id: Vec<(u64, u32)>,
    requests: Vec<Request>,
    request_index: HashMap<Request, u32>,
    last_variant: Option<Variant>,
    groups: Vec<Group>,
}

/// Where in a function a text stands; written only when something is wrong with it.
enum Key<'s> {
    Args(usize),
    After(usize),
    Command(usize),
    ExtraArgs(usize),
    Compensate(usize),
    Env(&'s str),
    Dir,
    Param(String),
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Args(n) => write!(f, "args[{n}]"),
            Self::After(n) => write!(f, "after[{n}]"),
            Self::Command(n) => write!(f, "command[{n}]"),
            Self::ExtraArgs(n) => write!(f, "extra_args[{n}]"),
            Self::Compensate(n) => write!(f, "compensate[{n}]"),
            Self::Env(name) => write!(f, "env.{name}"),
            Self::Dir => f.write_str("dir"),
            Self::Param(key) => f.write_str(key),
        }
    }
}

/// What a reference names.
enum Target {
    Task(u32),
    Group(u32),
}

impl Builder {
    fn new(spec: GraphSpec, limits: Limits) -> Self {
        Self {
            spec,
            limits,
            problems: Vec::new(),
            unlisted: 0,
            functions: Vec::new(),
            families: Vec::new(),
            family_index: Vec::new(),
            first: Vec::new(),
            by_id: Vec::new(),
            requests: Vec::new(),
            request_index: HashMap::new(),
            last_variant: None,
            groups: Vec::new(),
        }
    }

    fn problem(&mut self, problem: Problem) {
        if self.is_full() {
            self.unlisted += 1;
        } else {
            self.problems.push(problem);
        }
    }

    /// Whether a further problem would only be counted.
    fn is_full(&self) -> bool {
        self.problems.len() >= self.limits.problems.saturating_mul(KEPT_FOR_ONE_LISTED)
    }

    /// The list as the author sees it.
    fn give_up(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| place_in_file(&problem.place));
        let more = self.unlisted + self.problems.len().saturating_sub(self.limits.problems);
        self.problems.truncate(self.limits.problems);
        if more > 0 {
            self.problems.push(Problem::new("", format!("and {}", count(more, "more problem"))));
        }
        self.problems
    }

    fn build(mut self) -> Result<Graph, Vec<Problem>> {
        let mut specs = std::mem::take(&mut self.spec.functions);
        if specs.is_empty() {
            self.problem(
                Problem::new("function", "the graph has no functions")
                    .hint("add a `[[function]]` with an `id`"),
            );
        }
        if let Tolerance::MinSuccess(share) = self.spec.tolerance
            && !(0.0..=1.0).contains(&share)
        {
            self.problem(
                Problem::new("graph.tolerance.min_success", "a share of all functions is from 0 to 1")
                    .value(share),
            );
        }
        let countable = self.count_instances(&specs);
        self.name_families(&specs);
        let compensates = specs.iter().any(|spec| !spec.compensate.is_empty());
        self.functions.reserve_exact(specs.len());
        for (at, spec) in specs.iter_mut().enumerate() {
            self.check_names(at, spec);
            let function = self.make_function(at, spec);
            self.functions.push(function);
        }
        if !countable {
            return Err(self.give_up());
        }
        self.index_ids();
        let Some((needs, args)) = self.resolve(&specs) else {
            return Err(self.give_up());
        };
        let total = self.first.last().copied().unwrap_or(0);
        let readers = Rows::from_pairs(
            total as usize,
            (0..total).flat_map(|task| {
                needs.row(task).iter().filter_map(move |need| match need {
                    Need::Task(producer) => Some((*producer, task)),
                    Need::Group(_) | Need::GroupEnd(_) => None,
                })
            }),
        );
        if let Some(cycle) = self.find_cycle(total, &needs, &readers) {
            self.problem(cycle);
        }
        let kept = self.kept_outputs(total, &args);
        if !self.problems.is_empty() || self.unlisted > 0 {
            return Err(self.give_up());
        }
        Ok(Graph {
            name: self.spec.name.unwrap_or_else(|| "graph".to_owned()),
            history: 0,
            settings: Settings {
                strategy: self.spec.strategy.unwrap_or_else(|| "auto".to_owned()),
                order: self.spec.order,
                tolerance: self.spec.tolerance,
                on_failure: self.spec.on_failure.unwrap_or(if compensates {
                    OnFailure::Compensate
                } else {
                    OnFailure::Keep
                }),
                timeout: self.spec.timeout,
                priority: self.spec.priority,
                weights: self.spec.weights.unwrap_or_default(),
            },
            inputs: self.spec.inputs,
            functions: self.functions,
            first: self.first,
            families: self.families,
            requests: self.requests,
            groups: self.groups,
            needs,
            readers,
            args,
            kept,
            by_id: self.by_id,
        })
    }

    /// The number of instances of each function; `false` where there are too many to go on.
    fn count_instances(&mut self, specs: &[FunctionSpec]) -> bool {
        let mut total = 0_u64;
        self.first.push(0);
        for (at, spec) in specs.iter().enumerate() {
            let mut count = 1_u64;
            for axis in &spec.foreach {
                if axis.values.is_empty() {
                    self.problem(
                        Problem::new(
                            format!("function[{at}].foreach.{}", axis.name),
                            "a sweep over no values",
                        )
                        .function(&spec.id)
                        .hint("give at least one value, or remove the name"),
                    );
                }
                count = count.saturating_mul(axis.values.len() as u64);
            }
            total = total.saturating_add(count);
            if total > u64::from(self.limits.functions) {
                self.problem(
                    Problem::new(format!("function[{at}].foreach"), "the graph has too many functions")
                        .function(&spec.id)
                        .value(total)
                        .hint(format!("at most {} are allowed", self.limits.functions)),
                );
                return false;
            }
            self.first.push(total as u32);
        }
        true
    }

    fn name_families(&mut self, specs: &[FunctionSpec]) {
        self.families.reserve_exact(specs.len());
        self.family_index.reserve_exact(specs.len());
        for (at, spec) in specs.iter().enumerate() {
            let name = spec.family.clone().unwrap_or_else(|| default_family(spec));
            self.family_index.push((hash_id(&name), at as u32));
            self.families.push(Family { name, group: None });
        }
        self.family_index.sort_unstable();
        let mut twins: Vec<(usize, usize)> = Vec::new();
        let families = &self.families;
        for row in self.family_index.chunk_by(|a, b| a.0 == b.0).filter(|row| row.len() > 1) {
            let mut first_of: HashMap<&str, usize> = HashMap::new();
            for (_, at) in row {
                let at = *at as usize;
                let first = *first_of.entry(&families[at].name).or_insert(at);
                if first != at {
                    twins.push((at, first));
                }
            }
        }
        twins.sort_unstable();
        for (at, before) in twins {
            // Two functions with one id are told of as such.
            if specs[before].id != specs[at].id {
                self.problem(
                    Problem::new(format!("function[{at}].family"), "two functions have one family name")
                        .function(&specs[at].id)
                        .value(&self.families[at].name)
                        .hint(format!(
                            "`{}` has it already: give one of them another with `family = \"...\"`",
                            specs[before].id
                        )),
                );
            }
        }
    }

    /// The function of this family.
    fn family(&self, name: &str) -> Option<usize> {
        let hash = hash_id(name);
        let from = self.family_index.partition_point(|(known, _)| *known < hash);
        self.family_index[from..]
            .iter()
            .take_while(|(known, _)| *known == hash)
            .map(|(_, function)| *function as usize)
            .find(|function| self.families[*function].name == name)
    }

    /// Ids, axis names and placeholders of one function.
    fn check_names(&mut self, at: usize, spec: &FunctionSpec) {
        let place = |key: &str| format!("function[{at}].{key}");
        if spec.id.is_empty() {
            self.problem(Problem::new(place("id"), "the id is empty").hint("give each function a name"));
        } else if spec.id.len() > 200
            || spec.id.chars().any(|c| c.is_control() || c == '/' || c.is_whitespace())
        {
            self.problem(
                Problem::new(place("id"), "an id has at most 200 characters, without spaces and `/`")
                    .value(&spec.id)
                    .hint("use letters, digits, `-`, `_` and `.`"),
            );
        }
        let mut axes: HashSet<&str> = HashSet::new();
        for axis in &spec.foreach {
            if let Some(value) = axis.values.iter().find(|value| value.chars().any(char::is_control)) {
                self.problem(
                    Problem::new(place(&format!("foreach.{}", axis.name)), "a value with control characters")
                        .function(&spec.id)
                        .value(value.escape_debug())
                        .hint("values become part of ids, which are printed"),
                );
            }
            let name = axis.name.as_str();
            let plain =
                !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            if !plain || COMMON_NAMES.contains(&name) {
                self.problem(
                    Problem::new(place("foreach"), "not a name that a sweep may use")
                        .function(&spec.id)
                        .value(name)
                        .hint(format!(
                            "letters, digits, `_` and `-`, and none of {}",
                            COMMON_NAMES.join(", ")
                        )),
                );
            }
            if !axes.insert(name) {
                self.problem(
                    Problem::new(place("foreach"), "a name is there twice").function(&spec.id).value(name),
                );
            }
            if !names(&spec.id).contains(&name) {
                self.problem(
                    Problem::new(place("id"), format!("`{{{name}}}` of the sweep is not in the id"))
                        .function(&spec.id)
                        .value(&spec.id)
                        .hint(format!("instances need different ids: `{}-{{{name}}}`", spec.id)),
                );
            }
        }
        let in_id = if spec.id.contains('{') { names(&spec.id) } else { Vec::new() };
        for name in in_id {
            if !axes.contains(name) {
                let hint = match nearest(name, axes.iter().copied()) {
                    Some(near) => format!("did you mean `{{{near}}}`?"),
                    None => format!("add `foreach = {{ {name} = [...] }}`"),
                };
                self.problem(
                    Problem::new(place("id"), format!("`{{{name}}}` is not a name of this function's sweep"))
                        .function(&spec.id)
                        .value(&spec.id)
                        .hint(hint),
                );
            }
        }
        self.check_placeholders(at, spec);
    }

    /// `{arg.N}`, `{out.N}` and `{input.NAME}` must name something there is.
    fn check_placeholders(&mut self, at: usize, spec: &FunctionSpec) {
        let mut texts: Vec<(Key<'_>, &str)> = Vec::new();
        let braced = |text: &str| text.contains('{');
        match &spec.code {
            Code::Command(words) => {
                if words.first().is_none_or(|program| program.is_empty()) {
                    self.problem(
                        Problem::new(format!("function[{at}].command"), "the command has no program")
                            .function(&spec.id)
                            .hint("`command = [\"python3\", \"script.py\"]`"),
                    );
                }
                let words = words.iter().enumerate().filter(|(_, word)| braced(word));
                texts.extend(words.map(|(n, word)| (Key::Command(n), word.as_str())));
            }
            Code::Kernel { params, .. } => {
                let mut found = Vec::new();
                for (name, value) in params {
                    literal_texts(value, &format!("params.{name}"), &mut found);
                }
                texts.extend(found.into_iter().map(|(key, text)| (Key::Param(key), text)));
            }
            Code::Python { .. } => {}
        }
        let extra = spec.extra_args.iter().enumerate().filter(|(_, word)| braced(word));
        texts.extend(extra.map(|(n, word)| (Key::ExtraArgs(n), word.as_str())));
        let compensate = spec.compensate.iter().enumerate().filter(|(_, word)| braced(word));
        texts.extend(compensate.map(|(n, word)| (Key::Compensate(n), word.as_str())));
        texts.extend(spec.env.iter().map(|(name, value)| (Key::Env(name), value.as_str())));
        texts.extend(spec.dir.iter().map(|dir| (Key::Dir, dir.as_str())));
        for (name, value) in &spec.env {
            if RESERVED_VARIABLES.contains(&name.as_str()) || name.starts_with("DUNNAGE_") {
                self.problem(
                    Problem::new(
                        format!("function[{at}].env.{name}"),
                        "this variable says what a task was given",
                    )
                    .function(&spec.id)
                    .value(value)
                    .hint("it is set when the task is placed: remove it, and ask for devices in `cost`"),
                );
            }
        }
        for (key, text) in texts {
            if !braced(text) {
                continue;
            }
            for name in names(text) {
                let wrong = |message: String, hint: String| {
                    Problem::new(format!("function[{at}].{key}"), message)
                        .function(&spec.id)
                        .value(text)
                        .hint(hint)
                };
                if let Some(number) = name.strip_prefix("arg.") {
                    match number.parse::<usize>() {
                        Ok(n) if n < spec.args.len() => {
                            let is_word = matches!(key, Key::Command(_) | Key::ExtraArgs(_));
                            if family_of(&spec.args[n].producer).is_some()
                                && !(is_word && text == format!("{{arg.{n}}}"))
                            {
                                self.problem(wrong(
                                    format!("`{{arg.{n}}}` is all of a family and must be a word of its own"),
                                    format!("write it as one word, or read `DUNNAGE_ARG_{n}`"),
                                ));
                            }
                        }
                        _ => self.problem(wrong(
                            format!("there is no `{{{name}}}`"),
                            format!("the function has {} in `args`", count(spec.args.len(), "value")),
                        )),
                    }
                } else if let Some(number) = name.strip_prefix("out.") {
                    if !number.parse::<usize>().is_ok_and(|n| n < spec.outputs.len()) {
                        self.problem(wrong(
                            format!("there is no `{{{name}}}`"),
                            format!("the function has {}", count(spec.outputs.len(), "output")),
                        ));
                    }
                } else if let Some(input) = name.strip_prefix("input.")
                    && !self.spec.inputs.contains_key(input)
                {
                    let known = self.spec.inputs.keys().map(String::as_str);
                    let hint = match nearest(input, known) {
                        Some(near) => format!("did you mean `{{input.{near}}}`?"),
                        None => {
                            format!("add it to `inputs` of `[graph]`: `inputs = {{ {input} = \"FILE\" }}`")
                        }
                    };
                    self.problem(wrong(format!("there is no `{{{name}}}`"), hint));
                }
            }
        }
    }

    /// The checked function; what only it needs is taken out of the specification.
    fn make_function(&mut self, at: usize, spec: &mut FunctionSpec) -> Function {
        if spec.max_parallel == Some(0) {
            self.problem(
                Problem::new(format!("function[{at}].max_parallel"), "none of it could ever run")
                    .function(&spec.id)
                    .value(0)
                    .hint("at least 1; without `max_parallel` there is no limit"),
            );
        }
        if spec.outputs.len() > OUTPUTS_MAX {
            self.problem(
                Problem::new(format!("function[{at}].outputs"), "too many outputs")
                    .function(&spec.id)
                    .value(spec.outputs.len())
                    .hint(format!("at most {OUTPUTS_MAX}; a `dir` holds any number of files")),
            );
        }
        if !spec.extra_args.is_empty() && !matches!(spec.code, Code::Command(_)) {
            self.problem(
                Problem::new(
                    format!("function[{at}].extra_args"),
                    "words are appended to a command, and there is none",
                )
                .function(&spec.id)
                .hint("use `params` for a kernel"),
            );
        }
        let variants = self.make_variants(at, spec);
        let extras = Extras {
            extra_args: std::mem::take(&mut spec.extra_args),
            env: std::mem::take(&mut spec.env),
            dir: spec.dir.take(),
            signal: spec.signal,
            grace: spec.grace,
            node: spec.node.take(),
            compensate: std::mem::take(&mut spec.compensate),
        };
        Function {
            id: std::mem::take(&mut spec.id),
            axes: spec.foreach.clone(),
            code: std::mem::replace(&mut spec.code, Code::Command(Vec::new())),
            outputs: std::mem::take(&mut spec.outputs),
            variants,
            retry: spec.retry.take().map(Box::new),
            timeout: spec.timeout,
            max_parallel: spec.max_parallel,
            extras: (extras != Extras::default()).then(|| Box::new(extras)),
        }
    }

    fn make_variants(&mut self, at: usize, spec: &mut FunctionSpec) -> Vec<Variant> {
        let id = spec.id.as_str();
        let own = |cost: Cost, kind: Option<DeviceKind>, n: Option<usize>, builder: &mut Self| {
            let place = || match n {
                Some(n) => format!("function[{at}].variants[{n}]"),
                None => format!("function[{at}].cost"),
            };
            let kind = kind.unwrap_or(if cost.asks_gpu() { DeviceKind::Gpu } else { DeviceKind::Cpu });
            if kind == DeviceKind::Cpu && cost.asks_gpu() {
                builder.problem(
                    Problem::new(place(), "a cpu variant that asks for a GPU")
                        .function(id)
                        .hint("remove the GPU from its cost, or say `device = \"gpu\"`"),
                );
            }
            if cost.gpu_share.is_some_and(|share| share > MilliShare::WHOLE) {
                builder.problem(
                    Problem::new(place(), "a share is of one GPU")
                        .function(id)
                        .value(cost.gpu_share.unwrap_or_default())
                        .hint("`gpu_share` is from 0 to 1; several GPUs are `gpus`"),
                );
            }
            if cost.gpus.is_some_and(|n| n > 0) && cost.gpu_share.is_some_and(|s| s < MilliShare::WHOLE) {
                builder.problem(
                    Problem::new(place(), "whole GPUs and a share of one cannot both be asked for")
                        .function(id)
                        .hint("use `gpus` or `gpu_share`"),
                );
            }
            builder.variant(cost, kind)
        };
        if spec.variants.is_empty() {
            return vec![own(std::mem::take(&mut spec.cost), None, None, self)];
        }
        if spec.variants.len() > 16 {
            self.problem(
                Problem::new(format!("function[{at}].variants"), "too many variants")
                    .function(&spec.id)
                    .value(spec.variants.len())
                    .hint("at most 16"),
            );
        }
        spec.variants
            .iter()
            .enumerate()
            .map(|(n, variant)| {
                let mut cost = variant.cost.clone();
                match variant.device {
                    Some(DeviceKind::Cpu) => cost.inherit(&spec.cost.without_gpu()),
                    Some(DeviceKind::Gpu) | None => cost.inherit(&spec.cost),
                }
                own(cost, variant.device, Some(n), self)
            })
            .collect()
    }

    /// A variant, with its request in the table. Neighbours in the file are often alike and then share both.
    fn variant(&mut self, cost: Cost, kind: DeviceKind) -> Variant {
        if let Some(last) = &self.last_variant
            && last.kind == kind
            && *last.cost == cost
        {
            return last.clone();
        }
        let request = cost.request(kind);
        let alike = self.last_variant.as_ref().map(|last| last.request);
        let index = match alike.filter(|index| self.requests[*index as usize] == request) {
            Some(index) => index,
            None => {
                let next = self.requests.len() as u32;
                let index = *self.request_index.entry(request.clone()).or_insert(next);
                if index == next {
                    self.requests.push(request);
                }
                index
            }
        };
        let variant = Variant { kind, request: index, cost: Arc::new(cost) };
        self.last_variant = Some(variant.clone());
        variant
    }

    /// Every instance's id, by its hash; an id that is there twice is a problem.
    fn index_ids(&mut self) {
        let mut by_id: Vec<(u64, u32)> = Vec::with_capacity(self.first.last().copied().unwrap_or(0) as usize);
        let mut id = String::new();
        for (at, function) in self.functions.iter().enumerate() {
            let mut task = self.first[at];
            if function.axes.is_empty() {
                by_id.push((hash_id(&function.id), task));
                continue;
            }
            // The id is cut once for all instances.
            let known = |name: &str| function.axes.iter().any(|axis| axis.name == name);
            let cut = pieces(&function.id, known);
            let axis = |name: &str| function.axes.iter().position(|axis| axis.name == name).unwrap_or(0);
            let parts: Vec<Result<&str, usize>> = cut
                .into_iter()
                .map(|piece| match piece {
                    Piece::Text(text) => Ok(text),
                    Piece::Name(name) => Err(axis(name)),
                })
                .collect();
            let mut turn = vec![0_usize; function.axes.len()];
            while task < self.first[at + 1] {
                id.clear();
                for part in &parts {
                    id.push_str(match part {
                        Ok(text) => text,
                        Err(axis) => &function.axes[*axis].values[turn[*axis]],
                    });
                }
                by_id.push((hash_id(&id), task));
                task += 1;
                for (axis, turn) in function.axes.iter().zip(&mut turn).rev() {
                    *turn += 1;
                    if *turn < axis.values.len() {
                        break;
                    }
                    *turn = 0;
                }
            }
        }
        by_id.sort_unstable();
        self.by_id = by_id;
        self.tell_twins();
    }

    /// Ids that are there twice lie side by side in the index; one word about each function is enough.
    fn tell_twins(&mut self) {
        let mut told: BTreeSet<usize> = BTreeSet::new();
        let mut problems = Vec::new();
        for row in self.by_id.chunk_by(|a, b| a.0 == b.0).filter(|row| row.len() > 1) {
            for (n, (_, task)) in row.iter().enumerate() {
                let at = self.function_of(*task);
                if told.contains(&at) {
                    continue;
                }
                let id = name_of(&self.functions, &self.first, *task);
                let twin =
                    row[..n].iter().find(|(_, other)| name_of(&self.functions, &self.first, *other) == id);
                let Some((_, twin)) = twin else { continue };
                let other = self.function_of(*twin);
                told.insert(at);
                problems.push(
                    Problem::new(format!("function[{at}].id"), "two functions have one id")
                        .function(&self.functions[at].id)
                        .value(&id)
                        .hint(if other == at {
                            "the sweep has a value twice".to_owned()
                        } else {
                            format!("function[{other}] has it already: rename one of them")
                        }),
                );
            }
        }
        for problem in problems {
            self.problem(problem);
        }
    }

    fn function_of(&self, task: u32) -> usize {
        function_at(&self.first, task)
    }

    fn find(&self, id: &str) -> Option<u32> {
        let hash = hash_id(id);
        let from = self.by_id.partition_point(|(known, _)| *known < hash);
        self.by_id[from..]
            .iter()
            .take_while(|(known, _)| *known == hash)
            .map(|(_, task)| *task)
            .find(|task| is_name_of(&self.functions, &self.first, *task, id))
    }

    fn unknown(&self, at: usize, key: &Key<'_>, producer: &str) -> Problem {
        let problem = Problem::new(format!("function[{at}].{key}"), "no function has this id")
            .function(&self.functions[at].id)
            .value(producer);
        if let Some(family) = family_of(producer) {
            return match nearest(
                family,
                self.families.iter().take(NEAREST_AMONG).map(|family| family.name.as_str()),
            ) {
                Some(near) => problem.hint(format!("did you mean the family `{near}[*]`?")),
                None => problem.hint("a family is named by its functions' id before the first placeholder"),
            };
        }
        if let Some(family) = self.family(producer)
            && self.first[family + 1] - self.first[family] > 1
        {
            return problem.hint(format!("it is a family: `{producer}[*]` is all of it"));
        }
        if let Some(near) =
            nearest(producer, self.functions.iter().take(NEAREST_AMONG).map(|function| function.id.as_str()))
        {
            if near == producer {
                return problem.hint(format!(
                    "its placeholders are not names of this function's sweep: name one instance, or all of it with `{}[*]`",
                    self.families
                        .iter()
                        .zip(&self.functions)
                        .find(|(_, function)| function.id == near)
                        .map_or("family", |(family, _)| family.name.as_str())
                ));
            }
            return problem.hint(format!("did you mean `{near}`?"));
        }
        // An instance that the sweep does not make: its last one shows how they are called.
        let near = self.functions.iter().enumerate().take(NEAREST_AMONG).find(|(at, function)| {
            let head = function.id.split('{').next().unwrap_or_default();
            !function.axes.is_empty()
                && !head.is_empty()
                && producer.starts_with(head)
                && self.first[*at + 1] > self.first[*at]
        });
        if let Some((at, function)) = near {
            let last = name_of(&self.functions, &self.first, self.first[at + 1] - 1);
            return problem
                .hint(format!("the sweep `{}` has no such instance; its last is `{last}`", function.id));
        }
        problem.hint("the producer must be a function of this graph")
    }

    /// Follows every reference of every instance; `None` where there are too many to go on.
    fn resolve(&mut self, specs: &[FunctionSpec]) -> Option<(Rows<Need>, Rows<Arg>)> {
        let total = self.first.last().copied().unwrap_or(0) as usize;
        let mut needs: Rows<Need> = Rows::with_capacity(total);
        let mut args: Rows<Arg> = Rows::with_capacity(total);
        let mut fixed: HashMap<&str, Option<Target>> = HashMap::new();
        let mut row: Vec<Need> = Vec::new();
        let mut values: Vec<Arg> = Vec::new();
        for (at, spec) in specs.iter().enumerate() {
            // References without own placeholders are the same for every instance.
            fixed.clear();
            let arg_keys = spec.args.iter().enumerate().map(|(n, arg)| (Key::Args(n), arg.producer.as_str()));
            let after_keys = spec.after.iter().enumerate().map(|(n, id)| (Key::After(n), id.as_str()));
            for (key, producer) in arg_keys.chain(after_keys) {
                if !uses_axis(producer, &spec.foreach) && !fixed.contains_key(producer) {
                    let target = self.target(at, &key, producer);
                    fixed.insert(producer, target);
                }
            }
            for instance in 0..self.first[at + 1] - self.first[at] {
                let task = self.first[at] + instance;
                let before = self.problems.len() + self.unlisted;
                row.clear();
                values.clear();
                for (n, arg) in spec.args.iter().enumerate() {
                    let key = &Key::Args(n);
                    let own;
                    let target = if let Some(target) = fixed.get(arg.producer.as_str()) {
                        target.as_ref()
                    } else {
                        own = self.target(at, key, &bound(&arg.producer, &spec.foreach, instance));
                        own.as_ref()
                    };
                    match target {
                        Some(Target::Task(producer)) => {
                            let producer = *producer;
                            self.check_output(at, key, arg, self.function_of(producer));
                            row.push(Need::Task(producer));
                            values.push(Arg::Value { task: producer, index: arg.index });
                        }
                        Some(Target::Group(group)) => {
                            let group = *group;
                            let function = self.groups[group as usize].function as usize;
                            self.check_output(at, key, arg, function);
                            row.push(if arg.succeeded { Need::GroupEnd(group) } else { Need::Group(group) });
                            values.push(Arg::Family { group, index: arg.index, succeeded: arg.succeeded });
                        }
                        None => {}
                    }
                }
                for (n, producer) in spec.after.iter().enumerate() {
                    let key = &Key::After(n);
                    let own;
                    let target = if let Some(target) = fixed.get(producer.as_str()) {
                        target.as_ref()
                    } else {
                        own = self.target(at, key, &bound(producer, &spec.foreach, instance));
                        own.as_ref()
                    };
                    match target {
                        Some(Target::Task(producer)) => row.push(Need::Task(*producer)),
                        Some(Target::Group(group)) => row.push(Need::Group(*group)),
                        None => {}
                    }
                }
                row.sort_unstable();
                row.dedup();
                for need in &row {
                    let group = match need {
                        Need::Task(_) => continue,
                        Need::Group(group) => &mut self.groups[*group as usize].readers,
                        Need::GroupEnd(group) => &mut self.groups[*group as usize].lenient_readers,
                    };
                    group.push(task);
                }
                needs.push_row(row.iter().copied());
                args.push_row(values.iter().copied());
                if needs.len().max(args.len()) > self.limits.edges {
                    let edges = self.limits.edges;
                    self.problem(
                        Problem::new(format!("function[{at}].args"), "the graph has too many dependencies")
                            .function(&self.functions[at].id)
                            .hint(format!("at most {edges}; read a whole family with `family[*]`")),
                    );
                    return None;
                }
                if self.problems.len() + self.unlisted > before {
                    // The other instances would only repeat it.
                    for _ in instance + 1..self.first[at + 1] - self.first[at] {
                        needs.push_row([]);
                        args.push_row([]);
                    }
                    break;
                }
            }
        }
        Some((needs, args))
    }

    fn target(&mut self, at: usize, key: &Key<'_>, producer: &str) -> Option<Target> {
        let found = if let Some(name) = family_of(producer) {
            self.family(name).map(|function| {
                let next = self.groups.len() as u32;
                let group = *self.families[function].group.get_or_insert(next);
                if group == next {
                    self.groups.push(Group {
                        function: function as u32,
                        readers: Vec::new(),
                        lenient_readers: Vec::new(),
                    });
                }
                Target::Group(group)
            })
        } else {
            self.find(producer).map(Target::Task)
        };
        if found.is_none() {
            if self.is_full() {
                // Looking for the nearest name is not worth it for one that is not shown.
                self.unlisted += 1;
            } else {
                let problem = self.unknown(at, key, producer);
                self.problem(problem);
            }
        }
        found
    }

    fn check_output(&mut self, at: usize, key: &Key<'_>, arg: &ArgSpec, producer: usize) {
        let function = &self.functions[producer];
        let outputs = function.outputs.len();
        if usize::from(arg.index) >= outputs {
            let id = function.id.clone();
            self.problem(
                Problem::new(format!("function[{at}].{key}"), format!("`{id}` has no output {}", arg.index))
                    .function(&self.functions[at].id)
                    .value(format!("[\"{}\", {}]", arg.producer, arg.index))
                    .hint(match outputs {
                        0 => format!(
                            "it has no outputs: add `outputs` to `{id}`, or use `after` to only wait for it"
                        ),
                        1 => "it has one output, with the index 0".to_owned(),
                        n => format!("it has {n} outputs, 0 to {}", n - 1),
                    }),
            );
        }
    }

    /// Kahn's method over tasks and groups; what it leaves over holds a cycle.
    fn find_cycle(&self, total: u32, needs: &Rows<Need>, readers: &Rows<u32>) -> Option<Problem> {
        let mut missing: Vec<u32> = (0..total).map(|task| needs.row(task).len() as u32).collect();
        let mut group_missing: Vec<u32> = self
            .groups
            .iter()
            .map(|group| self.first[group.function as usize + 1] - self.first[group.function as usize])
            .collect();
        let mut ready: Vec<u32> = (0..total).filter(|task| missing[*task as usize] == 0).collect();
        let mut done = 0;
        while let Some(task) = ready.pop() {
            done += 1;
            let mut release = |reader: u32, ready: &mut Vec<u32>| {
                missing[reader as usize] -= 1;
                if missing[reader as usize] == 0 {
                    ready.push(reader);
                }
            };
            for reader in readers.row(task) {
                release(*reader, &mut ready);
            }
            let function = self.function_of(task);
            if let Some(group) = self.families[function].group {
                group_missing[group as usize] -= 1;
                if group_missing[group as usize] == 0 {
                    let group = &self.groups[group as usize];
                    for reader in group.readers.iter().chain(&group.lenient_readers) {
                        release(*reader, &mut ready);
                    }
                }
            }
        }
        if done == total {
            return None;
        }
        let left: HashSet<u32> = (0..total).filter(|task| missing[*task as usize] > 0).collect();
        // Groups are nodes after the tasks.
        let mut graph: DiGraphMap<u32, ()> = DiGraphMap::new();
        for task in &left {
            for need in needs.row(*task) {
                match need {
                    Need::Task(producer) if left.contains(producer) => {
                        graph.add_edge(*producer, *task, ());
                    }
                    Need::Task(_) => {}
                    Need::Group(group) | Need::GroupEnd(group) => {
                        graph.add_edge(total + group, *task, ());
                        let function = self.groups[*group as usize].function as usize;
                        for member in
                            (self.first[function]..self.first[function + 1]).filter(|n| left.contains(n))
                        {
                            graph.add_edge(member, total + group, ());
                        }
                    }
                }
            }
        }
        let knot = tarjan_scc(&graph)
            .into_iter()
            .filter(|knot| knot.len() > 1 || graph.contains_edge(knot[0], knot[0]))
            .min_by_key(|knot| (knot.len(), knot.iter().min().copied()))?;
        let path = shortest_loop(&graph, &knot);
        let shown: Vec<String> = path
            .iter()
            .filter(|node| **node < total)
            .map(|task| name_of(&self.functions, &self.first, *task))
            .collect();
        let first = shown.first().cloned().unwrap_or_default();
        let task = path.iter().find(|node| **node < total).copied().unwrap_or(0);
        let at = self.function_of(task);
        let mut text = if shown.len() > 12 {
            format!(
                "{} -> ... ({} more) -> {}",
                shown[..6].join(" -> "),
                shown.len() - 9,
                shown[shown.len() - 3..].join(" -> ")
            )
        } else {
            shown.join(" -> ")
        };
        text.push_str(" -> ");
        text.push_str(&first);
        Some(
            Problem::new(
                format!("function[{at}]"),
                format!("functions wait for each other in a cycle: {text}"),
            )
            .function(&self.functions[at].id)
            .hint("remove one of these dependencies from `args` or `after`"),
        )
    }

    /// A bit for each output that nobody reads or that `keep` names.
    fn kept_outputs(&mut self, total: u32, args: &Rows<Arg>) -> Vec<u64> {
        let mut read = vec![0_u64; total as usize];
        let mut group_read = vec![0_u64; self.groups.len()];
        for task in 0..total {
            for arg in args.row(task) {
                match arg {
                    Arg::Value { task, index } => read[*task as usize] |= bit(*index),
                    Arg::Family { group, index, .. } => group_read[*group as usize] |= bit(*index),
                }
            }
        }
        for (group, mask) in self.groups.iter().zip(group_read) {
            for task in self.first[group.function as usize]..self.first[group.function as usize + 1] {
                read[task as usize] |= mask;
            }
        }
        let mut kept: Vec<u64> = read.into_iter().map(|mask| !mask).collect();
        for (n, text) in std::mem::take(&mut self.spec.keep).into_iter().enumerate() {
            let wrong = Problem::new(format!("graph.keep[{n}]"), "no value has this name").value(&text);
            let parsed = text.rsplit_once('.').and_then(|(id, index)| Some((id, index.parse::<u16>().ok()?)));
            let Some((id, index)) = parsed else {
                self.problem(wrong.hint("a value is written `id.index`, for example `score.0`"));
                continue;
            };
            let tasks = if let Some(name) = family_of(id) {
                self.family(name).map(|function| self.first[function]..self.first[function + 1])
            } else {
                self.find(id).map(|task| task..task + 1)
            };
            let Some(tasks) = tasks else {
                let hint = match nearest(
                    id,
                    self.functions.iter().take(NEAREST_AMONG).map(|function| function.id.as_str()),
                ) {
                    Some(near) => format!("did you mean `{near}.{index}`?"),
                    None => "the producer must be a function of this graph".to_owned(),
                };
                self.problem(wrong.hint(hint));
                continue;
            };
            for task in tasks {
                let function = &self.functions[self.function_of(task)];
                if usize::from(index) >= function.outputs.len() {
                    let outputs = count(function.outputs.len(), "output");
                    self.problem(wrong.clone().hint(format!("`{}` has {outputs}", function.id)));
                    break;
                }
                kept[task as usize] |= bit(index);
            }
        }
        kept
    }
}

/// The function that a task is an instance of, by the first task of each.
fn function_at(first: &[u32], task: u32) -> usize {
    // As long as no sweep came before, a task has the number of its function.
    if let Some([this, next, ..]) = first.get(task as usize..)
        && *this == task
        && *next == task + 1
    {
        return task as usize;
    }
    first.partition_point(|first| *first <= task) - 1
}

fn name_of(functions: &[Function], first: &[u32], task: u32) -> String {
    let at = function_at(first, task);
    let function = &functions[at];
    if function.axes.is_empty() { function.id.clone() } else { instance_id(function, task - first[at]) }
}

/// Whether this is the id of a task.
fn is_name_of(functions: &[Function], first: &[u32], task: u32, id: &str) -> bool {
    let at = function_at(first, task);
    let function = &functions[at];
    if function.axes.is_empty() { function.id == id } else { instance_id(function, task - first[at]) == id }
}

/// The bit of an output; an output beyond the last bit is a problem already and has none.
fn bit(output: u16) -> u64 {
    1_u64.checked_shl(u32::from(output)).unwrap_or(0)
}

/// Where a place lies in the file, to sort by: the document and the graph first, then the functions.
fn place_in_file(place: &str) -> usize {
    let number = place.strip_prefix("function[").and_then(|rest| rest.split_once(']'));
    number.and_then(|(number, _)| number.parse::<usize>().ok()).map_or(0, |number| number + 1)
}

/// `train` of `train[*]`.
fn family_of(producer: &str) -> Option<&str> {
    producer.strip_suffix("[*]")
}

/// The id before its first placeholder, without trailing `-`, `_` and `.`.
fn default_family(spec: &FunctionSpec) -> String {
    let axis = |name: &str| spec.foreach.iter().any(|axis| axis.name == name);
    let head = spec.id.find('{').filter(|at| names(&spec.id[*at..]).iter().any(|name| axis(name)));
    let name = head.map_or(spec.id.as_str(), |at| &spec.id[..at]);
    let name = name.trim_end_matches(['-', '_', '.']);
    if name.is_empty() { spec.id.clone() } else { name.to_owned() }
}

fn uses_axis(text: &str, axes: &[Axis]) -> bool {
    !axes.is_empty() && text.contains('{') && {
        let known = |name: &str| axes.iter().any(|axis| axis.name == name);
        pieces(text, known).iter().any(|piece| matches!(piece, Piece::Name(_)))
    }
}

fn bound(text: &str, axes: &[Axis], instance: u32) -> String {
    let bound = bindings(axes, instance);
    expand(text, |name| bound.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
}

fn literal_texts<'a>(value: &'a Literal, key: &str, texts: &mut Vec<(String, &'a str)>) {
    match value {
        Literal::Text(text) => texts.push((key.to_owned(), text)),
        Literal::List(items) => {
            for (n, item) in items.iter().enumerate() {
                literal_texts(item, &format!("{key}[{n}]"), texts);
            }
        }
        Literal::Table(items) => {
            for (name, item) in items {
                literal_texts(item, &format!("{key}.{name}"), texts);
            }
        }
        Literal::Null | Literal::Bool(_) | Literal::Int(_) | Literal::Float(_) => {}
    }
}

fn count(n: usize, what: &str) -> String {
    match n {
        0 => format!("no {what}s"),
        1 => format!("one {what}"),
        n => format!("{n} {what}s"),
    }
}

/// The shortest way from the lowest node of a knot back to itself, breadth first.
fn shortest_loop(graph: &DiGraphMap<u32, ()>, knot: &[u32]) -> Vec<u32> {
    let inside: HashSet<u32> = knot.iter().copied().collect();
    let Some(start) = knot.iter().min().copied() else { return Vec::new() };
    let mut came_from: HashMap<u32, u32> = HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let mut next: Vec<u32> = graph.neighbors(node).filter(|n| inside.contains(n)).collect();
        next.sort_unstable();
        for next in next {
            if next == start {
                let mut path = vec![node];
                let mut at = node;
                while let Some(before) = came_from.get(&at) {
                    path.push(*before);
                    at = *before;
                }
                path.reverse();
                return path;
            }
            if let std::collections::hash_map::Entry::Vacant(slot) = came_from.entry(next) {
                slot.insert(node);
                queue.push_back(next);
            }
        }
    }
    vec![start]
}
