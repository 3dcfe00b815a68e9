//! Actions that wait: run once when they are due, if their condition holds then.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::set_priority;
use crate::support::TestSql;

impl TestSql {
    /// A rule for creation whose one action waits for an hour.
    async fn delays(&self, mut action: Value, condition: &str) -> Uuid {
        action["trigger_after_minutes"] = json!(60);
        action["action_condition"] = json!(condition);
        self.rule(json!({}), &[], &[action]).await
    }

    /// Lets what waits become due.
    async fn hour_passes(&self) {
        self.run("update dropwire.delayed_actions set due_at = due_at - interval '1 hour'")
            .await;
    }

    /// One pass; answers how much it did.
    pub async fn pass(&self) -> i32 {
        let query = "select dropwire.run_due_rules(100)";
        self.owner.query_one(query, &[]).await.unwrap().get(0)
    }

    async fn priority(&self) -> String {
        self.value("select priority from tickets").await.unwrap()
    }
}

#[tokio::test]
async fn a_delayed_action_waits_until_it_is_due_runs_once_and_is_logged() {
    let sql = TestSql::start().await;
    let rule = sql.delays(set_priority("critical"), "").await;
    sql.ticket(json!({})).await;
    let waits = "select d.due_at = t.created_at + interval '1 hour' as due, actions_executed -> 0 ->> 'due_at' is not null as told
                   from dropwire.delayed_actions d, tickets t, rule_execution_logs";
    assert_eq!(sql.rows(waits).await, json!([{"due": true, "told": true}]));
    assert_eq!((sql.pass().await, sql.priority().await), (0, "medium".to_owned()));

    sql.hour_passes().await;
    assert_eq!(
        (sql.pass().await, sql.priority().await),
        (1, "critical".to_owned())
    );
    assert_eq!(sql.pass().await, 0, "once");
    assert_eq!(sql.outcome(rule).await, "success success");
    assert_eq!(sql.told().await[0]["kind"], "priority_change");
    assert_eq!(
        sql.value("select count(*)::text from ticket_webhook_queue")
            .await
            .unwrap(),
        "2"
    );
}

#[tokio::test]
async fn a_delayed_action_runs_only_if_its_condition_still_holds() {
    let sql = TestSql::start().await;
    let rule = sql.delays(set_priority("critical"), "status = open").await;
    sql.ticket(json!({})).await;
    sql.run("update tickets set status = 'resolved'").await;
    sql.hour_passes().await;
    assert_eq!((sql.pass().await, sql.priority().await), (1, "medium".to_owned()));
    assert_eq!(sql.outcome(rule).await, "success skipped");
    sql.run("update tickets set status = 'open'").await;
    assert_eq!(sql.pass().await, 0, "its time has passed");
}

#[tokio::test]
async fn a_delayed_action_that_fails_is_logged_and_not_tried_again() {
    let sql = TestSql::start().await;
    let rule = sql.delays(set_priority("urgent"), "").await;
    sql.ticket(json!({})).await;
    sql.hour_passes().await;
    assert_eq!((sql.pass().await, sql.pass().await), (1, 0));
    assert_eq!(sql.outcome(rule).await, "success failed");
}

#[tokio::test]
async fn a_delayed_action_stays_as_it_was_and_ends_with_its_rule_or_ticket() {
    let sql = TestSql::start().await;
    sql.delays(set_priority("critical"), "").await;
    sql.ticket(json!({})).await;
    sql.run("delete from actions").await; // as the dashboard does when it saves a rule
    sql.hour_passes().await;
    assert_eq!(
        (sql.pass().await, sql.priority().await),
        (1, "critical".to_owned())
    );

    sql.run("delete from tickets; delete from rules").await;
    for end in [
        "update rules set is_active = false",
        "delete from rules",
        "delete from tickets",
    ] {
        sql.delays(set_priority("critical"), "").await;
        sql.ticket(json!({})).await;
        sql.hour_passes().await;
        sql.run(end).await;
        sql.pass().await;
        assert_eq!(
            sql.rows("select priority from tickets where priority <> 'medium'")
                .await,
            json!([]),
            "{end}"
        );
        let left = "select count(*)::text from dropwire.delayed_actions";
        assert_eq!(sql.value(left).await.unwrap(), "0", "{end}");
        sql.run("delete from tickets; delete from rules").await;
    }
}

#[tokio::test]
async fn passes_at_once_carry_each_action_out_once_and_wait_for_nobody() {
    const TICKETS: usize = 40;
    let sql = TestSql::start().await;
    sql.delays(
        json!({"action_type": "notify", "action_params": {"template": "{{ticket_number}}"}}),
        "",
    )
    .await;
    for _ in 0..TICKETS {
        sql.ticket(json!({})).await;
    }
    sql.hour_passes().await;
    // A ticket that somebody is changing waits for a later pass, and holds none up.
    let editor = sql.connect().await;
    editor
        .batch_execute("begin; update tickets set title = 'Edited' where ticket_number = 'TKT-1000'")
        .await
        .unwrap();
    let passes = join_all((0..8).map(|_| sql.connect())).await;
    let pass = async |client: &tokio_postgres::Client| {
        for _ in 0..TICKETS / 4 {
            client
                .query_one("select dropwire.run_due_rules(3)", &[])
                .await
                .unwrap();
        }
    };
    join_all(passes.iter().map(pass)).await;
    let told = "select count(*)::text || ' ' || count(distinct message) from tenant_notifications";
    assert_eq!(sql.value(told).await.unwrap(), "39 39");
    editor.batch_execute("commit").await.unwrap();
    assert_eq!(sql.pass().await, 1);
    assert_eq!(sql.value(told).await.unwrap(), "40 40");
}
