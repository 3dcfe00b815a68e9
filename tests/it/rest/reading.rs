//! Reading: operators, columns, paths, logic, order, pages, counts, computed fields, aggregates, representations.

use reqwest::Method;
use serde_json::{Value, json};

use super::app::RestClient;
use super::cases::{Wrong, api, api_with, reads, refuses};

const SQL: &str = include_str!("reading.sql");

/// The ids of what a query finds among the parts, in that order.
async fn found(client: &RestClient<'_>, query: &str) -> String {
    let answer = client.get(&format!("/parts?select=id&{query}")).await;
    assert!(answer.status.is_success(), "{query}: {}", answer.text);
    let rows = answer.json();
    let ids = rows.as_array().unwrap().iter().map(|row| row["id"].to_string());
    ids.collect::<Vec<_>>().join(" ")
}

async fn finds(client: &RestClient<'_>, cases: &[(&str, &str)]) {
    let mut wrong = Wrong::default();
    for (query, ids) in cases {
        let query = if query.contains("order=") {
            (*query).to_owned()
        } else {
            format!("{query}&order=id")
        };
        wrong.unless(&query, &found(client, &query).await, &(*ids).to_owned());
    }
    wrong.none();
}

#[tokio::test]
async fn every_operator_finds_its_rows() {
    let app = api(SQL).await;
    let cases = [
        ("id=eq.1", "1"),
        ("id=neq.1", "2 3 4 5"),
        ("id=gt.3", "4 5"),
        ("id=gte.3", "3 4 5"),
        ("id=lt.3", "1 2"),
        ("id=lte.3", "1 2 3"),
        ("id=gt.1&id=lt.4", "2 3"),
        ("name=eq.O-ring, \"oil\"", "4"),
        ("name=like.bolt", "1"),
        ("name=like.*bolt*", "1 3"),
        ("name=like.%25bolt", "1 3"),
        ("name=ilike.*BOLT", "1 3"),
        ("name=match.^.ut$", "2"),
        ("name=imatch.^B", "1"),
        ("id=in.(1,3)", "1 3"),
        ("id=in.()", ""),
        ("name=in.(\"O-ring, \\\"oil\\\"\",nut)", "2 4"),
        ("name=in.(\"\")", ""),
        ("in_stock=is.true", "1 2 5"),
        ("in_stock=is.FALSE", "3"),
        ("in_stock=is.unknown", "4"),
        ("price=is.null", "4"),
        ("price=is.not_null", "1 2 3 5"),
        ("price=isdistinct.0.25", "1 3 4 5"),
        ("tags=cs.{metal}", "1 2 3"),
        ("tags=cd.{metal,small}", "1 2 4"),
        ("tags=ov.{small,long}", "1 3"),
        ("spec=cs.{\"code\":\"a-1\"}", "1"),
        ("fits=cs.[3,4)", "1 3"),
        ("fits=cd.[0,6)", "1 3"),
        ("fits=ov.[4,6)", "1 2"),
        ("fits=sl.[5,10)", "1 3"),
        ("fits=sr.[1,5)", "2 4"),
        ("fits=nxr.[1,5)", "1 3"),
        ("fits=nxl.[5,10)", "2 4"),
        ("fits=adj.[1,5)", "2"),
    ];
    finds(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn operators_are_negated_and_quantified() {
    let app = api(SQL).await;
    let cases = [
        ("id=not.eq.1", "2 3 4 5"),
        ("id=not.in.(1,2)", "3 4 5"),
        ("name=not.like.*bolt*", "2 4 5"),
        ("in_stock=not.is.true", "3 4"),
        ("price=not.is.null", "1 2 3 5"),
        ("price=not.isdistinct.0.25", "2"),
        ("tags=not.cs.{metal}", "4"),
        ("notes=not.fts(english).bolt", "3 5"),
        ("id=eq(any).{1,2}", "1 2"),
        ("id=not.eq(any).{1,2}", "3 4 5"),
        ("id=gt(all).{1,3}", "4 5"),
        ("id=gte(any).{4,9}", "4 5"),
        ("id=lt(any).{2,4}", "1 2 3"),
        ("id=lte(all).{2,4}", "1 2"),
        ("name=like(any).{*bolt,n*}", "1 2 3"),
        ("name=like(all).{*bolt,l*}", "3"),
        ("name=ilike(all).{*BOLT,L*}", "3"),
        ("name=match(any).{^b,^n}", "1 2"),
        ("name=imatch(all).{B,L}", "1 3"),
    ];
    finds(&app.anon(), &cases).await;
    // What takes no quantifier.
    let refused = [
        ("/parts?id=in(any).(1)", 400, "PGRST100"),
        ("/parts?tags=cs(all).{a}", 400, "PGRST100"),
        ("/parts?id=eq(some).{1}", 400, "PGRST100"),
    ];
    refuses(&app.anon(), &refused).await;
    app.stop().await;
}

#[tokio::test]
async fn full_text_is_searched_in_text_json_and_vectors() {
    let app = api(SQL).await;
    let cases = [
        ("notes=fts(english).bolt", "1 2"),
        ("notes=fts(english).thick %26 hold", "3"),
        ("notes=fts(german).Ding", "5"),
        ("notes=plfts(english).holding things", "1 3"),
        ("notes=phfts(english).things together", "1"),
        ("notes=phfts(english).together things", ""),
        ("notes=wfts(english).holds -together", "3"),
        ("words=fts(english).bolts", "1 2"),
        ("words=fts.bolt", "1 2"),
        ("spec=fts(english).grey", "1"),
        ("spec->>code=plfts(simple).a-1", "1"),
        ("or=(notes.fts(english).thick,notes.plfts(english).turn)", "2 3"),
    ];
    finds(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn columns_are_selected_renamed_and_cast() {
    let app = api(SQL).await;
    let cases = [
        ("/parts?id=eq.2&select=id,name", r#"[{"id":2,"name":"nut"}]"#),
        (
            "/parts?id=eq.2&select=id::text,cost:price,whole:price::int",
            r#"[{"id":"2","cost":0.25,"whole":0}]"#,
        ),
        (
            "/fares?id=eq.1&select=*,again:id",
            r#"[{"id":1,"fare":"£1.50","again":1}]"#,
        ),
        ("/fares?id=eq.1", r#"[{"id":1,"fare":"£1.50"}]"#),
        (
            "/m%C3%BC dir?select=\"Stra%C3%9Fe/%E2%84%96 1\",\"a,b\"&id=eq.1",
            r#"[{"Straße/№ 1":"Allee","a,b":7}]"#,
        ),
        (
            "/mü dir?select=x:id&\"a,b\"=gt.7&order=\"a,b\".desc",
            r#"[{"x":2}]"#,
        ),
        ("/mü dir?select=id&\"Straße/№ 1\"=eq.Weg", r#"[{"id":2}]"#),
    ];
    reads(&app.anon(), &cases).await;
    let refused = [
        ("/parts?select=nothing", 400, "42703"),
        ("/parts?select=id::nothing", 400, "42704"),
        ("/parts?select=name::int", 400, "22P02"),
        ("/parts?select=id,,name", 400, "PGRST100"),
    ];
    refuses(&app.anon(), &refused).await;
    app.stop().await;
}

#[tokio::test]
async fn paths_reach_into_json_composites_and_arrays() {
    let app = api(SQL).await;
    let cases = [
        ("/parts?id=eq.1&select=spec->size->mm", r#"[{"mm":8}]"#),
        ("/parts?id=eq.1&select=spec->size->>mm", r#"[{"mm":"8"}]"#),
        (
            "/parts?id=eq.1&select=spec->colours->0",
            r#"[{"colours":"grey"}]"#,
        ),
        (
            "/parts?id=eq.1&select=last:spec->colours->>-1",
            r#"[{"last":"black"}]"#,
        ),
        ("/parts?id=eq.1&select=mm:spec->size->>mm::int", r#"[{"mm":8}]"#),
        (
            "/parts?id=eq.1&select=place->aisle,shelf:place->>shelf",
            r#"[{"aisle":"A","shelf":"3"}]"#,
        ),
        ("/parts?id=eq.1&select=tags->0", r#"[{"tags":"metal"}]"#),
        ("/parts?id=eq.1&select=spec->nothing->here", r#"[{"here":null}]"#),
    ];
    reads(&app.anon(), &cases).await;
    let cases = [
        ("spec->>code=eq.a-1", "1"),
        ("spec->size->mm=gt.9", "2 3"),
        ("spec->size->>mm=is.null", "4 5"),
        ("spec->colours->>0=eq.grey", "1"),
        ("place->>aisle=eq.A", "1 2"),
        ("place->shelf=gte.3", "1 2"),
        ("tags->>1=eq.long", "3"),
        ("or=(spec->>code.eq.a-1,spec->size->>mm.eq.80)", "1 3"),
        ("order=spec->size->mm.desc.nullslast&id=lt.5", "3 2 1 4"),
        (
            "order=place->>aisle.desc.nullslast,place->shelf.asc&id=lt.4",
            "3 1 2",
        ),
    ];
    finds(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn logic_nests() {
    let app = api(SQL).await;
    let cases = [
        ("or=(id.eq.1,id.eq.4)", "1 4"),
        ("and=(id.gt.1,id.lt.4)", "2 3"),
        ("not.or=(id.eq.1,id.eq.4)", "2 3 5"),
        ("not.and=(id.gt.1,id.lt.4)", "1 4 5"),
        ("or=(id.eq.1,and(in_stock.is.true,price.gt.1))", "1 5"),
        ("or=(id.eq.1,not.and(id.gte.2,id.lte.4))", "1 5"),
        (
            "or=(id.not.in.(1,2,3),name.eq.\"O-ring, \\\"oil\\\"\",tags.cs.{metal,small})",
            "1 4 5",
        ),
        ("or=(name.like.*bolt,fits.ov.\"[5,10)\")", "1 2 3"),
        ("or=(id.eq.1,id.eq.2)&in_stock=is.true&or=(id.eq.2,id.eq.3)", "2"),
        ("or=(id.eq(any).{1,2},and(id.eq.5,or(id.eq.5,id.eq.4)))", "1 2 5"),
    ];
    finds(&app.anon(), &cases).await;
    app.stop().await;
}

#[tokio::test]
async fn order_puts_nulls_where_they_are_wanted() {
    let app = api(SQL).await;
    let cases = [
        ("order=price", "2 1 3 5 4"),
        ("order=price.asc", "2 1 3 5 4"),
        ("order=price.desc", "4 5 3 1 2"),
        ("order=price.desc.nullslast", "5 3 1 2 4"),
        ("order=price.nullsfirst", "4 2 1 3 5"),
        ("order=in_stock,id.desc", "3 5 2 1 4"),
        ("order=label.desc", "5 4 3 2 1"),
    ];
    finds(&app.anon(), &cases).await;
    let refused = [
        ("/parts?order=nothing", 400, "42703"),
        ("/parts?order=id.up", 400, "PGRST100"),
        ("/parts?order=id.asc.nullsmiddle", 400, "PGRST100"),
    ];
    refuses(&app.anon(), &refused).await;
    app.stop().await;
}

#[tokio::test]
async fn pages_and_counts_tell_where_they_stand() {
    let app = api(SQL).await;
    // Query, Range, count, and then the status, Content-Range and ids.
    let cases = [
        ("", "", "", 200, "0-4/*", "1 2 3 4 5"),
        ("limit=2", "", "", 200, "0-1/*", "1 2"),
        ("limit=2&offset=3", "", "", 200, "3-4/*", "4 5"),
        ("offset=4", "", "", 200, "4-4/*", "5"),
        ("limit=0", "", "", 200, "*/*", ""),
        ("offset=99", "", "", 200, "*/*", ""),
        ("", "1-2", "", 200, "1-2/*", "2 3"),
        ("", "3-", "", 200, "3-4/*", "4 5"),
        ("limit=3", "1-9", "", 200, "1-2/*", "2 3"),
        ("", "", "exact", 200, "0-4/5", "1 2 3 4 5"),
        ("", "0-0", "exact", 206, "0-0/5", "1"),
        ("id=gt.3&limit=1", "", "exact", 206, "0-0/2", "4"),
        ("id=gt.9", "", "exact", 200, "*/0", ""),
        ("offset=5", "", "exact", 206, "*/5", ""),
        ("limit=2", "", "planned", 206, "0-1/5", "1 2"),
        ("limit=2", "", "estimated", 206, "0-1/5", "1 2"),
    ];
    let mut wrong = Wrong::default();
    for (query, range, count, status, content_range, ids) in cases {
        let mut client = app.anon();
        if !range.is_empty() {
            client = client.with("range-unit", "items").with("range", range);
        }
        if !count.is_empty() {
            client = client.with("prefer", &format!("count={count}"));
        }
        let path = format!("/parts?select=id&order=id&{query}");
        let whole = client.get(&path).await;
        let rows = whole.json();
        let rows = rows.as_array().unwrap().iter().map(|row| row["id"].to_string());
        let seen = (
            whole.status.as_u16(),
            &whole.headers["content-range"],
            rows.collect::<Vec<_>>().join(" "),
        );
        let case = format!("{query} {range} {count}");
        wrong.unless(
            &case,
            &seen,
            &(status, &content_range.parse().unwrap(), ids.to_owned()),
        );

        // HEAD answers the same without a body; to it a Range means nothing (RFC 9110, section 14.2).
        if !range.is_empty() {
            continue;
        }
        let head = client.send(Method::HEAD, &path, None).await;
        for name in [
            "content-range",
            "content-type",
            "content-location",
            "preference-applied",
        ] {
            wrong.unless(&case, &head.headers.get(name), &whole.headers.get(name));
        }
        wrong.unless(&case, &(head.status, ""), &(whole.status, head.text.as_str()));
    }
    wrong.none();
    app.stop().await;
}

#[tokio::test]
async fn a_range_that_cannot_be_is_416() {
    let app = api(SQL).await;
    let counted = app.anon().with("prefer", "count=exact");
    let beyond = counted.get("/parts?offset=6").await;
    let body = json!({
        "code": "PGRST103", "message": "Requested range not satisfiable", "hint": null,
        "details": "An offset of 6 was requested, but there are only 5 rows."
    });
    assert_eq!(beyond.pair(), (416, body));
    assert_eq!(beyond.headers["content-range"], "*/5");
    let backwards = app.anon().with("range", "2-1");
    refuses(&backwards, &[("/parts", 416, "PGRST103")]).await;
    let refused = [("/parts?limit=-1", 416, "PGRST103")];
    refuses(&app.anon(), &refused).await;
    // What is no number is no limit.
    let all = r#"[{"id":1},{"id":2}]"#;
    reads(
        &app.anon(),
        &[
            ("/fares?select=id&limit=x", all),
            ("/fares?select=id&offset=x", all),
        ],
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn more_than_max_rows_is_never_sent() {
    let app = api_with(SQL, &[("PGRST_DB_MAX_ROWS", "2")]).await;
    for (query, count, status, range) in [
        ("limit=9", "none", 200, "0-1/*"),
        ("limit=1", "none", 200, "0-0/*"),
        ("offset=4", "none", 200, "4-4/*"),
        ("", "exact", 206, "0-1/5"),
        // Beyond the cap an estimate is the planner's.
        ("", "estimated", 206, "0-1/5"),
        ("id=lt.2", "estimated", 200, "0-0/1"),
    ] {
        let client = app.anon().with("prefer", &format!("count={count}"));
        let answer = client.get(&format!("/parts?select=id&{query}")).await;
        let seen = (
            answer.status.as_u16(),
            answer.headers["content-range"].to_str().unwrap(),
        );
        assert_eq!(seen, (status, range), "{query} {count}");
    }
    app.stop().await;
}

#[tokio::test]
async fn computed_fields_are_there_when_asked_for() {
    let app = api(SQL).await;
    let cases = [
        ("/parts?select=label&id=eq.2", r##"[{"label":"#2 nut"}]"##),
        (
            "/parts?select=l:label,id&label=like.%232*",
            r##"[{"l":"#2 nut","id":2}]"##,
        ),
        (
            "/parts?select=id&or=(label.eq.%231 bolt,id.eq.2)&order=label",
            r#"[{"id":1},{"id":2}]"#,
        ),
    ];
    reads(&app.anon(), &cases).await;
    let whole = app.anon().get("/parts?id=eq.1").await.json();
    assert!(whole[0].get("label").is_none(), "{whole}");
    // It is no field of other relations.
    refuses(&app.anon(), &[("/fares?select=label", 400, "42703")]).await;
    app.stop().await;
}

#[tokio::test]
async fn aggregates_group_by_the_other_columns() {
    let app = api(SQL).await;
    let cases = [
        ("/parts?select=count()", r#"[{"count":5}]"#),
        ("/parts?select=n:count()&id=gt.2", r#"[{"n":3}]"#),
        (
            "/parts?select=price.count(),price.sum(),price.max(),low:price.min()",
            r#"[{"count":4,"sum":12.24,"max":9.99,"low":0.25}]"#,
        ),
        ("/parts?select=id.avg()::int", r#"[{"avg":3}]"#),
        ("/parts?select=price::int.sum()::text", r#"[{"sum":"13"}]"#),
        (
            "/parts?select=in_stock,count()&order=in_stock.nullsfirst",
            r#"[{"in_stock":null,"count":1},{"in_stock":false,"count":1},{"in_stock":true,"count":3}]"#,
        ),
        (
            "/parts?select=aisle:place->>aisle,top:place->>shelf.max()&place->>aisle=eq.A",
            r#"[{"aisle":"A","top":"4"}]"#,
        ),
        (
            "/parts?select=mm:spec->size->>mm::int.sum()&id=lt.4",
            r#"[{"mm":98}]"#,
        ),
    ];
    reads(&app.anon(), &cases).await;
    app.stop().await;

    let off = api_with(SQL, &[("PGRST_DB_AGGREGATES_ENABLED", "false")]).await;
    refuses(
        &off.anon(),
        &[
            ("/parts?select=count()", 400, "PGRST123"),
            ("/parts?select=id.max()", 400, "PGRST123"),
        ],
    )
    .await;
    off.stop().await;
}

#[tokio::test]
async fn domains_are_represented_as_they_want() {
    let app = api(SQL).await;
    let cases = [
        (
            "/fares?select=fare&order=id",
            r#"[{"fare":"£1.50"},{"fare":"£2.75"}]"#,
        ),
        ("/fares?select=fare&fare=eq.£1.50", r#"[{"fare":"£1.50"}]"#),
        ("/fares?select=id&fare=gt.£2", r#"[{"id":2}]"#),
        ("/fares?select=id&fare=in.(£1.50,£9)", r#"[{"id":1}]"#),
        (
            "/fares?select=id&or=(fare.eq.£2.75,fare.is.null)",
            r#"[{"id":2}]"#,
        ),
        ("/fares?select=f:fare&id=eq.1", r#"[{"f":"£1.50"}]"#),
    ];
    reads(&app.anon(), &cases).await;
    app.run("grant insert, update on api.fares to anon").await;
    let client = app.anon().with("prefer", "return=representation");
    let written = client.post("/fares", &json!({"id": 3, "fare": "£4.20"})).await;
    assert_eq!(written.pair(), (201, json!([{"id": 3, "fare": "£4.20"}])));
    let written = client
        .patch("/fares?fare=eq.£4.20", &json!({"fare": "£0.05"}))
        .await;
    assert_eq!(written.pair(), (200, json!([{"id": 3, "fare": "£0.05"}])));
    let kept: Value = app
        .db
        .query_one("select to_json(fare::int) from api.fares where id = 3", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(kept, json!(5));
    app.stop().await;
}
