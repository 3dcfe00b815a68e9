//! Bad input over HTTP: each gets its status and a body with the four keys, never a 500; and the server goes on.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::app::{RestApp, RestClient};
use super::cases::{Wrong, api, refuses};
use crate::support::Answer;

const SQL: &str = include_str!("hostile.sql");

/// Sends bytes as they are, and reads what comes to the connection's end.
async fn raw(app: &RestApp, request: &[u8]) -> String {
    let address = app.url.trim_start_matches("http://").trim_end_matches("/rest/v1");
    let mut connection = TcpStream::connect(address).await.unwrap();
    // A server that has seen enough stops reading.
    drop(connection.write_all(request).await);
    let mut answer = Vec::new();
    drop(connection.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

async fn still_serves(app: &RestApp) {
    let answer = app.anon().get("/nodes?select=id&order=id").await;
    assert_eq!(answer.pair(), (200, serde_json::json!([{"id": 1}, {"id": 2}])));
}

#[tokio::test]
async fn malformed_queries_are_refused() {
    let app = api(SQL).await;
    let cases = [
        ("/nodes?select=id,(name", 400, "PGRST100"),
        ("/nodes?select=id:", 400, "PGRST100"),
        ("/nodes?select=nodes(", 400, "PGRST100"),
        ("/nodes?select=id::", 400, "PGRST100"),
        ("/nodes?select=\"id", 400, "PGRST100"),
        ("/nodes?select=spec->", 400, "PGRST100"),
        ("/nodes?select=id.avg(", 400, "PGRST100"),
        // A semicolon separates parameters as well.
        ("/nodes?select=id::;drop table nodes", 400, "PGRST100"),
        ("/nodes?id=1", 400, "PGRST100"),
        ("/nodes?id=is.maybe", 400, "PGRST100"),
        ("/nodes?id=equals.1", 400, "PGRST100"),
        ("/nodes?id=not.not.eq.1", 400, "PGRST100"),
        ("/nodes?id=in.1,2", 400, "PGRST100"),
        ("/nodes?id=eq(any.{1}", 400, "PGRST100"),
        ("/nodes?or=[id.eq.1]", 400, "PGRST100"),
        ("/nodes?or=(id.eq.1", 400, "PGRST100"),
        ("/nodes?or=()", 400, "PGRST100"),
        ("/nodes?and=(id.eq.1,)", 400, "PGRST100"),
        ("/nodes?order=id.", 400, "PGRST100"),
        ("/nodes?order=id.desc.asc", 400, "PGRST100"),
        ("/nodes?order=,", 400, "PGRST100"),
        ("/nodes?on_conflict=(&select=id", 400, "PGRST100"),
        ("/nodes?id=eq.", 400, "22P02"),
        ("/nodes?id=eq.99999999999", 400, "22003"),
        ("/nodes?id=eq(any).{1", 400, "22P02"),
        ("/nodes?name=match.[", 400, "2201B"),
        ("/nodes?name=fts(klingon).x", 400, "42704"),
        ("/nodes?name=fts.a %26%26", 400, "42601"),
        ("/nodes?spec=eq.{", 400, "22P02"),
        ("/nodes?spec->a->99999999999=eq.1", 400, "22003"),
        ("/nodes?name=like.\\", 400, "22025"),
        ("/nodes?name=eq.%00", 400, "22021"),
        ("/nodes?name=eq.%FF", 400, "PGRST100"),
        ("/nodes?select=name::\"no such type\"", 400, "PGRST100"),
        ("/nodes?select=name::pg_catalog.regclass", 400, "PGRST100"),
        ("/nodes?select=name::nonsense", 400, "42704"),
        ("/nodes?select=id,id2", 400, "42703"),
        ("/nodes?price=cs.{1}", 404, "42883"),
        ("/none", 404, "PGRST205"),
        ("/%00", 404, "PGRST205"),
        ("/%FF", 404, "PGRST205"),
        ("/nodes;drop table nodes", 404, "PGRST205"),
        ("/rpc/none", 404, "PGRST202"),
        ("/rpc/", 404, "PGRST202"),
        ("/rpc/echo?t=%00", 400, "22021"),
    ];
    refuses(&app.anon(), &cases).await;
    let far = app
        .anon()
        .get("/nodes?limit=99999999999999999999999&offset=99999999999999999999999")
        .await;
    assert_eq!((far.status.as_u16(), far.text.as_str()), (200, "[]"));
    still_serves(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn malformed_headers_are_refused_or_ignored() {
    let app = api(SQL).await;
    let mut wrong = Wrong::default();
    // Header, value, and what comes of it.
    for (name, value, status) in [
        ("range", "x-y", 200),
        ("range", "-5", 200),
        ("range", "0-99999999999999999999999999", 200),
        ("range", "99999999999999999999999999-", 200),
        ("range", "5-1", 416),
        ("prefer", "count=", 200),
        ("prefer", ",,;=,return", 200),
        ("prefer", "handling=strict, count=many", 400),
        ("prefer", "timezone=Nowhere/Land", 400),
        ("prefer", "timezone='; select 1 --", 400),
        ("prefer", "max-affected=-1, handling=strict", 200),
        ("accept", "", 406),
        ("accept", ";;;,,,", 406),
        ("accept", "application/json;q=x", 200),
        ("accept-profile", "\"; drop schema api", 406),
        ("accept-profile", "", 406),
        ("authorization", "Bearer", 401),
        ("authorization", "Bearer \u{fffd}", 401),
        ("authorization", "Basic YTpi", 200),
        ("cookie", "a=\u{fffd}; =; b", 200),
        ("x-other", "\u{fffd}", 200),
    ] {
        let answer = app.anon().with(name, value).get("/nodes?select=id").await;
        wrong.unless(
            &format!("{name}: {value} {}", answer.text),
            &answer.status.as_u16(),
            &status,
        );
    }
    wrong.none();
    still_serves(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let app = api(SQL).await;
    let deep = "[".repeat(100_000);
    let closed = format!("{deep}{}", "]".repeat(100_000));
    let json = "application/json";
    let cases: Vec<(&str, &str, &[u8], u16, &str)> = vec![
        ("/nodes", json, b"", 400, "PGRST102"),
        ("/nodes", json, b"{", 400, "PGRST102"),
        ("/nodes", json, b"{\"id\": 5}}", 400, "PGRST102"),
        (
            "/nodes",
            json,
            b"[{\"id\": 5}, {\"name\": \"x\"}]",
            400,
            "PGRST102",
        ),
        ("/nodes", json, b"{\"id\": \xff}", 400, "PGRST102"),
        ("/nodes", json, b"{\"name\": \"\xff\"}", 400, "PGRST102"),
        (
            "/nodes",
            json,
            b"{\"id\": 5, \"name\": \"\\u0000\"}",
            400,
            "22P05",
        ),
        ("/nodes", json, b"{\"id\": 1e999}", 400, "22P02"),
        ("/nodes", json, b"{\"id\": {}}", 400, "22P02"),
        ("/nodes", json, b"{\"\": 1}", 400, "PGRST204"),
        (
            "/nodes",
            json,
            b"{\"id\\\"; drop table nodes; --\": 1}",
            400,
            "PGRST204",
        ),
        ("/nodes", json, deep.as_bytes(), 400, "PGRST102"),
        ("/rpc/whole", json, closed.as_bytes(), 400, "PGRST102"),
        ("/nodes", "text/csv", b"id,name\n5", 400, "PGRST102"),
        ("/nodes", "text/csv", b"id,nothing\n5,x", 400, "PGRST204"),
        ("/nodes", "text/csv", b"id,name\n5,\xff", 400, "PGRST102"),
        ("/nodes", "text/csv", b"id\nx", 400, "22P02"),
        (
            "/nodes",
            "application/x-www-form-urlencoded",
            b"id=x",
            400,
            "22P02",
        ),
        (
            "/nodes",
            "application/x-www-form-urlencoded",
            b"%=%&&=",
            400,
            "PGRST204",
        ),
        ("/nodes", "image/png", b"PNG", 400, "PGRST102"),
        ("/nodes", "", b"{}", 400, "PGRST102"),
        ("/rpc/echo", json, b"[1]", 400, "PGRST102"),
        ("/rpc/echo", json, b"{\"t\": \"\\u0000\"}", 400, "22P05"),
    ];
    let mut wrong = Wrong::default();
    for (path, media_type, body, status, code) in cases {
        let answer = app.anon().post_as(path, media_type, body.to_vec()).await;
        let shown = String::from_utf8_lossy(body);
        let case = format!("{path} {media_type} {shown:.40}");
        wrong.unless_refused(&case, &answer, status, code);
    }
    wrong.none();
    still_serves(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn depth_and_length_are_bounded() {
    let app = api(SQL).await;
    let nested = |n: usize, open: &str, inner: &str| format!("{}{inner}{}", open.repeat(n), ")".repeat(n));
    let list = |item: &str, n: usize| item.repeat(n).trim_end_matches(',').to_owned();
    let n = 10_000;
    let mut embeds = String::new();
    for k in 0..1_700 {
        write!(embeds, ",a{k}:nodes(id)").unwrap();
    }
    let mut wrong = Wrong::default();
    for (case, query, expected) in [
        (
            "select",
            format!("select={}", nested(n, "a(", "id")),
            "400 PGRST100",
        ),
        (
            "or",
            format!("or=({})", nested(n, "and(", "id.eq.1,id.eq.2")),
            "400 PGRST100",
        ),
        ("open or", format!("or={}", "(".repeat(n)), "400 PGRST100"),
        ("path", format!("{}id=eq.1", "nodes.".repeat(n)), "400 PGRST108"),
        (
            "json path",
            format!("select=spec{}", "->a".repeat(n)),
            "400 PGRST100",
        ),
        (
            "json path of a filter",
            format!("spec{}=eq.1", "->a".repeat(101)),
            "400 PGRST100",
        ),
        // PostgreSQL's own bound, which is the request's fault.
        ("columns", format!("select={}", list("id,", n)), "400 54011"),
        ("embeds", format!("select=id{embeds}"), "400 54011"),
        // What is wide is answered.
        (
            "nested embeds",
            format!("select={}", nested(60, "nodes(", "id")),
            "200",
        ),
        (
            "nested logic",
            format!("or=({})", nested(98, "and(", "id.eq.1,id.eq.2")),
            "200",
        ),
        (
            "long json path",
            format!("select=spec{}", "->a".repeat(100)),
            "200",
        ),
        ("order", format!("order={}", list("id,", n)), "200"),
        ("values", format!("id=in.({})", list("1,", 30_000)), "200"),
        ("filters", "id=gt.0&".repeat(8_000), "200"),
        ("alternatives", format!("or=({})", list("id.gt.0,", 7_000)), "200"),
        // The server's bounds are 64 KiB for a target, and 400 KiB for a head.
        ("value", format!("name=eq.{}", "x".repeat(60_000)), "200"),
        ("longer value", format!("name=eq.{}", "x".repeat(70_000)), "414"),
        ("megabyte", format!("name=eq.{}", "x".repeat(1 << 20)), "431"),
    ] {
        let request = format!("GET /rest/v1/nodes?{query} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = raw(&app, request.as_bytes()).await;
        let status = answer.get(9..12).unwrap_or_default();
        let code = answer
            .split("\"code\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let found = code.map_or_else(|| status.to_owned(), |code| format!("{status} {code}"));
        wrong.unless(case, &found, &expected.to_owned());
    }
    wrong.none();
    still_serves(&app).await;
    app.stop().await;
}

/// What no HTTP client sends.
#[tokio::test]
async fn bytes_that_are_no_request_are_refused() {
    let app = api(SQL).await;
    let mut wrong = Wrong::default();
    for (request, status) in [
        (
            &b"GET /rest/v1/nodes?name=eq.\xff\xfe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"[..],
            400,
        ),
        (b"GET /rest/v1/n\xc3\xb6des HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 404),
        (
            b"GET /rest/v1/nodes?select=id HTTP/1.1\r\nhost: a\r\nconnection: close\r\nprefer: \xff\xfe\r\n\r\n",
            200,
        ),
        (
            b"GET /rest/v1/nodes?select=id HTTP/1.1\r\nhost: a\r\nconnection: close\r\naccept: \xff\r\n\r\n",
            406,
        ),
        (
            b"GET /rest/v1/nodes?select=id HTTP/1.1\r\nhost: a\r\nconnection: close\r\nrange: \xff-\x80\r\n\r\n",
            200,
        ),
        (
            b"GET /rest/v1/nodes?select=id HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncookie: \xff=\xff\r\n\r\n",
            200,
        ),
        (
            b"GET /rest/v1/nodes?%zz=%=&&&==&%E2%82 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            400,
        ),
        (
            b"POST /rest/v1/nodes HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: \xff\r\ncontent-length: 2\r\n\r\n{}",
            400,
        ),
        (b"GET /rest/v1/nodes\x00 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    ] {
        let answer = raw(&app, request).await;
        let found = answer.get(9..12).unwrap_or_default().to_owned();
        wrong.unless(&String::from_utf8_lossy(request), &found, &format!("{status}"));
    }
    wrong.none();
    still_serves(&app).await;
    app.stop().await;
}

/// A query string out of pieces that mean something, in an order that may not.
fn query() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "select", "id", "name", "parent_id", "price", "tags", "spec", "nodes", "or", "and", "not", "order", "limit",
            "offset", "columns", "on_conflict", "eq", "in", "is", "like", "fts", "cs", "gt", "any", "all", "null", "desc",
            "nullslast", "inner", "left", "count", "max", "1", "-1", "1.5", "{a,b}", "[1,2)", "int", "text", "a b",
        ]).prop_map(str::to_owned),
        5 => prop::sample::select(vec![
            "=", "&", ".", ",", "(", ")", "::", ":", "!", "...", "->", "->>", "*", "\"", "\\", "%20", "%22", "%5C", "+", "'",
            "$", "%00", "%FF", "%C3%BC", "%", ";", "/*", "--",
        ]).prop_map(str::to_owned),
        1 => "[ -~&&[^#]]{0,6}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A query string that is nearly right.
fn near_query() -> impl Strategy<Value = String> {
    let parameter = prop_oneof![
        "(id|name|price|tags|spec|parent_id|spec->a|spec->>a|tags->0|nodes.id|nodes)=(not\\.)?(eq|neq|gt|lte|like|ilike|match|imatch|is|in|cs|cd|ov|sl|adj|fts|wfts|isdistinct)(\\((any|all|english)\\))?\\.(1|\\(1,2\\)|\\{1,2\\}|null|true|x|\\[|%7B%7D|\\{\"a\":1\\})",
        "(nodes\\.)?(or|and|not\\.or)=\\((id|name|spec->a)\\.(not\\.)?(eq|in|is|like|gt)\\.(1|null|\\(1\\)|x),?(id\\.gt\\.0)?\\)",
        "select=(id|name|\\*|spec->a|id::text|x:id|count\\(\\)|id\\.max\\(\\)|nodes\\(\\*\\)|\\.\\.\\.nodes\\(id\\)|parent:parent_id\\(\\*\\)|nodes!inner\\(id,nodes\\(\\)\\))(,(name|id|tags|id\\.sum\\(\\)|...parent_id\\(name\\)))?",
        "(nodes\\.)?order=(id|name|spec->a|nodes\\(id\\)|parent_id\\(id\\)|count)(\\.(asc|desc))?(\\.nulls(first|last))?",
        "(nodes\\.)?(limit|offset)=(-?[0-9]{1,3}|[0-9]{18,22}|x)",
    ];
    prop::collection::vec(parameter, 0..5).prop_map(|parameters| parameters.join("&"))
}

async fn asked(client: &RestClient<'_>, path: &str, query: &str) -> Answer {
    client.get(&format!("{path}?{query}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_string_makes_an_internal_error() {
    let app = api(SQL).await;
    let client = app.anon().with("prefer", "count=exact");
    // `PROPTEST_CASES=10000` makes a longer run.
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let path = prop::sample::select(vec!["/nodes", "/rpc/found", "/rpc/echo"]);
    let query = prop_oneof![1 => query(), 2 => near_query()];
    let result = runner.run(&(path, query), |(path, query)| {
        let answer = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(asked(&client, path, &query))
        });
        let status = answer.status.as_u16();
        prop_assert!(
            matches!(status, 200 | 206 | 300 | 400 | 404 | 406 | 416),
            "{} {}",
            status,
            answer.text
        );
        let body: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
        prop_assert!(
            status < 300 || body.as_object().is_some_and(|body| body.len() == 4),
            "{}",
            body
        );
        Ok(())
    });
    result.unwrap();
    still_serves(&app).await;
    app.stop().await;
}
