//! The list of nodes, and the orders in which ties by name go.

use super::csv::{Table, open};
use super::error::ReadError;
use dunnage_core::Rng;
use dunnage_strategies::packing::{Capacity, Fill, GPU_MILLI, GPUS_MAX, Gpu, Models};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

const COLUMNS: &[&str] = &["sn", "cpu_milli", "memory_mib", "gpu", "model"];

/// More than any machine has, and little enough that sums stay exact.
pub(super) const CPU_MILLI_MAX: u64 = 1_000_000_000;

/// The same for memory.
pub(super) const MEMORY_MIB_MAX: u64 = 1 << 40;

/// At most this many nodes.
const NODES_MAX: usize = 200_000;

/// A cluster, empty.
#[derive(Clone, PartialEq, Debug)]
pub struct Nodes {
    /// By name.
    pub(super) nodes: Vec<(String, Fill)>,
    /// The models of GPUs, by number.
    pub(super) models: Vec<String>,
}

/// The order of the nodes, which decides ties by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum NodeOrder {
    /// By name.
    #[default]
    Name,
    /// By name, backwards.
    Reversed,
    /// Shuffled by this seed.
    Random(u64),
    /// Those with the most GPUs first, then by name.
    Gpus,
}

impl NodeOrder {
    /// `name`, `reversed`, `random:S` or `gpus`.
    pub fn named(text: &str) -> Option<Self> {
        match text {
            "name" => Some(Self::Name),
            "reversed" => Some(Self::Reversed),
            "gpus" => Some(Self::Gpus),
            _ => text.strip_prefix("random:")?.parse().ok().map(Self::Random),
        }
    }
}

impl std::fmt::Display for NodeOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name => f.write_str("name"),
            Self::Reversed => f.write_str("reversed"),
            Self::Random(seed) => write!(f, "random:{seed}"),
            Self::Gpus => f.write_str("gpus"),
        }
    }
}

/// Reads a list of nodes from a file.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn read_nodes(path: &Path) -> Result<Nodes, ReadError> {
    read_nodes_from(&path.display().to_string(), open(path)?)
}

/// Reads a list of nodes; `file` is what errors call it.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn read_nodes_from(file: &str, reader: impl Read + 'static) -> Result<Nodes, ReadError> {
    let mut table = Table::new(file, reader, COLUMNS, COLUMNS.len())?;
    let mut models: Vec<String> = Vec::new();
    let mut nodes: BTreeMap<String, Fill> = BTreeMap::new();
    while let Some(row) = table.next()? {
        let name = row.text(0).to_owned();
        if name.is_empty() {
            return Err(row.bad(0, "a node needs a name"));
        }
        let cpu = row.number(1, CPU_MILLI_MAX)?;
        let memory = row.number(2, MEMORY_MIB_MAX)?;
        let gpus = row.number(3, GPUS_MAX as u64)?;
        let mut model = 0;
        if gpus > 0 {
            model = match models.iter().position(|known| known == row.text(4)) {
                Some(at) => at,
                None if models.len() < Models::MAX => {
                    models.push(row.text(4).to_owned());
                    models.len() - 1
                }
                None => return Err(row.bad(4, &format!("more than {} models of GPUs", Models::MAX))),
            };
        }
        let gpus = vec![Gpu { free: GPU_MILLI, model: model as u8 }; gpus as usize];
        let bad = if nodes.len() >= NODES_MAX {
            Some(row.bad(0, &format!("more than {NODES_MAX} nodes")))
        } else if nodes.contains_key(&name) {
            Some(row.bad(0, "this node is in the list twice"))
        } else {
            None
        };
        if let Some(bad) = bad {
            return Err(bad);
        }
        nodes.insert(name, Fill::new(cpu as i64, memory as i64, gpus));
    }
    if nodes.is_empty() {
        return Err(table.error("there is no node in it"));
    }
    Ok(Nodes { nodes: nodes.into_iter().collect(), models })
}

impl Nodes {
    /// How many.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// All GPUs.
    pub fn gpus(&self) -> usize {
        self.nodes.iter().map(|(_, fill)| fill.gpus().len()).sum()
    }

    /// What there is in sum.
    pub fn capacity(&self) -> Capacity {
        Capacity::of(self.nodes.iter().map(|(_, fill)| fill))
    }

    /// The nodes in an order.
    pub(super) fn in_order(&self, order: NodeOrder) -> Vec<Fill> {
        let mut fills: Vec<Fill> = self.nodes.iter().map(|(_, fill)| fill.clone()).collect();
        match order {
            NodeOrder::Name => {}
            NodeOrder::Reversed => fills.reverse(),
            NodeOrder::Random(seed) => shuffle(&mut fills, &mut Rng::new(seed)),
            NodeOrder::Gpus => fills.sort_by_key(|fill| std::cmp::Reverse(fill.gpus().len())),
        }
        fills
    }
}

/// Fisher and Yates.
pub(super) fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for at in (1..items.len()).rev() {
        items.swap(at, rng.below(at + 1));
    }
}
