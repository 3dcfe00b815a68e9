//! `Accept`: what an answer is written in, and what is refused.

use reqwest::Method;
use serde_json::json;

use super::app::RestApp;
use super::cases::{Wrong, api, api_with};
use crate::support::Answer;

const SQL: &str = include_str!("media_types.sql");

async fn accepting(app: &RestApp, accept: &str, path: &str) -> Answer {
    app.anon().with("accept", accept).get(path).await
}

/// Path and Accept, and then the Content-Type and the body.
async fn answers(app: &RestApp, cases: &[(&str, &str, &str, &str)]) {
    let mut wrong = Wrong::default();
    for (path, accept, content_type, body) in cases {
        let answer = accepting(app, accept, path).await;
        let found = (
            answer.status.as_u16(),
            answer.headers["content-type"].to_str().unwrap(),
            answer.text.as_str(),
        );
        wrong.unless(&format!("{path} {accept}"), &found, &(200, *content_type, *body));
    }
    wrong.none();
}

const JSON: &str = "application/json; charset=utf-8";
const OBJECT: &str = "application/vnd.pgrst.object+json; charset=utf-8";
const CSV: &str = "text/csv; charset=utf-8";

#[tokio::test]
async fn rows_are_json_csv_or_one_object() {
    let app = api(SQL).await;
    let one = r#"[{"id":1,"title":"one","body":null}]"#;
    let object = r#"{"id":1,"title":"one","body":null}"#;
    let cases = [
        ("/notes?id=eq.1", "*/*", JSON, one),
        ("/notes?id=eq.1", "application/json", JSON, one),
        ("/notes?id=eq.1", "application/json;charset=utf-8", JSON, one),
        ("/notes?id=eq.1", "application/vnd.pgrst.array", JSON, one),
        (
            "/notes?id=eq.1",
            "text/html;q=0.9, application/json;q=0.8",
            JSON,
            one,
        ),
        (
            "/notes?id=eq.1",
            "application/json;q=0.1, text/csv",
            CSV,
            "id,title,body\n1,one,",
        ),
        (
            "/notes?id=gt.1&select=id,title&order=id",
            "text/csv",
            CSV,
            "id,title\n2,\"a \"\"quoted\"\", one\"\n3,Größe",
        ),
        // The names are taken from the rows.
        ("/notes?id=gt.9&select=id", "text/csv", CSV, "\n"),
        (
            "/notes?id=eq.1",
            "application/vnd.pgrst.object+json",
            OBJECT,
            object,
        ),
        ("/notes?id=eq.1", "application/vnd.pgrst.object", OBJECT, object),
        (
            "/notes?id=eq.1",
            "application/vnd.pgrst.object+json;nulls=stripped",
            "application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8",
            r#"{"id":1,"title":"one"}"#,
        ),
        (
            "/notes?id=eq.1",
            "application/vnd.pgrst.array+json;nulls=stripped",
            "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8",
            r#"[{"id":1,"title":"one"}]"#,
        ),
        ("/rpc/plain_words", "application/json", JSON, r#""words""#),
        ("/rpc/some_notes?select=id&order=id", "text/csv", CSV, "id\n1\n2"),
    ];
    answers(&app, &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn one_object_is_of_exactly_one_row() {
    let app = api(SQL).await;
    let single = app.anon().with("accept", "application/vnd.pgrst.object+json");
    for (query, rows) in [("id=gt.9", 0), ("id=gt.1", 2)] {
        let body = json!({
            "code": "PGRST116", "message": "Cannot coerce the result to a single JSON object", "hint": null,
            "details": format!("The result contains {rows} rows"),
        });
        assert_eq!(
            single.get(&format!("/notes?{query}")).await.pair(),
            (406, body.clone())
        );
        // A write of another number of rows did not happen.
        let returning = single.clone().with("prefer", "return=representation");
        assert_eq!(
            returning.delete(&format!("/notes?{query}")).await.pair(),
            (406, body)
        );
    }
    let left: i64 = app
        .db
        .query_one("select count(*) from api.notes", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 3);
    let returning = single.clone().with("prefer", "return=representation");
    let written = returning
        .post("/notes?select=title", &json!({"id": 7, "title": "new"}))
        .await;
    assert_eq!(written.pair(), (201, json!({"title": "new"})));
    app.stop().await;
}

#[tokio::test]
async fn a_domain_writes_the_media_type_of_its_name() {
    let app = api(SQL).await;
    let cases = [
        ("/rpc/plain", "text/plain", "text/plain; charset=utf-8", "Größe"),
        ("/rpc/plain", "*/*", JSON, "\"Größe\""),
        ("/rpc/page", "text/html", "text/html", "<p>hi</p>"),
        (
            "/rpc/page",
            "image/webp, text/html;q=0.5",
            "text/html",
            "<p>hi</p>",
        ),
        ("/rpc/markup", "text/xml", "text/xml; charset=utf-8", "<a/>"),
        (
            "/rpc/bytes",
            "application/octet-stream",
            "application/octet-stream",
            "\u{0}A\u{0}",
        ),
        ("/rpc/picture", "image/png", "image/png", "PNG"),
        (
            "/rpc/picture",
            "text/html, image/png, */*;q=0.8",
            "image/png",
            "PNG",
        ),
        ("/rpc/anything", "*/*", "application/octet-stream", "any"),
        ("/rpc/anything", "made/up", "application/octet-stream", "any"),
        ("/rpc/chosen", "made/up", "app/chosen", "made/up"),
        (
            "/notes?order=id",
            "application/vnd.list",
            "application/vnd.list",
            "1;2;3;",
        ),
        (
            "/rpc/some_notes?order=id",
            "application/vnd.list",
            "application/vnd.list",
            "1;2;",
        ),
        (
            "/notes?id=eq.1&select=id,title",
            "text/tab-separated-values",
            "text/tab-separated-values",
            "1\tone\n",
        ),
    ];
    answers(&app, &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn what_nothing_writes_is_406() {
    let app = api(SQL).await;
    let mut wrong = Wrong::default();
    for (path, accept) in [
        ("/notes", "text/plain"),
        ("/notes", "application/unknown"),
        ("/notes", "undefined"),
        ("/notes", "application/*"),
        ("/notes?select=id", "application/vnd.list"),
        ("/rpc/plain_words", "text/plain"),
        ("/rpc/plain", "text/html"),
        ("/rpc/some_notes", "application/octet-stream"),
        ("/notes", "application/vnd.pgrst.plan"),
    ] {
        let answer = accepting(&app, accept, path).await;
        wrong.unless_refused(&format!("{path} {accept}"), &answer, 406, "PGRST107");
    }
    wrong.none();
    let several = accepting(&app, "text/plain, image/gif;q=0.3", "/notes")
        .await
        .json();
    assert_eq!(
        several["message"],
        "None of these media types are available: text/plain, image/gif"
    );
    app.stop().await;
}

#[tokio::test]
async fn plans_are_shown_where_they_may_be() {
    let app = api_with(SQL, &[("PGRST_DB_PLAN_ENABLED", "true")]).await;
    let json = accepting(&app, "application/vnd.pgrst.plan+json", "/notes?id=eq.1").await;
    assert_eq!(json.status, 200);
    assert_eq!(
        json.headers["content-type"],
        "application/vnd.pgrst.plan+json; for=\"application/json\"; charset=utf-8"
    );
    assert!(json.json()[0]["Plan"]["Total Cost"].is_number(), "{}", json.text);
    let text = accepting(
        &app,
        "application/vnd.pgrst.plan; for=\"text/csv\"; options=analyze|verbose",
        "/notes",
    )
    .await;
    assert_eq!(
        text.headers["content-type"],
        "application/vnd.pgrst.plan+text; for=\"text/csv\"; options=analyze|verbose; charset=utf-8"
    );
    assert!(
        text.text.contains("Execution Time") && text.text.contains("Output:"),
        "{}",
        text.text
    );
    // Writes and calls have plans too; a plan alone writes nothing.
    let plan = app.anon().with("accept", "application/vnd.pgrst.plan+json");
    let write = plan.send(Method::DELETE, "/notes?id=eq.1", None).await;
    assert!(write.text.contains("\"Operation\": \"Delete\""), "{}", write.text);
    let call = plan.post("/rpc/some_notes", &json!({})).await;
    assert!(call.json()[0]["Plan"].is_object(), "{}", call.text);
    let left: i64 = app
        .db
        .query_one("select count(*) from api.notes", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 3);
    app.stop().await;
}
