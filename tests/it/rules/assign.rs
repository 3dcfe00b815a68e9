//! Assignment: who has the skill, who has room, whose turn it is, who is there when nobody else is, who comes at once.

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
    // Those that come at once do not see each other's, and do not wait to.
    let open: Vec<_> = open.iter().map(|open| open.as_i64().unwrap()).collect();
    assert_eq!(open.iter().sum::<i64>(), 32);
    assert!(open.iter().all(|open| (4..=12).contains(open)), "{open:?}");
}

impl TestSql {
    /// A rule that assigns with these parameters.
    async fn assigns_by(&self, params: Value) -> Uuid {
        let action = json!({"action_type": "assign_executor", "action_params": params});
        self.rule(json!({"rule_type": "allocation"}), &[], &[action])
            .await
    }

    /// The assignees of so many new tickets.
    async fn assignees_of(&self, count: usize) -> Vec<Option<Uuid>> {
        let mut assignees = Vec::new();
        for _ in 0..count {
            let ticket = self.ticket(json!({})).await;
            assignees.push(self.assignee(ticket).await);
        }
        assignees
    }
}

#[tokio::test]
async fn load_balance_is_what_no_strategy_means_and_asks_for_the_skill_too() {
    let sql = TestSql::start().await;
    for params in [json!({"strategy": "load_balance"}), json!({})] {
        sql.assigns_by(params).await;
        assert_eq!(
            sql.assignees_of(1).await,
            [None],
            "neither Mike nor Ina does plumbing"
        );
        let (one, two) = (sql.executor(json!({})).await, sql.executor(json!({})).await);
        let mut assignees = sql.assignees_of(4).await;
        assignees.sort();
        let mut expected = [Some(one), Some(one), Some(two), Some(two)];
        expected.sort();
        assert_eq!(assignees, expected);
        sql.run(&format!(
            "delete from tickets; delete from rules; delete from executor_profiles where id in ('{one}', '{two}')"
        ))
        .await;
    }
}

#[tokio::test]
async fn round_robin_goes_round_whatever_the_loads_and_passes_over_who_has_no_room() {
    let sql = TestSql::start().await;
    let mut executors = Vec::new();
    for limit in [0, 2, 0] {
        executors.push(sql.executor(json!({"max_concurrent_tickets": limit})).await);
    }
    sql.assigns_by(json!({"strategy": "round_robin"})).await;
    for _ in 0..3 {
        sql.ticket(json!({"executor_profile_id": executors[0], "category": "x"}))
            .await;
    }
    // Those three were assigned anew by the rule where it could; nobody does x, so they stay with the first.
    let round = sql.assignees_of(3).await;
    let mut everybody: Vec<_> = executors.iter().copied().map(Some).collect();
    everybody.sort();
    let mut sorted = round.clone();
    sorted.sort();
    assert_eq!(sorted, everybody, "each once");
    assert_eq!(sql.assignees_of(3).await, round, "and again in the same order");
    let limited = Some(executors[1]);
    let without: Vec<_> = round.iter().copied().filter(|one| *one != limited).collect();
    assert_eq!(
        sql.assignees_of(4).await,
        [without.clone(), without].concat(),
        "the second has two"
    );
}

#[tokio::test]
async fn a_specific_executor_gets_the_ticket_whatever_his_skills_if_he_is_there_and_has_room() {
    let sql = TestSql::start().await;
    sql.assigns_by(json!({"strategy": "specific_executor", "executor_id": MIKE_PROFILE}))
        .await;
    let mike = Some(MIKE_PROFILE.parse().unwrap());
    assert_eq!(sql.assignees_of(1).await, [mike]);
    for change in [
        "update executor_profiles set max_concurrent_tickets = 1",
        "update executor_profiles set max_concurrent_tickets = 0, availability_status = 'busy'",
        "update executor_profiles set availability_status = 'available'; update users set is_active = false",
    ] {
        sql.run(change).await;
        assert_eq!(sql.assignees_of(1).await, [None], "{change}");
    }
    sql.run("update users set is_active = true").await;
    assert_eq!(sql.assignees_of(1).await, [mike]);
}

#[tokio::test]
async fn the_default_executor_gets_what_nobody_has_whatever_his_load() {
    let sql = TestSql::start().await;
    let default = sql
        .executor(json!({"is_default_executor": true, "max_concurrent_tickets": 1, "category_id": HVAC}))
        .await;
    assert_eq!(
        sql.assignees_of(2).await,
        [Some(default), Some(default)],
        "without any rule"
    );
    let rule = sql.assigns_by(json!({})).await;
    assert_eq!(sql.assignees_of(1).await, [Some(default)]);
    assert_eq!(
        sql.outcome(rule).await,
        "success",
        "the rule ran and found nobody"
    );
    let skilled = sql.executor(json!({})).await;
    assert_eq!(sql.assignees_of(1).await, [Some(skilled)]);

    // Whom a client has assigned stays, and nobody is given what is done already.
    let kept = sql.ticket(json!({"executor_id": INA, "category": "x"})).await;
    assert_eq!(sql.assignee(kept).await, None);
    let done = sql.ticket(json!({"status": "closed", "category": "x"})).await;
    assert_eq!(sql.assignee(done).await, None);
    for away in [
        "update executor_profiles set availability_status = 'offline' where is_default_executor",
        "update executor_profiles set availability_status = 'available', is_default_executor = false",
    ] {
        sql.run(away).await;
        let ticket = sql.ticket(json!({"category": "x"})).await;
        assert_eq!(sql.assignee(ticket).await, None, "{away}");
    }
}

#[tokio::test]
async fn an_action_assigns_the_default_executor_over_whoever_has_the_ticket() {
    let sql = TestSql::start().await;
    let default = sql.executor(json!({"is_default_executor": true})).await;
    let action = json!({"action_type": "assign_to_default_admin"});
    sql.rule(json!({}), &[], &[action]).await;
    let ticket = sql.ticket(json!({"executor_profile_id": MIKE_PROFILE})).await;
    assert_eq!(sql.assignee(ticket).await, Some(default));
    sql.run("update executor_profiles set is_default_executor = false")
        .await;
    let ticket = sql.ticket(json!({"executor_profile_id": MIKE_PROFILE})).await;
    assert_eq!(sql.assignee(ticket).await.unwrap().to_string(), MIKE_PROFILE);
}

#[tokio::test]
async fn loads_follow_every_way_in_which_a_ticket_changes_hands() {
    let sql = TestSql::start().await;
    let load = async |profile: &str| -> (i64, i64) {
        let row = sql
            .owner
            .query_one(
                "select l.open_count::bigint + coalesce((select sum(c.open_change) from dropwire.executor_load_changes c
                                                   where c.profile_id = l.profile_id), 0)::bigint,
                        (select open_tickets_count from executor_profiles where id = l.profile_id)::bigint
                   from dropwire.executor_load l where l.profile_id = $1::text::uuid",
                &[&profile],
            )
            .await
            .unwrap();
        (row.get(0), row.get(1))
    };
    let steps = [
        ("insert into tickets (id, title, description, category, priority, type, location, tenant_id, executor_profile_id)
          select gen_random_uuid(), 'a', 'a', 'a', 'low', 'a', 'a', 'd0000000-0000-4000-8000-000000000001',
                 'd0000000-0000-4000-8000-0000000000e1' from generate_series(1, 5)", 5, 0),
        ("update tickets set status = 'in-progress'", 5, 0),
        ("update tickets set status = 'resolved' where id in (select id from tickets limit 2)", 3, 0),
        ("update tickets set status = 'closed' where status = 'resolved'", 3, 0),
        ("update tickets set executor_profile_id = 'd0000000-0000-4000-8000-0000000000e2'", 0, 3),
        ("update tickets set status = 'open' where status = 'closed'", 0, 5),
        ("update tickets set executor_profile_id = null where id in (select id from tickets limit 1)", 0, 4),
        ("begin; delete from tickets; rollback", 0, 4),
        ("delete from tickets where id in (select id from tickets where executor_profile_id is not null limit 1)", 0, 3),
        ("truncate tickets cascade", 0, 0),
    ];
    for (statement, mike, ina) in steps {
        sql.run(statement).await;
        assert_eq!(load(MIKE_PROFILE).await, (mike, mike), "{statement}");
        assert_eq!(load(INA_PROFILE).await, (ina, ina), "{statement}");
    }
}

#[tokio::test]
async fn a_counter_that_somebody_holds_is_waited_for_by_nobody_and_caught_up_with() {
    let sql = TestSql::start().await;
    let executor = sql.executor(json!({"max_concurrent_tickets": 3})).await;
    let holder = sql.connect().await;
    holder
        .batch_execute(
            "begin; select from dropwire.executor_load for no key update;
             select from executor_profiles for no key update",
        )
        .await
        .unwrap();
    for _ in 0..2 {
        sql.ticket(json!({"executor_profile_id": executor})).await;
    }
    holder.batch_execute("commit").await.unwrap();

    sql.assigns_by(json!({})).await;
    let assignees = sql.assignees_of(2).await;
    assert_eq!(
        assignees,
        [Some(executor), None],
        "the two that waited to be counted count"
    );
    sql.run("select dropwire.run_due_rules(10)").await;
    assert_eq!(
        sql.loads().await,
        json!([{"id": executor, "open": 3, "assigned": 1, "shown": 3}])
    );
    let waiting = "select count(*)::text from dropwire.executor_load_changes";
    assert_eq!(sql.value(waiting).await.unwrap(), "0");
}

/// 64 sessions at once for 8 executors with room for 5: 40 tickets go to them, the rest to the default executor.
#[tokio::test]
async fn sixty_four_sessions_fill_eight_executors_and_the_default_one_gets_the_rest() {
    let sql = TestSql::start().await;
    let mut eight = Vec::new();
    for _ in 0..8 {
        eight.push(sql.executor(json!({"max_concurrent_tickets": 5})).await);
    }
    let default = json!({"is_default_executor": true, "category_id": HVAC, "max_concurrent_tickets": 1});
    let default = sql.executor(default).await;
    sql.assigns_by(json!({"strategy": "load_balance"})).await;

    let insert = format!(
        "insert into tickets (title, description, category, priority, type, location, tenant_id)
         values ('Leak', 'Leak', 'Plumbing', 'low', 'Maintenance', 'Hall', '{TENANT}')"
    );
    let sessions = join_all((0..64).map(|_| sql.connect())).await;
    let inserts = sessions.iter().map(|session| session.batch_execute(&insert));
    for inserted in join_all(inserts).await {
        inserted.unwrap();
    }

    let counts =
        "select coalesce(executor_profile_id::text, 'nobody') as who, count(*) from tickets group by 1";
    let counts: std::collections::HashMap<String, i64> = sql
        .rows(counts)
        .await
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["who"].as_str().unwrap().to_owned(),
                row["count"].as_i64().unwrap(),
            )
        })
        .collect();
    for executor in eight {
        assert_eq!(counts[&executor.to_string()], 5, "{counts:?}");
    }
    assert_eq!(counts[&default.to_string()], 24, "{counts:?}");
    let failed = "select count(*)::text from rule_execution_logs where execution_status <> 'success'";
    assert_eq!(sql.value(failed).await.unwrap(), "0");
}
