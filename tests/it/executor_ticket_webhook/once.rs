//! An update that Telegram sends again acts once, on whichever replica it arrives.

use futures_util::future::join_all;
use serde_json::json;

use super::{CHAT, FUNCTION, HELP, SECRET_HEADER, Stage, message, sent, tap};
use crate::support::TestApp;
use crate::support::app::{Answer, TENANT, read};
use crate::support::telegram::WEBHOOK_SECRET;

async fn post_to(app: &TestApp, update: &serde_json::Value) -> Answer {
    let request = app
        .http
        .post(format!("{}/functions/v1/{FUNCTION}", app.url))
        .header(SECRET_HEADER, WEBHOOK_SECRET)
        .body(update.to_string());
    read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_repeat_is_taken_and_does_nothing_whatever_it_asks_for() {
    let stage = Stage::set().await;
    let link = "0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b";
    stage
        .sql(&format!(
            "insert into users (tenant_id, email, full_name, role, bot_correlation_id)
             values ('{TENANT}', 'nina@example.com', 'Nina New', 'executor', '{link}')"
        ))
        .await;
    let ticket = stage.ticket(json!({})).await;
    for (id, fields) in [
        (1, json!({"message": message(CHAT, "/start")})),
        (2, json!({"message": message(700, &format!("/start {link}"))})),
        (3, json!({"message": message(700, "/start nonsense")})),
        (4, json!({"message": message(CHAT, "/mytickets")})),
        (5, json!({"message": message(CHAT, "hello")})),
        (
            6,
            json!({"callback_query": tap(CHAT, &format!("status_in_progress|{ticket}"))}),
        ),
        (
            7,
            json!({"callback_query": tap(CHAT, &format!("update|{ticket}"))}),
        ),
        (8, json!({"message": message(CHAT, "Done")})),
        (9, json!({"callback_query": tap(CHAT, "noop|x")})),
    ] {
        let mut update = json!({"update_id": id});
        update
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        assert_eq!(stage.post(&update).await.status, 200);
        assert!(!stage.telegram.take().is_empty(), "{update}");
        let rows = stage.app.count("ticket_activities").await;
        for _ in 0..2 {
            let repeat = stage.post(&update).await;
            assert_eq!(repeat.function_pair(), (200, json!({"success": true})));
        }
        assert_eq!(stage.telegram.take(), [], "{update}");
        assert_eq!(stage.app.count("ticket_activities").await, rows);
    }
    assert_eq!(stage.app.count("ticket_activities").await, 2);
    assert_eq!(stage.app.count("tenant_notifications").await, 1);
}

#[tokio::test]
async fn repeats_at_once_on_two_replicas_act_once() {
    let stage = Stage::set().await;
    let replica = stage.app.replica(&stage.telegram.variables()).await;
    let ticket = stage.ticket(json!({})).await;
    stage.prompted(ticket).await;
    stage.telegram.take();
    let update = json!({"update_id": 9, "message": message(CHAT, "Done")});
    let calls = (0..20).map(|n| post_to(if n % 2 == 0 { &stage.app } else { &replica }, &update));
    assert!(join_all(calls).await.iter().all(|answer| answer.status == 200));
    assert_eq!(stage.app.count("ticket_activities").await, 1);
    assert_eq!(
        stage.telegram.take(),
        [sent(CHAT, "Update captured for ticket TKT-1000. Thank you!")]
    );
}

#[tokio::test]
async fn an_update_without_a_number_has_no_repeats() {
    let stage = Stage::set().await;
    for _ in 0..2 {
        stage.post(&json!({"message": message(CHAT, "hello")})).await;
    }
    assert_eq!(stage.telegram.take(), [sent(CHAT, HELP), sent(CHAT, HELP)]);
    assert_eq!(stage.app.count("dropwire.telegram_updates").await, 0);
}

#[tokio::test]
async fn each_bot_counts_for_itself() {
    let stage = Stage::set().await;
    stage
        .sql("insert into dropwire.telegram_updates (bot_id, update_id) values ('987', 9)")
        .await;
    let update = json!({"update_id": 9, "message": message(CHAT, "hello")});
    stage.post(&update).await;
    assert_eq!(stage.telegram.take(), [sent(CHAT, HELP)]);
}

#[tokio::test]
async fn updates_are_remembered_for_48_hours() {
    let stage = Stage::set().await;
    stage
        .sql(
            "insert into dropwire.telegram_updates (bot_id, update_id, taken_at)
              select '123456789', n, now() - interval '49 hours' from generate_series(1, 12) n
              union all select '123456789', 13, now() - interval '47 hours'",
        )
        .await;
    for left in [4, 3, 4] {
        stage.say(CHAT, "hello").await;
        assert_eq!(stage.app.count("dropwire.telegram_updates").await, left);
    }
    let old = json!({"update_id": 13, "message": message(CHAT, "hello")});
    stage.telegram.take();
    stage.post(&old).await;
    assert_eq!(stage.telegram.take(), []);
}
