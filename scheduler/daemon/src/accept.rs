//! Whether a graph can be run here: what only this machine and this version know.
//!
//! The graph itself was checked by `dunnage_model::Graph::build`; here its strategy, its kernels and its
//! requests are held against what there is.

use dunnage_core::Ledger;
use dunnage_kernels as kernels;
use dunnage_model::{Arg, Code, Graph, GraphSpec, Limits, OutputKind, OutputSpec, Owner, Problem, nearest};
use dunnage_strategies::registry;

/// Whose history a graph of this owner uses: a daemon that runs tasks of several users keeps theirs apart;
/// its own user's is that of local runs.
pub(crate) fn history_of(owner: Owner) -> u64 {
    let me = rustix::process::geteuid();
    if me.is_root() && owner.0 != me.as_raw() { u64::from(owner.0) } else { 0 }
}

/// Why a graph is not accepted.
#[derive(Clone, Debug)]
pub(crate) enum Rejected {
    /// It is wrong: exit code 2.
    Invalid(Vec<Problem>),
    /// It is right, but nothing here can ever run it: exit code 4.
    Refused(Vec<Problem>),
}

/// Builds a graph and checks what does not depend on the machine.
pub(crate) fn build(mut spec: GraphSpec, limits: &Limits) -> Result<Graph, Rejected> {
    let mut problems = check_strategy(&spec);
    for function in &mut spec.functions {
        if let Code::Kernel { name, .. } = &function.code
            && function.outputs.is_empty()
        {
            function.outputs = usual_outputs(name);
        }
    }
    match Graph::build(spec, limits) {
        Ok(graph) => {
            problems.extend(check_kernels(&graph, limits));
            if problems.is_empty() { Ok(graph) } else { Err(Rejected::Invalid(problems)) }
        }
        Err(more) => {
            problems.extend(more);
            Err(Rejected::Invalid(problems))
        }
    }
}

/// Whether each function has a variant that some node could run when it is empty, and code that this
/// version runs.
pub(crate) fn check_machine(graph: &Graph, ledger: &Ledger) -> Result<(), Rejected> {
    let mut problems = Vec::new();
    let names: Vec<&str> = ledger.nodes().map(|node| node.spec.name.as_str()).collect();
    let verdicts: Vec<Result<(), String>> =
        graph.requests().iter().map(|request| ledger.could_ever_fit(request)).collect();
    for (at, function) in graph.functions().iter().enumerate() {
        let place = |key: &str| format!("function[{at}].{key}");
        if let Code::Python { call, .. } = &function.code {
            problems.push(
                Problem::new(place("python"), "Python functions are not run by this version")
                    .function(&function.id)
                    .value(call)
                    .hint("use a `command` such as [\"python3\", \"script.py\"]"),
            );
        }
        if let Some(node) = function.extras.as_ref().and_then(|extras| extras.node.as_deref())
            && !names.contains(&node)
        {
            problems.push(
                Problem::new(place("node"), "there is no node with this name")
                    .function(&function.id)
                    .value(node)
                    .hint(format!("nodes here: {}", names.join(", "))),
            );
        }
        let variants: Vec<&Result<(), String>> =
            function.variants.iter().map(|variant| &verdicts[variant.request as usize]).collect();
        if variants.iter().all(|verdict| verdict.is_err()) {
            let why = variants.iter().find_map(|verdict| verdict.as_ref().err());
            problems.push(
                Problem::new(place("cost"), why.cloned().unwrap_or_default())
                    .function(&function.id)
                    .hint("`dunnage devices` shows what this machine has"),
            );
        }
        if problems.len() >= Limits::default().problems {
            break;
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Rejected::Refused(problems)) }
}

/// Whether who submits may ask for this priority. Above 0 it goes before the work of all others, so as with
/// `nice` that is for root, and for whom the daemon runs as.
pub(crate) fn check_priority(graph: &Graph, by: Owner, ours: Owner) -> Result<(), Rejected> {
    let priority = graph.settings.priority;
    if priority <= 0 || by == Owner(0) || by == ours {
        return Ok(());
    }
    let problem = Problem::new("graph.priority", "only root and the daemon's own user may go above 0")
        .value(priority.to_string())
        .hint("write 0 or less, or leave `priority` out: users take turns by what they have used");
    Err(Rejected::Refused(vec![problem]))
}

/// What a kernel makes when its outputs were not written down.
fn usual_outputs(kernel: &str) -> Vec<OutputSpec> {
    let Some(kernel) = kernels::find(kernel) else { return Vec::new() };
    kernel
        .info()
        .outputs
        .iter()
        .take_while(|output| output.presence == kernels::Presence::Required)
        .filter_map(|output| output.kinds.first())
        .map(|kind| OutputSpec {
            kind: match kind {
                kernels::OutputKind::File => OutputKind::File,
                kernels::OutputKind::Dir => OutputKind::Dir,
                kernels::OutputKind::Npy => OutputKind::Npy,
                kernels::OutputKind::Json => OutputKind::Json,
            },
            size: None,
        })
        .collect()
}

fn check_strategy(spec: &GraphSpec) -> Vec<Problem> {
    let Some(name) = &spec.strategy else { return Vec::new() };
    if registry().iter().any(|entry| entry.name == name) {
        return Vec::new();
    }
    let known: Vec<&str> = registry().iter().map(|entry| entry.name).collect();
    let problem = Problem::new("graph.strategy", "no strategy has this name").value(name);
    vec![match nearest(name, known.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint(format!("there are {}", known.join(", "))),
    }]
}

fn check_kernels(graph: &Graph, limits: &Limits) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, function) in graph.functions().iter().enumerate() {
        let Code::Kernel { name, params } = &function.code else { continue };
        let instances = graph.instances(at as u32);
        if instances.is_empty() {
            continue;
        }
        let task = instances.start;
        let args: Vec<bool> = graph.args(task).iter().map(|arg| matches!(arg, Arg::Family { .. })).collect();
        let outputs: Vec<kernels::OutputKind> =
            function.outputs.iter().map(|output| kernel_kind(output.kind)).collect();
        // A placeholder is checked with the first instance's value.
        let bound = graph.bindings(task);
        let value = |name: &str| bound.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        let params = crate::literal::params(params, &value);
        for kernels::Problem { place, value, message, hint } in
            kernels::check_call(name, &args, &outputs, &params)
        {
            problems.push(
                Problem::new(format!("function[{at}].{place}"), message)
                    .function(&function.id)
                    .value(value)
                    .hint(hint.unwrap_or_default()),
            );
        }
        if problems.len() >= limits.problems {
            break;
        }
    }
    problems
}

/// The kernels' word for a kind of output.
pub(crate) fn kernel_kind(kind: OutputKind) -> kernels::OutputKind {
    match kind {
        OutputKind::File => kernels::OutputKind::File,
        OutputKind::Dir => kernels::OutputKind::Dir,
        OutputKind::Npy => kernels::OutputKind::Npy,
        OutputKind::Json => kernels::OutputKind::Json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_go_before_all_others() {
        let graph = |priority| {
            let mut spec = GraphSpec { priority, ..GraphSpec::default() };
            spec.functions.push(dunnage_model::FunctionSpec {
                id: "f".to_owned(),
                code: Code::Command(vec!["true".to_owned()]),
                ..dunnage_model::FunctionSpec::default()
            });
            Graph::build(spec, &Limits::default()).expect("it is right")
        };
        let may = |priority, by| check_priority(&graph(priority), Owner(by), Owner(7)).is_ok();
        assert!(may(5, 0) && may(5, 7) && may(0, 8) && may(-5, 8));
        let refused = check_priority(&graph(5), Owner(8), Owner(7));
        assert!(matches!(refused, Err(Rejected::Refused(problems)) if problems.len() == 1));
    }
}
