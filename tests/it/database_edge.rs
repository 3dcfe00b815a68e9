//! What becomes of the database behind a request: callers that leave half-way, a busy pool, a server that goes away.

use std::time::Duration;

use dropwire::dev::ANON_KEY;
use futures_util::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::TestApp;
use crate::support::app::{Answer, read, refusal, ticket};
use crate::support::cluster::{TestDatabase, start_server};
use crate::support::raw::{PATIENCE, Raw, post};

fn unavailable() -> (u16, Value) {
    refusal(503, "The database is unavailable, try again shortly")
}

async fn get(app: &TestApp, path: &str) -> Answer {
    read(app.http.get(format!("{}{path}", app.url)).send().await.unwrap()).await
}

async fn post_body(app: &TestApp, body: impl Into<reqwest::Body>) -> Answer {
    app.send("telegram-webhook", Method::POST, Some(ANON_KEY), body)
        .await
}

async fn wait_for_tickets(app: &TestApp, count: i64) {
    let waiting = async {
        while app.count("tickets").await < count {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the tickets do not come");
}

/// Asserts that every ticket is there with all that belongs to it, and that no connection holds a transaction open.
async fn assert_whole_and_clean(app: &TestApp, tickets: i64) {
    assert_eq!(app.count("tickets").await, tickets);
    let whole =
        "tickets t where complainant_id is not null and priority = 'critical' and due_date is not null
        and executor_profile_id is not null
        and (select count(*) from ticket_activities a where a.ticket_id = t.id) = 3
        and (select count(*) from ticket_webhook_queue q where q.ticket_id = t.id) = 4";
    assert_eq!(
        app.count(whole).await,
        tickets,
        "tickets with what their rules did, and all webhooks"
    );
    let open = "pg_stat_activity where datname = current_database() and backend_type = 'client backend'
        and (state like 'idle in transaction%' or backend_xid is not null)";
    assert_eq!(app.count(open).await, 0, "open transactions");
}

/// The ways in which a client goes away while its ticket is being written.
#[derive(Debug)]
enum HangUp {
    /// Closes in order (FIN).
    Close,
    /// Resets the connection (RST).
    Reset,
    /// Resets its HTTP/2 stream.
    Stream,
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_exactly_one_whole_ticket_and_a_clean_pool() {
    let app = TestApp::with(&[("DROPWIRE_DB_POOL_SIZE", "2")]).await;
    let body = ticket(&json!({})).to_string();
    let http2 = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let mut tickets = 0;
    for way in [HangUp::Close, HangUp::Reset, HangUp::Stream] {
        app.db
            .batch_execute("begin; lock table users in access exclusive mode")
            .await
            .unwrap();
        if matches!(way, HangUp::Stream) {
            let request = http2
                .post(format!("{}/functions/v1/telegram-webhook", app.url))
                .bearer_auth(ANON_KEY);
            let sent = tokio::spawn(request.body(body.clone()).send());
            app.wait_for_lock().await;
            sent.abort();
        } else {
            let mut raw = Raw::open(&app).await;
            raw.send(post("", &body)).await;
            app.wait_for_lock().await;
            if matches!(way, HangUp::Reset) {
                raw.0.set_zero_linger().unwrap();
            }
        }
        // On loopback the server hears of it at once; nothing of it can be seen from here.
        sleep(Duration::from_millis(50)).await;
        app.db.batch_execute("commit").await.unwrap();
        tickets += 1;
        wait_for_tickets(&app, tickets).await;

        let next = post_body(&app, body.clone()).await;
        tickets += 1;
        assert_eq!(
            next.json()["ticket_number"],
            format!("TKT-{}", 999 + tickets),
            "after {way:?}"
        );
        assert_whole_and_clean(&app, tickets).await;
    }
}

#[tokio::test]
async fn clients_that_close_right_after_sending_get_their_tickets() {
    let app = TestApp::start().await;
    let request = post("", &ticket(&json!({})).to_string());
    join_all((0..20).map(async |_| Raw::open(&app).await.send(&request).await)).await;
    wait_for_tickets(&app, 20).await;
    assert_eq!(
        post_body(&app, ticket(&json!({})).to_string()).await.json()["ticket_number"],
        "TKT-1020"
    );
    assert_whole_and_clean(&app, 21).await;
}

#[tokio::test]
async fn an_exhausted_pool_is_503_with_retry_after_and_passes() {
    let app = TestApp::with(&[
        ("DROPWIRE_DB_POOL_SIZE", "2"),
        ("DROPWIRE_DB_POOL_TIMEOUT_MS", "200"),
    ])
    .await;
    let body = ticket(&json!({})).to_string();
    app.db
        .batch_execute("begin; lock table users in access exclusive mode")
        .await
        .unwrap();
    let release = async {
        app.wait_for_lock().await;
        let refused = post_body(&app, body.clone()).await;
        assert_eq!(refused.function_pair(), unavailable());
        assert_eq!(refused.headers["retry-after"], "1");
        assert_eq!(get(&app, "/ready").await.status, 503);
        assert_eq!(get(&app, "/live").await.pair(), (200, json!({"status": "live"})));
        app.db.batch_execute("commit").await.unwrap();
    };
    let (patient, ()) = tokio::join!(post_body(&app, body.clone()), release);
    assert_eq!(patient.status, 200);
    assert_eq!(post_body(&app, body).await.status, 200);
    assert_eq!(
        get(&app, "/ready").await.pair(),
        (200, json!({"status": "ready"}))
    );
    assert_whole_and_clean(&app, 2).await;
}

/// Posts until a ticket is created, and asserts that every answer before that one is the 503; answers how many.
async fn post_until_created(app: &TestApp) -> usize {
    let body = ticket(&json!({})).to_string();
    let posting = async {
        let mut refused = 0;
        loop {
            let answer = post_body(app, body.clone()).await;
            if answer.status == 200 {
                return refused;
            }
            assert_eq!(answer.function_pair(), unavailable());
            assert_eq!(answer.headers["retry-after"], "1");
            refused += 1;
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, posting)
        .await
        .expect("the database does not come back")
}

#[tokio::test]
async fn a_database_that_goes_away_is_503_and_its_return_needs_no_restart() {
    let server = start_server("restart").await;
    let app = TestApp::on(TestDatabase::of(&server).await, &[]).await;
    assert_eq!(post_until_created(&app).await, 0);

    // Killed, and brought back by its supervisor.
    let postmaster = i32::try_from(server.pid().unwrap()).unwrap();
    kill(Pid::from_raw(postmaster), Signal::SIGKILL).unwrap();
    timeout(PATIENCE, async {
        while !app.db.is_closed() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    post_until_created(&app).await;

    // Away for as long as the test wants.
    server.stop().await;
    for _ in 0..5 {
        let refused = post_body(&app, ticket(&json!({})).to_string()).await;
        assert_eq!(refused.function_pair(), unavailable());
        assert_eq!(refused.headers["retry-after"], "1");
    }
    let message = "The database does not answer; see the server's log";
    assert_eq!(
        get(&app, "/ready").await.pair(),
        (503, json!({"status": "unavailable", "message": message}))
    );
    assert_eq!(get(&app, "/live").await.pair(), (200, json!({"status": "live"})));

    let server = start_server("restart").await;
    post_until_created(&app).await;
    assert_eq!(get(&app, "/ready").await.status, 200);
    let owner = app.database.target().connect().await.unwrap();
    let stored: i64 = owner
        .query_one("select count(*) from tickets", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(stored, 3, "what was answered with 200 is there, and nothing else");
    drop(owner);
    app.stop().await;
    server.stop().await;
}
