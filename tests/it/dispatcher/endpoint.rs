//! What a receiver's answers make of its endpoint: parked, broken, asked for a pause, limited in rate.

use std::time::Duration;

use serde_json::{Value, json};

use super::{entries, idle, make_due, ran, ticket};
use crate::support::app::tenant;
use crate::support::sink::{Received, Reply};
use crate::support::{Sink, TestApp};

const HOUR: (&str, &str) = ("TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS", "3600000");

async fn start(variables: &[(&str, &str)]) -> (TestApp, Sink) {
    let app = TestApp::with(variables).await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    (app, sink)
}

/// The demo tenant's endpoint as operators see it.
async fn endpoint(app: &TestApp) -> Value {
    let sql = "select to_jsonb(e) from list_webhook_endpoints(false) e where tenant_id = $1";
    app.db.query_one(sql, &[&tenant()]).await.unwrap().get(0)
}

/// Seconds until the oldest entry is due.
async fn delay(app: &TestApp) -> f64 {
    let sql = "select extract(epoch from next_attempt_at - now())::float8 from ticket_webhook_queue order by seq limit 1";
    app.db.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn gone_parks_the_endpoint_tells_the_tenant_once_and_loses_nothing() {
    for status in [404, 410] {
        let (app, sink) = start(&[HOUR]).await;
        for _ in 0..3 {
            ticket(&app, 1).await;
        }
        sink.always(Some(Reply::Status(
            status,
            "There is no scenario listening".to_owned(),
        )));
        // Those claimed together are sent together; after that, nothing.
        assert_eq!(app.drain().await, ran(0, 3), "{status}");
        make_due_entries(&app).await;
        assert_eq!(app.drain().await, idle());
        ticket(&app, 0).await;
        assert_eq!(app.drain().await, idle(), "new tickets wait too");
        let parked = endpoint(&app).await;
        assert_eq!(
            (&parked["state"], &parked["waiting_tickets"]),
            (&json!("parked"), &json!(4))
        );

        // Once per longest backoff the oldest is tried, alone.
        sink.clear();
        make_due(&app).await;
        assert_eq!(app.drain().await, ran(0, 1));
        assert_eq!(app.drain().await, idle());
        let oldest = app
            .text("select id::text from ticket_webhook_queue order by seq limit 1")
            .await;
        assert_eq!(Some(sink.received()[0].webhook_id()), oldest);
        let next = app
            .db
            .query_one(
                "select extract(epoch from next_probe_at - now())::float8 from dropwire.webhook_endpoints where tenant_id = $1",
                &[&tenant()],
            )
            .await
            .unwrap()
            .get::<_, f64>(0);
        assert!((3500.0..=3601.0).contains(&next), "{next}");
        assert_eq!(
            app.count("tenant_notifications where type = 'webhook.parked'")
                .await,
            1
        );

        // A success opens it, and all follow in order.
        sink.clear();
        sink.always(None);
        make_due(&app).await;
        while app.drain().await != idle() {}
        assert_eq!(
            app.count("ticket_webhook_queue where status <> 'delivered'")
                .await,
            0
        );
        let firsts = "select string_agg(id::text, ',' order by seq) from ticket_webhook_queue";
        let mut came: Vec<_> = sink.received().iter().map(Received::webhook_id).collect();
        assert_eq!(came.len(), 7);
        came.sort_unstable();
        let mut queued: Vec<_> = app
            .text(firsts)
            .await
            .unwrap()
            .split(',')
            .map(str::to_owned)
            .collect();
        queued.sort_unstable();
        assert_eq!(came, queued);
        assert_eq!(endpoint(&app).await["state"], "open");
    }
}

/// Makes entries due, not probes.
async fn make_due_entries(app: &TestApp) {
    let sql = "update ticket_webhook_queue set next_attempt_at = now() where status = 'failed'";
    app.db.execute(sql, &[]).await.unwrap();
}

#[tokio::test]
async fn a_new_url_or_resume_opens_a_parked_endpoint() {
    for by_url in [true, false] {
        let (app, sink) = start(&[HOUR]).await;
        ticket(&app, 1).await;
        sink.reply([410]);
        assert_eq!(app.drain().await, ran(0, 1));
        assert_eq!(app.drain().await, idle());
        if by_url {
            app.set_webhook(&format!("{}/new", sink.url)).await;
        } else {
            let resumed = "select resume_webhooks($1)";
            assert!(
                app.db
                    .query_one(resumed, &[&tenant()])
                    .await
                    .unwrap()
                    .get::<_, bool>(0)
            );
        }
        assert_eq!(app.drain().await, ran(2, 0));
        assert_eq!(endpoint(&app).await["state"], "open");
    }
}

#[tokio::test]
async fn failures_in_a_row_break_the_endpoint_and_one_probe_a_step_is_sent() {
    let (app, sink) = start(&[HOUR, ("DROPWIRE_WEBHOOK_BREAKER_FAILURES", "3")]).await;
    sink.always(Some(Reply::from(503)));
    for _ in 0..3 {
        ticket(&app, 0).await;
    }
    assert_eq!(app.drain().await, ran(0, 3));
    for _ in 0..20 {
        ticket(&app, 0).await;
    }
    make_due_entries(&app).await;
    assert_eq!(app.drain().await, idle(), "23 tickets wait, none is tried");
    assert_eq!(endpoint(&app).await["state"], "broken");

    // The steps double, whatever entry is tried.
    for step in [60.0, 120.0, 240.0] {
        sink.clear();
        make_due(&app).await;
        assert_eq!(app.drain().await, ran(0, 1));
        assert_eq!(app.drain().await, idle());
        assert_eq!(sink.received().len(), 1);
        let sql = "select extract(epoch from next_probe_at - now())::float8 from dropwire.webhook_endpoints where tenant_id = $1";
        let left: f64 = app.db.query_one(sql, &[&tenant()]).await.unwrap().get(0);
        assert!(left > step - 10.0 && left <= step * 1.1, "{left} of {step}");
    }

    sink.always(None);
    make_due(&app).await;
    while app.drain().await != idle() {}
    assert_eq!(
        app.count("ticket_webhook_queue where status <> 'delivered'")
            .await,
        0
    );
    assert_eq!(endpoint(&app).await["failures"], 0);
}

#[tokio::test]
async fn a_success_in_between_keeps_the_endpoint_open() {
    let (app, sink) = start(&[HOUR, ("DROPWIRE_WEBHOOK_BREAKER_FAILURES", "3")]).await;
    for _ in 0..6 {
        sink.reply([500]);
        ticket(&app, 0).await;
        assert_eq!(app.drain().await, ran(0, 1));
        ticket(&app, 0).await;
        assert_eq!(app.drain().await, ran(1, 0));
    }
    assert_eq!(endpoint(&app).await["state"], "open");
}

#[tokio::test]
async fn what_the_receiver_rejects_is_tried_again_at_the_longest_backoff_and_never_given_up() {
    let (app, sink) = start(&[HOUR]).await;
    for (status, body, shortest, longest) in [
        (400, "Invalid JSON", 3590.0, 3961.0),
        (401, "", 3590.0, 3961.0),
        (413, "", 3590.0, 3961.0),
        (422, "", 3590.0, 3961.0),
        (400, "Queue is full.", 25.0, 33.1),
        (408, "", 25.0, 33.1),
        (429, "", 25.0, 33.1),
        (500, "", 25.0, 33.1),
        (302, "", 25.0, 33.1),
    ] {
        app.db.batch_execute("delete from tickets").await.unwrap();
        sink.reply([Reply::Status(status, body.to_owned())]);
        ticket(&app, 1).await;
        assert_eq!(app.drain().await, ran(0, 1), "{status}");
        let left = delay(&app).await;
        assert!((shortest..=longest).contains(&left), "{status} {body}: {left} s");
        let entries = entries(&app).await;
        assert_eq!(
            (&entries[0]["status"], &entries[1]["status"]),
            (&json!("failed"), &json!("pending"))
        );
    }
}

#[tokio::test]
async fn retry_after_is_honoured_for_the_whole_endpoint() {
    let (app, sink) = start(&[]).await;
    sink.reply([Reply::Headers(429, vec![("retry-after", "120")])]);
    ticket(&app, 0).await;
    assert_eq!(app.drain().await, ran(0, 1));
    let left = delay(&app).await;
    assert!((115.0..=120.1).contains(&left), "{left}");
    ticket(&app, 0).await;
    assert_eq!(app.drain().await, idle(), "another ticket waits as well");
    let end = "update dropwire.webhook_endpoints set not_before = now()";
    app.db.execute(end, &[]).await.unwrap();
    assert_eq!(app.drain().await, ran(1, 0));
    make_due(&app).await;
    assert_eq!(app.drain().await, ran(1, 0));
}

#[tokio::test]
async fn makes_hosts_have_a_rate_and_others_none() {
    let app = TestApp::start().await;
    for (url, rate) in [
        ("https://hook.eu1.make.com/abc", Some(30.0)),
        ("https://HOOK.eu2.MAKE.com:443/abc", Some(30.0)),
        (" https://user:p@hook.us1.make.com/abc", Some(30.0)),
        ("https://hook.integromat.com/abc", Some(30.0)),
        ("https://hook.us1.make.celonis.com/abc", Some(30.0)),
        ("https://make.com.example.com/abc", None),
        ("https://notmake.com/abc", None),
        ("https://example.com/hook.eu1.make.com", None),
        ("https://hook.eu1.make.com@example.com/", None),
        ("nonsense", None),
    ] {
        app.set_webhook(url).await;
        assert_eq!(endpoint(&app).await["per_second"].as_f64(), rate, "{url}");
    }
}

#[tokio::test]
async fn two_replicas_together_keep_to_an_endpoints_rate() {
    let built_in = [
        ("DROPWIRE_NO_DISPATCH", "false"),
        ("DROPWIRE_DISPATCH_POLL_MS", "100"),
    ];
    let (app, sink) = start(&built_in).await;
    let limit = "select limit_webhooks($1, 20)";
    app.db.query_one(limit, &[&tenant()]).await.unwrap();
    let replica = app.replica(&built_in).await;
    let sql = format!(
        "insert into tickets (title, description, location, category, priority, type, tenant_id)
           select 'T', 'D', 'L', 'Other', 'low', 'M', '{}' from generate_series(1, 70)",
        tenant()
    );
    app.db.batch_execute(&sql).await.unwrap();
    let received = sink.wait_for(70).await;
    // A bucket of 20 that fills at 18 a second: 70 take 2.8 s at least, and no second brings more than both.
    let took = received[69].at.duration_since(received[0].at);
    assert!(
        took > Duration::from_millis(2500) && took < Duration::from_secs(8),
        "{took:?}"
    );
    for (at, first) in received.iter().enumerate() {
        let second = received[at..]
            .iter()
            .take_while(|later| later.at.duration_since(first.at) < Duration::from_secs(1))
            .count();
        assert!(second <= 20 + 18 + 2, "{second} in a second");
    }
    replica.stop().await;
    app.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_hangs_takes_no_more_than_its_places() {
    let (app, sink) = start(&[
        ("DROPWIRE_WEBHOOK_CONCURRENCY", "6"),
        ("DROPWIRE_WEBHOOK_ENDPOINT_CONCURRENCY", "2"),
        ("DROPWIRE_NO_DISPATCH", "false"),
        ("DROPWIRE_DISPATCH_POLL_MS", "50"),
        ("TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS", "20000"),
    ])
    .await;
    sink.always(Some(Reply::Slow(Duration::from_secs(15))));
    for _ in 0..20 {
        ticket(&app, 0).await;
    }
    sink.wait_for(2).await;
    let (other, quick) = other_tenant(&app).await;
    let sql = "insert into tickets (title, description, location, category, priority, type, tenant_id)
               select 'T', 'D', 'L', 'Other', 'low', 'M', $1 from generate_series(1, 30)";
    app.db.execute(sql, &[&other]).await.unwrap();
    quick.wait_for(30).await;
    assert_eq!(sink.received().len(), 2);
}

/// Another tenant with a sink of its own.
async fn other_tenant(app: &TestApp) -> (uuid::Uuid, Sink) {
    let sink = Sink::start().await;
    let sql =
        "insert into tenants (name, email, automation_webhook_url) values ('Other', 'other@example.com', $1)
               returning id";
    (app.db.query_one(sql, &[&sink.url]).await.unwrap().get(0), sink)
}

#[tokio::test]
async fn a_tenant_with_much_to_send_does_not_hold_back_one_with_little() {
    let (app, sink) = start(&[]).await;
    let sql = format!(
        "insert into tickets (title, description, location, category, priority, type, tenant_id)
           select 'T', 'D', 'L', 'Other', 'low', 'M', '{}' from generate_series(1, 2000)",
        tenant()
    );
    app.db.batch_execute(&sql).await.unwrap();
    for _ in 0..3 {
        let (other, quick) = other_tenant_named(&app).await;
        let sql = "insert into tickets (title, description, location, category, priority, type, tenant_id)
                   values ('T', 'D', 'L', 'Other', 'low', 'M', $1)";
        app.db.execute(sql, &[&other]).await.unwrap();
        assert_eq!(app.drain().await, ran(10, 0));
        assert_eq!(quick.received().len(), 1, "the next batch has it");
    }
    assert_eq!(sink.received().len(), 27);
}

async fn other_tenant_named(app: &TestApp) -> (uuid::Uuid, Sink) {
    app.db
        .execute(
            "update tenants set email = gen_random_uuid() || '@example.com' where name = 'Other'",
            &[],
        )
        .await
        .unwrap();
    other_tenant(app).await
}

#[tokio::test]
async fn every_attempt_is_kept() {
    let (app, sink) = start(&[]).await;
    ticket(&app, 0).await;
    sink.reply([
        Reply::Status(503, "é".repeat(600)),
        Reply::Status(200, "Accepted".to_owned()),
    ]);
    assert_eq!(app.drain().await, ran(0, 1));
    make_due(&app).await;
    assert_eq!(app.drain().await, ran(1, 0));
    let sql = "select jsonb_build_object('attempt', a.attempt, 'status', a.status, 'class', a.error_class,
                 'excerpt', a.response_excerpt, 'is_entry', a.entry_id = q.id, 'took', a.duration_ms between 0 and 2000,
                 'began', a.started_at between now() - interval '1 minute' and now())
                 from ticket_webhook_attempts a, ticket_webhook_queue q order by a.id";
    let rows: Vec<Value> = app
        .db
        .query(sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let expected = [
        json!({"attempt": 1, "status": 503, "class": "unavailable", "excerpt": "é".repeat(500), "is_entry": true,
               "took": true, "began": true}),
        json!({"attempt": 2, "status": 200, "class": null, "excerpt": "Accepted", "is_entry": true, "took": true,
               "began": true}),
    ];
    assert_eq!(rows, expected);
}
