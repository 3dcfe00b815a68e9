//! Rules on updates: which change is which event, and that rules cannot keep each other going.

use serde_json::{Value, json};

use super::actions::action;
use super::set_priority;
use crate::support::TestSql;
use crate::support::sql::MIKE_PROFILE;

impl TestSql {
    /// A rule of an event.
    async fn on(&self, event: &str, conditions: &[Value], actions: &[Value]) -> uuid::Uuid {
        self.rule(json!({"trigger_event": event}), conditions, actions)
            .await
    }
}

fn is(field: &str, value: &str) -> Value {
    json!({"field_path": field, "operator": "equals", "value": [value]})
}

#[tokio::test]
async fn a_change_of_status_or_assignee_is_one_event_and_any_other_is_another() {
    let sql = TestSql::start().await;
    sql.ticket(json!({"category": "HVAC"})).await;
    sql.run("alter table tickets add column extra text").await;
    let on_status = sql.on("on_status_change", &[], &[]).await;
    let on_update = sql.on("on_update", &[], &[]).await;
    let on_manual = sql.on("on_manual", &[], &[]).await;
    for (change, status, update) in [
        ("status = 'in-progress'", true, false),
        (
            "executor_profile_id = 'd0000000-0000-4000-8000-0000000000e1'",
            true,
            false,
        ),
        (
            "executor_id = 'd0000000-0000-4000-8000-0000000000a3'",
            true,
            false,
        ),
        ("status = 'resolved', resolved_at = now()", true, false),
        ("priority = 'high'", false, true),
        ("title = 'Flood'", false, true),
        ("category = 'Plumbing'", false, true),
        ("room = '3'", false, true),
        ("due_date = now()", false, true),
        ("extra = 'anything'", false, true),
        ("status = 'open', priority = 'low'", true, true),
        ("priority = 'low', status = status", false, false),
        ("updated_at = now()", false, false),
    ] {
        sql.run(&format!("update tickets set {change}")).await;
        let ran = |happened: bool| if happened { "success" } else { "absent" };
        assert_eq!(
            [
                sql.outcome(on_status).await,
                sql.outcome(on_update).await,
                sql.outcome(on_manual).await
            ],
            [ran(status), ran(update), "absent"],
            "{change}"
        );
        sql.run("delete from rule_execution_logs").await;
    }
}

#[tokio::test]
async fn the_change_is_told_before_what_the_rules_make_of_it() {
    let sql = TestSql::start().await;
    sql.on(
        "on_status_change",
        &[is("status", "in-progress")],
        &[set_priority("high")],
    )
    .await;
    sql.ticket(json!({})).await;
    sql.run("update tickets set status = 'in-progress'").await;
    let kinds = "select string_agg(coalesce(payload ->> 'activity_type', 'creation'), ' ' order by seq) from ticket_webhook_queue";
    assert_eq!(
        sql.value(kinds).await.unwrap(),
        "creation status_change priority_change"
    );
}

#[tokio::test]
async fn what_a_rule_does_is_an_event_for_other_rules() {
    let sql = TestSql::start().await;
    sql.on(
        "on_create",
        &[],
        &[action("set_status", &json!({"status": "in-progress"}))],
    )
    .await;
    sql.on(
        "on_status_change",
        &[is("status", "in-progress")],
        &[set_priority("high")],
    )
    .await;
    let params = json!({"strategy": "specific_executor", "executor_id": MIKE_PROFILE});
    sql.on(
        "on_update",
        &[is("priority", "high")],
        &[action("assign_executor", &params)],
    )
    .await;
    sql.ticket(json!({})).await;
    assert_eq!(
        sql.rows("select status, priority, executor_profile_id as assignee from tickets")
            .await,
        json!([{"status": "in-progress", "priority": "high", "assignee": MIKE_PROFILE}])
    );
}

#[tokio::test]
async fn rules_that_trigger_each_other_run_once_each() {
    let sql = TestSql::start().await;
    let up = sql
        .on("on_update", &[is("priority", "low")], &[set_priority("high")])
        .await;
    let down = sql
        .on("on_update", &[is("priority", "high")], &[set_priority("low")])
        .await;
    let open = action("set_status", &json!({"status": "open"}));
    let close = action("set_status", &json!({"status": "closed"}));
    sql.on("on_status_change", &[is("status", "closed")], &[open])
        .await;
    sql.on("on_status_change", &[is("status", "open")], &[close])
        .await;
    sql.ticket(json!({})).await;
    sql.run("update tickets set priority = 'low', status = 'closed'")
        .await;
    assert_eq!(
        sql.rows("select priority, status from tickets").await,
        json!([{"priority": "low", "status": "closed"}]),
        "up and down, open and closed: each once"
    );
    for rule in [up, down] {
        assert_eq!(sql.outcome(rule).await, "success");
    }
}

#[tokio::test]
async fn delayed_actions_cannot_keep_each_other_going_either() {
    let sql = TestSql::start().await;
    let delayed = |priority: &str| {
        let mut action = set_priority(priority);
        action["trigger_after_minutes"] = json!(1);
        action
    };
    sql.on("on_update", &[is("priority", "low")], &[delayed("high")])
        .await;
    sql.on("on_update", &[is("priority", "high")], &[delayed("low")])
        .await;
    sql.ticket(json!({})).await;
    sql.run("update tickets set priority = 'low'").await;
    let mut rounds = Vec::new();
    for _ in 0..5 {
        sql.run("update dropwire.delayed_actions set due_at = now()")
            .await;
        rounds.push(sql.pass().await);
    }
    assert_eq!(rounds, [1, 1, 0, 0, 0]);
    assert_eq!(sql.value("select priority from tickets").await.unwrap(), "low");
}

#[tokio::test]
async fn rules_on_updates_of_many_tickets_run_for_each() {
    let sql = TestSql::start().await;
    sql.on("on_update", &[is("title", "Flood")], &[set_priority("critical")])
        .await;
    for _ in 0..5 {
        sql.ticket(json!({})).await;
    }
    sql.run("update tickets set title = 'Flood' where ticket_number <> 'TKT-1000'")
        .await;
    let critical = "select count(*)::text from tickets where priority = 'critical'";
    assert_eq!(sql.value(critical).await.unwrap(), "4");
}
