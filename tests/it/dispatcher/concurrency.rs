//! Leases, claims and shutdown: who may record an outcome, and what becomes of what is left unfinished.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::{entries, idle, ran, ticket, wait_delivered};
use crate::support::outbox::RECORD;
use crate::support::sink::{Gate, Received, Reply};
use crate::support::{Sink, TestApp};

/// Long enough for a held answer.
const PATIENT: (&str, &str) = ("TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS", "30000");

async fn start(variables: &[(&str, &str)]) -> (Arc<TestApp>, Sink) {
    let app = TestApp::with(variables).await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    (Arc::new(app), sink)
}

/// The entries as they are stored, oldest first.
async fn rows(app: &TestApp) -> Vec<Value> {
    let sql = "select to_jsonb(q) from ticket_webhook_queue q order by seq";
    app.db
        .query(sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

async fn states(app: &TestApp) -> Vec<(String, i64)> {
    let state = |e: &Value| {
        (
            e["status"].as_str().unwrap().to_owned(),
            e["attempts"].as_i64().unwrap(),
        )
    };
    entries(app).await.iter().map(state).collect()
}

/// Takes a claim as a dispatcher elsewhere would; answers the entry and the claim id.
async fn claim(app: &TestApp) -> (Uuid, Uuid) {
    let claim_id = Uuid::new_v4();
    let sql = "select id from dropwire.claim_webhooks(1, interval '1 hour', $1)";
    (
        app.db.query_one(sql, &[&claim_id]).await.unwrap().get(0),
        claim_id,
    )
}

/// Reports what came of a claim as a dispatcher does; answers the outcome, and what was claimed next.
async fn record(app: &TestApp, entry: Uuid, claim_id: Uuid, result: &str) -> (String, Option<Uuid>) {
    let row = app
        .db
        .query_one(RECORD, &[&entry, &claim_id, &result, &Uuid::new_v4()])
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

async fn end_leases(app: &TestApp) {
    let sql = "update ticket_webhook_queue set lease_expires_at = now() where lease_expires_at is not null";
    app.db.execute(sql, &[]).await.unwrap();
}

/// Reports every outcome that there is for a claim; none may be taken.
async fn report_in_vain(app: &TestApp, entry: Uuid, claim_id: Uuid) {
    for result in ["delivered", "failed", "gone", "problem"] {
        let row = record(app, entry, claim_id, result).await;
        assert_eq!(row, ("lost".to_owned(), None), "{result}");
    }
    let sql = "select dropwire.release_webhooks(array[$1]::uuid[], array[$2]::uuid[])";
    assert_eq!(
        app.db
            .query_one(sql, &[&entry, &claim_id])
            .await
            .unwrap()
            .get::<_, i64>(0),
        0
    );
}

#[tokio::test]
async fn a_claim_is_exclusive_until_its_lease_ends() {
    let (app, sink) = start(&[]).await;
    ticket(&app, 1).await;
    claim(&app).await;
    assert_eq!(app.drain().await, idle());
    end_leases(&app).await;
    assert_eq!(app.drain().await, ran(2, 0));
    assert_eq!(
        states(&app).await,
        [("delivered".to_owned(), 2), ("delivered".to_owned(), 1)]
    );
    assert_eq!(sink.received().len(), 2);
}

#[tokio::test]
async fn an_entry_whose_claim_came_too_late_is_handed_back_unsent() {
    let (app, sink) = start(&[("DROPWIRE_WEBHOOK_LEASE_MARGIN_MS", "400")]).await;
    ticket(&app, 0).await;
    // The lease begins, and then the database takes its time to say so.
    let slow = "create function dawdle() returns trigger language plpgsql as $$
                  begin perform pg_sleep(0.5); return null; end $$;
                create trigger dawdle after update on ticket_webhook_queue for each row
                  when (new.status = 'processing') execute function dawdle();";
    app.db.batch_execute(slow).await.unwrap();
    assert_eq!(app.drain().await, idle());
    assert_eq!(sink.received().len(), 0);
    assert_eq!(states(&app).await, [("pending".to_owned(), 1)]);

    app.db
        .batch_execute("drop trigger dawdle on ticket_webhook_queue")
        .await
        .unwrap();
    assert_eq!(app.drain().await, ran(1, 0));
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn an_outcome_is_recorded_though_a_deadlock_ended_the_first_try() {
    let (app, sink) = start(&[PATIENT]).await;
    ticket(&app, 0).await;
    let other = app.database.target().connect().await.unwrap();
    // Recording takes the entry first, then the head: somebody who has the head wants the entry.
    let gate = Gate::default();
    sink.reply([Reply::HeldStatus(gate.clone(), 500)]);
    let run = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.drain().await }
    });
    sink.wait_for(1).await;
    other
        .batch_execute(
            "set deadlock_timeout = '10 s'; begin;
             select from dropwire.webhook_heads for update",
        )
        .await
        .unwrap();
    gate.open();
    app.wait_for_lock().await;
    other
        .batch_execute("update ticket_webhook_queue set updated_at = updated_at; commit")
        .await
        .unwrap();

    assert_eq!(run.await.unwrap(), ran(0, 1));
    assert_eq!(sink.received().len(), 1);
    assert_eq!(states(&app).await, [("failed".to_owned(), 1)]);
}

#[tokio::test]
async fn who_lost_the_lease_changes_nothing() {
    let (app, sink) = start(&[PATIENT]).await;
    ticket(&app, 1).await;
    let (entry, stale) = claim(&app).await;
    end_leases(&app).await;

    // While somebody else sends it …
    let gate = Gate::default();
    sink.reply([Reply::Held(gate.clone())]);
    let running = Arc::clone(&app);
    let run = tokio::spawn(async move { running.drain().await });
    sink.wait_for(1).await;
    let before = rows(&app).await;
    report_in_vain(&app, entry, stale).await;
    assert_eq!(rows(&app).await, before);

    // … and after it was delivered.
    gate.open();
    assert_eq!(run.await.unwrap(), ran(2, 0));
    let before = rows(&app).await;
    assert_eq!(before[0]["status"], "delivered");
    report_in_vain(&app, entry, stale).await;
    assert_eq!(rows(&app).await, before);
}

#[tokio::test]
async fn a_lost_claim_ends_the_chain_of_who_lost_it() {
    let (app, sink) = start(&[PATIENT]).await;
    ticket(&app, 2).await;
    let gate = Gate::default();
    sink.reply([Reply::Held(gate.clone())]);
    let running = Arc::clone(&app);
    let run = tokio::spawn(async move { running.drain().await });
    sink.wait_for(1).await;
    end_leases(&app).await;
    claim(&app).await;
    let before = rows(&app).await;
    gate.open();
    assert_eq!(run.await.unwrap(), ran(1, 0));
    assert_eq!(rows(&app).await, before);
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn a_graceful_shutdown_finishes_what_is_under_way_and_claims_nothing_more() {
    let (app, sink) = start(&[PATIENT, ("DROPWIRE_NO_DISPATCH", "false")]).await;
    let gate = Gate::default();
    sink.reply([Reply::Held(gate.clone())]);
    ticket(&app, 2).await;
    sink.wait_for(1).await;
    tokio::join!(app.dispatcher().shutdown(Duration::from_secs(30)), async {
        gate.open();
    });
    let expected = [
        ("delivered".to_owned(), 1),
        ("pending".to_owned(), 0),
        ("pending".to_owned(), 0),
    ];
    assert_eq!(states(&app).await, expected);
    assert_eq!(app.drain().await, idle(), "nothing is claimed any more");
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_handed_back_and_due_at_once() {
    let (app, sink) = start(&[PATIENT, ("DROPWIRE_NO_DISPATCH", "false")]).await;
    sink.reply([0; 3].map(|_| Reply::Held(Gate::default())));
    for _ in 0..3 {
        ticket(&app, 1).await;
    }
    sink.wait_for(3).await;
    app.dispatcher().shutdown(Duration::from_millis(20)).await;
    let handed_back = "ticket_webhook_queue where status = 'pending' and attempt_count = 1
                         and next_attempt_at <= now() and lease_expires_at is null and claim_id is null";
    assert_eq!(app.count(handed_back).await, 3);

    let successor = app.replica(&[]).await;
    assert_eq!(successor.drain().await, ran(6, 0));
    let ids: Vec<_> = sink.received().iter().map(Received::webhook_id).collect();
    let mut repeated: Vec<_> = ids[..3].to_vec();
    repeated.retain(|id| ids[3..].contains(id));
    assert_eq!((ids.len(), repeated.len()), (9, 3));
}

#[tokio::test]
async fn a_run_that_is_dropped_is_handed_back_too() {
    let (app, sink) = start(&[PATIENT]).await;
    sink.reply([0; 2].map(|_| Reply::Held(Gate::default())));
    for _ in 0..2 {
        ticket(&app, 0).await;
    }
    let dispatcher = app.dispatcher().clone();
    let run = tokio::spawn(async move { dispatcher.run_batch(10).await });
    sink.wait_for(2).await;
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    app.dispatcher().shutdown(Duration::from_secs(30)).await;
    assert_eq!(states(&app).await, vec![("pending".to_owned(), 1); 2]);
}

#[tokio::test]
async fn an_outcome_waits_for_a_database_that_is_away_and_nothing_is_sent_twice() {
    let (app, sink) = start(&[PATIENT, ("DROPWIRE_NO_DISPATCH", "false")]).await;
    let gate = Gate::default();
    sink.reply([Reply::Held(gate.clone())]);
    ticket(&app, 1).await;
    sink.wait_for(1).await;
    // The limit does not hold for us, who are superuser.
    let limit = |to: i32| format!("alter database \"{}\" connection limit {to}", app.database.name);
    app.db.batch_execute(&limit(0)).await.unwrap();
    let others = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()";
    let dropped: i64 = app.db.query_one(others, &[]).await.unwrap().get(0);
    assert!(dropped > 0);
    gate.open();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(states(&app).await[0], ("processing".to_owned(), 1));
    app.db.batch_execute(&limit(-1)).await.unwrap();
    wait_delivered(&app, 2).await;
    assert_eq!(sink.received().len(), 2);
}
