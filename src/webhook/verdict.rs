//! What a receiver's answer means for its entry and for the endpoint. Plain functions.

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::Duration;

use super::backoff;
use crate::egress::{Answer, EgressError};

/// How much of an answer goes into `last_error` and the record of attempts, in characters.
const EXCERPT_CHARS: usize = 500;

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Accepted.
    Delivered,
    /// Due again after the backoff: likely to pass.
    Transient,
    /// Due again after the longest backoff: the receiver does not want this, as it is.
    Rejected,
    /// As [`Verdict::Rejected`], and the endpoint is parked.
    Gone,
    /// Nothing was sent, through no fault of the endpoint's: due again after the backoff.
    Problem,
}

/// An attempt's end in the words that are kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub verdict: Verdict,
    /// For `last_error`; `None` for a delivery.
    pub error: Option<String>,
    /// Of the answer.
    pub status: Option<StatusCode>,
    /// `error_class` of `ticket_webhook_attempts`.
    pub class: Option<&'static str>,
    /// For the record of attempts.
    pub excerpt: Option<String>,
    /// How long the receiver wants to be left alone.
    pub pause: Option<Duration>,
}

impl Outcome {
    /// A delivery to nobody.
    pub fn unsent() -> Self {
        Self {
            verdict: Verdict::Delivered,
            error: None,
            status: None,
            class: None,
            excerpt: None,
            pause: None,
        }
    }

    /// Nothing could be sent.
    pub fn problem(error: String) -> Self {
        Self {
            verdict: Verdict::Problem,
            error: Some(error),
            ..Self::unsent()
        }
    }

    /// What an answer means.
    ///
    /// 2xx is delivered, and so is 303, Make's "done, see there"; other redirects lead away and are not followed.
    pub fn of_answer(answer: &Answer, now: DateTime<Utc>) -> Self {
        let text = String::from_utf8_lossy(&answer.body);
        let excerpt: String = text.chars().filter(|c| *c != '\0').take(EXCERPT_CHARS).collect();
        let (verdict, class) = classify(answer.status, &excerpt);
        let error = match class {
            None => None,
            Some("redirected") => Some(format!(
                "HTTP {}: redirects are not followed; set the automation webhook URL to its final address",
                answer.status.as_u16()
            )),
            Some(_) => Some(format!("HTTP {}: {excerpt}", answer.status.as_u16())),
        };
        Self {
            verdict,
            error,
            status: Some(answer.status),
            class,
            excerpt: (!excerpt.is_empty()).then_some(excerpt),
            pause: pause(answer.status, &answer.headers, now),
        }
    }

    /// What it means that no answer came.
    pub fn of_error(error: &EgressError) -> Self {
        let text = error.to_string();
        Self {
            verdict: Verdict::Transient,
            status: None,
            class: Some(error.class()),
            excerpt: Some(text.clone()),
            error: Some(text),
            pause: None,
        }
    }
}

/// The contract's table, and Make's ways.
fn classify(status: StatusCode, body: &str) -> (Verdict, Option<&'static str>) {
    let queue_is_full = || body.to_ascii_lowercase().contains("queue is full");
    match status.as_u16() {
        200..=299 | 303 => (Verdict::Delivered, None),
        300..=399 => (Verdict::Transient, Some("redirected")),
        404 | 410 => (Verdict::Gone, Some("gone")),
        429 => (Verdict::Transient, Some("throttled")),
        400 if queue_is_full() => (Verdict::Transient, Some("throttled")),
        408 => (Verdict::Transient, Some("timeout")),
        400..=499 => (Verdict::Rejected, Some("rejected")),
        _ => (Verdict::Transient, Some("unavailable")),
    }
}

/// Only these statuses give `Retry-After` the meaning that we are to wait.
fn pause(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    if !matches!(status.as_u16(), 408 | 429 | 500..=599) {
        return None;
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    backoff::retry_after(text(RETRY_AFTER)?, text(DATE), now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn outcome(status: u16, body: &'static str, headers: &[(&'static str, &'static str)]) -> Outcome {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
            body: Bytes::from_static(body.as_bytes()),
            truncated: false,
        };
        Outcome::of_answer(&answer, "2026-01-31T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn every_status_has_its_verdict() {
        use Verdict::{Delivered, Gone, Rejected, Transient};
        for (status, body, verdict, class) in [
            (200, "Accepted", Delivered, None),
            (204, "", Delivered, None),
            (299, "", Delivered, None),
            (303, "", Delivered, None),
            (301, "", Transient, Some("redirected")),
            (302, "", Transient, Some("redirected")),
            (304, "", Transient, Some("redirected")),
            (308, "", Transient, Some("redirected")),
            (400, "Queue is full.", Transient, Some("throttled")),
            (400, "QUEUE IS FULL", Transient, Some("throttled")),
            (400, "Invalid JSON", Rejected, Some("rejected")),
            (401, "", Rejected, Some("rejected")),
            (403, "", Rejected, Some("rejected")),
            (404, "", Gone, Some("gone")),
            (408, "", Transient, Some("timeout")),
            (409, "", Rejected, Some("rejected")),
            (410, "There is no scenario listening", Gone, Some("gone")),
            (413, "", Rejected, Some("rejected")),
            (422, "", Rejected, Some("rejected")),
            (429, "Too many requests", Transient, Some("throttled")),
            (500, "", Transient, Some("unavailable")),
            (503, "", Transient, Some("unavailable")),
            (599, "", Transient, Some("unavailable")),
        ] {
            let outcome = outcome(status, body, &[]);
            assert_eq!(
                (outcome.verdict, outcome.class),
                (verdict, class),
                "{status} {body}"
            );
            assert_eq!(outcome.error.is_none(), verdict == Delivered, "{status}");
        }
    }

    #[test]
    fn a_pause_is_taken_from_those_who_may_ask_for_one() {
        let pause = |status| {
            outcome(status, "", &[("retry-after", "7")])
                .pause
                .map(|pause| pause.as_secs())
        };
        for status in [408, 429, 500, 503] {
            assert_eq!(pause(status), Some(7), "{status}");
        }
        for status in [200, 301, 303, 400, 404, 410] {
            assert_eq!(pause(status), None, "{status}");
        }
        assert_eq!(outcome(429, "", &[("retry-after", "later")]).pause, None);
    }
}
