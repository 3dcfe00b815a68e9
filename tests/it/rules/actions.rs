//! Each action: what it changes, what it tells, and what it leaves alone.

use serde_json::{Value, json};

use super::{category, set_due_date, set_priority};
use crate::support::TestSql;
use crate::support::app::TENANT;
use crate::support::sql::{ADA, INA, INA_PROFILE, JOHN, MIKE, MIKE_PROFILE};

/// An action with these parameters.
pub fn action(kind: &str, params: &Value) -> Value {
    json!({"action_type": kind, "action_params": params})
}

impl TestSql {
    /// What the only ticket's activities say, in order, with their metadata.
    pub async fn told(&self) -> Value {
        self.rows(
            "select a.activity_type as kind, a.comment, a.metadata, a.created_by
               from ticket_activities a join ticket_webhook_queue q on q.activity_id = a.id order by q.seq",
        )
        .await
    }
}

#[tokio::test]
async fn every_effect_writes_the_dashboards_activity_and_one_webhook_in_order_after_the_creations() {
    let sql = TestSql::start().await;
    let actions = [
        set_priority("critical"),
        action("set_status", &json!({"status": "in-progress"})),
        set_due_date(&json!({"value": 2})),
        action(
            "assign_executor",
            &json!({"strategy": "specific_executor", "executor_id": MIKE_PROFILE}),
        ),
        set_priority("critical"), // changes nothing
    ];
    sql.rule(json!({}), &[], &actions).await;
    sql.ticket(json!({})).await;
    let due = sql
        .value("select dropwire.iso_instant(due_date) from tickets")
        .await
        .unwrap();
    assert_eq!(
        sql.told().await,
        json!([
            {"kind": "priority_change", "comment": "Priority changed from medium to critical",
             "metadata": {"old_priority": "medium", "new_priority": "critical"}, "created_by": null},
            {"kind": "status_change", "comment": "Status changed from open to in-progress",
             "metadata": {"old_status": "open", "new_status": "in-progress"}, "created_by": null},
            {"kind": "sla_change", "comment": format!("SLA changed from none to {due}"),
             "metadata": {"old_due_date": null, "new_due_date": due}, "created_by": null},
            {"kind": "reassignment", "comment": format!("Ticket assigned to executor {MIKE_PROFILE}"),
             "metadata": {"old_executor_id": null, "new_executor_id": MIKE_PROFILE}, "created_by": null},
        ])
    );
    let queue = "select origin, activity_id is null as creation, payload ->> 'activity_type' as kind
                   from ticket_webhook_queue order by seq";
    assert_eq!(
        sql.rows(queue).await,
        json!([
            {"origin": "creation", "creation": true, "kind": null},
            {"origin": "trigger", "creation": false, "kind": "priority_change"},
            {"origin": "trigger", "creation": false, "kind": "status_change"},
            {"origin": "trigger", "creation": false, "kind": "sla_change"},
            {"origin": "trigger", "creation": false, "kind": "reassignment"},
        ])
    );
    let actor = "select nullif(current_setting('dropwire.actor', true), '')";
    assert_eq!(
        sql.value(actor).await,
        None,
        "what comes after is somebody's again"
    );
}

#[tokio::test]
async fn a_due_date_is_so_many_days_from_now_and_a_day_where_the_calculation_is_unknown() {
    let sql = TestSql::start().await;
    for (params, hours) in [
        (json!({"calculation": "days_from_now", "value": 3}), 72),
        (json!({"calculation": "business_hours_from_now", "value": 5}), 5), // no working days
        (json!({"calculation": "fortnights", "value": 5}), 24),
    ] {
        sql.rule(json!({}), &[], &[set_due_date(&params)]).await;
        sql.ticket(json!({})).await;
        let due = format!(
            "select due_date = created_at + {hours} * interval '1 hour' as due, sla_due_date = due_date as both from tickets"
        );
        assert_eq!(
            sql.rows(&due).await,
            json!([{"due": true, "both": true}]),
            "{params}"
        );
        sql.run("delete from tickets; delete from rules").await;
    }
}

#[tokio::test]
async fn a_status_that_ends_the_work_is_dated() {
    let sql = TestSql::start().await;
    for (status, dated) in [
        ("open", false),
        ("in-progress", false),
        ("resolved", true),
        ("closed", true),
    ] {
        sql.rule(
            json!({}),
            &[],
            &[action("set_status", &json!({"status": status}))],
        )
        .await;
        sql.ticket(json!({})).await;
        assert_eq!(
            sql.rows("select status, resolved_at = now() is not null and resolved_at is not null as dated from tickets")
                .await,
            json!([{"status": status, "dated": dated}])
        );
        sql.run("delete from tickets; delete from rules").await;
    }
}

#[tokio::test]
async fn the_category_becomes_miscellaneous_which_is_created_where_it_is_missing() {
    let sql = TestSql::start().await;
    sql.rule(
        json!({"priority_order": 1}),
        &[],
        &[action("set_category_to_miscellaneous", &json!({}))],
    )
    .await;
    let sees_it = sql
        .rule(json!({"priority_order": 2}), &[category(&["miscellaneous"])], &[])
        .await;
    sql.ticket(json!({})).await;
    assert_eq!(sql.outcome(sees_it).await, "success");
    sql.ticket(json!({})).await;
    let categorised = "select distinct t.category, c.name, c.tenant_id from tickets t join categories c on c.id = t.category_id";
    assert_eq!(
        sql.rows(categorised).await,
        json!([{"category": "Miscellaneous", "name": "Miscellaneous", "tenant_id": TENANT}])
    );
}

#[tokio::test]
async fn an_escalation_raises_the_priority_by_so_many_steps_up_to_critical() {
    let sql = TestSql::start().await;
    for (from, steps, to) in [
        ("low", json!(1), "medium"),
        ("low", json!(2), "high"),
        ("high", json!(5), "critical"),
        ("critical", json!(1), "critical"),
        ("medium", json!(0), "medium"),
        ("medium", json!(null), "high"),
    ] {
        let params = json!({"escalate_to": "admin", "priority_level": steps});
        sql.rule(json!({}), &[], &[action("escalate", &params)]).await;
        sql.ticket(json!({"priority": from})).await;
        assert_eq!(
            sql.value("select priority from tickets").await.unwrap(),
            to,
            "{from} {steps}"
        );
        sql.run("delete from tickets; delete from rules").await;
    }
}

#[tokio::test]
async fn an_escalation_goes_to_the_manager_or_admin_where_they_take_tickets_and_else_tells_them() {
    let sql = TestSql::start().await;
    let escalated = async |target: &str| {
        let params = json!({"escalate_to": target});
        sql.rule(json!({}), &[], &[action("escalate", &params)]).await;
        sql.ticket(json!({"executor_profile_id": MIKE_PROFILE, "executor_id": MIKE}))
            .await;
        let outcome = sql
            .rows(
                "select t.executor_profile_id as assignee, n.type, n.level, n.user_id, n.metadata ->> 'escalate_to' as to
                   from tickets t left join tenant_notifications n on n.metadata ->> 'ticket_id' = t.id::text",
            )
            .await;
        sql.run("delete from tickets; delete from rules; delete from tenant_notifications")
            .await;
        outcome[0].clone()
    };
    let told = |user: &str, to: &str| json!({"assignee": MIKE_PROFILE, "type": "ticket.escalated", "level": "warning", "user_id": user, "to": to});
    let assigned = |profile: &str| json!({"assignee": profile, "type": null, "level": null, "user_id": null, "to": null});

    assert_eq!(escalated("admin").await, told(ADA, "admin"));
    assert_eq!(
        escalated("manager").await,
        told(ADA, "admin"),
        "without a manager the admin"
    );
    sql.run(&format!(
        "update users set manager_id = '{JOHN}' where id = '{MIKE}'"
    ))
    .await;
    assert_eq!(escalated("manager").await, told(JOHN, "manager"));
    sql.run(&format!(
        "update executor_profiles set manager_id = '{INA}' where id = '{MIKE_PROFILE}'"
    ))
    .await;
    assert_eq!(
        escalated("manager").await,
        assigned(INA_PROFILE),
        "the profile's manager first"
    );
    let admins = sql
        .insert("executor_profiles", json!({"tenant_id": TENANT, "user_id": ADA}))
        .await;
    assert_eq!(escalated("admin").await, assigned(&admins.to_string()));
}

#[tokio::test]
async fn a_notice_goes_to_each_recipient_with_the_template_filled_in() {
    let sql = TestSql::start().await;
    let params = json!({
        "recipients": ["complainant", "executor", "ADA@example.com", INA, "admin", "nobody@elsewhere"],
        "template": "{{title}} of {{complainant.full_name}}{{no_such_field}} is {{priority}}"
    });
    sql.rule(json!({}), &[], &[action("notify", &params)]).await;
    let ticket = sql
        .ticket(json!({"executor_profile_id": MIKE_PROFILE, "executor_id": MIKE}))
        .await;
    let notices = "select n.tenant_id, n.type, n.level, n.status, n.title, n.message, n.metadata ->> 'recipient' as recipient,
                          n.user_id, n.metadata ->> 'ticket_id' as ticket
                     from tenant_notifications n order by recipient";
    let notice = |recipient: &str, user: Option<&str>| {
        json!({
        "tenant_id": TENANT, "type": "ticket.rule", "level": "info", "status": "unread", "title": "Ticket TKT-1000",
        "message": "Leak of John Doe is medium", "recipient": recipient, "user_id": user, "ticket": ticket})
    };
    let mut expected = [
        notice("ADA@example.com", Some(ADA)),
        notice("admin", Some(ADA)),
        notice("complainant", Some(JOHN)),
        notice("executor", Some(MIKE)),
        notice(INA, Some(INA)),
        notice("nobody@elsewhere", None),
    ];
    expected.sort_by_key(|notice| notice["recipient"].as_str().unwrap().to_owned());
    let mut stored = sql.rows(notices).await.as_array().unwrap().clone();
    stored.sort_by_key(|notice| notice["recipient"].as_str().unwrap().to_owned());
    assert_eq!(stored, expected);

    sql.run("delete from tickets; delete from rules; delete from tenant_notifications")
        .await;
    sql.rule(json!({}), &[], &[action("notify", &json!({}))]).await;
    sql.ticket(json!({})).await;
    assert_eq!(
        sql.rows("select user_id, message from tenant_notifications")
            .await,
        json!([{"user_id": null, "message": "Leak"}]),
        "without recipient and template: the tenant, with the title"
    );
}

#[tokio::test]
async fn an_action_is_carried_out_where_its_own_condition_holds() {
    let sql = TestSql::start().await;
    for (condition, holds) in [
        ("", true),
        ("always", true),
        ("never", false),
        ("status = open", true),
        ("ticket.status === 'open' && priority !== \"low\"", true),
        ("status is open and priority in (high, critical)", false),
        ("priority in (high, critical) or title starts with le", true),
        ("executor_profile_id is null", true),
        ("due_date is not null", false),
        ("complainant.email ends_with example.com", true),
        ("priority = low or status = open and category = HVAC", false),
        ("title matches '^l.{3}$'", true),
    ] {
        let mut conditional = set_priority("critical");
        conditional["action_condition"] = json!(condition);
        sql.rule(json!({}), &[], &[conditional]).await;
        sql.ticket(json!({})).await;
        let done =
            "select t.priority, l.execution_status as status, l.actions_executed -> 0 -> 'skipped' as skipped
                      from tickets t join rule_execution_logs l on l.ticket_id = t.id";
        let expected = if holds {
            json!([{"priority": "critical", "status": "success", "skipped": null}])
        } else {
            json!([{"priority": "medium", "status": "success", "skipped": true}])
        };
        assert_eq!(sql.rows(done).await, expected, "{condition}");
        sql.run("delete from tickets; delete from rules").await;
    }
}
