//! Who holds how much of which device. The only place that adds and subtracts.
//!
//! Every proposal of a strategy is checked again here before it is reserved: a bad strategy may be slow,
//! never unsafe. Amounts are signed, because after a restart on a smaller machine the attempts that
//! still run may hold more than there is; nothing new is placed until that is over.

mod free;

use dunnage_model::{
    AttemptId, Bytes, Cost, DeviceId, DeviceSample, GpuFit, GpuGrant, GpuRequest, GpuSpec, Health,
    MilliCores, MilliShare, NodeId, NodeSpec, Placement, Request, Span, Time,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All nodes with what is free on them, and who holds the rest.
#[derive(Debug, Default)]
pub struct Ledger {
    nodes: BTreeMap<NodeId, NodeLedger>,
    holdings: BTreeMap<AttemptId, Placement>,
    /// What attempts were seen to use beyond what they hold.
    beyond: free::Beyond,
    /// Counts releases and other changes that may make room.
    pub(crate) generation: u64,
}

/// A node with what is free on it.
#[derive(Clone, Debug)]
pub struct NodeLedger {
    /// What it has.
    pub spec: Arc<NodeSpec>,
    /// Thousandths of cores that are free.
    pub cpus_free: i64,
    /// Bytes of RAM that are not reserved.
    pub memory_free: i64,
    /// Bytes of RAM that our tasks use beyond what they hold.
    pub memory_beyond: i64,
    /// Bytes of RAM that processes use which are not ours.
    pub foreign: Bytes,
    /// Its GPUs.
    pub gpus: Vec<GpuLedger>,
    /// Named resources that are free.
    pub custom_free: BTreeMap<String, i64>,
    /// How many attempts hold something of its cores.
    pub holders: u32,
    /// Whether it is in contact.
    pub up: bool,
    /// Since which sample nothing of ours has run on it.
    pub alone_since: Option<Time>,
    /// Whether that is so long that others' use of RAM is waited for no more.
    pub overlooks_others: bool,
    /// What was last seen of its cores and RAM.
    pub sample: Option<(Time, Arc<DeviceSample>)>,
}

/// A GPU with what is given away of it.
#[derive(Clone, Debug)]
pub struct GpuLedger {
    /// Which.
    pub device: DeviceId,
    /// Bytes given away.
    pub memory_held: i64,
    /// Bytes that our tasks use beyond what they hold.
    pub memory_beyond: i64,
    /// Thousandths given away.
    pub share_held: i64,
    /// How many attempts hold something of it.
    pub holders: u32,
    /// Whether one of them holds it alone.
    pub exclusive: bool,
    /// Bytes that processes hold which are not ours.
    pub foreign: Bytes,
    /// How it is.
    pub health: Health,
    /// Whether its owner took it out of service.
    pub drained: bool,
    /// Who else uses it, so that nothing of ours may be placed there.
    pub held_elsewhere: Option<String>,
    /// What was last seen.
    pub sample: Option<(Time, Arc<DeviceSample>)>,
}

/// Why a request does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Not now, but when others have ended.
    Later(String),
    /// Never on this node as it is.
    Never(String),
}

impl Refusal {
    /// The sentence for people.
    pub fn text(&self) -> &str {
        match self {
            Self::Later(text) | Self::Never(text) => text,
        }
    }
}

impl NodeLedger {
    fn new(spec: Arc<NodeSpec>) -> Self {
        Self {
            cpus_free: i64::from(spec.cpu.capacity.0),
            memory_free: spec.memory.0 as i64,
            memory_beyond: 0,
            foreign: Bytes::ZERO,
            gpus: spec.gpus.iter().map(GpuLedger::new).collect(),
            custom_free: spec.custom.iter().map(|(name, n)| (name.clone(), *n as i64)).collect(),
            holders: 0,
            up: true,
            alone_since: None,
            overlooks_others: false,
            sample: None,
            spec,
        }
    }

    fn gpu_spec(&self, device: DeviceId) -> Option<&GpuSpec> {
        self.spec.gpu(device)
    }

    /// The GPUs that could take this part of a request now, by index.
    fn gpus_for(&self, request: &GpuRequest) -> Vec<DeviceId> {
        self.gpus
            .iter()
            .zip(&self.spec.gpus)
            .filter(|(gpu, spec)| !gpu.is_taken(request) && gpu.check(spec, request).is_ok())
            .map(|(gpu, _)| gpu.device)
            .collect()
    }

    /// What most often stands in the way, found without a sentence about it: `check_host` refuses as well.
    fn is_full(&self, request: &Request) -> bool {
        i64::from(request.cpus.0) > self.cpus_free || self.lacks_memory(request)
    }

    fn check_host(&self, request: &Request) -> Result<(), Refusal> {
        let name = &self.spec.name;
        if i64::from(request.cpus.0) > i64::from(self.spec.cpu.capacity.0) {
            return Err(Refusal::Never(format!(
                "{} cores were asked for and `{name}` has {}",
                request.cpus, self.spec.cpu.capacity
            )));
        }
        if request.memory > self.spec.memory {
            return Err(Refusal::Never(format!(
                "{} of memory were asked for and `{name}` has {}",
                request.memory, self.spec.memory
            )));
        }
        for (resource, amount) in &request.custom {
            let total = self.spec.custom.get(&**resource).copied();
            if total.is_none_or(|total| *amount > total) {
                return Err(Refusal::Never(match total {
                    None => self.unknown_resource(resource, *amount),
                    Some(total) => {
                        format!("{amount} of `{resource}` were asked for and `{name}` has {total}")
                    }
                }));
            }
        }
        if !self.up {
            return Err(Refusal::Later(format!("node `{name}` is out of contact")));
        }
        if i64::from(request.cpus.0) > self.cpus_free {
            return Err(Refusal::Later(format!(
                "{} cores were asked for and {} of {} are free",
                request.cpus,
                MilliCores(self.cpus_free.max(0) as u32),
                self.spec.cpu.capacity
            )));
        }
        if self.lacks_memory(request) {
            return Err(Refusal::Later(format!(
                "{} of memory were asked for: {}",
                request.memory,
                self.memory_in_words()
            )));
        }
        for (resource, amount) in &request.custom {
            let free = self.custom_free.get(&**resource).copied().unwrap_or(0);
            if *amount as i64 > free {
                return Err(Refusal::Later(format!(
                    "{amount} of `{resource}` were asked for and {free} are free"
                )));
            }
        }
        Ok(())
    }

    fn unknown_resource(&self, resource: &str, amount: u64) -> String {
        let name = &self.spec.name;
        let known: Vec<&str> = self.spec.custom.keys().map(String::as_str).collect();
        match (dunnage_model::nearest(resource, known.iter().copied()), known.as_slice()) {
            (Some(near), _) => {
                format!("there is no resource `{resource}` on `{name}`; did you mean `{near}`?")
            }
            (None, []) => format!(
                "there is no resource `{resource}` on `{name}`: declare it in the configuration, `resources = {{ {resource} = {amount} }}`"
            ),
            (None, known) => {
                format!("there is no resource `{resource}` on `{name}`, only {}", known.join(", "))
            }
        }
    }

    /// Whether a request fits here now, and if not, why.
    ///
    /// # Errors
    /// The first reason found; one that no waiting mends comes before one that waiting may mend.
    pub fn check(&self, request: &Request) -> Result<(), Refusal> {
        let host = self.check_host(request);
        if let Err(Refusal::Never(_)) = host {
            return host;
        }
        let (count, asked) = match &request.gpu {
            GpuRequest::None => return host,
            GpuRequest::Whole { count: 1, .. } => (1, "a whole GPU was".to_owned()),
            GpuRequest::Whole { count, .. } => (usize::from(*count), format!("{count} whole GPUs were")),
            GpuRequest::Part { .. } => (1, "a part of a GPU was".to_owned()),
        };
        let name = &self.spec.name;
        let mut later = Vec::new();
        let mut never = Vec::new();
        let mut fitting = 0;
        for (gpu, spec) in self.gpus.iter().zip(&self.spec.gpus) {
            match gpu.check(spec, &request.gpu) {
                Ok(()) => fitting += 1,
                Err(Refusal::Later(why)) => later.push(why),
                Err(Refusal::Never(why)) => never.push(why),
            }
        }
        if fitting + later.len() < count {
            let has = match self.spec.gpus.len() {
                0 => "has none".to_owned(),
                n => format!("has {n}, of which {} would do", fitting + later.len()),
            };
            let why = never.first().map(|why| format!("; {why}")).unwrap_or_default();
            return Err(Refusal::Never(format!("{asked} asked for and `{name}` {has}{why}")));
        }
        host?;
        if fitting < count {
            let why = later.first().map(|why| format!("; {why}")).unwrap_or_default();
            return Err(Refusal::Later(format!("{asked} asked for and {fitting} are free{why}")));
        }
        Ok(())
    }
}

impl GpuLedger {
    fn new(spec: &GpuSpec) -> Self {
        Self {
            device: spec.device,
            memory_held: 0,
            memory_beyond: 0,
            share_held: 0,
            holders: 0,
            exclusive: false,
            foreign: Bytes::ZERO,
            health: Health::Ok,
            drained: false,
            held_elsewhere: None,
            sample: None,
        }
    }

    /// Bytes that nobody holds, ours or not.
    pub fn memory_free(&self, spec: &GpuSpec) -> i64 {
        spec.memory.0 as i64 - self.memory_ours() - self.foreign.0 as i64
    }

    /// Whether this GPU alone could take its part of a request now.
    pub(crate) fn check_one(&self, spec: &GpuSpec, request: &Request) -> Result<(), Refusal> {
        self.check(spec, &request.gpu)
    }

    /// The same without a sentence: `check` refuses as well.
    fn is_taken(&self, request: &GpuRequest) -> bool {
        match request {
            GpuRequest::None => false,
            GpuRequest::Whole { .. } => self.exclusive || self.holders > 0,
            GpuRequest::Part { share, .. } => self.exclusive || self.share_held + i64::from(share.0) > 1000,
        }
    }

    fn check(&self, spec: &GpuSpec, request: &GpuRequest) -> Result<(), Refusal> {
        let device = self.device;
        let (fit, memory) = match request {
            GpuRequest::None => return Ok(()),
            GpuRequest::Whole { memory, fit, .. } => (fit, *memory),
            GpuRequest::Part { share, memory, fit } => (fit, part_memory(spec, *share, *memory)),
        };
        if !spec.allocatable {
            return Err(Refusal::Never(format!("{device} is cut into MIG instances")));
        }
        fits(spec, fit)?;
        if memory > spec.memory {
            return Err(Refusal::Never(format!(
                "{device} ({}) has {} of memory and {memory} were asked for",
                spec.name, spec.memory
            )));
        }
        if self.health != Health::Ok {
            return Err(Refusal::Later(format!("{device} is {}", self.health.word())));
        }
        if let Some(who) = &self.held_elsewhere {
            return Err(Refusal::Later(format!("{device} is in use outside of this scheduler: {who}")));
        }
        if self.exclusive {
            return Err(Refusal::Later(format!("{device} is held alone by another task")));
        }
        match request {
            GpuRequest::Whole { .. } => {
                if self.holders > 0 {
                    return Err(Refusal::Later(format!("{device} is shared by {} tasks", self.holders)));
                }
                if self.foreign > Bytes::ZERO && memory == Bytes::ZERO {
                    return Err(Refusal::Later(format!(
                        "{} of {device} are used by processes that are not ours",
                        self.foreign
                    )));
                }
            }
            GpuRequest::Part { share, .. } => {
                if self.share_held + i64::from(share.0) > 1000 {
                    return Err(Refusal::Later(format!(
                        "{share} of {device} was asked for and {} is free",
                        MilliShare((1000 - self.share_held).max(0) as u16)
                    )));
                }
            }
            GpuRequest::None => {}
        }
        if memory.0 as i64 > self.memory_free(spec) {
            return Err(Refusal::Later(format!(
                "{device} has {} free of {} ({} used by processes that are not ours) and {memory} were asked for",
                Bytes(self.memory_free(spec).max(0) as u64),
                spec.memory,
                self.foreign
            )));
        }
        Ok(())
    }
}

/// A share without declared memory takes the same share of the memory.
fn part_memory(spec: &GpuSpec, share: MilliShare, memory: Option<Bytes>) -> Bytes {
    memory.unwrap_or_else(|| Bytes((spec.memory.0 / 1000).saturating_mul(u64::from(share.0))))
}

fn fits(spec: &GpuSpec, fit: &GpuFit) -> Result<(), Refusal> {
    if let Some(least) = fit.compute_capability
        && spec.compute_capability.is_none_or(|has| has < least)
    {
        let has = spec.compute_capability.map_or("unknown".to_owned(), |(a, b)| format!("{a}.{b}"));
        return Err(Refusal::Never(format!(
            "{} ({}) has compute capability {has} and {}.{} was asked for",
            spec.device, spec.name, least.0, least.1
        )));
    }
    if let Some(model) = &fit.model
        && !spec.name.to_lowercase().contains(&**model)
    {
        return Err(Refusal::Never(format!("{} is a `{}` and not a `{model}`", spec.device, spec.name)));
    }
    Ok(())
}

/// Sets of this many of these GPUs: those that follow each other by number, within a NUMA node as far as
/// it has them, and with the same memory as far as there are such; each set and the list by device.
fn neighbours(spec: &NodeSpec, free: &[DeviceId], count: usize) -> Vec<Vec<DeviceId>> {
    if count == 0 || free.len() < count {
        return Vec::new();
    }
    let numa = |device: &DeviceId| spec.gpu(*device).and_then(|gpu| gpu.numa_node);
    let memory = |device: &DeviceId| spec.gpu(*device).map(|gpu| gpu.memory);
    let mut by_numa = free.to_vec();
    by_numa.sort_by_key(|device| (numa(device), *device));
    let mut by_memory = free.to_vec();
    by_memory.sort_by_key(|device| (memory(device), numa(device), *device));
    let mut sets: Vec<Vec<DeviceId>> = Vec::new();
    for order in [free, &by_numa, &by_memory] {
        sets.extend(order.windows(count).map(<[DeviceId]>::to_vec));
    }
    for set in &mut sets {
        set.sort_unstable();
    }
    sets.sort_unstable();
    sets.dedup();
    sets
}

impl Ledger {
    /// All nodes, by number.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeLedger> {
        self.nodes.values()
    }

    /// A node.
    pub fn node(&self, node: NodeId) -> Option<&NodeLedger> {
        self.nodes.get(&node)
    }

    /// A GPU.
    pub fn gpu(&self, device: DeviceId) -> Option<(&GpuLedger, &GpuSpec)> {
        let node = self.nodes.get(&device.node)?;
        let at = usize::from(device.local).checked_sub(1)?;
        Some((node.gpus.get(at)?, node.spec.gpus.get(at)?))
    }

    /// What an attempt holds.
    pub fn holding(&self, attempt: AttemptId) -> Option<&Placement> {
        self.holdings.get(&attempt)
    }

    /// Counts the changes that may have made room.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Everybody who holds something.
    pub fn holdings(&self) -> impl ExactSizeIterator<Item = (&AttemptId, &Placement)> {
        self.holdings.iter()
    }

    /// The attempts that hold something of a device.
    pub fn holders_of(&self, device: DeviceId) -> Vec<AttemptId> {
        self.holdings
            .iter()
            .filter(|(_, placement)| {
                if device.is_host() {
                    placement.node == device.node
                } else {
                    placement.gpus.iter().any(|grant| grant.device == device)
                }
            })
            .map(|(attempt, _)| *attempt)
            .collect()
    }

    /// Takes in a node, or a new inventory of one: what is held stays held.
    pub fn add_node(&mut self, spec: Arc<NodeSpec>) {
        let id = spec.id;
        let mut fresh = NodeLedger::new(spec);
        self.forget_node_use(id);
        if let Some(old) = self.nodes.remove(&id) {
            fresh.foreign = old.foreign;
            for gpu in &mut fresh.gpus {
                let uuid = fresh.spec.gpu(gpu.device).map(|spec| spec.uuid.clone());
                let before = old
                    .gpus
                    .iter()
                    .find(|was| old.gpu_spec(was.device).map(|spec| &spec.uuid) == uuid.as_ref());
                if let Some(before) = before {
                    gpu.health = before.health.clone();
                    gpu.drained = before.drained;
                    gpu.held_elsewhere.clone_from(&before.held_elsewhere);
                    gpu.foreign = before.foreign;
                    gpu.sample.clone_from(&before.sample);
                }
            }
        }
        self.nodes.insert(id, fresh);
        let held: Vec<Placement> = self.holdings.values().filter(|p| p.node == id).cloned().collect();
        for placement in &held {
            self.move_amounts(placement, 1);
        }
        self.generation += 1;
    }

    /// Whether any node as it is, and if it were empty, could ever take this request.
    ///
    /// # Errors
    /// A sentence that says what the machine has.
    pub fn could_ever_fit(&self, request: &Request) -> Result<(), String> {
        let mut why = String::from("no node is known");
        for node in self.nodes.values() {
            match node.check(request) {
                Ok(()) | Err(Refusal::Later(_)) => return Ok(()),
                Err(Refusal::Never(text)) => why = text,
            }
        }
        Err(why)
    }

    /// The request after its memory has grown, cut to what this node has at most: growing beyond that could
    /// never start, and all there is may be enough. Never less than `base`, the request as declared.
    pub(crate) fn cut(&self, mut grown: Request, base: &Request, node: NodeId) -> Request {
        let Some(node) = self.nodes.get(&node) else { return grown };
        grown.memory = grown.memory.min(node.memory_when_idle().max(base.memory));
        let most = |fit: &GpuFit| node.gpu_memory_when_idle(fit);
        match (&mut grown.gpu, &base.gpu) {
            (GpuRequest::Whole { memory, fit, .. }, GpuRequest::Whole { memory: least, .. }) => {
                if let Some(most) = most(fit) {
                    *memory = (*memory).min(most.max(*least));
                }
            }
            (
                GpuRequest::Part { memory: Some(memory), fit, .. },
                GpuRequest::Part { memory: Some(least), .. },
            ) => {
                if let Some(most) = most(fit) {
                    *memory = (*memory).min(most.max(*least));
                }
            }
            _ => {}
        }
        grown
    }

    /// Whether this device could take a request now if nothing of ours were running: what a strategy asks
    /// before it waits for a device.
    pub fn could_take_when_idle(&self, request: &Request, device: DeviceId) -> bool {
        let Some(node) = self.nodes.get(&device.node) else { return false };
        if !node.up || matches!(node.check_host(request), Err(Refusal::Never(_))) {
            return false;
        }
        let able = |gpu: &GpuLedger, spec: &GpuSpec| {
            let idle = GpuLedger {
                memory_held: 0,
                memory_beyond: 0,
                share_held: 0,
                holders: 0,
                exclusive: false,
                health: gpu.health.clone(),
                sample: None,
                held_elsewhere: gpu.held_elsewhere.clone(),
                ..*gpu
            };
            idle.check(spec, &request.gpu).is_ok()
        };
        let count = match &request.gpu {
            GpuRequest::None => return device.is_host(),
            GpuRequest::Whole { count, .. } => usize::from(*count),
            GpuRequest::Part { .. } => 1,
        };
        self.gpu(device).is_some_and(|(gpu, spec)| able(gpu, spec))
            && node.gpus.iter().zip(&node.spec.gpus).filter(|(gpu, spec)| able(gpu, spec)).count() >= count
    }

    /// The ways to place a request on a node now: for each GPU that would do, or without one. Where several are
    /// asked for, not every set of them, but sets that lie together (see `neighbours`): at most three for
    /// each GPU, ordered by device.
    pub fn options(&self, request: &Request, node: NodeId) -> Vec<Vec<DeviceId>> {
        let Some(ledger) = self.nodes.get(&node) else { return Vec::new() };
        if ledger.is_full(request) || ledger.check_host(request).is_err() {
            return Vec::new();
        }
        match &request.gpu {
            GpuRequest::None => vec![Vec::new()],
            GpuRequest::Whole { count: 1, .. } | GpuRequest::Part { .. } => {
                ledger.gpus_for(&request.gpu).into_iter().map(|device| vec![device]).collect()
            }
            GpuRequest::Whole { count, .. } => {
                neighbours(&ledger.spec, &ledger.gpus_for(&request.gpu), usize::from(*count))
            }
        }
    }

    /// The placement that a proposal comes to, if it fits now.
    ///
    /// # Errors
    /// Why it does not.
    pub fn fit(
        &self,
        request: &Request,
        cost: &Cost,
        variant: u8,
        node: NodeId,
        gpus: &[DeviceId],
    ) -> Result<Placement, Refusal> {
        let ledger =
            self.nodes.get(&node).ok_or_else(|| Refusal::Never(format!("there is no node {}", node.0)))?;
        ledger.check_host(request)?;
        let (wanted, share, exclusive) = match &request.gpu {
            GpuRequest::None => (0, MilliShare(0), false),
            GpuRequest::Whole { count, .. } => (usize::from(*count), MilliShare::WHOLE, true),
            GpuRequest::Part { share, .. } => (1, *share, false),
        };
        let mut seen: Vec<DeviceId> = gpus.to_vec();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() != wanted || gpus.len() != wanted {
            return Err(Refusal::Never(format!("{wanted} GPUs were asked for and {} proposed", gpus.len())));
        }
        let mut grants = Vec::with_capacity(wanted);
        for device in gpus {
            let (gpu, spec) = self
                .gpu(*device)
                .filter(|_| device.node == node)
                .ok_or_else(|| Refusal::Never(format!("there is no {device}")))?;
            gpu.check(spec, &request.gpu)?;
            let memory = match &request.gpu {
                // Held alone, all that is free is its own.
                GpuRequest::Whole { .. } => Bytes(gpu.memory_free(spec).max(0) as u64),
                GpuRequest::Part { share, memory, .. } => part_memory(spec, *share, *memory),
                GpuRequest::None => Bytes::ZERO,
            };
            grants.push(GpuGrant { device: *device, share, memory, exclusive });
        }
        Ok(Placement {
            variant,
            node,
            cpus: request.cpus,
            memory: request.memory,
            // Less may be reserved than was declared; the limit stays.
            memory_limit: cost.memory.map(|declared| declared.max(request.memory)),
            gpus: grants,
            custom: request.custom.to_vec(),
            predicted: None::<Span>,
            basis: dunnage_model::Basis::None,
        })
    }

    /// What all nodes have together: thousandths of cores, bytes of RAM, GPUs.
    pub(crate) fn capacity(&self) -> (f64, f64, f64) {
        self.nodes.values().fold((0.0, 0.0, 0.0), |(cores, memory, gpus), node| {
            (
                cores + f64::from(node.spec.cpu.capacity.0),
                memory + node.spec.memory.0 as f64,
                gpus + node.gpus.len() as f64,
            )
        })
    }

    /// A copy to look ahead with: the amounts, without who holds them. What attempts use beyond what they
    /// hold counts as held there, see [`Ledger::held_or_used`].
    pub(crate) fn without_holders(&self) -> Self {
        let mut nodes = self.nodes.clone();
        for node in nodes.values_mut() {
            node.memory_free -= std::mem::take(&mut node.memory_beyond);
            // In the end it would be left alone there, and then others do not stand in its way.
            node.overlooks_others = true;
            for gpu in &mut node.gpus {
                gpu.memory_held += std::mem::take(&mut gpu.memory_beyond);
            }
        }
        Self { nodes, holdings: BTreeMap::new(), generation: 0, beyond: BTreeMap::new() }
    }

    /// What comes free in such a copy when an attempt ends: what it holds, or uses where that is more.
    pub(crate) fn held_or_used(&self, attempt: AttemptId, held: &Placement) -> Placement {
        let beyond = |device| {
            let bytes = self.beyond.get(&(device, attempt)).copied().unwrap_or(0);
            Bytes(u64::try_from(bytes).unwrap_or(0))
        };
        let mut held = held.clone();
        held.memory = held.memory.saturating_add(beyond(DeviceId::host(held.node)));
        for grant in &mut held.gpus {
            grant.memory = grant.memory.saturating_add(beyond(grant.device));
        }
        held
    }

    /// In a copy: somebody has ended.
    pub(crate) fn give_back(&mut self, held: &Placement) {
        self.move_amounts(held, -1);
    }

    /// In a copy: somebody has begun.
    pub(crate) fn take(&mut self, held: &Placement) {
        self.move_amounts(held, 1);
    }

    /// Whether there is room for a placement as it is.
    pub(crate) fn has_room(&self, held: &Placement) -> bool {
        let Some(node) = self.nodes.get(&held.node) else { return false };
        i64::from(held.cpus.0) <= node.cpus_free
            && (held.memory.0 == 0 || held.memory.0 as i64 <= node.memory_really_free())
            && held.custom.iter().all(|(name, amount)| {
                node.custom_free.get(&**name).is_some_and(|free| *amount as i64 <= *free)
            })
            && held.gpus.iter().all(|grant| {
                self.gpu(grant.device).is_some_and(|(gpu, spec)| {
                    !gpu.exclusive
                        && if grant.exclusive {
                            gpu.holders == 0
                        } else {
                            gpu.share_held + i64::from(grant.share.0) <= 1000
                                && grant.memory.0 as i64 <= gpu.memory_free(spec)
                        }
                })
            })
    }

    /// The placement of a request on a node, if it fits, on those GPUs that stand last in a list.
    pub(crate) fn pick_last(&self, request: &Request, node: NodeId, freed: &[DeviceId]) -> Option<Placement> {
        let ledger = self.nodes.get(&node)?;
        if ledger.is_full(request) {
            return None;
        }
        let count = match &request.gpu {
            GpuRequest::None => 0,
            GpuRequest::Whole { count, .. } => usize::from(*count),
            GpuRequest::Part { .. } => 1,
        };
        let mut gpus = if count == 0 { Vec::new() } else { ledger.gpus_for(&request.gpu) };
        let place = |device: &DeviceId| freed.iter().rposition(|known| known == device);
        gpus.sort_by_key(|device| std::cmp::Reverse(place(device)));
        gpus.truncate(count);
        if gpus.len() < count {
            return None;
        }
        self.fit(request, &Cost::default(), 0, node, &gpus).ok()
    }

    /// Writes down that an attempt holds this. Returns whether it held nothing before.
    pub fn reserve(&mut self, attempt: AttemptId, placement: &Placement) -> bool {
        if self.holdings.contains_key(&attempt) {
            return false;
        }
        self.move_amounts(placement, 1);
        self.holdings.insert(attempt, placement.clone());
        true
    }

    /// Takes back what an attempt holds. Returns whether it held anything.
    pub fn release(&mut self, attempt: AttemptId) -> bool {
        let Some(placement) = self.holdings.remove(&attempt) else { return false };
        let devices = placement.gpus.iter().map(|grant| grant.device);
        self.forget_use(attempt, devices.chain([DeviceId::host(placement.node)]));
        self.move_amounts(&placement, -1);
        self.generation += 1;
        true
    }

    fn move_amounts(&mut self, placement: &Placement, sign: i64) {
        let Some(node) = self.nodes.get_mut(&placement.node) else { return };
        node.cpus_free -= sign * i64::from(placement.cpus.0);
        node.memory_free -= sign * placement.memory.0 as i64;
        node.holders = node.holders.saturating_add_signed(sign as i32);
        node.note_not_alone();
        for (name, amount) in &placement.custom {
            if let Some(free) = node.custom_free.get_mut(&**name) {
                *free -= sign * *amount as i64;
            }
        }
        for grant in &placement.gpus {
            let Some(gpu) = node.gpus.iter_mut().find(|gpu| gpu.device == grant.device) else { continue };
            gpu.memory_held += sign * grant.memory.0 as i64;
            gpu.share_held += sign * i64::from(grant.share.0);
            gpu.holders = gpu.holders.saturating_add_signed(sign as i32);
            if grant.exclusive {
                gpu.exclusive = sign > 0;
            }
        }
    }

    /// Notes what was seen of a device. Returns how it was before.
    pub(crate) fn note_sample(&mut self, at: Time, sample: DeviceSample, foreign: Bytes) -> Option<Health> {
        let node = self.nodes.get_mut(&sample.device.node)?;
        if sample.device.is_host() {
            if sample.memory_used.is_some() && Self::note_host_foreign(node, foreign) {
                self.generation += 1;
            }
            if node.note_alone(at) {
                self.generation += 1;
            }
            node.sample = Some((at, Arc::new(sample)));
            return Some(Health::Ok);
        }
        let gpu = node.gpus.iter_mut().find(|gpu| gpu.device == sample.device)?;
        if sample.memory_used.is_some() {
            // More of it changes things as well: a strategy that waits for this device need not any more.
            if foreign != gpu.foreign {
                self.generation += 1;
            }
            gpu.foreign = foreign;
        }
        let now =
            if gpu.drained && sample.health == Health::Ok { Health::Drained } else { sample.health.clone() };
        let before = std::mem::replace(&mut gpu.health, now);
        if before != gpu.health {
            self.generation += 1;
        }
        gpu.sample = Some((at, Arc::new(sample)));
        Some(before)
    }

    pub(crate) fn set_health(&mut self, device: DeviceId, health: Health) {
        if let Some(node) = self.nodes.get_mut(&device.node)
            && let Some(gpu) = node.gpus.iter_mut().find(|gpu| gpu.device == device)
        {
            gpu.health = health;
            self.generation += 1;
        }
    }

    pub(crate) fn set_drained(&mut self, device: DeviceId, drained: bool) {
        let Some(node) = self.nodes.get_mut(&device.node) else { return };
        let Some(gpu) = node.gpus.iter_mut().find(|gpu| gpu.device == device) else { return };
        gpu.drained = drained;
        if drained {
            gpu.health = Health::Drained;
        } else if gpu.health == Health::Drained {
            gpu.health = gpu.sample.as_ref().map_or(Health::Ok, |(_, sample)| sample.health.clone());
        }
        self.generation += 1;
    }

    pub(crate) fn set_held_elsewhere(&mut self, device: DeviceId, who: Option<String>) {
        if let Some(node) = self.nodes.get_mut(&device.node)
            && let Some(gpu) = node.gpus.iter_mut().find(|gpu| gpu.device == device)
            && gpu.held_elsewhere != who
        {
            gpu.held_elsewhere = who;
            self.generation += 1;
        }
    }

    pub(crate) fn set_up(&mut self, node: NodeId, up: bool) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.up = up;
            self.generation += 1;
        }
    }

    /// What is wrong with the books, if anything: the sums must be those of the holdings, and nothing
    /// may be given away twice.
    pub(crate) fn audit(&self) -> Result<(), String> {
        for node in self.nodes.values() {
            let held: Vec<&Placement> = self.holdings.values().filter(|p| p.node == node.spec.id).collect();
            let cpus: i64 = held.iter().map(|p| i64::from(p.cpus.0)).sum();
            let memory: i64 = held.iter().map(|p| p.memory.0 as i64).sum();
            if i64::from(node.spec.cpu.capacity.0) - cpus != node.cpus_free {
                return Err(format!("cores of `{}`: the sum of the holdings is {cpus}", node.spec.name));
            }
            if node.spec.memory.0 as i64 - memory != node.memory_free {
                return Err(format!("memory of `{}`: the sum of the holdings is {memory}", node.spec.name));
            }
            if node.memory_beyond != self.beyond_of(DeviceId::host(node.spec.id))
                || node.gpus.iter().any(|gpu| gpu.memory_beyond != self.beyond_of(gpu.device))
            {
                return Err(format!(
                    "what is used beyond reservations on `{}` does not add up",
                    node.spec.name
                ));
            }
            for (gpu, spec) in node.gpus.iter().zip(&node.spec.gpus) {
                let grants: Vec<&GpuGrant> =
                    held.iter().flat_map(|p| &p.gpus).filter(|grant| grant.device == gpu.device).collect();
                let memory: i64 = grants.iter().map(|grant| grant.memory.0 as i64).sum();
                let share: i64 = grants.iter().map(|grant| i64::from(grant.share.0)).sum();
                if memory != gpu.memory_held
                    || share != gpu.share_held
                    || grants.len() != gpu.holders as usize
                {
                    return Err(format!("{}: the books do not match the holdings", gpu.device));
                }
                if memory > spec.memory.0 as i64 || share > 1000 {
                    return Err(format!("{}: more is held than there is", gpu.device));
                }
                if grants.iter().any(|grant| grant.exclusive) && grants.len() > 1 {
                    return Err(format!("{}: held alone and by {}", gpu.device, grants.len()));
                }
            }
        }
        Ok(())
    }

    /// Whether more was given away than a node has: only after a restart on a smaller machine.
    pub(crate) fn is_over_committed(&self) -> bool {
        self.nodes.values().any(|node| {
            node.cpus_free < 0
                || node.memory_free < 0
                || node.custom_free.values().any(|free| *free < 0)
                || node
                    .gpus
                    .iter()
                    .zip(&node.spec.gpus)
                    .any(|(gpu, spec)| gpu.memory_held > spec.memory.0 as i64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn four_gpus(change: impl Fn(&mut Vec<GpuSpec>)) -> Ledger {
        let mut spec = NodeSpec::new(8, Bytes::gib(64));
        for _ in 0..4 {
            spec = spec.with_gpu("gpu", Bytes::gib(80), (9, 0));
        }
        change(&mut spec.gpus);
        let mut ledger = Ledger::default();
        ledger.add_node(Arc::new(spec));
        ledger
    }

    fn sets(ledger: &Ledger, count: u16) -> Vec<Vec<u16>> {
        let gpu = GpuRequest::Whole { count, memory: Bytes::ZERO, fit: GpuFit::default() };
        let request =
            Request { cpus: MilliCores::cores(1), memory: Bytes::ZERO, gpu, custom: Box::default() };
        let options = ledger.options(&request, NodeId::LOCAL);
        options.iter().map(|set| set.iter().map(|device| device.local).collect()).collect()
    }

    #[test]
    fn several_gpus_are_offered_in_sets_that_lie_together() {
        let alike = four_gpus(|_| {});
        assert_eq!(sets(&alike, 2), [[1, 2], [2, 3], [3, 4]]);
        assert_eq!(sets(&alike, 4), [[1, 2, 3, 4]]);
        assert!(sets(&alike, 5).is_empty());
        // NUMA nodes in turn: the pairs of each are among the sets.
        let crossed = four_gpus(|gpus| {
            for gpu in gpus.iter_mut() {
                gpu.numa_node = Some(gpu.device.local % 2);
            }
        });
        let pairs = sets(&crossed, 2);
        assert!(pairs.contains(&vec![1, 3]) && pairs.contains(&vec![2, 4]), "{pairs:?}");
        // Two of a larger kind: that pair and the pair of the others.
        let mixed = four_gpus(|gpus| {
            gpus[0].memory = Bytes::gib(141);
            gpus[3].memory = Bytes::gib(141);
        });
        let pairs = sets(&mixed, 2);
        assert!(pairs.contains(&vec![1, 4]) && pairs.contains(&vec![2, 3]), "{pairs:?}");
    }

    /// However many GPUs, the list stays short, and each set fits as it is.
    #[test]
    fn sets_are_few_and_fit() {
        let mut spec = NodeSpec::new(8, Bytes::gib(64));
        for n in 0..56 {
            spec = spec.with_gpu("gpu", Bytes::gib(80 + n % 3), (9, 0));
        }
        let mut ledger = Ledger::default();
        ledger.add_node(Arc::new(spec));
        for count in [2, 7, 28, 56] {
            let sets = sets(&ledger, count);
            assert!(!sets.is_empty() && sets.len() <= 3 * 56, "{}", sets.len());
            for set in sets {
                assert_eq!(set.iter().collect::<BTreeSet<_>>().len(), usize::from(count));
            }
        }
    }
}
