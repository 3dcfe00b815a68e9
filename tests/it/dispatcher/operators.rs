//! An operator's verbs: in SQL, as service_role and nobody else; what they do to the order; secrets; what is kept.

use dropwire::webhook::signature;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{comment, entries, idle, make_due, ran, ticket};
use crate::support::app::tenant;
use crate::support::sink::Received;
use crate::support::{Sink, TestApp};

const HOUR: (&str, &str) = ("TICKET_ACTIVITY_WEBHOOK_MAX_BACKOFF_MS", "3600000");

async fn start() -> (TestApp, Sink) {
    let app = TestApp::with(&[HOUR]).await;
    let sink = Sink::start().await;
    app.set_webhook(&sink.url).await;
    (app, sink)
}

async fn value<T: for<'a> postgres_types::FromSql<'a>>(app: &TestApp, sql: &str) -> T {
    app.db.query_one(sql, &[]).await.unwrap().get(0)
}

/// The id of the entry at a place, from 1.
async fn entry(app: &TestApp, place: i64) -> Uuid {
    let sql = "select id from ticket_webhook_queue order by seq offset $1 limit 1";
    app.db.query_one(sql, &[&(place - 1)]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_skipped_entry_lets_the_later_ones_go_on() {
    let (app, sink) = start().await;
    ticket(&app, 2).await;
    sink.reply([422]);
    assert_eq!(app.drain().await, ran(0, 1));
    let first = entry(&app, 1).await;
    let blocked: Value = value(&app, "select to_jsonb(b) from list_blocked_webhooks() b").await;
    assert_eq!(
        (
            &blocked["entry_id"],
            &blocked["reason"],
            &blocked["waiting_behind"]
        ),
        (&json!(first), &json!("backing off"), &json!(2))
    );
    assert!(value::<bool>(&app, &format!("select skip_webhook('{first}', 'too long')")).await);
    assert!(!value::<bool>(&app, &format!("select skip_webhook('{first}')")).await);
    assert_eq!(app.drain().await, ran(2, 0));
    let skipped = &entries(&app).await[0];
    assert_eq!(
        (&skipped["status"], &skipped["error"]),
        (&json!("delivered"), &json!("skipped: too long"))
    );
    assert_eq!(sink.received().len(), 3);
}

#[tokio::test]
async fn what_is_skipped_while_it_is_sent_is_out_of_the_dispatchers_hands() {
    let (app, sink) = start().await;
    ticket(&app, 1).await;
    let claim = "select id from dropwire.claim_webhooks(1, interval '1 hour', gen_random_uuid())";
    let id: Uuid = value(&app, claim).await;
    assert!(value::<bool>(&app, &format!("select skip_webhook('{id}')")).await);
    assert_eq!(app.drain().await, ran(1, 0));
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn a_replayed_entry_comes_again_with_its_id_and_before_what_is_queued_behind_it() {
    let (app, sink) = start().await;
    let id = ticket(&app, 1).await;
    assert_eq!(app.drain().await, ran(2, 0));
    comment(&app, id, 1).await;
    let first = entry(&app, 1).await;
    assert!(value::<bool>(&app, &format!("select replay_webhook('{first}')")).await);
    assert!(!value::<bool>(&app, "select replay_webhook(gen_random_uuid())").await);
    assert_eq!(app.drain().await, ran(2, 0));
    let came: Vec<_> = sink.received().iter().map(Received::webhook_id).collect();
    let third = entry(&app, 3).await.to_string();
    assert_eq!(came[2..], [first.to_string(), third]);

    let since = "select replay_webhooks_since(now() - interval '1 minute', gen_random_uuid())";
    assert_eq!(value::<i64>(&app, since).await, 0, "another tenant's");
    let since = "select replay_webhooks_since(now() - interval '1 minute')";
    assert_eq!(value::<i64>(&app, since).await, 3);
    assert_eq!(app.drain().await, ran(3, 0));
    let again: Vec<_> = sink.received()[4..].iter().map(Received::webhook_id).collect();
    let mut queued = Vec::new();
    for place in 1..=3 {
        queued.push(entry(&app, place).await.to_string());
    }
    assert_eq!(again, queued);
    assert_eq!(
        value::<i64>(&app, "select replay_webhooks_since(now() + interval '1 minute')").await,
        0
    );
}

#[tokio::test]
async fn a_paused_tenant_waits_until_it_is_resumed() {
    let (app, _sink) = start().await;
    assert!(value::<bool>(&app, &format!("select pause_webhooks('{}')", tenant())).await);
    assert!(!value::<bool>(&app, "select pause_webhooks(gen_random_uuid())").await);
    ticket(&app, 1).await;
    assert_eq!(app.drain().await, idle());
    let state: String = value(&app, "select state from list_webhook_endpoints()").await;
    assert_eq!(state, "paused");
    assert!(value::<bool>(&app, &format!("select resume_webhooks('{}')", tenant())).await);
    assert_eq!(app.drain().await, ran(2, 0));
    assert_eq!(app.count("list_webhook_endpoints()").await, 0);
}

#[tokio::test]
async fn drain_makes_due_what_backs_off_and_probes_what_is_closed() {
    let (app, sink) = start().await;
    for _ in 0..3 {
        ticket(&app, 0).await;
    }
    sink.reply([500, 500, 410]);
    assert_eq!(app.drain().await, ran(0, 3));
    assert_eq!(app.drain().await, idle());
    assert_eq!(value::<i64>(&app, "select drain_webhooks()").await, 3);
    while app.drain().await != idle() {}
    assert_eq!(
        app.count("ticket_webhook_queue where status <> 'delivered'")
            .await,
        0
    );
}

#[tokio::test]
async fn the_verbs_are_for_service_role_alone() {
    let (app, _sink) = start().await;
    let callable = "select count(*) from pg_proc p
                     where p.pronamespace = 'public'::regnamespace and p.proname ~ '^(list|replay|skip|pause|resume|drain|limit|rotate|retire)_.*webhook'
                       and has_function_privilege($1, p.oid, 'execute')";
    for (role, count) in [("anon", 0_i64), ("authenticated", 0), ("service_role", 12)] {
        let row = app.db.query_one(callable, &[&role]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), count, "{role}");
    }
}

#[tokio::test]
async fn a_secret_signs_each_request_and_two_do_while_they_are_changed_over() {
    let (app, sink) = start().await;
    let rotate = format!("select rotate_webhook_secret('{}')", tenant());
    let mut secrets: Vec<String> = Vec::new();
    for count in 1..=3 {
        secrets.insert(0, value(&app, &rotate).await);
        secrets.truncate(2);
        ticket(&app, 0).await;
        assert_eq!(app.drain().await, ran(1, 0));
        let webhook = sink.received().pop().unwrap();
        let header = |name: &str| webhook.headers[name].to_str().unwrap().to_owned();
        let timestamp = header("webhook-timestamp").parse().unwrap();
        let expected = signature::sign(
            &secrets,
            &webhook.webhook_id(),
            timestamp,
            webhook.text.as_bytes(),
        );
        assert_eq!(Some(header("webhook-signature")), expected);
        assert_eq!(header("webhook-signature").split(' ').count(), count.min(2));
    }
    let retire = |all: bool| format!("select retire_webhook_secret('{}', {all})", tenant());
    assert!(value::<bool>(&app, &retire(false)).await);
    ticket(&app, 0).await;
    app.drain().await;
    let webhook = sink.received().pop().unwrap();
    assert!(
        !webhook.headers["webhook-signature"]
            .to_str()
            .unwrap()
            .contains(' ')
    );
    assert!(value::<bool>(&app, &retire(true)).await);
    ticket(&app, 0).await;
    app.drain().await;
    assert!(
        !sink
            .received()
            .pop()
            .unwrap()
            .headers
            .contains_key("webhook-signature")
    );
    let refused = app
        .db
        .query_one(
            &format!("select rotate_webhook_secret('{}', 'secret')", tenant()),
            &[],
        )
        .await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "22023");
}

#[tokio::test]
async fn old_deliveries_and_attempts_are_removed_and_nothing_else() {
    let (app, sink) = start().await;
    let old = ticket(&app, 2).await;
    assert_eq!(app.drain().await, ran(3, 0));
    sink.reply([422]);
    ticket(&app, 1).await;
    assert_eq!(app.drain().await, ran(0, 1));
    let young = ticket(&app, 0).await;
    assert_eq!(app.drain().await, ran(1, 0));
    app.db
        .batch_execute(&format!(
            "alter table ticket_webhook_queue disable trigger user;
             update ticket_webhook_queue set created_at = now() - interval '40 days', updated_at = now() - interval '40 days'
              where ticket_id <> '{young}';
             alter table ticket_webhook_queue enable trigger user;
             update ticket_webhook_attempts set started_at = now() - interval '40 days' where ticket_id = '{old}'"
        ))
        .await
        .unwrap();
    let prune = "select dropwire.prune_webhooks(interval '30 days', 2)";
    let mut rounds = 0;
    while value::<i64>(&app, prune).await > 0 {
        rounds += 1;
        assert!(rounds < 10);
    }
    assert_eq!(
        app.count(&format!("ticket_webhook_queue where ticket_id = '{old}'"))
            .await,
        0
    );
    assert_eq!(
        app.count("ticket_webhook_queue").await,
        3,
        "what waits stays, however old"
    );
    assert_eq!(app.count("ticket_webhook_attempts").await, 2);
    make_due(&app).await;
    assert_eq!(app.drain().await, ran(2, 0));
}

#[tokio::test]
async fn metrics_tell_how_the_outbox_is_and_name_tenants_to_service_role_only() {
    let (app, sink) = start().await;
    sink.reply([410]);
    ticket(&app, 1).await;
    app.drain().await;
    let url = format!("{}/metrics", app.url);
    let open = app.http.get(&url).send().await.unwrap();
    assert_eq!(open.status(), 200);
    assert!(
        open.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let open = open.text().await.unwrap();
    for line in [
        "dropwire_webhook_parked 1",
        "dropwire_webhook_ready 0",
        "dropwire_webhook_waiting_tickets 1",
        "dropwire_webhook_closed_tickets 1",
        "dropwire_webhook_in_flight 0",
        "dropwire_webhook_oldest_ready_age_seconds 0",
    ] {
        assert!(open.lines().any(|it| it == line), "{line} in {open}");
    }
    assert!(open.contains("dropwire_webhook_attempts_total{status_class=\"4xx\",error=\"gone\"}"));
    assert!(!open.contains(&tenant().to_string()));
    let trusted = app
        .http
        .get(&url)
        .bearer_auth(dropwire::dev::SERVICE_ROLE_KEY)
        .send()
        .await
        .unwrap();
    let expected = format!(
        "dropwire_webhook_tenant_waiting_tickets{{tenant_id=\"{}\"}} 1",
        tenant()
    );
    assert!(trusted.text().await.unwrap().contains(&expected));
}
