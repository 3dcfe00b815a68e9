//! `Prefer`: what each value does, what is echoed, and what strict handling refuses.

use serde_json::json;

use super::cases::{Wrong, api, api_with};
use super::writing::{SQL, STOCK, have_header, rolled_back, send, stock};

const ROW: &str = r#"{"id": 4, "name": "a"}"#;

#[tokio::test]
async fn what_was_applied_is_echoed_in_one_order() {
    let app = rolled_back().await;
    have_header(&app.anon(), "preference-applied", &[
        ("GET /items", "", "", 200, ""),
        ("GET /items", "count=exact", "", 200, "count=exact"),
        ("GET /items", "count=planned", "", 200, "count=planned"),
        ("GET /items", "count=estimated", "", 200, "count=estimated"),
        ("GET /items", "handling=lenient, timezone=America/Lima", "", 200, "handling=lenient, timezone=America/Lima"),
        ("GET /items", "handling=strict", "", 200, "handling=strict"),
        ("GET /items", "nothing=known", "", 200, ""),
        ("GET /items", "return=representation, resolution=merge-duplicates, missing=default", "", 200, ""),
        ("POST /items", "return=minimal", ROW, 201, "return=minimal"),
        ("POST /items", "return=headers-only", ROW, 201, "return=headers-only"),
        ("POST /items", "return=representation", ROW, 201, "return=representation"),
        ("POST /items", "missing=default", ROW, 201, "missing=default"),
        ("POST /items", "missing=null", ROW, 201, "missing=null"),
        ("POST /items", "resolution=merge-duplicates", ROW, 201, "resolution=merge-duplicates"),
        ("POST /items", "resolution=ignore-duplicates", ROW, 201, "resolution=ignore-duplicates"),
        ("POST /items", "tx=rollback", ROW, 201, "tx=rollback"),
        ("PATCH /items?id=eq.1", "missing=default, count=exact", r#"{"qty": 1}"#, 204, "missing=default, count=exact"),
        ("PATCH /items?id=eq.1", "resolution=merge-duplicates", r#"{"qty": 1}"#, 204, ""),
        ("DELETE /items?id=eq.1", "return=representation, max-affected=1, handling=strict", "", 200, "return=representation, handling=strict, max-affected=1"),
        ("DELETE /items?id=eq.1", "max-affected=1", "", 204, ""),
        ("POST /rpc/raise_all", "count=exact, return=representation", r#"{"by": 1}"#, 200, "count=exact"),
        (
            "POST /items",
            "timezone=UTC, handling=lenient, tx=rollback, count=exact, return=minimal, missing=null, resolution=merge-duplicates",
            ROW,
            201,
            "resolution=merge-duplicates, missing=null, return=minimal, count=exact, tx=rollback, handling=lenient, timezone=UTC",
        ),
    ]).await;
    // In one header or in several.
    let several = app
        .anon()
        .with("prefer", "return=minimal")
        .with("prefer", "count=exact");
    let answer = several.post("/items", &json!({"id": 4, "name": "a"})).await;
    assert_eq!(
        answer.headers["preference-applied"],
        "return=minimal, count=exact"
    );
    app.stop().await;
}

#[tokio::test]
async fn counts_are_exact_planned_or_estimated() {
    let sql = "create schema api; grant usage on schema api to anon;
        create table api.many as select generate_series(1, 500) as id;
        analyze api.many;
        grant select on api.many to anon;";
    let app = api_with(sql, &[("PGRST_DB_MAX_ROWS", "100")]).await;
    have_header(
        &app.anon(),
        "content-range",
        &[
            ("GET /many?limit=5", "", "", 200, "0-4/*"),
            ("GET /many?limit=5", "count=exact", "", 206, "0-4/500"),
            (
                "GET /many?limit=5&offset=5&id=lt.8",
                "count=exact",
                "",
                206,
                "5-6/7",
            ),
            ("GET /many?limit=5", "count=planned", "", 206, "0-4/500"),
            // Beyond max-rows the planner's number, below it the exact one.
            ("GET /many?limit=5", "count=estimated", "", 206, "0-4/500"),
            ("GET /many?limit=5&id=lt.8", "count=estimated", "", 206, "0-4/7"),
            ("GET /many?id=lt.0", "count=exact", "", 200, "*/0"),
            ("HEAD /many?limit=5", "count=exact", "", 206, "0-4/500"),
        ],
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn strict_handling_refuses_what_it_does_not_know() {
    let app = rolled_back().await;
    let anon = app.anon();
    for request in [
        "GET /items",
        "POST /items",
        "PATCH /items?id=eq.1",
        "DELETE /items?id=eq.1",
        "POST /rpc/count_items",
    ] {
        let body = match request {
            "GET /items" | "DELETE /items?id=eq.1" => "",
            "POST /items" => ROW,
            "POST /rpc/count_items" => "{}",
            _ => r#"{"qty": 1}"#,
        };
        let refused = send(
            &anon,
            request,
            "handling=strict, anything, return=everything, count=exact",
            body,
        )
        .await;
        let expected = json!({
            "code": "PGRST122", "details": "Invalid preferences: anything, return=everything", "hint": null,
            "message": "Invalid preferences given with handling=strict"
        });
        assert_eq!(refused.pair(), (400, expected), "{request}");
        let lenient = send(
            &anon,
            request,
            "handling=lenient, anything, return=everything",
            body,
        )
        .await;
        assert!(lenient.status.is_success(), "{request}: {lenient:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_transaction_ends_as_preferred_where_that_is_allowed() {
    for (setting, prefer, applied, stays) in [
        ("commit", "tx=rollback", "", true),
        ("commit-allow-override", "tx=rollback", "tx=rollback", false),
        ("commit-allow-override", "tx=commit", "tx=commit", true),
        ("commit-allow-override", "", "", true),
        ("rollback", "tx=commit", "", false),
        ("rollback-allow-override", "tx=commit", "tx=commit", true),
        ("rollback-allow-override", "", "", false),
    ] {
        let app = api_with(SQL, &[("PGRST_DB_TX_END", setting)]).await;
        let answer = send(&app.anon(), "POST /items", prefer, ROW).await;
        let echoed = answer
            .headers
            .get("preference-applied")
            .map_or("", |value| value.to_str().unwrap());
        assert_eq!(
            (answer.status.as_u16(), echoed),
            (201, applied),
            "{setting} {prefer}"
        );
        let expected = if stays {
            format!("{STOCK}, 4 a 1")
        } else {
            STOCK.to_owned()
        };
        assert_eq!(stock(&app).await, expected, "{setting} {prefer}");
        app.stop().await;
    }
}

#[tokio::test]
async fn a_rolled_back_write_meets_deferred_constraints_all_the_same() {
    let sql = format!(
        "{SQL} alter table api.items alter constraint items_owner_id_fkey deferrable initially deferred;"
    );
    let app = api_with(&sql, &[("PGRST_DB_TX_END", "commit-allow-override")]).await;
    let orphan = r#"{"id": 4, "name": "a", "owner_id": 9}"#;
    for prefer in ["tx=commit", "tx=rollback"] {
        let refused = send(&app.anon(), "POST /items", prefer, orphan).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["code"]),
            (409, &json!("23503")),
            "{prefer}"
        );
    }
    assert_eq!(stock(&app).await, STOCK);
    app.stop().await;
}

#[tokio::test]
async fn a_timezone_holds_for_one_request() {
    let app = api(&format!(
        "{SQL} insert into api.notes (id, at) values (1, '2024-01-02 12:00:00+00'); alter role anon reset timezone;"
    ))
    .await;
    let anon = app.anon();
    let mut wrong = Wrong::default();
    for (zone, at) in [
        ("America/Lima", "2024-01-02T07:00:00-05:00"),
        ("Asia/Kolkata", "2024-01-02T17:30:00+05:30"),
        ("UTC", "2024-01-02T12:00:00+00:00"),
        // The sign is read as POSIX has it.
        ("+05:00", "2024-01-02T07:00:00-05:00"),
    ] {
        let prefer = format!("timezone={zone}");
        let answer = send(&anon, "GET /notes?select=at", &prefer, "").await;
        wrong.unless_json(zone, &answer, 200, &format!(r#"[{{"at": "{at}"}}]"#));
        wrong.unless(
            zone,
            &answer.headers["preference-applied"].to_str().unwrap(),
            &prefer.as_str(),
        );
        let inside = send(&anon, "POST /rpc/time_zone", &prefer, "{}").await;
        assert_eq!(inside.status, 200);
    }
    wrong.none();
    let before = send(&anon, "GET /rpc/time_zone", "", "").await.json();
    assert_ne!(
        send(&anon, "GET /rpc/time_zone", "timezone=Asia/Kolkata", "")
            .await
            .json(),
        before
    );
    assert_eq!(send(&anon, "GET /rpc/time_zone", "", "").await.json(), before);

    // One that there is not is refused, whatever the handling.
    for prefer in [
        "timezone=Nope/Zone",
        "timezone=Nope/Zone, handling=lenient",
        "timezone=Nope/Zone, handling=strict",
    ] {
        let refused = send(&anon, "GET /notes", prefer, "").await;
        let message = r#"invalid value for parameter "TimeZone": "Nope/Zone""#;
        let expected = json!({"code": "22023", "details": null, "hint": null, "message": message});
        assert_eq!(refused.pair(), (400, expected), "{prefer}");
    }
    app.stop().await;
}

#[tokio::test]
async fn max_affected_needs_a_set_when_a_function_is_called() {
    let app = api(SQL).await;
    let prefer = "handling=strict, max-affected=2";
    let refused = send(&app.anon(), "POST /rpc/raise_all", prefer, r#"{"by": 1}"#).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (400, &json!("PGRST124"))
    );
    assert_eq!(stock(&app).await, STOCK);
    let scalar = send(&app.anon(), "POST /rpc/count_items", prefer, "{}").await;
    assert_eq!(
        (scalar.status.as_u16(), &scalar.json()["code"]),
        (400, &json!("PGRST128"))
    );
    let enough = send(
        &app.anon(),
        "POST /rpc/raise_all?select=id",
        "handling=strict, max-affected=3",
        r#"{"by": 1}"#,
    )
    .await;
    assert_eq!(enough.status, 200);
    assert_eq!(stock(&app).await, "1 bolt 11, 2 nut 21, 3 cloth 31");
    app.stop().await;
}
