//! Where a webhook goes, and what the receiver's answer makes of its entry.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{entries, idle, make_due, only_error, ran, ticket};
use crate::support::app::tenant;
use crate::support::sink::{Gate, Reply};
use crate::support::{Sink, TestApp};

async fn start(variables: &[(&str, &str)]) -> (TestApp, Sink) {
    let app = TestApp::with(variables).await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    (app, sink)
}

async fn set_tenant(app: &TestApp, assignment: &str) {
    let sql = format!("update tenants set {assignment} where id = $1");
    app.db.execute(&sql, &[&tenant()]).await.unwrap();
}

#[tokio::test]
async fn without_a_webhook_an_entry_is_delivered_to_nobody() {
    let (app, sink) = start(&[]).await;
    for url in ["null", "''", "'  '"] {
        set_tenant(&app, &format!("automation_webhook_url = {url}")).await;
        ticket(&app, 0).await;
        assert_eq!(app.drain().await, ran(1, 0), "{url}");
    }
    let expected =
        json!({"status": "delivered", "attempts": 1, "error": null, "due": false, "payload": null});
    assert_eq!(entries(&app).await, vec![expected; 3]);
    assert_eq!(sink.received().len(), 0);
}

#[tokio::test]
async fn blanks_around_the_url_do_not_matter() {
    let (app, sink) = start(&[]).await;
    app.set_webhook(&format!(" \t{}\n", sink.url)).await;
    ticket(&app, 0).await;
    assert_eq!(app.drain().await, ran(1, 0));
    assert_eq!(sink.received()[0].path, "/hook");
}

#[tokio::test]
async fn user_and_password_of_the_url_are_sent_as_basic_authentication() {
    let (app, sink) = start(&[]).await;
    app.set_webhook(&sink.url.replace("://", "://make:s%40fe@")).await;
    ticket(&app, 0).await;
    assert_eq!(app.drain().await, ran(1, 0));
    assert_eq!(sink.received()[0].headers["authorization"], "Basic bWFrZTpzQGZl");
}

#[tokio::test]
async fn any_2xx_and_303_are_deliveries() {
    let (app, sink) = start(&[]).await;
    for status in [200, 201, 202, 204, 299, 303] {
        sink.reply([status]);
        ticket(&app, 0).await;
        assert_eq!(app.drain().await, ran(1, 0), "{status}");
    }
}

#[tokio::test]
async fn any_other_status_fails_with_its_body() {
    for status in [400, 401, 404, 410, 429, 500, 503] {
        let (app, sink) = start(&[]).await;
        sink.reply([Reply::Status(status, "Queue is full.".to_owned())]);
        ticket(&app, 0).await;
        assert_eq!(app.drain().await, ran(0, 1), "{status}");
        assert_eq!(only_error(&app).await, format!("HTTP {status}: Queue is full."));
    }
}

#[tokio::test]
async fn an_error_is_cut_to_500_characters() {
    let (app, sink) = start(&[]).await;
    sink.reply([Reply::Status(500, "ü".repeat(600))]);
    ticket(&app, 0).await;
    app.drain().await;
    assert_eq!(only_error(&app).await, format!("HTTP 500: {}", "ü".repeat(490)));
}

#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    let (app, sink) = start(&[]).await;
    let huge = "x".repeat(8 << 20);
    sink.reply([Reply::Status(500, huge.clone()), Reply::Status(200, huge)]);
    ticket(&app, 0).await;
    assert_eq!(app.drain().await, ran(0, 1));
    assert_eq!(only_error(&app).await, format!("HTTP 500: {}", "x".repeat(490)));
    make_due(&app).await;
    assert_eq!(app.drain().await, ran(1, 0));
}

#[tokio::test]
async fn other_redirects_fail_and_are_not_followed() {
    let elsewhere = Sink::start().await;
    for status in [301, 302, 307, 308] {
        let (app, sink) = start(&[]).await;
        sink.reply([Reply::Redirect(status, elsewhere.url.clone())]);
        ticket(&app, 0).await;
        assert_eq!(app.drain().await, ran(0, 1), "{status}");
        assert_eq!(
            only_error(&app).await,
            format!(
                "HTTP {status}: redirects are not followed; set the automation webhook URL to its final address"
            )
        );
    }
    let (app, sink) = start(&[]).await;
    sink.reply([Reply::Redirect(303, elsewhere.url.clone())]);
    ticket(&app, 0).await;
    assert_eq!(app.drain().await, ran(1, 0));
    assert_eq!(elsewhere.received().len(), 0);
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_in_time_fails() {
    let (app, sink) = start(&[("TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS", "200")]).await;
    sink.reply([Reply::Slow(Duration::from_secs(5))]);
    ticket(&app, 0).await;
    assert_eq!(app.drain().await, ran(0, 1));
    let origin = sink.url.trim_end_matches("/hook");
    assert_eq!(
        only_error(&app).await,
        format!("{origin} did not answer within 200 ms: check that it is up and answers quickly")
    );
}

#[tokio::test]
async fn an_unreachable_receiver_fails_without_its_secrets_in_the_error() {
    let app = TestApp::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    app.set_webhook(&format!("http://user:hush@{closed}/hush?token=hush"))
        .await;
    ticket(&app, 0).await;
    assert_eq!(app.drain().await, ran(0, 1));
    let error = only_error(&app).await;
    assert!(
        error.starts_with(&format!("connecting to http://{closed} failed (")),
        "{error}"
    );
    assert!(
        error.ends_with("): check that it is up and accepts connections"),
        "{error}"
    );
    assert!(!error.contains("hush"), "{error}");
}

#[tokio::test]
async fn http_and_private_addresses_are_refused_unless_allowed() {
    let public = "which is not on the public internet: use a public host \
                  (DROPWIRE_WEBHOOK_ALLOW_PRIVATE lifts this for a test setup)";
    let (app, sink) = start(&[
        ("DROPWIRE_WEBHOOK_ALLOW_PRIVATE", "false"),
        ("TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS", "3600000"),
    ])
    .await;
    let port = sink.url.rsplit([':', '/']).nth(1).unwrap().to_owned();
    let cases = [
        (
            sink.url.clone(),
            "webhooks do not go to http URLs: use an https address".to_owned(),
        ),
        (
            "ftp://example.com/".to_owned(),
            "webhooks do not go to ftp URLs: use an https address".to_owned(),
        ),
        (
            "data:,x".to_owned(),
            "webhooks do not go to data URLs: use an https address".to_owned(),
        ),
        (
            "hook.example.com".to_owned(),
            "the webhook URL cannot be read: set it to a full address such as https://hook.example.com/path"
                .to_owned(),
        ),
        (
            format!("https://localhost:{port}/"),
            format!(
                "webhooks do not go to this machine (https://localhost:{port}): \
                 use a host that is reachable from the internet"
            ),
        ),
        (
            format!("https://127.0.0.1:{port}/"),
            format!("https://127.0.0.1:{port} leads to 127.0.0.1, {public}"),
        ),
        (
            "https://2130706433/".to_owned(),
            format!("https://127.0.0.1 leads to 127.0.0.1, {public}"),
        ),
        (
            "https://[::1]/".to_owned(),
            format!("https://[::1] leads to ::1, {public}"),
        ),
        (
            "https://10.1.2.3/".to_owned(),
            format!("https://10.1.2.3 leads to 10.1.2.3, {public}"),
        ),
        (
            "https://169.254.169.254/latest/meta-data".to_owned(),
            format!("https://169.254.169.254 leads to 169.254.169.254, {public}"),
        ),
    ];
    ticket(&app, 0).await;
    for (url, expected) in cases {
        app.set_webhook(&url).await;
        // A new URL is due at once.
        assert_eq!(app.drain().await, ran(0, 1), "{url}");
        assert_eq!(entries(&app).await[0]["error"], expected.as_str(), "{url}");
    }
    assert_eq!(sink.received().len(), 0);
}

#[tokio::test]
async fn a_ticket_of_another_tenant_is_not_sent() {
    let (app, sink) = start(&[]).await;
    let ticket = ticket(&app, 0).await;
    let other: Uuid = app
        .db
        .query_one(
            "insert into tenants (name, email) values ('Other', 'other@example.com') returning id",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let moved = "update tickets set tenant_id = $1 where id = $2";
    for owner in [Some(other), None] {
        app.db.execute(moved, &[&owner, &ticket]).await.unwrap();
        make_due(&app).await;
        assert_eq!(app.drain().await, ran(0, 1));
        assert_eq!(entries(&app).await[0]["error"], "Ticket tenant mismatch");
    }
    assert_eq!(sink.received().len(), 0);
    app.db.execute(moved, &[&tenant(), &ticket]).await.unwrap();
    make_due(&app).await;
    assert_eq!(app.drain().await, ran(1, 0));
}

#[tokio::test]
async fn an_inactive_tenant_waits_and_goes_on_when_it_is_active_again() {
    let (app, sink) = start(&[("TICKET_ACTIVITY_WEBHOOK_TIMEOUT_MS", "30000")]).await;
    set_tenant(&app, "active = false").await;
    ticket(&app, 2).await;
    assert_eq!(app.drain().await, idle());
    assert_eq!(entries(&app).await[0]["attempts"], 0);

    // Switched off again while its first one is under way: that one ends, the next wait.
    set_tenant(&app, "active = true").await;
    let gate = Gate::default();
    sink.reply([Reply::Held(gate.clone())]);
    let (report, ()) = tokio::join!(app.drain(), async {
        sink.wait_for(1).await;
        set_tenant(&app, "active = false").await;
        gate.open();
    });
    assert_eq!(report, ran(1, 0));
    assert_eq!(app.drain().await, idle());
    set_tenant(&app, "active = null").await;
    assert_eq!(app.drain().await, ran(2, 0));
}

#[tokio::test]
async fn a_tenant_that_is_not_approved_is_not_paused() {
    let (app, _sink) = start(&[]).await;
    set_tenant(&app, "approved = false, subscription_status = 'expired'").await;
    ticket(&app, 0).await;
    assert_eq!(app.drain().await, ran(1, 0));
}

#[tokio::test]
async fn the_backoff_doubles_up_to_its_cap_by_the_databases_clock() {
    let (app, sink) = start(&[("TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS", "3600000")]).await;
    sink.always(Some(Reply::from(500)));
    let table = [(0, 30), (1, 60), (2, 120), (6, 1920), (7, 3600), (1000, 3600)];
    for (earlier_attempts, _) in table {
        let ticket = ticket(&app, 0).await;
        let sql = "update ticket_webhook_queue set attempt_count = $1 where ticket_id = $2";
        app.db.execute(sql, &[&earlier_attempts, &ticket]).await.unwrap();
    }
    assert_eq!(app.drain().await, ran(0, 6));
    let sql = "select attempt_count, extract(epoch from next_attempt_at - now())::float8
                 from ticket_webhook_queue order by seq";
    for (row, (earlier_attempts, delay)) in app.db.query(sql, &[]).await.unwrap().iter().zip(table) {
        let (attempts, left): (i32, f64) = (row.get(0), row.get(1));
        assert_eq!(attempts, earlier_attempts + 1);
        assert!(
            left <= f64::from(delay) * 1.1 && left > f64::from(delay) - 20.0,
            "{left} of {delay} s and up to a tenth"
        );
    }
}

#[tokio::test]
async fn a_delivery_clears_the_error_and_keeps_what_was_sent() {
    let (app, sink) = start(&[]).await;
    ticket(&app, 0).await;
    sink.reply([500, 404]);
    for _ in 0..2 {
        assert_eq!(app.drain().await, ran(0, 1));
        make_due(&app).await;
    }
    assert_eq!(app.drain().await, ran(1, 0));
    let sent: Value = sink.received()[2].body.clone();
    let expected =
        json!({"status": "delivered", "attempts": 3, "error": null, "due": false, "payload": sent});
    assert_eq!(entries(&app).await, [expected]);
    assert_eq!(
        app.count("ticket_webhook_queue where lease_expires_at is null and claim_id is null")
            .await,
        1
    );
}
