//! `Idempotency-Key` on create-ticket; what a key is, and how long it lasts, is telegram-webhook's (`idempotency`).

use dropwire::dev::ANON_KEY;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{FUNCTION, created, ticket};
use crate::support::TestApp;
use crate::support::app::{Answer, read};

async fn post(app: &TestApp, key: &str, body: &Value) -> Answer {
    let request = app
        .http
        .post(format!("{}/functions/v1/{FUNCTION}", app.url))
        .bearer_auth(ANON_KEY)
        .header("Idempotency-Key", key)
        .body(body.to_string());
    read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_to_the_byte_whatever_has_become_of_the_ticket() {
    let app = TestApp::start().await;
    let body = ticket(&json!({}));
    let first = post(&app, "key", &body).await;
    created(&first);
    assert!(!first.headers.contains_key("idempotency-replayed"));

    app.db
        .batch_execute("update tickets set status = 'closed', priority = 'low'")
        .await
        .unwrap();
    let replica = app.replica(&[]).await;
    for app in [&app, &replica] {
        let repeat = post(app, "key", &body).await;
        assert_eq!((repeat.status, &repeat.text), (first.status, &first.text));
        assert_eq!(repeat.headers["idempotency-replayed"], "true");
    }
    assert_eq!(app.count("tickets").await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_this_function_alone() {
    let app = TestApp::start().await;
    let sent = crate::support::app::ticket(&json!({})).to_string();
    let request = app
        .http
        .post(format!("{}/functions/v1/telegram-webhook", app.url))
        .bearer_auth(ANON_KEY)
        .header("Idempotency-Key", "key")
        .body(sent);
    assert_eq!(request.send().await.unwrap().status(), 200);
    created(&post(&app, "key", &ticket(&json!({}))).await);
    assert_eq!(app.count("tickets").await, 2);
}

#[tokio::test]
async fn another_body_is_422_and_what_is_no_key_400() {
    let app = TestApp::start().await;
    created(&post(&app, "key", &ticket(&json!({}))).await);
    let error = |text: &str| json!({"success": false, "error": text});
    assert_eq!(
        post(&app, "key", &ticket(&json!({"issue": "Leak"})))
            .await
            .function_pair(),
        (
            422,
            error("Idempotency-Key was already used with a different request body")
        )
    );
    assert_eq!(
        post(&app, "two words", &ticket(&json!({}))).await.function_pair(),
        (
            400,
            error("Invalid Idempotency-Key: send one value of 1 to 255 visible ASCII characters")
        )
    );
}

#[tokio::test]
async fn a_call_that_fails_leaves_the_key_free() {
    let app = TestApp::start().await;
    app.db
        .batch_execute("alter table tickets add constraint indoors check (location <> 'Roof')")
        .await
        .unwrap();
    for changes in [
        json!({"chatId": "5"}),
        json!({"location": "Roof"}),
        json!({"priority": "urgent"}),
    ] {
        assert_eq!(post(&app, "key", &ticket(&changes)).await.status, 400);
        assert_eq!(app.count("dropwire.idempotency_keys").await, 0, "{changes}");
    }
    created(&post(&app, "key", &ticket(&json!({}))).await);
}

#[tokio::test]
async fn calls_at_once_under_one_key_make_one_ticket() {
    let app = TestApp::start().await;
    let replica = app.replica(&[]).await;
    let body = ticket(&json!({}));
    let calls = (0..20).map(|n| post(if n % 2 == 0 { &app } else { &replica }, "key", &body));
    let answers = join_all(calls).await;
    let text = &answers[0].text;
    assert!(answers.iter().all(|answer| answer.text == *text));
    let fresh = answers
        .iter()
        .filter(|answer| !answer.headers.contains_key("idempotency-replayed"));
    assert_eq!(fresh.count(), 1);
    assert_eq!(app.count("tickets").await, 1);
}
