//! What SQL code sees of a request: role, settings, pre-request, access mode, isolation.

use dropwire::auth::jwt;
use dropwire::config::Secret;
use dropwire::dev;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::app::{RestApp, RestClient, login_role};
use super::cases::{Wrong, api_with};

const SQL: &str = include_str!("session.sql");

async fn app_with(variables: &[(&str, &str)]) -> RestApp {
    api_with(SQL, variables).await
}

fn holder<'a>(app: &'a RestApp, claims: &Value) -> RestClient<'a> {
    app.bearer(&jwt::sign(&Secret::new(dev::JWT_SECRET), claims).unwrap())
}

/// The value of a setting in a call that changes nothing.
async fn setting(client: &RestClient<'_>, name: &str) -> Value {
    let answer = client.get(&format!("/rpc/setting?name={name}")).await;
    assert_eq!(answer.status, 200, "{name}: {answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_request_runs_as_the_role_of_its_token() {
    let app = app_with(&[]).await;
    let user = json!({"role": "authenticated", "sub": Uuid::from_u128(7)});
    for (client, role) in [
        (app.anon(), "anon"),
        (holder(&app, &user), "authenticated"),
        (app.service_role(), "service_role"),
    ] {
        assert_eq!(client.get("/who").await.json(), json!([{"who": role}]));
        assert_eq!(client.post("/rpc/whoami", &json!({})).await.json(), json!(role));
        // With the rights of that role.
        let secret = client.get("/for_service").await;
        assert_eq!(
            secret.status.as_u16(),
            match role {
                "anon" => 401,
                "authenticated" => 403,
                _ => 200,
            }
        );
    }
    let unknown = holder(&app, &json!({"role": "nobody in particular"}))
        .get("/who")
        .await;
    let expected = json!({
        "code": "22023", "details": null, "hint": null, "message": "role \"nobody in particular\" does not exist"
    });
    assert_eq!(unknown.pair(), (401, expected));
    // One that the login role may not become.
    let owner = holder(&app, &json!({"role": "postgres"})).get("/who").await;
    assert_eq!(
        (owner.status.as_u16(), &owner.json()["code"]),
        (403, &json!("42501"))
    );
    for role in ["none", "None", "NONE"] {
        let refused = holder(&app, &json!({"role": role})).get("/who").await;
        assert_eq!(refused.status, 401, "{role}: {refused:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_request_is_shown_in_settings() {
    let app = app_with(&[("PGRST_APP_SETTINGS_WORD", "x")]).await;
    let user = json!({"role": "authenticated", "sub": "7", "deep": {"a": [1, null]}});
    let client = holder(&app, &user)
        .with("x-odd", "\"quoted\" \\ ü")
        .with("cookie", "a=1; b=\"2\"");
    assert_eq!(setting(&client, "request.method").await, "GET");
    assert_eq!(setting(&client, "request.path").await, "/rpc/setting");
    assert_eq!(setting(&client, "search_path").await, r#""api", "public""#);
    let parse = |text: Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
    assert_eq!(parse(setting(&client, "request.jwt.claims").await), user);
    let headers = parse(setting(&client, "request.headers").await);
    assert_eq!(headers["x-odd"], "\"quoted\" \\ ü");
    assert!(headers["authorization"].as_str().unwrap().starts_with("Bearer "));
    assert!(headers.get("cookie").is_none(), "{headers}");
    assert_eq!(
        parse(setting(&client, "request.cookies").await),
        json!({"a": "1", "b": "\"2\""})
    );
    let posted = client
        .post("/rpc/setting", &json!({"name": "request.method"}))
        .await;
    assert_eq!(posted.json(), "POST");
    // The encoded path, as it was sent.
    let path = client.get("/rpc/s%65tting?name=request.path").await;
    assert_eq!(path.json(), "/rpc/s%65tting");
    app.stop().await;
}

#[tokio::test]
async fn nothing_of_a_request_is_left_for_the_next() {
    // One connection for all of them.
    let app = app_with(&[("PGRST_DB_POOL", "1")]).await;
    let clean = async |after: &str| {
        assert_eq!(
            app.anon().get("/who").await.json(),
            json!([{"who": "anon"}]),
            "{after}"
        );
        let claims = setting(&app.anon(), "request.jwt.claims").await;
        assert_eq!(claims, r#"{"role":"anon"}"#, "{after}");
        assert_eq!(setting(&app.anon(), "my.own").await, Value::Null, "{after}");
    };
    clean("nothing").await;
    let user = holder(&app, &json!({"role": "authenticated", "sub": "7"}));
    let requests: [(&str, Method, &str, Value, u16); 6] = [
        ("a read", Method::GET, "/who", json!(null), 200),
        (
            "a setting of its own",
            Method::POST,
            "/rpc/set_own",
            json!({}),
            200,
        ),
        ("an error", Method::POST, "/rpc/fail", json!({}), 400),
        (
            "an error of the planner",
            Method::GET,
            "/who?nothing=eq.1",
            json!(null),
            400,
        ),
        ("a broken claim", Method::GET, "/who?who=in.(1", json!(null), 400),
        (
            "another role by itself",
            Method::POST,
            "/rpc/become",
            json!({}),
            200,
        ),
    ];
    for (what, method, path, body, status) in requests {
        let body = Some(&body).filter(|body| !body.is_null());
        let answer = user.send(method, path, body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        clean(what).await;
    }
    app.stop().await;
}

#[tokio::test]
async fn an_error_in_sql_code_undoes_the_request() {
    let app = app_with(&[]).await;
    let failed = app.anon().post("/rpc/fail_after_writing", &json!({})).await;
    let told = json!({"code": "PT402", "details": null, "hint": "Pay", "message": "no"});
    assert_eq!(failed.pair(), (402, told));
    assert_eq!(app.anon().get("/notes").await.json(), json!([]));
    app.stop().await;
}

#[tokio::test]
async fn settings_of_a_role_bound_it_and_those_of_a_function_come_after() {
    let app = app_with(&[]).await;
    let login = login_role(&app.database).await;
    let name = format!("hasty {}", Uuid::new_v4().simple());
    app.reload_after(&format!(
        "create role \"{name}\"; grant \"{name}\" to \"{login}\"; grant usage on schema api to \"{name}\";
         alter role \"{name}\" set statement_timeout = '100ms';"
    ))
    .await;
    let hasty = holder(&app, &json!({"role": name}));
    let slow = hasty.post("/rpc/rest_a_while", &json!({})).await;
    assert_eq!(
        (slow.status.as_u16(), &slow.json()["code"]),
        (500, &json!("57014")),
        "{slow:?}"
    );
    assert_eq!(app.anon().post("/rpc/rest_a_while", &json!({})).await.status, 204);
    // The function allows itself more.
    assert_eq!(hasty.post("/rpc/rest_patiently", &json!({})).await.status, 204);
    app.run(&format!("drop owned by \"{name}\"; drop role \"{name}\""))
        .await;
    app.stop().await;
}

#[tokio::test]
async fn a_pre_request_runs_before_each_statement_as_its_role() {
    let app = app_with(&[("PGRST_DB_PRE_REQUEST", "hidden.check_request")]).await;
    for (client, role) in [(app.anon(), "anon"), (app.service_role(), "service_role")] {
        assert_eq!(
            setting(&client, "my.checked").await,
            format!("{role} GET /rpc/setting")
        );
        let read = client.get("/who").await;
        assert_eq!(read.headers["x-checked"], role);
        let written = client.post("/notes", &json!({"note": "a"})).await;
        assert_eq!(
            (written.status.as_u16(), &written.headers["x-checked"]),
            (201, &role.parse().unwrap())
        );
    }
    // It may refuse, and then nothing else happens.
    let barred = app.anon().with("x-barred", "yes");
    for (method, path) in [
        (Method::GET, "/who"),
        (Method::POST, "/notes"),
        (Method::GET, "/"),
    ] {
        let body = json!({"note": "b"});
        let answer = barred
            .send(method.clone(), path, (method == Method::POST).then_some(&body))
            .await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["message"]),
            (402, &json!("Pay first")),
            "{path}"
        );
    }
    let notes: i64 = app
        .db
        .query_one("select count(*) from api.notes", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(notes, 2);
    app.stop().await;
}

#[tokio::test]
async fn what_only_reads_is_read_only() {
    let app = app_with(&[]).await;
    let anon = app.anon();
    let args = json!({"name": "transaction_read_only"});
    let mut wrong = Wrong::default();
    for (method, path, body, mode) in [
        (Method::GET, "/rpc/setting?name=transaction_read_only", None, "on"),
        (
            Method::GET,
            "/rpc/volatile_setting?name=transaction_read_only",
            None,
            "on",
        ),
        (Method::POST, "/rpc/setting", Some(&args), "on"),
        (Method::POST, "/rpc/volatile_setting", Some(&args), "off"),
    ] {
        let answer = anon.send(method.clone(), path, body).await;
        wrong.unless(&format!("{method} {path}"), &answer.json(), &json!(mode));
    }
    let read = anon.get("/modes?select=read_only").await.json();
    wrong.unless("GET", &read, &json!([{"read_only": "on"}]));
    // A write in what only reads is a matter of the method.
    for (method, path) in [(Method::GET, "/rpc/add_note"), (Method::GET, "/sly")] {
        let answer = anon.send(method, path, None).await;
        wrong.unless_refused(path, &answer, 405, "25006");
    }
    wrong.unless(
        "POST",
        &anon.post("/rpc/add_note", &json!({})).await.status.as_u16(),
        &204,
    );
    wrong.none();
    app.stop().await;
}

#[tokio::test]
async fn functions_and_roles_choose_their_isolation() {
    let app = app_with(&[]).await;
    let login = login_role(&app.database).await;
    let name = format!("strict {}", Uuid::new_v4().simple());
    app.reload_after(&format!(
        "create role \"{name}\"; grant \"{name}\" to \"{login}\"; grant usage on schema api to \"{name}\";
         grant select on api.modes to \"{name}\";
         alter role \"{name}\" set default_transaction_isolation = 'serializable';"
    ))
    .await;
    let strict = holder(&app, &json!({"role": name}));
    let anon = app.anon();
    let mut wrong = Wrong::default();
    for (client, who, path, level) in [
        (&anon, "anon", "/rpc/isolation", "read committed"),
        (&anon, "anon", "/rpc/isolation_repeatable", "repeatable read"),
        (&anon, "anon", "/rpc/isolation_serializable", "serializable"),
        (&strict, "strict", "/rpc/isolation", "serializable"),
        // The function has the last word.
        (&strict, "strict", "/rpc/isolation_repeatable", "repeatable read"),
    ] {
        for method in [Method::GET, Method::POST] {
            let body = json!({});
            let answer = client
                .send(method.clone(), path, (method == Method::POST).then_some(&body))
                .await;
            wrong.unless(&format!("{who} {method} {path}"), &answer.json(), &json!(level));
        }
    }
    for (client, level) in [(&anon, "read committed"), (&strict, "serializable")] {
        let read = client.get("/modes?select=isolation").await;
        wrong.unless(level, &read.json(), &json!([{"isolation": level}]));
    }
    wrong.none();
    app.run(&format!("drop owned by \"{name}\"; drop role \"{name}\""))
        .await;
    app.stop().await;
}
