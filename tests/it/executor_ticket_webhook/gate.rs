//! Who may send updates, and what is one: contract 1.6.

use dropwire::dev::{ANON_KEY, SERVICE_ROLE_KEY};
use reqwest::Method;
use serde_json::{Value, json};

use super::{CHAT, FUNCTION, HELP, SECRET_HEADER, Stage, message, sent};
use crate::support::TestApp;
use crate::support::app::read;
use crate::support::telegram::{BOT_TOKEN, WEBHOOK_SECRET};

fn error(text: &str) -> Value {
    json!({"success": false, "error": text})
}

#[tokio::test]
async fn only_who_shows_telegrams_secret_is_heard() {
    let stage = Stage::set().await;
    let update = json!({"update_id": 1, "message": message(CHAT, "hello")});
    let longer = format!("{WEBHOOK_SECRET}x");
    for secret in [
        None,
        Some(""),
        Some("a-secret_of-Telegram"),
        Some(&*longer),
        Some("*"),
    ] {
        let answer = stage.raw(update.to_string(), secret).await;
        assert_eq!(answer.function_pair(), (401, error("Unauthorized")), "{secret:?}");
    }
    // Nor does the project's key, or the right secret beside a wrong one.
    for key in [ANON_KEY, SERVICE_ROLE_KEY] {
        let answer = stage.app.call(FUNCTION, key, &update).await;
        assert_eq!(answer.function_pair(), (401, error("Unauthorized")));
    }
    let twice = stage
        .app
        .http
        .post(format!("{}/functions/v1/{FUNCTION}", stage.app.url))
        .header(SECRET_HEADER, WEBHOOK_SECRET)
        .header(SECRET_HEADER, "another")
        .body(update.to_string());
    assert_eq!(read(twice.send().await.unwrap()).await.status, 401);
    assert_eq!(stage.app.count("dropwire.telegram_updates").await, 0);
    assert_eq!(stage.telegram.take(), []);

    assert_eq!(stage.post(&update).await.status, 200);
    assert_eq!(stage.telegram.take(), [sent(CHAT, HELP)]);
}

#[tokio::test]
async fn without_a_configured_secret_everybody_is_heard_as_in_the_original() {
    let stage = Stage::with(&[("DROPWIRE_TELEGRAM_WEBHOOK_SECRET", "")]).await;
    let update = json!({"update_id": 1, "message": message(CHAT, "hello")});
    for secret in [None, Some("any")] {
        assert_eq!(stage.raw(update.to_string(), secret).await.status, 200);
    }
}

#[tokio::test]
async fn an_object_with_none_of_the_three_is_no_update() {
    let stage = Stage::set().await;
    let invalid = (400, error("Invalid Telegram update payload."));
    for body in [
        "{}",
        r#"{"update_id":null,"message":null}"#,
        r#"{"text":"/mytickets"}"#,
        "null",
        "[]",
        "7",
        "",
        "{",
        "\"x\"",
    ] {
        let answer = stage.raw(body, Some(WEBHOOK_SECRET)).await;
        assert_eq!(answer.function_pair(), invalid, "{body:?}");
    }
}

#[tokio::test]
async fn what_is_not_for_the_bot_is_taken_and_ignored() {
    let stage = Stage::set().await;
    for update in [
        json!({}),
        json!({"message": {}}),
        json!({"message": 5}),
        json!({"message": {"chat": {"id": CHAT}}}),
        json!({"message": {"chat": {"id": CHAT}, "photo": []}}),
        json!({"message": {"chat": {"id": CHAT}, "text": " \n"}}),
        json!({"message": {"chat": {"id": CHAT}, "text": 7}}),
        json!({"message": {"chat": {"id": "x"}, "text": "hello"}}),
        json!({"message": {"text": "hello"}}),
        json!({"edited_message": message(CHAT, "hello")}),
        json!({"channel_post": message(CHAT, "hello")}),
        json!({"callback_query": {}}),
        json!({"callback_query": {"id": 7, "from": {"id": CHAT}}}),
        json!({"my_chat_member": {"chat": {"id": CHAT}}}),
    ] {
        assert_eq!(stage.update(update.clone()).await, [], "{update}");
    }
    // Also without a number, and with one that is none.
    for update in [json!({"message": {}}), json!({"update_id": "x"})] {
        let answer = stage.post(&update).await;
        assert_eq!(answer.function_pair(), (200, json!({"success": true})));
    }
}

#[tokio::test]
async fn without_a_token_the_function_says_so_even_to_what_is_no_update() {
    let app = TestApp::start().await;
    for body in ["{}", r#"{"update_id":1}"#, "no JSON"] {
        let answer = app.send(FUNCTION, Method::POST, None, body).await;
        assert_eq!(
            answer.function_pair(),
            (500, error("TELEGRAM_BOT_TOKEN environment variable is not set."))
        );
    }
}

#[tokio::test]
async fn other_methods_are_405_and_a_preflight_is_200() {
    let stage = Stage::set().await;
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = stage.app.send(FUNCTION, method, None, "{}").await;
        assert_eq!(answer.function_pair(), (405, error("Method not allowed")));
        assert_eq!(answer.headers["allow"], "POST, OPTIONS");
    }
    let preflight = stage.app.send(FUNCTION, Method::OPTIONS, None, "").await;
    assert_eq!((preflight.status.as_u16(), &*preflight.text), (200, "ok"));
}

#[tokio::test]
async fn a_body_over_5_megabytes_is_413() {
    let stage = Stage::set().await;
    let long = message(CHAT, &"x".repeat(5 * 1024 * 1024));
    let answer = stage.post(&json!({"update_id": 1, "message": long})).await;
    assert_eq!(answer.function_pair(), (413, error("Payload too large")));
}

#[tokio::test]
async fn a_bot_of_another_token_is_unknown_to_telegram_and_updates_are_still_taken() {
    let stage = Stage::with(&[("TELEGRAM_BOT_TOKEN", "987:another")]).await;
    assert!(!BOT_TOKEN.starts_with("987:"));
    assert_eq!(stage.say(CHAT, "hello").await, []);
    let taken = "dropwire.telegram_updates where bot_id = '987'";
    assert_eq!(stage.app.count(taken).await, 1);
}
