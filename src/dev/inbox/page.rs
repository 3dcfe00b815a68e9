//! The inbox as a page for people: no external resources, everything that was received escaped.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem::http::header::CONTENT_SECURITY_POLICY;
use poem::web::Html;
use poem::{IntoResponse as _, Response};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Delivery;

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");

/// Allows our own script by its hash, our style, and a look at the same address again; nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(SCRIPT));
    format!("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; connect-src 'self'")
});

/// The page for these deliveries, oldest first.
pub fn answer(deliveries: &[Delivery]) -> Response {
    let mut response = Html(render(deliveries)).into_response();
    if let Ok(policy) = POLICY.parse() {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn render(deliveries: &[Delivery]) -> String {
    let mut rows: String = deliveries.iter().rev().map(row).collect();
    if rows.is_empty() {
        rows.push_str(r#"<p class="empty">Nothing yet. Create a ticket; its webhooks appear here.</p>"#);
    }
    // The rows go in last, so that nothing in them can stand for a placeholder.
    PAGE.replace("{count}", &deliveries.len().to_string())
        .replace("{script}", SCRIPT)
        .replace("{rows}", &rows)
}

fn row(delivery: &Delivery) -> String {
    let body: Value = serde_json::from_str(delivery.body.get()).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let event = text("/latest_activity/comment")
        .or(text("/latest_activity/type"))
        .unwrap_or("Created");
    let time = delivery.received_at.get(11..23).unwrap_or(&delivery.received_at);
    let id = format!(
        "{} {}",
        delivery.received_at,
        delivery.webhook_id.as_deref().unwrap_or_default()
    );
    let mut tags = String::new();
    for tag in [text("/status"), text("/priority")].into_iter().flatten() {
        let tag = escape(tag);
        // Writing to a String cannot fail.
        let _written = write!(tags, r#"<span class="tag {tag}">{tag}</span>"#);
    }
    format!(
        "<details id=\"{}\"><summary><time datetime=\"{}\">{}</time><span class=\"number\">{}</span>\
         <span class=\"event\">{}</span><span class=\"tags\">{tags}</span></summary><pre>{}</pre></details>\n",
        escape(&id),
        escape(&delivery.received_at),
        escape(time),
        escape(text("/ticket_number").unwrap_or("–")),
        escape(event),
        escape(&serde_json::to_string_pretty(&body).unwrap_or_default())
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use serde_json::value::RawValue;

    const HOSTILE: &str = "\"'><script>alert(1)</script>{rows}&amp;";

    fn delivery(webhook_id: &str, body: &Value) -> Delivery {
        let body = RawValue::from_string(body.to_string()).unwrap();
        Delivery {
            received_at: "2026-01-02T03:04:05.678Z".to_owned(),
            webhook_id: Some(webhook_id.to_owned()),
            body,
        }
    }

    #[test]
    fn everything_received_is_escaped() {
        let body = json!({
            "ticket_number": HOSTILE, "status": HOSTILE, "priority": HOSTILE,
            "latest_activity": {"comment": HOSTILE, "type": HOSTILE}, HOSTILE: [HOSTILE]
        });
        let page = render(&[delivery(HOSTILE, &body)]);
        assert_eq!(page.matches("<script>").count(), 1, "our own");
        let (line, json) = page.split_once("<pre>").unwrap();
        let escaped = "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;{rows}&amp;amp;";
        assert_eq!(
            line.matches(escaped).count(),
            7,
            "id, number, event, two tags as class and text"
        );
        assert!(!json.split("</pre>").next().unwrap().contains('<'));
    }

    #[test]
    fn a_line_shows_time_number_event_and_state() {
        let body = json!({"ticket_number": "TKT-1000", "status": "open", "priority": "high"});
        let page = render(&[delivery("a", &body)]);
        for part in [
            ">03:04:05.678<",
            ">TKT-1000<",
            ">Created<",
            ">open<",
            ">high<",
            "<b id=\"count\">1</b>",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
    }

    #[test]
    fn an_empty_inbox_says_what_to_do() {
        assert!(render(&[]).contains("Nothing yet."));
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        let page = render(&[]);
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains(" src="));
        assert!(POLICY.starts_with("default-src 'none'"));
    }
}
