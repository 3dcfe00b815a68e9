//! The dispatcher: the route that cron calls, what is sent, what answers mean, and the order of it all.

mod concurrency;
mod endpoint;
mod operators;
mod order;
mod payload;
mod receiver;
mod route;
mod wake;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestApp;
use crate::support::app::tenant;

/// The demo tenant's complainant.
const COMPLAINANT: &str = "d0000000-0000-4000-8000-0000000000a2";

/// A ticket that no rule touches, with one entry for its creation and one for each comment.
async fn ticket(app: &TestApp, comments: i32) -> Uuid {
    let sql = "insert into tickets (title, description, location, category, priority, type, tenant_id, complainant_id)
               values ('Door', 'Squeaks', 'Lobby', 'Other', 'low', 'Maintenance', $1, $2) returning id";
    let complainant: Uuid = COMPLAINANT.parse().unwrap();
    let id = app
        .db
        .query_one(sql, &[&tenant(), &complainant])
        .await
        .unwrap()
        .get(0);
    comment(app, id, comments).await;
    id
}

/// Adds comments to a ticket, each an entry of the queue.
async fn comment(app: &TestApp, ticket: Uuid, count: i32) {
    let sql = "insert into ticket_activities (ticket_id, tenant_id, activity_type, comment)
               select $1, $2, 'admin_comment', 'Comment ' || n from generate_series(1, $3) n";
    app.db.execute(sql, &[&ticket, &tenant(), &count]).await.unwrap();
}

/// The entries' outcomes, oldest first.
async fn entries(app: &TestApp) -> Vec<Value> {
    let sql = "select jsonb_build_object('status', status, 'attempts', attempt_count, 'error', last_error,
                 'due', next_attempt_at is not null, 'payload', payload) from ticket_webhook_queue order by seq";
    app.db
        .query(sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// The `last_error` of the only entry, which failed once.
async fn only_error(app: &TestApp) -> String {
    let entries = entries(app).await;
    assert_eq!(entries.len(), 1);
    let error = entries[0]["error"].as_str().unwrap().to_owned();
    let expected = json!({"status": "failed", "attempts": 1, "error": error, "due": true, "payload": null});
    assert_eq!(entries[0], expected);
    error
}

/// Makes every entry that waits for its next attempt due at once, and every endpoint that waits for a probe.
async fn make_due(app: &TestApp) {
    let sql = "update ticket_webhook_queue set next_attempt_at = now() where status = 'failed';
               update dropwire.webhook_endpoints set next_probe_at = now() where state <> 'open'";
    app.db.batch_execute(sql).await.unwrap();
}

/// Waits until so many entries are delivered.
async fn wait_delivered(app: &TestApp, count: i64) {
    let began = Instant::now();
    while app.count("ticket_webhook_queue where status = 'delivered'").await < count {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{:?}",
            entries(app).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A run's body.
fn ran(delivered: usize, failed: usize) -> Value {
    json!({"processed": delivered + failed, "delivered": delivered, "failed": failed})
}

/// The body of a run that found nothing.
fn idle() -> Value {
    json!({"processed": 0, "delivered": 0, "failed": 0, "message": "No pending entries"})
}
