//! A tenant registers itself (contract, section 8): anon inserts it, the new account becomes its `tenant_admin`.

use std::time::Duration;

use super::{Outcome, World, become_caller};

/// How long one account may take to wait for another.
const PATIENCE: Duration = Duration::from_secs(20);

const FOUND: &str = "insert into users (id, email, full_name, role, tenant_id)
    values (fixture.id('stranger'), 'founder@example.com', 'Founder', 'tenant_admin', fixture.id('tenants n')) returning role";

/// The dashboard's insert, with a known id.
const REGISTER: &str = "insert into tenants (id, name, email, approved, subscription_status, max_users)
    values (fixture.id('tenants n'), 'New', 'new@example.com', false, 'trial', 10)";

async fn registered() -> World {
    let world = World::new().await;
    world.perform("anon", REGISTER).await;
    world
}

#[tokio::test]
async fn anon_gets_back_the_row_it_inserts() {
    let world = World::new().await;
    let statement = format!(
        "with written as ({REGISTER} returning *) select row(id = fixture.id('tenants n'), name, email, approved,
           subscription_status, max_users, active)::text from written"
    );
    let answer = world.ask("anon", &statement).await;
    assert_eq!(answer, [Some("(t,New,new@example.com,f,trial,10,t)".to_owned())]);
}

#[tokio::test]
async fn anon_registers_two_tenants_at_once_and_leaves_out_what_has_a_default() {
    let world = World::new().await;
    let statement = "insert into tenants (name, email) values ('A', 'a@example.com'), ('B', 'b@example.com') returning name";
    let answer = world.ask("anon", statement).await;
    assert_eq!(answer, [Some("A".to_owned()), Some("B".to_owned())]);
}

#[tokio::test]
async fn anon_sees_no_tenant_afterwards_not_even_its_own() {
    let world = World::new().await;
    become_caller(&world.db, "anon").await;
    world.db.batch_execute(REGISTER).await.unwrap();
    for query in [
        "select count(*) from tenants",
        "select count(*) from tenants where id = fixture.id('tenants n')",
        "select count(*) from tenants where created_at = now()",
    ] {
        let count: i64 = world.db.query_one(query, &[]).await.unwrap().get(0);
        assert_eq!(count, 0, "{query}");
    }
}

#[tokio::test]
async fn a_conflict_shows_anon_no_existing_row() {
    let world = World::new().await;
    let insert = "insert into tenants (name, email) values ('X', 'ours@example.com')";
    let nothing = format!("{insert} on conflict do nothing returning name");
    assert_eq!(world.attempt("anon", &nothing).await, Outcome::Rows(0));
    let update = format!("{insert} on conflict (email) do update set name = 'X' returning name");
    assert!(matches!(world.attempt("anon", &update).await, Outcome::Denied(_)));
}

#[tokio::test]
async fn a_registration_cannot_grant_itself_anything() {
    let world = World::new().await;
    for caller in ["anon", "stranger"] {
        for (column, value) in [
            ("approved", "true"),
            ("approved_at", "now()"),
            ("approved_by", "fixture.id('admin')"),
            ("active", "false"),
            ("subscription_status", "'active'"),
            ("subscription_start_date", "'2026-01-01'"),
            ("subscription_end_date", "'2099-01-01'"),
            ("max_users", "1000"),
            ("max_users", "null"),
        ] {
            let statement =
                format!("insert into tenants (name, email, {column}) values ('X', 'x@example.com', {value})");
            assert_eq!(
                world.attempt(caller, &statement).await,
                Outcome::Denied(format!("only a platform admin may set {column} of a tenant")),
                "{caller}: {statement}"
            );
        }
    }
}

#[tokio::test]
async fn the_new_account_becomes_the_tenants_first_user() {
    let world = registered().await;
    assert_eq!(
        world.perform("stranger", FOUND).await,
        [Some("tenant_admin".to_owned())]
    );
    let own = world.ask("stranger", "select name from tenants").await;
    assert_eq!(own, [Some("New".to_owned())]);
    let update = "update tenants set automation_webhook_url = 'https://hook.example.com/x'";
    assert_eq!(world.attempt("stranger", update).await, Outcome::Rows(1));
}

#[tokio::test]
async fn an_account_founds_as_itself_as_tenant_admin_and_nowhere_else() {
    let world = registered().await;
    for (part, other) in [
        ("fixture.id('stranger')", "gen_random_uuid()"),
        ("'tenant_admin'", "'admin'"),
        ("'tenant_admin'", "'executor'"),
        ("fixture.id('tenants n')", "fixture.id('tenants o')"),
        ("fixture.id('tenants n')", "null"),
    ] {
        let statement = FOUND.replace(part, other);
        assert!(
            matches!(world.attempt("stranger", &statement).await, Outcome::Denied(_)),
            "{statement}"
        );
    }
    assert!(matches!(world.attempt("anon", FOUND).await, Outcome::Denied(_)));
}

#[tokio::test]
async fn a_tenant_that_is_not_fresh_takes_no_founder() {
    for spoil in [
        "update tenants set approved = true where id = fixture.id('tenants n')",
        "update tenants set created_at = now() - interval '61 minutes' where id = fixture.id('tenants n')",
        "update tenants set created_at = now() + interval '1 day' where id = fixture.id('tenants n')",
        "update users set tenant_id = fixture.id('tenants n') where id = fixture.id('drifter')",
    ] {
        let world = registered().await;
        assert_eq!(world.attempt("stranger", FOUND).await, Outcome::Rows(1));
        world.db.batch_execute(spoil).await.unwrap();
        assert!(
            matches!(world.attempt("stranger", FOUND).await, Outcome::Denied(_)),
            "{spoil}"
        );
    }
}

#[tokio::test]
async fn of_two_accounts_that_found_at_once_one_does() {
    let world = registered().await;
    let rival = world.database.target().connect().await.unwrap();
    become_caller(&world.db, "stranger").await;
    world.db.batch_execute(FOUND).await.unwrap();

    let rival_founds = FOUND
        .replace("'stranger'", "'rival'")
        .replace("founder@", "rival@");
    become_caller(&rival, "rival").await;
    let rival_pid = "select pg_backend_pid()";
    let rival_pid: i32 = rival.query_one(rival_pid, &[]).await.unwrap().get(0);
    let second = rival.batch_execute(&rival_founds);
    let first = async {
        // Until the rival waits for it, the first could have been simply earlier.
        let watcher = world.database.target().connect().await.unwrap();
        let waits = "select cardinality(pg_blocking_pids($1)) > 0";
        while !watcher
            .query_one(waits, &[&rival_pid])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.db.batch_execute("commit").await.unwrap();
    };
    let first = tokio::time::timeout(PATIENCE, first);
    let (second, first) = tokio::join!(second, first);
    first.expect("the rival waits");

    assert_eq!(second.unwrap_err().code().unwrap().code(), "42501");
    let users = "select count(*)::text from users where tenant_id = fixture.id('tenants n')";
    assert_eq!(world.text(users).await.as_deref(), Some("1"));
}
