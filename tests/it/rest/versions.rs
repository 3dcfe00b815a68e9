//! Where PostgREST 14, which Supabase runs, and PostgREST 16 answer otherwise: 16 is followed. Two switches lead back.
//! And where neither is followed, on purpose.

use serde_json::json;

use super::cases::{Wrong, api, api_with, reads};
use super::writing::{SQL, have_header, send};

const FUNCTIONS: &str = r#"
    create function api.first_item() returns api.items stable language sql as
    $$ select i from api.items i order by id limit 1 $$;
    create function api.fail() returns int stable language plpgsql as $$ begin raise 'no'; end $$;
    create view api.json_rows as select '{"b": 1,   "a": 2}'::json as j, '{"b": 1,   "a": 2}'::jsonb as b;
    grant select on api.json_rows to anon;"#;

#[tokio::test]
async fn an_unknown_timezone_is_refused_before_anything_else_the_database_finds() {
    let app = api(SQL).await;
    let anon = app.anon();
    let mut wrong = Wrong::default();
    for (request, prefer, body) in [
        ("GET /items", "timezone=Nope/Zone", ""),
        ("GET /items?id=eq.x", "timezone=Nope/Zone, handling=strict", ""),
        ("POST /items", "timezone=Nope/Zone", r#"{"id": 1, "name": "a"}"#),
        ("PATCH /items?id=eq.1", "timezone=Nope/Zone", r#"{"name": null}"#),
    ] {
        let answer = send(&anon, request, prefer, body).await;
        wrong.unless_refused(request, &answer, 400, "22023");
    }
    // What is found before the database is asked comes first.
    let strict = "timezone=Nope/Zone, handling=strict, max-affected=1";
    let scalar = send(&anon, "POST /rpc/count_items", strict, "{}").await;
    wrong.unless_refused("max-affected", &scalar, 400, "PGRST128");
    let numeric = send(
        &anon,
        "GET /items?limit=0",
        "timezone=+05:00, handling=strict",
        "",
    )
    .await;
    wrong.unless("offset", &numeric.status.as_u16(), &200);
    wrong.none();
    app.stop().await;
}

#[tokio::test]
async fn counts_see_the_limits_of_embeds_and_calls_that_return_one_row_count_one() {
    let app = api(&format!("{SQL}{FUNCTIONS}")).await;
    let exact = "count=exact";
    have_header(
        &app.anon(),
        "content-range",
        &[
            (
                "GET /owners?select=id,items!inner(id)&items.limit=0",
                exact,
                "",
                200,
                "*/0",
            ),
            (
                "GET /owners?select=id,items!inner(id)&items.limit=0&limit=5",
                exact,
                "",
                206,
                "*/2",
            ),
            ("GET /rpc/first_item?id=eq.9", exact, "", 200, "0-0/1"),
            ("HEAD /rpc/fail", exact, "", 200, "0-0/1"),
            ("HEAD /rpc/fail", "", "", 200, "0-0/*"),
        ],
    )
    .await;
    let filtered = send(&app.anon(), "GET /rpc/first_item?id=eq.9", exact, "").await;
    assert_eq!(filtered.text, "null");
    app.stop().await;
}

#[tokio::test]
async fn an_embeds_json_is_not_read_as_jsonb() {
    // Blanks and the order of keys stay, which jsonb would change.
    let app = api(&format!("{SQL}{FUNCTIONS}")).await;
    let answer = app.anon().get("/json_rows").await;
    assert_eq!(answer.text, r#"[{"j":{"b": 1,   "a": 2},"b":{"a": 2, "b": 1}}]"#);
    let embed = app.anon().get("/items?select=id,owners(id,name)&id=eq.1").await;
    assert_eq!(embed.text, r#"[{"id":1,"owners":{"id":1,"name":"Ada"}}]"#);
    app.stop().await;
}

#[tokio::test]
async fn a_handler_that_returns_jsonb_has_its_version_byte_before_it() {
    let handler = r#"create domain api."application/vnd.kept+json" as jsonb;
        create function api.kept() returns api."application/vnd.kept+json" stable language sql as $$ select '{"a": 1}'::jsonb $$;"#;
    let app = api(&format!("{SQL}{handler}")).await;
    let answer = app
        .anon()
        .with("accept", "application/vnd.kept+json")
        .get("/rpc/kept")
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (200, "\u{1}{\"a\": 1}")
    );
    assert_eq!(answer.headers["content-type"], "application/vnd.kept+json");
    app.stop().await;
}

#[tokio::test]
async fn an_impossible_status_is_answered_with_500() {
    let raise = r#"create function api.raise(status int) returns void language plpgsql as $$
        begin
          raise sqlstate 'PGRST' using message = '{"code": "1", "message": "m"}',
            detail = json_build_object('status', status, 'headers', '{}'::json)::text;
        end $$;"#;
    let app = api(&format!("{SQL}{raise}")).await;
    for status in [-1, 0, 99, 100, 1000, 70_000] {
        let answer = app.anon().post("/rpc/raise", &json!({"status": status})).await;
        assert_eq!(answer.status, 500, "{status}: {answer:?}");
    }
    assert_eq!(
        app.anon()
            .post("/rpc/raise", &json!({"status": 999}))
            .await
            .status,
        999
    );
    app.stop().await;
}

#[tokio::test]
async fn written_rows_are_ordered_by_columns_that_are_not_selected() {
    let app = api_with(SQL, &[("PGRST_DB_TX_END", "rollback")]).await;
    for (request, body) in [
        ("PATCH /items?select=name&order=qty.desc", r#"{"owner_id": 1}"#),
        ("DELETE /items?select=name&order=qty.desc", ""),
    ] {
        let answer = send(&app.anon(), request, "return=representation", body).await;
        let expected = json!([{"name": "cloth"}, {"name": "nut"}, {"name": "bolt"}]);
        assert_eq!(answer.pair(), (200, expected), "{request}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_write_needs_no_more_rights_than_its_answer() {
    let sql = format!("{SQL} revoke select on api.items from anon; grant select (id) on api.items to anon;");
    let app = api(&sql).await;
    let row = r#"{"id": 4, "name": "a"}"#;
    for (prefer, status) in [("return=headers-only", 201), ("return=representation", 401)] {
        let answer = send(&app.anon(), "POST /items", prefer, row).await;
        assert_eq!(answer.status, status, "{prefer}: {answer:?}");
    }
    app.run("revoke select on api.items from anon; revoke select (id) on api.items from anon")
        .await;
    assert_eq!(
        send(&app.anon(), "POST /items", "", r#"{"id": 5, "name": "a"}"#)
            .await
            .status,
        201
    );
    app.stop().await;
}

#[tokio::test]
async fn a_schema_of_the_extra_search_path_may_be_missing() {
    let app = api_with(SQL, &[("PGRST_DB_EXTRA_SEARCH_PATH", "nowhere, public")]).await;
    reads(&app.anon(), &[("/items?select=id&id=eq.1", r#"[{"id": 1}]"#)]).await;
    assert_eq!(app.ready().await.0, 200);
    app.stop().await;
}

#[tokio::test]
async fn geojson_is_406_where_there_is_no_postgis() {
    let app = api(SQL).await;
    let answer = app
        .anon()
        .with("accept", "application/geo+json")
        .get("/items")
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["code"]),
        (406, &json!("PGRST107"))
    );
    app.stop().await;
}
