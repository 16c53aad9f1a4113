//! Forward-backward improvement: the schedule is pushed to the right, last ends first, and then to the
//! left again in the order of the starts that came of it. Modes stay.
//!
//! Source: Tormos and Lova 2001; Valls, Ballestín and Quintanilla 2005 (double justification). The way back
//! is the same serial scheme on the instance with its edges turned round; what others hold, earliest
//! starts and the values behind gathers are not looked at there, since the way forward does. Cost: two
//! schedules. Bad where each task has a device to itself: there is little to gain then.

use super::decoder::{Choose, Sgs};
use super::encoding::{List, Net};
use crate::planning::{Instance, Transfers};

/// The instance with its edges turned round.
pub(crate) fn reversed(instance: &Instance) -> Instance {
    let places = instance.transfers.places();
    let mut transfers = Transfers::free(places);
    for from in 0..places {
        for to in 0..places {
            let (latency, unit) = instance.transfers.rate(from as u32, to as u32);
            transfers.set(to, from, unit, latency);
        }
    }
    Instance {
        devices: instance.devices.clone(),
        resources: instance.resources.clone(),
        kinds: instance.kinds.clone(),
        kind_of: instance.kind_of.clone(),
        gathers: instance.gathers,
        parents: instance.children.clone(),
        children: instance.parents.clone(),
        transfers,
        earliest: Vec::new(),
        occupied: Vec::new(),
        value_memory: Vec::new(),
        fragmenting: Vec::new(),
    }
}

/// The order of starts after pushing a solution to the right. `back` is the net of the reversed instance
/// with the same modes.
pub(crate) fn to_the_right(net: &Net<'_>, back: &Net<'_>, sgs: &mut Sgs, list: &List, end: &[f64]) -> List {
    // The mirror of the schedule: what ended last starts first.
    let mirrored: Vec<f64> = end.iter().map(|end| 0.0 - end).collect();
    let mut turned = List { order: Vec::new(), mode: list.mode.clone() };
    back.sort_by_start(&mut turned, &mirrored);
    sgs.run(back, &mut turned, Choose::No, f64::INFINITY, &mut || false);
    let starts: Vec<f64> = sgs.end.iter().map(|end| 0.0 - end).collect();
    let mut list = List { order: Vec::new(), mode: list.mode.clone() };
    net.sort_by_start(&mut list, &starts);
    list
}
