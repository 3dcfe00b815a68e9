//! A database of the original becomes ours: nothing lost, nothing left open, and the main job runs on it.

mod comparison;
mod running;

use std::collections::{BTreeMap, HashSet};

use dropwire::pg::connect::Target;
use dropwire::pg::migrate::{self, MigrateError};
use serde_json::json;
use tokio_postgres::Client;

use self::comparison::{Contents, catalog, contents};
use self::running::new_number;
use crate::support::cluster::TestDatabase;
use crate::support::sql::rows;

const ORIGINAL: &str = include_str!("adoption/original.sql");
const DATA: &str = include_str!("adoption/data.sql");

const ACME: &str = "a0000000-0000-4000-8000-000000000001";
const LABS: &str = "a0000000-0000-4000-8000-000000000002";

/// A database of the original, with `more` done to it.
async fn original(more: &str) -> (TestDatabase, Client) {
    let database = TestDatabase::empty().await;
    let db = database.target().connect().await.unwrap();
    run(&db, &format!("{ORIGINAL};{more}")).await;
    (database, db)
}

/// As [`original`], migrated.
async fn adopted(more: &str) -> (TestDatabase, Client, String) {
    let (database, db) = original(more).await;
    let report = migrate::run(&database.target()).await.unwrap();
    (database, db, report.adoption.unwrap().to_string())
}

async fn run(db: &Client, sql: &str) {
    if let Err(error) = db.batch_execute(sql).await {
        panic!("{:?}", error.as_db_error());
    }
}

async fn value(db: &Client, sql: &str) -> String {
    db.query_one(&format!("select ({sql})::text"), &[])
        .await
        .unwrap()
        .get(0)
}

fn assert_says(report: &str, parts: &[&str]) {
    for part in parts {
        assert!(report.contains(part), "{part:?} is not in:\n{report}");
    }
}

#[tokio::test]
async fn no_row_is_lost_and_no_value_changed_but_those_that_are_reported() {
    let (database, db) = original(DATA).await;
    let before: BTreeMap<String, Contents> = contents(&db).await;
    assert_eq!(before.len(), 22);
    assert!(before.values().all(|table| table.rows > 0), "{before:?}");
    let waiting = "select id, status, attempt_count, last_error, next_attempt_at, updated_at
                     from ticket_webhook_queue where status <> 'processing' order by id";
    let waiting_before = rows(&db, waiting).await;

    let report = migrate::run(&database.target()).await.unwrap();
    let adoption = report.adoption.unwrap();

    for (name, was) in before {
        let is = comparison::of(&db, &name, &was.columns).await;
        let changed: HashSet<_> = was
            .columns
            .iter()
            .filter(|(column, sum)| is.columns[*column] != **sum)
            .map(|(column, _)| column.as_str())
            .collect();
        let expected: &[&str] = match name.as_str() {
            "tickets" => &["executor_id"],
            "ticket_webhook_queue" => &["status", "last_error", "next_attempt_at"],
            _ => &[],
        };
        assert_eq!(is.rows, was.rows, "{name}");
        assert_eq!(changed, expected.iter().copied().collect(), "{name}");
    }
    let still = format!(
        "select * from ({waiting}) q where id in (select (j ->> 'id')::uuid from json_array_elements('{waiting_before}') j)"
    );
    assert_eq!(
        rows(&db, &format!("{still} order by id")).await,
        waiting_before,
        "only entries in processing changed"
    );
    assert_eq!(
        rows(
            &db,
            "select distinct executor_id::text from tickets where executor_id is not null"
        )
        .await,
        json!([{"executor_id": "b0000000-0000-4000-8000-000000000003"}])
    );

    assert_eq!(adoption.unknown.count, 75);
    assert_eq!(adoption.unknown.last.len(), 20);
    assert_says(
        &adoption.to_string(),
        &[
            "87 policies, 14 functions and 15 triggers gave way",
            "public.categories: constraint categories_name_key removed; constraint categories_tenant_id_name_key added",
            "next_attempt_at may be null now; columns seq, origin, lease_expires_at, claim_id added",
            "type public.automation_action_type: replaced",
            "public.tickets: executor_id of 10 rows named a row of executors and names its user now",
            "entries in processing for less than 10 minutes are due again when these are over: 3",
            "next: FMS-ACM-10000, FMS-DEF-0011, FMS-XXX-0091",
            "Webhook entries with unknown outcome: 75",
            "of ticket FMS-ACM-0025, sent at ",
            "and 55 before them",
            "dropwire replay --adopted",
        ],
    );
    assert_eq!(
        value(&db, "select count(*) from dropwire.adoption_changes").await,
        adoption.changes.len().to_string()
    );
    let kept = "select before from dropwire.adoption_changes where change = 'constraint tickets_executor_id_fkey removed'";
    assert_says(
        &value(&db, kept).await,
        &["FOREIGN KEY (executor_id) REFERENCES public.executors(id)"],
    );

    let second = migrate::run(&database.target()).await.unwrap();
    assert_eq!((second.applied, second.adoption), (vec![], None));
}

#[tokio::test]
async fn an_adopted_catalog_equals_a_fresh_one() {
    let fresh = TestDatabase::empty().await;
    migrate::run(&fresh.target()).await.unwrap();
    let fresh = catalog(&fresh.target().connect().await.unwrap()).await;
    let cases = [
        ("as its migrations leave it", DATA),
        (
            "without what no migration creates",
            "drop table ticket_webhook_queue, executors, telegram_messages, sla_configurations, actions, conditions, rule_execution_logs, rules cascade;
             alter table tickets drop column category_id, drop column sla_due_date, drop column executor_profile_id cascade;
             drop table executor_profiles cascade;
             alter table users drop column telegram_chat_id, drop column telegram_user_id, drop column manager_id cascade;
             alter table users drop constraint if exists users_tenant_id_email_key;
             drop policy \"Tenant admins can manage tenant categories\" on categories;
             alter table categories drop column tenant_id cascade, drop column is_active;
             drop type rule_type_enum, automation_action_type; drop sequence ticket_number_seq",
        ),
        (
            "with other types, names and defaults",
            "alter table users alter column telegram_chat_id type text, alter column telegram_user_id type bigint
               using telegram_user_id::bigint;
             alter table tickets drop constraint tickets_ticket_number_key,
               alter column status drop default, alter column status drop not null, alter column building set default '';
             alter table tickets rename constraint tickets_complainant_id_fkey to somebody;
             alter table tickets add constraint tickets_complainant_again foreign key (complainant_id) references users;
             alter table users drop constraint users_role_check;
             alter table users add constraint users_role_check check (role <> '');
             alter index idx_tickets_tenant_id rename to by_tenant;
             drop index idx_users_role; create index idx_users_role on users (role, email);
             alter table priorities drop constraint priorities_name_key;
             create unique index priorities_by_name on priorities (name);
             comment on column tickets.ticket_number is 'Mine';
             grant select (email) on users to anon",
        ),
    ];
    for (case, more) in cases {
        let (_database, db, _report) = adopted(more).await;
        let adopted = catalog(&db).await;
        for (object, definition) in &fresh {
            assert_eq!(adopted.get(object), Some(definition), "{case}: {object}");
        }
        for (object, definition) in &adopted {
            assert_eq!(fresh.get(object), Some(definition), "{case}: {object}");
        }
    }
}

#[tokio::test]
async fn duplicates_keep_both_rows_under_names_that_can_be_told_apart() {
    let duplicates = "
        alter table tickets drop constraint tickets_ticket_number_key;
        update tickets set ticket_number = 'FMS-ACM-0001' where ticket_number in ('FMS-ACM-0003', 'FMS-ACM-0004');
        update tickets set ticket_number = 'FMS-ACM-0001-2' where ticket_number = 'FMS-ACM-0007';
        alter table categories drop constraint categories_name_key;
        insert into categories (id, name, tenant_id) values
          ('c0000000-0000-4000-8000-000000000003', 'HVAC', 'a0000000-0000-4000-8000-000000000001'),
          ('c0000000-0000-4000-8000-000000000004', 'HVAC (2)', 'a0000000-0000-4000-8000-000000000001'),
          ('c0000000-0000-4000-8000-000000000005', 'HVAC', 'a0000000-0000-4000-8000-000000000002'),
          ('c0000000-0000-4000-8000-000000000006', 'Plumbing', null);
        alter table priorities drop constraint priorities_name_key;
        insert into priorities (name, level, tenant_id) values
          ('critical', 1, 'a0000000-0000-4000-8000-000000000001')";
    let (_database, db, report) = adopted(&format!("{DATA};{duplicates}")).await;
    let numbers = "select right(id::text, 2) as id, ticket_number as number from tickets
                    where ticket_number like 'FMS-ACM-0001%' order by id";
    assert_eq!(
        rows(&db, numbers).await,
        json!([
            {"id": "01", "number": "FMS-ACM-0001"}, {"id": "03", "number": "FMS-ACM-0001-3"},
            {"id": "04", "number": "FMS-ACM-0001-4"}, {"id": "07", "number": "FMS-ACM-0001-2"}
        ])
    );
    let names = "select right(id::text, 1) as id, name from categories order by id";
    assert_eq!(
        rows(&db, names).await,
        json!([
            {"id": "1", "name": "HVAC"}, {"id": "2", "name": "Plumbing"}, {"id": "3", "name": "HVAC (3)"},
            {"id": "4", "name": "HVAC (2)"}, {"id": "5", "name": "HVAC"}, {"id": "6", "name": "Plumbing"}
        ])
    );
    assert_eq!(
        rows(
            &db,
            "select name from priorities where tenant_id is not null order by name"
        )
        .await,
        json!([{"name": "critical"}, {"name": "critical (2)"}])
    );
    assert_says(
        &report,
        &[
            "FMS-ACM-0001 was there twice; that of ticket 70000000-0000-4000-8000-000000000003 is FMS-ACM-0001-3 now",
            "HVAC was there twice; that of category c0000000-0000-4000-8000-000000000003 is HVAC (3) now",
            "critical was there twice; that of priority ",
        ],
    );
    assert_eq!(new_number(&db, Some(ACME)).await, "FMS-ACM-10000");
}

#[tokio::test]
async fn references_that_lead_nowhere_are_emptied_and_remembered() {
    let orphan = "alter table tickets drop constraint tickets_complainant_id_fkey;
                  update tickets set complainant_id = '99999999-9999-4999-8999-999999999999' where ticket_number = 'FMS-ACM-0042'";
    let (_database, db, report) = adopted(&format!("{DATA};{orphan}")).await;
    assert_says(
        &report,
        &["public.tickets: complainant_id emptied where it named what does not exist: 1"],
    );
    assert_eq!(
        value(
            &db,
            "select complainant_id is null from tickets where ticket_number = 'FMS-ACM-0042'"
        )
        .await,
        "true"
    );
    let kept = "select before from dropwire.adoption_changes where change like 'complainant_id emptied%'";
    assert_eq!(
        value(&db, kept).await,
        "70000000-0000-4000-8000-000000000042: 99999999-9999-4999-8999-999999999999"
    );
}

#[tokio::test]
async fn a_database_that_cannot_be_adopted_stays_as_it_was_and_hears_every_reason() {
    let (database, db) = original(&format!(
        "{DATA};
         alter table tickets drop constraint tickets_priority_check;
         update tickets set priority = 'urgent' where ticket_number in ('FMS-ACM-0001', 'FMS-ACM-0002');
         alter table users drop constraint users_tenant_id_email_key, drop constraint users_email_key;
         update users set email = 'ann@example.com' where email = 'eve@example.com';
         alter table holidays alter column name drop not null;
         update holidays set name = null"
    ))
    .await;
    let before = (catalog(&db).await, contents(&db).await);

    let error = migrate::run(&database.target()).await.unwrap_err();
    assert!(matches!(error, MigrateError::Rows { .. }), "{error}");
    assert_says(
        &error.to_string(),
        &[
            "nothing was changed",
            "public.holidays: 1 row has no name, such as id ",
            "public.tickets: 2 rows break tickets_priority_check CHECK ",
            "id 70000000-0000-4000-8000-000000000001 {\"priority\": \"urgent\"}",
            "public.users: 2 rows break users_email_key UNIQUE (email), such as id b0000000-0000-4000-8000-000000000002",
            "public.users: 2 rows break users_tenant_id_email_key UNIQUE (tenant_id, email)",
        ],
    );
    assert_eq!((catalog(&db).await, contents(&db).await), before);
    assert_eq!(
        value(&db, "select to_regnamespace('dropwire') is null").await,
        "true"
    );
}

#[tokio::test]
async fn values_that_have_no_place_in_our_types_are_named() {
    let (database, db) = original(&format!(
        "{DATA}; alter table users alter column telegram_chat_id type text;
         update users set telegram_chat_id = '@ann' where full_name = 'Ann'"
    ))
    .await;
    let error = migrate::run(&database.target()).await.unwrap_err().to_string();
    assert_says(
        &error,
        &[
            "public.users: column telegram_chat_id is text and must become numeric, which 1 of its values cannot, such as \"@ann\"",
        ],
    );
    run(
        &db,
        "update users set telegram_chat_id = '77' where full_name = 'Ann'",
    )
    .await;
    migrate::run(&database.target()).await.unwrap();
    assert_eq!(
        value(&db, "select sum(telegram_chat_id) from users").await,
        (77 + 1002 + 1003 + 1004).to_string()
    );
}

#[tokio::test]
async fn what_is_not_the_originals_is_left_alone() {
    let own = "
        alter table tickets add column cost_centre text not null default 'x', add column legacy text not null default 'y';
        alter table tickets alter column legacy drop default;
        create index tickets_by_cost_centre on tickets (cost_centre);
        alter table tickets add constraint has_title check (title <> '');
        create table invoices (id int primary key, ticket_id uuid references tickets on delete cascade,
          kind automation_action_type, updated_at timestamptz);
        insert into invoices select 1, id, 'notify' from tickets limit 1;
        alter table invoices enable row level security;
        create policy \"own tenant\" on invoices using (
          exists (select from tickets t where t.id = ticket_id and t.tenant_id = get_user_tenant_id()));
        create trigger touch before update on invoices for each row execute function update_updated_at_column();
        create view open_tickets as select id, title, ticket_number from tickets where status = 'open';
        create table heard (what text);
        create function hear() returns trigger language plpgsql security definer
          as $$ begin insert into heard values (tg_op); return null; end $$;
        create trigger hear after insert or update on tickets for each row execute function hear();
        create trigger mute after update on tickets for each row execute function hear();
        alter table tickets disable trigger mute";
    let (_database, db, report) = adopted(&format!("{DATA};{own}")).await;
    assert_says(
        &report,
        &[
            "column cost_centre; column legacy, which no longer has to have a value",
            "constraint has_title",
            "index tickets_by_cost_centre",
            "trigger hear; trigger mute",
            "type automation_action_type: the original's, in schema dropwire_original",
        ],
    );
    let moved = "select string_agg(object, ', ' order by object) from dropwire.adoption_changes where change like 'moved%'";
    assert_eq!(
        value(&db, moved).await,
        "public.get_user_tenant_id(), public.update_updated_at_column()"
    );
    assert_eq!(
        value(&db, "select count(*) from heard").await,
        "0",
        "no trigger ran during the adoption"
    );
    run(
        &db,
        "update invoices set id = 2; insert into tickets (title, description, category, priority, type, location)
         values ('t', 'd', 'c', 'low', 'x', 'y')",
    )
    .await;
    assert_eq!(
        rows(&db, "select what from heard").await,
        json!([{"what": "INSERT"}])
    );
    assert_eq!(
        value(
            &db,
            "select (select updated_at is not null from invoices) and (select count(*) > 0 from open_tickets)"
        )
        .await,
        "true"
    );
    assert_eq!(
        value(
            &db,
            "select count(*) from pg_policies where tablename = 'invoices'"
        )
        .await,
        "1"
    );
}

#[tokio::test]
async fn an_owner_without_special_rights_adopts_what_is_his_and_leaves_auth_and_the_api_roles_alone() {
    // As on Supabase: the owner is no superuser, and auth belongs to another role. Roles belong to the cluster.
    let (database, db) = original(DATA).await;
    let name = format!("owner_of_{}", database.name.to_lowercase().replace(' ', "_"));
    let superuser = value(&db, "select current_user").await;
    run(
        &db,
        &format!(
            "create role {name} login;
             do $$ begin execute format('alter database %I owner to {name}', current_database()); end $$;
             alter schema extensions owner to {name}; grant usage on schema auth to {name};
             do $$
             declare change text;
             begin
               for change in
                 select format('alter table %s owner to {name}', oid::regclass) from pg_class
                  where relnamespace = 'public'::regnamespace and relkind = 'r'
                  union all
                 select format('alter routine %s owner to {name}', oid::regprocedure) from pg_proc
                  where pronamespace = 'public'::regnamespace
                  union all
                 select format('alter type %s owner to {name}', oid::regtype) from pg_type
                  where typnamespace = 'public'::regnamespace and typtype = 'e'
               loop execute change; end loop;
             end $$;
             alter sequence ticket_number_seq owner to {name}"
        ),
    )
    .await;
    let untouched = "select (select string_agg(c::text, ';' order by c.oid) from pg_class c
                              where relnamespace = 'auth'::regnamespace) ||
                            (select string_agg(p::text, ';' order by p.oid) from pg_proc p
                              where pronamespace = 'auth'::regnamespace) ||
                            (select n::text from pg_namespace n where nspname = 'auth') ||
                            (select string_agg(r::text, ';' order by r.oid) from pg_authid r
                              where rolname in ('anon', 'authenticated', 'service_role'))";
    let before = value(&db, untouched).await;

    let url = database
        .url()
        .replacen(&format!("{superuser}@"), &format!("{name}@"), 1);
    let owner = Target::parse(&url).unwrap();
    let report = migrate::run(&owner).await.unwrap();
    assert_eq!(report.adoption.unwrap().unknown.count, 75);
    assert_eq!(value(&db, untouched).await, before);
    run(
        &db,
        &format!("reassign owned by {name} to {superuser}; drop owned by {name}; drop role {name}"),
    )
    .await;
}

#[tokio::test]
async fn a_database_of_somebody_else_is_not_taken_for_the_originals() {
    let database = TestDatabase::empty().await;
    let db = database.target().connect().await.unwrap();
    run(&db, "create table tickets (id int, ticket_number text)").await;
    let error = migrate::run(&database.target()).await.unwrap_err();
    assert!(matches!(error, MigrateError::File { .. }), "{error}");
    assert_says(&error.to_string(), &["relation \"tickets\" already exists"]);
}
