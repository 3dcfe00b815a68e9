//! Results that are too large to be held: streamed, counted before they begin, broken off rather than cut short.

use std::time::{Duration, Instant};

use dropwire::dev;
use serde_json::{Value, json};

use super::app::{RestApp, login_role};
use crate::support::cluster::TestDatabase;
use crate::support::program::Running;

/// More rows than are answered as one value, one of them with a null; and a function that returns as many.
const ROWS: &str = "
    create table public.many (id int primary key, text text);
    insert into public.many select n, nullif('row ' || n, 'row 1') from generate_series(1, 5000) as n;
    grant select on public.many to anon;
    create function public.all_of_many() returns setof public.many stable language sql as 'select * from public.many';
    create table public.heavy as select n as id, repeat('x', 1000) as text from generate_series(1, 100000) as n;
    grant select on public.heavy to anon;";

#[tokio::test]
async fn a_million_rows_are_answered_in_less_than_100_mb() {
    let database = TestDatabase::migrated().await;
    let db = database.target().connect().await.unwrap();
    let rows = "
        create table public.million as select n as id, 'row ' || n as text from generate_series(1, 1000000) as n;
        grant select on public.million to anon;";
    db.batch_execute(rows).await.unwrap();
    let url = database.url_of(&login_role(&database).await);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let variables = [
        ("PGRST_DB_URI", url.as_str()),
        ("PGRST_DB_ANON_ROLE", "anon"),
        ("PGRST_JWT_SECRET", dev::JWT_SECRET),
        ("DROPWIRE_LISTEN", &address),
    ];
    let server = Running::start(&["serve", "--rest-only"], &variables);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{address}/million?order=id");
    let began = Instant::now();
    while http.head(&url).send().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", server.errors());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let request = http.get(&url).header("prefer", "count=exact");
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-range"], "0-999999/1000000");
    assert!(!answer.headers().contains_key("content-length"));
    let (mut rows, mut last) = (0, Vec::new());
    while let Some(chunk) = answer.chunk().await.unwrap() {
        rows += chunk.split(|byte| *byte == b'{').count() - 1;
        last = chunk.to_vec();
    }
    assert_eq!(rows, 1_000_000);
    assert!(
        String::from_utf8(last)
            .unwrap()
            .ends_with("{\"id\":1000000,\"text\":\"row 1000000\"}]")
    );
    let peak = server.peak_memory();
    assert!(peak < 100_000_000, "{peak} bytes");
}

#[tokio::test]
async fn streamed_rows_are_those_of_a_small_result() {
    let app = RestApp::rest_only(ROWS).await;
    let anon = app.anon();
    let all: Vec<Value> = (1..=5000)
        .map(|n| json!({ "id": n, "text": if n == 1 { Value::Null } else { json!(format!("row {n}")) } }))
        .collect();
    for path in ["/many?order=id", "/rpc/all_of_many?order=id"] {
        let answer = anon.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.headers["content-range"], "0-4999/*");
        assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
        assert!(
            answer
                .text
                .starts_with("[{\"id\":1,\"text\":null}, \n {\"id\":2,"),
            "as json_agg writes it"
        );
        assert_eq!(answer.json(), Value::from(all.clone()), "{path}");
    }
    let part = anon
        .clone()
        .with("prefer", "count=exact")
        .get("/many?order=id&offset=10")
        .await;
    assert_eq!(part.status, 206);
    assert_eq!(part.headers["content-range"], "10-4999/5000");
    assert_eq!(part.json(), Value::from(&all[10..]));

    let stripped = anon
        .clone()
        .with("accept", "application/vnd.pgrst.array+json;nulls=stripped");
    assert!(
        stripped
            .get("/many?order=id")
            .await
            .text
            .starts_with(r#"[{"id":1},{"id":2,"text":"row 2"}"#)
    );
    let csv = anon.with("accept", "text/csv").get("/many?order=id").await;
    assert!(csv.text.starts_with("id,text\n1,\n2,\"row 2\"\n"), "{}", csv.text);
    assert!(csv.text.ends_with("5000,\"row 5000\""));
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_connection() {
    let app = RestApp::rest_only_with(ROWS, &[("PGRST_DB_POOL", "1")]).await;
    let mut answer = app.anon().open("/heavy").await;
    answer.chunk().await.unwrap().unwrap();
    drop(answer);
    assert_eq!(app.anon().get("/many?id=eq.1").await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_late_failure_breaks_the_answer_off() {
    let app = RestApp::rest_only(ROWS).await;
    let mut answer = app.anon().open("/heavy").await;
    answer.chunk().await.unwrap().unwrap();
    app.run(
        "select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid() and query like '%heavy%'",
    )
    .await;
    let outcome = loop {
        match answer.chunk().await {
            Ok(Some(_)) => {}
            outcome => break outcome,
        }
    };
    assert!(outcome.is_err(), "the body must not look complete");
    assert_eq!(app.anon().get("/many?id=eq.1").await.status, 200);
    app.stop().await;
}
