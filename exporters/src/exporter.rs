//! Runs the collectors one by one, measures each, and makes the page.
//!
//! A collector that errs or panics costs the page its own part and nothing else; which one it was
//! stands on the page (`dunnage_collector_success`) and in [`Page::faults`].

use crate::collector::{Collector, Input};
use crate::collectors;
use crate::families::Families;
use crate::process_info::ProcessInfo;
use crate::table::{COLLECTOR_DURATION, COLLECTOR_ERRORS, COLLECTOR_SUCCESS, CollectorName};
use dunnage_model::Snapshot;
use prometheus::TextEncoder;
use prometheus::proto::MetricFamily;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The content type of [`Exporter::render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What program this is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuildInfo {
    /// Its version.
    pub version: String,
}

/// A page and what went wrong while it was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The page, Prometheus text format 0.0.4.
    pub text: String,
    /// Collectors that did not give all they should, for the log.
    pub faults: Vec<Fault>,
}

/// A collector that did not give all it should.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which.
    pub collector: CollectorName,
    /// Why.
    pub message: String,
}

/// Makes the page of `/metrics`. Its only state is how often each collector has failed.
pub struct Exporter {
    build: BuildInfo,
    collectors: Vec<Counted>,
}

struct Counted {
    collector: Box<dyn Collector>,
    errors: AtomicU64,
}

impl Exporter {
    /// An exporter with all collectors.
    pub fn new(build: BuildInfo) -> Self {
        Self::with_collectors(build, collectors::all())
    }

    pub(crate) fn with_collectors(build: BuildInfo, collectors: Vec<Box<dyn Collector>>) -> Self {
        let counted = |collector| Counted { collector, errors: AtomicU64::new(0) };
        Self { build, collectors: collectors.into_iter().map(counted).collect() }
    }

    /// The page, Prometheus text format 0.0.4, to be served as [`CONTENT_TYPE`].
    pub fn render(&self, snapshot: &Snapshot, process: &ProcessInfo) -> String {
        self.render_page(snapshot, process).text
    }

    /// The page, and what went wrong while it was made.
    pub fn render_page(&self, snapshot: &Snapshot, process: &ProcessInfo) -> Page {
        let input = Input { snapshot, process, build: &self.build };
        let mut page = Page { text: String::new(), faults: Vec::new() };
        let mut health = Families::default();
        for Counted { collector, errors } in &self.collectors {
            let name = collector.name();
            let begun = Instant::now();
            let (families, fault) = gather(collector.as_ref(), input);
            let fault = fault.or(encode(&families, &mut page.text));
            let took = begun.elapsed().as_secs_f64();
            let failed =
                errors.fetch_add(u64::from(fault.is_some()), Ordering::Relaxed) + u64::from(fault.is_some());
            health.add(&COLLECTOR_DURATION, [name.word()], took);
            health.add(&COLLECTOR_SUCCESS, [name.word()], if fault.is_none() { 1.0 } else { 0.0 });
            health.add(&COLLECTOR_ERRORS, [name.word()], failed as f64);
            page.faults.extend(fault.map(|message| Fault { collector: name, message }));
        }
        let (families, problem) = health.finish();
        let fault = problem.map(|error| error.to_string()).or(encode(&families, &mut page.text));
        page.faults.extend(fault.map(|message| Fault { collector: CollectorName::Collector, message }));
        page
    }
}

/// What a collector gives, and what went wrong. After a panic its samples are half a truth, and go.
fn gather(collector: &dyn Collector, input: Input<'_>) -> (Vec<MetricFamily>, Option<String>) {
    let gathered = catch_unwind(AssertUnwindSafe(|| {
        let mut families = Families::default();
        let result = collector.collect(input, &mut families);
        let (families, problem) = families.finish();
        (families, result.err().or(problem))
    }));
    match gathered {
        Ok((families, problem)) => (families, problem.map(|error| error.to_string())),
        Err(panic) => (Vec::new(), Some(panic_message(panic.as_ref()))),
    }
}

/// Appends the families to the page; on an error nothing of them stays.
fn encode(families: &[MetricFamily], page: &mut String) -> Option<String> {
    let before = page.len();
    let error = TextEncoder::new().encode_utf8(families, page).err()?;
    page.truncate(before);
    Some(error.to_string())
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.collectors.iter().map(|counted| counted.collector.name());
        f.debug_struct("Exporter")
            .field("build", &self.build)
            .field("collectors", &names.collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::CollectError;
    use crate::table::{EVENTS, GPU_POWER, GPU_SLOTS};
    use dunnage_model::{DeviceId, NodeId};

    struct Panics;
    struct Errs;
    struct Works;

    impl Collector for Panics {
        fn name(&self) -> CollectorName {
            CollectorName::Task
        }

        fn collect(&self, _: Input<'_>, out: &mut Families) -> Result<(), CollectError> {
            out.add(&GPU_POWER, ["half"], 1.0);
            panic!("on purpose")
        }
    }

    impl Collector for Errs {
        fn name(&self) -> CollectorName {
            CollectorName::Gpu
        }

        fn collect(&self, _: Input<'_>, out: &mut Families) -> Result<(), CollectError> {
            out.add(&GPU_SLOTS, ["kept"], 1.0);
            Err(CollectError::UnknownDevice { device: DeviceId { node: NodeId::LOCAL, local: 3 } })
        }
    }

    impl Collector for Works {
        fn name(&self) -> CollectorName {
            CollectorName::Scheduler
        }

        fn collect(&self, _: Input<'_>, out: &mut Families) -> Result<(), CollectError> {
            out.add(&EVENTS, [], 7.0);
            Ok(())
        }
    }

    #[test]
    fn one_bad_collector_costs_its_own_part_alone() {
        let build = BuildInfo { version: "1".to_owned() };
        let exporter =
            Exporter::with_collectors(build, vec![Box::new(Panics), Box::new(Errs), Box::new(Works)]);
        let _ = exporter.render_page(&Snapshot::default(), &ProcessInfo::default());
        let page = exporter.render_page(&Snapshot::default(), &ProcessInfo::default());
        let has = |line: &str| page.text.lines().any(|other| other == line);
        assert!(has("dunnage_events_total 7"), "{}", page.text);
        assert!(has("dunnage_gpu_slots{gpu_uuid=\"kept\"} 1"), "{}", page.text);
        assert!(!page.text.contains("half"), "{}", page.text);
        assert!(has("dunnage_collector_success{collector=\"task\"} 0"));
        assert!(has("dunnage_collector_success{collector=\"gpu\"} 0"));
        assert!(has("dunnage_collector_success{collector=\"scheduler\"} 1"));
        assert!(has("dunnage_collector_errors_total{collector=\"task\"} 2"));
        assert!(has("dunnage_collector_errors_total{collector=\"scheduler\"} 0"));
        let messages: Vec<_> = page.faults.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "panicked: on purpose",
                "`gpu2` is held by a task and is in no inventory; its series were left out"
            ]
        );
    }
}
