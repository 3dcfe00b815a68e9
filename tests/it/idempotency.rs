//! `Idempotency-Key` on telegram-webhook: one key, one ticket, whatever arrives when and where.

mod race;

use std::time::Duration;

use dropwire::dev::ANON_KEY;
use futures_util::future::join_all;
use poem::http::HeaderMap;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::TestApp;
use crate::support::app::{Answer, CHAT_ID, TENANT, read, refusal, ticket};

const REUSED: &str = "Idempotency-Key was already used with a different request body";
const INVALID: &str = "Invalid Idempotency-Key: send one value of 1 to 255 visible ASCII characters";

/// POSTs to telegram-webhook with these values of the header.
async fn post_keys(
    http: &reqwest::Client,
    url: &str,
    keys: &[&[u8]],
    body: impl Into<reqwest::Body>,
) -> Answer {
    let mut request = http
        .post(format!("{url}/functions/v1/telegram-webhook"))
        .bearer_auth(ANON_KEY)
        .body(body);
    for key in keys {
        request = request.header("Idempotency-Key", *key);
    }
    read(request.send().await.unwrap()).await
}

/// POSTs a body with one key.
async fn post(app: &TestApp, key: &str, body: &Value) -> Answer {
    post_keys(&app.http, &app.url, &[key.as_bytes()], body.to_string()).await
}

/// As [`post`], meanwhile.
fn post_in_background(app: &TestApp, key: impl Into<String>, body: &Value) -> JoinHandle<Answer> {
    let (http, url, key, body) = (app.http.clone(), app.url.clone(), key.into(), body.to_string());
    tokio::spawn(async move { post_keys(&http, &url, &[key.as_bytes()], body).await })
}

/// Whether an answer says that it was given before; anything but `true` or no header fails.
fn is_replayed(headers: &HeaderMap) -> bool {
    let values: Vec<_> = headers.get_all("idempotency-replayed").iter().collect();
    assert!(values.is_empty() || values == ["true"], "{values:?}");
    !values.is_empty()
}

/// Asserts that a ticket was created right now; answers its id.
fn assert_created(answer: &Answer) -> Uuid {
    let (status, body) = answer.function_pair();
    assert_eq!(status, 200, "{body}");
    assert!(!is_replayed(&answer.headers), "{answer:?}");
    body["ticket_id"].as_str().unwrap().parse().unwrap()
}

/// Asserts that an answer is the first one over again.
fn assert_replay_of(first: &Answer, repeat: &Answer) {
    assert_eq!((repeat.status, &repeat.text), (first.status, &first.text));
    assert!(is_replayed(&repeat.headers), "{repeat:?}");
    repeat.function_pair();
}

/// Waits until so many of the application's statements wait for locks.
async fn wait_for_waiters(app: &TestApp, count: usize) {
    let watcher = app.database.target().connect().await.unwrap();
    let waiting =
        "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    for _ in 0..1000 {
        if watcher.query(waiting, &[]).await.unwrap().len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{count} statements never wait for locks at once");
}

/// Waits for tables in the application's database; other tests share the cluster.
const TABLES_WAITED_FOR: &str = "pg_locks join pg_database d on d.oid = database
    where d.datname = current_database() and locktype = 'relation' and not granted";

/// Stores keys of the demo tenant that are this old.
async fn store_keys(app: &TestApp, count: i64, age: &str) {
    let insert = format!(
        "insert into dropwire.idempotency_keys (route, tenant_id, key, fingerprint, answer, created_at)
         select 'telegram-webhook', '{TENANT}', 'stored-' || n, '', '{{}}', now() - interval '{age}'
           from generate_series(1, {count}) n"
    );
    app.db.batch_execute(&insert).await.unwrap();
}

/// Makes every key this old.
async fn age_keys(app: &TestApp, age: &str) {
    let update = format!("update dropwire.idempotency_keys set created_at = now() - interval '{age}'");
    app.db.batch_execute(&update).await.unwrap();
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_no_second_ticket() {
    let app = TestApp::start().await;
    let body = ticket(&json!({}));
    let first = post(&app, "key", &body).await;
    assert_created(&first);
    let entries = app.count("ticket_webhook_queue").await;

    for _ in 0..3 {
        assert_replay_of(&first, &post(&app, "key", &body).await);
    }
    assert_eq!(app.count("tickets").await, 1);
    assert_eq!(app.count("ticket_webhook_queue").await, entries);
    assert_eq!(app.count("dropwire.idempotency_keys").await, 1);
}

#[tokio::test]
async fn a_repeat_is_known_on_another_replica() {
    let app = TestApp::start().await;
    let replica = app.replica(&[]).await;
    let body = ticket(&json!({}));
    let first = post(&app, "key", &body).await;
    assert_replay_of(&first, &post(&replica, "key", &body).await);
    assert_eq!(app.count("tickets").await, 1);
}

#[tokio::test]
async fn a_repeat_is_known_where_statements_have_no_names() {
    let app = TestApp::with(&[("DROPWIRE_DB_TRANSACTION_POOLER", "true")]).await;
    let body = ticket(&json!({}));
    let first = post(&app, "key", &body).await;
    assert_created(&first);
    assert_replay_of(&first, &post(&app, "key", &body).await);
}

#[tokio::test]
async fn without_a_key_every_call_creates_and_nothing_is_kept() {
    let app = TestApp::start().await;
    let body = ticket(&json!({})).to_string();
    for keys in [&[][..], &[&b""[..]], &[&b"  "[..]]] {
        for _ in 0..2 {
            assert_created(&post_keys(&app.http, &app.url, keys, body.clone()).await);
        }
    }
    assert_eq!(app.count("tickets").await, 6);
    assert_eq!(app.count("dropwire.idempotency_keys").await, 0);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused_to_the_byte() {
    let app = TestApp::start().await;
    let body = ticket(&json!({}));
    let first = post(&app, "key", &body).await;
    assert_created(&first);

    for other in [ticket(&json!({"issue": "Leak"})).to_string(), format!("{body} ")] {
        let answer = post_keys(&app.http, &app.url, &[b"key"], other).await;
        assert_eq!(answer.function_pair(), refusal(422, REUSED));
        assert!(!is_replayed(&answer.headers));
    }
    assert_eq!(app.count("tickets").await, 1);
    assert_replay_of(&first, &post(&app, "key", &body).await);
}

#[tokio::test]
async fn what_is_no_key_is_refused_before_the_body_is_looked_at() {
    let app = TestApp::start().await;
    let (longest, too_long) = ([b'k'; 255], [b'k'; 256]);
    let invalid: [&[&[u8]]; 6] = [
        &[&too_long],
        &[b"two words"],
        &["schl\u{fc}ssel".as_bytes()],
        &[b"\xff"],
        &[b"one", b"two"],
        &[b"one, two"],
    ];
    for keys in invalid {
        for body in [ticket(&json!({})).to_string(), "no JSON".to_owned()] {
            let answer = post_keys(&app.http, &app.url, keys, body).await;
            assert_eq!(answer.function_pair(), refusal(400, INVALID), "{keys:?}");
        }
    }
    assert_eq!(app.count("tickets").await, 0);

    let symbols: Vec<u8> = (b'!'..=b'~').collect();
    for key in [&longest[..], &symbols] {
        let body = ticket(&json!({})).to_string();
        let first = post_keys(&app.http, &app.url, &[key], body.clone()).await;
        assert_created(&first);
        assert_replay_of(&first, &post_keys(&app.http, &app.url, &[key], body).await);
    }
}

#[tokio::test]
async fn keys_are_kept_per_route_tenant_and_key() {
    let app = TestApp::start().await;
    let other = "d0000000-0000-4000-8000-000000000002";
    let arrange = format!(
        "insert into tenants (id, name, email) values ('{other}', 'Other', 'other@example.com');
         insert into users (tenant_id, email, role, telegram_chat_id)
           values ('{other}', 'o@example.com', 'complainant', {CHAT_ID});
         insert into dropwire.idempotency_keys (route, tenant_id, key, fingerprint, answer)
           values ('create-ticket', '{TENANT}', 'key', '', '{{}}')"
    );
    app.db.batch_execute(&arrange).await.unwrap();

    for (key, tenant) in [("key", TENANT), ("key", other), ("KEY", TENANT)] {
        let body = ticket(&json!({"tenant_id": tenant}));
        let first = post(&app, key, &body).await;
        assert_created(&first);
        assert_replay_of(&first, &post(&app, key, &body).await);
    }
    assert_eq!(app.count("tickets").await, 3);
}

#[tokio::test]
async fn only_successes_are_kept() {
    let app = TestApp::start().await;
    let body = ticket(&json!({}));
    let not_found = format!("User not found with chat_id: {CHAT_ID} in tenant: {TENANT}");
    let inactive = "User is not active and cannot create tickets";
    let refused = r#"new row for relation "tickets" violates check constraint "no_hvac""#;
    for (breaks, mends, expected) in [
        (
            "update users set telegram_chat_id = null where email = 'john.doe@example.com'",
            "update users set telegram_chat_id = 123456789 where email = 'john.doe@example.com'",
            refusal(404, &not_found),
        ),
        (
            "update users set is_active = false where telegram_chat_id = 123456789",
            "update users set is_active = true where telegram_chat_id = 123456789",
            refusal(403, inactive),
        ),
        (
            "alter table tickets add constraint no_hvac check (category <> 'HVAC') not valid",
            "alter table tickets drop constraint no_hvac",
            refusal(500, refused),
        ),
    ] {
        app.db.batch_execute(breaks).await.unwrap();
        for _ in 0..2 {
            assert_eq!(post(&app, "key", &body).await.function_pair(), expected);
        }
        assert_eq!(app.count("dropwire.idempotency_keys").await, 0);
        app.db.batch_execute(mends).await.unwrap();
    }

    // The key is still free, for another body even.
    assert_eq!(
        post(&app, "key", &json!({})).await.function_pair(),
        refusal(400, "Missing required field: issue")
    );
    assert_created(&post(&app, "key", &body).await);
}

#[tokio::test]
async fn the_first_answer_stands_whatever_has_become_of_ticket_and_user() {
    let app = TestApp::start().await;
    let body = ticket(&json!({}));
    let first = post(&app, "key", &body).await;
    assert_created(&first);
    app.db
        .batch_execute("delete from tickets; update users set is_active = false")
        .await
        .unwrap();
    assert_replay_of(&first, &post(&app, "key", &body).await);
    assert_eq!(app.count("tickets").await, 0);
}

#[tokio::test]
async fn a_key_lasts_for_24_hours() {
    let app = TestApp::start().await;
    let body = ticket(&json!({}));
    let first = post(&app, "key", &body).await;
    assert_created(&first);
    age_keys(&app, "23 hours 59 minutes").await;
    assert_replay_of(&first, &post(&app, "key", &body).await);

    age_keys(&app, "24 hours").await;
    let other = ticket(&json!({"issue": "Leak"}));
    let second = post(&app, "key", &other).await;
    assert_created(&second);
    assert_replay_of(&second, &post(&app, "key", &other).await);
    assert_eq!(app.count("tickets").await, 2);
}

#[tokio::test]
async fn a_failure_under_an_expired_key_leaves_no_key() {
    let app = TestApp::start().await;
    store_keys(&app, 1, "24 hours").await;
    let stranger = post(&app, "stored-1", &ticket(&json!({"chat_id": "5"}))).await;
    assert_eq!(stranger.status, 404);
    assert_eq!(app.count("dropwire.idempotency_keys").await, 0);
}

#[tokio::test]
async fn expired_keys_go_ten_at_a_time_past_those_in_use() {
    let app = TestApp::start().await;
    store_keys(&app, 25, "25 hours").await;
    app.db
        .batch_execute("begin; select from dropwire.idempotency_keys where key = 'stored-25' for update")
        .await
        .unwrap();
    for (call, left) in [(1, 15), (2, 5), (3, 1), (4, 1)] {
        assert_created(&post(&app, &format!("new-{call}"), &ticket(&json!({}))).await);
        let expired = "dropwire.idempotency_keys where created_at < now() - interval '24 hours'";
        assert_eq!(app.count(expired).await, left, "after call {call}");
    }
    assert_eq!(
        app.count("dropwire.idempotency_keys where key like 'new-%'")
            .await,
        4
    );
}

#[tokio::test]
async fn calls_that_use_expired_keys_again_do_not_wait_for_each_other() {
    let app = TestApp::start().await;
    store_keys(&app, 3, "25 hours").await;
    app.db
        .batch_execute("begin; lock table users in access exclusive mode")
        .await
        .unwrap();
    let body = ticket(&json!({}));
    let calls: Vec<_> = (1..=3)
        .map(|n| post_in_background(&app, format!("stored-{n}"), &body))
        .collect();
    wait_for_waiters(&app, 3).await;
    // All of them for the table, with their keys in hand: none has pruned another's, which could end in a deadlock.
    assert_eq!(app.count(TABLES_WAITED_FOR).await, 3);
    app.db.batch_execute("commit").await.unwrap();

    for answer in join_all(calls).await {
        assert_created(&answer.unwrap());
    }
    assert_eq!(app.count("tickets").await, 3);
}

#[tokio::test]
async fn a_repeat_that_comes_too_early_waits_for_the_first() {
    let app = TestApp::start().await;
    let replica = app.replica(&[]).await;
    let body = ticket(&json!({}));
    app.db
        .batch_execute("begin; lock table users in access exclusive mode")
        .await
        .unwrap();
    let first = post_in_background(&app, "key", &body);
    wait_for_waiters(&app, 1).await;
    let repeat = post_in_background(&replica, "key", &body);
    let other = post_in_background(&app, "key", &ticket(&json!({"issue": "Leak"})));
    wait_for_waiters(&app, 3).await;
    app.db.batch_execute("commit").await.unwrap();

    let first = first.await.unwrap();
    assert_created(&first);
    assert_replay_of(&first, &repeat.await.unwrap());
    assert_eq!(other.await.unwrap().function_pair(), refusal(422, REUSED));
    assert_eq!(app.count("tickets").await, 1);
}

#[tokio::test]
async fn a_repeat_takes_the_place_of_a_first_that_died() {
    let app = TestApp::start().await;
    let body = ticket(&json!({}));
    app.db
        .batch_execute("begin; lock table users in access exclusive mode")
        .await
        .unwrap();
    let first = post_in_background(&app, "key", &body);
    wait_for_waiters(&app, 1).await;
    let repeat = post_in_background(&app, "key", &body);
    wait_for_waiters(&app, 2).await;
    // The first waits for the table, the repeat for the first.
    app.db
        .batch_execute(&format!(
            "select pg_terminate_backend(pid) from {TABLES_WAITED_FOR}"
        ))
        .await
        .unwrap();
    let first = first.await.unwrap();
    app.db.batch_execute("commit").await.unwrap();

    assert_eq!(
        first.function_pair(),
        refusal(503, "The database is unavailable, try again shortly")
    );
    let repeat = repeat.await.unwrap();
    assert_created(&repeat);
    assert_replay_of(&repeat, &post(&app, "key", &body).await);
    assert_eq!(app.count("tickets").await, 1);
}
