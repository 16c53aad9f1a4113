//! A source of devices whose inventory says what using them costs: the configuration knows it, the
//! driver does not.

use dunnage_devices::{DeviceSource, SourceError};
use dunnage_model::{DeviceSample, NodeSpec, Tariff};

/// Any source, with a tariff put into each inventory.
pub(crate) struct Priced {
    source: Box<dyn DeviceSource>,
    tariff: Tariff,
}

impl Priced {
    pub(crate) fn new(source: Box<dyn DeviceSource>, tariff: Tariff) -> Self {
        Self { source, tariff }
    }
}

impl DeviceSource for Priced {
    fn inventory(&mut self) -> Result<NodeSpec, SourceError> {
        let mut node = self.source.inventory()?;
        node.tariff = self.tariff.clone();
        Ok(node)
    }

    fn sample(&mut self) -> Vec<DeviceSample> {
        self.source.sample()
    }
}
