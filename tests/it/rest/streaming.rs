//! Results that are too large for one value: they pass through the server in bounded memory, and are the same bytes.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::app::RestApp;
use super::app::login_role;
use super::cases::api_with;
use crate::support::cluster::TestDatabase;
use crate::support::program::Running;

/// Rows of some 250 bytes each; a result is streamed from 2,001 rows on.
const SQL: &str = "create schema api; grant usage on schema api to anon;
    create table api.rows (id int primary key, note text, parent int references api.rows);
    create function api.some(many int) returns setof api.rows stable language sql as $$
      select n, repeat(md5(n::text), 6), null::int from generate_series(1, many) n
    $$;
    create view api.million as select n as id, 'row ' || n as note from generate_series(1, 1000000) n;
    create view api.late_error as select 1 / (4000 - n) as one from generate_series(1, 5000) n;
    create table api.kids (id int primary key, row_id int references api.rows);
    create view api.late_csv as select 1 / (4000 - n) as one, repeat('x', 200) as note from generate_series(1, 5000) n;
    grant select on all tables in schema api to anon;";
const FILL: &str =
    "insert into api.rows select n, repeat(md5(n::text), 6), n / 2 + 1 from generate_series(1, $1) n";

async fn filled(rows: i32, variables: &[(&str, &str)]) -> RestApp {
    let app = api_with(SQL, variables).await;
    app.run(&FILL.replace("$1", &rows.to_string())).await;
    app.run("analyze api.rows").await;
    app
}

#[tokio::test]
async fn a_streamed_result_is_to_the_byte_what_its_pages_are() {
    let app = filled(2_500, &[]).await;
    for (path, accept) in [
        ("/rows?select=id,note&order=id", "application/json"),
        (
            "/rows?select=id,kids(id)&order=id&kids.order=id",
            "application/json",
        ),
        (
            "/rows?order=id.desc",
            "application/vnd.pgrst.array+json;nulls=stripped",
        ),
        ("/rows?select=id,note&order=id", "text/csv"),
        ("/rpc/some?many=2500&order=id", "application/json"),
        ("/rpc/some?many=2500&order=id&select=id", "text/csv"),
    ] {
        let client = app.anon().with("accept", accept);
        let whole = client.get(path).await;
        assert_eq!(whole.status, 200, "{path}");
        assert_eq!(whole.headers["content-range"], "0-2499/*");
        assert!(
            !whole.headers.contains_key("content-length"),
            "{path} is streamed"
        );
        let mut pages = Vec::new();
        for offset in [0, 1_250] {
            let page = client.get(&format!("{path}&limit=1250&offset={offset}")).await;
            assert!(page.headers.contains_key("content-length"), "{path} is one value");
            pages.push(page.text);
        }
        let (first, second) = (&pages[0], &pages[1]);
        let expected = if accept == "text/csv" {
            format!("{first}\n{}", second.split_once('\n').unwrap().1)
        } else {
            let between = if accept.contains("stripped") { "," } else { ", \n " };
            let (first, second) = (
                first.strip_suffix(']').unwrap(),
                second.strip_prefix('[').unwrap(),
            );
            format!("{first}{between}{second}")
        };
        assert!(
            whole.text == expected,
            "{path} {accept}: {} bytes and {}",
            whole.text.len(),
            expected.len()
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn the_threshold_changes_nothing_that_can_be_seen() {
    let app = filled(2_002, &[]).await;
    for rows in [1_999, 2_000, 2_001, 2_002] {
        for prefer in ["count=none", "count=exact"] {
            let client = app.anon().with("prefer", prefer);
            let answer = client
                .get(&format!("/rows?select=id&id=lte.{rows}&order=id"))
                .await;
            let ids: Vec<i64> = answer
                .json()
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["id"].as_i64().unwrap())
                .collect();
            assert_eq!(ids, (1..=rows).collect::<Vec<_>>());
            let total = if prefer == "count=exact" {
                rows.to_string()
            } else {
                "*".to_owned()
            };
            assert_eq!(
                (
                    answer.status.as_u16(),
                    answer.headers["content-range"].to_str().unwrap()
                ),
                (200, format!("0-{}/{total}", rows - 1).as_str())
            );
        }
    }
    // A page of a larger table.
    let page = app
        .anon()
        .with("prefer", "count=exact")
        .get("/rows?select=id&offset=1&order=id")
        .await;
    assert_eq!(
        (page.status.as_u16(), &page.headers["content-range"]),
        (206, &"1-2001/2002".parse().unwrap())
    );
    let single = app
        .anon()
        .with("accept", "application/vnd.pgrst.object+json")
        .get("/rows")
        .await;
    assert_eq!(
        (single.status.as_u16(), &single.json()["details"]),
        (406, &json!("The result contains 2002 rows"))
    );
    app.stop().await;
}

#[tokio::test]
async fn max_rows_holds_for_streams_too() {
    let app = filled(5_000, &[("PGRST_DB_MAX_ROWS", "3000")]).await;
    let answer = app
        .anon()
        .with("prefer", "count=exact")
        .get("/rows?select=id&order=id")
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["content-range"]),
        (206, &"0-2999/5000".parse().unwrap())
    );
    assert_eq!(answer.json().as_array().unwrap().len(), 3_000);
    app.stop().await;
}

#[tokio::test]
async fn a_late_error_aborts_the_body() {
    let app = filled(1, &[("PGRST_DB_POOL", "1")]).await;
    let http = reqwest::Client::builder().no_proxy();
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge();
    for http in [http.build().unwrap(), http2.build().unwrap()] {
        // Before the first chunk is full, and long after.
        for (path, accept) in [("late_error", "application/json"), ("late_csv", "text/csv")] {
            let request = http.get(format!("{}/{path}", app.url)).header("accept", accept);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200, "3999 rows are fine");
            assert_eq!(answer.headers()["content-range"], "0-4999/*");
            let body = answer.bytes().await;
            assert!(
                body.is_err(),
                "{path} looks complete: {} bytes",
                body.unwrap().len()
            );
        }
    }
    // Early enough, it is an answer; and the connection is as good as ever.
    let early = app.anon().get("/late_error?limit=1500&offset=3000").await;
    assert_eq!(
        (early.status.as_u16(), &early.json()["code"]),
        (400, &json!("22012"))
    );
    assert_eq!(
        app.anon().get("/rows?select=id").await.pair(),
        (200, json!([{"id": 1}]))
    );
    app.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_cut_aborts_the_body() {
    let app = filled(100_000, &[]).await;
    let mut answer = app.anon().open("/rows").await;
    answer.chunk().await.unwrap().unwrap();
    app.run(
        "select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid() and query like '%rows%'",
    )
    .await;
    let outcome = loop {
        match answer.chunk().await {
            Ok(Some(_)) => {}
            outcome => break outcome,
        }
    };
    assert!(outcome.is_err(), "it looks complete");
    assert_eq!(app.anon().get("/rows?id=eq.1").await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_frees_its_connection() {
    let app = filled(100_000, &[("PGRST_DB_POOL", "1")]).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..3 {
        let answer = http.get(format!("{}/rows", app.url)).send().await.unwrap();
        let mut body = answer.bytes_stream();
        assert!(body.next().await.unwrap().unwrap().starts_with(b"[{\"id\":"));
        drop(body);
        let next = app.anon().get("/rows?select=id&limit=1&order=id").await;
        assert_eq!(next.pair(), (200, json!([{"id": 1}])));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_million_rows_pass_through_a_few_megabytes() {
    const ROWS: i32 = 200_000;
    let database = TestDatabase::migrated().await;
    let db = database.target().connect().await.unwrap();
    db.batch_execute(&format!("{SQL}{}", FILL.replace("$1", &ROWS.to_string())))
        .await
        .unwrap();
    let uri = database.url_of(&login_role(&database).await);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let listen = format!("127.0.0.1:{port}");
    let variables = [
        ("PGRST_DB_URI", uri.as_str()),
        ("PGRST_DB_ANON_ROLE", "anon"),
        ("PGRST_DB_SCHEMAS", "api"),
    ];
    let server = Running::start(&["serve", "--rest-only", "--listen", &listen], &variables);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = |path: &str| {
        http.get(format!("http://{listen}{path}"))
            .header("prefer", "count=exact")
    };
    let began = Instant::now();
    while get("/rows?limit=1").send().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", server.errors());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = server.peak_memory();

    for (path, total) in [
        ("/rows", 200_000),
        ("/rpc/some?many=200000", 200_000),
        ("/million", 1_000_000),
    ] {
        let answer = get(path).send().await.unwrap();
        // Count and headers come before the rows.
        let range = answer.headers()["content-range"].to_str().unwrap();
        let expected = format!("0-{}/{total}", total - 1);
        assert_eq!(
            (answer.status().as_u16(), range),
            (200, expected.as_str()),
            "{path}"
        );
        let mut body = answer.bytes_stream();
        // A client that takes its time costs no memory either.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (mut bytes, mut rows, mut last) = (0_usize, 0_usize, Vec::new());
        while let Some(chunk) = body.next().await {
            let chunk = chunk.unwrap();
            bytes += chunk.len();
            rows += chunk.split(|byte| *byte == b'{').count() - 1;
            last = chunk.to_vec();
        }
        assert_eq!((rows, last.last()), (total, Some(&b']')), "{path}");
        assert!(bytes > 30_000_000, "{path}: {bytes} bytes");
        let most = server.peak_memory();
        assert!(
            most < before + 24_000_000 && most < 100_000_000,
            "{path}: {before} bytes at first, {most} at most, for {bytes}"
        );
    }
    let gone: Value = http
        .get(format!("http://{listen}/nothing"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(gone["code"], "PGRST205");
    drop(server);
}
