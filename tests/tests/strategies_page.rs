//! `docs/strategies.md` against the code: every strategy and order is on the page, and nothing else is.

use dunnage_model::{Links, Order, Tariff};
use std::collections::BTreeSet;

fn page() -> String {
    let path = dunnage_tests::workspace().join("docs/strategies.md");
    std::fs::read_to_string(path).expect("the page")
}

/// The names in code marks that begin a row of a table whose head begins so.
fn named(page: &str, head: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("| ") && !line.starts_with("| `") {
            inside = line.starts_with(&format!("| {head} |"));
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside && let Some(name) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next())
        {
            assert!(names.insert(name.to_owned()), "`{name}` has two rows");
        }
    }
    names
}

#[test]
fn every_strategy_is_on_the_page() {
    let known: BTreeSet<String> =
        dunnage_strategies::registry().iter().map(|entry| entry.name.to_owned()).collect();
    assert_eq!(named(&page(), "Strategy"), known);
}

#[test]
fn every_order_is_on_the_page() {
    let known: BTreeSet<String> = Order::NAMES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(named(&page(), "Order"), known);
}

#[test]
fn the_numbers_of_the_page_are_those_of_the_code() {
    let page = page();
    let tariff = Tariff::default();
    let cores = tariff.price(Some("any")) / tariff.price(None);
    let said = format!(
        "a GPU costs as much as {cores} cores and draws {} W, a core {} W",
        tariff.power(Some("any")),
        tariff.power(None)
    );
    assert!(page.contains(&said), "{said}");
    assert!(Links::default().latency > 0.0);
}
