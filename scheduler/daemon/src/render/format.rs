//! Numbers for people: times, sizes, shares, counts, bars, dates.

use super::style::Style;
use serde_json::Value;

/// What stands where there is nothing to say.
pub(crate) const NONE: &str = "-";

/// A time in the unit that fits: `350 us`, `12 ms`, `1.84 s`, `2 m 03 s`, `1 h 04 m`, `3 d 4 h`.
pub(crate) fn seconds(time: f64) -> String {
    if !time.is_finite() {
        return NONE.to_owned();
    }
    let time = time.max(0.0);
    // The limits lie where rounding would show a thousand of the smaller unit.
    if time == 0.0 {
        "0 s".to_owned()
    } else if time < 0.000_999_5 {
        format!("{:.0} us", time * 1e6)
    } else if time < 0.009_995 {
        format!("{:.1} ms", time * 1e3)
    } else if time < 0.999_5 {
        format!("{:.0} ms", time * 1e3)
    } else if time < 9.995 {
        format!("{time:.2} s")
    } else if time < 59.95 {
        format!("{time:.1} s")
    } else {
        let whole = time.round().min(1e15) as u64;
        let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
        if whole < 3600 {
            format!("{minutes} m {:02} s", whole % 60)
        } else if days == 0 {
            format!("{hours} h {minutes:02} m")
        } else {
            format!("{days} d {hours} h")
        }
    }
}

/// A time that may not be known.
pub(crate) fn maybe_seconds(time: Option<f64>) -> String {
    time.map_or_else(|| NONE.to_owned(), seconds)
}

/// An age in one unit: `12s`, `5m`, `3h`, `9d`.
pub(crate) fn age(time: f64) -> String {
    if !time.is_finite() {
        return NONE.to_owned();
    }
    let whole = time.clamp(0.0, 1e15) as u64;
    match whole {
        0..120 => format!("{whole}s"),
        120..7200 => format!("{}m", whole / 60),
        7200..172_800 => format!("{}h", whole / 3600),
        _ => format!("{}d", whole / 86_400),
    }
}

/// A size in binary units.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let mut value = size as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// A share of 1 as a percentage.
pub(crate) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return NONE.to_owned();
    }
    // A sum of nothing may be a negative zero, and 0 makes it a positive one.
    let value = (share * 100.0).clamp(0.0, 1e6) + 0.0;
    if value > 0.0 && value < 0.95 { format!("{value:.1} %") } else { format!("{value:.0} %") }
}

/// A whole number, exact as long as it is short.
pub(crate) fn count(number: u64) -> String {
    let value = number as f64;
    match number {
        0..10_000_000 => number.to_string(),
        10_000_000..1_000_000_000 => format!("{:.1}M", value / 1e6),
        1_000_000_000..1_000_000_000_000 => format!("{:.1}G", value / 1e9),
        _ => format!("{value:.1e}"),
    }
}

/// A number with a noun: `1 function`, `2 functions`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A number that may be fractional: `4`, `0.5`.
pub(crate) fn amount(number: f64) -> String {
    if !number.is_finite() {
        NONE.to_owned()
    } else if number.fract() == 0.0 && number.abs() < 1e15 {
        format!("{number:.0}")
    } else {
        significant(number, 3)
    }
}

/// What happened over what was expected: `1.14x`.
pub(crate) fn times(actual: f64, expected: f64) -> String {
    let ratio = actual / expected;
    if !ratio.is_finite() || expected <= 0.0 || actual < 0.0 {
        NONE.to_owned()
    } else if ratio < 9.95 {
        format!("{ratio:.2}x")
    } else if ratio < 10_000.0 {
        format!("{ratio:.0}x")
    } else {
        ">9999x".to_owned()
    }
}

/// How far what happened lies from what was expected: `12 % longer`, `3 % shorter`, `as expected`.
pub(crate) fn deviation(actual: f64, expected: f64) -> Option<String> {
    let ratio = actual / expected;
    if !ratio.is_finite() || expected <= 0.0 {
        return None;
    }
    Some(if ratio >= 2.0 {
        format!("{} that", times(actual, expected))
    } else if ratio >= 1.005 {
        format!("{} longer", percent(ratio - 1.0))
    } else if ratio <= 0.995 {
        format!("{} shorter", percent(1.0 - ratio))
    } else {
        "as expected".to_owned()
    })
}

/// A number to so many significant digits, without the zeros behind.
pub(crate) fn significant(number: f64, digits: usize) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let magnitude = number.abs().log10().floor();
    if !(-5.0..15.0).contains(&magnitude) {
        return format!("{number:.*e}", digits.saturating_sub(1));
    }
    let decimals = (digits as f64 - 1.0 - magnitude).clamp(0.0, 20.0) as usize;
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A json value on one line: numbers to six digits, text without quotes, the rest as it is.
pub(crate) fn json(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map_or_else(|| number.to_string(), |value| significant(value, 6))
        }
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// A bar of so many cells, filled by a share of 1.
pub(crate) fn bar(share: f64, cells: usize, style: &Style) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    if !style.unicode {
        let full = (share * cells as f64).round() as usize;
        return "#".repeat(full) + &".".repeat(cells - full);
    }
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share * cells as f64 * 8.0).round() as usize;
    let (full, part) = (eighths / 8, eighths % 8);
    let filled = full + usize::from(part > 0);
    "█".repeat(full) + PARTS[part] + &"░".repeat(cells.saturating_sub(filled))
}

/// Seconds since 1970 as a date and a time of day in UTC.
pub(crate) fn date(at: f64) -> String {
    if !at.is_finite() || !(0.0..253_402_300_800.0).contains(&at) {
        return NONE.to_owned();
    }
    let whole = at as u64;
    let of_day = whole % 86_400;
    // Days to a date of the proleptic Gregorian calendar, in years that begin in March.
    let days = whole / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_the_unit_that_fits() {
        let cases = [
            (0.0, "0 s"),
            (-1.0, "0 s"),
            (0.000_35, "350 us"),
            (0.000_999_6, "1.0 ms"),
            (0.012_4, "12 ms"),
            (0.999_6, "1.00 s"),
            (1.839, "1.84 s"),
            (59.96, "1 m 00 s"),
            (123.0, "2 m 03 s"),
            (3599.7, "1 h 00 m"),
            (273_600.0, "3 d 4 h"),
            (f64::NAN, "-"),
            (f64::INFINITY, "-"),
        ];
        for (time, text) in cases {
            assert_eq!(seconds(time), text, "{time}");
        }
        assert_eq!(age(119.0), "119s");
        assert_eq!(age(7300.0), "2h");
        assert_eq!(age(f64::NAN), "-");
    }

    #[test]
    fn sizes_and_counts_stay_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
        assert_eq!(bytes(139 << 30), "139 GiB");
        assert_eq!(bytes(u64::MAX), "16 EiB");
        assert_eq!(count(9_999_999), "9999999");
        assert_eq!(count(12_345_678), "12.3M");
        assert_eq!(count(u64::MAX), "1.8e19");
        assert_eq!(counted(1, "function"), "1 function");
    }

    #[test]
    fn ratios_survive_nonsense() {
        assert_eq!(percent(-0.0), "0 %");
        assert_eq!(percent(0.874), "87 %");
        assert_eq!(percent(0.004), "0.4 %");
        assert_eq!(percent(f64::NAN), "-");
        assert_eq!(times(1.0, 0.0), "-");
        assert_eq!(times(f64::NAN, 1.0), "-");
        assert_eq!(times(1.14, 1.0), "1.14x");
        assert_eq!(deviation(1.0, 0.0), None);
        assert_eq!(deviation(1.12, 1.0).as_deref(), Some("12 % longer"));
        assert_eq!(deviation(0.5, 1.0).as_deref(), Some("50 % shorter"));
        assert_eq!(deviation(3.0, 1.0).as_deref(), Some("3.00x that"));
    }

    #[test]
    fn numbers_keep_six_digits() {
        assert_eq!(json(&serde_json::json!(-387.123_456_789)), "-387.123");
        assert_eq!(json(&serde_json::json!(0.7)), "0.7");
        assert_eq!(json(&serde_json::json!(3)), "3");
        assert_eq!(json(&serde_json::json!("adam")), "adam");
        assert_eq!(significant(1.5e-9, 3), "1.50e-9");
        assert_eq!(amount(0.5), "0.5");
        assert_eq!(amount(16.0), "16");
    }

    #[test]
    fn bars_have_their_cells() {
        let unicode = Style { colour: false, width: 80, unicode: true };
        let ascii = Style { unicode: false, ..unicode };
        for share in [f64::NAN, -1.0, 0.0, 0.01, 0.5, 0.999, 1.0, 7.0] {
            assert_eq!(bar(share, 10, &unicode).chars().count(), 10, "{share}");
            assert_eq!(bar(share, 10, &ascii).len(), 10, "{share}");
        }
        assert_eq!(bar(0.5, 4, &ascii), "##..");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0.0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_400.0), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_795_237_387.9), "2026-11-21 05:03:07 UTC");
        assert_eq!(date(f64::NAN), "-");
    }
}
