//! What one collector gathers for one page: samples by metric, in the types of the `prometheus` crate.
//!
//! Three promises are kept here for all collectors, because a page that breaks one of them is refused
//! as a whole: no two samples of a metric have the same labels, every value is a finite number, and
//! the values of labels are short and without control characters.

use crate::collector::CollectError;
use crate::table::{Kind, LABEL_CHARS_MAX, Metric, Spec, TABLE};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The samples of one collector.
#[derive(Debug, Default)]
pub(crate) struct Families {
    gathered: Vec<Gathered>,
    problem: Option<CollectError>,
}

#[derive(Debug)]
struct Gathered {
    spec: &'static Spec,
    seen: BTreeSet<String>,
    samples: Vec<proto::Metric>,
}

impl Families {
    /// Adds a sample. A value that is not a finite number is as good as absent, and is left out; a
    /// second sample with the same labels is left out too, and the collector counts as failed.
    pub(crate) fn add<const N: usize>(&mut self, metric: &'static Metric<N>, labels: [&str; N], value: f64) {
        if !value.is_finite() {
            return;
        }
        let spec = &metric.spec;
        let labels = labels.map(clean);
        let at =
            self.gathered.iter().position(|family| std::ptr::eq(family.spec, spec)).unwrap_or_else(|| {
                self.gathered.push(Gathered { spec, seen: BTreeSet::new(), samples: Vec::new() });
                self.gathered.len() - 1
            });
        let family = &mut self.gathered[at];
        // Cleaned values hold no control characters, so this joins them without doubt.
        if !family.seen.insert(labels.join("\u{1f}")) {
            self.problem.get_or_insert_with(|| CollectError::Duplicate {
                metric: spec.name,
                labels: labels.join("`, `"),
            });
            return;
        }
        let pairs = spec.labels.iter().zip(&labels).filter(|(_, value)| !value.is_empty());
        let mut sample = proto::Metric::from_label(pairs.map(|(name, value)| pair(name, value)).collect());
        match spec.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                sample.set_counter(counter);
            }
            Kind::Gauge | Kind::Info | Kind::StateSet => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                sample.set_gauge(gauge);
            }
        }
        family.samples.push(sample);
    }

    /// Adds a sample where there is a value. What is not known is absent, never 0.
    pub(crate) fn add_known<const N: usize>(
        &mut self,
        metric: &'static Metric<N>,
        labels: [&str; N],
        value: Option<f64>,
    ) {
        if let Some(value) = value {
            self.add(metric, labels, value);
        }
    }

    /// The samples in the order of the table, and what was wrong with any of them.
    pub(crate) fn finish(mut self) -> (Vec<MetricFamily>, Option<CollectError>) {
        let place = |spec: &Spec| TABLE.iter().position(|other| std::ptr::eq(*other, spec));
        self.gathered.sort_by_key(|family| place(family.spec));
        let families = self.gathered.into_iter().map(|Gathered { spec, seen: _, samples }| {
            let mut family = MetricFamily::default();
            family.set_name(spec.name.to_owned());
            family.set_help(spec.help.trim().to_owned());
            family.set_field_type(match spec.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge | Kind::Info | Kind::StateSet => MetricType::GAUGE,
            });
            family.set_metric(samples);
            family
        });
        (families.collect(), self.problem)
    }
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// A label's value as it may stand on a page: at most [`LABEL_CHARS_MAX`] characters, and none that
/// would end a line or a reader's patience. Quotes and backslashes are the encoder's to escape.
pub(crate) fn clean(value: &str) -> Cow<'_, str> {
    let end = value.char_indices().nth(LABEL_CHARS_MAX).map_or(value.len(), |(at, _)| at);
    let value = &value[..end];
    if value.chars().any(char::is_control) {
        Cow::Owned(
            value.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect(),
        )
    } else {
        Cow::Borrowed(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{EVENTS, GPU_POWER};

    #[test]
    fn labels_are_cut_and_cleaned() {
        assert_eq!(clean("train-0.1"), "train-0.1");
        assert_eq!(clean("a\nb\u{0}c"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(clean(&"é".repeat(300)).chars().count(), LABEL_CHARS_MAX);
    }

    #[test]
    fn a_second_sample_with_the_same_labels_is_left_out_and_told() {
        let mut families = Families::default();
        families.add(&GPU_POWER, ["GPU-1"], 1.0);
        families.add(&GPU_POWER, ["GPU-2"], 2.0);
        families.add(&GPU_POWER, ["GPU-1"], 3.0);
        let (families, problem) = families.finish();
        assert_eq!(families[0].get_metric().len(), 2);
        assert!(matches!(problem, Some(CollectError::Duplicate { metric: "dunnage_gpu_power_watts", .. })));
    }

    #[test]
    fn what_is_not_a_number_is_absent_and_leaves_no_empty_family() {
        let mut families = Families::default();
        families.add(&GPU_POWER, ["GPU-1"], f64::NAN);
        families.add_known(&EVENTS, [], None);
        let (families, problem) = families.finish();
        assert!(families.is_empty() && problem.is_none());
    }
}
