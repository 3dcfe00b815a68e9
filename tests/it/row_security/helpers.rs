//! The helper functions that clients may call (contract, section 5.2).

use super::{Outcome, World};

#[tokio::test]
async fn get_user_tenant_id_is_the_callers() {
    let world = World::new().await;
    let ours = world.text("select fixture.id('tenants o')::text").await;
    for (caller, expected) in [
        ("anon", &None),
        ("stranger", &None),
        ("admin", &None),
        ("tenant_admin", &ours),
        ("executor", &ours),
        ("complainant", &ours),
    ] {
        let answer = world.ask(caller, "select get_user_tenant_id()").await;
        assert_eq!(answer.first(), Some(expected), "{caller}");
    }
}

#[tokio::test]
async fn a_tenant_admin_reaches_the_profiles_of_his_tenant() {
    let world = World::new().await;
    for (caller, row, expected) in [
        ("tenant_admin", "executor_profiles m", "t"),
        ("tenant_admin", "executor_profiles t", "f"),
        ("tenant_admin", "nothing", "f"),
        ("executor", "executor_profiles m", "f"),
        ("admin", "executor_profiles m", "f"),
        ("anon", "executor_profiles m", "f"),
    ] {
        let call =
            format!("select can_tenant_admin_access_executor_profile(profile_id => fixture.id('{row}'))");
        assert_eq!(
            world.ask(caller, &call).await,
            [Some(expected.to_owned())],
            "{caller}: {row}"
        );
    }
}

#[tokio::test]
async fn a_tenant_admin_may_create_profiles_in_his_tenant() {
    let world = World::new().await;
    for (caller, row, expected) in [
        ("tenant_admin", "tenants o", "t"),
        ("tenant_admin", "tenants t", "f"),
        ("complainant", "tenants o", "f"),
        ("anon", "tenants o", "f"),
    ] {
        let call = format!(
            "select can_tenant_admin_create_executor_profile(target_tenant_id => fixture.id('{row}'))"
        );
        assert_eq!(
            world.ask(caller, &call).await,
            [Some(expected.to_owned())],
            "{caller}: {row}"
        );
    }
    let null = "select can_tenant_admin_create_executor_profile(null)";
    assert_eq!(world.ask("admin", null).await, [Some("f".to_owned())]);
}

const CRON: &str = "select concat_ws('|', job_id, schedule, command, database, active) from check_ticket_webhook_cron_scheduled()";

#[tokio::test]
async fn without_pg_cron_no_job_is_scheduled() {
    let world = World::new().await;
    assert!(world.ask("tenant_admin", CRON).await.is_empty());
    assert!(matches!(world.attempt("anon", CRON).await, Outcome::Denied(_)));
}

/// `pg_cron`'s table as far as the function reads it: the extension is not on every machine that runs the tests.
#[tokio::test]
async fn a_scheduled_job_shows_its_address_and_no_key() {
    let world = World::new().await;
    let jobs = "
        create schema cron;
        create table cron.job (jobid bigint, schedule text, command text, nodename text default 'localhost',
          nodeport integer default 5432, database text default 'd', username text default 'u',
          active boolean default true, jobname text);
        insert into cron.job (jobid, schedule, command, jobname) values
          (1, '* * * * *', $$select net.http_post(url := 'https://x.supabase.co/functions/v1/ticket-activity-webhook',
             headers := '{\"Authorization\": \"Bearer SECRET\"}')$$, 'ticket-activity-webhook-dispatcher'),
          (2, '* * * * *', $$select f('https://u:SECRET@x/functions/v1/ticket-activity-webhook?apikey=SECRET')$$, 'own'),
          (3, '0 * * * *', 'select SECRET', 'other');";
    world.db.batch_execute(jobs).await.unwrap();
    let expected = [
        "1|* * * * *|https://x.supabase.co/functions/v1/ticket-activity-webhook|d|t",
        "2|* * * * *|(hidden)|d|t",
    ];
    let shown = world.ask("tenant_admin", CRON).await;
    assert_eq!(shown, expected.map(|row| Some(row.to_owned())));
}
