//! A ticket as the bot shows it: lines of HTML, and buttons.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::html::{cut, escape};

/// How much of a title or location is shown, in characters. Escaped it is up to five times as long.
const LINE_MAX_CHARS: usize = 300;

/// What `dropwire.ticket_card` says of a ticket.
#[derive(Debug, Deserialize)]
pub(super) struct Card {
    pub(super) id: Uuid,
    pub(super) ticket_number: String,
    title: String,
    status: String,
    pub(super) status_label: String,
    priority: String,
    location: String,
    /// ISO 8601.
    sla: Option<String>,
}

impl Card {
    pub(super) fn read(stored: Value) -> Option<Self> {
        serde_json::from_value(stored)
            .inspect_err(|error| tracing::error!(%error, "reading a ticket's card failed"))
            .ok()
    }

    pub(super) fn read_all(stored: Value) -> Vec<Self> {
        let Value::Array(cards) = stored else {
            return Vec::new();
        };
        cards.into_iter().filter_map(Self::read).collect()
    }

    /// The lines, in Telegram's HTML.
    pub(super) fn html(&self) -> String {
        let mut lines = vec![
            format!("Ticket {}", self.ticket_number),
            cut(&self.title, LINE_MAX_CHARS),
            format!("Status: {}", self.status_label),
            format!("Priority: {}", self.priority),
            format!("Location: {}", cut(&self.location, LINE_MAX_CHARS)),
        ];
        lines.extend(self.due().map(|due| format!("SLA: {due}")));
        escape(&lines.join("\n"))
    }

    /// The time that it is due in UTC, as en-US writes it: `Nov 10, 2025, 02:00 PM`.
    fn due(&self) -> Option<String> {
        let sla: DateTime<Utc> = self.sla.as_ref()?.parse().ok()?;
        Some(sla.format("%b %-d, %Y, %I:%M %p").to_string())
    }

    /// The buttons, as a `reply_markup`.
    pub(super) fn keyboard(&self) -> Value {
        let button = |text: &str, action: &str| json!({"text": text, "callback_data": format!("{action}|{}", self.id)});
        let progress = if self.status == "in-progress" {
            button("In Progress ✅", "noop")
        } else {
            button("In Progress", "status_in_progress")
        };
        json!({
            "inline_keyboard": [[progress, button("Resolved", "status_resolved")], [button("Update", "update")]]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b";

    fn card(changes: &Value) -> Card {
        let mut stored = json!({
            "id": ID, "ticket_number": "TKT-1000", "title": "Leak", "status": "open", "status_label": "Open",
            "priority": "high", "location": "Hall", "sla": "2025-11-10T14:00:00+00:00"
        });
        stored
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        Card::read(stored).unwrap()
    }

    #[test]
    fn a_card_has_a_line_for_each_property() {
        assert_eq!(
            card(&json!({})).html(),
            "Ticket TKT-1000\nLeak\nStatus: Open\nPriority: high\nLocation: Hall\nSLA: Nov 10, 2025, 02:00 PM"
        );
        assert!(
            card(&json!({"sla": "2025-01-05T00:05:00.5+00:00"}))
                .html()
                .ends_with("\nSLA: Jan 5, 2025, 12:05 AM")
        );
        for sla in [Value::Null, json!("infinity")] {
            assert!(card(&json!({ "sla": sla })).html().ends_with("\nLocation: Hall"));
        }
    }

    #[test]
    fn signs_of_html_and_endless_texts_do_not_spoil_a_card() {
        let long = "<".repeat(100_000);
        let html = card(&json!({"title": long, "location": "R&D <3"})).html();
        assert!(html.contains("&lt;…\n") && html.contains("\nLocation: R&amp;D &lt;3\n"));
        assert!(html.len() < 4096, "{}", html.len());
    }

    #[test]
    fn the_buttons_follow_the_status_and_fit_into_64_bytes() {
        let rows = |status: &str| card(&json!({ "status": status })).keyboard()["inline_keyboard"].clone();
        let second = json!({"text": "Resolved", "callback_data": format!("status_resolved|{ID}")});
        let update = json!([{"text": "Update", "callback_data": format!("update|{ID}")}]);
        assert_eq!(
            rows("open"),
            json!([[{"text": "In Progress", "callback_data": format!("status_in_progress|{ID}")}, second], update])
        );
        assert_eq!(
            rows("in-progress"),
            json!([[{"text": "In Progress ✅", "callback_data": format!("noop|{ID}")}, second], update])
        );
        assert!(format!("status_in_progress|{ID}").len() <= 64);
    }
}
