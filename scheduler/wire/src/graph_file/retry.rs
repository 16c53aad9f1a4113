//! The `retry` table: decoded key by key, so that a function's own keys win over the defaults'.

use super::keys::{OOM, RETRY, unknown_key};
use super::node::Node;
use super::report::{Place, Report};
use super::scalar::{self, Bare};
use dunnage_model::{Backoff, OomRetry, Retry, Span};

/// A `retry` table as given: what it does not say is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RetryDraft {
    max: Option<u32>,
    backoff: Option<Backoff>,
    base: Option<Span>,
    cap: Option<Span>,
    jitter: Option<bool>,
    oom_max: Option<u32>,
    oom_factor: Option<f64>,
}

impl RetryDraft {
    /// This table over another.
    pub(crate) fn over(self, base: Self) -> Self {
        Self {
            max: self.max.or(base.max),
            backoff: self.backoff.or(base.backoff),
            base: self.base.or(base.base),
            cap: self.cap.or(base.cap),
            jitter: self.jitter.or(base.jitter),
            oom_max: self.oom_max.or(base.oom_max),
            oom_factor: self.oom_factor.or(base.oom_factor),
        }
    }

    /// With what holds for the keys that nobody gave.
    pub(crate) fn finish(self) -> Retry {
        let usual = Retry::default();
        let base = self.base.unwrap_or(usual.base);
        Retry {
            max: self.max.unwrap_or(usual.max),
            backoff: self.backoff.unwrap_or(usual.backoff),
            base,
            // A first wait above the usual longest one, given alone, is meant.
            cap: self.cap.unwrap_or(usual.cap.max(base)),
            jitter: self.jitter.unwrap_or(usual.jitter),
            oom: OomRetry {
                max: self.oom_max.unwrap_or(usual.oom.max),
                factor: self.oom_factor.unwrap_or(usual.oom.factor),
            },
        }
    }
}

const MAX: i64 = 1_000_000;

/// A `retry` table.
pub(crate) fn retry(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> RetryDraft {
    const BACKOFFS: [(&str, Backoff); 2] = [("exponential", Backoff::Exponential), ("fixed", Backoff::Fixed)];
    let mut draft = RetryDraft::default();
    let hint = match node {
        Node::Int(n) => format!("retry = {{ max = {n} }}"),
        _ => "retry = { max = 2 }".to_owned(),
    };
    let Some(table) = scalar::table(node, at, &hint, report) else {
        return draft;
    };
    for (key, node) in table {
        let here = at.key(key);
        match key.as_ref() {
            "max" => draft.max = scalar::whole(node, &here, 0..=MAX, report).map(|n| n as u32),
            "backoff" => draft.backoff = scalar::word(node, &here, &BACKOFFS, report),
            "base" => draft.base = scalar::span(node, &here, Bare::Refused, report),
            "cap" => draft.cap = scalar::span(node, &here, Bare::Refused, report),
            "jitter" => draft.jitter = scalar::boolean(node, &here, report),
            "oom" => (draft.oom_max, draft.oom_factor) = oom(node, &here, report),
            other => unknown_key(report, &RETRY, other, at),
        }
    }
    if let (Some(base), Some(cap)) = (draft.base, draft.cap)
        && cap < base
    {
        report.wrong(at, node, "the longest wait `cap` is shorter than the first, `base`", "raise `cap`");
    }
    draft
}

fn oom(node: &Node<'_>, at: &Place<'_>, report: &mut Report) -> (Option<u32>, Option<f64>) {
    let mut oom = (None, None);
    let Some(table) = scalar::table(node, at, "oom = { max = 3, factor = 2.0 }", report) else {
        return oom;
    };
    for (key, node) in table {
        let here = at.key(key);
        match key.as_ref() {
            "max" => oom.0 = scalar::whole(node, &here, 0..=MAX, report).map(|n| n as u32),
            "factor" => oom.1 = scalar::number(node, &here, 1.0..=1000.0, report),
            other => unknown_key(report, &OOM, other, at),
        }
    }
    oom
}
