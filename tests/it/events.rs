//! Events reach the queue by trigger, whoever writes: what is written, what is queued, and in which order.

mod order;
mod superseded;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestSql;
use crate::support::app::TENANT;
use crate::support::sql::{ADA, INA, INA_PROFILE, MIKE, MIKE_PROFILE};

impl TestSql {
    /// The activities of all tickets in the order of their entries, without ids and times.
    async fn activities(&self) -> Value {
        self.rows(
            "select a.activity_type as type, a.comment, a.metadata, a.created_by as author
               from ticket_activities a left join ticket_webhook_queue q on q.activity_id = a.id
              order by q.seq",
        )
        .await
    }

    /// What is queued, in order: the origin of each entry and the type of its activity.
    async fn entries(&self) -> Value {
        self.rows(
            "select q.origin, a.activity_type as type
               from ticket_webhook_queue q left join ticket_activities a on a.id = q.activity_id
              order by q.seq",
        )
        .await
    }

    /// Runs statements in one transaction in which a user is signed in.
    async fn run_as(&self, claims: &str, statements: &str) {
        self.run(&format!(
            "begin; select set_config('request.jwt.claims', '{claims}', true); {statements}; commit"
        ))
        .await;
    }

    /// A ticket whose creation is not looked at any more.
    async fn quiet_ticket(&self, changes: Value) -> Uuid {
        let ticket = self.ticket(changes).await;
        self.run("delete from ticket_webhook_queue; delete from ticket_activities")
            .await;
        ticket
    }
}

#[tokio::test]
async fn a_plain_insert_queues_its_creation_once_and_before_the_entries_of_its_rules() {
    let sql = TestSql::with_rules().await;
    sql.ticket(json!({"category": "HVAC"})).await;
    assert_eq!(
        sql.entries().await,
        json!([
            {"origin": "creation", "type": null},
            {"origin": "trigger", "type": "priority_change"},
            {"origin": "trigger", "type": "sla_change"},
            {"origin": "trigger", "type": "reassignment"}
        ])
    );
    // Everything carries the time at which its transaction began.
    let transactions = "select count(distinct created_at)::text from (
        select created_at from tickets union all select created_at from ticket_activities
        union all select created_at from ticket_webhook_queue union all select created_at from rule_execution_logs) x";
    assert_eq!(
        sql.value(transactions).await.unwrap(),
        "1",
        "all in the transaction of the insert"
    );
}

#[tokio::test]
async fn an_insert_of_several_tickets_queues_the_creation_of_each() {
    let sql = TestSql::start().await;
    sql.run(&format!(
        "insert into tickets (title, description, category, priority, type, location, tenant_id)
         select 'Leak', 'Leak', 'Plumbing', 'low', 'Maintenance', 'Hall', '{TENANT}' from generate_series(1, 3)"
    ))
    .await;
    let entries =
        "select t.ticket_number as number, q.activity_id as activity, q.tenant_id = t.tenant_id as own,
                          q.status, q.attempt_count as attempts, q.payload
                     from ticket_webhook_queue q join tickets t on t.id = q.ticket_id order by q.seq";
    let entry = |number: &str| json!({"number": number, "activity": null, "own": true, "status": "pending", "attempts": 0, "payload": null});
    assert_eq!(
        sql.rows(entries).await,
        json!([entry("TKT-1000"), entry("TKT-1001"), entry("TKT-1002")])
    );
}

#[tokio::test]
async fn each_activity_queues_one_entry_with_what_it_says() {
    let sql = TestSql::start().await;
    let ticket = sql.quiet_ticket(json!({})).await;
    let types = [
        "reassignment",
        "priority_change",
        "sla_change",
        "admin_comment",
        "complainant_comment",
        "executor_update",
        "status_change",
    ];
    sql.run(&format!(
        "insert into ticket_activities (ticket_id, tenant_id, activity_type, comment, metadata)
         select '{ticket}', '{TENANT}', type, 'About ' || type, jsonb_build_object('n', n)
           from unnest('{{{}}}'::text[]) with ordinality as t (type, n) order by n",
        types.join(",")
    ))
    .await;
    let expected: Vec<_> = types
        .iter()
        .zip(1..)
        .map(|(kind, n)| {
            json!({
                "origin": "client", "keys": 4, "comment": format!("About {kind}"), "metadata": {"n": n},
                "activity_type": kind, "same_time": true, "tenant_id": TENANT
            })
        })
        .collect();
    let entries = "select q.origin, (select count(*) from jsonb_object_keys(q.payload)) as keys,
                          q.payload -> 'comment' as comment, q.payload -> 'metadata' as metadata,
                          q.payload -> 'activity_type' as activity_type,
                          (q.payload ->> 'created_at')::timestamptz = a.created_at as same_time, q.tenant_id
                     from ticket_webhook_queue q join ticket_activities a on a.id = q.activity_id order by q.seq";
    assert_eq!(sql.rows(entries).await, Value::from(expected));
}

#[tokio::test]
async fn a_change_writes_the_activity_that_the_dashboard_would_write() {
    let due = "2030-01-02T03:04:05.678Z";
    let later = "2031-01-02T00:00:00.000Z";
    let cases = [
        (
            json!({}),
            "status = 'in-progress'",
            "status_change",
            "Status changed from open to in-progress".to_owned(),
            json!({"old_status": "open", "new_status": "in-progress"}),
        ),
        (
            json!({}),
            "priority = 'critical'",
            "priority_change",
            "Priority changed from medium to critical".to_owned(),
            json!({"old_priority": "medium", "new_priority": "critical"}),
        ),
        (
            json!({}),
            "due_date = '2030-01-02T05:04:05.678912+02', sla_due_date = '2030-01-02T05:04:05.678912+02'",
            "sla_change",
            format!("SLA changed from none to {due}"),
            json!({"old_due_date": null, "new_due_date": due}),
        ),
        (
            json!({"due_date": due}),
            "due_date = '2031-01-02T00:00:00Z'",
            "sla_change",
            format!("SLA changed from {due} to {later}"),
            json!({"old_due_date": due, "new_due_date": later}),
        ),
        (
            json!({"sla_due_date": due}),
            "sla_due_date = null",
            "sla_change",
            format!("SLA changed from {due} to none"),
            json!({"old_due_date": due, "new_due_date": null}),
        ),
        (
            json!({}),
            &format!("executor_profile_id = '{MIKE_PROFILE}', executor_id = '{MIKE}'"),
            "reassignment",
            format!("Ticket assigned to executor {MIKE_PROFILE}"),
            json!({"old_executor_id": null, "new_executor_id": MIKE_PROFILE}),
        ),
        (
            json!({"executor_profile_id": MIKE_PROFILE, "executor_id": MIKE}),
            &format!("executor_profile_id = '{INA_PROFILE}', executor_id = '{INA}'"),
            "reassignment",
            format!("Ticket assigned to executor {INA_PROFILE}"),
            json!({"old_executor_id": MIKE_PROFILE, "new_executor_id": INA_PROFILE}),
        ),
        (
            json!({"executor_id": MIKE}),
            &format!("executor_id = '{INA}'"),
            "reassignment",
            format!("Ticket assigned to executor {INA}"),
            json!({"old_executor_id": MIKE, "new_executor_id": INA}),
        ),
        (
            json!({"executor_profile_id": MIKE_PROFILE, "executor_id": MIKE}),
            "executor_profile_id = null, executor_id = null",
            "reassignment",
            format!("Ticket unassigned from executor {MIKE_PROFILE}"),
            json!({"old_executor_id": MIKE_PROFILE, "new_executor_id": null}),
        ),
    ];
    let sql = TestSql::start().await;
    for (ticket, change, kind, comment, metadata) in cases {
        sql.quiet_ticket(ticket).await;
        sql.run(&format!("update tickets set {change}")).await;
        let activity = json!({"type": kind, "comment": comment, "metadata": metadata, "author": null});
        assert_eq!(sql.activities().await, json!([activity]), "{change}");
        assert_eq!(
            sql.entries().await,
            json!([{"origin": "trigger", "type": kind}]),
            "{change}"
        );
        sql.run("delete from tickets").await;
    }
}

#[tokio::test]
async fn a_change_names_the_signed_in_user_and_nobody_else() {
    let cases = [
        (format!(r#"{{"sub":"{ADA}","role":"authenticated"}}"#), Some(ADA)),
        (r#"{"role":"service_role"}"#.to_owned(), None),
        (
            r#"{"role":"authenticated","sub":"00000000-0000-4000-8000-000000000000"}"#.to_owned(),
            None,
        ),
        (String::new(), None),
    ];
    let sql = TestSql::start().await;
    for (claims, author) in cases {
        sql.quiet_ticket(json!({})).await;
        sql.run_as(&claims, "update tickets set status = 'resolved'")
            .await;
        assert_eq!(sql.activities().await[0]["author"], json!(author), "{claims}");
        sql.run("delete from tickets").await;
    }
}

#[tokio::test]
async fn what_the_rules_change_is_nobodys_and_what_follows_is_the_users_again() {
    let sql = TestSql::with_rules().await;
    let insert = format!(
        "insert into tickets (title, description, category, priority, type, location, tenant_id)
         values ('Warm', 'Warm', 'HVAC', 'low', 'Maintenance', 'Hall', '{TENANT}');
         update tickets set status = 'in-progress'"
    );
    sql.run_as(&format!(r#"{{"sub":"{ADA}"}}"#), &insert).await;
    let authors = sql
        .rows("select activity_type as type, created_by as author from ticket_activities order by created_by, 1")
        .await;
    assert_eq!(
        authors,
        json!([
            {"type": "status_change", "author": ADA},
            {"type": "priority_change", "author": null},
            {"type": "reassignment", "author": null},
            {"type": "sla_change", "author": null}
        ])
    );
}

#[tokio::test]
async fn an_update_that_changes_nothing_of_these_writes_nothing() {
    let sql = TestSql::start().await;
    let due = "2030-01-02T03:04:05Z";
    sql.quiet_ticket(json!({"due_date": due, "executor_profile_id": MIKE_PROFILE}))
        .await;
    for change in [
        "status = status, priority = priority, due_date = due_date, executor_profile_id = executor_profile_id",
        "due_date = '2030-01-02T05:04:05+02'",
        "title = 'Flood', location = 'Roof', resolved_at = now(), updated_at = now()",
        "status = 'resolved' where false",
    ] {
        sql.run(&format!("update tickets set {change}")).await;
        assert_eq!(sql.activities().await, json!([]), "{change}");
        assert_eq!(sql.entries().await, json!([]), "{change}");
    }
}

#[tokio::test]
async fn an_update_of_several_properties_writes_one_activity_each() {
    let sql = TestSql::start().await;
    sql.quiet_ticket(json!({})).await;
    sql.run(&format!(
        "update tickets set executor_profile_id = '{INA_PROFILE}', executor_id = '{INA}', due_date = now(),
           sla_due_date = now() + interval '1 h', priority = 'low', status = 'in-progress'"
    ))
    .await;
    let trigger = |kind| json!({"origin": "trigger", "type": kind});
    assert_eq!(
        sql.entries().await,
        json!(["status_change", "priority_change", "sla_change", "reassignment"].map(trigger))
    );
}

#[tokio::test]
async fn an_update_of_several_tickets_writes_one_activity_each() {
    let sql = TestSql::start().await;
    for priority in ["low", "medium", "high"] {
        sql.ticket(json!({"priority": priority})).await;
    }
    sql.run("delete from ticket_webhook_queue; update tickets set priority = 'high'")
        .await;
    let changes = "select a.metadata ->> 'old_priority' as old, a.tenant_id = t.tenant_id as own
                     from ticket_activities a join tickets t on t.id = a.ticket_id
                     join ticket_webhook_queue q on q.activity_id = a.id and q.ticket_id = t.id order by 1";
    assert_eq!(
        sql.rows(changes).await,
        json!([{"old": "low", "own": true}, {"old": "medium", "own": true}])
    );
}

#[tokio::test]
async fn what_another_trigger_changes_before_ours_is_noticed() {
    let sql = TestSql::start().await;
    sql.quiet_ticket(json!({})).await;
    sql.run(
        "create function raise_priority() returns trigger language plpgsql as
           $$ begin new.priority := 'critical'; return new; end $$;
         create trigger raise_priority before update of title on tickets
           for each row execute function raise_priority();
         update tickets set title = 'Flood'",
    )
    .await;
    assert_eq!(
        sql.entries().await,
        json!([{"origin": "trigger", "type": "priority_change"}])
    );
}

#[tokio::test]
async fn nothing_is_queued_where_there_is_no_tenant() {
    let sql = TestSql::start().await;
    let ticket = sql.ticket(json!({"tenant_id": null})).await;
    let insert = |tenant: &str| {
        format!(
            "insert into ticket_activities (ticket_id, tenant_id, activity_type) values ('{ticket}', {tenant}, 'admin_comment')"
        )
    };
    sql.run("update tickets set status = 'resolved'").await;
    sql.run(&insert("null")).await;
    assert_eq!(
        sql.value("select count(*)::text from ticket_activities")
            .await
            .unwrap(),
        "2"
    );
    assert_eq!(sql.entries().await, json!([]));

    sql.run(&insert(&format!("'{TENANT}'"))).await;
    assert_eq!(
        sql.entries().await.as_array().unwrap().len(),
        1,
        "the activity's own tenant counts"
    );
    sql.run(&format!(
        "delete from ticket_webhook_queue; update tickets set tenant_id = '{TENANT}'"
    ))
    .await;
    sql.run(&insert("null")).await;
    assert_eq!(
        sql.entries().await.as_array().unwrap().len(),
        1,
        "else the ticket's"
    );
}

#[tokio::test]
async fn a_rolled_back_transaction_queues_nothing() {
    let sql = TestSql::with_rules().await;
    let insert = "insert into tickets (title, description, category, priority, type, location, tenant_id)
                  select 'Warm', 'Warm', 'HVAC', 'low', 'Maintenance', 'Hall', id from tenants;
                  update tickets set status = 'in-progress';
                  insert into ticket_activities (ticket_id, activity_type) select id, 'admin_comment' from tickets;";
    sql.run(&format!("begin; {insert} rollback")).await;
    sql.run(&format!("begin; savepoint s; {insert} rollback to s; commit"))
        .await;
    for table in [
        "tickets",
        "ticket_activities",
        "ticket_webhook_queue",
        "rule_execution_logs",
    ] {
        assert_eq!(
            sql.value(&format!("select count(*)::text from {table}"))
                .await
                .unwrap(),
            "0",
            "{table}"
        );
    }
}

#[tokio::test]
async fn what_is_deleted_takes_its_events_along() {
    let sql = TestSql::with_rules().await;
    let count = async |table| {
        sql.value(&format!("select count(*)::text from {table}"))
            .await
            .unwrap()
    };
    let ticket = sql.ticket(json!({"category": "HVAC"})).await;
    assert_eq!(count("ticket_webhook_queue").await, "4");

    sql.run("delete from ticket_activities where activity_type = 'sla_change'")
        .await;
    assert_eq!(
        count("ticket_webhook_queue").await,
        "3",
        "an activity's entry goes with it"
    );

    sql.run(&format!(
        "delete from executor_profiles where id = '{MIKE_PROFILE}'"
    ))
    .await;
    let unassigned = format!("Ticket unassigned from executor {MIKE_PROFILE}");
    assert_eq!(
        sql.activities().await[2]["comment"],
        unassigned,
        "an executor that is gone is a change"
    );

    sql.run(&format!("delete from tickets where id = '{ticket}'"))
        .await;
    for table in ["ticket_activities", "ticket_webhook_queue", "rule_execution_logs"] {
        assert_eq!(count(table).await, "0", "{table}");
    }
}

#[tokio::test]
async fn a_tenant_can_be_deleted_with_its_executors_while_they_have_tickets() {
    let sql = TestSql::with_rules().await;
    sql.ticket(json!({"category": "HVAC"})).await;
    sql.run("delete from tenants").await;
    let left = "select t.tenant_id, t.executor_profile_id,
                       (select count(*) from ticket_webhook_queue) as entries,
                       (select count(*) from ticket_activities where tenant_id is null) as activities
                  from tickets t";
    assert_eq!(
        sql.rows(left).await,
        json!([{"tenant_id": null, "executor_profile_id": null, "entries": 0, "activities": 4}])
    );
}
