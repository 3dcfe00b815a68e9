//! `user-onboarding-callback`: the transitions, what is written, what late and repeated callbacks do.

use serde_json::json;

use super::*;

/// What a callback that is taken answers.
fn taken(status: &str) -> (u16, Value) {
    let body = json!({"status": status, "user_id": NINA, "tenant_id": TENANT, "correlation_id": GIVEN});
    (200, body)
}

/// A callback's notification: nobody's doing.
fn told(kind: &str, level: &str, title: &str, message: &str, more: Value) -> Value {
    let metadata = merged(
        json!({"correlation_id": GIVEN, "tenant_name": "ACME Facilities"}),
        more,
    );
    notification(None, kind, level, title, message, metadata)
}

fn connected(chat_id: &str, telegram_user_id: &str) -> Value {
    told(
        "onboarding.completed",
        "success",
        "Telegram connected for nina@example.com",
        "The user is now active on the Telegram bot.",
        json!({"chat_id": chat_id, "telegram_user_id": telegram_user_id}),
    )
}

/// Sends one callback to an invited Nina; compares the answer, her row and the notification.
async fn assert_step(stage: &Stage, fields: Value, status: &str, changed: Value, notification: Value) {
    stage
        .sql(&format!(
            "delete from tenant_notifications;
             update users set bot_onboarding_status = 'invited', bot_onboarding_error = 'old',
               bot_onboarding_retry_count = 3, bot_deep_link = null where id = '{NINA}'"
        ))
        .await;
    let before = stage.nina().await;
    let answer = stage.callback(fields.clone()).await;
    assert_eq!(answer.pair(), taken(status), "{fields}");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(changes(&before, &stage.nina().await), changed, "{fields}");
    assert_eq!(stage.notifications().await, [notification], "{fields}");
}

#[tokio::test]
async fn an_invitation_that_was_sent() {
    let stage = Stage::set().await;
    stage.invite().await;
    let link = format!("https://t.me/fms_bot?start={GIVEN}");
    let expected = |deep_link: Value| {
        told(
            "onboarding.invite_sent",
            "info",
            "Invite email sent to nina@example.com",
            "Email with Telegram deep link sent successfully.",
            json!({ "deep_link": deep_link }),
        )
    };
    let fields = json!({"status": "invite_sent", "deep_link": link});
    assert_step(
        &stage,
        fields,
        "invited",
        json!({"bot_deep_link": link}),
        expected(json!(link)),
    )
    .await;
    // No status, and any that nobody knows, means the same.
    for fields in [
        json!({}),
        json!({"status": null}),
        json!({"status": "sent"}),
        json!({"status": 7}),
    ] {
        assert_step(&stage, fields, "invited", json!({}), expected(Value::Null)).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn a_user_who_is_waited_for() {
    let stage = Stage::set().await;
    stage.invite().await;
    let expected = told(
        "onboarding.awaiting_chat",
        "info",
        "Waiting for nina@example.com to start the bot",
        "Invite email delivered. Waiting for the user to click \"Start\" in Telegram.",
        json!({}),
    );
    let fields = json!({"status": "awaiting_chat", "deep_link": "https://t.me/x"});
    let changed = json!({"bot_onboarding_status": "awaiting_chat", "bot_deep_link": "https://t.me/x"});
    assert_step(&stage, fields, "awaiting_chat", changed, expected).await;
    stage.end().await;
}

#[tokio::test]
async fn a_failure() {
    let stage = Stage::set().await;
    stage.invite().await;
    let expected = |message: &str, error: Value| {
        told(
            "onboarding.error",
            "error",
            "Onboarding failed for nina@example.com",
            message,
            json!({ "error": error }),
        )
    };
    let changed = |error: &str, count: i32| json!({"bot_onboarding_status": "failed", "bot_onboarding_error": error, "bot_onboarding_retry_count": count});
    let unknown = expected(
        "Automation reported a failure. Please review the Make logs.",
        Value::Null,
    );
    assert_step(
        &stage,
        json!({"status": "failed"}),
        "failed",
        changed("Unknown onboarding error", 4),
        unknown,
    )
    .await;
    assert_step(
        &stage,
        json!({"status": "failed", "error": "no mail server", "retry_count": 7}),
        "failed",
        changed("no mail server", 7),
        expected("no mail server", json!("no mail server")),
    )
    .await;
    stage.end().await;
}

#[tokio::test]
async fn a_timeout_counts_no_retry() {
    let stage = Stage::set().await;
    stage.invite().await;
    for (error, stored) in [
        (Value::Null, "Onboarding timed out"),
        (json!("after 48 h"), "after 48 h"),
    ] {
        let expected = told(
            "onboarding.timeout",
            "warning",
            "Onboarding timeout for nina@example.com",
            "User did not start the bot in time. Consider resending the invite.",
            json!({ "error": error }),
        );
        let changed = json!({"bot_onboarding_status": "failed", "bot_onboarding_error": stored});
        let fields = json!({"status": "timeout", "error": error, "retry_count": 9});
        assert_step(&stage, fields, "failed", changed, expected).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn a_cancellation() {
    let stage = Stage::set().await;
    stage.invite().await;
    let expected = told(
        "onboarding.cancelled",
        "info",
        "Onboarding cancelled for nina@example.com",
        "Automation cancelled the onboarding request.",
        json!({"error": "duplicate"}),
    );
    let fields = json!({"status": "cancelled", "error": "duplicate"});
    assert_step(
        &stage,
        fields,
        "cancelled",
        json!({"bot_onboarding_status": "cancelled"}),
        expected,
    )
    .await;
    stage.end().await;
}

#[tokio::test]
async fn a_user_who_started_the_bot() {
    let stage = Stage::set().await;
    stage.invite().await;
    stage
        .sql(&format!(
            "update users set bot_onboarding_error = 'old' where id = '{NINA}'"
        ))
        .await;
    let before = stage.nina().await;
    let answer = stage
        .callback(json!({
            "status": "completed", "chat_id": "4242", "telegram_user_id": 77, "joined_at": "2025-11-13T10:30:00.500Z"
        }))
        .await;
    assert_eq!(answer.pair(), taken("completed"));
    assert_eq!(
        changes(&before, &stage.nina().await),
        json!({
            "bot_onboarding_status": "completed", "telegram_chat_id": 4242, "telegram_user_id": "77",
            "bot_onboarding_completed_at": "2025-11-13T10:30:00.5+00:00", "is_active": true,
            "bot_onboarding_error": null
        })
    );
    assert_eq!(stage.notifications().await, [connected("4242", "77")]);
    stage.end().await;
}

#[tokio::test]
async fn a_chat_alone_completes_from_any_state_and_any_status_and_keeps_what_is_on_file() {
    let stage = Stage::set().await;
    stage.invite().await;
    for (state, fields) in [
        ("not_required", json!({"chat_id": 4242})),
        ("pending", json!({"chat_id": "4242", "status": "invite_sent"})),
        ("invited", json!({"chat_id": "4242", "telegram_user_id": ""})),
        (
            "awaiting_chat",
            json!({"chat_id": 4242.0, "status": "awaiting_chat"}),
        ),
        ("failed", json!({"chat_id": " 4242", "status": "failed"})),
        ("cancelled", json!({"chat_id": "4242", "status": "cancelled"})),
    ] {
        stage
            .sql(&format!(
                "delete from tenant_notifications;
                 update users set bot_onboarding_status = '{state}', telegram_chat_id = null, is_active = false,
                   bot_onboarding_completed_at = null where id = '{NINA}'"
            ))
            .await;
        let before = stage.nina().await;
        assert_eq!(stage.callback(fields).await.pair(), taken("completed"), "{state}");
        let mut changed = changes(&before, &stage.nina().await);
        take_recent(&mut changed, "bot_onboarding_completed_at");
        assert_eq!(
            changed,
            json!({"bot_onboarding_status": "completed", "telegram_chat_id": 4242, "is_active": true}),
            "{state}"
        );
        assert_eq!(
            stage.notifications().await,
            [connected("4242", "nina_bot")],
            "{state}"
        );
    }
    stage.end().await;
}

#[tokio::test]
async fn zero_is_a_chat_id_when_the_status_says_completed() {
    let stage = Stage::set().await;
    stage.invite().await;
    assert_eq!(
        stage.callback(json!({"chat_id": 0})).await.pair(),
        taken("invited")
    );
    let answer = stage.callback(json!({"chat_id": 0, "status": "completed"})).await;
    assert_eq!(answer.pair(), taken("completed"));
    assert_eq!(stage.nina().await["telegram_chat_id"], 0);
    stage.end().await;
}

/// O1: the original completes here, and then asks for a chat id.
#[tokio::test]
async fn a_chat_on_file_does_not_turn_other_callbacks_into_completions() {
    let stage = Stage::set().await;
    stage.invite().await;
    stage
        .sql(&format!(
            "update users set telegram_chat_id = 7 where id = '{NINA}'"
        ))
        .await;
    for (status, state) in [
        ("invite_sent", "invited"),
        ("awaiting_chat", "awaiting_chat"),
        ("failed", "failed"),
        ("timeout", "failed"),
        ("cancelled", "cancelled"),
    ] {
        assert_eq!(
            stage.callback(json!({ "status": status })).await.pair(),
            taken(state)
        );
        assert_eq!(stage.status().await, state);
    }
    let answer = stage.callback(json!({"status": "completed"})).await;
    assert_eq!(
        answer.pair(),
        (400, error("chat_id is required to mark onboarding completed"))
    );
    stage.end().await;
}

/// O2: the original notifies each time.
#[tokio::test]
async fn a_repeated_completion_changes_nothing_and_tells_nobody() {
    let stage = Stage::set().await;
    stage.invite().await;
    let body = json!({"status": "completed", "chat_id": "4242", "joined_at": "2025-11-13T10:30:00Z"});
    assert_eq!(stage.callback(body.clone()).await.pair(), taken("completed"));
    let before = stage.nina().await;
    for repeat in [
        body,
        json!({"status": "completed", "chat_id": 4242, "joined_at": "2025-11-14T10:30:00Z"}),
        json!({"chat_id": 4242}),
    ] {
        assert_eq!(stage.callback(repeat).await.pair(), taken("completed"));
    }
    assert_eq!(changes(&before, &stage.nina().await), json!({}));
    assert_eq!(stage.notifications().await, [connected("4242", "nina_bot")]);
    stage.end().await;
}

/// O3: the original leaves `completed`.
#[tokio::test]
async fn a_late_callback_leaves_a_completed_user_completed() {
    let stage = Stage::set().await;
    stage.invite().await;
    // With and without a chat on file: the original differs here.
    for chat in ["7", "null"] {
        stage
            .sql(&format!(
                "update users set bot_onboarding_status = 'completed', telegram_chat_id = {chat}, bot_deep_link = null
                  where id = '{NINA}'"
            ))
            .await;
        for status in [
            "invite_sent",
            "awaiting_chat",
            "failed",
            "timeout",
            "cancelled",
            "",
        ] {
            let before = stage.nina().await;
            let answer = stage.callback(json!({"status": status, "error": "late"})).await;
            assert_eq!(answer.pair(), taken("completed"), "{status}");
            stage.assert_untouched(&before, status).await;
        }
        // The mail's link is worth keeping, whenever it comes.
        let before = stage.nina().await;
        let answer = stage
            .callback(json!({"status": "invite_sent", "deep_link": "https://t.me/x"}))
            .await;
        assert_eq!(answer.pair(), taken("completed"));
        assert_eq!(
            changes(&before, &stage.nina().await),
            json!({"bot_deep_link": "https://t.me/x"})
        );
        assert_eq!(stage.notifications().await, Vec::<Value>::new());
    }
    stage.end().await;
}

#[tokio::test]
async fn a_completion_from_another_chat_moves_the_user_there_and_says_so() {
    let stage = Stage::set().await;
    stage.invite().await;
    stage
        .callback(json!({"chat_id": "1", "telegram_user_id": "1"}))
        .await;
    stage
        .sql(&format!("update users set is_active = false where id = '{NINA}'"))
        .await;
    let before = stage.nina().await;
    let answer = stage
        .callback(json!({"chat_id": "2", "telegram_user_id": "2"}))
        .await;
    assert_eq!(answer.pair(), taken("completed"));
    let mut changed = changes(&before, &stage.nina().await);
    take_recent(&mut changed, "bot_onboarding_completed_at");
    assert_eq!(
        changed,
        json!({"telegram_chat_id": 2, "telegram_user_id": "2"}),
        "whom an admin has deactivated since does not come back"
    );
    assert_eq!(
        stage.notifications().await,
        [connected("1", "1"), connected("2", "2")]
    );
    stage.end().await;
}

#[tokio::test]
async fn the_correlation_id_is_echoed_as_it_was_sent() {
    let stage = Stage::set().await;
    stage.invite().await;
    let plain: String = GIVEN.split('-').collect();
    for written in [GIVEN.to_uppercase(), plain] {
        let answer = stage.callback(json!({"correlation_id": written})).await;
        assert_eq!(answer.json()["correlation_id"], written.as_str());
        let told = stage.notifications().await.pop().unwrap();
        assert_eq!(told["metadata"]["correlation_id"], written.as_str());
    }
    stage.end().await;
}

#[tokio::test]
async fn an_error_that_is_no_short_text_still_gets_through() {
    let stage = Stage::set().await;
    stage.invite().await;
    for (sent, stored) in [
        (json!({"code": 7}), r#"{"code":7}"#.to_owned()),
        (json!("a\0b"), "a\u{fffd}b".to_owned()),
        (json!("é".repeat(100_000)), "é".repeat(500)),
    ] {
        let answer = stage.callback(json!({"status": "failed", "error": sent})).await;
        assert_eq!(answer.pair(), taken("failed"));
        assert_eq!(stage.nina().await["bot_onboarding_error"], stored.as_str());
    }
    stage.end().await;
}

#[tokio::test]
async fn a_retry_count_at_its_limit_stops_neither_callbacks_nor_requests() {
    let stage = Stage::set().await;
    stage.invite().await;
    let last = json!({"status": "failed", "retry_count": i32::MAX});
    assert_eq!(stage.callback(last).await.pair(), taken("failed"));
    assert_eq!(
        stage.callback(json!({"status": "failed"})).await.pair(),
        taken("failed")
    );
    assert_eq!(stage.request(json!({})).await.status, 202);
    assert_eq!(stage.nina().await["bot_onboarding_retry_count"], i32::MAX);
    stage.end().await;
}

#[tokio::test]
async fn a_notification_that_fails_stops_nothing() {
    let stage = Stage::set().await;
    stage.invite().await;
    stage
        .sql("alter table tenant_notifications add check (type <> 'onboarding.completed')")
        .await;
    assert_eq!(
        stage.callback(json!({"chat_id": "7"})).await.pair(),
        taken("completed")
    );
    assert_eq!(stage.status().await, "completed");
    assert_eq!(stage.notifications().await, Vec::<Value>::new());
    stage.end().await;
}
