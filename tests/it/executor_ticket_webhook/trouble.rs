//! A database that is away, a Telegram that is away, slow or says no, errors of ours, and what the log shows.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{CHAT, HELP, Stage, message, sent, tap};
use crate::support::app::TENANT;

#[tokio::test]
async fn where_the_database_is_away_telegram_is_to_send_the_update_again() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    let updates = [
        json!({"update_id": 1, "callback_query": tap(CHAT, &format!("status_resolved|{ticket}"))}),
        json!({"update_id": 2, "message": message(CHAT, "hello")}),
        json!({"update_id": 3, "message": message(CHAT, "/mytickets")}),
        json!({"update_id": 4, "message": message(CHAT, "/start")}),
        json!({"update_id": 5, "message": message(CHAT, "/start 0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b")}),
    ];
    stage.app.database.shut_out(true).await;
    for update in &updates {
        let answer = stage.post(update).await;
        assert_eq!(
            answer.function_pair(),
            (
                503,
                json!({"success": false, "error": "The database is unavailable, try again shortly"})
            )
        );
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert_eq!(stage.telegram.take(), []);

    stage.app.database.shut_out(false).await;
    for update in &updates {
        assert_eq!(stage.post(update).await.status, 200);
        assert!(!stage.telegram.take().is_empty(), "{update}");
    }
}

#[tokio::test]
async fn an_error_of_ours_is_answered_with_success_and_undone() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    stage.prompted(ticket).await;
    stage.telegram.take();
    stage
        .sql(
            "alter table ticket_activities add constraint silence check (activity_type <> 'executor_update')",
        )
        .await;
    assert_eq!(stage.say(CHAT, "Done").await, []);
    let open = "executor_ticket_sessions where state = 'awaiting_input'";
    assert_eq!(stage.app.count(open).await, 1);

    stage
        .sql("alter table ticket_activities drop constraint silence")
        .await;
    let captured = "Update captured for ticket TKT-1000. Thank you!";
    assert_eq!(stage.say(CHAT, "Done").await, [sent(CHAT, captured)]);
}

#[tokio::test]
async fn a_telegram_that_says_no_changes_nothing_about_the_ticket() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    for method in ["editMessageText", "editMessageReplyMarkup", "answerCallbackQuery"] {
        let refusal = json!({"ok": false, "description": "Bad Request: message can't be edited"});
        stage.telegram.refuse(method, 400, refusal);
    }
    let calls = stage.tap("status_in_progress", ticket).await;
    assert_eq!(calls.len(), 3, "each is tried: {calls:?}");
    assert_eq!(stage.app.count("tickets where status = 'in-progress'").await, 1);

    stage
        .telegram
        .refuse("sendMessage", 502, json!("no JSON of the Bot API's"));
    assert_eq!(stage.say(CHAT, "/mytickets").await.len(), 2, "the card follows");
}

#[tokio::test]
async fn a_telegram_that_asks_to_slow_down_is_called_again() {
    let stage = Stage::set().await;
    let slow = json!({"ok": false, "description": "Too Many Requests", "parameters": {"retry_after": 1}});
    stage.telegram.refuse("sendMessage", 429, slow);
    let began = Instant::now();
    assert_eq!(
        stage.say(CHAT, "hello").await,
        [sent(CHAT, HELP), sent(CHAT, HELP)]
    );
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(stage.telegram.newest_message(), 1001, "one went out");
}

#[tokio::test]
async fn a_telegram_that_is_away_or_silent_costs_no_more_than_its_timeout() {
    let away = Stage::with(&[("DROPWIRE_TELEGRAM_API_URL", "http://127.0.0.1:1")]).await;
    assert_eq!(away.say(CHAT, "hello").await, []);

    let stage = Stage::with(&[("DROPWIRE_TELEGRAM_TIMEOUT_MS", "300")]).await;
    let gate = stage.telegram.hold("sendMessage");
    let began = Instant::now();
    assert_eq!(stage.say(CHAT, "hello").await, [sent(CHAT, HELP)]);
    assert!(began.elapsed() >= Duration::from_millis(300));
    gate.open();
}

#[tokio::test]
async fn a_private_bot_api_is_the_operators_alone_and_opens_nothing_to_tenants() {
    // The double is on 127.0.0.1 over http: named by the operator, it is called.
    let stage = Stage::with(&[("DROPWIRE_WEBHOOK_ALLOW_PRIVATE", "false")]).await;
    assert_eq!(stage.say(CHAT, "hello").await, [sent(CHAT, HELP)]);

    // A tenant's webhook at the same address is not.
    stage
        .app
        .set_webhook(&format!("{}/botx/hook", stage.telegram.url))
        .await;
    stage.ticket(json!({})).await;
    assert_eq!(
        stage.app.drain().await,
        json!({"processed": 1, "delivered": 0, "failed": 1})
    );
    assert_eq!(
        stage.app.count(&format!("tenants where id = '{TENANT}'")).await,
        1
    );
}
