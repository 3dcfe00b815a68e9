//! `POST /functions/v1/ticket-activity-webhook` as cron sees it: statuses and bodies.

use std::sync::Arc;

use dropwire::dev;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::{comment, entries, idle, ran, ticket, wait_delivered};
use crate::support::app::user_token;
use crate::support::sink::{Gate, Reply};
use crate::support::{Sink, TestApp};

const CLAIM_ARGUMENTS: &str = "int, interval, uuid, uuid, uuid[], jsonb, int";
const ROUTE: &str = "ticket-activity-webhook";
/// Long enough for a held answer.
const PATIENT: (&str, &str) = ("TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS", "30000");

async fn start(variables: &[(&str, &str)]) -> (Arc<TestApp>, Sink) {
    let app = TestApp::with(variables).await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    (Arc::new(app), sink)
}

#[tokio::test]
async fn other_methods_are_answered_405_with_allow() {
    let (app, sink) = start(&[]).await;
    ticket(&app, 0).await;
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = app
            .send(ROUTE, method.clone(), Some(dev::SERVICE_ROLE_KEY), "{}")
            .await;
        assert_eq!(
            answer.pair(),
            (405, json!({"error": "Method not allowed"})),
            "{method}"
        );
        assert_eq!(answer.headers["allow"], "POST, OPTIONS");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
    }
    assert_eq!(
        app.send(ROUTE, Method::HEAD, Some(dev::SERVICE_ROLE_KEY), "")
            .await
            .status,
        405
    );
    assert_eq!(sink.received().len(), 0);
}

#[tokio::test]
async fn without_due_entries_a_run_says_so() {
    let (app, _sink) = start(&[]).await;
    let answer = app.call(ROUTE, dev::SERVICE_ROLE_KEY, &json!({})).await;
    assert_eq!(
        answer.text,
        r#"{"processed":0,"delivered":0,"failed":0,"message":"No pending entries"}"#
    );
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn a_run_counts_what_was_claimed_delivered_and_failed() {
    let (app, sink) = start(&[]).await;
    for _ in 0..3 {
        ticket(&app, 0).await;
    }
    sink.reply([500]);
    let answer = app.call(ROUTE, dev::SERVICE_ROLE_KEY, &json!({})).await;
    assert_eq!(answer.text, r#"{"processed":3,"delivered":2,"failed":1}"#);
}

#[tokio::test]
async fn with_a_budget_a_run_goes_on_until_nothing_is_due() {
    let (app, sink) = start(&[
        ("TICKET_ACTIVITY_WEBHOOK_BATCH", "3"),
        ("TICKET_ACTIVITY_WEBHOOK_BUDGET_MS", "20000"),
    ])
    .await;
    for _ in 0..5 {
        ticket(&app, 1).await;
    }
    assert_eq!(app.drain().await, ran(10, 0));
    assert_eq!(app.drain().await, idle());

    // A budget that is spent ends it after the batch.
    let hurried = app
        .replica(&[
            ("TICKET_ACTIVITY_WEBHOOK_BATCH", "3"),
            ("TICKET_ACTIVITY_WEBHOOK_BUDGET_MS", "1"),
        ])
        .await;
    for _ in 0..5 {
        ticket(&app, 1).await;
    }
    sink.always(Some(Reply::Slow(std::time::Duration::from_millis(20))));
    assert_eq!(hurried.drain().await, ran(3, 0));
}

#[tokio::test]
async fn rules_that_are_due_run_with_each_pass() {
    let (app, _sink) = start(&[]).await;
    assert_eq!(app.drain().await, idle(), "also where there are none");
    app.db
        .batch_execute(
            "create table ran (n int);
             create or replace function dropwire.run_due_rules(p_limit int) returns int language sql
               as 'insert into public.ran values (p_limit) returning n'",
        )
        .await
        .unwrap();
    app.drain().await;
    assert_eq!(app.count("ran where n = 100").await, 1);
}

#[tokio::test]
async fn the_body_is_ignored() {
    let (app, _sink) = start(&[]).await;
    let bodies: [&[u8]; 7] = [
        b"",
        b"{}",
        b"null",
        b"[1]",
        b"not json",
        b"\xff\xfe\0",
        br#"{"batch":0}"#,
    ];
    for body in bodies {
        ticket(&app, 0).await;
        let answer = app
            .send(ROUTE, Method::POST, Some(dev::SERVICE_ROLE_KEY), body)
            .await;
        assert_eq!(answer.pair(), (200, ran(1, 0)), "{body:?}");
    }
}

#[tokio::test]
async fn every_key_of_the_project_starts_a_run() {
    let (app, _sink) = start(&[]).await;
    let user = user_token(Uuid::new_v4());
    for key in [
        dev::ANON_KEY,
        dev::SERVICE_ROLE_KEY,
        &user,
        dev::PUBLISHABLE_KEY,
        dev::SECRET_KEY,
    ] {
        ticket(&app, 0).await;
        assert_eq!(
            app.call(ROUTE, key, &json!({})).await.pair(),
            (200, ran(1, 0)),
            "{key}"
        );
    }
    let answer = app.send(ROUTE, Method::POST, None, "{}").await;
    assert_eq!(
        answer.pair(),
        (
            401,
            json!({"code": 401, "message": "Missing authorization header"})
        )
    );
}

#[tokio::test]
async fn a_switch_demands_service_role() {
    let (app, _sink) = start(&[("DROPWIRE_DISPATCH_REQUIRE_SERVICE_ROLE", "true")]).await;
    ticket(&app, 0).await;
    let user = user_token(Uuid::new_v4());
    for key in [dev::ANON_KEY, &user, dev::PUBLISHABLE_KEY] {
        let answer = app.call(ROUTE, key, &json!({})).await;
        assert_eq!(
            answer.pair(),
            (403, json!({"error": "This route needs the service_role key"})),
            "{key}"
        );
    }
    assert_eq!(entries(&app).await[0]["attempts"], 0);
    assert_eq!(
        app.call(ROUTE, dev::SECRET_KEY, &json!({})).await.pair(),
        (200, ran(1, 0))
    );
    assert_eq!(
        app.call(ROUTE, dev::SERVICE_ROLE_KEY, &json!({})).await.pair(),
        (200, idle())
    );
}

#[tokio::test]
async fn while_any_run_is_under_way_only_service_role_starts_another() {
    let (app, sink) = start(&[PATIENT]).await;
    let busy =
        json!({"processed": 0, "delivered": 0, "failed": 0, "message": "A run is already in progress"});
    let gates = [Gate::default(), Gate::default()];
    sink.reply(gates.clone().map(Reply::Held));
    let start_run = |key: &'static str| {
        let app = Arc::clone(&app);
        tokio::spawn(async move { app.call(ROUTE, key, &json!({})).await.pair() })
    };

    ticket(&app, 0).await;
    let first = start_run(dev::ANON_KEY);
    sink.wait_for(1).await;
    ticket(&app, 0).await;
    let user = user_token(Uuid::new_v4());
    for key in [dev::ANON_KEY, &user] {
        assert_eq!(app.call(ROUTE, key, &json!({})).await.pair(), (200, busy.clone()));
    }
    let second = start_run(dev::SERVICE_ROLE_KEY);
    sink.wait_for(2).await;

    // The first ends, the second does not: still busy.
    gates[0].open();
    assert_eq!(first.await.unwrap(), (200, ran(1, 0)));
    ticket(&app, 0).await;
    assert_eq!(
        app.call(ROUTE, dev::ANON_KEY, &json!({})).await.pair(),
        (200, busy)
    );
    gates[1].open();
    assert_eq!(second.await.unwrap(), (200, ran(1, 0)));
    assert_eq!(
        app.call(ROUTE, dev::ANON_KEY, &json!({})).await.pair(),
        (200, ran(1, 0))
    );
}

#[tokio::test]
async fn an_unreadable_queue_is_answered_500() {
    let (app, _sink) = start(&[]).await;
    ticket(&app, 0).await;
    let rename =
        |from: &str, to: &str| format!("alter function dropwire.{from}({CLAIM_ARGUMENTS}) rename to {to}");
    app.db
        .batch_execute(&rename("claim_webhooks", "hidden"))
        .await
        .unwrap();
    let answer = app.call(ROUTE, dev::SERVICE_ROLE_KEY, &json!({})).await;
    assert_eq!(
        answer.pair(),
        (500, json!({"error": "Failed to load queue entries"}))
    );
    app.db
        .batch_execute(&rename("hidden", "claim_webhooks"))
        .await
        .unwrap();
    assert_eq!(app.drain().await, ran(1, 0));
}

#[tokio::test]
async fn a_queue_that_becomes_unreadable_does_not_break_off_what_is_under_way() {
    let (app, sink) = start(&[PATIENT, ("DROPWIRE_WEBHOOK_CONCURRENCY", "2")]).await;
    for _ in 0..3 {
        ticket(&app, 0).await;
    }
    let gates = [Gate::default(), Gate::default()];
    sink.reply(gates.clone().map(Reply::Held));
    let running = Arc::clone(&app);
    let run = tokio::spawn(async move { running.drain().await });
    sink.wait_for(2).await;
    let hide = format!("alter function dropwire.claim_webhooks({CLAIM_ARGUMENTS}) rename to hidden");
    app.db.batch_execute(&hide).await.unwrap();
    gates[0].open();
    wait_delivered(&app, 1).await;
    gates[1].open();
    assert_eq!(run.await.unwrap(), ran(2, 0));
    assert_eq!(sink.received().len(), 2);
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_stop_its_run() {
    let (app, sink) = start(&[PATIENT]).await;
    ticket(&app, 2).await;
    let gate = Gate::default();
    sink.reply([Reply::Held(gate.clone())]);
    let calling = Arc::clone(&app);
    let call = tokio::spawn(async move { calling.drain().await });
    sink.wait_for(1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    gate.open();
    wait_delivered(&app, 3).await;
    assert_eq!(sink.received().len(), 3);
}

#[tokio::test]
async fn a_run_takes_at_most_its_batch_and_the_oldest_first() {
    // One at a time, so that the order of arrival is the order of claiming.
    let (app, sink) = start(&[
        ("TICKET_ACTIVITY_WEBHOOK_BATCH", "3"),
        ("DROPWIRE_WEBHOOK_CONCURRENCY", "1"),
    ])
    .await;
    let mut tickets = Vec::new();
    for _ in 0..5 {
        tickets.push(ticket(&app, 0).await.to_string());
    }
    assert_eq!(app.drain().await, ran(3, 0));
    assert_eq!(sink.received().len(), 3);
    assert_eq!(app.drain().await, ran(2, 0));
    let arrived: Vec<_> = sink
        .received()
        .iter()
        .map(|r| r.body["ticket_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(arrived, tickets);
}

#[tokio::test]
async fn a_run_follows_a_tickets_chain_within_its_batch() {
    let (app, sink) = start(&[("TICKET_ACTIVITY_WEBHOOK_BATCH", "3")]).await;
    ticket(&app, 4).await;
    for expected in [ran(3, 0), ran(2, 0), idle()] {
        assert_eq!(app.drain().await, expected);
    }
    let comments: Vec<_> = sink
        .received()
        .iter()
        .map(|r| r.body["latest_activity"]["comment"].clone())
        .collect();
    assert_eq!(
        comments,
        [
            json!(null),
            "Comment 1".into(),
            "Comment 2".into(),
            "Comment 3".into(),
            "Comment 4".into()
        ]
    );
}

#[tokio::test]
async fn chains_share_a_batch_to_the_last_entry() {
    let (app, sink) = start(&[
        ("TICKET_ACTIVITY_WEBHOOK_BATCH", "11"),
        ("DROPWIRE_WEBHOOK_CONCURRENCY", "4"),
    ])
    .await;
    for comments in [0, 1, 5, 0, 3, 9, 0, 2, 1, 4] {
        ticket(&app, comments).await;
    }
    let last = ticket(&app, 0).await;
    comment(&app, last, 8).await;
    // 44 entries.
    for _ in 0..4 {
        assert_eq!(app.drain().await, ran(11, 0));
    }
    assert_eq!(app.drain().await, idle());
    assert_eq!(sink.received().len(), 44);
}
