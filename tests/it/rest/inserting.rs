//! POST: what bodies may look like, what is returned, and what is refused.

use serde_json::{Value, json};

use super::cases::{Wrong, api};
use super::writing::{SQL, STOCK, have_header, refused, rolled_back, send, stock, writes};

const FULL: &str = "return=representation";

#[tokio::test]
async fn an_inserted_row_stays_and_is_not_sent_back_unless_asked_for() {
    let app = api(SQL).await;
    let anon = app.anon();
    let answer = anon.post("/items", &json!({"id": 4, "name": "rope"})).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (201, ""));
    for absent in ["content-type", "location", "preference-applied"] {
        assert!(!answer.headers.contains_key(absent), "{absent}: {answer:?}");
    }
    assert_eq!(answer.headers["content-range"], "*/*");
    assert_eq!(answer.headers["content-length"], "0");
    assert_eq!(stock(&app).await, format!("{STOCK}, 4 rope 1"));

    let answer = send(
        &anon,
        "POST /items?select=id,name",
        FULL,
        r#"[{"id": 5, "name": "glue"}]"#,
    )
    .await;
    assert_eq!(answer.pair(), (201, json!([{"id": 5, "name": "glue"}])));
    assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(answer.headers["preference-applied"], FULL);
    app.stop().await;
}

#[tokio::test]
async fn objects_and_arrays_of_them_become_rows() {
    let app = rolled_back().await;
    let cases = [
        (
            "POST /items?select=id,qty",
            FULL,
            r#"{"id": 4, "name": "a"}"#,
            201,
            r#"[{"id": 4, "qty": 1}]"#,
        ),
        (
            "POST /items?select=id",
            FULL,
            r#"[{"id": 4, "name": "a"}, {"id": 5, "name": "b"}]"#,
            201,
            r#"[{"id": 4}, {"id": 5}]"#,
        ),
        (
            "POST /items?select=id&order=id.desc",
            FULL,
            r#"[{"id": 4, "name": "a"}, {"id": 5, "name": "b"}]"#,
            201,
            r#"[{"id": 5}, {"id": 4}]"#,
        ),
        ("POST /items", FULL, "[]", 201, "[]"),
        ("POST /items", "", "[]", 201, ""),
        // What is neither object nor array has no rows.
        ("POST /items", FULL, "7", 201, "[]"),
        (
            "POST /notes?select=note",
            FULL,
            "{}",
            201,
            r#"[{"note": "none"}]"#,
        ),
        (
            "POST /notes?select=note",
            FULL,
            "[{}, {}]",
            201,
            r#"[{"note": "none"}, {"note": "none"}]"#,
        ),
        (
            "POST /notes?select=note",
            FULL,
            r#"{"note": null}"#,
            201,
            r#"[{"note": null}]"#,
        ),
        // What is no column of the row's, but is not to be written either.
        (
            "POST /items?columns=id,name&select=id,qty",
            FULL,
            r#"{"id": 4, "name": "a", "qty": 9, "colour": "red"}"#,
            201,
            r#"[{"id": 4, "qty": 1}]"#,
        ),
        (
            "POST /items?columns=%22id%22,%22name%22,%22qty%22&select=id,qty",
            FULL,
            r#"[{"id": 4, "name": "a"}, {"id": 5, "qty": 3, "name": "b"}]"#,
            201,
            r#"[{"id": 4, "qty": null}, {"id": 5, "qty": 3}]"#,
        ),
        (
            "POST /items?columns=id,name,qty&select=id,qty",
            "return=representation, missing=default",
            r#"[{"id": 4, "name": "a"}, {"id": 5, "qty": 3, "name": "b"}]"#,
            201,
            r#"[{"id": 4, "qty": 1}, {"id": 5, "qty": 3}]"#,
        ),
        (
            "POST /notes?columns=id,note&select=note",
            "return=representation, missing=default",
            "[{}, {}]",
            201,
            r#"[{"note": "none"}, {"note": "none"}]"#,
        ),
    ];
    writes(&app.anon(), &cases).await;
    assert_eq!(stock(&app).await, STOCK);
    app.stop().await;
}

#[tokio::test]
async fn values_may_be_json_arrays_composites_and_texts_of_them() {
    let app = rolled_back().await;
    let row = r#"[{"tags": ["a", "b,c"], "spec": {"mm": [8, null]}, "place": {"aisle": "A", "shelf": 3}}]"#;
    let path = "POST /items?select=tags,spec,place";
    let cases = [
        (
            path,
            FULL,
            r#"{"id": 4, "name": "x", "tags": ["a", "b,c"], "spec": {"mm": [8, null]}, "place": {"aisle": "A", "shelf": 3}}"#,
            201,
            row,
        ),
        (
            path,
            FULL,
            r#"{"id": 4, "name": "x", "tags": "{a,\"b,c\"}", "spec": {"mm": [8, null]}, "place": {"shelf": 3, "aisle": "A"}}"#,
            201,
            row,
        ),
        (
            "POST /items?select=qty",
            FULL,
            r#"{"id": "4", "name": "x", "qty": "7"}"#,
            201,
            r#"[{"qty": 7}]"#,
        ),
        (
            "POST /items?select=name,spec",
            FULL,
            r#"{"id": 4, "name": 7, "spec": "7"}"#,
            201,
            r#"[{"name": "7", "spec": "7"}]"#,
        ),
        (
            "POST /items?select=spec->mm,place->>aisle",
            FULL,
            r#"{"id": 4, "name": "x", "spec": {"mm": 8}, "place": {"aisle": "B"}}"#,
            201,
            r#"[{"mm": 8, "aisle": "B"}]"#,
        ),
        (
            "POST /items?select=tags,place",
            FULL,
            r#"{"id": 4, "name": "x", "tags": [], "place": null}"#,
            201,
            r#"[{"tags": [], "place": null}]"#,
        ),
    ];
    writes(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn csv_and_forms_are_bodies_too() {
    let app = rolled_back().await;
    let anon = app.anon().with("prefer", FULL);
    let mut wrong = Wrong::default();
    let (csv, form) = ("text/csv", "application/x-www-form-urlencoded");
    for (media_type, path, body, status, expected) in [
        (
            csv,
            "/items?select=id,name,qty",
            "id,name,qty\n4,\"a, \"\"b\"\"\",7\n5,c,NULL",
            201,
            r#"[{"id": 4, "name": "a, \"b\"", "qty": 7}, {"id": 5, "name": "c", "qty": null}]"#,
        ),
        (
            csv,
            "/items?select=name,tags,place",
            "id,name,tags,place\r\n4,a,\"{x,y}\",\"(A,3)\"\r\n",
            201,
            r#"[{"name": "a", "tags": ["x", "y"], "place": {"aisle": "A", "shelf": 3}}]"#,
        ),
        (
            csv,
            // Its header says the columns.
            "/items?select=id,qty&columns=id,name",
            "id,name,qty\n4,a,7",
            201,
            r#"[{"id": 4, "qty": 7}]"#,
        ),
        (
            csv,
            "/items",
            "id,name\n4",
            400,
            r#"{"code": "PGRST102", "details": null, "hint": null, "message": "All lines must have same number of fields"}"#,
        ),
        (
            form,
            "/items?select=id,name,qty",
            "id=4&name=a+b%26c&qty=7",
            201,
            r#"[{"id": 4, "name": "a b&c", "qty": 7}]"#,
        ),
        (form, "/notes?select=note", "note=", 201, r#"[{"note": ""}]"#),
        (
            "application/json; charset=utf-8",
            "/notes?select=note",
            r#"{"note": "ä"}"#,
            201,
            r#"[{"note": "ä"}]"#,
        ),
        (
            "application/yaml",
            "/notes",
            "note: x",
            400,
            r#"{"code": "PGRST102", "details": null, "hint": null, "message": "Content-Type not acceptable: application/yaml"}"#,
        ),
    ] {
        let answer = anon.post_as(path, media_type, body).await;
        wrong.unless_json(&format!("{path} {body}"), &answer, status, expected);
    }
    wrong.none();
    app.stop().await;
}

#[tokio::test]
async fn what_was_written_may_be_embedded_and_embed() {
    let app = rolled_back().await;
    let cases = [
        (
            "POST /items?select=id,owners(name)",
            FULL,
            r#"{"id": 4, "name": "a", "owner_id": 2}"#,
            201,
            r#"[{"id": 4, "owners": {"name": "Bob"}}]"#,
        ),
        (
            "POST /items?select=id,...owners(owner:name)",
            FULL,
            r#"{"id": 4, "name": "a"}"#,
            201,
            r#"[{"id": 4, "owner": null}]"#,
        ),
        (
            "POST /owners?select=name,items(id)",
            FULL,
            r#"{"id": 3, "name": "Cid"}"#,
            201,
            r#"[{"name": "Cid", "items": []}]"#,
        ),
        (
            "POST /owners?select=name,items(id)&on_conflict=id&items.order=id.desc",
            "return=representation, resolution=merge-duplicates",
            r#"{"id": 1, "name": "Ada"}"#,
            200,
            r#"[{"name": "Ada", "items": [{"id": 2}, {"id": 1}]}]"#,
        ),
    ];
    writes(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn headers_only_tells_where_the_row_is() {
    let app = rolled_back().await;
    let prefer = "return=headers-only";
    let cases = [
        (
            "POST /items",
            prefer,
            r#"{"id": 4, "name": "a"}"#,
            201,
            "/items?id=eq.4",
        ),
        (
            "POST /prices",
            prefer,
            r#"{"shop": "a b/c", "item": 7}"#,
            201,
            "/prices?item=eq.7&shop=eq.a%20b%2Fc",
        ),
        (
            "POST /item_names",
            prefer,
            r#"{"id": 4, "name": "a"}"#,
            201,
            "/item_names?id=eq.4",
        ),
        ("POST /log", prefer, r#"{"note": "no key, no place"}"#, 201, ""),
        (
            "POST /items",
            prefer,
            r#"[{"id": 4, "name": "a"}, {"id": 5, "name": "b"}]"#,
            201,
            "",
        ),
        (
            "POST /items",
            "return=minimal",
            r#"{"id": 4, "name": "a"}"#,
            201,
            "",
        ),
        ("POST /items", FULL, r#"{"id": 4, "name": "a"}"#, 201, ""),
    ];
    have_header(&app.anon(), "location", &cases).await;
    let answer = send(&app.anon(), "POST /items", prefer, r#"{"id": 4, "name": "a"}"#).await;
    assert_eq!(
        (answer.text.as_str(), &answer.headers["preference-applied"]),
        ("", &prefer.parse().unwrap())
    );
    app.stop().await;
}

#[tokio::test]
async fn views_are_written_through() {
    let app = rolled_back().await;
    let cases = [
        (
            "POST /item_names",
            FULL,
            r#"{"id": 4, "name": "a"}"#,
            201,
            r#"[{"id": 4, "name": "a"}]"#,
        ),
        (
            "POST /item_names",
            "return=representation, resolution=merge-duplicates",
            r#"{"id": 1, "name": "a"}"#,
            200,
            r#"[{"id": 1, "name": "a"}]"#,
        ),
        (
            "POST /shouted",
            FULL,
            r#"{"id": 4, "loud": "A"}"#,
            201,
            r#"[{"id": 4, "loud": "A"}]"#,
        ),
    ];
    writes(&app.anon(), &cases).await;
    let commit = send(
        &app.anon(),
        "POST /shouted",
        "tx=commit",
        r#"{"id": 4, "loud": "HAMMER"}"#,
    )
    .await;
    assert_eq!(commit.status, 201);
    assert_eq!(stock(&app).await, format!("{STOCK}, 4 hammer 1"));
    app.stop().await;
}

#[tokio::test]
async fn what_the_database_would_not_take_is_refused() {
    let app = rolled_back().await;
    refused(
        &app.anon(),
        &[
            ("POST /receipts", "", r#"{"no": 7}"#, 400, "428C9"),
            (
                "POST /items",
                "",
                r#"{"id": 4, "name": "a", "doubled": 4}"#,
                400,
                "428C9",
            ),
            ("POST /items", "", r#"{"id": 1, "name": "a"}"#, 409, "23505"),
            (
                "POST /items",
                "",
                r#"{"id": 4, "name": "a", "owner_id": 9}"#,
                409,
                "23503",
            ),
            ("POST /items", "", r#"{"id": 4}"#, 400, "23502"),
            (
                "POST /items",
                "",
                r#"{"id": 4, "name": "a", "qty": 0}"#,
                400,
                "23514",
            ),
            ("POST /items", "", r#"{"id": "four", "name": "a"}"#, 400, "22P02"),
            (
                "POST /items",
                "",
                r#"{"id": 4, "name": "a", "tags": "{"}"#,
                400,
                "22P02",
            ),
            (
                "POST /items",
                "",
                r#"{"id": 4, "name": "a", "colour": "red"}"#,
                400,
                "PGRST204",
            ),
            (
                "POST /items?columns=id,colour",
                "",
                r#"{"id": 4}"#,
                400,
                "PGRST204",
            ),
            (
                "POST /items?select=colour",
                FULL,
                r#"{"id": 4, "name": "a"}"#,
                400,
                "42703",
            ),
            (
                "POST /items",
                "",
                r#"[{"id": 4, "name": "a"}, {"id": 5}]"#,
                400,
                "PGRST102",
            ),
            ("POST /items", "", "", 400, "PGRST102"),
            ("POST /itemz", "", "{}", 404, "PGRST205"),
            ("POST /items/1", "", "{}", 404, "PGRST125"),
        ],
    )
    .await;
    assert_eq!(
        app.anon()
            .post_as("/items", "application/json", "{\"id\"")
            .await
            .json()["message"],
        "Empty or invalid json"
    );
    let told = send(&app.anon(), "POST /items", "", r#"{"id": 4, "colour": "red"}"#)
        .await
        .json();
    assert_eq!(
        told["message"],
        "Could not find the 'colour' column of 'items' in the schema cache"
    );
    app.stop().await;
}

#[tokio::test]
async fn an_identity_column_numbers_rows_and_may_be_told_where_it_allows() {
    let app = api(SQL).await;
    let anon = app.anon();
    let receipts = send(&anon, "POST /receipts", FULL, r#"[{"total": 5}, {"total": 6}]"#).await;
    assert_eq!(
        receipts.pair(),
        (201, json!([{"no": 1, "total": 5}, {"no": 2, "total": 6}]))
    );
    let empty = send(&anon, "POST /receipts", FULL, "{}").await;
    assert_eq!(empty.pair(), (201, json!([{"no": 3, "total": 0}])));
    let told = send(&anon, "POST /notes?select=id", FULL, r#"{"id": 70}"#).await;
    assert_eq!(told.pair(), (201, json!([{"id": 70}])));
    app.stop().await;
}

#[tokio::test]
async fn one_object_is_one_row_or_nothing_is_written() {
    let app = api(SQL).await;
    let single = app.anon().with("accept", "application/vnd.pgrst.object+json");
    let one = send(
        &single,
        "POST /items?select=id",
        FULL,
        r#"[{"id": 4, "name": "a"}]"#,
    )
    .await;
    assert_eq!(one.pair(), (201, json!({"id": 4})));
    assert_eq!(
        one.headers["content-type"],
        "application/vnd.pgrst.object+json; charset=utf-8"
    );
    for body in ["[]", r#"[{"id": 5, "name": "a"}, {"id": 6, "name": "b"}]"#] {
        let rows = serde_json::from_str::<Value>(body)
            .unwrap()
            .as_array()
            .unwrap()
            .len();
        let refused = send(&single, "POST /items", FULL, body).await;
        let details = format!("The result contains {rows} rows");
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["code"]),
            (406, &json!("PGRST116"))
        );
        assert_eq!(refused.json()["details"], details);
    }
    assert_eq!(stock(&app).await, format!("{STOCK}, 4 a 1"));
    app.stop().await;
}

#[tokio::test]
async fn inserted_rows_are_counted_when_asked_for() {
    let app = rolled_back().await;
    let two = r#"[{"id": 4, "name": "a"}, {"id": 5, "name": "b"}]"#;
    have_header(
        &app.anon(),
        "content-range",
        &[
            ("POST /items", "", two, 201, "*/*"),
            ("POST /items", "count=exact", two, 201, "*/2"),
            (
                "POST /items",
                "count=exact, return=representation",
                two,
                201,
                "*/2",
            ),
            ("POST /items", "count=planned", two, 201, "*/*"),
            ("POST /items", "count=exact", "[]", 201, "*/0"),
            (
                "PUT /owners?id=eq.1",
                "count=exact",
                r#"{"id": 1, "name": "x"}"#,
                204,
                "",
            ),
        ],
    )
    .await;
    app.stop().await;
}
