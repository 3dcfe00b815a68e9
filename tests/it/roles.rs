//! Who may do what in the database: the login role of requests, the three API roles, the owner's functions.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::TestSql;
use crate::support::app::TENANT;
use crate::support::cluster::TestDatabase;
use crate::support::sql::{ADA, refusal, rows};

const INSUFFICIENT_PRIVILEGE: &str = "42501";

async fn text(client: &Client, query: &str) -> Option<String> {
    client
        .query_one(query, &[])
        .await
        .unwrap_or_else(|error| panic!("{query}: {error:?}"))
        .get(0)
}

/// The tables of public, as they are named in SQL.
async fn tables(sql: &TestSql) -> Vec<String> {
    let tables = sql.rows(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'public'",
    );
    tables
        .await
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_login_role_becomes_the_three_api_roles_and_nothing_else() {
    let sql = TestSql::start().await;
    let login = sql.login().await;
    let become_it = "select rolname as name from pg_roles where pg_has_role(session_user, oid, 'member')
                        and rolname <> session_user order by 1";
    assert_eq!(
        rows(&login, become_it).await,
        json!([{"name": "anon"}, {"name": "authenticated"}, {"name": "service_role"}])
    );
    let owner = text(&sql.owner, "select quote_ident(current_user)")
        .await
        .unwrap();
    for other in [owner.as_str(), "pg_read_all_data", "pg_monitor"] {
        assert_eq!(
            refusal(&login, &format!("set role {other}")).await,
            INSUFFICIENT_PRIVILEGE,
            "{other}"
        );
    }
    let takeover = format!("set session authorization {owner}");
    assert_eq!(refusal(&login, &takeover).await, INSUFFICIENT_PRIVILEGE);
    let attributes =
        "select rolsuper or rolinherit or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
                             as powerful from pg_roles where rolname = session_user";
    assert_eq!(rows(&login, attributes).await, json!([{"powerful": false}]));
}

#[tokio::test]
async fn the_login_role_itself_reads_and_writes_no_table() {
    let sql = TestSql::start().await;
    let login = sql.login().await;
    let tables = tables(&sql).await;
    assert_eq!(tables.len(), 23);
    for table in tables {
        for statement in [format!("select from {table}"), format!("delete from {table}")] {
            assert_eq!(
                refusal(&login, &statement).await,
                INSUFFICIENT_PRIVILEGE,
                "{statement}"
            );
        }
    }
    for table in ["dropwire.login_role", "dropwire.schema_migrations", "auth.users"] {
        assert_eq!(
            refusal(&login, &format!("select from {table}")).await,
            INSUFFICIENT_PRIVILEGE,
            "{table}"
        );
    }
}

#[tokio::test]
async fn anon_and_authenticated_reach_neither_the_queue_nor_schema_dropwire() {
    let sql = TestSql::start().await;
    sql.ticket(json!({})).await;
    let login = sql.login().await;
    for role in ["anon", "authenticated"] {
        login.batch_execute(&format!("set role {role}")).await.unwrap();
        for statement in [
            "select from public.ticket_webhook_queue",
            "update public.ticket_webhook_queue set status = 'delivered'",
            "insert into public.ticket_webhook_queue (ticket_id, tenant_id) select id, tenant_id from public.tickets",
            "select nextval('public.ticket_number_seq')",
            "select dropwire.claim_webhooks(1, interval '1 min', gen_random_uuid())",
            "select dropwire.run_rules(null, null, null)",
            "select from dropwire.login_role",
        ] {
            assert_eq!(
                refusal(&login, statement).await,
                INSUFFICIENT_PRIVILEGE,
                "{role}: {statement}"
            );
        }
        login.batch_execute("reset role").await.unwrap();
    }
    // Usage on the schema is one guard; execute on each function is the other.
    // Policies need execute, and only policies get it: they hold a function without its name.
    let callable = "select role || ' ' || p.proname as name
                      from pg_proc p, unnest('{anon,authenticated}'::name[]) role
                     where p.pronamespace = 'dropwire'::regnamespace and has_function_privilege(role, p.oid, 'execute')
                     order by 1";
    let asked_by_policies = [
        "anon caller_role",
        "anon tenant_is_stored",
        "authenticated administered_tenants",
        "authenticated awaits_founder",
        "authenticated caller_profile_ids",
        "authenticated caller_role",
        "authenticated is_platform_admin",
        "authenticated rule_tenant_id",
        "authenticated tenant_is_stored",
    ]
    .map(|name| json!({ "name": name }));
    assert_eq!(sql.rows(callable).await, json!(asked_by_policies));
    let attachable = "select p.oid::regprocedure::text as name from pg_proc p, unnest('{anon,authenticated}'::name[]) role
                       where p.pronamespace = 'public'::regnamespace and p.prosecdef
                         and p.prorettype = 'trigger'::regtype and has_function_privilege(role, p.oid, 'execute')";
    assert_eq!(
        sql.rows(attachable).await,
        json!([]),
        "trigger functions with the owner's rights"
    );
}

#[tokio::test]
async fn service_role_calls_what_the_server_calls_and_sees_every_row() {
    let sql = TestSql::start().await;
    sql.ticket(json!({})).await;
    let login = sql.login().await;
    let callable = "select p.proname as name from pg_proc p
                     where p.pronamespace = 'dropwire'::regnamespace
                       and has_function_privilege('service_role', p.oid, 'execute') order by 1";
    let names = [
        "begin_onboarding",
        "claim_webhooks",
        "create_ticket",
        "create_ticket_from_telegram",
        "create_ticket_from_telegram_once",
        "find_onboarding",
        "list_bot_tickets",
        "open_bot_session",
        "prune_webhooks",
        "raise_webhook_floors",
        "receive_onboarding",
        "record_webhooks",
        "release_webhooks",
        "run_due_rules",
        "run_due_work",
        "settle_onboarding",
        "start_bot",
        "take_bot_action",
        "take_bot_text",
        "take_telegram_update",
        "webhook_gauges",
    ];
    assert_eq!(
        sql.rows(callable).await,
        json!(names.map(|name| json!({"name": name})))
    );

    login.batch_execute("set role service_role").await.unwrap();
    for (table, count) in [
        ("tenants", 1),
        ("users", 4),
        ("tickets", 1),
        ("ticket_webhook_queue", 1),
    ] {
        let seen = rows(&login, &format!("select count(*) from public.{table}")).await;
        assert_eq!(seen, json!([{"count": count}]), "{table}");
    }
    login
        .batch_execute("update public.tickets set status = 'resolved'")
        .await
        .unwrap();
    assert_eq!(
        sql.value("select count(*)::text from ticket_webhook_queue")
            .await
            .unwrap(),
        "2"
    );
    assert_eq!(
        refusal(&login, "select from dropwire.login_role").await,
        INSUFFICIENT_PRIVILEGE
    );
}

#[tokio::test]
async fn service_role_is_served_by_policy_where_the_owner_could_not_let_it_bypass() {
    // A role belongs to the cluster, where the other tests need it as it is: all of this is rolled back.
    let owner = TestDatabase::empty().await.target().connect().await.unwrap();
    owner
        .batch_execute("begin; alter role service_role nobypassrls")
        .await
        .unwrap();
    owner
        .batch_execute(include_str!("../../sql/migrations/0001_roles_and_auth.sql"))
        .await
        .unwrap();
    owner
        .batch_execute(include_str!("../../sql/migrations/0002_tables.sql"))
        .await
        .unwrap();
    let bare = "select c.relname as name from pg_class c
                 where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
                   and not exists (select from pg_policy p where p.polrelid = c.oid)";
    assert_eq!(rows(&owner, bare).await, json!([]));

    owner
        .batch_execute(
            "set local role service_role; insert into tenants (name, email) values ('ACME', 'a@example.com')",
        )
        .await
        .unwrap();
    assert_eq!(
        rows(&owner, "select name from tenants").await,
        json!([{"name": "ACME"}])
    );
    for role in ["anon", "authenticated"] {
        let look = format!("reset role; savepoint s; set local role {role}; select from tenants");
        assert_eq!(refusal(&owner, &look).await, INSUFFICIENT_PRIVILEGE, "{role}");
        owner.batch_execute("rollback to s").await.unwrap();
    }
    owner.batch_execute("rollback").await.unwrap();
}

#[tokio::test]
async fn a_caller_s_types_and_operators_do_not_run_with_the_owner_s_rights() {
    let sql = TestSql::with_rules().await;
    // Found by a bare name, each would run code of the caller's choice; these merely refuse.
    sql.run("create schema trap; grant usage on schema trap to service_role")
        .await;
    for kind in ["uuid", "text", "numeric"] {
        sql.run(&format!(
            "create function trap.equal(one {kind}, other {kind}) returns boolean language plpgsql as
               $$ begin raise exception 'the trap for {kind} was entered'; end $$;
             create operator trap.= (leftarg = {kind}, rightarg = {kind}, function = trap.equal)"
        ))
        .await;
    }
    let login = sql.login().await;
    login
        .batch_execute("set search_path = trap, pg_catalog, pg_temp")
        .await
        .unwrap();
    for name in [
        "text",
        "uuid",
        "jsonb",
        "json",
        "timestamptz",
        "name",
        "tickets",
        "rules",
    ] {
        let create = format!("create domain pg_temp.{name} as pg_catalog.text check (false)");
        login.batch_execute(&create).await.unwrap();
    }
    login
        .batch_execute(&format!(
            "set role service_role;
             select dropwire.create_ticket_from_telegram(
               '{TENANT}', '123456789', '123456789', 'Warm', 'Hall', 'HVAC', 'low', 'Maintenance', null, null, null);
             update public.tickets set status = 'resolved';
             insert into public.ticket_activities (ticket_id, activity_type, metadata)
             select id, 'sla_change', '{{\"new_due_date\": \"2030-01-01\"}}' from public.tickets;
             select dropwire.claim_webhooks(1, interval '1 min', gen_random_uuid())"
        ))
        .await
        .unwrap();
    let outcomes = "select execution_status as status, count(*) from rule_execution_logs group by 1";
    assert_eq!(
        sql.rows(outcomes).await,
        json!([{"status": "success", "count": 3}])
    );

    // What is not pinned has to qualify every name, types and operators included.
    let unpinned = "select p.proname as name from pg_proc p
                     where p.pronamespace in ('public'::regnamespace, 'dropwire'::regnamespace) and p.prosecdef
                       and not coalesce(p.proconfig @> '{\"search_path=pg_catalog, pg_temp\"}', false)
                     order by 1";
    let names = [
        "create_ticket_from_telegram",
        "generate_ticket_number",
        "run_rules",
        "ticket_created",
        "webhook_queued",
    ];
    assert_eq!(
        sql.rows(unpinned).await,
        json!(names.map(|name| json!({"name": name})))
    );
}

#[tokio::test]
async fn the_claim_helpers_read_the_request_s_claims_and_null_where_there_are_none() {
    let claims = format!(r#"{{"sub":"{ADA}","role":"authenticated","email":"ada@example.com"}}"#);
    let nobody = json!({"uid": null, "role": null, "email": null, "jwt": null});
    let ada = json!({
        "uid": ADA, "role": "authenticated", "email": "ada@example.com",
        "jwt": serde_json::from_str::<Value>(&claims).unwrap()
    });
    let anon = json!({"uid": null, "role": "anon", "email": null, "jwt": {"role": "anon"}});
    let cases = [
        (String::new(), &nobody),
        ("set request.jwt.claims = ''".to_owned(), &nobody),
        (format!("set request.jwt.claims = '{claims}'"), &ada),
        (r#"set request.jwt.claims = '{"role":"anon"}'"#.to_owned(), &anon),
        // Settings of a transaction read '' after it, not null.
        (
            format!("begin; set local request.jwt.claims = '{claims}'; commit"),
            &nobody,
        ),
    ];
    let sql = TestSql::start().await;
    let read = "select auth.uid() as uid, auth.role() as role, auth.email() as email, auth.jwt() as jwt";
    for role in ["anon", "authenticated", "service_role"] {
        for (set, expected) in &cases {
            let login = sql.login().await;
            login
                .batch_execute(&format!("set role {role}; {set}"))
                .await
                .unwrap();
            assert_eq!(&rows(&login, read).await[0], *expected, "{role}: {set}");
        }
    }
    // As PostgREST set them before version 12.
    let login = sql.login().await;
    let single = format!(
        "set request.jwt.claim.sub = '{ADA}'; set request.jwt.claim.role = 'authenticated'; set role anon"
    );
    login.batch_execute(&single).await.unwrap();
    assert_eq!(
        rows(&login, "select auth.uid() as uid, auth.role() as role").await,
        json!([{"uid": ADA, "role": "authenticated"}])
    );
}
