//! `signal`: by name, with or without `SIG`, or by number.

use super::node::Node;
use super::report::{Place, Report};
use super::scalar;
use dunnage_model::nearest;

/// The numbers of Linux on x86-64 and arm64, for which they are the same.
const SIGNALS: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The number of a signal.
pub(crate) fn signal(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> Option<i32> {
    let Node::Text(text) = node else {
        return scalar::whole(node, at, 1..=31, report).map(|number| number as i32);
    };
    let name = text.strip_prefix("SIG").unwrap_or(text);
    if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let hint = match nearest(name, SIGNALS.iter().map(|(known, _)| *known)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "a name like \"TERM\", \"INT\" or \"USR1\", or a number from 1 to 31".to_owned(),
    };
    report.wrong(at, node, "unknown signal", hint);
    None
}
