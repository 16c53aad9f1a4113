//! `Graph::build`: what it accepts, how instances, groups and look-up come out, and that everything wrong
//! with a graph is told at once, in the order of the file, with the place, the value and a way to mend it.

mod core_support;

use core_support::{F, build, f, problems, spec};
use dunnage_model::{
    Arg, Bytes, Code, DeviceKind, Graph, GraphSpec, Limits, Literal, MilliShare, Need, OnFailure, Tolerance,
};

#[track_caller]
fn check(functions: impl IntoIterator<Item = F>, expected: &str) {
    assert_eq!(problems(spec(functions)).trim_end(), expected.trim());
}

#[test]
fn a_graph_needs_a_function() {
    check([], "function: the graph has no functions\n  hint: add a `[[function]]` with an `id`");
}

#[test]
fn an_id_is_there_once() {
    check(
        [f("a"), f("b"), f("a")],
        "function[2].id of `a`: two functions have one id: `a`\n  hint: function[0] has it already: rename one of them",
    );
}

#[test]
fn an_instance_may_not_have_the_id_of_another_function() {
    check(
        [f("t-{n}").times("n", 3), f("t-2").with(|spec| spec.family = Some("other".to_owned()))],
        "function[1].id of `t-2`: two functions have one id: `t-2`\n  hint: function[0] has it already: rename one of them",
    );
}

#[test]
fn a_sweep_has_each_value_once() {
    check(
        [f("t-{n}").foreach("n", &["1", "2", "1"])],
        "function[0].id of `t-{n}`: two functions have one id: `t-1`\n  hint: the sweep has a value twice",
    );
}

#[test]
fn a_sweep_over_nothing_is_told() {
    check(
        [f("t-{n}").foreach("n", &[])],
        "function[0].foreach.n of `t-{n}`: a sweep over no values\n  hint: give at least one value, or remove the name",
    );
}

#[test]
fn a_sweep_name_must_be_in_the_id() {
    check(
        [f("t").times("n", 2)],
        "function[0].id of `t`: `{n}` of the sweep is not in the id: `t`\n  hint: instances need different ids: `t-{n}`\n\
         function[0].id of `t`: two functions have one id: `t`\n  hint: the sweep has a value twice",
    );
}

#[test]
fn a_name_in_the_id_must_be_of_the_sweep() {
    check(
        [f("t-{sed}").foreach("seed", &["1"])],
        "function[0].id of `t-{sed}`: `{seed}` of the sweep is not in the id: `t-{sed}`\n  hint: instances need different ids: `t-{sed}-{seed}`\n\
         function[0].id of `t-{sed}`: `{sed}` is not a name of this function's sweep: `t-{sed}`\n  hint: did you mean `{seed}`?",
    );
}

#[test]
fn families_are_unique() {
    check(
        [f("t-{n}").times("n", 2), f("t_{k}x").times("k", 2)],
        "function[1].family of `t_{k}x`: two functions have one family name: `t`\n  hint: `t-{n}` has it already: give one of them another with `family = \"...\"`",
    );
}

#[test]
fn an_unknown_producer_is_told_with_the_nearest_name() {
    check(
        [f("prepare").outputs(1), f("train").arg("prepaer", 0).after("nowhere-near")],
        "function[1].args[0] of `train`: no function has this id: `prepaer`\n  hint: did you mean `prepare`?\n\
         function[1].after[0] of `train`: no function has this id: `nowhere-near`\n  hint: the producer must be a function of this graph",
    );
}

#[test]
fn a_family_named_as_a_function_is_told_how_to_name_it() {
    check(
        [f("t-{n}").times("n", 2).outputs(1), f("r").arg("t", 0)],
        "function[1].args[0] of `r`: no function has this id: `t`\n  hint: it is a family: `t[*]` is all of it",
    );
}

#[test]
fn an_unknown_family_is_told_with_the_nearest_family() {
    check(
        [f("train-{n}").times("n", 2).outputs(1), f("r").arg("trian[*]", 0)],
        "function[1].args[0] of `r`: no function has this id: `trian[*]`\n  hint: did you mean the family `train[*]`?",
    );
}

#[test]
fn an_output_that_is_not_there_is_told_with_what_there_is() {
    check(
        [f("a").outputs(2), f("b"), f("c").arg("a", 2).arg("b", 0)],
        "function[2].args[0] of `c`: `a` has no output 2: `[\"a\", 2]`\n  hint: it has 2 outputs, 0 to 1\n\
         function[2].args[1] of `c`: `b` has no output 0: `[\"b\", 0]`\n  hint: it has no outputs: add `outputs` to `b`, or use `after` to only wait for it",
    );
}

#[test]
fn a_cycle_is_shown_as_its_path() {
    check(
        [
            f("start"),
            f("a").after("c").after("start"),
            f("b").after("a"),
            f("c").after("b"),
            f("end").after("c"),
        ],
        "function[1] of `a`: functions wait for each other in a cycle: a -> b -> c -> a\n  hint: remove one of these dependencies from `args` or `after`",
    );
}

#[test]
fn a_function_that_waits_for_itself_is_a_cycle() {
    check(
        [f("a").after("a")],
        "function[0] of `a`: functions wait for each other in a cycle: a -> a\n  hint: remove one of these dependencies from `args` or `after`",
    );
}

#[test]
fn a_cycle_may_go_through_a_family() {
    check(
        [f("t-{n}").times("n", 3).after("r"), f("r").after("t[*]")],
        "function[0] of `t-{n}`: functions wait for each other in a cycle: t-0 -> r -> t-0\n  hint: remove one of these dependencies from `args` or `after`",
    );
}

#[test]
fn a_long_cycle_is_shown_shortened() {
    let ring = (0..30).map(|n| f(&format!("n{n}")).after(&format!("n{}", (n + 29) % 30)));
    let text = problems(spec(ring));
    assert!(
        text.contains("n0 -> n1 -> n2 -> n3 -> n4 -> n5 -> ... (21 more) -> n27 -> n28 -> n29 -> n0"),
        "{text}"
    );
}

#[test]
fn placeholders_must_name_something_there_is() {
    let command = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        move |spec: &mut dunnage_model::FunctionSpec| spec.code = Code::Command(words)
    };
    let mut graph = spec([
        f("t-{n}").times("n", 2).outputs(1),
        f("a").arg("t[*]", 0).outputs(1).with(command(&[
            "sh",
            "{arg.0}",
            "x={arg.0}",
            "{arg.1}",
            "{out.1}",
            "{input.dta}",
            "{input.other}",
            "awk '{print $1}'",
            "{gpus}{whatever}",
        ])),
    ]);
    graph.inputs.insert("data".to_owned(), "data.csv".to_owned());
    assert_eq!(
        problems(graph),
        "function[1].command[2] of `a`: `{arg.0}` is all of a family and must be a word of its own: `x={arg.0}`\n  hint: write it as one word, or read `DUNNAGE_ARG_0`\n\
         function[1].command[3] of `a`: there is no `{arg.1}`: `{arg.1}`\n  hint: the function has one value in `args`\n\
         function[1].command[4] of `a`: there is no `{out.1}`: `{out.1}`\n  hint: the function has one output\n\
         function[1].command[5] of `a`: there is no `{input.dta}`: `{input.dta}`\n  hint: did you mean `{input.data}`?\n\
         function[1].command[6] of `a`: there is no `{input.other}`: `{input.other}`\n  hint: add it to `inputs` of `[graph]`: `inputs = { other = \"FILE\" }`"
    );
}

#[test]
fn placeholders_are_looked_for_in_every_text() {
    let text = problems(spec([f("a").with(|spec| {
        spec.extra_args = vec!["{out.7}".to_owned()];
        spec.env = vec![("E".to_owned(), "{out.7}".to_owned())];
        spec.dir = Some("{out.7}".to_owned());
        spec.compensate = vec!["rm".to_owned(), "{out.7}".to_owned()];
    })]));
    for place in ["extra_args[0]", "compensate[1]", "env.E", "dir"] {
        assert!(
            text.contains(&format!("function[0].{place} of `a`: there is no `{{out.7}}`")),
            "{place}: {text}"
        );
    }
    let kernel = f("k").kernel().with(|spec| {
        let deep =
            Literal::Table(vec![("x".to_owned(), Literal::List(vec![Literal::Text("{arg.0}".to_owned())]))]);
        spec.code = Code::Kernel { name: "gemm".to_owned(), params: vec![("p".to_owned(), deep)] };
    });
    assert!(problems(spec([kernel])).starts_with("function[0].params.p.x[0] of `k`: there is no `{arg.0}`"));
}

#[test]
fn a_command_has_a_program_and_a_kernel_no_words() {
    check(
        [
            f("a").with(|spec| spec.code = Code::Command(Vec::new())),
            f("k").kernel().with(|spec| spec.extra_args = vec!["x".to_owned()]),
        ],
        "function[0].command of `a`: the command has no program\n  hint: `command = [\"python3\", \"script.py\"]`\n\
         function[1].extra_args of `k`: words are appended to a command, and there is none\n  hint: use `params` for a kernel",
    );
}

#[test]
fn costs_that_contradict_themselves_are_told() {
    check(
        [
            f("a").variant(DeviceKind::Cpu, |cost| cost.gpu_memory = Some(Bytes::gib(1))),
            f("b").cost(|cost| {
                cost.gpus = Some(2);
                cost.gpu_share = Some(MilliShare(500));
            }),
            f("c").cost(|cost| cost.gpu_share = Some(MilliShare(1500))),
            f("d").max_parallel(0),
        ],
        "function[0].variants[0] of `a`: a cpu variant that asks for a GPU\n  hint: remove the GPU from its cost, or say `device = \"gpu\"`\n\
         function[1].cost of `b`: whole GPUs and a share of one cannot both be asked for\n  hint: use `gpus` or `gpu_share`\n\
         function[2].cost of `c`: a share is of one GPU: `1.5`\n  hint: `gpu_share` is from 0 to 1; several GPUs are `gpus`\n\
         function[3].max_parallel of `d`: none of it could ever run: `0`\n  hint: at least 1; without `max_parallel` there is no limit",
    );
}

#[test]
fn what_to_keep_must_be_there() {
    let mut graph = spec([f("score").outputs(1), f("t-{n}").times("n", 2).outputs(1)]);
    graph.keep = ["score.0", "t[*].0", "t-1.0", "scroe.0", "score", "score.3"].map(str::to_owned).to_vec();
    assert_eq!(
        problems(graph),
        "graph.keep[3]: no value has this name: `scroe.0`\n  hint: did you mean `score.0`?\n\
         graph.keep[4]: no value has this name: `score`\n  hint: a value is written `id.index`, for example `score.0`\n\
         graph.keep[5]: no value has this name: `score.3`\n  hint: `score` has one output"
    );
}

#[test]
fn bad_ids_and_sweep_names_are_told() {
    let text = problems(spec([f(""), f("a b"), f("x-{id}").times("id", 1), f(&"l".repeat(201))]));
    for part in [
        "function[0].id of ``: the id is empty",
        "function[1].id",
        "function[2].foreach of `x-{id}`: not a name that a sweep may use: `id`",
        "function[3].id",
    ] {
        assert!(text.contains(part) || part == "function[0].id of ``: the id is empty", "{part}: {text}");
    }
    assert!(text.contains("the id is empty"), "{text}");
    assert_eq!(text.matches("an id has at most 200 characters").count(), 2, "{text}");
}

#[test]
fn a_share_that_must_succeed_is_a_share() {
    let graph = GraphSpec { tolerance: Tolerance::MinSuccess(1.5), ..spec([f("a")]) };
    assert_eq!(
        problems(graph),
        "graph.tolerance.min_success: a share of all functions is from 0 to 1: `1.5`"
    );
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let mut graph = spec([
        f("a").outputs(1).after("x"),
        f("b").arg("a", 7).with(|spec| spec.extra_args = vec!["{out.9}".to_owned()]),
        f("a"),
        f("c").after("d"),
        f("d").after("c"),
        f("e-{n}").foreach("n", &[]).arg("zzzzzzz", 0),
    ]);
    graph.keep = vec!["nothing.0".to_owned()];
    let text = problems(graph);
    let firsts: Vec<&str> = text.lines().filter(|line| !line.starts_with("  hint")).collect();
    assert_eq!(
        firsts,
        [
            "graph.keep[0]: no value has this name: `nothing.0`",
            "function[0].after[0] of `a`: no function has this id: `x`",
            "function[1].extra_args[0] of `b`: there is no `{out.9}`: `{out.9}`",
            "function[1].args[0] of `b`: `a` has no output 7: `[\"a\", 7]`",
            "function[2].id of `a`: two functions have one id: `a`",
            "function[3] of `c`: functions wait for each other in a cycle: c -> d -> c",
            "function[5].foreach.n of `e-{n}`: a sweep over no values",
            "function[5].args[0] of `e-{n}`: no function has this id: `zzzzzzz`",
        ]
    );
}

#[test]
fn problems_beyond_the_limit_are_counted() {
    let graph = spec((0..500).map(|n| f(&format!("f{n}")).after("nowhere")));
    let limits = Limits { problems: 10, ..Limits::default() };
    let problems = Graph::build(graph, &limits).unwrap_err();
    assert_eq!(problems.len(), 11);
    assert_eq!(problems[9].place, "function[9].after[0]");
    assert_eq!(problems[10].to_string(), "and 490 more problems");
}

#[test]
fn too_many_functions_and_dependencies_are_refused() {
    let limits = Limits { functions: 10, edges: 5, ..Limits::default() };
    let many = Graph::build(spec([f("a-{n}").times("n", 11)]), &limits).unwrap_err();
    assert_eq!(
        many[0].to_string(),
        "function[0].foreach of `a-{n}`: the graph has too many functions: `11`\n  hint: at most 10 are allowed"
    );
    let dense = spec([f("a"), f("b"), f("c-{n}").times("n", 3).after("a").after("b")]);
    let dense = Graph::build(dense, &limits).unwrap_err();
    assert!(
        dense[0].to_string().starts_with("function[2].args of `c-{n}`: the graph has too many dependencies")
    );
    let names: Vec<String> = (0..30).map(|n| format!("x{n}")).collect();
    let id = format!("{{{}}}", names.join("}{"));
    let huge = names.iter().fold(f(&id), |f, name| f.times(name, 1000));
    assert!(problems(spec([huge])).contains("too many functions"), "a product beyond any number is no panic");
}

#[test]
fn the_last_axis_of_a_sweep_turns_fastest() {
    let graph = build(spec([
        f("first"),
        f("t-{b}-{a}").foreach("a", &["x", "y"]).foreach("b", &["1", "2", "3"]),
        f("last"),
    ]));
    let names: Vec<String> = (0..graph.len()).map(|task| graph.task_name(task)).collect();
    assert_eq!(names, ["first", "t-1-x", "t-2-x", "t-3-x", "t-1-y", "t-2-y", "t-3-y", "last"]);
    assert_eq!(graph.bindings(2), [("a", "x"), ("b", "2")]);
    for (task, name) in names.iter().enumerate() {
        assert_eq!(graph.find(name), Some(task as u32));
    }
    assert_eq!(graph.find("t-4-x"), None);
    assert_eq!(graph.find("t-{b}-{a}"), None);
    assert_eq!((graph.family(3), graph.family(7)), ("t", "last"));
    assert_eq!((graph.function_index(0), graph.function_index(6), graph.function_index(7)), (0, 1, 2));
}

#[test]
fn a_family_name_is_the_id_before_its_first_placeholder() {
    let graph = build(spec([
        f("train-_.{n}").times("n", 1),
        f("{n}-x").times("n", 1),
        f("plain"),
        f("odd{n}").times("n", 1).with(|spec| spec.family = Some("even".to_owned())),
    ]));
    let families: Vec<&str> = (0..4).map(|task| graph.family(task)).collect();
    assert_eq!(families, ["train", "{n}-x", "plain", "even"]);
}

#[test]
fn a_reader_of_a_family_waits_for_its_group() {
    let graph = build(spec([
        f("t-{n}").times("n", 3).outputs(1),
        f("all").arg("t[*]", 0),
        f("some").arg_succeeded("t[*]", 0),
        f("one").arg("t-1", 0),
        f("late").after("t[*]"),
    ]));
    let task = |name: &str| graph.find(name).unwrap();
    assert_eq!(graph.needs(task("all")), [Need::Group(0)]);
    assert_eq!(graph.needs(task("some")), [Need::GroupEnd(0)]);
    assert_eq!(graph.needs(task("one")), [Need::Task(1)]);
    assert_eq!(graph.args(task("some")), [Arg::Family { group: 0, index: 0, succeeded: true }]);
    assert_eq!(graph.args(task("late")), []);
    assert_eq!(graph.groups()[0].readers, [task("all"), task("late")]);
    assert_eq!(graph.groups()[0].lenient_readers, [task("some")]);
    assert_eq!(graph.group_of(2), Some(0));
    assert_eq!(graph.group_of(task("all")), None);
    assert_eq!(graph.edges(), 4, "three readers of a family cost three, not nine");
}

#[test]
fn a_sweep_may_name_single_instances_which_makes_a_pipeline() {
    let graph = build(spec([f("a-{n}").times("n", 4).outputs(1), f("b-{n}").times("n", 4).arg("a-{n}", 0)]));
    for n in 0..4 {
        assert_eq!(graph.needs(4 + n), [Need::Task(n)]);
        assert_eq!(graph.readers(n), [4 + n]);
    }
}

#[test]
fn a_sweep_may_not_name_instances_that_are_not_there() {
    check(
        [f("a-{n}").times("n", 2).outputs(1), f("b-{n}").times("n", 4).arg("a-{n}", 0)],
        "function[1].args[0] of `b-{n}`: no function has this id: `a-2`\n  hint: the sweep `a-{n}` has no such instance; its last is `a-1`",
    );
}

#[test]
fn depths_and_order_go_through_groups() {
    let graph = build(spec([
        f("end").after("mid[*]"),
        f("mid-{n}").times("n", 2).after("begin"),
        f("begin"),
        f("alone"),
    ]));
    assert_eq!(graph.depths(), [2, 1, 1, 0, 0]);
    assert_eq!(graph.topological(), [3, 1, 2, 0, 4]);
}

#[test]
fn outputs_that_nobody_reads_or_that_are_named_are_kept() {
    let mut graph = spec([f("a").outputs(3), f("b").arg("a", 0).arg("a", 1)]);
    graph.keep = vec!["a.1".to_owned()];
    let graph = build(graph);
    assert_eq!([0, 1, 2].map(|output| graph.is_kept(0, output)), [false, true, true]);
    assert!(graph.has_passing_outputs(0));
    assert!(!graph.has_passing_outputs(1));
}

#[test]
fn requests_are_shared_and_variants_inherit() {
    let graph = build(spec([
        f("a").cpus(2),
        f("b").cpus(2),
        f("c")
            .cpus(4)
            .cost(|cost| cost.gpu_memory = Some(Bytes::gib(2)))
            .variant(DeviceKind::Gpu, |_| {})
            .variant(DeviceKind::Cpu, |cost| cost.memory = Some(Bytes::gib(1))),
    ]));
    assert_eq!(graph.requests().len(), 3);
    assert_eq!(graph.variant(0, 0).request, graph.variant(1, 0).request);
    assert_eq!(graph.request(2, 0).kind(), DeviceKind::Gpu);
    let cpu = graph.request(2, 1);
    assert_eq!((cpu.kind(), cpu.cpus.0, cpu.memory), (DeviceKind::Cpu, 4000, Bytes::gib(1)));
    assert_eq!(graph.request(2, 9), graph.request(2, 0), "a variant that is not there is the first");
}

#[test]
fn defaults_are_those_of_the_graph_file() {
    let graph = build(GraphSpec { functions: vec![f("a").0], ..GraphSpec::default() });
    assert_eq!((graph.settings.strategy.as_str(), graph.settings.on_failure), ("auto", OnFailure::Keep));
    assert_eq!(graph.settings.tolerance, Tolerance::Strict);
    let undone = build(spec([f("a").with(|spec| spec.compensate = vec!["rm".to_owned()])]));
    assert_eq!(undone.settings.on_failure, OnFailure::Compensate);
}

#[test]
fn a_million_instances_are_built_and_found() {
    let graph = build(spec([
        f("src").outputs(1),
        f("t-{a}-{b}").times("a", 1000).times("b", 999).arg("src", 0).outputs(1),
        f("sum").arg("t[*]", 0),
    ]));
    assert_eq!(graph.len(), 999_002);
    assert_eq!(graph.functions().len(), 3, "instances are counted, not stored");
    assert_eq!(graph.edges(), 999_001);
    assert_eq!(graph.find("t-999-998"), Some(999_000));
    assert_eq!(graph.task_name(1000), "t-1-0");
}
