//! What using a machine costs, as its owner declared it: money and power by device, bandwidth between
//! memories. Numbers here order alternatives; nothing is refused because of them.

use std::collections::BTreeMap;

/// The name under which cores stand in [`Tariff::prices`] and [`Tariff::watts`].
pub const CPU: &str = "cpu";

/// Prices, power and links of a node.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tariff {
    /// Money per second of one whole device, by a part of the GPU's name in lower case, or [`CPU`] for
    /// one core.
    pub prices: BTreeMap<String, f64>,
    /// Watts that one whole device draws at work above idling, by the same names.
    pub watts: BTreeMap<String, f64>,
    /// How fast values move.
    pub links: Links,
}

/// Bandwidths between the memories of a node and those of its GPUs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Links {
    /// Bytes a second between the node's RAM and a GPU.
    pub host_gpu: f64,
    /// Bytes a second between two GPUs of the node.
    pub gpu_gpu: f64,
    /// Bytes a second between two nodes.
    pub node_node: f64,
    /// Seconds that each move takes at least.
    pub latency: f64,
}

impl Default for Links {
    /// PCIe 4.0 with 16 lanes as measured by copies of pinned memory, and 10 GbE between nodes.
    fn default() -> Self {
        Self { host_gpu: 20e9, gpu_gpu: 20e9, node_node: 1.1e9, latency: 1e-5 }
    }
}

/// What an owner may declare of a device and did not.
mod ordinary {
    /// Of one core.
    pub(super) const CORE_WATTS: f64 = 5.0;
    /// Of one GPU.
    pub(super) const GPU_WATTS: f64 = 300.0;
    /// Money per core-second and GPU-second in the same unit: a GPU costs as much as 64 cores.
    pub(super) const CORE_PRICE: f64 = 1.0 / 64.0;
    pub(super) const GPU_PRICE: f64 = 1.0;
}

impl Tariff {
    fn of(table: &BTreeMap<String, f64>, gpu: Option<&str>) -> Option<f64> {
        match gpu {
            None => table.get(CPU).copied(),
            Some(name) => {
                let name = name.to_lowercase();
                // The longest name is the most exact: `h100 nvl` before `h100`.
                table
                    .iter()
                    .filter(|(part, _)| *part != CPU && name.contains(part.as_str()))
                    .max_by_key(|(part, _)| part.len())
                    .map(|(_, value)| *value)
            }
        }
    }

    /// Money per second of one whole GPU of this name, or of one core where there is none.
    pub fn price(&self, gpu: Option<&str>) -> f64 {
        let usual = if gpu.is_some() { ordinary::GPU_PRICE } else { ordinary::CORE_PRICE };
        Self::of(&self.prices, gpu).unwrap_or(usual)
    }

    /// Watts of one whole GPU of this name at work, or of one core.
    pub fn power(&self, gpu: Option<&str>) -> f64 {
        let usual = if gpu.is_some() { ordinary::GPU_WATTS } else { ordinary::CORE_WATTS };
        Self::of(&self.watts, gpu).unwrap_or(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_part_of_a_name_wins() {
        let prices = [("h100", 3.0), ("h100 nvl", 4.0), ("cpu", 0.01)];
        let prices = prices.map(|(name, price)| (name.to_owned(), price)).into();
        let tariff = Tariff { prices, ..Tariff::default() };
        assert_eq!(tariff.price(Some("NVIDIA H100 NVL")), 4.0);
        assert_eq!(tariff.price(Some("NVIDIA H100 80GB HBM3")), 3.0);
        assert_eq!(tariff.price(None), 0.01);
        assert_eq!(tariff.price(Some("A100")), 1.0);
    }
}
