//! The `[defaults]` table, and how it is laid under each function: key by key, and inside `cost`,
//! `env` and `retry` key by key again; what a function says itself always wins.

use super::function::{Said, shared};
use super::keys::{DEFAULTS, unknown_key};
use super::node::Node;
use super::report::{Place, Report};
use super::scalar;
use dunnage_model::{Cost, FunctionSpec};
use std::collections::HashSet;

/// What the table says, in the shape of a function.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    spec: FunctionSpec,
    said: Said,
}

impl Defaults {
    /// Reads the table.
    pub(crate) fn read(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Self {
        let mut defaults = Self::default();
        let Some(table) =
            scalar::table(node, at, "write `[defaults]` on a line of its own, and the keys below it", report)
        else {
            return defaults;
        };
        for (key, node) in table {
            if !shared(key, node, &at.key(key), &mut defaults.spec, &mut defaults.said, report) {
                unknown_key(report, &DEFAULTS, key, at);
            }
        }
        defaults
    }

    /// About how many bytes every function takes up more by these defaults. A short document may have
    /// many functions and long defaults, and its product is what must stay bounded.
    pub(crate) fn weight(&self) -> u64 {
        let texts =
            |texts: &[String]| texts.iter().map(|text| text.len() + size_of::<String>()).sum::<usize>();
        let cost = |cost: &Cost| {
            let names = cost.custom.iter().map(|(name, _)| name.len() + 32).sum::<usize>();
            names + cost.gpu_model.as_ref().map_or(0, String::len)
        };
        let spec = &self.spec;
        let env = spec.env.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>();
        let variants = &spec.variants;
        let all = env
            + texts(&spec.compensate)
            + size_of_val(spec.outputs.as_slice())
            + size_of_val(variants.as_slice())
            + variants.iter().map(|variant| cost(&variant.cost)).sum::<usize>()
            + cost(&spec.cost)
            + spec.dir.as_ref().map_or(0, String::len)
            + spec.node.as_ref().map_or(0, String::len);
        all as u64
    }

    /// Fills what a function does not say itself.
    pub(crate) fn lay_under(&self, function: &mut FunctionSpec, said: &Said) {
        let FunctionSpec {
            // Never in the defaults.
            id: _,
            family: _,
            foreach: _,
            args: _,
            after: _,
            code: _,
            extra_args: _,
            max_parallel,
            outputs,
            env,
            dir,
            cost,
            variants,
            // From the drafts below.
            retry: _,
            timeout,
            signal,
            grace,
            node,
            compensate,
        } = &self.spec;
        function.max_parallel = function.max_parallel.or(*max_parallel);
        function.timeout = function.timeout.or(*timeout);
        function.signal = function.signal.or(*signal);
        function.grace = function.grace.or(*grace);
        if !said.outputs {
            function.outputs.clone_from(outputs);
        }
        if !said.variants {
            function.variants.clone_from(variants);
        }
        if !said.compensate {
            function.compensate.clone_from(compensate);
        }
        if !said.node {
            function.node.clone_from(node);
        }
        if function.dir.is_none() {
            function.dir.clone_from(dir);
        }
        lay_env(env, &mut function.env);
        // Whole GPUs and a share of one exclude each other: one of them said here undoes the other there.
        let (gpus, gpu_share) = (function.cost.gpus, function.cost.gpu_share);
        function.cost.inherit(cost);
        if gpus.is_some() && gpu_share.is_none() {
            function.cost.gpu_share = None;
        }
        if gpu_share.is_some() && gpus.is_none() {
            function.cost.gpus = None;
        }
        function.cost.requires_cuda = said.cuda.or(self.said.cuda).unwrap_or(false);
        function.retry = match (&said.retry, &self.said.retry) {
            (Some(own), Some(base)) => Some(own.over(**base).finish()),
            (Some(only), None) | (None, Some(only)) => Some(only.finish()),
            (None, None) => None,
        };
    }
}

fn lay_env(base: &[(String, String)], own: &mut Vec<(String, String)>) {
    // Both are short but for a hostile document, where comparing each with each would take minutes.
    let many = own.len() * base.len() > 4096;
    let names: HashSet<String> = own.iter().filter(|_| many).map(|(name, _)| name.clone()).collect();
    for (name, value) in base {
        let said = if many { names.contains(name) } else { own.iter().any(|(known, _)| known == name) };
        if !said {
            own.push((name.clone(), value.clone()));
        }
    }
}
