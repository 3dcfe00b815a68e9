//! One attempt: the headers, the POST, how long it took.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use super::queue::Claim;
use super::verdict::Outcome;
use super::{payload, signature};
use crate::egress::Egress;

/// The original's user agent; Make scenarios and allow-lists may know it.
const AGENT: &str = "FMS-Ticket-Activity/1.0";

/// What came of an attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub outcome: Outcome,
    /// The body that was sent; none when the tenant has no webhook.
    pub body: Option<String>,
    /// `None` when nothing was sent.
    pub took: Option<Duration>,
}

impl Attempt {
    fn unsent(outcome: Outcome) -> Self {
        Self {
            outcome,
            body: None,
            took: None,
        }
    }
}

/// Sends one claimed entry.
pub(super) async fn attempt(egress: &Egress, claim: &Claim, timeout: Duration) -> Attempt {
    if let Some(problem) = &claim.problem {
        return Attempt::unsent(Outcome::problem(problem.clone()));
    }
    let Some(url) = claim.url.as_deref().filter(|url| !url.trim().is_empty()) else {
        return Attempt::unsent(Outcome::unsent());
    };
    let Some(payload) = &claim.payload else {
        return Attempt::unsent(Outcome::problem("Ticket not found".to_owned()));
    };
    let now = Utc::now();
    let body = payload::body(payload, now);
    let headers = headers(claim, now.timestamp(), body.as_bytes());
    let started = Instant::now();
    let answer = egress
        .post_json(url, headers, Bytes::from(body.clone()), timeout)
        .await;
    let outcome = match &answer {
        Ok(answer) => Outcome::of_answer(answer, Utc::now()),
        Err(error) => Outcome::of_error(error),
    };
    Attempt {
        outcome,
        body: Some(body),
        took: Some(started.elapsed()),
    }
}

/// The contract's two headers, and those of Standard Webhooks: an id that stays the same over all attempts, the time of
/// this one, and a signature where the tenant has a secret.
fn headers(claim: &Claim, timestamp: i64, body: &[u8]) -> HeaderMap {
    let id = claim.id.to_string();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(HeaderName::from_static("webhook-timestamp"), timestamp.into());
    let signature = signature::sign(&claim.secrets, &id, timestamp, body);
    for (name, value) in [("webhook-id", Some(id)), ("webhook-signature", signature)] {
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}
