//! The thread that owns the device source: it looks when it is asked, and answers into the loop.

use super::Input;
use dunnage_devices::{DeviceSource, MockLoad};
use dunnage_model::{DeviceId, ProcessUse};
use std::sync::mpsc as std_mpsc;
use tokio::sync::mpsc;

/// Asks for a look.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Look {
    /// What runs where: a mock device shows that as its load.
    pub(crate) load: Vec<(DeviceId, Vec<ProcessUse>)>,
    /// The processes at the roots of the attempts' trees: how much RAM each tree uses is looked at as well.
    pub(crate) roots: Vec<u32>,
}

/// The way to ask. Dropping it ends the thread.
#[derive(Clone, Debug)]
pub(crate) struct Sampler(std_mpsc::SyncSender<Look>);

impl Sampler {
    /// Starts the thread.
    pub(crate) fn spawn(
        mut source: Box<dyn DeviceSource>,
        load: Option<MockLoad>,
        inputs: mpsc::UnboundedSender<Input>,
    ) -> std::io::Result<Self> {
        // One look at a time: a second one asked for meanwhile would see the same.
        let (sender, receiver) = std_mpsc::sync_channel::<Look>(1);
        std::thread::Builder::new().name("devices".to_owned()).spawn(move || {
            let mut known: Vec<DeviceId> = source.inventory().map(|node| ids(&node)).unwrap_or_default();
            while let Ok(look) = receiver.recv() {
                if let Some(load) = &load {
                    for (device, processes) in look.load {
                        load.set(device, processes);
                    }
                }
                let trees = Box::new(crate::tree::memory_of(&look.roots));
                let samples = source.sample();
                let mut node = None;
                if samples.iter().any(|sample| !sample.device.is_host() && !known.contains(&sample.device))
                    && let Ok(fresh) = source.inventory()
                {
                    known = ids(&fresh);
                    node = Some(fresh);
                }
                if inputs.send(Input::Sampled { samples, node, trees }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self(sender))
    }

    /// Asks for a look, unless one is waiting already.
    pub(crate) fn ask(&self, look: Look) {
        drop(self.0.try_send(look));
    }
}

fn ids(node: &dunnage_model::NodeSpec) -> Vec<DeviceId> {
    node.gpus.iter().map(|gpu| gpu.device).collect()
}
