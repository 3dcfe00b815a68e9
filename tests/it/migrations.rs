//! Migrations: applied whole, once, as they were written, and never behind the back of who owns the database.

use dropwire::app::{App, AppError};
use dropwire::config::{Env, Flags, Settings};
use dropwire::dev;
use dropwire::pg::{login, migrate};
use serde_json::json;

use crate::support::app::{CHAT_ID, TENANT};
use crate::support::cluster::TestDatabase;
use crate::support::sql::rows;

/// The files of `sql/migrations` in order.
fn files() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Starts a server on a database, as `serve` does.
async fn serve(database: &TestDatabase, variables: &[(&str, &str)]) -> Result<App, AppError> {
    let url = database.url();
    let mut all = vec![
        ("DATABASE_URL", url.as_str()),
        ("SUPABASE_JWT_SECRET", dev::JWT_SECRET),
        ("DROPWIRE_LISTEN", "127.0.0.1:0"),
    ];
    all.extend_from_slice(variables);
    App::start(
        Settings::load(&Flags::default(), &Env::from_pairs(&all)).unwrap(),
        None,
    )
    .await
}

/// The text of what went wrong, with its causes.
fn text(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn a_fresh_database_gets_every_migration_and_a_second_run_none() {
    let database = TestDatabase::empty().await;
    let target = database.target();
    assert_eq!(migrate::pending(&target).await.unwrap(), files());

    let first = migrate::run(&target).await.unwrap();
    assert_eq!((first.applied, first.already), (files(), 0));
    let second = migrate::run(&target).await.unwrap();
    assert_eq!((second.applied, second.already), (vec![], files().len()));
    assert!(migrate::pending(&target).await.unwrap().is_empty());

    let ledger = target.connect().await.unwrap();
    let applied = ledger
        .query(
            "select name from dropwire.schema_migrations order by version",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        applied.iter().map(|row| row.get(0)).collect::<Vec<String>>(),
        files()
    );
}

#[tokio::test]
async fn several_processes_that_migrate_at_once_do_the_work_once() {
    let database = TestDatabase::empty().await;
    let target = database.target();
    let (one, two, three) = tokio::join!(
        migrate::run(&target),
        migrate::run(&target),
        migrate::run(&target)
    );
    let mut counts = [one, two, three].map(|report| report.unwrap().applied.len());
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, files().len()]);
}

#[tokio::test]
async fn a_migration_that_was_changed_after_it_was_applied_is_refused_by_name() {
    let database = TestDatabase::migrated().await;
    let target = database.target();
    let change = "update dropwire.schema_migrations set checksum = 'of another text' where version = 2";
    target
        .connect()
        .await
        .unwrap()
        .batch_execute(change)
        .await
        .unwrap();
    let told = "migration 0002_tables.sql was changed after it had been applied to this database; restore the file \
                and put the change into a new one";
    assert_eq!(migrate::run(&target).await.unwrap_err().to_string(), told);
    let refused = serve(&database, &[]).await.err().unwrap();
    assert!(text(&refused).ends_with(told), "{}", text(&refused));
}

#[tokio::test]
async fn serve_refuses_a_database_that_lacks_migrations_and_says_how_to_apply_them() {
    let database = TestDatabase::empty().await;
    let refused = serve(&database, &[]).await.err().unwrap();
    assert_eq!(
        refused.to_string(),
        format!(
            "the database lacks {} migration(s) of this version; run `dropwire migrate`, or serve with --migrate",
            files().len()
        )
    );
    let untouched = "select count(*) from pg_namespace where nspname in ('dropwire', 'auth')";
    let count: i64 = database
        .target()
        .connect()
        .await
        .unwrap()
        .query_one(untouched, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 0, "nothing was written");
}

#[tokio::test]
async fn serve_applies_migrations_when_it_is_told_to() {
    let database = TestDatabase::empty().await;
    let app = serve(&database, &[("DROPWIRE_MIGRATE", "true")]).await.unwrap();
    assert!(migrate::pending(&database.target()).await.unwrap().is_empty());
    app.stop().await.unwrap();
}

#[tokio::test]
async fn an_owner_that_is_no_superuser_can_migrate_and_serve() {
    let database = TestDatabase::empty().await;
    let superuser = database.target().connect().await.unwrap();
    let give = format!(
        "create role \"Plain Owner\" login createrole;
         grant anon, authenticated, service_role to \"Plain Owner\" with admin option;
         alter database \"{}\" owner to \"Plain Owner\"",
        database.name
    );
    superuser.batch_execute(&give).await.unwrap();
    let target = database.target().with_login("Plain Owner", "");
    assert_eq!(migrate::run(&target).await.unwrap().applied, files());
    let owner = target.connect().await.unwrap();
    owner
        .batch_execute(include_str!("../../sql/dev/demo.sql"))
        .await
        .unwrap();

    let login = login::ensure(&target).await.unwrap().connect().await.unwrap();
    let create = format!(
        "select outcome, ticket_number from dropwire.create_ticket_from_telegram(
           '{TENANT}', '{CHAT_ID}', '{CHAT_ID}', 'Warm', 'Hall', 'HVAC', 'low', 'Maintenance', null, null, null)"
    );
    assert_eq!(
        rows(&login, &create).await,
        json!([{"outcome": "created", "ticket_number": "TKT-1000"}])
    );
    let claimed = "select count(*) from dropwire.claim_webhooks(10, interval '1 min', gen_random_uuid())";
    assert_eq!(rows(&login, claimed).await, json!([{"count": 1}]));
    assert_eq!(
        rows(&owner, "select count(*) from ticket_webhook_queue").await,
        json!([{"count": 4}])
    );
}
