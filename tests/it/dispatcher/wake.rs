//! Sleeping and being woken: nobody waits for the poll, and nothing is missed on the way to sleep.

use std::time::{Duration, Instant};

use super::{ticket, wait_delivered};
use crate::support::{Sink, TestApp};

/// A dispatcher that, left alone, looks every ten minutes.
const SLEEPY: [(&str, &str); 2] = [
    ("DROPWIRE_NO_DISPATCH", "false"),
    ("DROPWIRE_DISPATCH_POLL_MS", "600000"),
];

async fn start() -> (TestApp, Sink) {
    let app = TestApp::with(&SLEEPY).await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    (app, sink)
}

/// Waits until the dispatcher sleeps.
async fn wait_asleep(app: &TestApp) {
    let sleeper = "pg_locks where locktype = 'advisory' and classid = 7237125 and objid = 1
                     and mode = 'ExclusiveLock' and granted
                     and database = (select oid from pg_database where datname = current_database())";
    let began = Instant::now();
    while app.count(sleeper).await == 0 {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it does not fall asleep"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_anybody_commits_wakes_the_dispatcher_at_once() {
    let (app, sink) = start().await;
    for round in 1..=3 {
        wait_asleep(&app).await;
        // As psql would: in no way through the program.
        ticket(&app, 1).await;
        sink.wait_for(2 * round).await;
    }
    wait_delivered(&app, 6).await;
    app.stop().await;
}

#[tokio::test]
async fn what_is_committed_late_is_not_missed() {
    let (app, sink) = start().await;
    wait_asleep(&app).await;
    let other = ticket(&app, 0).await;
    sink.wait_for(1).await;
    wait_asleep(&app).await;
    let writer = app.database.target().connect().await.unwrap();
    let insert = format!(
        "begin; insert into ticket_activities (ticket_id, activity_type, comment) values ('{other}', 'admin_comment', 'late')"
    );
    writer.batch_execute(&insert).await.unwrap();
    // Awake in between for another's sake, and asleep again, or kept from it by the writer.
    ticket(&app, 0).await;
    sink.wait_for(2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    writer.batch_execute("commit").await.unwrap();
    sink.wait_for(3).await;
    app.stop().await;
}

#[tokio::test]
async fn a_lost_listener_is_replaced() {
    let (app, sink) = start().await;
    wait_asleep(&app).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()";
    assert!(app.db.query_one(cut, &[]).await.unwrap().get::<_, i64>(0) > 0);
    ticket(&app, 0).await;
    sink.wait_for(1).await;
    app.stop().await;
}

#[tokio::test]
async fn a_flood_is_sent_without_a_notification_each() {
    let (app, sink) = start().await;
    wait_asleep(&app).await;
    let began = Instant::now();
    for _ in 0..150 {
        ticket(&app, 0).await;
    }
    sink.wait_for(150).await;
    assert!(began.elapsed() < Duration::from_secs(20));
    wait_asleep(&app).await;
    app.stop().await;
}
