//! Requests and callbacks that cross each other, callers that go away, processes that end half-way.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::mpsc;

use super::held::HeldMake;
use super::*;

/// A stage whose Make is held.
async fn held() -> (Stage, HeldMake) {
    let make = HeldMake::start().await;
    let stage = Stage::with(&[("MAKE_USER_ONBOARDING_WEBHOOK_URL", &make.url)]).await;
    (stage, make)
}

/// Waits until Nina has a status.
async fn wait_for_status(stage: &Stage, status: &str) {
    let settled = async {
        while stage.status().await != status {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(20), settled).await;
    settled.expect("Nina's status does not change");
}

async fn kinds(stage: &Stage) -> Vec<Value> {
    let notifications = stage.notifications().await;
    notifications.iter().map(|n| n["type"].clone()).collect()
}

#[tokio::test]
async fn while_make_works_the_user_is_pending() {
    let (stage, make) = held().await;
    stage.sql("update users set bot_onboarding_error = 'old'").await;
    let before = stage.nina().await;
    let (answer, ()) = tokio::join!(stage.request(json!({"correlation_id": GIVEN})), async {
        let call = make.call().await;
        let mut changed = changes(&before, &stage.nina().await);
        take_recent(&mut changed, "bot_onboarding_started_at");
        assert_eq!(
            changed,
            json!({"bot_correlation_id": GIVEN, "bot_onboarding_error": null}),
            "tenant-create-user has made her pending already"
        );
        assert_eq!(stage.status().await, "pending");
        assert_eq!(stage.notifications().await, [queued(GIVEN, "user_created")]);
        call.answer(200).await;
    });
    assert_eq!(answer.status, 202);
    assert_eq!(stage.status().await, "invited");
    stage.end().await;
}

/// What a process leaves behind that ended before it called Make, some seconds ago.
fn left_behind(seconds: u32) -> String {
    format!(
        "update users set bot_onboarding_status = 'pending', bot_correlation_id = '{GIVEN}',
           bot_onboarding_started_at = now() - interval '{seconds} s' where id = '{NINA}'"
    )
}

#[tokio::test]
async fn a_process_that_ended_before_it_called_make_is_mended_by_the_next_request() {
    let stage = Stage::set().await;
    stage.sql(&left_behind(0)).await;
    let answer = stage.request(json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let nina = stage.nina().await;
    assert_eq!(nina["bot_onboarding_status"], "invited");
    assert_eq!(nina["bot_correlation_id"], answer.json()["correlation_id"]);
    assert_eq!(nina["bot_onboarding_retry_count"], 1);
    assert_eq!(stage.make.received().len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn the_same_request_goes_through_again_once_the_first_cannot_be_under_way_any_more() {
    let stage = Stage::set().await;
    stage.sql(&left_behind(0)).await;
    let answer = stage.request(json!({"correlation_id": GIVEN})).await;
    let text = "Onboarding with this correlation_id is already under way";
    assert_eq!(answer.pair(), (409, error(text)));
    assert!(stage.make.received().is_empty());

    stage.sql(&left_behind(3600)).await;
    assert_eq!(stage.request(json!({"correlation_id": GIVEN})).await.status, 202);
    assert_eq!(stage.status().await, "invited");
    stage.end().await;
}

#[tokio::test]
async fn of_two_requests_at_once_the_last_wins() {
    let (stage, make) = held().await;
    let (first, ()) = tokio::join!(stage.request(json!({})), async {
        let first_call = make.call().await;
        let (second, ()) = tokio::join!(stage.request(json!({"correlation_id": GIVEN})), async {
            let call = make.call().await;
            assert_ne!(call.body["correlation_id"], first_call.body["correlation_id"]);
            call.answer(500).await;
        });
        assert_eq!(second.status, 502);
        // The first one's success comes after the second one's failure.
        first_call.answer(200).await;
    });
    assert_eq!(first.status, 202);
    let nina = stage.nina().await;
    assert_eq!(nina["bot_onboarding_status"], "failed");
    assert_eq!(nina["bot_correlation_id"], GIVEN);
    assert_eq!(
        kinds(&stage).await,
        ["onboarding.queued", "onboarding.queued", "onboarding.error"]
    );
    stage.end().await;
}

#[tokio::test]
async fn one_correlation_id_is_sent_once_however_many_ask_at_once() {
    let (stage, make) = held().await;
    let replica = stage
        .app
        .replica(&[("MAKE_USER_ONBOARDING_WEBHOOK_URL", &make.url)])
        .await;
    let body = json!({"user_id": NINA, "correlation_id": GIVEN});
    let user = token(ADMIN);
    let (answered, mut answers) = mpsc::unbounded_channel();
    let requests = (0..8).map(|n| {
        let app = if n % 2 == 0 { &stage.app } else { &replica };
        let (answered, body, user) = (answered.clone(), &body, &user);
        async move { answered.send(app.call(REQUEST, user, body).await.status).unwrap() }
    });
    let (_, last) = tokio::join!(join_all(requests), async {
        let call = make.call().await;
        for _ in 0..7 {
            assert_eq!(answers.recv().await.unwrap(), 409);
        }
        call.answer(200).await;
        answers.recv().await.unwrap()
    });
    assert_eq!(last, 202);
    assert_eq!(
        stage.notifications().await,
        [queued(GIVEN, "user_created"), sent(GIVEN, 200, "")]
    );
    replica.stop().await;
    stage.end().await;
}

#[tokio::test]
async fn a_callback_that_is_faster_than_makes_answer_counts() {
    for (make_status, status) in [(200, 202), (500, 502)] {
        let (stage, make) = held().await;
        let (answer, ()) = tokio::join!(stage.request(json!({"correlation_id": GIVEN})), async {
            let call = make.call().await;
            let answer = stage.callback(json!({"status": "awaiting_chat"})).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            call.answer(make_status).await;
        });
        assert_eq!(answer.status, status);
        assert_eq!(stage.status().await, "awaiting_chat");
        assert_eq!(
            kinds(&stage).await,
            ["onboarding.queued", "onboarding.awaiting_chat"]
        );
        stage.end().await;
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_no_half_of_it() {
    let (stage, make) = held().await;
    let call = {
        let request = stage.request(json!({"correlation_id": GIVEN}));
        tokio::select! {
            answer = request => panic!("answered before Make: {answer:?}"),
            call = make.call() => call,
        }
    };
    call.answer(200).await;
    wait_for_status(&stage, "invited").await;
    assert_eq!(
        stage.notifications().await,
        [queued(GIVEN, "user_created"), sent(GIVEN, 200, "")]
    );
    stage.end().await;
}

#[tokio::test]
async fn an_outcome_that_cannot_be_written_down_does_not_change_the_answer() {
    let stage = Stage::set().await;
    stage
        .sql("alter table users add constraint never check (bot_onboarding_status <> 'invited')")
        .await;
    assert_eq!(stage.request(json!({"correlation_id": GIVEN})).await.status, 202);
    assert_eq!(stage.status().await, "pending");

    stage.sql("alter table users drop constraint never").await;
    let answer = stage.callback(json!({"status": "invite_sent"})).await;
    assert_eq!(
        (answer.status.as_u16(), stage.status().await.as_str()),
        (200, "invited")
    );
    stage.end().await;
}

#[tokio::test]
async fn a_completion_that_comes_many_times_at_once_notifies_once() {
    let stage = Stage::set().await;
    stage.invite().await;
    let callbacks = (0..8).map(|_| stage.callback(json!({"status": "completed", "chat_id": "7"})));
    for answer in join_all(callbacks).await {
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["status"]),
            (200, &json!("completed"))
        );
    }
    assert_eq!(stage.notifications().await.len(), 1);
    stage.end().await;
}
