//! The machines of a problem as devices, resources, memories and links.

use super::{Device, Mode, Resource, Transfers};
use dunnage_core::PlanProblem;
use dunnage_model::{Bytes, DeviceId, GpuFit, GpuRequest, GpuSpec, MilliShare, NodeSpec, Request};
use std::collections::BTreeMap;

/// Beyond this many devices a node is one memory; the table of links is quadratic.
const PLACES_MAX: usize = 1024;

/// All of a GPU's share.
const WHOLE: u64 = 1000;

/// No task is planned with more seconds, so that sums stay finite.
const SECONDS_MAX: f64 = 1e12;

/// The machines of a problem.
pub(crate) struct Machine<'a> {
    problem: &'a PlanProblem,
    nodes: Vec<Node<'a>>,
    pub(crate) devices: Vec<Device>,
    /// For each device its id outside of the instance.
    pub(crate) ids: Vec<DeviceId>,
    pub(crate) resources: Vec<Resource>,
}

struct Node<'a> {
    spec: &'a NodeSpec,
    /// Its cores and RAM are these resources, and the next.
    cores: u32,
    custom: BTreeMap<&'a str, u32>,
    /// Its cores are this device.
    host: u32,
    host_class: usize,
    /// Money and joules for a second on one core.
    core_cost: [f64; 2],
    gpus: Vec<Gpu<'a>>,
}

struct Gpu<'a> {
    spec: &'a GpuSpec,
    device: u32,
    class: usize,
    /// Its share is this resource, its memory the next.
    share: u32,
    /// Its name in lower case.
    name: String,
    /// Money and joules for a second of all of it.
    cost: [f64; 2],
}

impl<'a> Machine<'a> {
    /// The resources that are the shares of GPUs.
    pub(crate) fn shares(&self) -> Vec<u32> {
        self.nodes.iter().flat_map(|node| node.gpus.iter().map(|gpu| gpu.share)).collect()
    }

    pub(crate) fn new(problem: &'a PlanProblem) -> Self {
        let devices = problem.nodes.iter().map(|node| 1 + node.gpus.len()).sum::<usize>();
        let mut machine = Self {
            problem,
            nodes: Vec::with_capacity(problem.nodes.len()),
            devices: Vec::with_capacity(devices),
            ids: Vec::with_capacity(devices),
            resources: Vec::new(),
        };
        let mut place = 0;
        for spec in &problem.nodes {
            let cores = machine.resource(format!("{} cores", spec.name), u64::from(spec.cpu.capacity.0));
            machine.resource(format!("{} memory", spec.name), spec.memory.0);
            let custom = spec
                .custom
                .iter()
                .map(|(name, amount)| {
                    (name.as_str(), machine.resource(format!("{} {name}", spec.name), *amount))
                })
                .collect();
            let id = DeviceId::host(spec.id);
            let host = machine.device(spec.name.clone(), id, place);
            let mut gpus = Vec::with_capacity(spec.gpus.len());
            for gpu in &spec.gpus {
                if devices <= PLACES_MAX {
                    place += 1;
                }
                let name = format!("{} {}", spec.name, gpu.device);
                let share = machine.resource(format!("{name} share"), WHOLE);
                machine.resource(format!("{name} memory"), gpu.memory.0);
                let class = problem.class(gpu.device);
                gpus.push(Gpu {
                    spec: gpu,
                    device: machine.device(name, gpu.device, place),
                    class,
                    share,
                    name: gpu.name.to_lowercase(),
                    cost: costs(spec, Some(&gpu.name)),
                });
            }
            if problem.nodes.len() <= PLACES_MAX {
                place += 1;
            }
            let (host_class, core_cost) = (problem.class(id), costs(spec, None));
            machine.nodes.push(Node { spec, cores, custom, host, host_class, core_cost, gpus });
        }
        machine
    }

    /// Adds a resource and returns its number.
    pub(crate) fn resource(&mut self, name: String, capacity: u64) -> u32 {
        self.resources.push(Resource { name, capacity });
        self.resources.len() as u32 - 1
    }

    fn device(&mut self, name: String, id: DeviceId, place: u32) -> u32 {
        self.devices.push(Device { name, place });
        self.ids.push(id);
        self.devices.len() as u32 - 1
    }

    /// How long moving values takes, by what the nodes' owners declared.
    pub(crate) fn transfers(&self) -> Transfers {
        let places = self.devices.iter().map(|device| device.place as usize + 1).max().unwrap_or(0);
        let mut transfers = Transfers::free(places);
        // The first device of each place stands for it.
        let mut stands: Vec<Option<(&Node<'_>, bool)>> = vec![None; places];
        for node in &self.nodes {
            let host = std::iter::once((node.host, false));
            for (device, is_gpu) in host.chain(node.gpus.iter().map(|gpu| (gpu.device, true))) {
                let place = self.devices[device as usize].place as usize;
                if stands[place].is_none() {
                    stands[place] = Some((node, is_gpu));
                }
            }
        }
        for (from, source) in stands.iter().enumerate() {
            for (to, target) in stands.iter().enumerate() {
                let (Some((source, from_gpu)), Some((target, to_gpu))) = (source, target) else { continue };
                let (here, there) = (source.spec.tariff.links, target.spec.tariff.links);
                let per_byte = if source.spec.id == target.spec.id {
                    if *from_gpu && *to_gpu { per_byte(here.gpu_gpu) } else { per_byte(here.host_gpu) }
                } else {
                    // Between nodes by way of both hosts.
                    let up = if *from_gpu { per_byte(here.host_gpu) } else { 0.0 };
                    let down = if *to_gpu { per_byte(there.host_gpu) } else { 0.0 };
                    up + per_byte(here.node_node.min(there.node_node)) + down
                };
                let latency = amount(here.latency.max(there.latency)).min(SECONDS_MAX);
                transfers.set(from, to, per_byte, latency);
            }
        }
        transfers
    }

    /// The ways to run a variant of a function that asks for this, with the number of the function in
    /// [`PlanProblem::seconds`]; `pinned` names the node it must run on.
    pub(crate) fn modes(
        &self,
        function: u32,
        variant: u8,
        request: &Request,
        pinned: Option<&str>,
        out: &mut Vec<Mode>,
    ) {
        for node in &self.nodes {
            if pinned.is_none_or(|name| name == node.spec.name) {
                self.modes_on(node, function, variant, request, out);
            }
        }
    }

    fn modes_on(&self, node: &Node<'_>, function: u32, variant: u8, request: &Request, out: &mut Vec<Mode>) {
        let mut host: Vec<(u32, u64)> =
            vec![(node.cores, u64::from(request.cpus.0)), (node.cores + 1, request.memory.0)];
        for (name, amount) in &request.custom {
            let Some(resource) = node.custom.get(&**name) else { return };
            match host.iter_mut().find(|(known, _)| known == resource) {
                Some((_, known)) => *known = known.saturating_add(*amount),
                None => host.push((*resource, *amount)),
            }
        }
        host.retain(|(_, amount)| *amount > 0);
        if host.iter().any(|(resource, amount)| *amount > self.resources[*resource as usize].capacity) {
            return;
        }
        let cores = f64::from(request.cpus.0) / 1000.0;
        let [host_price, host_watts] = node.core_cost.map(|cost| cores * cost);
        let (count, part): (usize, Option<(MilliShare, Option<Bytes>)>) = match &request.gpu {
            GpuRequest::None => {
                let seconds = self.seconds(function, variant, node.host_class);
                out.push(Mode {
                    variant,
                    device: node.host,
                    seconds,
                    takes: host.into(),
                    price: host_price * seconds,
                    joules: host_watts * seconds,
                });
                return;
            }
            GpuRequest::Whole { count, .. } => (usize::from(*count).max(1), None),
            GpuRequest::Part { share, memory, .. } => (1, Some((*share, *memory))),
        };
        let able: Vec<(&Gpu<'_>, [u64; 2])> =
            node.gpus.iter().filter_map(|gpu| Some((gpu, of_gpu(gpu, &request.gpu)?))).collect();
        // Of several GPUs each row of neighbours: what is between those that will do is left out.
        for window in able.windows(count) {
            let mut takes = Vec::with_capacity(host.len() + 2 * count);
            let (mut price, mut watts, mut seconds) = (host_price, host_watts, 0.0_f64);
            for (gpu, [share, memory]) in window {
                takes
                    .extend([(gpu.share, *share), (gpu.share + 1, *memory)].iter().filter(|take| take.1 > 0));
                let of_memory = *memory as f64 / gpu.spec.memory.0.max(1) as f64;
                let fraction =
                    if part.is_some() { (*share as f64 / WHOLE as f64).max(of_memory) } else { 1.0 };
                price += fraction * gpu.cost[0];
                watts += fraction * gpu.cost[1];
                // The slowest of them sets the pace.
                seconds = seconds.max(self.seconds(function, variant, gpu.class));
            }
            // What is most likely to be taken is asked first.
            takes.extend_from_slice(&host);
            let (price, joules) = (price * seconds, watts * seconds);
            out.push(Mode {
                variant,
                device: window[0].0.device,
                seconds,
                takes: takes.into(),
                price,
                joules,
            });
        }
    }

    fn seconds(&self, function: u32, variant: u8, class: usize) -> f64 {
        let known = self.problem.seconds.get(function as usize);
        let known = known.and_then(|variants| variants.get(usize::from(variant)));
        let seconds = known.and_then(|classes| classes.get(class)).copied().unwrap_or(1.0);
        amount(seconds).min(SECONDS_MAX)
    }

    /// What a placement holds, as resources and amounts.
    pub(crate) fn held(&self, placement: &dunnage_model::Placement) -> Vec<(u32, u64)> {
        let Some(node) = self.nodes.iter().find(|node| node.spec.id == placement.node) else {
            return Vec::new();
        };
        let mut held = vec![(node.cores, u64::from(placement.cpus.0)), (node.cores + 1, placement.memory.0)];
        for (name, amount) in &placement.custom {
            held.extend(node.custom.get(&**name).map(|resource| (*resource, *amount)));
        }
        for grant in &placement.gpus {
            let Some(gpu) = node.gpus.iter().find(|gpu| gpu.spec.device == grant.device) else { continue };
            let (share, memory) = if grant.exclusive {
                (WHOLE, gpu.spec.memory.0)
            } else {
                (u64::from(grant.share.0), grant.memory.0)
            };
            held.extend([(gpu.share, share), (gpu.share + 1, memory)]);
        }
        held.retain(|(_, amount)| *amount > 0);
        held
    }
}

/// Share and memory that a request takes of a GPU; `None` where that GPU will not do.
fn of_gpu(gpu: &Gpu<'_>, request: &GpuRequest) -> Option<[u64; 2]> {
    let spec = gpu.spec;
    let takes = match request {
        GpuRequest::None => return None,
        GpuRequest::Whole { memory, fit, .. } => {
            (fits(gpu, fit) && *memory <= spec.memory).then_some([WHOLE, spec.memory.0])?
        }
        GpuRequest::Part { share, memory, fit } => {
            // A share without declared memory takes the same share of the memory, as in the ledger.
            let same = || Bytes((spec.memory.0 / 1000).saturating_mul(u64::from(share.0)));
            let memory = memory.unwrap_or_else(same);
            fits(gpu, fit).then_some([u64::from(share.0), memory.0])?
        }
    };
    (takes[0] <= WHOLE && takes[1] <= spec.memory.0).then_some(takes)
}

fn fits(gpu: &Gpu<'_>, fit: &GpuFit) -> bool {
    gpu.spec.allocatable
        && fit
            .compute_capability
            .is_none_or(|least| gpu.spec.compute_capability.is_some_and(|has| has >= least))
        && fit.model.as_ref().is_none_or(|model| gpu.name.contains(&**model))
}

/// Money and joules for a second of a GPU, or of a core where none is named.
fn costs(node: &NodeSpec, gpu: Option<&str>) -> [f64; 2] {
    [amount(node.tariff.price(gpu)), amount(node.tariff.power(gpu))]
}

/// A number that is one and not negative.
fn amount(number: f64) -> f64 {
    if number.is_finite() && number > 0.0 { number.min(1e15) } else { 0.0 }
}

/// Seconds for a byte; nothing where no bandwidth is known.
fn per_byte(bandwidth: f64) -> f64 {
    if bandwidth > 0.0 { (1.0 / bandwidth).min(1.0) } else { 0.0 }
}
