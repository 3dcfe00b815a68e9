//! Too little of something: connections, a database, room for a body.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::app::RestApp;

const FUNCTIONS: &str = "
    create table public.notes (id int primary key, text text);
    grant select, insert on public.notes to anon, authenticated, service_role;
    create function public.slow(seconds float8) returns void language sql as 'select pg_sleep(seconds)';
    create function public.slow_note(id int) returns void language sql as $$
      insert into public.notes select slow_note.id from pg_sleep(0.5) $$;
    grant execute on all functions in schema public to anon;";

#[tokio::test]
async fn an_exhausted_pool_answers_504_and_recovers() {
    let variables = [("PGRST_DB_POOL", "1"), ("PGRST_DB_POOL_ACQUISITION_TIMEOUT", "1")];
    let app = RestApp::rest_only_with(FUNCTIONS, &variables).await;
    let anon = app.anon();
    let body = json!({ "seconds": 2.5 });
    let late = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        anon.get("/notes").await
    };
    let (slow, late) = tokio::join!(anon.post("/rpc/slow", &body), late);
    assert_eq!(slow.status, 204);
    let told = json!({
        "code": "PGRST003", "details": null, "hint": null,
        "message": "Timed out acquiring connection from connection pool."
    });
    assert_eq!(late.pair(), (504, told));
    assert_eq!(anon.get("/notes").await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_lost_backend_answers_503_and_is_replaced() {
    let app = RestApp::rest_only(FUNCTIONS).await;
    let anon = app.anon();
    let kill = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        app.run(
            "select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and query like '%slow%' and pid <> pg_backend_pid()",
        )
        .await;
    };
    let body = json!({ "seconds": 30 });
    let (lost, ()) = tokio::join!(anon.post("/rpc/slow", &body), kill);
    assert_eq!(lost.status, 503, "{lost:?}");
    assert_eq!(lost.headers["retry-after"], "1");
    assert_eq!(anon.get("/notes").await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_write_of_a_client_that_goes_away_is_done() {
    let app = RestApp::rest_only(FUNCTIONS).await;
    let anon = app.anon();
    let body = json!({ "id": 1 });
    let gone = tokio::time::timeout(Duration::from_millis(100), anon.post("/rpc/slow_note", &body)).await;
    assert!(gone.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        anon.get("/notes").await.json(),
        json!([{ "id": 1, "text": null }])
    );
    app.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let variables = [("DROPWIRE_REST_BODY_MAX_BYTES", "2000")];
    let app = RestApp::rest_only_with(FUNCTIONS, &variables).await;
    let anon = app.anon();
    let note = |length| json!({ "id": 1, "text": "x".repeat(length) });
    assert_eq!(anon.post("/notes", &note(3000)).await.status, 413);
    assert_eq!(anon.post("/notes", &note(1000)).await.status, 201);
    app.stop().await;
}

#[tokio::test]
async fn a_preflight_needs_no_key() {
    let app = RestApp::supabase(FUNCTIONS).await;
    let preflight = app
        .nobody()
        .with("origin", "https://app.example")
        .with("access-control-request-method", "POST")
        .with("access-control-request-headers", "apikey,authorization,prefer")
        .send(Method::OPTIONS, "/notes", None)
        .await;
    assert_eq!((preflight.status.as_u16(), preflight.text.as_str()), (204, ""));
    assert_eq!(preflight.headers["access-control-allow-origin"], "*");
    let refused = app
        .nobody()
        .with("origin", "https://app.example")
        .get("/notes")
        .await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.headers["access-control-allow-origin"], "*",
        "or browsers hide the reason"
    );
    app.stop().await;
}

#[tokio::test]
async fn a_trace_header_comes_back_whatever_happens() {
    let variables = [
        ("PGRST_SERVER_TRACE_HEADER", "X-Trace"),
        ("PGRST_SERVER_TIMING_ENABLED", "true"),
    ];
    let app = RestApp::rest_only_with(FUNCTIONS, &variables).await;
    let anon = app.anon().with("x-trace", "abc");
    for (path, status) in [("/notes", 200), ("/nowhere", 404)] {
        let answer = anon.get(path).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.headers["x-trace"].to_str().unwrap()
            ),
            (status, "abc")
        );
        assert_eq!(answer.headers.contains_key("server-timing"), status == 200);
    }
    app.stop().await;
}
