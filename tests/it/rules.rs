//! The rules: which run, in what order, when they hold, what they do, and what is logged.

mod actions;
mod assign;
mod business_hours;
mod conditions;
mod delayed;
mod events;
mod explain;
mod model;
mod plain;
mod regex;
mod sla;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestSql;
use crate::support::app::TENANT;

/// The action that sets a priority.
fn set_priority(priority: &str) -> Value {
    json!({"action_type": "set_priority", "action_params": {"priority": priority}})
}

/// The action that sets the due dates, with these parameters.
fn set_due_date(params: &Value) -> Value {
    json!({"action_type": "set_due_date", "action_params": params})
}

/// The condition that the category is one of these.
fn category(value: &[&str]) -> Value {
    json!({"field_path": "category", "operator": "equals", "value": value})
}

impl TestSql {
    /// A rule of the tenant with its conditions and actions.
    async fn rule(&self, columns: Value, conditions: &[Value], actions: &[Value]) -> Uuid {
        let mut rule = json!({"tenant_id": TENANT, "rule_name": "Rule", "rule_type": "priority"});
        rule.as_object_mut()
            .unwrap()
            .extend(columns.as_object().unwrap().clone());
        let rule = self.insert("rules", rule).await;
        for (table, order, parts) in [
            ("conditions", "sequence", conditions),
            ("actions", "step_order", actions),
        ] {
            for (part, position) in parts.iter().zip(1..) {
                let mut row = json!({"rule_id": rule, "tenant_id": TENANT, order: position});
                row.as_object_mut()
                    .unwrap()
                    .extend(part.as_object().unwrap().clone());
                self.insert(table, row).await;
            }
        }
        rule
    }

    /// How a rule ended for the only ticket, as its one log row says; `absent` without one.
    async fn outcome(&self, rule: Uuid) -> String {
        self.value(&format!(
            "select coalesce(string_agg(execution_status, ' '), 'absent') from rule_execution_logs where rule_id = '{rule}'"
        ))
        .await
        .unwrap()
    }

    /// The priorities that the tickets went through.
    async fn priorities(&self) -> Value {
        let changes = "select a.metadata ->> 'new_priority' as priority from ticket_activities a
                         join ticket_webhook_queue q on q.activity_id = a.id where a.activity_type = 'priority_change'
                        order by q.seq";
        self.rows(changes)
            .await
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["priority"].clone())
            .collect()
    }
}

#[tokio::test]
async fn rules_run_by_type_and_inside_a_type_by_priority_order() {
    let sql = TestSql::start().await;
    for (kind, order, priority) in [
        ("allocation", 1, "medium"),
        ("sla", 1, "critical"),
        ("priority", 2, "low"),
        ("priority", 1, "high"),
    ] {
        sql.rule(
            json!({"rule_type": kind, "priority_order": order}),
            &[],
            &[set_priority(priority)],
        )
        .await;
    }
    sql.ticket(json!({})).await;
    assert_eq!(
        sql.priorities().await,
        json!(["high", "low", "critical", "medium"])
    );
}

#[tokio::test]
async fn the_actions_of_a_rule_run_by_step() {
    let sql = TestSql::start().await;
    let mut actions = [
        set_priority("low"),
        set_priority("critical"),
        set_priority("high"),
    ];
    for (action, step) in actions.iter_mut().zip([2, 3, 1]) {
        action["step_order"] = json!(step);
    }
    sql.rule(json!({}), &[], &actions).await;
    sql.ticket(json!({})).await;
    assert_eq!(sql.priorities().await, json!(["high", "low", "critical"]));
}

#[tokio::test]
async fn a_match_that_stops_ends_its_own_type_only() {
    let sql = TestSql::start().await;
    let rules = [
        ("priority", 1, "critical", category(&["HVAC"]), "absent"), // stops, but does not match
        ("priority", 2, "low", category(&["Plumbing"]), "success"),
        ("priority", 3, "critical", category(&["Plumbing"]), "absent"),
        ("sla", 1, "high", category(&["Plumbing"]), "success"),
        ("sla", 2, "critical", category(&["Plumbing"]), "absent"),
        ("allocation", 1, "medium", category(&["Plumbing"]), "success"),
    ];
    let mut outcomes = Vec::new();
    for (kind, order, priority, condition, outcome) in rules {
        let columns = json!({"rule_type": kind, "priority_order": order, "stop_on_match": true});
        outcomes.push((
            sql.rule(columns, &[condition], &[set_priority(priority)]).await,
            outcome,
        ));
    }
    sql.ticket(json!({})).await;
    assert_eq!(sql.priorities().await, json!(["low", "high", "medium"]));
    for (rule, outcome) in outcomes {
        assert_eq!(sql.outcome(rule).await, outcome);
    }
}

#[tokio::test]
async fn later_rules_see_what_earlier_ones_did() {
    let sql = TestSql::start().await;
    let when =
        |field: &str, value: &str| json!({"field_path": field, "operator": "equals", "value": [value]});
    sql.rule(
        json!({"priority_order": 1}),
        &[when("priority", "medium")],
        &[set_priority("high")],
    )
    .await;
    sql.rule(
        json!({"priority_order": 2}),
        &[when("priority", "high")],
        &[set_priority("critical")],
    )
    .await;
    let due = set_due_date(&json!({"value": 4}));
    let urgent = sql
        .rule(
            json!({"rule_type": "sla"}),
            &[when("priority", "critical")],
            std::slice::from_ref(&due),
        )
        .await;
    let relaxed = sql
        .rule(json!({"rule_type": "sla"}), &[when("priority", "medium")], &[due])
        .await;
    sql.ticket(json!({})).await;
    assert_eq!(sql.priorities().await, json!(["high", "critical"]));
    assert_eq!(
        (sql.outcome(urgent).await, sql.outcome(relaxed).await),
        ("success".into(), "absent".into())
    );
}

#[tokio::test]
async fn a_due_date_is_so_many_hours_from_now() {
    let sql = TestSql::start().await;
    for (params, hours) in [
        (json!({"calculation": "hours_from_now", "value": 24}), "24"),
        (json!({"value": 1.5}), "1.5"),
        (json!({"value": -2}), "-2"),
    ] {
        let rule = sql.rule(json!({}), &[], &[set_due_date(&params)]).await;
        sql.ticket(json!({})).await;
        let due = format!(
            "select due_date = created_at + {hours} * interval '1 hour' as due, due_date = sla_due_date as both from tickets"
        );
        assert_eq!(
            sql.rows(&due).await,
            json!([{"due": true, "both": true}]),
            "{params}"
        );
        assert_eq!(
            sql.value("select count(*)::text from ticket_activities")
                .await
                .unwrap(),
            "1",
            "one change"
        );
        assert_eq!(
            sql.rows("select actions_executed as done from rule_execution_logs")
                .await,
            json!([{"done": [{"action": "set_due_date", "params": params}]}])
        );
        sql.run(&format!(
            "delete from tickets; delete from rules where id = '{rule}'"
        ))
        .await;
    }
}

#[tokio::test]
async fn a_due_date_in_no_number_of_hours_is_skipped() {
    let sql = TestSql::start().await;
    for params in [
        json!({"value": 0}),
        json!({"value": "24"}),
        json!({"value": null}),
        json!({}),
    ] {
        let rule = sql.rule(json!({}), &[], &[set_due_date(&params)]).await;
        sql.ticket(json!({})).await;
        assert_eq!(
            sql.rows(
                "select t.due_date, t.sla_due_date, l.execution_status as status, l.actions_executed as done
                   from tickets t join rule_execution_logs l on l.ticket_id = t.id"
            )
            .await,
            json!([{"due_date": null, "sla_due_date": null, "status": "success",
                    "done": [{"action": "set_due_date", "skipped": true}]}]),
            "{params}"
        );
        sql.run(&format!(
            "delete from tickets; delete from rules where id = '{rule}'"
        ))
        .await;
    }
}

#[tokio::test]
async fn a_rule_that_fails_undoes_its_own_effects_and_never_fails_the_ticket() {
    let due = set_due_date(&json!({"value": 24}));
    let action = |kind: &str, params: Value| json!({"action_type": kind, "action_params": params});
    let cases = [
        (
            set_priority("urgent"),
            "set_priority to urgent : priority must be critical, high, medium or low",
        ),
        (
            action("set_priority", json!({})),
            "set_priority to (none) : priority must be critical, high, medium or low",
        ),
        (
            action("set_status", json!({"status": "done"})),
            "set_status to done : status must be open, in-progress, resolved or closed",
        ),
        (
            action("assign_executor", json!({"strategy": "astrology"})),
            "assign_executor strategy astrology is not supported",
        ),
        (
            action(
                "assign_executor",
                json!({"strategy": "specific_executor", "executor_id": "Mike"}),
            ),
            "invalid input syntax for type uuid: \"Mike\"",
        ),
        (set_due_date(&json!({"value": 1e30})), "interval out of range"),
        (
            json!({"action_type": "set_priority", "action_params": {"priority": "high"}, "action_condition": "status ~ open"}),
            "action_condition cannot be read: after \"status\" there is no operator",
        ),
        (
            action("set_status", json!({"status": "closed"})),
            "new row for relation \"tickets\" violates check constraint \"never_closed\"",
        ),
    ];
    let sql = TestSql::start().await;
    sql.run("alter table tickets add constraint never_closed check (status <> 'closed')")
        .await;
    for (action, error) in cases {
        let stops = json!({"priority_order": 2, "stop_on_match": true});
        sql.rule(json!({"priority_order": 1}), &[], &[set_priority("low")])
            .await;
        let failing = sql.rule(stops, &[], &[due.clone(), action]).await;
        sql.rule(json!({"priority_order": 3}), &[], &[set_priority("high")])
            .await;
        sql.ticket(json!({})).await;

        assert_eq!(
            sql.priorities().await,
            json!(["low", "high"]),
            "the others ran: {error}"
        );
        assert_eq!(
            sql.rows("select due_date from tickets").await,
            json!([{"due_date": null}]),
            "{error}"
        );
        let logged = format!(
            "select execution_status as status, error_message as error, matched_conditions as matched,
                    actions_executed as done from rule_execution_logs where rule_id = '{failing}'"
        );
        assert_eq!(
            sql.rows(&logged).await,
            json!([{"status": "failed", "error": error, "matched": null, "done": null}])
        );
        assert_eq!(
            sql.value("select count(*)::text from ticket_webhook_queue")
                .await
                .unwrap(),
            "3",
            "{error}"
        );
        sql.run("delete from tickets; delete from rules").await;
    }
}

#[tokio::test]
async fn a_log_row_says_what_matched_and_what_was_done() {
    let sql = TestSql::start().await;
    let ticket_category = category(&["plumbing"]);
    let actions = [set_priority("high"), set_due_date(&json!({"value": 0}))];
    let matching = sql.rule(json!({}), &[ticket_category], &actions).await;
    sql.rule(
        json!({"rule_type": "sla"}),
        &[category(&["HVAC"])],
        &[set_priority("low")],
    )
    .await;
    let ticket = sql.ticket(json!({})).await;
    let condition = format!("select * from conditions where rule_id = '{matching}'");
    let condition = sql.rows(&condition).await[0].clone();

    let logs =
        "select rule_id, ticket_id, execution_status, matched_conditions, actions_executed, error_message,
                       execution_time_ms >= 0 as timed, l.created_at is not null as dated
                  from rule_execution_logs l join rules r on r.id = l.rule_id order by r.rule_type";
    assert_eq!(
        sql.rows(logs).await,
        json!([
            {
                "rule_id": matching, "ticket_id": ticket, "execution_status": "success",
                "matched_conditions": {condition["id"].as_str().unwrap(): {"condition": condition, "result": true}},
                "actions_executed": [
                    {"action": "set_priority", "params": {"priority": "high"}},
                    {"action": "set_due_date", "skipped": true}
                ],
                "error_message": null, "timed": true, "dated": true
            },
        ])
    );
}

#[tokio::test]
async fn only_active_rules_of_the_ticket_s_tenant_for_creation_run() {
    let sql = TestSql::start().await;
    let other = sql
        .insert("tenants", json!({"name": "Other", "email": "other@example.com"}))
        .await;
    for columns in [
        json!({"is_active": false}),
        json!({"tenant_id": other}),
        json!({"tenant_id": null}),
        json!({"trigger_event": "on_update"}),
        json!({"trigger_event": "on_status_change"}),
        json!({"trigger_event": "on_manual"}),
    ] {
        sql.rule(columns, &[], &[set_priority("critical")]).await;
    }
    sql.ticket(json!({})).await;
    sql.rule(json!({}), &[], &[set_priority("critical")]).await;
    sql.ticket(json!({"tenant_id": null})).await;
    assert_eq!(
        sql.rows("select distinct priority from tickets").await,
        json!([{"priority": "medium"}])
    );
    assert_eq!(
        sql.value("select count(*)::text from rule_execution_logs")
            .await
            .unwrap(),
        "0"
    );
}

#[tokio::test]
async fn a_rule_that_is_being_deleted_does_not_fail_the_ticket() {
    let sql = TestSql::start().await;
    sql.rule(json!({}), &[], &[set_priority("high")]).await;
    let (deleter, creator) = (sql.connect().await, sql.connect().await);
    deleter.batch_execute("begin; delete from rules").await.unwrap();
    let insert = format!(
        "insert into tickets (title, description, category, priority, type, location, tenant_id)
         values ('Leak', 'Leak', 'Plumbing', 'low', 'Maintenance', 'Hall', '{TENANT}')"
    );
    let creating = tokio::spawn(async move { creator.batch_execute(&insert).await });
    sql.database.wait_for_lock().await;
    deleter.batch_execute("commit").await.unwrap();
    creating.await.unwrap().unwrap();
    // As if it had gone before.
    assert_eq!(
        sql.rows("select priority from tickets").await,
        json!([{"priority": "low"}])
    );
    assert_eq!(
        sql.value("select count(*)::text from rule_execution_logs")
            .await
            .unwrap(),
        "0"
    );
}

#[tokio::test]
async fn rules_that_are_skipped_are_logged_where_a_setting_asks_for_it() {
    let sql = TestSql::start().await;
    sql.run("update dropwire.settings set log_skipped_rules = true")
        .await;
    let stops = json!({"stop_on_match": true, "priority_order": 2});
    let other = sql
        .rule(json!({"priority_order": 1}), &[category(&["HVAC"])], &[])
        .await;
    let matching = sql.rule(stops, &[category(&["Plumbing"])], &[]).await;
    let behind = sql.rule(json!({"priority_order": 3}), &[], &[]).await;
    let used_up = json!({"rule_type": "sla", "max_executions": 0});
    let used_up = sql.rule(used_up, &[], &[]).await;
    sql.ticket(json!({})).await;
    for (rule, outcome) in [
        (other, "skipped"),
        (matching, "success"),
        (behind, "absent"),
        (used_up, "skipped"),
    ] {
        assert_eq!(sql.outcome(rule).await, outcome);
    }
}

#[tokio::test]
async fn a_rule_runs_as_often_for_a_ticket_as_it_may() {
    let sql = TestSql::start().await;
    let twice = json!({"trigger_event": "on_update", "max_executions": 2});
    let rule = sql.rule(twice, &[], &[]).await;
    let ticket = sql.ticket(json!({})).await;
    for n in 0..4 {
        sql.run(&format!(
            "update tickets set title = 'Leak {n}' where id = '{ticket}'"
        ))
        .await;
    }
    assert_eq!(sql.outcome(rule).await, "success success");
    sql.ticket(json!({})).await;
    sql.run("update tickets set title = 'Both'").await;
    assert_eq!(
        sql.outcome(rule).await,
        "success success success",
        "counted per ticket"
    );
}

#[tokio::test]
async fn what_is_edited_counts_from_the_next_ticket_on() {
    let sql = TestSql::start().await;
    let rule = sql
        .rule(json!({}), &[category(&["HVAC"])], &[set_priority("high")])
        .await;
    let priority_after = async |change: &str| {
        sql.run(change).await;
        let ticket = sql.ticket(json!({})).await;
        let priority = format!("select priority from tickets where id = '{ticket}'");
        sql.value(&priority).await.unwrap()
    };
    let new_value = "update conditions set value = '{Plumbing}'";
    let new_action = "update actions set action_params = '{\"priority\": \"critical\"}'";
    assert_eq!(priority_after("select").await, "medium");
    assert_eq!(priority_after(new_value).await, "high");
    assert_eq!(priority_after(new_action).await, "critical");
    assert_eq!(
        priority_after("update rules set is_active = false").await,
        "medium"
    );
    assert_eq!(
        priority_after("update rules set is_active = true; delete from actions").await,
        "medium"
    );
    let again = format!(
        "insert into actions (rule_id, action_type, action_params)
         values ('{rule}', 'set_priority', '{{\"priority\": \"low\"}}')"
    );
    assert_eq!(priority_after(&again).await, "low");
    assert_eq!(priority_after("truncate rules cascade").await, "medium");
}
