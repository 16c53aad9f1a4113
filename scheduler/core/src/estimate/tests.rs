//! Predictions from made-up runs.

use super::*;
use dunnage_model::{
    Bytes, Code, Cost, DeviceKind, FunctionSpec, GraphSpec, Limits, MilliCores, NodeId, VariantSpec,
};

const CLASS: &str = "a processor";

fn graph(declared: Option<Span>) -> Graph {
    let code = Code::Command(vec!["python3".to_owned(), "train.py".to_owned()]);
    let cost = Cost { duration: declared, ..Cost::default() };
    let variants = vec![
        VariantSpec { device: Some(DeviceKind::Cpu), cost: Cost::default() },
        VariantSpec { device: Some(DeviceKind::Gpu), cost: Cost::default() },
    ];
    let function = FunctionSpec { id: "train".to_owned(), code, cost, variants, ..FunctionSpec::default() };
    Graph::build(GraphSpec { functions: vec![function], ..GraphSpec::default() }, &Limits::default()).unwrap()
}

fn placement(predicted: Option<f64>) -> Placement {
    Placement {
        variant: 0,
        node: NodeId::LOCAL,
        cpus: MilliCores(1000),
        memory: Bytes::ZERO,
        memory_limit: None,
        gpus: Vec::new(),
        custom: Vec::new(),
        predicted: predicted.map(Span::from_secs_f64),
        basis: if predicted.is_some() { Basis::History } else { Basis::None },
    }
}

struct Story {
    graph: Graph,
    estimates: Estimates,
    now: u64,
}

impl Story {
    fn new(declared: Option<Span>) -> Self {
        Self { graph: graph(declared), estimates: Estimates::default(), now: 0 }
    }

    fn ran_on(&mut self, class: &str, seconds: f64) {
        self.now += 1;
        let predicted = self.estimates.predict(&self.graph, 0, 0, class).duration.map(Span::as_secs_f64);
        let seen = Observed {
            graph: &self.graph,
            task: 0,
            placement: &placement(predicted),
            class,
            took: Span::from_secs_f64(seconds),
            usage: &Usage::default(),
        };
        self.estimates.observe(Time(self.now), &seen);
    }

    fn ran(&mut self, seconds: &[f64]) -> &mut Self {
        for seconds in seconds {
            self.ran_on(CLASS, *seconds);
        }
        self
    }

    fn failed(&mut self, cause: Cause, seconds: f64) {
        self.now += 1;
        let seen = Observed {
            graph: &self.graph,
            task: 0,
            placement: &placement(None),
            class: CLASS,
            took: Span::from_secs_f64(seconds),
            usage: &Usage::default(),
        };
        self.estimates.observe_failure(Time(self.now), &seen, &Failure::new(cause, ""));
    }

    fn predict(&self) -> Estimate {
        self.estimates.predict(&self.graph, 0, 0, CLASS)
    }

    fn seconds(&self) -> Option<f64> {
        self.predict().duration.map(Span::as_secs_f64)
    }
}

#[test]
fn history_comes_before_what_is_declared_and_that_before_nothing() {
    assert_eq!(Story::new(None).predict(), Estimate::default());
    let mut story = Story::new(Some(Span::secs(10)));
    let declared = story.predict();
    assert_eq!(
        (declared.duration, declared.basis, declared.samples),
        (Some(Span::secs(10)), Basis::Declaration, 0)
    );
    story.ran(&[2.0]);
    let known = story.predict();
    assert_eq!((known.duration, known.basis, known.samples), (Some(Span::secs(2)), Basis::History, 1));
    assert_eq!((known.low, known.high), (Some(Span::secs(1)), Some(Span::secs(4))));
    let remarks = story.estimates.remarks(&story.graph, 0, 0, CLASS);
    assert!(remarks.iter().any(|remark| remark.contains("5.0 times as long")), "{remarks:?}");
}

#[test]
fn absurd_runs_do_not_move_an_estimate() {
    let mut story = Story::new(None);
    story.ran(&[0.00019; 20]).ran(&[0.1, 0.1, 0.1]);
    assert!(story.seconds().unwrap() < 0.00021, "{:?}", story.seconds());
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e12] {
        story.ran(&[bad]);
    }
    assert!(story.seconds().unwrap() < 0.00021);
    assert_eq!(story.estimates.summary().refused_samples, 5);
}

#[test]
fn attempts_that_failed_are_no_times() {
    let mut story = Story::new(Some(Span::secs(10)));
    for cause in [Cause::User, Cause::Cancelled, Cause::WorkerDied, Cause::OutOfMemory] {
        story.failed(cause, 0.001);
    }
    assert_eq!(story.predict().basis, Basis::Declaration);
    assert_eq!(story.seconds(), Some(10.0));
    // A limit that did not suffice is a lower bound, as long as no run says how long it really takes.
    story.failed(Cause::Timeout, 60.0);
    assert_eq!(story.seconds(), Some(60.0));
    assert_eq!(story.predict().basis, Basis::Declaration);
    story.ran(&[12.0]);
    assert_eq!(story.seconds(), Some(12.0));
}

#[test]
fn what_only_ever_ran_into_its_limit_takes_at_least_that() {
    let mut story = Story::new(None);
    assert_eq!(story.seconds(), None);
    story.failed(Cause::Timeout, 60.0);
    assert_eq!(story.seconds(), Some(60.0));
    assert!(story.predict().high > Some(Span::secs(60)));
    story.ran(&[12.0]);
    assert_eq!(story.seconds(), Some(12.0));
}

#[test]
fn another_class_of_device_is_a_marked_way_out() {
    let mut story = Story::new(Some(Span::secs(9)));
    story.ran_on("another processor", 3.0);
    let estimate = story.predict();
    assert_eq!((estimate.basis, estimate.source), (Basis::History, Source::OtherClass));
    assert_eq!(story.estimates.runs(&story.graph, 0, 0, CLASS), 0);
    story.ran(&[5.0]);
    let estimate = story.predict();
    assert_eq!((estimate.source, estimate.duration), (Source::Same, Some(Span::secs(5))));
    let gpu = story.estimates.predict(&story.graph, 0, 1, CLASS);
    assert_eq!(gpu.basis, Basis::Declaration, "another kind of device says nothing");
}

#[test]
fn a_change_for_good_is_followed() {
    let mut story = Story::new(None);
    story.ran(&[1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0, 1.0]);
    story.ran(&[3.0; 6]);
    assert!(story.seconds().unwrap() > 2.9, "{:?}", story.seconds());
    assert_eq!(story.estimates.summary().drifts, 1);
    let remarks = story.estimates.remarks(&story.graph, 0, 0, CLASS);
    assert!(remarks.iter().any(|remark| remark.contains("changed once")), "{remarks:?}");
}

#[test]
fn the_band_holds_most_runs_and_narrows() {
    let mut story = Story::new(None);
    let times: Vec<f64> = (0..40).map(|n| 1.0 + 0.01 * f64::from(n % 20)).collect();
    story.ran(&times);
    let Estimate { low, high, .. } = story.predict();
    let (low, high) = (low.unwrap().as_secs_f64(), high.unwrap().as_secs_f64());
    assert!(low > 0.99 && low < 1.05 && high > 1.14 && high < 1.25, "{low} {high}");
}

#[test]
fn changes_that_are_exported_make_the_same_estimates_elsewhere() {
    let mut story = Story::new(None);
    story.estimates.record_changes();
    let mut kept: BTreeMap<HistoryKey, HistoryRow> = BTreeMap::new();
    for round in 0..30 {
        story.ran(&[1.0 + f64::from(round % 5) * 0.1; 3]);
        if round == 20 {
            story.ran(&[9.0; 6]);
        }
        for change in story.estimates.export_changes() {
            match kept.get_mut(&change.key) {
                Some(row) => row.add(&change),
                None => drop(kept.insert(change.key, change)),
            }
        }
        assert!(!story.estimates.has_changes());
    }
    let mut other = Estimates::default();
    let rows: Vec<HistoryRow> = kept.into_values().collect();
    assert_eq!(other.load(&rows, Some(Time(100))), 0);
    assert_eq!(other.predict(&story.graph, 0, 0, CLASS), story.predict());
    assert!(rows[0].label.contains("train.py"), "{rows:?}");
}

#[test]
fn facts_that_are_in_the_history_are_not_learned_again() {
    let mut story = Story::new(None);
    story.ran(&[1.0, 1.0]);
    story.estimates.load(&[], Some(Time(5)));
    story.estimates.set_replaying(true);
    story.ran(&[7.0, 7.0, 7.0]);
    assert_eq!(story.predict().samples, 2);
    story.ran(&[1.0]);
    assert_eq!(story.predict().samples, 3);
}

#[test]
fn rows_that_make_no_sense_are_left_out() {
    let key = HistoryKey { function: 1, kind: DeviceKind::Cpu, class: 1, size: 0 };
    let bad = HistoryRow { seconds: vec![1.0, f32::NAN], ..HistoryRow::new(key, "a", "b") };
    let good = HistoryRow {
        seconds: vec![1.0; 10_000],
        ..HistoryRow::new(HistoryKey { function: 2, ..key }, "a", "b")
    };
    let mut estimates = Estimates::default();
    assert_eq!(estimates.load(&[bad, good], None), 1);
    assert_eq!(estimates.summary().signatures, 1);
}

#[test]
fn signatures_are_bounded_and_the_least_used_go() {
    let mut estimates = Estimates::default();
    for n in 0..SIGNATURES_MAX as u64 + 10 {
        let key = HistoryKey { function: n, kind: DeviceKind::Cpu, class: 1, size: 0 };
        assert!(estimates.entry(key, String::new, "").is_some());
        assert!(estimates.seen.len() <= SIGNATURES_MAX);
    }
    let first = HistoryKey { function: 0, kind: DeviceKind::Cpu, class: 1, size: 0 };
    assert!(!estimates.seen.contains_key(&first));
    assert!(estimates.seen.len() > SIGNATURES_MAX / 2);
}

#[test]
fn errors_are_counted_by_what_predictions_rested_on() {
    let mut story = Story::new(None);
    story.ran(&[1.0, 1.0, 1.0, 1.5]);
    let rows = story.estimates.summary().predictions;
    assert_eq!((rows[0].basis, rows[0].ended, rows[0].near), ("history", 3, 2));
    assert_eq!((rows[1].ended, rows[1].median_error), (0, None));
    let score = story.estimates.score(&story.graph, 0, 0, CLASS).unwrap();
    assert_eq!((score.predictions, score.near), (3, 2));
}

#[test]
fn nothing_is_learned_from_a_plan() {
    let mut story = Story::new(None);
    story.estimates.freeze();
    story.ran(&[1.0]);
    assert_eq!(story.predict(), Estimate::default());
}
