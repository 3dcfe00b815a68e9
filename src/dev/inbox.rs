//! The inbox: a webhook receiver that shows what it was sent, as JSON or as a small page.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use poem::http::StatusCode;
use poem::http::header::ACCEPT;
use poem::web::{Data, Html, Json};
use poem::{Body, Endpoint, EndpointExt, IntoResponse, Request, Response, get, handler};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// How many webhooks are kept; the oldest go first.
const KEPT: usize = 500;
/// Largest body that is taken, as Make's own limit.
const BODY_LIMIT: usize = 5 * 1024 * 1024;

/// The webhooks received, oldest first. Cheap to clone.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<VecDeque<Delivery>>>);

/// One webhook as it arrived.
#[derive(Clone, Serialize)]
pub struct Delivery {
    /// When it arrived, UTC.
    received_at: String,
    /// Its `webhook-id`: the same over all attempts of one entry.
    webhook_id: Option<String>,
    /// The body, byte for byte where it is JSON.
    body: Box<RawValue>,
}

impl Inbox {
    fn push(&self, delivery: Delivery) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(delivery);
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn all(&self) -> Vec<Delivery> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

/// POST takes a webhook, GET shows what came, DELETE empties.
pub fn endpoint(inbox: Inbox) -> impl Endpoint + 'static {
    get(show).post(receive).delete(empty).data(inbox)
}

#[handler]
async fn receive(Data(inbox): Data<&Inbox>, req: &Request, body: Body) -> Response {
    let Ok(bytes) = body.into_bytes_limit(BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let body = RawValue::from_string(text.clone())
        .or_else(|_no_json| RawValue::from_string(Value::from(text).to_string()));
    if let Ok(body) = body {
        inbox.push(Delivery {
            received_at: iso(Utc::now()),
            webhook_id: req.header("webhook-id").map(str::to_owned),
            body,
        });
    }
    "Accepted".into_response()
}

#[handler]
fn show(Data(inbox): Data<&Inbox>, req: &Request) -> Response {
    let wants_page = req
        .headers()
        .get(ACCEPT)
        .is_some_and(|accept| accept.to_str().unwrap_or_default().contains("text/html"));
    if wants_page {
        Html(page(&inbox.all())).into_response()
    } else {
        Json(inbox.all()).into_response()
    }
}

#[handler]
fn empty(Data(inbox): Data<&Inbox>) -> StatusCode {
    inbox.clear();
    StatusCode::NO_CONTENT
}

fn iso(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn page(deliveries: &[Delivery]) -> String {
    let mut rows = String::new();
    for delivery in deliveries.iter().rev() {
        let body: Value = serde_json::from_str(delivery.body.get()).unwrap_or_default();
        let text = |pointer: &str| {
            body.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or("–")
                .to_owned()
        };
        let event = body
            .pointer("/latest_activity/comment")
            .and_then(Value::as_str)
            .unwrap_or("created");
        let pretty = serde_json::to_string_pretty(&body).unwrap_or_default();
        // Writing to a String cannot fail.
        let _written = write!(
            rows,
            "<details><summary><time>{}</time> <b>{}</b> {} <i>{}</i></summary><pre>{}</pre></details>",
            escape(&delivery.received_at),
            escape(&text("/ticket_number")),
            escape(event),
            escape(&format!("{}, {}", text("/status"), text("/priority"))),
            escape(&pretty)
        );
    }
    if rows.is_empty() {
        rows.push_str("<p>Nothing yet. Create a ticket; its webhooks appear here.</p>");
    }
    PAGE.replace("{rows}", &rows)
        .replace("{count}", &deliveries.len().to_string())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const PAGE: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Dropwire inbox ({count})</title>
<meta http-equiv="refresh" content="3"><meta name="viewport" content="width=device-width">
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c }
time { color: #777; font-variant-numeric: tabular-nums } i { color: #777; font-style: normal }
summary { cursor: pointer; padding: .3rem 0 } details { border-bottom: 1px solid #e5e5e5 }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd } pre { background: #222 }
details { border-color: #333 } }
</style></head>
<body><h1>Inbox</h1><p>What the demo tenant's webhook received, newest first.</p>{rows}</body></html>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(body: &str) -> Delivery {
        let body = RawValue::from_string(body.to_owned()).unwrap();
        Delivery {
            received_at: String::new(),
            webhook_id: None,
            body,
        }
    }

    #[test]
    fn the_page_escapes_what_it_shows() {
        let page = page(&[delivery(r#"{"ticket_number":"<script>alert(1)</script>"}"#)]);
        assert!(!page.contains("<script>"));
        assert!(page.contains("&lt;script&gt;"));
    }

    #[test]
    fn the_oldest_webhooks_go_first() {
        let inbox = Inbox::default();
        for n in 0..=KEPT {
            inbox.push(delivery(&n.to_string()));
        }
        let bodies = inbox.all();
        assert_eq!(bodies.len(), KEPT);
        assert_eq!(bodies[0].body.get(), "1");
    }
}
