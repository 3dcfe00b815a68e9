//! What the catalog says: tables without a way in, and what anon and authenticated hold.

use super::World;

#[tokio::test]
async fn every_table_has_row_level_security_and_policies() {
    let world = World::new().await;
    let open = "select string_agg(c.relname, ' ') from pg_class c
                 where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity";
    assert_eq!(world.text(open).await, None);
    let only_service_role = "
        select string_agg(c.relname, ' ' order by c.relname collate \"C\")
          from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
           and not exists (select from pg_policies p
                            where p.schemaname = 'public' and p.tablename = c.relname
                              and p.policyname <> 'service_role_all')";
    assert_eq!(
        world.text(only_service_role).await.as_deref(),
        Some(
            "executor_ticket_sessions sla_configurations telegram_messages ticket_webhook_attempts ticket_webhook_queue"
        )
    );
    let without_service_role = "
        select string_agg(c.relname, ' ')
          from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
           and not exists (select from pg_policies p
                            where p.schemaname = 'public' and p.tablename = c.relname
                              and p.roles = '{service_role}' and p.cmd = 'ALL' and p.qual = 'true')";
    assert_eq!(world.text(without_service_role).await, None);
}

/// All privileges of a role on relations of public, columns included: `table:privilege ..`.
fn privileges(role: &str) -> String {
    format!(
        "select string_agg(held, ' ' order by held collate \"C\") from (
           select c.relname || ':' || privilege as held
             from pg_class c
            cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
                    as privilege
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
              and (has_table_privilege('{role}', c.oid, privilege)
                or privilege not in ('DELETE', 'TRUNCATE', 'TRIGGER')
                   and has_any_column_privilege('{role}', c.oid, privilege))
           union all
           select c.relname || ':' || privilege
             from pg_class c
            cross join unnest(array['USAGE', 'SELECT', 'UPDATE']) as privilege
            where c.relnamespace = 'public'::regnamespace and c.relkind = 'S'
              and has_sequence_privilege('{role}', c.oid, privilege)) as h"
    )
}

#[tokio::test]
async fn anon_holds_insert_and_select_on_tenants_and_nothing_else() {
    let world = World::new().await;
    let held = world.text(&privileges("anon")).await;
    assert_eq!(held.as_deref(), Some("tenants:INSERT tenants:SELECT"));
}

#[tokio::test]
async fn authenticated_holds_nothing_on_the_internal_tables_and_rewrites_no_history() {
    let world = World::new().await;
    let held = world.text(&privileges("authenticated")).await.unwrap();
    for table in [
        "ticket_webhook_attempts",
        "ticket_webhook_queue",
        "executor_ticket_sessions",
        "telegram_messages",
        "sla_configurations",
        "_seq:",
    ] {
        assert!(!held.contains(table), "{held}");
    }
    for privilege in [
        "TRUNCATE",
        "REFERENCES",
        "TRIGGER",
        "activities:UPDATE",
        "logs:UPDATE",
        "logs:DELETE",
    ] {
        assert!(!held.contains(privilege), "{held}");
    }
}

#[tokio::test]
async fn neither_role_can_name_what_is_in_our_schema() {
    let world = World::new().await;
    let usage = "select string_agg(role, ' ')
                   from unnest(array['anon', 'authenticated']) as role
                  where has_schema_privilege(role, 'dropwire', 'usage')";
    assert_eq!(world.text(usage).await, None);
}

#[tokio::test]
async fn anon_may_call_the_contracts_functions_and_no_others() {
    let world = World::new().await;
    let callable = "
        select string_agg(p.proname, ' ' order by p.proname)
          from pg_proc p
         where p.pronamespace = 'public'::regnamespace
           and has_function_privilege('anon', p.oid, 'execute')
           and p.proname <> all (array['can_tenant_admin_access_executor_profile',
             'can_tenant_admin_create_executor_profile', 'create_ticket_from_automation', 'get_user_tenant_id'])";
    assert_eq!(world.text(callable).await, None);
}

/// Where an ordinary owner created it, service_role has no bypassrls: policies of its own take that place.
#[tokio::test]
async fn service_role_works_without_bypassrls() {
    let world = World::new().await;
    let statements = "
        begin;
        alter role service_role nobypassrls;
        set local role service_role;
        update tenants set approved = false, max_users = 99;
        update users set role = 'admin' where id = fixture.id('executor');
        update tickets set executor_profile_id = fixture.id('executor_profiles t') where id = fixture.id('tickets m');
        delete from ticket_webhook_queue where id = fixture.id('ticket_webhook_queue o');";
    world.db.batch_execute(statements).await.unwrap();
    let seen = "select string_agg(n::text, ' ') from (values
        ((select count(*) from tenants)), ((select count(*) from tickets)), ((select count(*) from rules))) as v (n)";
    let seen = world.text(seen).await;
    world.db.batch_execute("rollback").await.unwrap();
    assert_eq!(seen.as_deref(), Some("2 4 3"));
}
