//! In which order pods arrive.

use super::error::PackError;
use super::nodes::shuffle;
use dunnage_core::Rng;
use dunnage_strategies::packing::Shape;

/// At most this many arrivals.
pub(super) const ARRIVALS_MAX: usize = 4_000_000;

/// All shapes in random order, then random repeats until they ask for `limit` GPU milli; where the list
/// asks for more, random ones are left out.
pub(super) fn arrivals(shapes: &[Shape], limit: f64, rng: &mut Rng) -> Result<Vec<Shape>, PackError> {
    let mut order = shapes.to_vec();
    shuffle(&mut order, rng);
    let mut asked: i64 = order.iter().map(Shape::gpu_milli).sum();
    if asked == 0 {
        return Err(PackError::NoDemand);
    }
    while asked as f64 > limit && !order.is_empty() {
        asked -= order.swap_remove(rng.below(order.len())).gpu_milli();
    }
    loop {
        let Some(shape) = shapes.get(rng.below(shapes.len())) else { return Ok(order) };
        // What is compared is the part of one GPU, as in the definition of the trace's simulator.
        if (asked + i64::from(shape.milli)) as f64 > limit {
            return Ok(order);
        }
        if order.len() >= ARRIVALS_MAX {
            return Err(PackError::TooManyArrivals);
        }
        asked += shape.gpu_milli();
        order.push(*shape);
    }
}
