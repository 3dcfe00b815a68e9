//! `user-onboarding-request`: the transitions, what Make receives, what is written.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::support::sink::Reply;

#[tokio::test]
async fn a_request_makes_the_user_pending_calls_make_and_invites() {
    let stage = Stage::set().await;
    let before = stage.nina().await;
    let answer = stage
        .request(json!({"correlation_id": GIVEN, "reason": "manual_retry"}))
        .await;

    assert_eq!(
        answer.pair(),
        (202, json!({"status": "queued", "correlation_id": GIVEN}))
    );
    assert_eq!(answer.headers["content-type"], "application/json");

    let make = stage.make.received();
    assert_eq!(make.len(), 1);
    assert_eq!(
        (make[0].method.as_str(), make[0].path.as_str()),
        ("POST", "/hook")
    );
    assert_eq!(make[0].headers["content-type"], "application/json");
    let requested_at = make[0].body["requested_at"].as_str().unwrap();
    assert_eq!(requested_at.len(), "2025-11-13T10:30:00.000Z".len());
    assert!(requested_at.ends_with('Z'), "{requested_at}");
    let payload = [
        r#"{"event_type":"tenant.user.onboarding_requested","#,
        &format!(r#""correlation_id":"{GIVEN}","requested_at":"{requested_at}","#),
        &format!(r#""tenant":{{"id":"{TENANT}","name":"ACME Facilities"}},"#),
        &format!(
            r#""user":{{"id":"{NINA}","email":"nina@example.com","full_name":"Nina New","role":"executor","#
        ),
        r#""employee_id":"E-7","bot_username":"nina_bot"},"#,
        &format!(r#""initiated_by":{{"id":"{ADMIN}","email":"ada@example.com","name":"Ada Admin"}}}}"#),
    ];
    assert_eq!(make[0].text, payload.concat());

    let mut changed = changes(&before, &stage.nina().await);
    take_recent(&mut changed, "bot_onboarding_started_at");
    assert_eq!(
        changed,
        json!({"bot_onboarding_status": "invited", "bot_correlation_id": GIVEN}),
        "the first request is no retry"
    );
    assert_eq!(
        stage.notifications().await,
        [queued(GIVEN, "manual_retry"), sent(GIVEN, 200, "Accepted")]
    );
    stage.end().await;
}

#[tokio::test]
async fn what_a_user_lacks_is_null_in_the_payload() {
    let stage = Stage::set().await;
    stage
        .sql("update users set full_name = null, emp_code = null, telegram_user_id = null, role = 'complainant'")
        .await;
    stage
        .sql("update users set role = 'tenant_admin' where email = 'ada@example.com'")
        .await;
    stage.request(json!({})).await;
    let make = stage.make.received();
    assert_eq!(
        make[0].body["user"].to_string(),
        json!({
            "id": NINA, "email": "nina@example.com", "full_name": null, "role": "complainant", "employee_id": null,
            "bot_username": null
        })
        .to_string()
    );
    assert_eq!(
        make[0].body["initiated_by"],
        json!({"id": ADMIN, "email": "ada@example.com", "name": null})
    );
    stage.end().await;
}

#[tokio::test]
async fn every_success_of_make_counts_and_so_does_see_other() {
    let stage = Stage::set().await;
    for (reply, status, body) in [
        (Reply::Status(202, String::new()), 202, ""),
        (Reply::Status(200, "a\0b".to_owned()), 200, "a\u{fffd}b"),
        (Reply::Redirect(303, stage.make.url.clone()), 303, ""),
    ] {
        stage.make.reply([reply]);
        stage.sql("delete from tenant_notifications").await;
        let answer = stage.request(json!({"correlation_id": GIVEN})).await;
        assert_eq!(
            answer.pair(),
            (202, json!({"status": "queued", "correlation_id": GIVEN}))
        );
        assert_eq!(
            stage.notifications().await,
            [queued(GIVEN, "user_created"), sent(GIVEN, status, body)]
        );
    }
    assert_eq!(stage.make.received().len(), 3, "redirects are not followed");
    stage.end().await;
}

#[tokio::test]
async fn a_connected_user_is_left_alone() {
    let stage = Stage::set().await;
    let before = stage.row(JOHN).await;
    let answer = stage.ask(&json!({"user_id": JOHN})).await;
    assert_eq!(answer.pair(), (200, json!({"status": "already_completed"})));
    assert_eq!(changes(&before, &stage.row(JOHN).await), json!({}));
    assert_eq!(stage.notifications().await, Vec::<Value>::new());
    assert!(stage.make.received().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_chat_or_the_status_alone_is_not_connected() {
    let stage = Stage::set().await;
    for half in [
        "update users set bot_onboarding_status = 'completed', telegram_chat_id = null",
        "update users set bot_onboarding_status = 'failed', telegram_chat_id = 7",
    ] {
        stage.sql(half).await;
        assert_eq!(stage.request(json!({})).await.status, 202, "{half}");
        assert_eq!(stage.status().await, "invited");
    }
    stage.end().await;
}

#[tokio::test]
async fn each_further_request_replaces_the_link_and_counts_as_a_retry() {
    let stage = Stage::set().await;
    stage.invite().await;
    for count in 1..=2 {
        let answer = stage.request(json!({})).await;
        let nina = stage.nina().await;
        assert_eq!(nina["bot_correlation_id"], answer.json()["correlation_id"]);
        assert_eq!(nina["bot_onboarding_retry_count"], count);
    }
    let late = stage.callback(json!({"chat_id": "7"})).await;
    assert_eq!(late.pair(), (404, error("No user found for correlation id")));
    assert_eq!(stage.status().await, "invited");
    stage.end().await;
}

#[tokio::test]
async fn a_given_correlation_id_is_sent_on_as_it_was_written() {
    let stage = Stage::set().await;
    let plain: String = GIVEN.split('-').collect();
    for written in [GIVEN.to_uppercase(), plain] {
        let answer = stage.request(json!({"correlation_id": written})).await;
        assert_eq!(
            answer.pair(),
            (202, json!({"status": "queued", "correlation_id": written}))
        );
        assert_eq!(
            stage.make.received().last().unwrap().body["correlation_id"],
            written.as_str()
        );
        assert_eq!(stage.nina().await["bot_correlation_id"], GIVEN);
    }
    stage.end().await;
}

#[tokio::test]
async fn without_makes_url_the_user_fails_even_a_connected_one() {
    let stage = Stage::with(&[("MAKE_USER_ONBOARDING_WEBHOOK_URL", "")]).await;
    let text = "Make webhook URL is not configured. Contact support.";
    let before = stage.nina().await;
    for count in 1..=2 {
        let answer = stage.request(json!({"correlation_id": GIVEN})).await;
        assert_eq!(answer.pair(), (500, error(text)));
        assert_eq!(
            changes(&before, &stage.nina().await),
            json!({
                "bot_onboarding_status": "failed", "bot_onboarding_error": text, "bot_onboarding_retry_count": count
            })
        );
    }
    let metadata = json!({
        "correlation_id": GIVEN, "email": "nina@example.com", "role": "executor", "employee_id": "E-7",
        "reason": "missing_webhook_url"
    });
    let expected = notification(
        Some(ADMIN),
        "onboarding.error",
        "error",
        "Onboarding failed for nina@example.com",
        text,
        metadata,
    );
    assert_eq!(stage.notifications().await, [expected.clone(), expected]);

    assert_eq!(stage.ask(&json!({"user_id": JOHN})).await.status, 500);
    assert_eq!(stage.row(JOHN).await["bot_onboarding_status"], "failed");
    stage.end().await;
}

/// What a failed call to Make leaves behind: the user's columns and the two notifications.
async fn assert_failed(stage: &Stage, before: &Map<String, Value>, error: &str, message: &str, more: Value) {
    let mut changed = changes(before, &stage.nina().await);
    take_recent(&mut changed, "bot_onboarding_started_at");
    assert_eq!(
        changed,
        json!({
            "bot_onboarding_status": "failed", "bot_correlation_id": GIVEN, "bot_onboarding_error": error,
            "bot_onboarding_retry_count": 1
        })
    );
    let failed = notification(
        Some(ADMIN),
        "onboarding.error",
        "error",
        "Onboarding failed for nina@example.com",
        message,
        request_metadata(GIVEN, more),
    );
    assert_eq!(
        stage.notifications().await,
        [queued(GIVEN, "user_created"), failed]
    );
}

const UNREACHABLE: &str = "Unable to reach automation webhook";

fn undispatched() -> (u16, Value) {
    let body = json!({"error": "Failed to dispatch onboarding webhook", "correlation_id": GIVEN});
    (502, body)
}

#[tokio::test]
async fn a_make_that_cannot_be_reached_fails_the_user_and_a_retry_mends_it() {
    // Taken, so that no other test listens there, and nobody does.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = format!("http://{}", socket.local_addr().unwrap());
    let stage = Stage::with(&[("MAKE_USER_ONBOARDING_WEBHOOK_URL", &gone)]).await;
    let before = stage.nina().await;
    let answer = stage.request(json!({"correlation_id": GIVEN})).await;
    assert_eq!(answer.pair(), undispatched());
    let why = stage.notifications().await[1]["metadata"]["error"].clone();
    assert!(
        why.as_str()
            .unwrap()
            .starts_with(&format!("connecting to {gone} failed")),
        "{why}"
    );
    assert_failed(
        &stage,
        &before,
        UNREACHABLE,
        "Unable to reach automation webhook. Retry later.",
        json!({"error": why}),
    )
    .await;

    let healthy = Sink::start().await;
    let other = stage
        .app
        .replica(&[("MAKE_USER_ONBOARDING_WEBHOOK_URL", &healthy.url)])
        .await;
    let answer = other
        .call(
            REQUEST,
            &token(ADMIN),
            &json!({"user_id": NINA, "correlation_id": GIVEN}),
        )
        .await;
    assert_eq!(answer.status, 202);
    let nina = stage.nina().await;
    assert_eq!(nina["bot_onboarding_status"], "invited");
    assert_eq!(nina["bot_onboarding_error"], Value::Null);
    assert_eq!(nina["bot_onboarding_retry_count"], 2);
    other.stop().await;
    stage.end().await;
}

#[tokio::test]
async fn a_make_that_takes_too_long_is_unreachable() {
    let stage = Stage::with(&[("DROPWIRE_ONBOARDING_TIMEOUT_MS", "200")]).await;
    let before = stage.nina().await;
    stage.make.reply([Reply::Slow(Duration::from_secs(2))]);
    let answer = stage.request(json!({"correlation_id": GIVEN})).await;
    assert_eq!(answer.pair(), undispatched());
    let origin = stage.make.url.trim_end_matches("/hook");
    let why = format!("{origin} did not answer within 200 ms: check that it is up and answers quickly");
    assert_failed(
        &stage,
        &before,
        UNREACHABLE,
        "Unable to reach automation webhook. Retry later.",
        json!({"error": why}),
    )
    .await;
    stage.end().await;
}

#[tokio::test]
async fn a_make_in_a_private_network_is_not_called() {
    let stage = Stage::with(&[("DROPWIRE_WEBHOOK_ALLOW_PRIVATE", "false")]).await;
    let answer = stage.request(json!({"correlation_id": GIVEN})).await;
    assert_eq!(answer.pair(), undispatched());
    assert_eq!(stage.status().await, "failed");
    assert!(stage.make.received().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_make_that_says_no_fails_the_user() {
    for (reply, status, body) in [
        (
            Reply::Status(400, "Queue is full.".to_owned()),
            400,
            "Queue is full.",
        ),
        (Reply::Status(500, String::new()), 500, ""),
        (Reply::Redirect(302, "https://example.com/".to_owned()), 302, ""),
    ] {
        let stage = Stage::set().await;
        let before = stage.nina().await;
        stage.make.reply([reply]);
        let answer = stage.request(json!({"correlation_id": GIVEN})).await;
        let text = format!("Automation webhook returned status {status}");
        let expected = json!({
            "error": text, "correlation_id": GIVEN, "status_code": status, "response_body": body
        });
        assert_eq!(answer.pair(), (502, expected));
        assert_failed(
            &stage,
            &before,
            &text,
            &format!("{text}."),
            json!({"status": status, "response_body": body}),
        )
        .await;
        assert_eq!(stage.make.received().len(), 1);
        stage.end().await;
    }
}

#[tokio::test]
async fn a_long_answer_of_makes_is_passed_on_and_an_excerpt_kept() {
    let stage = Stage::set().await;
    let long = "é".repeat(2_000);
    stage.make.reply([Reply::Status(500, long.clone())]);
    let answer = stage.request(json!({"correlation_id": GIVEN})).await;
    assert_eq!(answer.json()["response_body"], long.as_str());
    let kept = stage.notifications().await[1]["metadata"]["response_body"].clone();
    assert_eq!(kept, "é".repeat(500));
    stage.end().await;
}

#[tokio::test]
async fn a_notification_that_fails_stops_nothing() {
    let stage = Stage::set().await;
    stage
        .sql("alter table tenant_notifications add check (type <> 'onboarding.queued')")
        .await;
    assert_eq!(stage.request(json!({"correlation_id": GIVEN})).await.status, 202);
    assert_eq!(stage.status().await, "invited");
    assert_eq!(stage.notifications().await, [sent(GIVEN, 200, "Accepted")]);
    stage.end().await;
}
