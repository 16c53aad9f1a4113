//! The analysis against one that is too simple to be wrong: every dependency of every instance as an edge of
//! its own, and every longest way by trying all.

use crate::*;
use std::collections::BTreeSet;

fn function(id: &str, instances: u32) -> FunctionSpec {
    let mut spec = FunctionSpec {
        id: id.to_owned(),
        code: Code::Command(vec!["true".to_owned()]),
        outputs: vec![OutputSpec { kind: OutputKind::File, size: None }],
        ..FunctionSpec::default()
    };
    if instances != 1 {
        spec.id = format!("{id}-{{n}}");
        spec.foreach =
            vec![Axis { name: "n".to_owned(), values: (0..instances).map(|n| n.to_string()).collect() }];
    }
    spec
}

fn arg(producer: &str) -> ArgSpec {
    ArgSpec { producer: producer.to_owned(), index: 0, succeeded: false }
}

fn build(functions: Vec<FunctionSpec>) -> Graph {
    let spec = GraphSpec { functions, ..GraphSpec::default() };
    Graph::build(spec, &Limits::default()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Numbers by splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A few functions, some of them sweeps, that read and wait for others; in half of the graphs the file has
/// them in reverse order.
fn any_graph(dice: &mut Dice) -> Graph {
    let count = 1 + dice.below(7);
    let sizes: Vec<u32> = (0..count).map(|_| 1 + dice.below(4) as u32).collect();
    let mut functions: Vec<FunctionSpec> = Vec::new();
    for at in 0..count as usize {
        let mut spec = function(&format!("f{at}"), sizes[at]);
        for before in 0..at {
            let name = if sizes[before] == 1 {
                format!("f{before}")
            } else if sizes[before] == sizes[at] && dice.below(2) == 0 {
                format!("f{before}-{{n}}")
            } else if dice.below(2) == 0 {
                format!("f{before}-0")
            } else {
                format!("f{before}[*]")
            };
            match dice.below(6) {
                0 => spec.args.push(arg(&name)),
                1 => spec.after.push(name),
                2 if name.ends_with("[*]") => spec.args.push(ArgSpec { succeeded: true, ..arg(&name) }),
                _ => {}
            }
        }
        functions.push(spec);
    }
    if dice.below(2) == 0 {
        functions.reverse();
    }
    build(functions)
}

/// Every pair of a task and one that waits for it; with whether it waits for success.
fn every_edge(graph: &Graph) -> BTreeSet<(u32, u32, bool)> {
    let mut edges = BTreeSet::new();
    for task in 0..graph.len() {
        for need in graph.needs(task) {
            match need {
                Need::Task(producer) => drop(edges.insert((*producer, task, true))),
                Need::Group(group) => edges.extend(graph.members(*group).map(|member| (member, task, true))),
                Need::GroupEnd(group) => {
                    edges.extend(graph.members(*group).map(|member| (member, task, false)));
                }
            }
        }
    }
    edges
}

/// The longest sum of `weight` over a way that begins after `task`, following the edges.
fn longest(task: u32, edges: &[(u32, u32)], weight: &dyn Fn(u32) -> f64) -> f64 {
    let next = edges.iter().filter(|(from, _)| *from == task);
    next.map(|(_, to)| weight(*to) + longest(*to, edges, weight)).fold(0.0, f64::max)
}

fn leads(from: u32, to: u32, edges: &BTreeSet<(u32, u32, bool)>) -> bool {
    from == to || edges.iter().any(|(a, b, success)| *b == to && *success && leads(from, *a, edges))
}

#[test]
fn it_agrees_with_trying_all_ways() {
    let mut dice = Dice(7);
    for _ in 0..400 {
        let graph = any_graph(&mut dice);
        // Quarters, so that sums are exact in every order and ties happen.
        let seconds: Vec<f64> = (0..graph.len()).map(|_| dice.below(9) as f64 / 4.0).collect();
        let found = graph.analyse(|task| seconds[task as usize]);
        let all = every_edge(&graph);
        let down: Vec<(u32, u32)> = all.iter().map(|(from, to, _)| (*from, *to)).collect();
        let up: Vec<(u32, u32)> = down.iter().map(|(from, to)| (*to, *from)).collect();
        let weight = |task: u32| seconds[task as usize];
        let through: Vec<f64> = (0..graph.len())
            .map(|task| longest(task, &up, &weight) + weight(task) + longest(task, &down, &weight))
            .collect();
        let most = through.iter().copied().fold(0.0, f64::max);
        assert_eq!(found.critical_path_s, most);
        assert_eq!(found.work_s, seconds.iter().sum::<f64>());
        for task in 0..graph.len() {
            assert_eq!(found.slack_s[task as usize], most - through[task as usize]);
            assert_eq!(f64::from(found.depth[task as usize]), longest(task, &up, &|_| 1.0));
        }
        assert_eq!(found.depth, graph.depths());
        // The path is one, and as long as it says.
        assert!(found.critical_path.windows(2).all(|pair| down.contains(&(pair[0], pair[1]))));
        assert_eq!(found.critical_path.iter().map(|task| weight(*task)).sum::<f64>(), most);
        // Levels and functions count every task once.
        let counted: u32 = found.levels.iter().flat_map(|level| &level.functions).map(|(_, n)| n).sum();
        assert_eq!(counted, graph.len());
        assert_eq!(found.levels.iter().map(|level| level.tasks).sum::<u32>(), graph.len());
        assert_eq!(found.functions.iter().map(|share| share.instances).sum::<u32>(), graph.len());
        let path_s: f64 = found.bottlenecks().iter().map(|f| found.functions[*f as usize].path_s).sum();
        assert_eq!(path_s, most);
        assert_eq!(
            found.sources as usize,
            (0..graph.len()).filter(|t| up.iter().all(|(a, _)| a != t)).count()
        );
        assert_eq!(
            found.sinks as usize,
            (0..graph.len()).filter(|t| down.iter().all(|(a, _)| a != t)).count()
        );
        assert_eq!(found.components, components(graph.len(), &down));
        // The folded graph has an edge where any instances have one.
        let pairs: BTreeSet<(u32, u32)> =
            down.iter().map(|(a, b)| (graph.function_index(*a), graph.function_index(*b))).collect();
        let folded: Vec<(u32, u32)> = found.folded.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        assert_eq!(folded.len(), pairs.len());
        assert_eq!(folded.into_iter().collect::<BTreeSet<_>>(), pairs);
        let layers = found.folded.layers();
        for edge in found.folded.edges.iter().filter(|edge| edge.from != edge.to) {
            assert!(layers[edge.from as usize] < layers[edge.to as usize]);
        }
        assert!(found.redundant.complete);
        assert_eq!(found.redundant.found, superfluous(&graph, &all));
    }
}

fn components(total: u32, edges: &[(u32, u32)]) -> u32 {
    let mut part: Vec<u32> = (0..total).collect();
    for _ in 0..total {
        for (a, b) in edges {
            let least = part[*a as usize].min(part[*b as usize]);
            part[*a as usize] = least;
            part[*b as usize] = least;
        }
    }
    part.into_iter().collect::<BTreeSet<_>>().len() as u32
}

/// Dependencies without a value of first instances whose success follows from the other needs.
fn superfluous(graph: &Graph, edges: &BTreeSet<(u32, u32, bool)>) -> Vec<(u32, Need)> {
    let mut found = Vec::new();
    for function in 0..graph.functions().len() as u32 {
        let task = graph.instances(function).start;
        for need in graph.needs(task) {
            let (wanted, read): (Vec<u32>, bool) = match need {
                Need::Task(producer) => (
                    vec![*producer],
                    graph
                        .args(task)
                        .iter()
                        .any(|arg| matches!(arg, Arg::Value { task, .. } if task == producer)),
                ),
                Need::Group(group) => (
                    graph.members(*group).collect(),
                    graph
                        .args(task)
                        .iter()
                        .any(|arg| matches!(arg, Arg::Family { group: g, .. } if g == group)),
                ),
                Need::GroupEnd(_) => continue,
            };
            let others: Vec<u32> = graph
                .needs(task)
                .iter()
                .filter(|other| *other != need)
                .flat_map(|other| match other {
                    Need::Task(producer) => vec![*producer],
                    Need::Group(group) => graph.members(*group).collect(),
                    Need::GroupEnd(_) => Vec::new(),
                })
                .collect();
            // All of a family may also follow member by member; the search looks for the family as such.
            let implied = match need {
                Need::Group(group) => others.iter().any(|other| {
                    (0..graph.len()).any(|via| {
                        graph.needs(via).contains(&Need::Group(*group)) && leads(via, *other, edges)
                    })
                }),
                _ => wanted.iter().all(|wanted| others.iter().any(|other| leads(*wanted, *other, edges))),
            };
            if !read && implied {
                found.push((function, *need));
            }
        }
    }
    found
}

#[test]
fn a_fan_names_what_makes_it_late() {
    let mut middle = function("middle", 100);
    middle.args.push(arg("first"));
    let mut last = function("last", 1);
    last.args.push(arg("middle[*]"));
    last.after.push("first".to_owned());
    let graph = build(vec![function("first", 1), middle, last]);
    // One of the hundred takes longer.
    let found = graph.analyse(|task| if task == 42 { 3.0 } else { 1.0 });
    assert_eq!(
        found.critical_path.iter().map(|t| graph.task_name(*t)).collect::<Vec<_>>(),
        ["first", "middle-41", "last"]
    );
    assert_eq!((found.critical_path_s, found.work_s), (5.0, 104.0));
    assert_eq!(found.bottlenecks(), [1, 0, 2]);
    assert_eq!(found.heaviest()[0], 1);
    assert_eq!(found.widest().map(|(at, level)| (at, level.tasks)), Some((1, 100)));
    assert_eq!((found.sources, found.sinks, found.components), (1, 1, 1));
    assert_eq!(
        (found.slack_s[1], found.functions[1].critical, found.functions[1].least_slack_s),
        (2.0, 1, 0.0)
    );
    assert_eq!(found.redundant.found, [(2, Need::Task(0))]);
    assert!((found.parallelism() - 20.8).abs() < 1e-12);
}

#[test]
fn what_is_no_time_counts_as_none() {
    let graph = build(vec![function("a", 1), function("b", 1)]);
    for odd in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
        let found = graph.analyse(|_| odd);
        assert_eq!((found.critical_path_s, found.work_s, found.parallelism()), (0.0, 0.0, 1.0));
        assert_eq!((found.critical_path.len(), found.components), (1, 2));
    }
}

#[test]
fn functions_that_wait_for_each_other_share_a_layer() {
    let edges = [(0, 1), (1, 2), (2, 1), (2, 3)].map(|(from, to)| FunctionEdge {
        from,
        to,
        value: false,
        all: false,
    });
    assert_eq!(FunctionGraph { functions: 4, edges: edges.to_vec() }.layers(), [0, 1, 1, 2]);
}
