//! How the schema cache follows the database: told, by signals, by DDL, by migrations; and what happens meanwhile.

use std::time::Duration;

use dropwire::dev;
use dropwire::pg::migrate;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::time::timeout;

use super::app::RestApp;
use super::cases::api_with;
use crate::support::cluster::TestDatabase;
use crate::support::program::Running;

const PATIENCE: Duration = Duration::from_secs(30);
/// As on a database of somebody else's: nothing tells of DDL by itself.
const SILENT: &str = "drop event trigger dropwire_ddl_watch; drop event trigger dropwire_drop_watch;";
const API: &str = "create schema api; grant usage on schema api to anon;
    create table api.old as select 1 as one; grant select on api.old to anon;";
const NEW: &str = "create table api.new as select 2 as two; grant select on api.new to anon;";

async fn status(app: &RestApp, path: &str) -> u16 {
    app.anon().get(path).await.status.as_u16()
}

/// Waits until a path is answered with that status.
async fn wait_for(app: &RestApp, path: &str, expected: u16) {
    let waiting = async {
        while status(app, path).await != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{path} is never answered with {expected}");
}

/// Waits until `/ready` says so.
async fn wait_until_ready(app: &RestApp, expected: u16) {
    let waiting = async {
        while app.ready().await.0 != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = timeout(PATIENCE, waiting).await;
    assert!(
        waited.is_ok(),
        "never ready by {expected}: {:?}",
        app.ready().await
    );
}

#[tokio::test]
async fn a_notification_reloads_it() {
    let app = api_with(&format!("{SILENT}{API}"), &[]).await;
    app.run(NEW).await;
    for _ in 0..20 {
        assert_eq!(status(&app, "/new").await, 404, "nobody said so");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What is meant for others is nothing to us.
    let loads = app.rest().cache_state().loads;
    app.run("notify pgrst, 'reload nothing'; notify other, 'reload schema'")
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(app.rest().cache_state().loads, loads);
    for notify in ["notify pgrst, 'reload schema'", "notify pgrst"] {
        app.run("alter table api.new rename to newer; alter table api.newer rename to new")
            .await;
        let loads = app.rest().cache_state().loads;
        app.run(notify).await;
        app.wait_for_load(loads).await;
        assert_eq!(
            app.anon().get("/new").await.pair(),
            (200, json!([{"two": 2}])),
            "{notify}"
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn another_channel_may_be_listened_on() {
    let app = api_with(
        &format!("{SILENT}{API}"),
        &[("PGRST_DB_CHANNEL", "Other Channel")],
    )
    .await;
    app.run(&format!("{NEW} notify pgrst, 'reload schema'")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(status(&app, "/new").await, 404);
    app.run("notify \"Other Channel\", 'reload schema'").await;
    wait_for(&app, "/new", 200).await;
    app.stop().await;
}

#[tokio::test]
async fn ddl_reloads_it_by_itself() {
    let app = RestApp::supabase("create table public.old as select 1 as one").await;
    app.run(
        "create table public.fresh (id int primary key, note text); grant select, insert on public.fresh to anon;",
    )
    .await;
    wait_for(&app, "/fresh", 200).await;
    app.run("create function public.fresh_function() returns int stable language sql as 'select 1'")
        .await;
    wait_for(&app, "/rpc/fresh_function", 200).await;
    app.run("alter table public.fresh add column more int").await;
    let body = json!({"id": 1, "more": 2});
    let waiting = async {
        while app.anon().post("/fresh", &body).await.status != 201 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting)
        .await
        .expect("the column is never known");
    app.run("drop function public.fresh_function(); drop table public.fresh")
        .await;
    wait_for(&app, "/fresh", 404).await;
    wait_for(&app, "/rpc/fresh_function", 404).await;
    app.stop().await;
}

#[tokio::test]
async fn only_ddl_that_the_cache_knows_is_told() {
    let database = TestDatabase::migrated().await;
    let (listener, mut heard) = database.target().listen().await.unwrap();
    listener.batch_execute("listen pgrst; listen done").await.unwrap();
    let db = database.target().connect().await.unwrap();
    for (statement, told) in [
        ("create table public.t (id int primary key)", true),
        ("alter table public.t add column a int", true),
        ("comment on table public.t is 'x'", true),
        ("create view public.v as select * from public.t", true),
        (
            "create materialized view public.m as select * from public.t",
            true,
        ),
        ("refresh materialized view public.m", false),
        ("create index on public.t (a)", false),
        ("grant select on public.t to anon", false),
        ("create type public.e as enum ('a')", true),
        ("create domain public.d as int", true),
        (
            "create function public.f() returns int language sql as 'select 1'",
            true,
        ),
        ("create schema another", true),
        ("create temp table passing (id int)", false),
        ("alter table passing add column a int", false),
        ("drop table passing", false),
        ("insert into public.t values (1)", false),
        ("truncate public.t", false),
        ("drop view public.v", true),
        ("begin; create table public.never (id int); rollback", false),
        // Once a transaction.
        (
            "begin; create table public.a (id int); create table public.b (id int); drop table public.a; commit",
            true,
        ),
    ] {
        db.batch_execute(statement).await.unwrap();
        db.batch_execute("notify done").await.unwrap();
        let mut payloads = Vec::new();
        loop {
            let next = timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
            if next.channel() == "done" {
                break;
            }
            payloads.push(next.payload().to_owned());
        }
        let expected: &[&str] = if told { &["reload schema"] } else { &[] };
        assert_eq!(payloads, expected, "{statement}");
    }
}

#[tokio::test]
async fn an_owner_who_may_not_create_event_triggers_migrates_without_them() {
    let database = TestDatabase::migrated().await;
    let db = database.target().connect().await.unwrap();
    let file = include_str!("../../../sql/migrations/0027_ddl_reload.sql");
    let triggers = async || -> Vec<String> {
        let rows = db
            .query("select evtname::text from pg_event_trigger order by 1", &[])
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(triggers().await, ["dropwire_ddl_watch", "dropwire_drop_watch"]);
    let undo = format!("{SILENT} drop function dropwire.notify_ddl(); drop function dropwire.notify_drop();");
    db.batch_execute(&undo).await.unwrap();
    // All of it is rolled back: roles are the whole cluster's.
    db.batch_execute("begin; create role plain_owner; grant all on schema dropwire to plain_owner; set local role plain_owner")
        .await
        .unwrap();
    db.batch_execute(file).await.unwrap();
    assert!(triggers().await.is_empty());
    db.batch_execute("rollback").await.unwrap();
    // Where Supabase's own one watches, ours is not needed.
    db.batch_execute(
        "begin;
         create function public.watch() returns event_trigger language plpgsql as $$ begin end $$;
         create event trigger pgrst_ddl_watch on ddl_command_end execute function public.watch();",
    )
    .await
    .unwrap();
    db.batch_execute(file).await.unwrap();
    assert_eq!(triggers().await, ["pgrst_ddl_watch"]);
    db.batch_execute("rollback").await.unwrap();
}

#[tokio::test]
async fn our_own_migrations_reload_it() {
    let app = RestApp::supabase(SILENT).await;
    app.run(
        "create table public.made_by_hand as select 1 as one; grant select on public.made_by_hand to anon;
         drop function dropwire.notify_ddl(); drop function dropwire.notify_drop();
         delete from dropwire.schema_migrations where version = 27;",
    )
    .await;
    assert_eq!(status(&app, "/made_by_hand").await, 404);
    let report = migrate::run(&app.database.target()).await.unwrap();
    assert_eq!(report.applied, ["0027_ddl_reload.sql"]);
    wait_for(&app, "/made_by_hand", 200).await;
    // Nothing to do is nothing to tell.
    let loads = app.rest().cache_state().loads;
    migrate::run(&app.database.target()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(app.rest().cache_state().loads, loads);
    app.stop().await;
}

#[tokio::test]
async fn sigusr1_reloads_a_running_server() {
    let database = TestDatabase::migrated().await;
    let db = database.target().connect().await.unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (url, listen) = (database.url(), format!("127.0.0.1:{port}"));
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("SUPABASE_JWT_SECRET", dev::JWT_SECRET),
        ("PGRST_DB_CHANNEL_ENABLED", "false"),
    ];
    let server = Running::start(&["serve", "--no-dispatch", "--listen", &listen], &variables);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |path: &str| {
        let request = http
            .get(format!("http://{listen}/rest/v1{path}"))
            .bearer_auth(dev::ANON_KEY);
        request.send().await.map_or(0, |answer| answer.status().as_u16())
    };
    let wait_for = async |path: &str, expected: u16| {
        let waiting = async {
            while status(path).await != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{path}: {}", server.errors());
    };
    wait_for("/late", 404).await;
    db.batch_execute("create table public.late as select 1 as one; grant select on public.late to anon")
        .await
        .unwrap();
    for _ in 0..10 {
        assert_eq!(status("/late").await, 404, "it does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.send(Signal::SIGUSR1);
    wait_for("/late", 200).await;
    assert_eq!(server.signal(Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn requests_are_served_from_the_old_cache_during_a_reload() {
    // A reload begins with this function, which can be held.
    let hold = "create schema conf; grant usage on schema conf to public;
        create function conf.hold() returns void language sql as $$ select pg_advisory_xact_lock_shared(1) $$;";
    let app = api_with(
        &format!("{SILENT}{API}{hold}"),
        &[("PGRST_DB_PRE_CONFIG", "conf.hold")],
    )
    .await;
    let loads = app.rest().cache_state().loads;
    app.run("select pg_advisory_lock(1)").await;
    app.run(&format!("{NEW} notify pgrst, 'reload schema'")).await;
    app.database.wait_for_lock().await;
    for _ in 0..10 {
        assert_eq!(app.anon().get("/old").await.pair(), (200, json!([{"one": 1}])));
        assert_eq!(status(&app, "/new").await, 404);
        assert_eq!(app.ready().await.0, 200);
    }
    assert_eq!(app.rest().cache_state().loads, loads);
    app.run("select pg_advisory_unlock(1)").await;
    wait_for(&app, "/new", 200).await;
    app.stop().await;
}

#[tokio::test]
async fn a_broken_reload_keeps_the_old_one_says_so_and_mends_itself() {
    let app = api_with(&format!("{SILENT}{API}"), &[("PGRST_DB_SCHEMAS", "api, second")]).await;
    wait_until_ready(&app, 503).await;
    app.stop().await;

    let both = format!("{SILENT}{API} create schema second;");
    let app = api_with(&both, &[("PGRST_DB_SCHEMAS", "api, second")]).await;
    assert_eq!(app.ready().await.0, 200);
    app.run(&format!(
        "{NEW} drop schema second; notify pgrst, 'reload schema'"
    ))
    .await;
    wait_until_ready(&app, 503).await;
    let (_, body) = app.ready().await;
    let message = "The schema cache could not be reloaded, the old one is being served; see the server's log";
    assert_eq!(body, json!({"status": "unavailable", "message": message}));
    assert_eq!(app.anon().get("/old").await.pair(), (200, json!([{"one": 1}])));
    assert_eq!(status(&app, "/new").await, 404);
    // Without being told: it is tried again.
    app.run("create schema second").await;
    wait_until_ready(&app, 200).await;
    assert_eq!(status(&app, "/new").await, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_prepared_statement_does_not_outlive_what_it_was_prepared_for() {
    let app = api_with(&format!("{SILENT}{API}"), &[("PGRST_DB_POOL", "1")]).await;
    // Twice, so that the statement is prepared.
    for _ in 0..3 {
        assert_eq!(app.anon().get("/old").await.pair(), (200, json!([{"one": 1}])));
        assert_eq!(app.anon().get("/old?one=eq.1").await.status, 200);
    }
    // The rows have other columns, before any reload.
    app.run("alter table api.old add column more int default 5").await;
    assert_eq!(
        app.anon().get("/old").await.pair(),
        (200, json!([{"one": 1, "more": 5}]))
    );
    // A condition keeps the type that it was prepared with until the cache is loaded anew.
    app.reload_after("alter table api.old alter column one type text using 'x'")
        .await;
    let expected = json!([{"one": "x", "more": 5}]);
    assert_eq!(app.anon().get("/old?one=eq.x").await.pair(), (200, expected));
    app.stop().await;
}
