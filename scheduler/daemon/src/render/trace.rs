//! What ran when and where, for <https://ui.perfetto.dev> and `chrome://tracing`.
//!
//! The Trace Event Format in JSON: a process a device, a thread a lane on which no two tasks overlap, a
//! complete event a task. Written as it is made, so that a million tasks need no memory of their own.

use super::family::{family_of, took};
use super::lanes;
use dunnage_wire::api::{FunctionDoc, StatusDoc};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

/// The last attempt of a function, on the time axis of the trace.
struct Slice<'d> {
    function: &'d FunctionDoc,
    start_us: u64,
    end_us: u64,
}

/// Writes the trace of a graph: the last attempt of each function that was started.
pub(crate) fn write(doc: &StatusDoc, out: &mut dyn Write) -> io::Result<()> {
    let critical: HashSet<&str> = doc.critical_path.iter().map(String::as_str).collect();
    let names: HashMap<&str, &str> =
        doc.devices.iter().map(|use_| (use_.device.as_str(), use_.name.as_str())).collect();
    let mut devices: Vec<(&str, Vec<Slice<'_>>)> =
        doc.devices.iter().map(|use_| (use_.device.as_str(), Vec::new())).collect();
    let mut places: HashMap<&str, usize> =
        devices.iter().enumerate().map(|(place, (device, _))| (*device, place)).collect();
    for function in &doc.functions {
        let Some(slice) = slice(function, doc.makespan_s) else { continue };
        let device = function.device.as_deref().unwrap_or("unknown");
        let place = *places.entry(device).or_insert_with(|| {
            devices.push((device, Vec::new()));
            devices.len() - 1
        });
        devices[place].1.push(slice);
    }

    out.write_all(b"{\"displayTimeUnit\":\"ms\",\"otherData\":")?;
    let about = json!({
        "graph": doc.graph,
        "id": doc.id,
        "state": doc.state,
        "strategy": doc.strategy,
        "makespan_s": doc.makespan_s,
        "predicted_makespan_s": doc.predicted_makespan_s,
    });
    serde_json::to_writer(&mut *out, &about)?;
    out.write_all(b",\"traceEvents\":[")?;
    let mut events = Events { out, any: false };
    for (place, (device, slices)) in devices.iter().enumerate() {
        let pid = place + 1;
        let name = match names.get(device) {
            Some(name) if !name.is_empty() => format!("{device} ({name})"),
            Some(_) | None => (*device).to_owned(),
        };
        events.metadata("process_name", pid, 0, &json!({ "name": name }))?;
        events.metadata("process_sort_index", pid, 0, &json!({ "sort_index": place }))?;
        let intervals: Vec<(u64, u64)> = slices.iter().map(|slice| (slice.start_us, slice.end_us)).collect();
        let lanes = lanes::pack(&intervals);
        for lane in 0..lanes.iter().max().map_or(0, |lane| lane + 1) {
            events.metadata(
                "thread_name",
                pid,
                lane + 1,
                &json!({ "name": format!("lane {}", lane + 1) }),
            )?;
        }
        for (slice, lane) in slices.iter().zip(lanes) {
            let function = slice.function;
            events.event(&json!({
                "ph": "X",
                "name": function.id,
                "cat": family_of(function),
                "pid": pid,
                "tid": lane + 1,
                "ts": slice.start_us,
                "dur": slice.end_us - slice.start_us,
                "args": args(function, critical.contains(function.id.as_str())),
            }))?;
        }
    }
    events.out.write_all(b"\n]}\n")
}

/// What a click on a task shows.
fn args(function: &FunctionDoc, critical: bool) -> Value {
    json!({
        "id": function.id,
        "family": family_of(function),
        "state": function.state,
        "attempts": function.attempts,
        "predicted_s": function.predicted_s,
        "basis": function.basis,
        "cause": function.cause,
        "message": function.message,
        "exit_code": function.exit_code,
        "signal": function.signal,
        "variant": function.variant,
        "cpus": function.cpus,
        "cpu_s": function.cpu_s,
        "peak_memory_bytes": function.peak_memory_bytes,
        "critical": critical,
    })
}

/// A task that has begun, at least a microsecond long so that it can be seen; one that runs ends now.
fn slice(function: &FunctionDoc, now_s: Option<f64>) -> Option<Slice<'_>> {
    let start = function.start_s?;
    let start_us = lanes::micros(start)?;
    let end = match took(function) {
        Some(took) => start + took,
        None => now_s?,
    };
    let end_us = lanes::micros(end)?.max(start_us + 1);
    Some(Slice { function, start_us, end_us })
}

/// The list of events, written one by one.
struct Events<'o> {
    out: &'o mut dyn Write,
    any: bool,
}

impl Events<'_> {
    fn event(&mut self, event: &Value) -> io::Result<()> {
        self.out.write_all(if self.any { b",\n" } else { b"\n" })?;
        self.any = true;
        Ok(serde_json::to_writer(&mut *self.out, event)?)
    }

    fn metadata(&mut self, what: &str, pid: usize, tid: usize, args: &Value) -> io::Result<()> {
        self.event(&json!({ "ph": "M", "name": what, "pid": pid, "tid": tid, "args": args }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn trace(doc: &StatusDoc) -> Vec<Value> {
        let mut bytes = Vec::new();
        write(doc, &mut bytes).expect("a vector takes everything");
        let parsed: Value = serde_json::from_slice(&bytes).expect("json");
        parsed["traceEvents"].as_array().expect("a list").clone()
    }

    #[test]
    fn tasks_never_overlap_on_a_thread() {
        for doc in [sample::gp(true), sample::gp(false), sample::failing(), sample::strange()] {
            let mut threads: HashMap<(u64, u64), Vec<(u64, u64)>> = HashMap::new();
            for event in trace(&doc).iter().filter(|event| event["ph"] == "X") {
                let number = |key: &str| event[key].as_u64().expect("a whole number");
                let slices = threads.entry((number("pid"), number("tid"))).or_default();
                slices.push((number("ts"), number("ts") + number("dur")));
            }
            for slices in threads.values_mut() {
                slices.sort_unstable();
                assert!(slices.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{slices:?}");
            }
        }
    }

    #[test]
    fn every_started_task_is_there_once() {
        let doc = sample::gp(false);
        let events = trace(&doc);
        let tasks: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
        assert_eq!(tasks.len(), doc.functions.len());
        assert_eq!(tasks[0]["name"], "load");
        assert_eq!(tasks[0]["args"]["critical"], true);
        assert_eq!(tasks[0]["args"]["predicted_s"], 0.009);
        let threads: HashSet<u64> = tasks.iter().filter_map(|task| task["tid"].as_u64()).collect();
        assert!(threads.len() <= 6, "four cores need few lanes: {threads:?}");
    }

    #[test]
    fn devices_are_named() {
        let events = trace(&sample::failing());
        let names: Vec<&str> = events
            .iter()
            .filter(|event| event["name"] == "process_name")
            .filter_map(|event| event["args"]["name"].as_str())
            .collect();
        assert_eq!(names.len(), 3);
        assert_eq!(names[1], "gpu0 (NVIDIA GeForce RTX 4090)");
    }

    #[test]
    fn an_empty_graph_is_a_valid_trace() {
        assert!(trace(&StatusDoc::default()).is_empty());
    }
}
