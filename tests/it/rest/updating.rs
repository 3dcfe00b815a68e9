//! PATCH: which rows, with what, what is returned, and when nothing is changed.

use serde_json::{Value, json};

use super::app::RestApp;
use super::cases::api;
use super::writing::{SQL, STOCK, have_header, refused, rolled_back, send, stock, writes};

const FULL: &str = "return=representation";

#[tokio::test]
async fn the_rows_that_are_found_are_changed_and_no_other() {
    let app = api(SQL).await;
    let answer = send(&app.anon(), "PATCH /items?id=lt.3", "", r#"{"qty": 7}"#).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    for absent in ["content-type", "content-length", "preference-applied", "location"] {
        assert!(!answer.headers.contains_key(absent), "{absent}: {answer:?}");
    }
    assert_eq!(stock(&app).await, "1 bolt 7, 2 nut 7, 3 cloth 30");
    let nothing = send(&app.anon(), "PATCH /items?id=eq.9", "", r#"{"qty": 8}"#).await;
    assert_eq!(nothing.status, 204);
    assert_eq!(stock(&app).await, "1 bolt 7, 2 nut 7, 3 cloth 30");
    app.stop().await;
}

#[tokio::test]
async fn filters_of_every_kind_choose_and_what_was_written_is_returned() {
    let app = rolled_back().await;
    let cases = [
        (
            "PATCH /items?id=eq.1&select=id,qty,doubled",
            FULL,
            r#"{"qty": 7}"#,
            200,
            r#"[{"id": 1, "qty": 7, "doubled": 14}]"#,
        ),
        (
            "PATCH /items?or=(id.eq.1,name.like.cl*)&select=id&order=id.desc",
            FULL,
            r#"{"qty": 7}"#,
            200,
            r#"[{"id": 3}, {"id": 1}]"#,
        ),
        (
            "PATCH /items?tags=cs.{small}&select=id",
            FULL,
            r#"{"tags": ["x"]}"#,
            200,
            r#"[{"id": 2}]"#,
        ),
        (
            "PATCH /items?id=in.(1,2)&owner_id=not.eq.1",
            FULL,
            r#"{"qty": 7}"#,
            200,
            "[]",
        ),
        // Returned by their new values, though found by the old ones.
        (
            "PATCH /items?qty=eq.10&select=qty",
            FULL,
            r#"{"qty": 11}"#,
            200,
            r#"[{"qty": 11}]"#,
        ),
        (
            "PATCH /items?id=eq.1&select=id,name",
            FULL,
            r#"{"id": 8}"#,
            200,
            r#"[{"id": 8, "name": "bolt"}]"#,
        ),
        (
            "PATCH /items?id=eq.1&select=tags,spec,place",
            FULL,
            r#"{"tags": "{a}", "spec": {"a": [1]}, "place": {"shelf": 2}}"#,
            200,
            r#"[{"tags": ["a"], "spec": {"a": [1]}, "place": {"aisle": null, "shelf": 2}}]"#,
        ),
        (
            "PATCH /items?id=eq.1&select=qty",
            FULL,
            r#"{"qty": null}"#,
            200,
            r#"[{"qty": null}]"#,
        ),
        (
            "PATCH /items?id=eq.1&select=qty,owners(name)",
            FULL,
            r#"{"owner_id": 2}"#,
            200,
            r#"[{"qty": 10, "owners": {"name": "Bob"}}]"#,
        ),
        (
            "PATCH /owners?id=eq.1&select=name,items(name)&items.id=eq.2",
            FULL,
            r#"{"name": "A"}"#,
            200,
            r#"[{"name": "A", "items": [{"name": "nut"}]}]"#,
        ),
    ];
    writes(&app.anon(), &cases).await;
    assert_eq!(stock(&app).await, STOCK);
    app.stop().await;
}

#[tokio::test]
async fn only_the_columns_of_the_body_are_written() {
    let app = rolled_back().await;
    let cases = [
        // Of the body, the columns alone.
        (
            "PATCH /items?id=eq.1&columns=qty&select=name,qty",
            FULL,
            r#"{"qty": 7, "name": "x", "colour": "red"}"#,
            200,
            r#"[{"name": "bolt", "qty": 7}]"#,
        ),
        (
            "PATCH /items?id=eq.1&columns=name,qty&select=name,qty",
            "return=representation, missing=default",
            r#"{"name": "x"}"#,
            200,
            r#"[{"name": "x", "qty": 1}]"#,
        ),
        // Nothing to change changes nothing.
        ("PATCH /items?id=eq.1", "", "{}", 204, ""),
        ("PATCH /items?id=eq.1", FULL, "{}", 200, "[]"),
        ("PATCH /items", FULL, "{}", 200, "[]"),
        // Views.
        (
            "PATCH /item_names?id=eq.1",
            FULL,
            r#"{"name": "x"}"#,
            200,
            r#"[{"id": 1, "name": "x"}]"#,
        ),
        (
            "PATCH /shouted?id=eq.1",
            FULL,
            r#"{"loud": "X"}"#,
            200,
            r#"[{"id": 1, "loud": "X"}]"#,
        ),
    ];
    writes(&app.anon(), &cases).await;
    assert_eq!(stock(&app).await, STOCK);
    app.stop().await;
}

#[tokio::test]
async fn content_range_tells_how_many_were_changed() {
    let app = rolled_back().await;
    have_header(
        &app.anon(),
        "content-range",
        &[
            ("PATCH /items?id=lt.3", "", r#"{"qty": 7}"#, 204, "0-1/*"),
            (
                "PATCH /items?id=lt.3",
                "count=exact",
                r#"{"qty": 7}"#,
                204,
                "0-1/2",
            ),
            (
                "PATCH /items?id=lt.3",
                "count=exact, return=representation",
                r#"{"qty": 7}"#,
                200,
                "0-1/2",
            ),
            ("PATCH /items?id=eq.9", "", r#"{"qty": 7}"#, 204, "*/*"),
            ("PATCH /items?id=eq.9", "count=exact", r#"{"qty": 7}"#, 204, "*/0"),
            ("PATCH /items?id=eq.1", "", "{}", 204, "*/*"),
        ],
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn what_the_database_would_not_take_is_refused() {
    let app = rolled_back().await;
    refused(
        &app.anon(),
        &[
            ("PATCH /items?id=eq.1", "", r#"{"doubled": 7}"#, 400, "428C9"),
            ("PATCH /receipts?no=eq.1", "", r#"{"no": 7}"#, 400, "428C9"),
            ("PATCH /items?id=eq.1", "", r#"{"id": 2}"#, 409, "23505"),
            ("PATCH /items?id=eq.1", "", r#"{"owner_id": 9}"#, 409, "23503"),
            ("PATCH /items?id=eq.1", "", r#"{"name": null}"#, 400, "23502"),
            ("PATCH /items?id=eq.1", "", r#"{"qty": -1}"#, 400, "23514"),
            ("PATCH /items?id=eq.x", "", r#"{"qty": 1}"#, 400, "22P02"),
            ("PATCH /items?colour=eq.red", "", r#"{"qty": 1}"#, 400, "42703"),
            (
                "PATCH /items?id=eq.1",
                "",
                r#"{"colour": "red"}"#,
                400,
                "PGRST204",
            ),
            ("PATCH /items?id=eq.1", "", "", 400, "PGRST102"),
            ("PATCH /itemz?id=eq.1", "", "{}", 404, "PGRST205"),
        ],
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn more_rows_than_allowed_are_not_changed() {
    let app = api(SQL).await;
    let anon = app.anon();
    let strict = |max: u8| format!("handling=strict, max-affected={max}, return=representation");
    let refused = send(&anon, "PATCH /items?id=lt.3", &strict(1), r#"{"qty": 7}"#).await;
    let body = json!({
        "code": "PGRST124", "details": "The query affects 2 rows", "hint": null,
        "message": "Query result exceeds max-affected preference constraint"
    });
    assert_eq!(refused.pair(), (400, body));
    assert_eq!(stock(&app).await, STOCK);
    assert_eq!(
        send(&anon, "PATCH /items?id=lt.3", &strict(2), r#"{"qty": 7}"#)
            .await
            .status,
        200
    );
    // Without strict handling it is a wish.
    let lenient = send(&anon, "PATCH /items?id=lt.3", "max-affected=1", r#"{"qty": 8}"#).await;
    assert_eq!(lenient.status, 204);
    assert_eq!(stock(&app).await, "1 bolt 8, 2 nut 8, 3 cloth 30");
    app.stop().await;
}

#[tokio::test]
async fn one_object_is_one_row_or_nothing_is_changed() {
    let app = api(SQL).await;
    let single = app.anon().with("accept", "application/vnd.pgrst.object+json");
    for (filter, rows) in [("id=lt.3", 2), ("id=eq.9", 0)] {
        for prefer in [FULL, "return=minimal"] {
            let answer = send(
                &single,
                &format!("PATCH /items?{filter}"),
                prefer,
                r#"{"qty": 7}"#,
            )
            .await;
            let details = format!("The result contains {rows} rows");
            let expected = json!({
                "code": "PGRST116", "details": details, "hint": null,
                "message": "Cannot coerce the result to a single JSON object"
            });
            assert_eq!(answer.pair(), (406, expected), "{filter} {prefer}");
        }
    }
    assert_eq!(stock(&app).await, STOCK);
    let one = send(&single, "PATCH /items?id=eq.1&select=qty", FULL, r#"{"qty": 7}"#).await;
    assert_eq!(one.pair(), (200, json!({"qty": 7})));
    app.stop().await;
}

/// A table that everybody may write, below `/rest/v1` of either surface.
const OPEN: &str = "create table public.open (id int primary key, n int);
    insert into public.open select n, 0 from generate_series(1, 3) n;
    grant select, update, delete on public.open to anon;
    create view public.open_view as select * from public.open;
    grant select, update, delete on public.open_view to anon;";

async fn changed(app: &RestApp) -> i64 {
    let sql = "select count(*) from public.open where n > 0";
    app.db.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn without_a_filter_supabase_refuses_and_postgrest_changes_every_row() {
    let body = json!({"n": 1});
    let supabase = RestApp::supabase(OPEN).await;
    let expected =
        json!({"code": "21000", "details": null, "hint": null, "message": "UPDATE requires a WHERE clause"});
    for path in [
        "/open",
        "/open?select=id",
        "/open?columns=n",
        "/open?order=id",
        "/open_view",
    ] {
        assert_eq!(
            supabase.anon().patch(path, &body).await.pair(),
            (400, expected.clone()),
            "{path}"
        );
    }
    assert_eq!(changed(&supabase).await, 0);
    // Any condition is a filter, be it true of every row.
    assert_eq!(
        supabase.anon().patch("/open?id=not.is.null", &body).await.status,
        204
    );
    assert_eq!(changed(&supabase).await, 3);
    supabase.stop().await;

    let switch = [("DROPWIRE_REST_ALLOW_UNFILTERED_WRITES", "true")];
    for app in [
        RestApp::rest_only(OPEN).await,
        RestApp::supabase_with(OPEN, &switch).await,
    ] {
        assert_eq!(app.anon().patch("/open", &body).await.status, 204);
        assert_eq!(changed(&app).await, 3);
        app.stop().await;
    }
}

#[tokio::test]
async fn privileges_of_columns_and_policies_hold() {
    let sql = format!(
        "{SQL}
         revoke update on api.items from anon;
         grant update (qty) on api.items to anon;
         alter table api.owners enable row level security;
         create policy visible on api.owners for select to anon using (true);
         create policy own on api.owners for update to anon using (id = 1) with check (name <> 'Root');"
    );
    let app = api(&sql).await;
    let anon = app.anon();
    assert_eq!(
        send(&anon, "PATCH /items?id=eq.1", "", r#"{"qty": 7}"#)
            .await
            .status,
        204
    );
    assert_eq!(
        send(&anon, "PATCH /items?id=eq.1", "", r#"{"name": "x"}"#)
            .await
            .json()["code"],
        "42501"
    );
    // Rows that a policy hides are not there; what it forbids is refused.
    let both = send(&anon, "PATCH /owners?select=id&id=lt.9", FULL, r#"{"name": "x"}"#).await;
    assert_eq!(both.pair(), (200, json!([{"id": 1}])));
    let refused = send(&anon, "PATCH /owners?id=eq.1", "", r#"{"name": "Root"}"#).await;
    let Value::Object(body) = refused.json() else {
        panic!("{refused:?}")
    };
    assert_eq!((refused.status.as_u16(), &body["code"]), (401, &json!("42501")));
    app.stop().await;
}
