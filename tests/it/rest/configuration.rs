//! Settings: the two surfaces, the environment, the database, reloading, readiness.

use std::time::Duration;

use dropwire::dev;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::app::{RestApp, login_role};
use crate::support::cluster::TestDatabase;
use crate::support::program::{Running, TempDir, run};

/// Rows that everybody may read and write, and a function that shows a setting.
const ROWS: &str = "
    create table public.rows (id int primary key);
    insert into public.rows select generate_series(1, 1500);
    grant select, update, delete on public.rows to anon, authenticated, service_role;
    create function public.setting(name text) returns text stable language sql as $$ select current_setting(name, true) $$;
    create schema api;
    grant usage on schema api to anon;
    create view api.only_here as select 1 as one;
    grant select on api.only_here to anon;";

fn count(rows: &Value) -> usize {
    rows.as_array().unwrap().len()
}

#[tokio::test]
async fn each_surface_has_its_defaults() {
    let supabase = RestApp::supabase(ROWS).await;
    assert_eq!(count(&supabase.anon().get("/rows").await.json()), 1_000);
    let refused = supabase.anon().delete("/rows").await;
    let body =
        json!({"code": "21000", "details": null, "hint": null, "message": "DELETE requires a WHERE clause"});
    assert_eq!(refused.pair(), (400, body));
    assert_eq!(supabase.anon().delete("/rows?id=eq.1").await.status, 204);
    assert_ne!(supabase.anon().get("/").await.status, 200);
    assert_eq!(supabase.service_role().get("/").await.status, 200);
    let path = supabase.anon().get("/rpc/setting?name=search_path").await.json();
    assert_eq!(path, json!(r#""public", "public", "extensions""#));
    supabase.stop().await;

    let postgrest = RestApp::rest_only(ROWS).await;
    assert_eq!(count(&postgrest.anon().get("/rows").await.json()), 1_500);
    assert_eq!(postgrest.anon().get("/").await.status, 200);
    assert_eq!(postgrest.anon().delete("/rows").await.status, 204);
    assert_eq!(count(&postgrest.anon().get("/rows").await.json()), 0);
    postgrest.stop().await;
}

#[tokio::test]
async fn the_environment_changes_either_surface() {
    let variables = [
        ("PGRST_DB_MAX_ROWS", "7"),
        ("PGRST_DB_SCHEMAS", "public, api"),
        ("DROPWIRE_REST_ALLOW_UNFILTERED_WRITES", "true"),
        ("DROPWIRE_REST_OPENAPI_FOR_ANON", "true"),
        ("PGRST_APP_SETTINGS_word", "x y"),
    ];
    for app in [
        RestApp::supabase_with(ROWS, &variables).await,
        RestApp::rest_only_with(ROWS, &variables).await,
    ] {
        let anon = app.anon();
        assert_eq!(count(&anon.get("/rows").await.json()), 7);
        assert_eq!(anon.get("/").await.status, 200);
        let there = anon.clone().with("accept-profile", "api").get("/only_here").await;
        assert_eq!(there.pair(), (200, json!([{"one": 1}])));
        let word = anon.get("/rpc/setting?name=app.settings.word").await;
        assert_eq!(word.pair(), (200, json!("x y")));
        assert_eq!(anon.delete("/rows").await.status, 204);
        app.stop().await;
    }
}

#[tokio::test]
async fn rest_only_is_at_the_root_and_below_rest_v1() {
    let app = RestApp::rest_only(&format!(
        "{ROWS} create view public.live as select 1 as one; grant select on live to anon"
    ))
    .await;
    let root = app.url.trim_end_matches("/rest/v1").to_owned();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for base in [app.url.clone(), root] {
        let one = http.get(format!("{base}/rows?id=eq.1")).send().await.unwrap();
        assert_eq!(one.text().await.unwrap(), r#"[{"id":1}]"#, "{base}");
        // Names of our own routes are tables like others.
        let live = http.get(format!("{base}/live")).send().await.unwrap();
        assert_eq!(live.text().await.unwrap(), r#"[{"one":1}]"#, "{base}");
    }
    app.stop().await;
}

#[tokio::test]
async fn settings_in_the_database_are_laid_over_the_environments_and_reloaded() {
    let app = RestApp::rest_only_with(ROWS, &[("PGRST_DB_MAX_ROWS", "7")]).await;
    let role = login_role(&app.database).await;
    let rows = async || count(&app.anon().get("/rows").await.json());
    assert_eq!(rows().await, 7);
    app.reload_after(&format!("alter role \"{role}\" set pgrst.db_max_rows = '5'"))
        .await;
    assert_eq!(rows().await, 5);
    let name = &app.database.name;
    let here = format!("alter role \"{role}\" in database \"{name}\" set pgrst.db_max_rows = '3'");
    app.reload_after(&here).await;
    assert_eq!(rows().await, 3);
    // A wrong one changes nothing.
    app.reload_after(&format!(
        "alter role \"{role}\" in database \"{name}\" set pgrst.db_max_rows = 'many'"
    ))
    .await;
    assert_eq!(rows().await, 3);
    // Other schemas are loaded when the settings are, without a reload of the schema cache being asked for.
    app.run(&format!(
        "alter role \"{role}\" in database \"{name}\" reset pgrst.db_max_rows;
         alter role \"{role}\" set pgrst.db_schemas = 'api';
         notify pgrst, 'reload config'"
    ))
    .await;
    for _ in 0..500 {
        if app.anon().get("/only_here").await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        app.anon().get("/only_here").await.pair(),
        (200, json!([{"one": 1}]))
    );
    assert_eq!(app.anon().get("/rows").await.status, 404);
    app.stop().await;

    let off = [("PGRST_DB_CONFIG", "false"), ("PGRST_DB_MAX_ROWS", "7")];
    let app = RestApp::rest_only_with(ROWS, &off).await;
    let role = login_role(&app.database).await;
    app.reload_after(&format!("alter role \"{role}\" set pgrst.db_max_rows = '5'"))
        .await;
    assert_eq!(count(&app.anon().get("/rows").await.json()), 7);
    app.stop().await;
}

#[tokio::test]
async fn a_function_makes_settings_too() {
    let function = "create schema conf; grant usage on schema conf to public;
        create function conf.make() returns void language sql as $$
          select set_config('pgrst.db_max_rows', '4', true), set_config('pgrst.db_aggregates_enabled', 'true', true)
        $$;";
    let app = RestApp::rest_only_with(
        &format!("{ROWS}{function}"),
        &[("PGRST_DB_PRE_CONFIG", "conf.make")],
    )
    .await;
    assert_eq!(count(&app.anon().get("/rows").await.json()), 4);
    let counted = app.anon().get("/rows?select=count()").await;
    assert_eq!(counted.pair(), (200, json!([{"count": 1500}])));
    app.stop().await;
}

#[tokio::test]
async fn on_supabases_surface_authenticators_settings_count() {
    let role =
        "do $$ begin create role authenticator noinherit; exception when duplicate_object then end $$;";
    let database = "do $$ begin
          execute format('alter role authenticator in database %I set pgrst.db_aggregates_enabled = ''true''', current_database());
        end $$;";
    let app = RestApp::supabase(&format!("{ROWS}{role}{database}")).await;
    let counted = app.anon().get("/rows?select=count()").await;
    assert_eq!(counted.pair(), (200, json!([{"count": 1500}])));
    app.stop().await;
}

#[tokio::test]
async fn settings_of_a_role_hold_for_its_requests() {
    // A role of its own, since roles are the whole cluster's.
    let name = format!("limited {}", uuid::Uuid::new_v4().simple());
    let app = RestApp::rest_only_with(ROWS, &[("PGRST_DB_ANON_ROLE", "anon")]).await;
    let login = login_role(&app.database).await;
    app.reload_after(&format!(
        "create role \"{name}\"; grant \"{name}\" to \"{login}\";
         alter role \"{name}\" set statement_timeout = '1234ms';
         alter role \"{name}\" set default_transaction_isolation = 'serializable'"
    ))
    .await;
    let claims = json!({ "role": name });
    let token = dropwire::auth::jwt::sign(&dropwire::config::Secret::new(dev::JWT_SECRET), &claims).unwrap();
    let limited = app.bearer(&token);
    for (setting, expected) in [
        ("statement_timeout", "1234ms"),
        ("transaction_isolation", "serializable"),
    ] {
        let path = format!("/rpc/setting?name={setting}");
        assert_eq!(limited.get(&path).await.pair(), (200, json!(expected)));
        assert_ne!(app.anon().get(&path).await.json(), json!(expected));
    }
    let leave = format!("drop owned by \"{name}\"; drop role \"{name}\"");
    app.run(&leave).await;
    app.stop().await;
}

#[tokio::test]
async fn ready_tells_of_a_schema_cache_that_cannot_be_reloaded() {
    for app in [
        RestApp::supabase(ROWS).await,
        RestApp::rest_only_with(ROWS, &[("PGRST_DB_SCHEMAS", "public, api")]).await,
    ] {
        assert_eq!(app.ready().await, (200, json!({"status": "ready"})));
        app.stop().await;
    }
    let app = RestApp::rest_only_with(ROWS, &[("PGRST_DB_SCHEMAS", "public, api")]).await;
    app.run("alter schema api rename to gone; notify pgrst, 'reload schema'")
        .await;
    let mut ready = app.ready().await;
    for _ in 0..500 {
        if ready.0 == 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        ready = app.ready().await;
    }
    let message = "The schema cache could not be reloaded, the old one is being served; see the server's log";
    assert_eq!(ready, (503, json!({"status": "unavailable", "message": message})));
    assert_eq!(
        app.anon().get("/rows?id=eq.1").await.pair(),
        (200, json!([{"id": 1}]))
    );
    app.reload_after("alter schema gone rename to api").await;
    assert_eq!(app.ready().await.0, 200);
    app.stop().await;
}

#[tokio::test]
async fn the_program_serves_rest_only_and_reloads_on_signals() {
    let database = TestDatabase::migrated().await;
    let owner = database.target().connect().await.unwrap();
    owner.batch_execute(ROWS).await.unwrap();
    let role = login_role(&database).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (uri, port) = (database.url_of(&role), port.to_string());
    let variables = [
        ("DATABASE_URL", uri.as_str()),
        ("PGRST_DB_ANON_ROLE", "anon"),
        ("PGRST_SERVER_HOST", "localhost"),
        ("PGRST_SERVER_PORT", &port),
        ("PGRST_DB_CHANNEL_ENABLED", "false"),
        ("PGRST_LOG_QUERY", "true"),
        ("DROPWIRE_LOG", "info"),
    ];
    let server = Running::start(&["serve", "--rest-only"], &variables);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |path: &str| {
        let answer = http.get(format!("http://127.0.0.1:{port}{path}")).send().await;
        answer.map_or(0, |answer| answer.status().as_u16())
    };
    let wait_for = async |path: &str, expected: u16| {
        let began = std::time::Instant::now();
        while status(path).await != expected {
            assert!(began.elapsed().as_secs() < 30, "{path}: {}", server.errors());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait_for("/rows?limit=1&id=eq.4711", 200).await;
    let log = server.wait_for_error(r#"from \"public\".\"rows\""#).await;
    assert!(!log.contains("4711"), "values are not logged: {log}");
    owner
        .batch_execute("create view public.late as select 1 as one; grant select on public.late to anon")
        .await
        .unwrap();
    assert_eq!(status("/late").await, 404);
    server.send(Signal::SIGUSR1);
    wait_for("/late", 200).await;
    owner
        .batch_execute(&format!(
            "alter role \"{role}\" in database \"{}\" set pgrst.db_schemas = 'api'",
            database.name
        ))
        .await
        .unwrap();
    server.send(Signal::SIGUSR2);
    wait_for("/only_here", 200).await;
    assert_eq!(server.signal(Signal::SIGTERM).await.code(), Some(0));
}

#[tokio::test]
async fn rest_only_without_a_database_or_with_a_wrong_setting_ends_with_code_2() {
    let missing = run(&["serve", "--rest-only"], &[]).await;
    assert_eq!(missing.code, Some(2));
    assert!(
        missing
            .stderr
            .starts_with("dropwire: PGRST_DB_URI is not set; needed is "),
        "{}",
        missing.stderr
    );
    let wrong = run(&["serve", "--rest-only"], &[("PGRST_DB_TX_END", "random")]).await;
    assert_eq!(wrong.code, Some(2));
    assert_eq!(
        wrong.stderr,
        "dropwire: PGRST_DB_TX_END: `random` is not allowed; allowed is commit, commit-allow-override, rollback or \
         rollback-allow-override\n"
    );
    let both = run(&["serve", "--rest-only", "--migrate"], &[]).await;
    assert_eq!(both.code, Some(2));
    assert!(both.stderr.contains("cannot be used with"), "{}", both.stderr);
    let data = TempDir::new();
    let supabase = run(
        &["serve", "--data-dir", data.text(), "--listen", "127.0.0.1:0"],
        &[("PGRST_LOG_LEVEL", "never")],
    )
    .await;
    assert_eq!(supabase.code, Some(2), "{}", supabase.stderr);
    assert!(!data.path().exists(), "it is refused before anything is touched");
}

#[tokio::test]
async fn dump_config_prints_the_settings_in_force() {
    let database = TestDatabase::migrated().await;
    let role = login_role(&database).await;
    let owner = database.target().connect().await.unwrap();
    owner
        .batch_execute(&format!(
            "alter role \"{role}\" in database \"{}\" set pgrst.db_max_rows = '5'",
            database.name
        ))
        .await
        .unwrap();
    let uri = database.url_of(&role);
    let dumped = run(
        &["serve", "--rest-only", "--dump-config"],
        &[
            ("PGRST_DB_URI", &uri),
            ("PGRST_DB_MAX_ROWS", "7"),
            ("PGRST_JWT_SECRET", dev::JWT_SECRET),
        ],
    )
    .await;
    assert_eq!(dumped.code, Some(0), "{}", dumped.stderr);
    for line in [
        "db-max-rows = 5\n",
        "db-uri = \"***\"\n",
        "jwt-secret = \"***\"\n",
        "db-pool = 10\n",
    ] {
        assert!(
            dumped.stdout.contains(line),
            "{line} is missing in\n{}",
            dumped.stdout
        );
    }
}
