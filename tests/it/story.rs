//! The guide's section 3, driven over real HTTP: ticket in, rules in the same transaction, webhooks out in order.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use dropwire::dev;
use serde_json::{Value, json};

use crate::support::app::{CHAT_ID, TENANT, ticket};
use crate::support::sink::Received;
use crate::support::{Sink, TestApp};

/// Top-level keys in the contract's order; `latest_activity` is left out of a creation.
const KEYS: [&str; 14] = [
    "tenant_id",
    "tenant_name",
    "ticket_id",
    "ticket_number",
    "status",
    "priority",
    "title",
    "description",
    "location",
    "complainant",
    "assignee",
    "due_date",
    "latest_activity",
    "generated_at",
];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// UTC with milliseconds and `Z`, as the guide shows.
fn instant(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().unwrap();
    assert_eq!(text.len(), "2025-11-13T10:30:00.000Z".len(), "{text}");
    assert!(text.ends_with('Z'), "{text}");
    text.parse().unwrap()
}

#[tokio::test]
async fn make_creates_a_ticket_the_rules_run_and_make_hears_every_change_in_order() {
    let app = TestApp::start().await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;

    let answer = app
        .call(
            "telegram-webhook",
            dev::ANON_KEY,
            &ticket(&json!({"priority": "medium"})),
        )
        .await;
    let ticket_id = answer.json()["ticket_id"].as_str().unwrap().to_owned();
    assert_eq!(
        answer.pair(),
        (
            200,
            json!({"success": true, "ticket_id": ticket_id, "ticket_number": "TKT-1000", "status": 200})
        )
    );

    // The rules ran in the transaction that created the ticket: its outcome is there before anything is sent.
    let row = app
        .db
        .query_one(
            "select priority, due_date is not null, executor_profile_id::text from tickets",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "critical");
    assert!(row.get::<_, bool>(1));
    assert_eq!(row.get::<_, &str>(2), "d0000000-0000-4000-8000-0000000000e1");

    assert_eq!(
        app.drain().await,
        json!({"processed": 4, "delivered": 4, "failed": 0})
    );
    let webhooks = sink.wait_for(4).await;

    let expected = [
        None,
        Some((
            "priority_change",
            "Priority changed from medium to critical".to_owned(),
        )),
        Some((
            "sla_change",
            format!("SLA changed from none to {}", due_date(&webhooks[2])),
        )),
        Some((
            "reassignment",
            "Ticket assigned to executor d0000000-0000-4000-8000-0000000000e1".to_owned(),
        )),
    ];
    for (webhook, expected) in webhooks.iter().zip(&expected) {
        assert_webhook(
            webhook,
            &ticket_id,
            expected.as_ref().map(|(kind, comment)| (*kind, comment.as_str())),
        );
    }
    assert_eq!(
        webhooks[1].body["latest_activity"]["metadata"],
        json!({"old_priority": "medium", "new_priority": "critical"})
    );

    // What was sent is kept, and nothing is due any more.
    assert_eq!(
        app.count("ticket_webhook_queue where status = 'delivered' and next_attempt_at is null")
            .await,
        4
    );
    let stored = app
        .text("select payload::text from ticket_webhook_queue order by seq limit 1")
        .await
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), webhooks[0].body);
    assert_eq!(
        app.drain().await,
        json!({"processed": 0, "delivered": 0, "failed": 0, "message": "No pending entries"})
    );
    app.stop().await;
}

/// Compares one webhook field by field with the contract; `activity` is the type and comment it tells of.
fn assert_webhook(webhook: &Received, ticket_id: &str, activity: Option<(&str, &str)>) {
    let body = &webhook.body;
    assert_eq!(webhook.headers["content-type"], "application/json");
    assert_eq!(webhook.headers["user-agent"], "FMS-Ticket-Activity/1.0");
    assert_eq!(webhook.method, "POST");
    assert_eq!(webhook.text, body.to_string(), "compact JSON, keys in order");

    let shape: Vec<_> = KEYS
        .into_iter()
        .filter(|key| *key != "latest_activity" || activity.is_some())
        .collect();
    assert_eq!(keys(body), shape);
    assert_eq!(body["tenant_id"], TENANT);
    assert_eq!(body["tenant_name"], "ACME Facilities");
    assert_eq!(body["ticket_id"], ticket_id);
    assert_eq!(body["ticket_number"], "TKT-1000");
    assert_eq!(body["status"], "open");
    assert_eq!(
        body["priority"], "critical",
        "Make sees the state after the rules"
    );
    assert_eq!(body["title"], "AC not working in Building A");
    assert_eq!(body["description"], "AC not working in Building A");
    assert_eq!(body["location"], "Building A, Floor 3");
    let complainant = json!({
        "id": "d0000000-0000-4000-8000-0000000000a2", "name": "John Doe", "email": "john.doe@example.com",
        "phone": "+1-555-0100", "chat_id": CHAT_ID
    });
    assert_eq!(body["complainant"].to_string(), complainant.to_string());
    let assignee = json!({
        "id": "d0000000-0000-4000-8000-0000000000a3", "name": "Mike Johnson", "email": "mike@example.com",
        "phone": "+1-555-0101", "chat_id": "987654321"
    });
    assert_eq!(body["assignee"].to_string(), assignee.to_string());
    let left = instant(&body["due_date"]) - Utc::now();
    assert!(left.num_minutes() > 23 * 60 && left.num_hours() < 24, "{left}");
    assert!((Utc::now() - instant(&body["generated_at"])).num_seconds() < 30);

    if let Some((kind, comment)) = activity {
        let activity = &body["latest_activity"];
        assert_eq!(
            keys(activity),
            ["id", "type", "comment", "metadata", "created_at", "created_by"]
        );
        assert_eq!(activity["type"], kind);
        assert_eq!(activity["comment"], comment);
        assert_eq!(activity["created_by"], Value::Null, "a rule's effect is nobody's");
        instant(&activity["created_at"]);
    }
}

fn due_date(sla_change: &Received) -> String {
    sla_change.body["latest_activity"]["metadata"]["new_due_date"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_sink_that_fails_twice_sees_the_backoff_and_then_every_entry_once() {
    let app = TestApp::with(&[("TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS", "400")]).await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    sink.reply([500, 503]);
    app.create_ticket(&json!({})).await;

    assert_eq!(
        app.drain().await,
        json!({"processed": 1, "delivered": 0, "failed": 1})
    );
    assert_eq!(
        app.drain().await["message"],
        "No pending entries",
        "not due before its backoff has passed"
    );
    app.drain_all().await;

    let webhooks = sink.received();
    assert_eq!(webhooks.len(), 6, "two failures, then four entries once each");
    let mut seen: HashMap<String, usize> = HashMap::new();
    for webhook in &webhooks {
        *seen.entry(webhook.webhook_id()).or_default() += 1;
    }
    assert_eq!(seen.len(), 4);
    assert_eq!(
        seen[&webhooks[0].webhook_id()],
        3,
        "the head is tried three times under one id"
    );
    for (earlier, later) in [(0, 1), (1, 2)] {
        assert!(webhooks[later].at - webhooks[earlier].at >= Duration::from_millis(400));
    }
    let kinds: Vec<_> = webhooks[2..]
        .iter()
        .map(|w| w.body["latest_activity"]["type"].clone())
        .collect();
    assert_eq!(
        kinds,
        [
            Value::Null,
            "priority_change".into(),
            "sla_change".into(),
            "reassignment".into()
        ]
    );
    app.stop().await;
}
