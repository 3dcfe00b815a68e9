//! `assign_executor` by `skill_match`: who has the skill, who has room, who has the least to do, who comes at once.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestSql;
use crate::support::app::TENANT;
use crate::support::sql::{INA, INA_PROFILE, MIKE, MIKE_PROFILE};

const HVAC: &str = "d0000000-0000-4000-8000-0000000000c1";
const IT: &str = "d0000000-0000-4000-8000-0000000000c2";
const PLUMBING: &str = "d0000000-0000-4000-8000-0000000000c3";
const SKILL: &str = "d0000000-0000-4000-8000-00000000aaaa";

impl TestSql {
    /// A rule that assigns by skill; `skill_ids` null is left out.
    async fn assigns(&self, skill_ids: Value) -> Uuid {
        let mut params = json!({"strategy": "skill_match"});
        if !skill_ids.is_null() {
            params["skill_ids"] = skill_ids;
        }
        let action = json!({"action_type": "assign_executor", "action_params": params});
        self.rule(json!({"rule_type": "allocation"}), &[], &[action])
            .await
    }

    /// An executor of the tenant with a profile like this.
    async fn executor(&self, profile: Value) -> Uuid {
        let email = format!("{}@example.com", Uuid::new_v4());
        let user = json!({"email": email, "role": "executor", "tenant_id": TENANT});
        let mut row = json!({"tenant_id": TENANT, "user_id": self.insert("users", user).await, "category_id": PLUMBING});
        row.as_object_mut()
            .unwrap()
            .extend(profile.as_object().unwrap().clone());
        self.insert("executor_profiles", row).await
    }

    async fn assignee(&self, ticket: Uuid) -> Option<Uuid> {
        let query = "select executor_profile_id from tickets where id = $1";
        self.owner.query_one(query, &[&ticket]).await.unwrap().get(0)
    }

    /// Executors' open tickets by profile, with both counters.
    async fn loads(&self) -> Value {
        self.rows(
            "select ep.id, count(t.id) as open, ep.assigned_tickets_count as assigned, ep.open_tickets_count as shown
               from executor_profiles ep
               left join tickets t on t.executor_profile_id = ep.id and t.status in ('open', 'in-progress')
              where ep.category_id = 'd0000000-0000-4000-8000-0000000000c3' group by ep.id order by ep.id",
        )
        .await
    }
}

#[tokio::test]
async fn the_executor_with_the_skill_gets_the_ticket() {
    let cases = [
        // (ticket, the rule's skill_ids, Mike's profile, Ina's profile, who)
        (
            "category's name",
            json!({"category": "hvac"}),
            json!(null),
            "",
            "",
            Some((MIKE_PROFILE, MIKE)),
        ),
        (
            "category's id",
            json!({"category": "x", "category_id": IT}),
            json!(null),
            "",
            "",
            Some((INA_PROFILE, INA)),
        ),
        (
            "skill among the rule's",
            json!({}),
            json!(["d0000000-0000-4000-8000-00000000AAAA"]),
            "",
            SKILL,
            Some((INA_PROFILE, INA)),
        ),
        (
            "category id as a skill",
            json!({"category": "x", "category_id": PLUMBING}),
            json!(null),
            PLUMBING,
            "",
            Some((MIKE_PROFILE, MIKE)),
        ),
        (
            "category id among the rule's",
            json!({}),
            json!([HVAC]),
            "",
            "",
            Some((MIKE_PROFILE, MIKE)),
        ),
        (
            "category name among the rule's",
            json!({}),
            json!(["it"]),
            "",
            "",
            Some((INA_PROFILE, INA)),
        ),
        ("nobody", json!({}), json!([SKILL]), "", "", None),
        (
            "no list of skills",
            json!({"category": "IT"}),
            json!("IT"),
            "",
            "",
            Some((INA_PROFILE, INA)),
        ),
    ];
    let sql = TestSql::start().await;
    for (case, ticket, skill_ids, mike, ina, expected) in cases {
        sql.run(&format!(
            "update executor_profiles set skills = '{{{mike}}}' where id = '{MIKE_PROFILE}';
             update executor_profiles set skills = '{{{ina}}}' where id = '{INA_PROFILE}'"
        ))
        .await;
        let rule = sql.assigns(skill_ids.clone()).await;
        sql.ticket(ticket).await;

        let (profile, user) = expected.unzip();
        let assigned = "select executor_profile_id as profile, executor_id as user, status from tickets";
        assert_eq!(
            sql.rows(assigned).await,
            json!([{"profile": profile, "user": user, "status": "open"}]),
            "{case}"
        );
        let done = sql
            .rows(&format!(
                "select actions_executed as done from rule_execution_logs where rule_id = '{rule}'"
            ))
            .await;
        assert_eq!(
            done[0]["done"][0].get("skipped"),
            expected.is_none().then_some(&json!(true)),
            "{case}"
        );
        sql.run("delete from tickets; delete from rules").await;
    }
}

#[tokio::test]
async fn who_is_not_there_is_passed_over() {
    let sql = TestSql::start().await;
    let other = sql
        .insert("tenants", json!({"name": "Other", "email": "other@example.com"}))
        .await;
    let inactive = sql.executor(json!({})).await;
    sql.run(&format!(
        "update users set is_active = false where id = (select user_id from executor_profiles where id = '{inactive}')"
    ))
    .await;
    sql.executor(json!({"availability_status": "busy"})).await;
    sql.executor(json!({"availability_status": "offline"})).await;
    sql.executor(json!({"availability_status": null})).await;
    sql.executor(json!({"user_id": null})).await;
    sql.executor(json!({"tenant_id": other})).await;
    let rule = sql.assigns(json!(null)).await;

    let ticket = sql.ticket(json!({})).await;
    assert_eq!(sql.assignee(ticket).await, None);
    assert_eq!(
        sql.outcome(rule).await,
        "success",
        "that there is nobody is no failure"
    );

    let there = sql.executor(json!({})).await;
    let ticket = sql.ticket(json!({})).await;
    assert_eq!(sql.assignee(ticket).await, Some(there));
}

#[tokio::test]
async fn the_least_loaded_executor_gets_the_ticket_and_closed_tickets_are_no_load() {
    let sql = TestSql::start().await;
    let (busy, idle) = (sql.executor(json!({})).await, sql.executor(json!({})).await);
    for (executor, status, count) in [
        (busy, "open", 1),
        (busy, "in-progress", 1),
        (idle, "resolved", 2),
        (idle, "closed", 2),
    ] {
        for _ in 0..count {
            sql.ticket(json!({"executor_profile_id": executor, "status": status}))
                .await;
        }
    }
    sql.assigns(json!(null)).await;
    let mut assignees = Vec::new();
    for _ in 0..3 {
        let ticket = sql.ticket(json!({})).await;
        assignees.push(sql.assignee(ticket).await.unwrap());
    }
    assert_eq!(
        assignees,
        [idle, idle, busy],
        "of two equally loaded, the one that was assigned fewer so far"
    );
    let shown =
        "select open_tickets_count as open, assigned_tickets_count as assigned from executor_profiles";
    assert_eq!(
        sql.rows(&format!("{shown} where id = '{idle}'")).await,
        json!([{"open": 2, "assigned": 2}])
    );
}

#[tokio::test]
async fn a_full_executor_gets_nothing() {
    let sql = TestSql::start().await;
    sql.assigns(json!(null)).await;
    for (limit, taken) in [(json!(2), 2), (json!(null), 10), (json!(0), 12), (json!(-1), 12)] {
        let executor = sql.executor(json!({"max_concurrent_tickets": limit})).await;
        for _ in 0..12 {
            sql.ticket(json!({})).await;
        }
        assert_eq!(
            sql.loads().await,
            json!([{"id": executor, "open": taken, "assigned": taken, "shown": taken}]),
            "limit {limit}"
        );
        sql.run(&format!(
            "delete from tickets; delete from executor_profiles where id = '{executor}'"
        ))
        .await;
    }
}

#[tokio::test]
async fn a_second_rule_that_assigns_the_same_executor_counts_once() {
    let sql = TestSql::start().await;
    let executor = sql.executor(json!({"max_concurrent_tickets": 1})).await;
    sql.assigns(json!(null)).await;
    sql.assigns(json!(null)).await;
    sql.ticket(json!({})).await;
    assert_eq!(
        sql.loads().await,
        json!([{"id": executor, "open": 1, "assigned": 1, "shown": 1}])
    );
    let reassignments = "select count(*)::text from ticket_activities where activity_type = 'reassignment'";
    assert_eq!(sql.value(reassignments).await.unwrap(), "1");
}

/// Creates tickets over several connections at once.
async fn create_at_once(sql: &TestSql, count: usize) {
    const CONNECTIONS: usize = 16;
    let insert = format!(
        "insert into tickets (title, description, category, priority, type, location, tenant_id)
         values ('Leak', 'Leak', 'Plumbing', 'low', 'Maintenance', 'Hall', '{TENANT}')"
    );
    let mut writers = Vec::new();
    for _ in 0..CONNECTIONS {
        let (client, insert) = (sql.connect().await, insert.clone());
        writers.push(tokio::spawn(async move {
            for _ in 0..count / CONNECTIONS {
                client.batch_execute(&insert).await.unwrap();
            }
        }));
    }
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    let failed = "select count(*)::text from rule_execution_logs where execution_status <> 'success'";
    assert_eq!(sql.value(failed).await.unwrap(), "0");
}

#[tokio::test]
async fn tickets_that_come_at_once_never_overfill_an_executor() {
    let sql = TestSql::start().await;
    let mut expected = Vec::new();
    for limit in [3, 5, 9] {
        let id = sql.executor(json!({"max_concurrent_tickets": limit})).await;
        expected.push((
            id.to_string(),
            json!({"id": id, "open": limit, "assigned": limit, "shown": limit}),
        ));
    }
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    sql.assigns(json!(null)).await;
    create_at_once(&sql, 32).await;
    let expected: Vec<_> = expected.into_iter().map(|(_, load)| load).collect();
    assert_eq!(sql.loads().await, Value::from(expected));
    let unassigned = "select count(*)::text from tickets where executor_profile_id is null";
    assert_eq!(sql.value(unassigned).await.unwrap(), "15");
}

#[tokio::test]
async fn tickets_that_come_at_once_are_spread_evenly() {
    let sql = TestSql::start().await;
    for _ in 0..4 {
        sql.executor(json!({})).await;
    }
    sql.assigns(json!(null)).await;
    create_at_once(&sql, 32).await;
    let loads = sql.loads().await;
    let open: Vec<_> = loads
        .as_array()
        .unwrap()
        .iter()
        .map(|load| load["open"].clone())
        .collect();
    assert_eq!(open, [8, 8, 8, 8]);
}
