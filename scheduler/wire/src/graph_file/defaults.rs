//! The `[defaults]` table, and how it is laid under each function: key by key, and inside `cost`,
//! `env` and `retry` key by key again; what a function says itself always wins.

use super::function::{Said, shared};
use super::keys::{DEFAULTS, unknown_key};
use super::node::Node;
use super::report::{Place, Report};
use super::scalar;
use dunnage_model::FunctionSpec;

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
        let Some(table) = scalar::table(node, at, "[defaults]\n  retry = { max = 2 }", report) else {
            return defaults;
        };
        for (key, node) in table {
            if !shared(key, node, &at.key(key), &mut defaults.spec, &mut defaults.said, report) {
                unknown_key(report, &DEFAULTS, key, at);
            }
        }
        defaults
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
        for (name, value) in env {
            if !function.env.iter().any(|(own, _)| own == name) {
                function.env.push((name.clone(), value.clone()));
            }
        }
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
