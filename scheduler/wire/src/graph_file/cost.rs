//! The `cost` table and the variants, which hold one each.

use super::keys::{COST, VARIANT, unknown_key};
use super::node::Node;
use super::report::{Place, Report};
use super::scalar::{self, Bare};
use dunnage_model::{Cost, DeviceKind, MilliCores, MilliShare, VariantSpec};

/// Far above any machine, and far below what a sum of them could overflow.
const CPUS_MAX: f64 = 100_000.0;
const GPUS_MAX: i64 = 4096;
const CUSTOM_MAX: i64 = 1 << 40;
const CUSTOM_NAMES_MAX: usize = 64;

/// A cost, and whether it says something of CUDA: `false` undoes a default.
pub(crate) fn cost(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> (Cost, Option<bool>) {
    let mut cost = Cost::default();
    let mut cuda = None;
    let Some(table) = scalar::table(node, at, "cost = { cpus = 2, memory = \"4GiB\" }", report) else {
        return (cost, cuda);
    };
    for (key, node) in table {
        let table_at = at;
        let at = &at.key(key);
        match key.as_ref() {
            "cpus" => cost.cpus = scalar::number(node, at, 0.0..=CPUS_MAX, report).map(milli_cores),
            "memory" => cost.memory = scalar::bytes(node, at, Bare::Allowed, report),
            "gpus" => cost.gpus = scalar::whole(node, at, 0..=GPUS_MAX, report).map(|n| n as u16),
            "gpu_share" => cost.gpu_share = gpu_share(node, at, report),
            "gpu_memory" => cost.gpu_memory = scalar::bytes(node, at, Bare::Allowed, report),
            "has_cuda_requirement" => cuda = scalar::boolean(node, at, report),
            "compute_capability" => cost.compute_capability = compute_capability(node, at, report),
            "gpu_model" => cost.gpu_model = scalar::name(node, at, report),
            "cpu_time" => cost.cpu_time = scalar::span(node, at, Bare::Allowed, report),
            "duration" => cost.duration = scalar::span(node, at, Bare::Allowed, report),
            "flops" => cost.flops = flops(node, at, report),
            "bytes" => cost.bytes = scalar::bytes(node, at, Bare::Allowed, report),
            "custom" => cost.custom = custom(node, at, report),
            other => unknown_key(report, &COST, other, table_at),
        }
    }
    cost.requires_cuda = cuda.unwrap_or(false);
    (cost, cuda)
}

/// The list of a function's variants.
pub(crate) fn variants(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Vec<VariantSpec> {
    let example = "variants = [{ device = \"gpu\", cost = { gpu_memory = \"1GiB\" } }, { device = \"cpu\" }]";
    let items = scalar::list(node, at, "a list of tables", example, report).unwrap_or_default();
    items.iter().enumerate().map(|(n, item)| variant(item, &at.index(n), report)).collect()
}

fn variant(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> VariantSpec {
    const DEVICES: [(&str, DeviceKind); 2] = [("cpu", DeviceKind::Cpu), ("gpu", DeviceKind::Gpu)];
    let mut variant = VariantSpec { device: None, cost: Cost::default() };
    let Some(table) = scalar::table(node, at, "{ device = \"cpu\", cost = { cpus = 2 } }", report) else {
        return variant;
    };
    for (key, node) in table {
        let here = at.key(key);
        match key.as_ref() {
            "device" => variant.device = scalar::word(node, &here, &DEVICES, report),
            "cost" => variant.cost = cost(node, &here, report).0,
            other => unknown_key(report, &VARIANT, other, at),
        }
    }
    variant
}

/// Rounded up: who asks for a little gets a little, and not nothing.
fn milli_cores(cores: f64) -> MilliCores {
    MilliCores(thousandths(cores) as u32)
}

/// In thousandths, rounded up, where `0.3` is 300 and not 301.
fn thousandths(number: f64) -> f64 {
    (number * 1000.0 - 1e-6).ceil().max(0.0)
}

fn gpu_share(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<MilliShare> {
    let share = scalar::number(node, at, 0.0..=1.0, report)?;
    if share == 0.0 {
        report.wrong(at, node, "must be more than nothing", "leave the key out where no share is needed");
        return None;
    }
    Some(MilliShare(thousandths(share).max(1.0) as u16))
}

fn compute_capability(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<(u16, u16)> {
    let text = node.scalar_text().unwrap_or_default();
    let (major, minor) = text.split_once('.').unwrap_or((&text, "0"));
    let digits = |part: &str| {
        let plain = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse().ok()).flatten()
    };
    match (digits(major), digits(minor)) {
        (Some(major), Some(minor)) if !matches!(node, Node::Bool(_)) => Some((major, minor)),
        _ => {
            report.wrong(at, node, "not a compute capability", "write it like \"8.0\"");
            None
        }
    }
}

fn flops(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<f64> {
    let parsed = match node {
        Node::Text(text) => text.trim().parse().ok().map(Node::Float),
        _ => None,
    };
    if parsed.is_none() && matches!(node, Node::Text(_)) {
        report.wrong(at, node, "not a number of operations", "write it like 1.2e12, without a unit");
        return None;
    }
    scalar::number(parsed.as_ref().unwrap_or(node), at, 0.0..=1e30, report)
}

fn custom(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Vec<(String, u64)> {
    let Some(table) = scalar::table(node, at, "custom = { licence = 1 }", report) else {
        return Vec::new();
    };
    if table.len() > CUSTOM_NAMES_MAX {
        let count = Node::Int(table.len() as i128);
        report.wrong(at, &count, "too many resources", format!("at most {CUSTOM_NAMES_MAX}"));
        return Vec::new();
    }
    let mut out = Vec::with_capacity(table.len());
    for (name, node) in table {
        let at = at.key(name);
        if name.trim().is_empty() {
            report.wrong(&at, node, "a resource without a name", "custom = { licence = 1 }");
        } else if let Some(amount) = scalar::whole(node, &at, 0..=CUSTOM_MAX, report) {
            out.push((name.clone().into_owned(), amount as u64));
        }
    }
    out
}
