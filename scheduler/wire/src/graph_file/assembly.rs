//! Puts a spec together from the tables of a document, in whatever order they come.

use super::Limits;
use super::defaults::Defaults;
use super::function::{Said, function};
use super::graph::graph;
use super::keys::{TOP, unknown_key};
use super::node::Node;
use super::report::{Place, Report};
use super::sweep::Budget;
use dunnage_model::{FunctionSpec, GraphSpec, Problem};

/// A spec in the making.
pub(crate) struct Assembly {
    spec: GraphSpec,
    functions: Vec<FunctionSpec>,
    said: Vec<Said>,
    defaults: Defaults,
    budget: Budget,
    functions_max: usize,
    bytes_max: u64,
    pub(crate) report: Report,
}

impl Assembly {
    pub(crate) fn new(limits: &Limits) -> Self {
        let values = u64::from(limits.functions);
        Self {
            spec: GraphSpec::default(),
            functions: Vec::new(),
            said: Vec::new(),
            defaults: Defaults::default(),
            budget: Budget { left: values, max: values },
            functions_max: limits.functions as usize,
            bytes_max: limits.bytes,
            report: Report::new(limits.problems),
        }
    }

    pub(crate) fn graph(&mut self, node: &Node<'_>) {
        graph(node, &Place::Root.key("graph"), &mut self.spec, &mut self.report);
    }

    pub(crate) fn defaults(&mut self, node: &Node<'_>) {
        self.defaults = Defaults::read(node, &Place::Root.key("defaults"), &mut self.report);
    }

    /// Adds a function.
    ///
    /// # Errors
    /// The graph has as many functions as it may; the rest of the document is not worth reading.
    pub(crate) fn function(&mut self, node: &Node<'_>) -> Result<(), Problem> {
        let at = self.functions.len();
        if at >= self.functions_max {
            return Err(Problem::new("function", "the graph has too many functions")
                .hint(format!("at most {} are allowed", self.functions_max)));
        }
        let list = Place::Root.key("function");
        let (spec, said) = function(node, &list.index(at), &mut self.budget, &mut self.report);
        self.functions.push(spec);
        self.said.push(said);
        Ok(())
    }

    /// Reports that `function` is no list.
    pub(crate) fn functions_wrong(&mut self, node: &Node<'_>) {
        let at = Place::Root.key("function");
        let hint = "write `[[function]]` before each function (in JSON: a list of objects)";
        self.report.wrong_type(&at, node, "a list of tables", hint);
    }

    pub(crate) fn unknown(&mut self, key: &str) {
        unknown_key(&mut self.report, &TOP, key, &Place::Root);
    }

    pub(crate) fn finish(mut self) -> Result<GraphSpec, Vec<Problem>> {
        let laid = self.defaults.weight().saturating_mul(self.functions.len() as u64);
        if laid > self.bytes_max {
            let problem = Problem::new("defaults", "defaults that are too long for so many functions");
            let hint = format!("they would take {laid} bytes; at most {} are allowed", self.bytes_max);
            self.report.add(problem.hint(hint));
        }
        if !self.report.is_empty() {
            let max = self.report.max();
            let listed_all = self.report.len() < max;
            let mut problems = self.report.into_problems();
            if laid <= self.bytes_max && listed_all {
                self.spec.functions = self.functions;
                add_references(&mut problems, self.spec, max);
            }
            return Err(problems);
        }
        for (function, said) in self.functions.iter_mut().zip(&self.said) {
            self.defaults.lay_under(function, said);
        }
        self.spec.functions = self.functions;
        Ok(self.spec)
    }
}

/// Adds what can be said of references in spite of other problems, so that one round mends it all. What
/// may only follow from those problems (an output that was misspelled is missing) is left out.
fn add_references(problems: &mut Vec<Problem>, spec: GraphSpec, max: usize) {
    let own = |problem: &Problem| {
        [
            "no function has this id",
            "two functions have one",
            "functions wait for each other",
            "no value has this name",
        ]
        .iter()
        .any(|start| problem.message.starts_with(start))
    };
    // Where ids themselves are wrong, any reference may only seem so.
    if problems
        .iter()
        .any(|problem| [".id", ".foreach", ".family"].iter().any(|key| problem.place.contains(key)))
    {
        return;
    }
    if let Err(more) = dunnage_model::Graph::build(spec, &dunnage_model::Limits::default()) {
        problems.extend(more.into_iter().filter(own).take(max.saturating_sub(problems.len())));
        problems.sort_by_key(|problem| function_index(&problem.place));
    }
}

/// The number in `function[N]...`; what is not in a function comes first.
fn function_index(place: &str) -> usize {
    let number = place.strip_prefix("function[").and_then(|rest| rest.split(']').next());
    number.and_then(|number| number.parse::<usize>().ok()).map_or(0, |number| number + 1)
}
