//! Errors: every code that a request can get, with status, the four keys and `Proxy-Status`; what PostgreSQL says.

use dropwire::auth::jwt;
use dropwire::config::Secret;
use dropwire::dev;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::app::{RestApp, login_role};
use super::cases::{Wrong, api, api_with};

const SQL: &str = include_str!("errors.sql");

/// Method and path, headers, a body if it is not empty; then the status and the code.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    u16,
    &'static str,
);

async fn refuses(app: &RestApp, cases: &[Case]) {
    let mut wrong = Wrong::default();
    for (request, headers, body, status, code) in cases {
        let (method, path) = request.split_once(' ').unwrap();
        let mut client = app.anon();
        for (name, value) in *headers {
            client = client.with(name, value);
        }
        let answer = if method == "POST" {
            client.post_as(path, "application/json", *body).await
        } else {
            let body: Option<Value> = (!body.is_empty()).then(|| body.parse().unwrap());
            client.send(method.parse().unwrap(), path, body.as_ref()).await
        };
        wrong.unless_refused(request, &answer, *status, code);
    }
    wrong.none();
}

const SINGULAR: &[(&str, &str)] = &[("accept", "application/vnd.pgrst.object+json")];
const STRICT: &[(&str, &str)] = &[("prefer", "handling=strict, unheard-of")];
const MERGE: &[(&str, &str)] = &[("prefer", "resolution=merge-duplicates")];
const AT_MOST_ONE: &[(&str, &str)] = &[("prefer", "handling=strict, max-affected=1")];

/// The codes that requests get by themselves.
const CODES: &[Case] = &[
    ("GET /things?select=id:", &[], "", 400, "PGRST100"),
    ("PUT /rpc/twice", &[], "{}", 405, "PGRST101"),
    ("POST /things", &[], "{", 400, "PGRST102"),
    ("GET /things", &[("range", "9-1")], "", 416, "PGRST103"),
    ("PUT /things", &[], r#"{"id": 1}"#, 405, "PGRST105"),
    (
        "GET /things",
        &[("accept-profile", "elsewhere")],
        "",
        406,
        "PGRST106",
    ),
    (
        "POST /things",
        &[("content-profile", "elsewhere")],
        "{}",
        406,
        "PGRST106",
    ),
    ("GET /things", &[("accept", "image/png")], "", 406, "PGRST107"),
    ("GET /things?owners.id=eq.1", &[], "", 400, "PGRST108"),
    (
        "POST /rpc/with_headers",
        &[],
        r#"{"value": "{}"}"#,
        500,
        "PGRST111",
    ),
    (
        "POST /rpc/with_status",
        &[],
        r#"{"value": "fine"}"#,
        500,
        "PGRST112",
    ),
    (
        "PUT /things?id=eq.1&limit=1",
        &[],
        r#"{"id": 1, "name": "x"}"#,
        400,
        "PGRST114",
    ),
    (
        "PUT /things?id=eq.1",
        &[],
        r#"{"id": 2, "name": "x", "owner_id": null}"#,
        400,
        "PGRST115",
    ),
    ("GET /things", SINGULAR, "", 406, "PGRST116"),
    ("TRACK /things", &[], "", 405, "PGRST117"),
    (
        "GET /owners?select=*,things(*)&order=things(id)",
        &[],
        "",
        400,
        "PGRST118",
    ),
    (
        "POST /rpc/answered",
        &[],
        r#"{"message": "x", "detail": "{}"}"#,
        500,
        "PGRST121",
    ),
    ("GET /things", STRICT, "", 400, "PGRST122"),
    ("GET /things?select=count()", &[], "", 400, "PGRST123"),
    ("DELETE /things?id=gt.0", AT_MOST_ONE, "", 400, "PGRST124"),
    ("GET /things/1", &[], "", 404, "PGRST125"),
    (
        "POST /rpc/twice",
        AT_MOST_ONE,
        r#"{"number": 1}"#,
        400,
        "PGRST128",
    ),
    ("GET /things?select=circular(*)", &[], "", 400, "PGRST200"),
    ("GET /rpc/thrice", &[], "", 404, "PGRST202"),
    ("GET /rpc/either?a=1", &[], "", 300, "PGRST203"),
    ("POST /things?columns=id,nothing", &[], "{}", 400, "PGRST204"),
    ("POST /things", &[], r#"{"nothing": 1}"#, 400, "PGRST204"),
    ("GET /thingies", &[], "", 404, "PGRST205"),
    (
        "GET /things",
        &[("authorization", "Bearer a.b")],
        "",
        401,
        "PGRST301",
    ),
];

#[tokio::test]
async fn every_code_of_the_request_is_reached() {
    let app = api_with(SQL, &[("PGRST_DB_AGGREGATES_ENABLED", "false")]).await;
    refuses(&app, CODES).await;
    let left: i64 = app
        .db
        .query_one("select count(*) from api.things", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 2);
    app.stop().await;
}

#[tokio::test]
async fn codes_that_settings_make_are_reached() {
    let app = api_with(SQL, &[("PGRST_OPENAPI_MODE", "disabled")]).await;
    let cases: &[Case] = &[
        ("GET /", &[], "", 404, "PGRST126"),
        (
            "GET /owners?select=id,...things(id.sum())",
            &[],
            "",
            400,
            "PGRST127",
        ),
    ];
    refuses(&app, cases).await;
    app.stop().await;
    // No anonymous role, and an expired token.
    let app = api_with(SQL, &[("PGRST_DB_ANON_ROLE", "")]).await;
    refuses(&app, &[("GET /things", &[], "", 401, "PGRST302")]).await;
    let claims = json!({"role": "authenticated", "exp": 1});
    let token = jwt::sign(&Secret::new(dev::JWT_SECRET), &claims).unwrap();
    let expired = app.bearer(&token).get("/things").await;
    let body = json!({"code": "PGRST303", "message": "JWT expired", "details": null, "hint": null});
    assert_eq!(expired.pair(), (401, body));
    app.stop().await;
    let app = api_with(SQL, &[("PGRST_JWT_SECRET", "")]).await;
    refuses(
        &app,
        &[(
            "GET /things",
            &[("authorization", "Bearer a.b.c")],
            "",
            500,
            "PGRST300",
        )],
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn what_postgresql_refuses_is_told_in_its_words() {
    let app = api(SQL).await;
    let cases: &[Case] = &[
        ("GET /locked", &[], "", 401, "42501"),
        ("GET /circular", &[], "", 500, "42P17"),
        ("GET /things?id=eq.x", &[], "", 400, "22P02"),
        ("GET /things?nothing=eq.1", &[], "", 400, "42703"),
        ("GET /things?id=cs.{1}", &[], "", 404, "42883"),
        ("POST /things", &[], r#"{"id": 1, "name": "again"}"#, 409, "23505"),
        (
            "POST /things",
            &[],
            r#"{"id": 3, "name": "x", "owner_id": 99}"#,
            409,
            "23503",
        ),
        ("POST /things", &[], r#"{"id": 3}"#, 400, "23502"),
        ("POST /things", &[], r#"{"id": 3, "name": ""}"#, 400, "23514"),
        (
            "POST /things",
            MERGE,
            r#"[{"id": 1, "name": "x"}, {"id": 1, "name": "y"}]"#,
            400,
            "21000",
        ),
        ("POST /counted", &[], r#"{"things": 1}"#, 405, "55000"),
        (
            "PATCH /counted?things=eq.1",
            &[],
            r#"{"things": 1}"#,
            405,
            "55000",
        ),
        ("DELETE /counted?things=eq.1", &[], "", 405, "55000"),
        ("DELETE /owners?id=eq.1", &[], "", 409, "23503"),
    ];
    refuses(&app, cases).await;
    let taken = app
        .anon()
        .post("/things", &json!({"id": 1, "name": "again"}))
        .await;
    let body = json!({
        "code": "23505", "message": "duplicate key value violates unique constraint \"things_pkey\"",
        "details": "Key (id)=(1) already exists.", "hint": null,
    });
    assert_eq!(taken.pair(), (409, body));
    app.stop().await;
}

#[tokio::test]
async fn a_missing_privilege_is_401_for_nobody_and_403_for_somebody() {
    let app = api(SQL).await;
    let body = json!({
        "code": "42501", "message": "permission denied for table locked", "details": null, "hint": null,
    });
    let nobody = app.anon().get("/locked").await;
    assert_eq!(nobody.pair(), (401, body.clone()));
    assert_eq!(nobody.headers["www-authenticate"], "Bearer");
    let somebody = app.user(Uuid::new_v4()).get("/locked").await;
    assert_eq!(somebody.pair(), (403, body));
    assert!(!somebody.headers.contains_key("www-authenticate"));
    app.stop().await;
}

#[tokio::test]
async fn a_raised_state_decides_the_status() {
    let app = api(SQL).await;
    let mut wrong = Wrong::default();
    for (state, status) in [
        ("P0001", 400),
        ("P0002", 500),
        ("PT402", 402),
        ("PT418", 418),
        ("PT000", 500),
        ("22012", 400),
        ("23503", 409),
        ("25006", 405),
        ("28000", 403),
        ("0LP01", 403),
        ("42P01", 404),
        ("40001", 500),
        ("53400", 500),
        ("53300", 503),
        ("57014", 500),
        ("08006", 503),
        ("54001", 500),
        ("XX000", 500),
        ("ZZZZZ", 400),
    ] {
        let answer = app.anon().post("/rpc/raised", &json!({"state": state})).await;
        wrong.unless_refused(state, &answer, status, state);
        let told = json!({"code": state, "message": "m", "details": "d", "hint": "h"});
        wrong.unless(state, &answer.json(), &told);
    }
    wrong.none();
    // An error raised is an error of the request alone.
    assert_eq!(app.anon().get("/things?id=eq.1").await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_raised_answer_is_the_answer() {
    let app = api(SQL).await;
    let raised = async |message: Value, detail: Value| {
        let arguments = json!({"message": message.to_string(), "detail": detail.to_string()});
        app.anon().post("/rpc/answered", &arguments).await
    };
    let quota = json!({"code": "123", "message": "Quota", "details": "used up", "hint": "pay"});
    let answer = raised(
        quota.clone(),
        json!({"status": 402, "headers": {"X-Quota": "0", "Retry-After": "60"}}),
    )
    .await;
    assert_eq!(answer.pair(), (402, quota));
    assert_eq!(answer.headers["x-quota"], "0");
    assert_eq!(answer.headers["retry-after"], "60");
    assert_eq!(answer.headers["proxy-status"], "PostgREST; error=123");
    let short = raised(
        json!({"code": "1", "message": "m"}),
        json!({"status": 404, "headers": {}}),
    )
    .await;
    assert_eq!(
        short.pair(),
        (
            404,
            json!({"code": "1", "message": "m", "details": null, "hint": null})
        )
    );
    app.stop().await;
}

#[tokio::test]
async fn a_near_miss_gets_a_hint() {
    let app = api(SQL).await;
    for (path, hint) in [
        ("/thing", json!("Perhaps you meant the table 'api.things'")),
        ("/zzz", Value::Null),
        // Nothing is told of schemas that are not exposed.
        ("/tickets", Value::Null),
        (
            "/rpc/twise?number=1",
            json!("Perhaps you meant to call the function api.twice"),
        ),
        (
            "/rpc/twice?nunber=1",
            json!("Perhaps you meant to call the function api.twice(number)"),
        ),
        (
            "/things?select=owner(name)",
            json!("Perhaps you meant 'owners' instead of 'owner'."),
        ),
    ] {
        assert_eq!(app.anon().get(path).await.json()["hint"], hint, "{path}");
    }
    let schema = app
        .anon()
        .with("accept-profile", "elsewhere")
        .get("/things")
        .await
        .json();
    assert_eq!(schema["message"], "Invalid schema: elsewhere");
    assert_eq!(schema["hint"], "Only the following schemas are exposed: api");
    app.stop().await;
}

#[tokio::test]
async fn a_terse_server_says_code_and_message_alone() {
    let app = api_with(SQL, &[("PGRST_CLIENT_ERROR_VERBOSITY", "minimal")]).await;
    let answer = app
        .anon()
        .post("/things", &json!({"id": 1, "name": "again"}))
        .await;
    let message = "duplicate key value violates unique constraint \"things_pkey\"";
    assert_eq!(answer.pair(), (409, json!({"code": "23505", "message": message})));
    app.stop().await;
}

#[tokio::test]
async fn a_refusal_of_head_has_no_body() {
    let app = api(SQL).await;
    for (path, status) in [
        ("/nothing", 404),
        ("/things?id=eq.x", 400),
        ("/things?select=id:", 400),
    ] {
        let answer = app.anon().send(Method::HEAD, path, None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (status, ""),
            "{path}"
        );
        assert!(
            answer.headers["proxy-status"]
                .to_str()
                .unwrap()
                .starts_with("PostgREST; error=")
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn a_database_that_takes_no_connections_is_503_until_it_does() {
    let app = api_with(SQL, &[("PGRST_DB_POOL", "1")]).await;
    let mut wrong = Wrong::default();
    // A connection that ends within a request is replaced for the next one.
    let ended = app.anon().post("/rpc/end_connection", &json!({})).await;
    wrong.unless_refused("ended", &ended, 503, "57P01");
    let after = app.anon().get("/things?id=eq.1").await;
    wrong.unless("after", &after.status.as_u16(), &200);
    let name = &app.database.name;
    let login = login_role(&app.database).await;
    let from = format!("connect on database \"{name}\" from public, \"{login}\"");
    app.run(&format!("revoke {from}")).await;
    app.run("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()").await;
    // The connection that was ended may tell that first.
    let mut down = app.anon().get("/things").await;
    for _ in 0..100 {
        if down.json()["code"] == "PGRST000" {
            break;
        }
        wrong.unless("down", &down.status.as_u16(), &503);
        down = app.anon().get("/things").await;
    }
    wrong.unless_refused("down", &down, 503, "PGRST000");
    app.run(&format!("grant connect on database \"{name}\" to public"))
        .await;
    let up = app.anon().get("/things?id=eq.1").await;
    wrong.unless("up", &up.status.as_u16(), &200);
    wrong.none();
    app.stop().await;
}
