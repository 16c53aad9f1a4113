//! How well predictions come true, and what the estimates know.

use crate::collector::{CollectError, Collector, Input};
use crate::families::Families;
use crate::table::{
    CollectorName, ESTIMATE_DRIFTS, ESTIMATE_SIGNATURES, EXPLORATIONS, MEMORY_UNDERESTIMATES,
    PREDICTION_ERROR, PREDICTIONS, PREDICTIONS_NEAR, REFUSED_SAMPLES,
};
use dunnage_model::EstimateSummary;

pub(crate) struct Estimates;

impl Collector for Estimates {
    fn name(&self) -> CollectorName {
        CollectorName::Estimates
    }

    fn collect(&self, input: Input<'_>, out: &mut Families) -> Result<(), CollectError> {
        let EstimateSummary {
            signatures,
            predictions,
            explorations,
            drifts,
            memory_underestimates,
            refused_samples,
        } = &input.snapshot.estimates;
        for row in predictions {
            out.add(&PREDICTIONS, [row.basis], row.ended as f64);
            out.add(&PREDICTIONS_NEAR, [row.basis], row.near as f64);
            out.add_known(&PREDICTION_ERROR, [row.basis], row.median_error);
        }
        out.add(&ESTIMATE_SIGNATURES, [], *signatures as f64);
        out.add(&EXPLORATIONS, [], *explorations as f64);
        out.add(&ESTIMATE_DRIFTS, [], *drifts as f64);
        out.add(&MEMORY_UNDERESTIMATES, [], *memory_underestimates as f64);
        out.add(&REFUSED_SAMPLES, [], *refused_samples as f64);
        Ok(())
    }
}
