//! Columns that a role must not change in rows that it may write.

use super::{Caller, Outcome, World};

/// Whole rows go back as they came, but for one column: as the dashboard sends them.
const WHOLE_ROW: &str =
    "update {table} t set ({columns}) = (select {columns} from {table} o where o.id = t.id)";

#[tokio::test]
async fn a_whole_row_sent_back_unchanged_is_accepted() {
    let world = World::new().await;
    for (caller, table, row) in [
        ("tenant_admin", "tenants", "tenants o"),
        ("tenant_admin", "users", "colleague"),
        ("tenant_admin", "users", "local admin"),
        ("tenant_admin", "users", "tenant_admin"),
        ("executor", "users", "executor"),
        ("complainant", "users", "complainant"),
        ("executor", "tickets", "tickets m"),
        ("tenant_admin", "tickets", "tickets m"),
        ("tenant_admin", "executor_profiles", "executor_profiles m"),
    ] {
        let columns = format!(
            "select string_agg(attname, ', ' order by attnum) from pg_attribute
              where attrelid = 'public.{table}'::regclass and attnum > 0 and not attisdropped"
        );
        let columns = world.text(&columns).await.unwrap();
        let statement = format!("{WHOLE_ROW} where id = fixture.id('{row}')")
            .replace("{table}", table)
            .replace("{columns}", &columns);
        assert_eq!(
            world.attempt(caller, &statement).await,
            Outcome::Rows(1),
            "{caller}: {row}"
        );
    }
}

/// A caller, an update, and the refusal; none where it works.
type Case = (Caller, &'static str, Option<&'static str>);

async fn check(cases: &[Case]) {
    let world = World::new().await;
    for (caller, statement, refusal) in cases {
        let expected = refusal.map_or(Outcome::Rows(1), |message| Outcome::Denied(message.to_owned()));
        assert_eq!(
            world.attempt(caller, statement).await,
            expected,
            "{caller}: {statement}"
        );
    }
}

#[tokio::test]
async fn a_tenants_state_is_the_platform_admins() {
    let world = World::new().await;
    for (column, value) in [
        ("approved", "false"),
        ("approved_at", "now()"),
        ("approved_by", "fixture.id('tenant_admin')"),
        ("active", "false"),
        ("subscription_status", "'active'"),
        ("subscription_start_date", "'2026-01-01'"),
        ("subscription_end_date", "'2026-01-01'"),
        ("max_users", "11"),
        ("id", "gen_random_uuid()"),
    ] {
        let statement =
            format!("update tenants set name = 'New', {column} = {value} where id = fixture.id('tenants o')");
        let refused = Outcome::Denied(format!("only a platform admin may set {column} of a tenant"));
        assert_eq!(world.attempt("tenant_admin", &statement).await, refused);
        assert_eq!(world.attempt("local admin", &statement).await, refused);
        if column != "id" {
            assert_eq!(
                world.attempt("admin", &statement).await,
                Outcome::Rows(1),
                "{statement}"
            );
        }
    }
}

#[tokio::test]
async fn all_refused_columns_are_named_at_once() {
    check(&[(
        "tenant_admin",
        "update tenants set active = false, approved = false, max_users = 99",
        Some("only a platform admin may set approved, active, max_users of a tenant"),
    )])
    .await;
}

#[tokio::test]
async fn a_tenants_own_data_and_webhook_are_the_tenant_admins() {
    check(&[
        (
            "tenant_admin",
            "update tenants set automation_webhook_url = 'https://hook.example.com/x', name = 'New'",
            None,
        ),
        (
            "tenant_admin",
            "update tenants set automation_webhook_url = null",
            None,
        ),
    ])
    .await;
    let world = World::new().await;
    let theirs = "update tenants set automation_webhook_url = 'https://evil.example.com' where id = fixture.id('tenants t')";
    for caller in ["local admin", "tenant_admin", "executor", "complainant"] {
        assert_eq!(world.attempt(caller, theirs).await, Outcome::Rows(0), "{caller}");
    }
}

#[tokio::test]
async fn nobody_raises_himself() {
    const ROLE: &str = "only an admin of the tenant may change role of a user";
    const TENANT: &str = "only a platform admin may change tenant_id of a user";
    check(&[
        ("executor", "update users set role = 'tenant_admin' where id = fixture.id('executor')", Some(ROLE)),
        ("complainant", "update users set role = 'executor' where id = fixture.id('complainant')", Some(ROLE)),
        ("drifter", "update users set role = 'executor' where id = fixture.id('drifter')", Some(ROLE)),
        ("executor", "update users set role = 'admin' where id = fixture.id('executor')",
         Some("only a platform admin may make a user admin")),
        ("complainant", "update users set tenant_id = fixture.id('tenants t') where id = fixture.id('complainant')", Some(TENANT)),
        ("complainant", "update users set tenant_id = null where id = fixture.id('complainant')", Some(TENANT)),
        ("drifter", "update users set tenant_id = fixture.id('tenants o') where id = fixture.id('drifter')", Some(TENANT)),
        ("local admin", "update users set tenant_id = null where id = fixture.id('local admin')", Some(TENANT)),
        ("complainant", "update users set id = gen_random_uuid() where id = fixture.id('complainant')",
         Some("only a platform admin may change id of a user")),
        ("complainant", "update users set telegram_chat_id = 5, is_active = false where id = fixture.id('complainant')",
         Some("only an admin of the tenant may change is_active, telegram_chat_id of a user")),
        ("executor", "update users set bot_onboarding_status = 'completed' where id = fixture.id('executor')",
         Some("only an admin of the tenant may change bot_onboarding_status of a user")),
        ("executor", "update users set phone = '1', full_name = 'E', email = 'e@example.com' where id = fixture.id('executor')", None),
    ])
    .await;
}

#[tokio::test]
async fn a_tenant_admin_edits_users_but_makes_no_admin_and_moves_none() {
    check(&[
        ("tenant_admin", "update users set role = 'admin' where id = fixture.id('colleague')",
         Some("only a platform admin may make a user admin")),
        ("local admin", "update users set role = 'admin' where id = fixture.id('colleague')",
         Some("only a platform admin may make a user admin")),
        ("tenant_admin", "update users set tenant_id = fixture.id('tenants t') where id = fixture.id('colleague')",
         Some("only a platform admin may change tenant_id of a user")),
        ("tenant_admin", "update users set tenant_id = null where id = fixture.id('colleague')",
         Some("only a platform admin may change tenant_id of a user")),
        ("tenant_admin", "insert into users (email, role, tenant_id) values ('x', 'admin', fixture.id('tenants o'))",
         Some("only a platform admin may make a user admin")),
        ("tenant_admin", "insert into users (email, role) values ('x', 'executor')",
         Some("new row violates row-level security policy for table \"users\"")),
        ("tenant_admin", "update users set role = 'executor', is_active = false, telegram_chat_id = 5, emp_code = 'E1' \
            where id = fixture.id('colleague')", None),
        ("tenant_admin", "insert into users (email, role, tenant_id) values ('x', 'tenant_admin', fixture.id('tenants o'))", None),
        ("admin", "insert into users (email, role) values ('x', 'admin')", None),
        ("admin", "update users set role = 'admin', tenant_id = null where id = fixture.id('colleague')", None),
    ])
    .await;
}

#[tokio::test]
async fn no_row_points_into_another_tenant() {
    check(&[
        ("tenant_admin", "update tickets set complainant_id = fixture.id('neighbour') where id = fixture.id('tickets m')",
         Some("complainant_id must name a row of users in the tenant of the tickets row")),
        ("tenant_admin", "update tickets set executor_id = fixture.id('their executor') where id = fixture.id('tickets m')",
         Some("executor_id must name a row of users in the tenant of the tickets row")),
        ("executor", "update tickets set executor_profile_id = fixture.id('executor_profiles t') where id = fixture.id('tickets m')",
         Some("executor_profile_id must name a row of executor_profiles in the tenant of the tickets row")),
        ("tenant_admin", "update tickets set category_id = fixture.id('categories t') where id = fixture.id('tickets m')",
         Some("category_id must name a row of categories in the tenant of the tickets row")),
        ("tenant_admin", "update users set manager_id = fixture.id('neighbour') where id = fixture.id('colleague')",
         Some("manager_id must name a row of users in the tenant of the users row")),
        ("complainant", "update users set designation_id = fixture.id('designations t') where id = fixture.id('complainant')",
         Some("designation_id must name a row of designations in the tenant of the users row")),
        ("tenant_admin", "update executor_profiles set user_id = fixture.id('neighbour') where id = fixture.id('executor_profiles m')",
         Some("user_id must name a row of users in the tenant of the executor_profiles row")),
        ("tenant_admin", "update executor_skill set category = fixture.id('categories t') where id = fixture.id('executor_skill o')",
         Some("category must name a row of categories in the tenant of the executor_skill row")),
        ("tenant_admin", "update tickets set tenant_id = fixture.id('tenants t') where id = fixture.id('tickets o')",
         Some("new row violates row-level security policy for table \"tickets\"")),
        ("tenant_admin", "insert into conditions (rule_id, tenant_id, field_path, operator) \
            values (fixture.id('rules t'), fixture.id('tenants o'), 'type', 'is_null')",
         Some("new row violates row-level security policy for table \"conditions\"")),
        ("tenant_admin", "update actions set tenant_id = fixture.id('tenants t') where id = fixture.id('actions o')",
         Some("new row violates row-level security policy for table \"actions\"")),
        ("tenant_admin", "insert into executor_skills values (fixture.id('executor'), fixture.id('executor_skill t'))",
         Some("new row violates row-level security policy for table \"executor_skills\"")),
        ("executor", "insert into rule_execution_logs (rule_id, ticket_id, execution_status) \
            values (fixture.id('rules t'), fixture.id('tickets m'), 'success')",
         Some("new row violates row-level security policy for table \"rule_execution_logs\"")),
        ("complainant", "insert into ticket_activities (ticket_id, tenant_id, activity_type) \
            values (fixture.id('tickets m'), fixture.id('tenants t'), 'complainant_comment')",
         Some("new row violates row-level security policy for table \"ticket_activities\"")),
        // Within the tenant, and to what is shared, all of it works.
        ("tenant_admin", "update tickets set executor_profile_id = fixture.id('executor_profiles o'), \
            executor_id = fixture.id('other executor'), category_id = fixture.id('categories s') \
            where id = fixture.id('tickets m')", None),
        ("tenant_admin", "update users set manager_id = fixture.id('tenant_admin'), \
            designation_id = fixture.id('designations s') where id = fixture.id('colleague')", None),
        ("tenant_admin", "insert into executor_skills values (fixture.id('other executor'), fixture.id('executor_skill o'))", None),
    ])
    .await;
}

/// What was wrong before, as it may be in an adopted database, does not hold up what is right.
#[tokio::test]
async fn a_reference_that_was_foreign_before_may_stay() {
    let world = World::new().await;
    let spoil =
        "update tickets set complainant_id = fixture.id('neighbour') where id = fixture.id('tickets o')";
    world.db.batch_execute(spoil).await.unwrap();
    let update = "update tickets set status = 'closed', complainant_id = complainant_id where id = fixture.id('tickets o')";
    assert_eq!(world.attempt("tenant_admin", update).await, Outcome::Rows(1));
    // And shows the foreigner nothing.
    let seen = "select 1 from tickets where id = fixture.id('tickets o')";
    assert_eq!(world.attempt("neighbour", seen).await, Outcome::Rows(0));
}

#[tokio::test]
async fn an_executor_keeps_the_ticket_he_updates() {
    check(&[
        ("executor", "update tickets set executor_profile_id = fixture.id('executor_profiles o') where id = fixture.id('tickets m')",
         Some("new row violates row-level security policy for table \"tickets\"")),
        ("executor", "update tickets set status = 'resolved', resolved_at = now() where id = fixture.id('tickets m')", None),
    ])
    .await;
}

#[tokio::test]
async fn an_executor_has_the_tickets_that_name_his_user_alone() {
    let world = World::new().await;
    let assign = "update tickets set executor_id = fixture.id('executor'), executor_profile_id = null
                   where id = fixture.id('tickets o')";
    world.db.batch_execute(assign).await.unwrap();
    let update = "update tickets set status = 'in-progress' where id = fixture.id('tickets o')";
    assert_eq!(world.attempt("executor", update).await, Outcome::Rows(1));
    // Who is no executor any more has none, though his profile and his tickets stay.
    world
        .db
        .batch_execute("update users set role = 'complainant' where id = fixture.id('executor')")
        .await
        .unwrap();
    assert_eq!(
        world.attempt("executor", "select 1 from tickets").await,
        Outcome::Rows(0)
    );
}

#[tokio::test]
async fn a_complainants_new_ticket_is_open_and_nobodys() {
    let world = World::new().await;
    let create = |column: &str, value: &str| {
        format!(
            "insert into tickets (title, description, location, category, priority, type, tenant_id, complainant_id, {column})
             values ('x', 'x', 'x', 'x', 'low', 'x', fixture.id('tenants o'), fixture.id('complainant'), {value})"
        )
    };
    assert_eq!(
        world.attempt("complainant", &create("status", "'open'")).await,
        Outcome::Rows(1)
    );
    for (column, value) in [
        ("status", "'closed'"),
        ("executor_profile_id", "fixture.id('executor_profiles m')"),
        ("executor_id", "fixture.id('executor')"),
    ] {
        let refused =
            Outcome::Denied("new row violates row-level security policy for table \"tickets\"".to_owned());
        assert_eq!(
            world.attempt("complainant", &create(column, value)).await,
            refused
        );
    }
}

#[tokio::test]
async fn an_activity_is_written_in_ones_own_name_unless_one_administers_the_tenant() {
    const CREATE: &str = "insert into ticket_activities (ticket_id, activity_type, created_by)
        values (fixture.id('tickets m'), 'admin_comment', fixture.id('{author}'))";
    let world = World::new().await;
    for (caller, author, works) in [
        ("complainant", "complainant", true),
        ("complainant", "tenant_admin", false),
        ("executor", "complainant", false),
        ("tenant_admin", "complainant", true),
        ("admin", "complainant", true),
    ] {
        let outcome = world.attempt(caller, &CREATE.replace("{author}", author)).await;
        assert_eq!(
            outcome == Outcome::Rows(1),
            works,
            "{caller} as {author}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn of_a_notification_only_having_read_it_changes() {
    check(&[
        (
            "tenant_admin",
            "update tenant_notifications set status = 'read', read_at = now()",
            None,
        ),
        (
            "tenant_admin",
            "update tenant_notifications set message = 'x'",
            Some("permission denied for table tenant_notifications"),
        ),
        (
            "tenant_admin",
            "update tenant_notifications set tenant_id = fixture.id('tenants t')",
            Some("permission denied for table tenant_notifications"),
        ),
    ])
    .await;
}
