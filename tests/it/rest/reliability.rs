//! What becomes of requests when connections run out, the database dies, or the client leaves.

use std::time::Duration;

use dropwire::dev;
use futures_util::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::app::RestApp;
use super::cases::api_with;
use crate::support::app::read;
use crate::support::cluster::{TestDatabase, start_server};
use crate::support::{Answer, TestApp};

const PATIENCE: Duration = Duration::from_secs(60);

/// A table, and a function that writes a row, waits for advisory lock 1, and writes another.
const SQL: &str = "create schema api; grant usage on schema api to anon;
    create table api.rows (n int, who text default current_user);
    grant select, insert on api.rows to anon;
    create function api.write_slowly() returns void language plpgsql as $$
    begin
      insert into api.rows values (1);
      perform pg_advisory_xact_lock(1);
      insert into api.rows values (2);
    end
    $$;
    create function api.wait() returns int stable language sql as $$ select 1 from pg_advisory_xact_lock(1) $$;";

async fn count(app: &RestApp, from: &str) -> i64 {
    let sql = format!("select count(*) from {from}");
    app.db.query_one(&sql, &[]).await.unwrap().get(0)
}

/// Waits until as many statements of requests wait for a lock.
async fn wait_for_waiting(app: &RestApp, wanted: i64) {
    let from = "pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let waiting = async {
        while count(app, from).await != wanted {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("that many never wait");
}

fn refusal(code: &str, message: &str) -> Value {
    json!({"code": code, "details": null, "hint": null, "message": message})
}

#[tokio::test]
async fn an_exhausted_pool_answers_504_and_recovers() {
    let variables = [("PGRST_DB_POOL", "2"), ("PGRST_DB_POOL_ACQUISITION_TIMEOUT", "1")];
    let app = api_with(SQL, &variables).await;
    app.run("select pg_advisory_lock(1)").await;
    let anon = app.anon();
    let body = json!({});
    let busy = join_all([
        anon.post("/rpc/write_slowly", &body),
        anon.post("/rpc/write_slowly", &body),
    ]);
    let (held, ()) = tokio::join!(busy, async {
        wait_for_waiting(&app, 2).await;
        let expected = refusal("PGRST003", "Timed out acquiring connection from connection pool.");
        for answer in join_all([anon.get("/rows"), anon.get("/rows?limit=1")]).await {
            assert_eq!(answer.pair(), (504, expected.clone()));
            assert_eq!(answer.headers["proxy-status"], "PostgREST; error=PGRST003");
        }
        // What needs no connection is answered.
        assert_eq!(anon.get("/nothing").await.status, 404);
        app.run("select pg_advisory_unlock(1)").await;
    });
    assert!(held.iter().all(|answer| answer.status == 204), "{held:?}");
    for answer in join_all((0..8).map(|_| anon.get("/rows?select=n"))).await {
        assert_eq!(
            answer.pair(),
            (200, json!([{"n": 1}, {"n": 1}, {"n": 2}, {"n": 2}]))
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_cut_costs_its_request_and_no_other() {
    let app = api_with(SQL, &[("PGRST_DB_POOL", "1")]).await;
    app.run("select pg_advisory_lock(1)").await;
    let (anon, body) = (app.anon(), json!({}));
    for (path, reads) in [("/rpc/write_slowly", false), ("/rpc/wait", true)] {
        let (answer, ()) = tokio::join!(anon.post(path, &body), async {
            wait_for_waiting(&app, 1).await;
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock'";
            app.run(cut).await;
        });
        assert_eq!(answer.status, 503, "{path} reads: {reads}, {answer:?}");
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(
            anon.get("/rows").await.pair(),
            (200, json!([])),
            "{path}: nothing was written"
        );
    }
    app.stop().await;
}

/// The database is lost, or not to be had, or says itself that it is starting or stopping.
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    let body = answer.json();
    let codes = ["PGRST000", "PGRST001", "57P01", "57P02", "57P03"];
    assert!(codes.contains(&body["code"].as_str().unwrap()), "{body}");
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn a_database_that_dies_is_503_and_its_return_needs_no_restart() {
    let server = start_server("rest").await;
    let app = TestApp::on(TestDatabase::of(&server).await, &[]).await;
    let get = async |path: &str| -> Answer {
        let request = app.http.get(format!("{}/rest/v1{path}", app.url));
        read(request.bearer_auth(dev::SERVICE_ROLE_KEY).send().await.unwrap()).await
    };
    app.db
        .batch_execute(
            "create function public.nap() returns void stable language sql as 'select pg_sleep(60)'",
        )
        .await
        .unwrap();
    while app.rest().cache_state().loads < 2 {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(get("/tenants?select=id").await.status, 200);

    let pid = server.pid().unwrap();
    let (cut, ()) = tokio::join!(get("/rpc/nap"), async {
        let napping = "select from pg_stat_activity where wait_event = 'PgSleep'";
        while app.db.query(napping, &[]).await.unwrap().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
    });
    assert_unavailable(&cut);
    let recovering = async {
        loop {
            let answer = get("/tenants?select=id").await;
            if answer.status == 200 && server.pid() != Some(pid) {
                return;
            }
            if answer.status != 200 {
                assert_unavailable(&answer);
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, recovering).await.expect("it does not recover");

    // The schema cache is followed again, too.
    let db = app.database.target().connect().await.unwrap();
    db.batch_execute(
        "create table public.later as select 1 as one; grant select on public.later to service_role",
    )
    .await
    .unwrap();
    let hearing = async {
        while get("/later").await.status != 200 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, hearing)
        .await
        .expect("it does not hear of the table");
    app.stop().await;
    server.stop().await;
}

/// Sends a request without waiting for its answer.
async fn send_half(app: &RestApp, request: &str) -> TcpStream {
    let address = app.url.trim_start_matches("http://").trim_end_matches("/rest/v1");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_leaves_while_it_writes_leaves_no_half_state() {
    let app = api_with(SQL, &[("PGRST_DB_POOL", "1")]).await;
    let request = "POST /rest/v1/rpc/write_slowly HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
    for round in 1..=3 {
        app.run("select pg_advisory_lock(1)").await;
        let client = send_half(&app, request).await;
        wait_for_waiting(&app, 1).await;
        if round == 2 {
            client.set_zero_linger().unwrap();
        }
        drop(client);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(
            count(&app, "api.rows").await,
            2 * (round - 1),
            "not before its end"
        );
        app.run("select pg_advisory_unlock(1)").await;
        // As if the client had stayed: the only connection is back when it is done, clean and whole.
        let seen = app.anon().get("/rows?select=n&order=n").await.json();
        assert_eq!(
            seen.as_array().unwrap().len(),
            usize::try_from(2 * round).unwrap()
        );
    }
    assert_eq!(count(&app, "api.rows where who = 'anon' and n = 1").await, 3);
    assert_eq!(count(&app, "api.rows where n = 2").await, 3);
    app.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_writes_nothing() {
    let app = api_with(SQL, &[]).await;
    let head = "POST /rest/v1/rows HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
    drop(send_half(&app, &format!("{head}[{{\"n\": 1}}]")).await);
    let chunked = "POST /rest/v1/rows HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    drop(send_half(&app, &format!("{chunked}a\r\n[{{\"n\": 1}}]\r\n")).await);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(app.anon().get("/rows").await.pair(), (200, json!([])));
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_reads_frees_its_connection() {
    let app = api_with(SQL, &[("PGRST_DB_POOL", "1")]).await;
    app.run("select pg_advisory_lock(1)").await;
    let client = send_half(&app, "GET /rest/v1/rpc/wait HTTP/1.1\r\nhost: a\r\n\r\n").await;
    wait_for_waiting(&app, 1).await;
    client.set_zero_linger().unwrap();
    drop(client);
    // Its statement is cancelled, and the place in the pool is free although the lock is held on.
    wait_for_waiting(&app, 0).await;
    assert_eq!(app.anon().get("/rows").await.pair(), (200, json!([])));
    app.run("select pg_advisory_unlock(1)").await;
    app.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_unread() {
    let app = api_with(SQL, &[("DROPWIRE_REST_BODY_MAX_BYTES", "2000")]).await;
    let note = |length| json!({"n": 1, "who": "x".repeat(length)});
    let refused = app.anon().post("/rows", &note(3_000)).await;
    let message = "The request body has more than 2000 bytes";
    assert_eq!(refused.pair(), (413, refusal("PGRST102", message)));
    assert_eq!(app.anon().post("/rows", &note(1_000)).await.status, 201);
    assert_eq!(count(&app, "api.rows").await, 1);
    app.stop().await;
}
