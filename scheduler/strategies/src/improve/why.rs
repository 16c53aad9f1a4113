//! What a search says of its work.

use crate::planning::Schedule;

/// What was improved.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// The makespan, which cannot go below this; 0 where nothing is known.
    Time(f64),
    /// A weighted sum, of which no bound is known.
    Weighted,
}

/// What was compared, in a sentence.
pub(super) fn sentence(
    rules: &[(&'static str, f64)],
    from: f64,
    to: f64,
    schedule: &Schedule,
    what: What,
) -> String {
    let best = rules.iter().reduce(|best, next| if next.1 < best.1 { next } else { best });
    let mut why = match best {
        Some((name, _)) if rules.len() > 1 => format!("best of {} rules was {name}", rules.len()),
        Some((name, _)) => format!("begun with {name}"),
        None => "begun with the longest ways to the end".to_owned(),
    };
    if to < from {
        why += &format!(
            ", search improved {} by {:.1} % in {} schedules",
            if matches!(what, What::Time(_)) { "it" } else { "the weighted sum" },
            (1.0 - to / from) * 100.0,
            grouped(schedule.schedules)
        );
    } else {
        why += &format!(", search found nothing better in {} schedules", grouped(schedule.schedules));
    }
    if let What::Time(bound) = what
        && bound > 0.0
    {
        let above = (schedule.makespan / bound - 1.0) * 100.0;
        why += &if above < 0.05 {
            "; nothing can be shorter".to_owned()
        } else {
            format!("; at most {above:.1} % above the least possible")
        };
    }
    why
}

/// 12,345 for 12345.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
