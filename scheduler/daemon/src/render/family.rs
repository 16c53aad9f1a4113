//! The functions of a graph by family, in the order of the graph file.

use dunnage_wire::api::FunctionDoc;
use std::collections::HashMap;

/// The instances of one declaration.
#[derive(Debug)]
pub(crate) struct Family<'d> {
    pub(crate) name: &'d str,
    pub(crate) members: Vec<&'d FunctionDoc>,
}

/// A function's family; its own id where it says none.
pub(crate) fn family_of(function: &FunctionDoc) -> &str {
    if function.family.is_empty() { &function.id } else { &function.family }
}

/// How long the last attempt of a function took, if it has ended.
pub(crate) fn took(function: &FunctionDoc) -> Option<f64> {
    let took = function.end_s? - function.start_s?;
    took.is_finite().then_some(took.max(0.0))
}

/// All families, in order of their first instance.
pub(crate) fn families(functions: &[FunctionDoc]) -> Vec<Family<'_>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut families: Vec<Family<'_>> = Vec::new();
    for function in functions {
        let name = family_of(function);
        let place = *places.entry(name).or_insert_with(|| {
            families.push(Family { name, members: Vec::new() });
            families.len() - 1
        });
        families[place].members.push(function);
    }
    families
}

/// Times of the instances of a family that have ended.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Times {
    pub(crate) ended: u64,
    pub(crate) total: f64,
    pub(crate) max: f64,
    /// Of the instances with an expectation: how many, how long they were expected to take, how long they took.
    pub(crate) expected: u64,
    pub(crate) expected_total: f64,
    pub(crate) expected_took: f64,
}

impl Times {
    /// The mean time.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.ended > 0).then(|| self.total / self.ended as f64)
    }

    /// The mean expectation.
    pub(crate) fn mean_expected(&self) -> Option<f64> {
        (self.expected > 0).then(|| self.expected_total / self.expected as f64)
    }
}

impl Family<'_> {
    /// The times of the instances that succeeded, or of all that ended where none did.
    pub(crate) fn times(&self) -> Times {
        let succeeded = |f: &FunctionDoc| matches!(f.state.as_str(), "succeeded" | "compensated");
        let any = self.members.iter().any(|function| succeeded(function));
        let mut times = Times::default();
        for function in self.members.iter().filter(|function| !any || succeeded(function)) {
            let Some(took) = took(function) else { continue };
            times.ended += 1;
            times.total += took;
            times.max = times.max.max(took);
            if let Some(expected) =
                function.predicted_s.filter(|expected| expected.is_finite() && *expected > 0.0)
            {
                times.expected += 1;
                times.expected_total += expected;
                times.expected_took += took;
            }
        }
        times
    }

    /// Where the instances ran, each device once.
    pub(crate) fn devices(&self) -> Vec<&str> {
        let mut devices: Vec<&str> =
            self.members.iter().filter_map(|function| function.device.as_deref()).collect();
        devices.sort_unstable();
        devices.dedup();
        devices
    }
}
