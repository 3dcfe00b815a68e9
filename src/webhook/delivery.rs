//! One attempt: the body, the POST, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use serde_json::{Map, Value};

use super::queue::Claim;
use crate::egress::{Answer, Egress};

/// The original's user agent; Make scenarios and allow-lists may know it.
const AGENT: &str = "FMS-Ticket-Activity/1.0";
/// How much of an answer goes into `last_error`, in characters; the database cuts again at its own limit.
const EXCERPT_CHARS: usize = 500;

/// What came of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Accepted; the body that was sent, none when the tenant has no webhook.
    Delivered(Option<String>),
    /// Due again later; what to write into `last_error`.
    Failed(String),
}

/// Sends one claimed entry.
pub(super) async fn attempt(egress: &Egress, claim: &Claim, timeout: Duration) -> Outcome {
    if let Some(problem) = &claim.problem {
        return Outcome::Failed(problem.clone());
    }
    let Some(url) = claim.url.as_deref().filter(|url| !url.trim().is_empty()) else {
        return Outcome::Delivered(None);
    };
    let body = match body(claim, Utc::now()) {
        Ok(body) => body,
        Err(error) => return Outcome::Failed(format!("Building the payload: {error}")),
    };
    match egress
        .post_json(url, headers(claim), Bytes::from(body.clone()), timeout)
        .await
    {
        Ok(answer) => verdict(&answer, body),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// The contract's body: the stored payload with the time of dispatch at its end.
fn body(claim: &Claim, now: DateTime<Utc>) -> serde_json::Result<String> {
    let mut payload: Map<String, Value> = serde_json::from_str(claim.payload.as_deref().unwrap_or_default())?;
    payload.insert(
        "generated_at".to_owned(),
        now.to_rfc3339_opts(SecondsFormat::Millis, true).into(),
    );
    serde_json::to_string(&payload)
}

/// The contract's two headers, and an id that stays the same over all attempts (Standard Webhooks).
fn headers(claim: &Claim) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if let Ok(id) = HeaderValue::from_str(&claim.id.to_string()) {
        headers.insert("webhook-id", id);
    }
    headers
}

/// 2xx is delivered, and so is 303, Make's "done, see there"; other redirects lead away and are not followed.
fn verdict(answer: &Answer, body: String) -> Outcome {
    let status = answer.status;
    if status.is_success() || status == StatusCode::SEE_OTHER {
        Outcome::Delivered(Some(body))
    } else if status.is_redirection() {
        Outcome::Failed(format!(
            "HTTP {}: redirects are not followed; set the automation webhook URL to its final address",
            status.as_u16()
        ))
    } else {
        let text = String::from_utf8_lossy(&answer.body);
        let excerpt: String = text.chars().filter(|c| *c != '\0').take(EXCERPT_CHARS).collect();
        Outcome::Failed(format!("HTTP {}: {excerpt}", status.as_u16()))
    }
}
