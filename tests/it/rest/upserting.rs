//! POST that resolves conflicts, and PUT.

use super::writing::{refused, rolled_back, writes};

const FULL: &str = "return=representation";

#[tokio::test]
async fn upserts_merge_or_ignore_what_is_there() {
    let app = rolled_back().await;
    let merge = "return=representation, resolution=merge-duplicates";
    let ignore = "return=representation, resolution=ignore-duplicates";
    let cases = [
        // 201 where anything is new, 200 where nothing is.
        (
            "POST /prices",
            merge,
            r#"[{"shop": "north", "item": 1, "price": 7}]"#,
            200,
            r#"[{"shop": "north", "item": 1, "price": 7}]"#,
        ),
        (
            "POST /prices?select=price",
            merge,
            r#"[{"shop": "north", "item": 1, "price": 7}, {"shop": "south", "item": 1, "price": 8}]"#,
            201,
            r#"[{"price": 7}, {"price": 8}]"#,
        ),
        (
            "POST /prices",
            "resolution=merge-duplicates",
            r#"{"shop": "north", "item": 1, "price": 7}"#,
            200,
            "",
        ),
        (
            "POST /prices?select=price",
            merge,
            r#"{"shop": "north", "item": 1}"#,
            200,
            r#"[{"price": 5}]"#,
        ),
        (
            "POST /prices?columns=shop,item,price&select=price",
            "return=representation, resolution=merge-duplicates, missing=default",
            r#"{"shop": "north", "item": 1}"#,
            200,
            r#"[{"price": 1}]"#,
        ),
        (
            "POST /prices?select=shop",
            ignore,
            r#"[{"shop": "north", "item": 1, "price": 7}, {"shop": "south", "item": 1, "price": 8}]"#,
            201,
            r#"[{"shop": "south"}]"#,
        ),
        (
            "POST /prices",
            ignore,
            r#"{"shop": "north", "item": 1, "price": 7}"#,
            201,
            "[]",
        ),
    ];
    writes(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn conflicts_are_those_of_the_key_that_is_named() {
    let app = rolled_back().await;
    let merge = "return=representation, resolution=merge-duplicates";
    let ignore = "return=representation, resolution=ignore-duplicates";
    let cases = [
        (
            "POST /owners?on_conflict=name&select=id",
            merge,
            r#"{"id": 9, "name": "Ada"}"#,
            409,
            r#"{"code": "23503", "details": "Key (id)=(1) is still referenced from table \"items\".", "hint": null, "message": "update or delete on table \"owners\" violates foreign key constraint \"items_owner_id_fkey\" on table \"items\""}"#,
        ),
        (
            "POST /owners?on_conflict=name&select=id",
            ignore,
            r#"[{"id": 9, "name": "Ada"}, {"id": 3, "name": "Cid"}]"#,
            201,
            r#"[{"id": 3}]"#,
        ),
        (
            "POST /owners?on_conflict=name",
            ignore,
            r#"{"id": 1, "name": "New"}"#,
            409,
            r#"{"code": "23505", "details": "Key (id)=(1) already exists.", "hint": null, "message": "duplicate key value violates unique constraint \"owners_pkey\""}"#,
        ),
    ];
    writes(&app.anon(), &cases).await;
    refused(
        &app.anon(),
        &[
            (
                "POST /owners?on_conflict=nothing",
                merge,
                r#"{"id": 1, "name": "x"}"#,
                400,
                "42703",
            ),
            (
                "POST /items?on_conflict=name",
                merge,
                r#"{"id": 1, "name": "x"}"#,
                400,
                "42P10",
            ),
            (
                "POST /prices",
                merge,
                r#"[{"shop": "n", "item": 1}, {"shop": "n", "item": 1}]"#,
                400,
                "21000",
            ),
        ],
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn put_writes_the_one_row_that_its_url_names() {
    let app = rolled_back().await;
    let north = "PUT /prices?shop=eq.north&item=eq.1";
    let cases = [
        (
            north,
            FULL,
            r#"{"shop": "north", "item": 1, "price": 7}"#,
            200,
            r#"[{"shop": "north", "item": 1, "price": 7}]"#,
        ),
        (north, "", r#"{"shop": "north", "item": 1, "price": 7}"#, 204, ""),
        (
            north,
            FULL,
            r#"[{"shop": "north", "item": 1, "price": 7}]"#,
            200,
            r#"[{"shop": "north", "item": 1, "price": 7}]"#,
        ),
        (
            "PUT /prices?item=eq.9&shop=eq.south",
            FULL,
            r#"{"shop": "south", "item": 9, "price": 7}"#,
            201,
            r#"[{"shop": "south", "item": 9, "price": 7}]"#,
        ),
        // Rows that the URL does not name are left out.
        (
            north,
            FULL,
            r#"[{"shop": "north", "item": 1, "price": 7}, {"shop": "north", "item": 2, "price": 7}]"#,
            200,
            r#"[{"shop": "north", "item": 1, "price": 7}]"#,
        ),
        (
            "PUT /owners?id=eq.2&select=items(name)",
            FULL,
            r#"{"id": 2, "name": "Bo"}"#,
            200,
            r#"[{"items": [{"name": "cloth"}]}]"#,
        ),
    ];
    writes(&app.anon(), &cases).await;
    let body = r#"{"shop": "north", "item": 1, "price": 7}"#;
    refused(
        &app.anon(),
        &[
            ("PUT /prices", "", body, 405, "PGRST105"),
            ("PUT /prices?shop=eq.north", "", body, 405, "PGRST105"),
            ("PUT /prices?shop=eq.north&item=gt.1", "", body, 405, "PGRST105"),
            (
                "PUT /prices?shop=eq.north&item=eq.1&price=eq.5",
                "",
                body,
                405,
                "PGRST105",
            ),
            (
                "PUT /prices?shop=eq.north&item=eq.1&limit=1",
                "",
                body,
                400,
                "PGRST114",
            ),
            ("PUT /prices?shop=eq.north&item=eq.2", "", body, 400, "PGRST115"),
            ("PUT /log?note=eq.x", "", r#"{"note": "x"}"#, 405, "PGRST105"),
        ],
    )
    .await;
    app.stop().await;
}
