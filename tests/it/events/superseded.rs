//! The original's dashboard reports its own changes, which the triggers have reported by then: Make hears it once.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::TENANT;
use crate::support::outbox::RECORD;
use crate::support::sql::{ADA, MIKE_PROFILE};
use crate::support::{Sink, TestApp, TestSql};

/// The client's row, as the dashboard inserts it.
fn report(ticket: Uuid, kind: &str, metadata: &Value) -> String {
    format!(
        "insert into ticket_activities (ticket_id, tenant_id, activity_type, comment, created_by, metadata)
         values ('{ticket}', '{TENANT}', '{kind}', 'By the dashboard', '{ADA}', '{metadata}')"
    )
}

/// Who stands behind the entries in order, and how many activities there are.
async fn heard(sql: &TestSql) -> Value {
    sql.rows(
        "select q.origin, a.comment, (select count(*) from ticket_activities) as activities
           from ticket_webhook_queue q join ticket_activities a on a.id = q.activity_id order by q.seq",
    )
    .await
}

const CHANGES: &str = "status = 'in-progress', priority = 'high', due_date = '2030-01-02T03:04:05.678Z',
    sla_due_date = '2030-01-02T03:04:05.678Z', executor_profile_id = 'd0000000-0000-4000-8000-0000000000e1'";

#[tokio::test]
async fn a_client_s_repetition_takes_the_place_of_the_trigger_s_row() {
    let cases = [
        (
            "status_change",
            json!({"old_status": "open", "new_status": "in-progress"}),
        ),
        (
            "status_change",
            json!({"source": "telegram_bot", "previous_status": "open", "new_status": "in-progress"}),
        ),
        (
            "priority_change",
            json!({"old_priority": "medium", "new_priority": "high", "more": 1}),
        ),
        (
            "sla_change",
            json!({"old_due_date": null, "new_due_date": "2030-01-02T03:04:05.678Z"}),
        ),
        (
            "sla_change",
            json!({"new_due_date": "2030-01-02 05:04:05.678+02"}),
        ),
        (
            "reassignment",
            json!({"old_executor_id": null, "new_executor_id": MIKE_PROFILE}),
        ),
    ];
    let sql = TestSql::start().await;
    for (kind, metadata) in cases {
        let ticket = sql.quiet_ticket(json!({})).await;
        sql.run(&format!("update tickets set {CHANGES}")).await;
        let entry = format!(
            "select q.id, q.seq from ticket_webhook_queue q join ticket_activities a on a.id = q.activity_id
              where a.activity_type = '{kind}'"
        );
        let before = sql.rows(&entry).await;

        sql.run(&report(ticket, kind, &metadata)).await;

        assert_eq!(
            sql.rows(&entry).await,
            before,
            "{metadata}: the entry keeps its place"
        );
        let kept = sql
            .rows(&format!(
                "select a.comment, a.created_by, a.metadata, q.origin, (select count(*) from ticket_activities) as activities
                   from ticket_activities a join ticket_webhook_queue q on q.activity_id = a.id
                  where a.activity_type = '{kind}'"
            ))
            .await;
        assert_eq!(
            kept,
            json!([{"comment": "By the dashboard", "created_by": ADA, "metadata": metadata,
                    "origin": "client", "activities": 4}])
        );
        sql.run("delete from tickets").await;
    }
}

#[tokio::test]
async fn a_repetition_of_an_entry_in_flight_or_delivered_is_not_sent_again() {
    let metadata = json!({"old_status": "open", "new_status": "resolved"});
    let claim =
        "select (dropwire.claim_webhooks(10, interval '1 min', 'd0000000-0000-4000-8000-000000000000')).id";
    let complete = &RECORD
        .replace("$1::uuid", "(select id from ticket_webhook_queue)")
        .replace("$2", "'d0000000-0000-4000-8000-000000000000'")
        .replace("$3", "'delivered'")
        .replace("$4", "'d0000000-0000-4000-8000-000000000001'");
    let sql = TestSql::start().await;
    for reported_in_flight in [true, false] {
        let ticket = sql.quiet_ticket(json!({})).await;
        sql.run("update tickets set status = 'resolved'").await;
        sql.run(claim).await;
        if reported_in_flight {
            sql.run(&report(ticket, "status_change", &metadata)).await;
            sql.run(complete).await;
        } else {
            sql.run(complete).await;
            sql.run(&report(ticket, "status_change", &metadata)).await;
        }
        let entries = "select q.status, q.attempt_count as attempts, a.comment
                         from ticket_webhook_queue q join ticket_activities a on a.id = q.activity_id";
        assert_eq!(
            sql.rows(entries).await,
            json!([{"status": "delivered", "attempts": 1, "comment": "By the dashboard"}])
        );
        sql.run("delete from tickets").await;
    }
}

#[tokio::test]
async fn what_is_no_repetition_is_an_event_of_its_own() {
    let repeated = json!({"old_status": "open", "new_status": "resolved"});
    let cases = [
        (
            "status_change",
            json!({"old_status": "open", "new_status": "closed"}),
            "another new value",
        ),
        (
            "status_change",
            json!({"old_status": "closed", "new_status": "resolved"}),
            "another old value",
        ),
        ("status_change", json!({}), "no change reported"),
        ("status_change", json!([1]), "metadata of another shape"),
        ("priority_change", repeated.clone(), "another type"),
        ("admin_comment", repeated.clone(), "a comment"),
        (
            "sla_change",
            json!({"old_due_date": "soon", "new_due_date": "later"}),
            "no instants",
        ),
    ];
    let sql = TestSql::start().await;
    let trigger =
        json!({"origin": "trigger", "comment": "Status changed from open to resolved", "activities": 2});
    let client = json!({"origin": "client", "comment": "By the dashboard", "activities": 2});
    for (kind, metadata, why) in cases {
        let ticket = sql.quiet_ticket(json!({})).await;
        sql.run("update tickets set status = 'resolved'").await;
        sql.run(&report(ticket, kind, &metadata)).await;
        assert_eq!(heard(&sql).await, json!([trigger, client]), "{why}");
        sql.run("delete from tickets").await;
    }

    let other = sql.ticket(json!({})).await;
    let ticket = sql.quiet_ticket(json!({})).await;
    sql.run(&format!(
        "update tickets set status = 'resolved' where id = '{ticket}'"
    ))
    .await;
    sql.run(&report(other, "status_change", &repeated)).await;
    assert_eq!(heard(&sql).await, json!([trigger, client]), "another ticket");
}

#[tokio::test]
async fn a_repetition_counts_for_sixty_seconds() {
    let metadata = json!({"old_status": "open", "new_status": "resolved"});
    let sql = TestSql::start().await;
    for (age, entries) in [("59 s", 1), ("61 s", 2)] {
        let ticket = sql.quiet_ticket(json!({})).await;
        sql.run("update tickets set status = 'resolved'").await;
        sql.run(&format!(
            "update ticket_activities set created_at = created_at - interval '{age}'"
        ))
        .await;
        sql.run(&report(ticket, "status_change", &metadata)).await;
        assert_eq!(heard(&sql).await.as_array().unwrap().len(), entries, "{age}");
        sql.run("delete from tickets").await;
    }
}

#[tokio::test]
async fn each_of_the_trigger_s_rows_is_superseded_once_and_oldest_first() {
    let sql = TestSql::start().await;
    let ticket = sql.quiet_ticket(json!({})).await;
    for status in ["resolved", "open", "resolved"] {
        sql.run(&format!("update tickets set status = '{status}'")).await;
    }
    let metadata = json!({"old_status": "open", "new_status": "resolved"});
    let origins = async || {
        let entries = heard(&sql).await;
        entries
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["origin"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut seen = Vec::new();
    for _ in 0..3 {
        sql.run(&report(ticket, "status_change", &metadata)).await;
        seen.push(origins().await);
    }
    assert_eq!(
        seen,
        [
            vec!["client", "trigger", "trigger"],
            vec!["client", "trigger", "client"],
            vec!["client", "trigger", "client", "client"],
        ]
    );
}

#[tokio::test]
async fn a_repetition_that_is_rolled_back_leaves_the_trigger_s_row() {
    let sql = TestSql::start().await;
    let ticket = sql.quiet_ticket(json!({})).await;
    sql.run("update tickets set status = 'resolved'").await;
    let before = heard(&sql).await;
    let repeat = report(
        ticket,
        "status_change",
        &json!({"old_status": "open", "new_status": "resolved"}),
    );
    sql.run(&format!("begin; {repeat}; rollback")).await;
    assert_eq!(heard(&sql).await, before);
}

#[tokio::test]
async fn make_hears_a_change_once_with_the_dashboard_s_words_and_author() {
    let app = TestApp::start().await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    let ticket = app
        .create_ticket(&json!({"category": "Plumbing", "priority": "low"}))
        .await;
    app.drain_all().await;
    sink.clear();
    let change = |old: &str, new: &str| {
        let metadata = json!({"old_status": old, "new_status": new});
        (
            format!("update tickets set status = '{new}'"),
            report(ticket, "status_change", &metadata),
        )
    };

    // Reported before the trigger's entry is sent, and after it.
    let (update, repeat) = change("open", "in-progress");
    app.db
        .batch_execute(&format!("{update}; {repeat}"))
        .await
        .unwrap();
    app.drain_all().await;
    let (update, repeat) = change("in-progress", "resolved");
    app.db.batch_execute(&update).await.unwrap();
    app.drain_all().await;
    app.db.batch_execute(&repeat).await.unwrap();
    assert_eq!(app.drain().await["message"], "No pending entries");

    let heard: Vec<_> = sink
        .received()
        .iter()
        .map(|webhook| {
            let activity = &webhook.body["latest_activity"];
            json!([
                webhook.body["status"],
                activity["comment"],
                activity["created_by"]
            ])
        })
        .collect();
    assert_eq!(
        heard,
        [
            json!(["in-progress", "By the dashboard", {"id": ADA, "name": "Ada Admin"}]),
            json!(["resolved", "Status changed from in-progress to resolved", null]),
        ]
    );
    app.stop().await;
}
