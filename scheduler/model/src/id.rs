//! Ids as newtypes that cannot be mixed up. They print shortly and sort.

use std::fmt;

/// A submitted graph. Numbers are given in order of submission and never reused within a store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GraphId(pub u64);

/// A function of a submitted graph, by its index in the validated [`Graph`](crate::Graph).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId {
    /// The graph it belongs to.
    pub graph: GraphId,
    /// Its index in that graph.
    pub index: u32,
}

/// One try at a task, counted from 1. It is the fencing token: a result that carries an older number
/// is a data point and nothing more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Attempt(pub u32);

/// An attempt of a task: what an engine carries out and reports on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// Which try at it.
    pub attempt: Attempt,
}

/// A machine. The one that the daemon runs on is [`NodeId::LOCAL`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u16);

/// A device of a node: local 0 is the node's cores and RAM, the others are its GPUs or MIG instances.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceId {
    /// The machine it sits in.
    pub node: NodeId,
    /// Its number there.
    pub local: u16,
}

/// An output of a task, addressed by its producer and its index there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ValueId {
    /// The task that makes it.
    pub producer: TaskId,
    /// Which of the producer's outputs, from 0.
    pub index: u16,
}

/// Who submitted a graph: a user id of this machine, from the socket's peer credentials.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Owner(pub u32);

impl NodeId {
    /// The node that the daemon itself runs on.
    pub const LOCAL: Self = Self(0);
}

impl DeviceId {
    /// The cores and RAM of a node.
    pub const fn host(node: NodeId) -> Self {
        Self { node, local: 0 }
    }

    /// Whether this is a node's cores and RAM rather than a GPU.
    pub const fn is_host(self) -> bool {
        self.local == 0
    }
}

impl Attempt {
    /// The first try.
    pub const FIRST: Self = Self(1);

    /// The try after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl GraphId {
    /// The task with this index.
    pub const fn task(self, index: u32) -> TaskId {
        TaskId { graph: self, index }
    }
}

impl TaskId {
    /// An attempt of this task.
    pub const fn attempt(self, attempt: Attempt) -> AttemptId {
        AttemptId { task: self, attempt }
    }
}

impl fmt::Display for GraphId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.graph.0, self.index)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.task, self.attempt.0)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.node, self.local) {
            (NodeId::LOCAL, 0) => f.write_str("cpu"),
            (NodeId::LOCAL, n) => write!(f, "gpu{}", n - 1),
            (NodeId(node), 0) => write!(f, "node{node}/cpu"),
            (NodeId(node), n) => write!(f, "node{node}/gpu{}", n - 1),
        }
    }
}

impl fmt::Display for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.producer, self.index)
    }
}

/// Reads an attempt as it prints: `graph.task.attempt`.
impl std::str::FromStr for AttemptId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or(());
        let (graph, index, attempt) = (number()?, number()?, number()?);
        if parts.next().is_some() {
            return Err(());
        }
        let index = u32::try_from(index).map_err(|_| ())?;
        let attempt = u32::try_from(attempt).map_err(|_| ())?;
        Ok(GraphId(graph).task(index).attempt(Attempt(attempt)))
    }
}
