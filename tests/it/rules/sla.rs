//! Due dates: at risk under 24 hours, breached at none, each told once.

use serde_json::{Value, json};

use crate::support::TestSql;
use crate::support::app::TENANT;
use crate::support::sql::{MIKE, MIKE_PROFILE};

impl TestSql {
    /// Lets so many hours pass for the due dates.
    async fn hours_pass(&self, hours: u32) {
        self.run(&format!(
            "alter table tickets disable trigger user;
             update tickets set due_date = due_date - interval '{hours} hours', sla_due_date = sla_due_date - interval '{hours} hours';
             alter table tickets enable trigger user;
             update dropwire.sla_watch set due_at = due_at - interval '{hours} hours', next_at = next_at - interval '{hours} hours'"
        ))
        .await;
    }

    /// The types of all notifications so far, after a pass.
    async fn notified(&self) -> Value {
        self.pass().await;
        self.rows("select coalesce(string_agg(type, ' ' order by created_at), '') as types from tenant_notifications")
            .await[0]["types"]
            .clone()
    }

    async fn due_in(&self, hours: i32) {
        self.run(&format!(
            "update tickets set due_date = now() + interval '{hours} hours', sla_due_date = now() + interval '{hours} hours'"
        ))
        .await;
    }
}

#[tokio::test]
async fn at_risk_and_breached_are_told_once_each() {
    let sql = TestSql::start().await;
    let ticket = sql
        .ticket(json!({"executor_profile_id": MIKE_PROFILE, "executor_id": MIKE}))
        .await;
    assert_eq!(sql.notified().await, "", "no due date, nothing to tell");
    sql.due_in(48).await;
    assert_eq!(sql.notified().await, "");
    sql.hours_pass(25).await;
    assert_eq!(sql.notified().await, "sla.at_risk");
    assert_eq!(sql.notified().await, "sla.at_risk", "once");
    sql.hours_pass(22).await;
    assert_eq!(sql.notified().await, "sla.at_risk");
    sql.hours_pass(2).await;
    assert_eq!(sql.notified().await, "sla.at_risk sla.breached");
    assert_eq!(sql.notified().await, "sla.at_risk sla.breached");

    let due = sql
        .value("select dropwire.iso_instant(due_date) from tickets")
        .await
        .unwrap();
    let notice = "select tenant_id, user_id, type, level, title, message, metadata from tenant_notifications where type = 'sla.breached'";
    assert_eq!(
        sql.rows(notice).await,
        json!([{
            "tenant_id": TENANT, "user_id": MIKE, "type": "sla.breached", "level": "error", "title": "Ticket TKT-1000 is overdue",
            "message": format!("Leak. Due {due}."),
            "metadata": {"ticket_id": ticket, "ticket_number": "TKT-1000", "due_date": due}
        }])
    );
    let breach = "select a.activity_type as kind, a.comment, a.metadata, a.created_by, q.status
                    from ticket_activities a join ticket_webhook_queue q on q.activity_id = a.id order by q.seq desc limit 1";
    assert_eq!(
        sql.rows(breach).await,
        json!([{
            "kind": "sla_change", "comment": format!("SLA breached: was due {due}"), "created_by": null, "status": "pending",
            "metadata": {"sla_status": "breached", "old_due_date": due, "new_due_date": due}
        }]),
        "a breach is an activity, hence a webhook"
    );
    let activities = "select count(*)::text from ticket_activities";
    assert_eq!(
        sql.value(activities).await.unwrap(),
        "2",
        "the change of the date, and the breach"
    );
}

#[tokio::test]
async fn a_ticket_created_with_little_time_is_at_risk_at_once_and_one_without_is_breached_only() {
    let sql = TestSql::start().await;
    sql.ticket(json!({"due_date": "2999-01-01T00:00:00Z"})).await;
    assert_eq!(sql.notified().await, "");
    sql.run("delete from tickets").await;
    let soon = chrono::Utc::now() + chrono::Duration::hours(4);
    sql.ticket(json!({"sla_due_date": soon})).await; // as the original's engine writes it
    assert_eq!(sql.notified().await, "sla.at_risk");
    sql.run("delete from tickets; delete from tenant_notifications")
        .await;
    sql.ticket(json!({"due_date": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(sql.notified().await, "sla.breached");
}

#[tokio::test]
async fn another_due_date_is_another_promise() {
    let sql = TestSql::start().await;
    sql.ticket(json!({})).await;
    sql.due_in(-1).await;
    assert_eq!(sql.notified().await, "sla.breached");
    sql.due_in(48).await;
    assert_eq!(sql.notified().await, "sla.breached");
    sql.hours_pass(30).await;
    assert_eq!(sql.notified().await, "sla.breached sla.at_risk");
    sql.run("update tickets set due_date = null, sla_due_date = null")
        .await;
    sql.hours_pass(30).await;
    assert_eq!(sql.notified().await, "sla.breached sla.at_risk");
}

#[tokio::test]
async fn what_is_done_is_not_late_and_a_reopened_ticket_is_told_of_what_was_not_told() {
    let sql = TestSql::start().await;
    sql.ticket(json!({})).await;
    sql.due_in(12).await;
    assert_eq!(sql.notified().await, "sla.at_risk");
    sql.run("update tickets set status = 'resolved'").await;
    sql.hours_pass(13).await;
    assert_eq!(sql.notified().await, "sla.at_risk");
    sql.run("update tickets set status = 'open'").await;
    assert_eq!(sql.notified().await, "sla.at_risk sla.breached");
    sql.run("update tickets set status = 'closed'; update tickets set status = 'open'")
        .await;
    assert_eq!(sql.notified().await, "sla.at_risk sla.breached", "told is told");
}

#[tokio::test]
async fn a_ticket_of_no_tenant_and_one_that_is_gone_are_nobodys_to_tell_of() {
    let sql = TestSql::start().await;
    sql.ticket(json!({"tenant_id": null, "due_date": "2020-01-01T00:00:00Z"}))
        .await;
    let gone = sql.ticket(json!({"due_date": "2020-01-01T00:00:00Z"})).await;
    sql.run(&format!("delete from tickets where id = '{gone}'")).await;
    assert_eq!(sql.notified().await, "");
    let left = "select count(*)::text from dropwire.sla_watch where next_at is not null";
    assert_eq!(sql.value(left).await.unwrap(), "0");
}
