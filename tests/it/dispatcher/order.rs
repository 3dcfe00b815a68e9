//! Per ticket one at a time and in order, whoever dispatches and whatever fails.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{entries, make_due, ran, ticket, wait_delivered};
use crate::support::app::{TENANT, tenant};
use crate::support::sink::{Received, Reply};
use crate::support::{Sink, TestApp};

async fn start(variables: &[(&str, &str)]) -> (TestApp, Sink) {
    let app = TestApp::with(variables).await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    (app, sink)
}

/// Tickets with three comments each, all committed at once.
async fn many_tickets(app: &TestApp, count: i32) {
    let sql = format!(
        "insert into tickets (title, description, location, category, priority, type, tenant_id)
           select 'T', 'D', 'L', 'Other', 'low', 'M', '{TENANT}' from generate_series(1, {count});
         insert into ticket_activities (ticket_id, activity_type, comment)
           select t.id, 'admin_comment', n from generate_series(1, 3) n, tickets t;"
    );
    app.db.batch_execute(&sql).await.unwrap();
}

/// Each entry came exactly once, and those of a ticket in the order of the queue.
async fn assert_once_and_in_order(app: &TestApp, received: &[Received]) {
    let rows = app
        .db
        .query(
            "select ticket_id::text, id::text from ticket_webhook_queue order by seq",
            &[],
        )
        .await
        .unwrap();
    let mut queued: HashMap<String, Vec<String>> = HashMap::new();
    for row in &rows {
        queued.entry(row.get(0)).or_default().push(row.get(1));
    }
    let mut arrived: HashMap<String, Vec<String>> = HashMap::new();
    for webhook in received {
        let ticket = webhook.body["ticket_id"].as_str().unwrap().to_owned();
        arrived.entry(ticket).or_default().push(webhook.webhook_id());
    }
    assert_eq!(arrived, queued);
}

#[tokio::test]
async fn a_failed_head_holds_its_own_ticket_back_and_no_other() {
    // One at a time, so that the failure meets the older ticket.
    let (app, sink) = start(&[
        ("DROPWIRE_WEBHOOK_CONCURRENCY", "1"),
        ("TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS", "3600000"),
    ])
    .await;
    ticket(&app, 2).await;
    ticket(&app, 1).await;
    sink.reply([500]);
    assert_eq!(app.drain().await, ran(2, 1));
    let states = || async {
        let entries = entries(&app).await;
        entries
            .iter()
            .map(|e| (e["status"].clone(), e["attempts"].clone()))
            .collect::<Vec<_>>()
    };
    let state = |status: &str, attempts: i32| (Value::from(status), Value::from(attempts));
    assert_eq!(
        states().await,
        [
            state("failed", 1),
            state("pending", 0),
            state("pending", 0),
            state("delivered", 1),
            state("delivered", 1)
        ]
    );
    assert_eq!(app.drain().await["message"], "No pending entries");
    make_due(&app).await;
    assert_eq!(app.drain().await, ran(3, 0));
    let received = sink.received();
    assert_once_and_in_order(&app, &received[1..]).await;
}

#[tokio::test]
async fn never_are_two_webhooks_of_a_ticket_under_way() {
    let (app, sink) = start(&[]).await;
    let replica = app.replica(&[]).await;
    sink.always(Some(Reply::Slow(Duration::from_millis(15))));
    many_tickets(&app, 6).await;
    let began = Instant::now();
    while app
        .count("ticket_webhook_queue where status <> 'delivered'")
        .await
        > 0
    {
        assert!(began.elapsed() < Duration::from_secs(30));
        join_all((0..8).map(|n| if n % 2 == 0 { app.drain() } else { replica.drain() })).await;
    }
    assert_eq!(sink.overlaps(), Vec::<String>::new());
    assert_once_and_in_order(&app, &sink.received()).await;
}

#[tokio::test]
async fn twenty_calls_of_two_replicas_and_the_built_in_dispatchers_send_nothing_twice() {
    let built_in = [
        ("DROPWIRE_NO_DISPATCH", "false"),
        ("DROPWIRE_DISPATCH_POLL_MS", "10"),
    ];
    let (app, sink) = start(&built_in).await;
    let replica = app.replica(&built_in).await;
    many_tickets(&app, 60).await;
    let reports = join_all((0..20).map(|n| if n % 2 == 0 { app.drain() } else { replica.drain() })).await;
    assert!(reports.iter().all(|report| report["failed"] == 0), "{reports:?}");
    wait_delivered(&app, 240).await;
    assert_eq!(sink.overlaps(), Vec::<String>::new());
    assert_once_and_in_order(&app, &sink.received()).await;
    assert_eq!(
        app.count("ticket_webhook_queue where attempt_count <> 1").await,
        0
    );
}

#[tokio::test]
async fn the_built_in_dispatcher_sends_what_anybody_writes() {
    let (app, sink) = start(&[("DROPWIRE_NO_DISPATCH", "false")]).await;
    // Written as psql would: nobody tells the dispatcher.
    let began = Instant::now();
    ticket(&app, 2).await;
    sink.wait_for(3).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    wait_delivered(&app, 3).await;

    // A failure is tried again by itself.
    sink.reply([500]);
    ticket(&app, 0).await;
    wait_delivered(&app, 4).await;
    assert_eq!(entries(&app).await[3]["attempts"], 2);
    app.stop().await;
}

#[tokio::test]
async fn a_created_ticket_wakes_the_built_in_dispatcher() {
    let (app, sink) = start(&[
        ("DROPWIRE_NO_DISPATCH", "false"),
        ("DROPWIRE_DISPATCH_POLL_MS", "600000"),
    ])
    .await;
    app.create_ticket(&json!({})).await;
    sink.wait_for(4).await;
    wait_delivered(&app, 4).await;
    app.stop().await;
}

#[tokio::test]
async fn what_the_original_left_in_processing_is_not_sent_and_holds_nothing_back() {
    let (app, sink) = start(&[]).await;
    ticket(&app, 2).await;
    let sql = "update ticket_webhook_queue set status = 'processing', attempt_count = 1
                where seq in (select seq from ticket_webhook_queue order by seq limit 2)";
    app.db.execute(sql, &[]).await.unwrap();
    assert_eq!(app.drain().await, ran(1, 0));
    assert_eq!(sink.received()[0].body["latest_activity"]["comment"], "Comment 2");

    // In the middle of a chain too.
    ticket(&app, 2).await;
    let sql = "update ticket_webhook_queue q set status = 'processing' from ticket_activities a
                where a.id = q.activity_id and a.comment = 'Comment 1' and q.status = 'pending'";
    app.db.execute(sql, &[]).await.unwrap();
    assert_eq!(app.drain().await, ran(2, 0));
}

#[tokio::test]
async fn a_deleted_ticket_leaves_nothing_to_send() {
    let (app, sink) = start(&[]).await;
    let gone = ticket(&app, 1).await;
    ticket(&app, 0).await;
    app.db
        .execute("delete from tickets where id = $1", &[&gone])
        .await
        .unwrap();
    assert_eq!(app.drain().await, ran(1, 0));
    let of_tenant = "delete from tenants where id = $1";
    ticket(&app, 1).await;
    app.db.execute(of_tenant, &[&tenant()]).await.unwrap();
    assert_eq!(app.drain().await["message"], "No pending entries");
    let ids: HashSet<_> = sink.received().iter().map(Received::webhook_id).collect();
    assert_eq!(ids.len(), 1);
}
