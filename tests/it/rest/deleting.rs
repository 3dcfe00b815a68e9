//! DELETE: which rows, what is returned, and when nothing is deleted.

use serde_json::json;

use super::app::RestApp;
use super::cases::api;
use super::writing::{SQL, STOCK, have_header, refused, rolled_back, send, stock, writes};

const FULL: &str = "return=representation";

#[tokio::test]
async fn the_rows_that_are_found_are_deleted_and_no_other() {
    let app = api(SQL).await;
    let answer = send(&app.anon(), "DELETE /items?id=lt.3", "", "").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    for absent in ["content-type", "content-length", "preference-applied"] {
        assert!(!answer.headers.contains_key(absent), "{absent}: {answer:?}");
    }
    assert_eq!(stock(&app).await, "3 cloth 30");
    assert_eq!(
        send(&app.anon(), "DELETE /items?id=lt.3", "", "").await.status,
        204
    );
    app.stop().await;
}

#[tokio::test]
async fn deleted_rows_are_returned_with_what_they_embed() {
    let app = rolled_back().await;
    let cases = [
        (
            "DELETE /items?id=eq.1&select=id,doubled",
            FULL,
            "",
            200,
            r#"[{"id": 1, "doubled": 20}]"#,
        ),
        (
            "DELETE /items?select=id&order=id.desc&id=gt.1",
            FULL,
            "",
            200,
            r#"[{"id": 3}, {"id": 2}]"#,
        ),
        ("DELETE /items?id=eq.9", FULL, "", 200, "[]"),
        (
            "DELETE /items?id=eq.1&select=name,owners(name)",
            FULL,
            "",
            200,
            r#"[{"name": "bolt", "owners": {"name": "Ada"}}]"#,
        ),
        (
            "DELETE /items?or=(id.eq.1,and(qty.gt.5,name.eq.nut))&select=id",
            FULL,
            "",
            200,
            r#"[{"id": 1}, {"id": 2}]"#,
        ),
        ("DELETE /items?id=eq.1", "return=headers-only", "", 204, ""),
        (
            "DELETE /item_names?id=eq.1",
            FULL,
            "",
            200,
            r#"[{"id": 1, "name": "bolt"}]"#,
        ),
        (
            "DELETE /shouted?id=eq.1",
            FULL,
            "",
            200,
            r#"[{"id": 1, "loud": "BOLT"}]"#,
        ),
        // A body has no meaning.
        (
            "DELETE /items?id=eq.1&select=id",
            FULL,
            r#"{"id": 2}"#,
            200,
            r#"[{"id": 1}]"#,
        ),
    ];
    writes(&app.anon(), &cases).await;
    have_header(
        &app.anon(),
        "content-range",
        &[
            ("DELETE /items?id=lt.3", "", "", 204, "*/*"),
            ("DELETE /items?id=lt.3", "count=exact", "", 204, "*/2"),
            (
                "DELETE /items?id=lt.3",
                "count=exact, return=representation",
                "",
                200,
                "*/2",
            ),
            ("DELETE /items?id=eq.9", "count=exact", "", 204, "*/0"),
        ],
    )
    .await;
    assert_eq!(stock(&app).await, STOCK);
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_deleted_is_refused() {
    let app = rolled_back().await;
    refused(
        &app.anon(),
        &[
            ("DELETE /owners?id=eq.1", "", "", 409, "23503"),
            ("DELETE /items?id=eq.x", "", "", 400, "22P02"),
            ("DELETE /items?colour=eq.red", "", "", 400, "42703"),
            ("DELETE /items?id=eq.1&select=colour", FULL, "", 400, "42703"),
            ("DELETE /items?owners.id=eq.1", "", "", 400, "PGRST108"),
            ("DELETE /itemz?id=eq.1", "", "", 404, "PGRST205"),
        ],
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn more_rows_than_allowed_are_not_deleted() {
    let app = api(SQL).await;
    let refused = send(
        &app.anon(),
        "DELETE /items?id=lt.3",
        "handling=strict, max-affected=1",
        "",
    )
    .await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (400, &json!("PGRST124"))
    );
    let single = app.anon().with("accept", "application/vnd.pgrst.object+json");
    for filter in ["id=lt.3", "id=eq.9"] {
        let refused = send(&single, &format!("DELETE /items?{filter}"), FULL, "").await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["code"]),
            (406, &json!("PGRST116"))
        );
    }
    assert_eq!(stock(&app).await, STOCK);
    let allowed = send(
        &app.anon(),
        "DELETE /items?id=lt.3",
        "handling=strict, max-affected=2",
        "",
    )
    .await;
    assert_eq!(
        (allowed.status.as_u16(), &allowed.headers["preference-applied"]),
        (204, &"handling=strict, max-affected=2".parse().unwrap())
    );
    let one = send(&single, "DELETE /items?id=eq.3&select=id", FULL, "").await;
    assert_eq!(one.pair(), (200, json!({"id": 3})));
    assert_eq!(stock(&app).await, "");
    app.stop().await;
}

#[tokio::test]
async fn without_a_filter_supabase_refuses_and_postgrest_deletes_every_row() {
    const OPEN: &str = "create table public.open (id int primary key);
        insert into public.open select generate_series(1, 3);
        grant select, delete on public.open to anon;";
    let count = async |app: &RestApp| -> i64 {
        app.db
            .query_one("select count(*) from public.open", &[])
            .await
            .unwrap()
            .get(0)
    };
    let supabase = RestApp::supabase(OPEN).await;
    let expected =
        json!({"code": "21000", "details": null, "hint": null, "message": "DELETE requires a WHERE clause"});
    for path in ["/open", "/open?select=id", "/open?limit=1", "/open?order=id"] {
        assert_eq!(
            supabase.anon().delete(path).await.pair(),
            (400, expected.clone()),
            "{path}"
        );
    }
    assert_eq!(count(&supabase).await, 3);
    assert_eq!(
        supabase.anon().delete("/open?or=(id.eq.1,id.eq.2)").await.status,
        204
    );
    assert_eq!(count(&supabase).await, 1);
    supabase.stop().await;

    let switch = [("DROPWIRE_REST_ALLOW_UNFILTERED_WRITES", "true")];
    for app in [
        RestApp::rest_only(OPEN).await,
        RestApp::supabase_with(OPEN, &switch).await,
    ] {
        assert_eq!(app.anon().delete("/open").await.status, 204);
        assert_eq!(count(&app).await, 0);
        app.stop().await;
    }
}
