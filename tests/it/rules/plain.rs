//! Plain rules take a short way (`run_plain_rules`). What it leaves to the long one, in the middle or at the end.

use serde_json::{Value, json};

use super::set_priority;
use crate::support::TestSql;

fn assign() -> Value {
    json!({"action_type": "assign_executor", "action_params": {"strategy": "skill_match"}})
}

impl TestSql {
    /// A database in which nothing but the short way is left.
    async fn with_the_short_way_only() -> Self {
        let sql = Self::start().await;
        sql.run("drop function dropwire.run_rules(uuid, text[]), dropwire.run_one_by_one(tickets, text[], boolean)")
            .await;
        sql
    }

    /// Mike's open tickets and assignments as they are, then as they are counted and shown.
    async fn mikes_load(&self) -> Value {
        self.rows(
            "select count(t.id) filter (where t.status = 'open') as open, l.open_count as counted, ep.open_tickets_count as shown,
                    l.assigned_count as assigned
               from executor_profiles ep
               join dropwire.executor_load l on l.profile_id = ep.id
               left join tickets t on t.executor_profile_id = ep.id
              where ep.id = 'd0000000-0000-4000-8000-0000000000e1' group by ep.id, l.profile_id",
        )
        .await
    }
}

#[tokio::test]
async fn an_executor_who_was_chosen_before_another_rule_took_over_is_counted_once() {
    for (name, action) in [
        (
            "a rule that is not plain",
            json!({"action_type": "notify", "action_params": {"recipients": ["admin"], "template": "Look"}}),
        ),
        ("a second choice", assign()),
        ("a rule that fails", set_priority("urgent")),
    ] {
        let sql = TestSql::start().await;
        let first = json!({"rule_type": "allocation", "priority_order": 1});
        let chosen = sql.rule(first, &[], &[assign()]).await;
        let second = json!({"rule_type": "allocation", "priority_order": 2});
        sql.rule(second, &[], &[action]).await;
        sql.ticket(json!({"category": "HVAC"})).await;

        assert_eq!(sql.outcome(chosen).await, "success", "{name}");
        assert_eq!(
            sql.mikes_load().await,
            json!([{"open": 1, "counted": 1, "shown": 1, "assigned": 1}]),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_load_follows_what_the_rules_of_the_next_event_do() {
    let sql = TestSql::with_the_short_way_only().await;
    let rule = json!({"rule_type": "allocation"});
    sql.rule(rule, &[], &[set_priority("high"), assign()]).await;
    let resolves = json!({"action_type": "set_status", "action_params": {"status": "resolved"}});
    let next = json!({"trigger_event": "on_status_change"});
    let next = sql.rule(next, &[], &[resolves]).await;
    sql.ticket(json!({"category": "HVAC", "priority": "low"})).await;

    assert_eq!(sql.outcome(next).await, "success");
    assert_eq!(
        sql.mikes_load().await,
        json!([{"open": 0, "counted": 0, "shown": 0, "assigned": 1}])
    );
    let told = sql
        .rows(
            "select coalesce(q.payload ->> 'activity_type', q.origin) as told from ticket_webhook_queue q order by seq",
        )
        .await;
    assert_eq!(
        told,
        json!([
            {"told": "creation"}, {"told": "priority_change"}, {"told": "reassignment"}, {"told": "status_change"}
        ])
    );
}

#[tokio::test]
async fn two_rules_that_promise_the_same_hour_are_one_change() {
    let sql = TestSql::with_the_short_way_only().await;
    for order in 1..3 {
        let due = json!({"action_type": "set_due_date", "action_params": {"value": 2}});
        sql.rule(json!({"rule_type": "sla", "priority_order": order}), &[], &[due])
            .await;
    }
    sql.ticket(json!({})).await;
    let left = sql
        .rows(
            "select (select count(*) from ticket_activities) as activities, (select count(*) from rule_execution_logs) as logs,
                    (select extract(epoch from w.due_at - w.next_at)::int / 3600 from dropwire.sla_watch w) as hours_ahead",
        )
        .await;
    assert_eq!(left, json!([{"activities": 1, "logs": 2, "hours_ahead": 24}]));
}
