//! The list of pods.

use super::csv::{Table, open};
use super::error::ReadError;
use super::nodes::{CPU_MILLI_MAX, MEMORY_MIB_MAX, Nodes};
use dunnage_strategies::packing::{GPU_MILLI, GPUS_MAX, Models, Shape};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

const COLUMNS: &[&str] = &["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec"];

/// At most this many models in one `gpu_spec`.
const SPEC_MAX: usize = 128;

/// A list of pods, by name.
#[derive(Clone, PartialEq, Debug)]
pub struct Pods {
    pods: Vec<Pod>,
}

#[derive(Clone, PartialEq, Debug)]
struct Pod {
    name: String,
    cpu: i64,
    memory: i64,
    count: u16,
    milli: u16,
    /// The models that will do; any where it is empty.
    models: Arc<[String]>,
}

/// Reads a list of pods from a file.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn read_pods(path: &Path) -> Result<Pods, ReadError> {
    read_pods_from(&path.display().to_string(), open(path)?)
}

/// Reads a list of pods; `file` is what errors call it.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn read_pods_from(file: &str, reader: impl Read + 'static) -> Result<Pods, ReadError> {
    let mut table = Table::new(file, reader, COLUMNS, 5)?;
    let mut pods: Vec<Pod> = Vec::new();
    // Thousands of pods name the same few models.
    let mut specs: BTreeMap<String, Arc<[String]>> = BTreeMap::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    while let Some(row) = table.next()? {
        let name = row.text(0).to_owned();
        if name.is_empty() {
            return Err(row.bad(0, "a pod needs a name"));
        }
        if !names.insert(name.clone()) {
            return Err(row.bad(0, "this pod is in the list twice; leave one of them out, or name it anew"));
        }
        let cpu = row.number(1, CPU_MILLI_MAX)? as i64;
        let memory = row.number(2, MEMORY_MIB_MAX)? as i64;
        let count = row.number(3, GPUS_MAX as u64)? as u16;
        // As in the trace, what is asked for beyond a whole GPU is a whole GPU.
        let milli = row.number(4, 1_000_000)?.min(u64::from(GPU_MILLI)) as u16;
        if count > 0 && milli == 0 {
            return Err(row.bad(4, "a pod with `num_gpu` above 0 asks for at least 1"));
        }
        if count == 0 {
            pods.push(Pod { name, cpu, memory, count: 0, milli: 0, models: Arc::new([]) });
            continue;
        }
        let text = row.text(5);
        let models = match specs.get(text) {
            Some(models) => models.clone(),
            None => {
                let names: Vec<String> =
                    text.split('|').filter(|n| !n.is_empty()).map(str::to_owned).collect();
                if names.len() > SPEC_MAX {
                    return Err(row.bad(5, &format!("more than {SPEC_MAX} models")));
                }
                let models: Arc<[String]> = names.into();
                specs.insert(text.to_owned(), models.clone());
                models
            }
        };
        pods.push(Pod { name, cpu, memory, count, milli, models });
    }
    if pods.is_empty() {
        return Err(table.error("there is no pod in it"));
    }
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Pods { pods })
}

impl Pods {
    /// How many.
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// The name of the first.
    pub(super) fn first_name(&self) -> &str {
        self.pods.first().map_or("", |pod| pod.name.as_str())
    }

    /// What each asks for, with the models numbered as in this cluster.
    pub(super) fn shapes(&self, nodes: &Nodes) -> Vec<Shape> {
        let models = |pod: &Pod| {
            if pod.models.is_empty() {
                return Models::ANY;
            }
            let known = nodes.models.iter().enumerate().filter(|(_, model)| pod.models.contains(model));
            known.fold(Models::NONE, |all, (at, _)| all.with(at as u8))
        };
        let shape = |pod: &Pod| Shape {
            cpu: pod.cpu,
            memory: pod.memory,
            count: pod.count,
            milli: pod.milli,
            models: models(pod),
        };
        self.pods.iter().map(shape).collect()
    }
}
