//! The dry run: what it says, that it changes nothing, and who may ask.

use serde_json::{Value, json};

use super::{category, set_due_date, set_priority};
use crate::support::TestSql;
use crate::support::app::TENANT;
use crate::support::sql::{ADA, JOHN, MIKE_PROFILE, refusal};

impl TestSql {
    /// What the rules would do to a ticket, asked in a transaction that may not write.
    async fn explain(&self, ticket: &Value, event: &str) -> Value {
        let client = self.connect().await;
        client.batch_execute("begin read only").await.unwrap();
        let query = "select explain_rules($1, $2)";
        client
            .query_one(query, &[ticket, &event])
            .await
            .unwrap_or_else(|error| panic!("{error:?}"))
            .get(0)
    }
}

/// The rules of an explanation: name, whether matched, outcome.
fn outcomes(explanation: &Value) -> Vec<(String, bool, String)> {
    let rules = explanation["rules"].as_array().unwrap();
    rules
        .iter()
        .map(|rule| {
            (
                rule["rule_name"].as_str().unwrap().to_owned(),
                rule["matched"].as_bool().unwrap(),
                rule["outcome"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

#[tokio::test]
async fn it_says_which_rules_match_why_and_what_they_would_do() {
    let sql = TestSql::start().await;
    let named = |name: &str, order: i32| json!({"rule_name": name, "priority_order": order});
    let mut stops = named("Urgent", 1);
    stops["stop_on_match"] = json!(true);
    sql.rule(stops, &[category(&["plumbing"])], &[set_priority("critical")])
        .await;
    sql.rule(named("Behind", 2), &[], &[set_priority("low")]).await;
    let mut due = named("Soon", 1);
    due["rule_type"] = json!("sla");
    let sees = json!({"field_path": "priority", "operator": "equals", "value": ["critical"]});
    sql.rule(due, &[sees], &[set_due_date(&json!({"value": 4}))])
        .await;
    let mut bad = named("Bad", 2);
    bad["rule_type"] = json!("sla");
    sql.rule(bad, &[], &[set_priority("urgent")]).await;
    let mut other = named("Other", 3);
    other["rule_type"] = json!("allocation");
    let regex = json!({"field_path": "title", "operator": "regex", "value": ["(a)\\1"]});
    sql.rule(other, &[category(&["HVAC"]), regex], &[]).await;

    let hypothetical =
        json!({"tenant_id": TENANT, "category": "Plumbing", "priority": "low", "title": "Leak"});
    let explanation = sql.explain(&hypothetical, "on_create").await;
    let outcome = |name: &str, matched: bool, outcome: &str| (name.to_owned(), matched, outcome.to_owned());
    assert_eq!(
        outcomes(&explanation),
        [
            outcome("Urgent", true, "would run"),
            outcome("Behind", true, "stopped"),
            outcome("Soon", true, "would run"),
            outcome("Bad", true, "failed"),
            outcome("Other", false, "not matched"),
        ]
    );
    let rules = &explanation["rules"];
    assert_eq!(
        rules[0]["actions"],
        json!([{"action": "set_priority", "params": {"priority": "critical"}}])
    );
    assert_eq!(
        rules[0]["activities"][0]["comment"],
        "Priority changed from low to critical"
    );
    assert_eq!(
        rules[3]["error"],
        "set_priority to urgent : priority must be critical, high, medium or low"
    );
    let why = |rule: usize, path: &str| -> Value {
        let conditions = rules[rule]["conditions"].as_object().unwrap();
        conditions
            .values()
            .find(|condition| condition["condition"]["field_path"] == path)
            .cloned()
            .unwrap()
    };
    assert_eq!(
        (&why(2, "priority")["result"], &why(2, "priority")["field"]),
        (&json!(true), &json!("critical")),
        "as the rules before it left it"
    );
    assert_eq!(why(4, "category")["field"], "Plumbing");
    assert_eq!(why(4, "title")["problem"], "has a backreference");
    assert_eq!(explanation["before"]["priority"], "low");
    assert_eq!(explanation["after"]["priority"], "critical");
    assert_eq!(
        explanation["after"]["due_date"],
        explanation["after"]["sla_due_date"]
    );
}

#[tokio::test]
async fn it_changes_nothing_and_says_what_then_happens() {
    let sql = TestSql::start().await;
    for action in [
        set_priority("high"),
        json!({"action_type": "set_category_to_miscellaneous"}),
        json!({"action_type": "assign_executor", "action_params": {"strategy": "round_robin", "skill_ids": ["hvac"]}}),
        json!({"action_type": "notify", "action_params": {"recipients": ["complainant"]}}),
        json!({"action_type": "set_status", "action_params": {"status": "closed"}, "trigger_after_minutes": 5}),
    ] {
        sql.rule(json!({"trigger_event": "on_update"}), &[], &[action])
            .await;
    }
    let ticket = sql.ticket(json!({})).await;
    let state = "select (select json_agg(t) from tickets t) as a, (select json_agg(t) from categories t) as b,
                        (select json_agg(t) from dropwire.executor_load t) as c, (select json_agg(t) from executor_profiles t) as d,
                        (select count(*) from tenant_notifications) as e, (select count(*) from ticket_activities) as f,
                        (select count(*) from ticket_webhook_queue) as g, (select count(*) from rule_execution_logs) as h,
                        (select count(*) from dropwire.delayed_actions) as i, (select last_value from dropwire.executor_turn) as j";
    let before = sql.rows(state).await;
    let explanation = sql.explain(&json!(ticket), "on_update").await;
    assert_eq!(sql.rows(state).await, before);
    assert_eq!(explanation["after"]["executor_profile_id"], MIKE_PROFILE);
    assert_eq!(explanation["rules"][3]["notifications"][0]["user_id"], JOHN);
    assert!(explanation["rules"][4]["actions"][0]["due_at"].is_string());

    sql.run("update tickets set title = 'Flood'").await;
    let after = "select priority, category, executor_profile_id from tickets";
    let foretold = &explanation["after"];
    assert_eq!(
        sql.rows(after).await,
        json!([{"priority": foretold["priority"], "category": foretold["category"],
                "executor_profile_id": foretold["executor_profile_id"]}])
    );
}

#[tokio::test]
async fn a_stored_ticket_can_be_explained_with_other_values() {
    let sql = TestSql::with_rules().await;
    let ticket = sql.ticket(json!({"category": "HVAC", "priority": "low"})).await;
    let changed = json!({"id": ticket, "category": "IT"});
    let explanation = sql.explain(&changed, "on_create").await;
    assert_eq!(
        (
            &explanation["before"]["title"],
            &explanation["before"]["category"]
        ),
        (&json!("Leak"), &json!("IT"))
    );
}

#[tokio::test]
async fn only_who_administers_the_tenant_may_ask() {
    let sql = TestSql::with_rules().await;
    let ticket = sql.ticket(json!({})).await;
    let ask = |role: &str, user: &str| {
        format!(
            "begin; set local role {role}; set local request.jwt.claims = '{{\"sub\": \"{user}\", \"role\": \"{role}\"}}';
             select explain_rules('\"{ticket}\"'); commit"
        )
    };
    for (role, user, allowed) in [
        ("authenticated", ADA, true),
        ("service_role", "", true),
        ("authenticated", JOHN, false),
        ("authenticated", "d0000000-0000-4000-8000-0000000000ff", false),
    ] {
        let client = sql.connect().await;
        let asked = client.batch_execute(&ask(role, user)).await;
        assert_eq!(asked.is_ok(), allowed, "{role} {user}: {asked:?}");
    }
    let client = sql.connect().await;
    assert_eq!(refusal(&client, &ask("anon", "")).await, "42501");
    for nonsense in [
        "'\"x\"'",
        "'{}'",
        "'[]'",
        "'{\"tenant_id\": 5}'",
        "'\"d0000000-0000-4000-8000-0000000000ff\"'",
        "'{}', 'on_fire'",
    ] {
        let query = format!("select explain_rules({nonsense})");
        assert_eq!(refusal(&sql.connect().await, &query).await, "P0001", "{nonsense}");
    }
}
