//! What policies cost: who asks is looked up once per statement, and indexes stay of use.

use super::{Caller, World};

impl World {
    async fn plan(&self, caller: Caller, statement: &str) -> String {
        let lines = self
            .ask(caller, &format!("explain (costs off) {statement}"))
            .await;
        lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}

/// Every condition that names a function of the caller stands in an `InitPlan`, where a plan shows only its number.
#[tokio::test]
async fn the_caller_is_looked_up_once_per_statement() {
    let world = World::new().await;
    let tables = "select string_agg(distinct tablename, ' ') from pg_policies
                   where schemaname = 'public' and 'authenticated' = any (roles)";
    for table in world.text(tables).await.unwrap().split(' ') {
        let update = format!("update {table} set status = 'read'");
        let statements = match table {
            "tenant_notifications" => vec![format!("select 1 from {table}"), update],
            "ticket_activities" | "rule_execution_logs" => vec![format!("select 1 from {table}")],
            _ => vec![format!("select 1 from {table}"), format!("delete from {table}")],
        };
        for statement in statements {
            let plan = world.plan("tenant_admin", &statement).await;
            assert!(plan.contains("InitPlan"), "{statement}\n{plan}");
            // What asks about the row itself is no matter of the caller.
            let conditions = plan.replace("tenant_is_stored(id)", "");
            for function in [
                "current_setting",
                "get_user_tenant_id",
                "caller_",
                "administered_",
                "is_platform_admin",
            ] {
                assert!(!conditions.contains(function), "{statement}\n{plan}");
            }
        }
    }
}

#[tokio::test]
async fn a_tenants_tickets_are_found_by_index() {
    let world = World::new().await;
    // Without triggers, which are not what is measured here.
    let fill = "
        set session_replication_role = replica;
        insert into tenants (id, name, email)
        select fixture.id('tenant ' || n), n, n from generate_series(0, 99) as n;
        insert into tickets (ticket_number, title, description, location, category, priority, type, tenant_id)
        select 'n' || n, 'x', 'x', 'x', 'x', 'low', 'x',
               case when n % 100 = 0 then fixture.id('tenants o') else fixture.id('tenant ' || n % 100) end
          from generate_series(1, 100000) as n;
        reset session_replication_role;
        analyze tickets";
    world.db.batch_execute(fill).await.unwrap();
    let by_tenant =
        "select * from tickets where tenant_id = fixture.id('tenants o') order by created_at desc limit 50";
    for caller in ["tenant_admin", "executor", "complainant"] {
        for statement in [
            "select * from tickets",
            "select count(*) from tickets where status = 'open'",
            by_tenant,
        ] {
            let plan = world.plan(caller, statement).await;
            assert!(
                plan.contains("idx_tickets_tenant_id"),
                "{caller}: {statement}\n{plan}"
            );
            assert!(!plan.contains("Seq Scan"), "{caller}: {statement}\n{plan}");
        }
    }
    let counted = world.ask("tenant_admin", "select count(*) from tickets").await;
    assert_eq!(counted, [Some("1002".to_owned())]);
}
