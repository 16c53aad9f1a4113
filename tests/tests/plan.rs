//! `plan`: what it says of a graph, draws, compares, and costs.

use dunnage_tests::{Home, has_keys};
use serde_json::Value;

/// A family between two functions, on cores or a GPU.
const GRAPH: &str = r#"
    [graph]
    name = "g"
    strategy = "heft"
    [[function]]
    id = "first"
    command = ["true"]
    cost = { duration = "1s", memory = "1GiB" }
    [[function]]
    id = "item-{n}"
    foreach = { n = "0-7" }
    after = ["first"]
    command = ["true"]
    variants = [
        { device = "gpu", cost = { cpus = 0, gpus = 1, duration = "1s" } },
        { device = "cpu", cost = { cpus = 1, duration = "20s" } },
    ]
    [[function]]
    id = "last"
    after = ["item[*]", "first"]
    command = ["true"]
    cost = { duration = "2s" }
"#;

fn plan(home: &Home, flags: &str) -> Value {
    let graph = home.write("graph.toml", GRAPH);
    home.call("plan --devices mock:8xh100 --json").arg(graph).words(flags).ok().json()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))
}

#[test]
fn the_shape_of_the_graph_is_told() {
    let home = Home::new();
    let doc = plan(&home, "");
    let analysis = &doc["analysis"];
    has_keys(analysis, "dependencies levels critical_path parallelism bottlenecks functions");
    assert_eq!(analysis["levels"].as_array().map(Vec::len), Some(3));
    assert_eq!(analysis["levels"][1]["tasks"], 8);
    assert_eq!(number(&analysis["critical_path_s"]), 4.0);
    assert_eq!(number(&analysis["work_s"]), 11.0);
    let path: Vec<&str> = analysis["critical_path"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| step["family"].as_str())
        .collect();
    assert_eq!(path, ["first", "item", "last"]);
    assert_eq!(analysis["redundant"][0]["after"], "first");
    assert_eq!(doc["machine"].as_array().map(Vec::len), Some(9));
    // What each task holds is what memory over time is drawn from.
    let item = doc["tasks"].as_array().and_then(|tasks| tasks.iter().find(|task| task["id"] == "item-0"));
    assert_eq!(item.map(|item| number(&item["gpus"][0]["share"])), Some(1.0), "{doc}");
    let text = home.call("plan --devices mock:8xh100").arg(home.path("graph.toml")).ok().out;
    for part in ["critical path: first", "held up by last", "item x8", "`last` need not wait for `first`"] {
        assert!(text.contains(part), "no {part}: {text}");
    }
}

#[test]
fn strategies_are_compared_with_random_beside_them() {
    let home = Home::new();
    let doc = plan(&home, "--strategies heft,first-available");
    let compared = doc["strategies"].as_array().expect("a list");
    let names: Vec<&str> = compared.iter().filter_map(|one| one["strategy"].as_str()).collect();
    assert_eq!(names, ["heft", "first-available", "random"]);
    assert_eq!(number(&compared[0]["makespan_s"]), number(&doc["makespan_s"]));
    home.call("plan --strategies hefty")
        .arg(home.path("graph.toml"))
        .end()
        .expect(2)
        .says(&["did you mean `heft`"]);
}

#[test]
fn the_configuration_says_what_it_costs() {
    let home = Home::new();
    home.write("config.toml", "prices = { cpu = 0, h100 = 3 }\nwatts = { cpu = 0, h100 = 500 }\n");
    let config = format!("--config {}", home.path("config.toml").display());
    let doc = plan(&home, &config);
    // Eight seconds of a GPU.
    assert_eq!((number(&doc["money"]), number(&doc["joules"])), (24.0, 4000.0));
    let shown = home.call("config show").words(&config).ok().out;
    assert!(shown.contains("prices.h100") && shown.contains("links.host_gpu"), "{shown}");
    home.write("config.toml", "prices = { h100 = -3 }\n");
    home.call("config show")
        .words(&config)
        .end()
        .expect(2)
        .says(&["config.toml:1: prices", "`h100` is not a price"]);
}

#[test]
fn a_page_and_a_drawing_are_written() {
    let home = Home::new();
    let flags = format!("--html {} --svg {}", home.path("p.html").display(), home.path("g.svg").display());
    plan(&home, &flags);
    let read = |name: &str| std::fs::read_to_string(home.path(name)).expect("a file");
    let (page, drawing) = (read("p.html"), read("g.svg"));
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    for part in ["The graph", "What runs where", "Memory and cores over time", "Functions", "8 tasks"] {
        assert!(page.contains(part), "no {part}");
    }
    assert!(
        !page.contains("http:") && !page.contains("https:") && !page.contains("<script"),
        "the page needs something from elsewhere"
    );
    assert!(drawing.starts_with("<svg ") && drawing.ends_with("</svg>\n"));
    let nowhere = home.path("no/such/folder/p.html");
    let graph = home.path("graph.toml");
    home.call("plan").arg(graph).words("--html").arg(nowhere).end().expect(2).says(&["cannot write"]);
}

#[test]
fn local_is_a_flag_of_all_that_can_be_local() {
    let home = Home::new();
    home.write("graph.toml", "[[function]]\nid = 'a'\ncommand = ['true']\n");
    home.call("plan --local graph.toml").ok();
    home.call("devices --local").ok();
    home.call("run --local graph.toml").ok();
}
