//! Updates on tickets: the prompt, the session that waits for an answer, and what ends it.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{CARD, CHAT, HELP, INAS_CHAT, Stage, answered, message, sent, tap};
use crate::support::app::TENANT;
use crate::support::sql::{INA, MIKE, MIKE_PROFILE};
use crate::support::telegram::Call;

const EXPIRED: &str = "This update session has expired. Please tap \"Update\" on the ticket again.";
const GONE: &str = "Unable to find this ticket. It may have been closed.";

fn captured(number: &str) -> [Call; 1] {
    [sent(
        CHAT,
        &format!("Update captured for ticket {number}. Thank you!"),
    )]
}

/// Mike replies to a message.
async fn reply(stage: &Stage, to: i64, text: &str) -> Vec<Call> {
    let mut message = message(CHAT, text);
    message["reply_to_message"] = json!({"message_id": to, "chat": {"id": CHAT}});
    stage.update(json!({ "message": message })).await
}

/// The states of a ticket's sessions, oldest first.
async fn states(stage: &Stage, ticket: Uuid) -> Value {
    let query = format!(
        "select coalesce(jsonb_agg(state order by created_at), '[]') as all from executor_ticket_sessions
          where ticket_id = '{ticket}'"
    );
    stage.row(&query).await["all"].clone()
}

#[tokio::test]
async fn update_asks_and_waits_for_half_an_hour() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    let mut prompt = sent(CHAT, "Please reply with your update for ticket TKT-1000.");
    prompt.body["reply_markup"] = json!({"force_reply": true});
    assert_eq!(
        stage.tap("update", ticket).await,
        [
            prompt,
            answered("Update session started. Please reply with your update.")
        ]
    );
    let prompt_id = stage.telegram.newest_message();
    let session = stage
        .row("select ticket_id, executor_profile_id, executor_user_id, telegram_chat_id, telegram_message_id,
                     prompt_message_id, session_type, state, metadata,
                     round(extract(epoch from expires_at - created_at) / 60) as minutes from executor_ticket_sessions")
        .await;
    assert_eq!(
        session,
        json!({
            "ticket_id": ticket, "executor_profile_id": MIKE_PROFILE, "executor_user_id": MIKE,
            "telegram_chat_id": CHAT.to_string(), "telegram_message_id": CARD, "prompt_message_id": prompt_id,
            "session_type": "update", "state": "awaiting_input", "minutes": 30,
            "metadata": {"callback_id": "4382bfdwdsb323b2d9", "prompt_message_id": prompt_id}
        })
    );
    assert_eq!(stage.app.count("ticket_activities").await, 0);
}

#[tokio::test]
async fn the_next_text_is_the_update_and_the_one_after_it_is_not() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    stage.prompted(ticket).await;
    let text = "Valve <replaced> & tested 🔧";
    assert_eq!(stage.say(CHAT, &format!(" {text}\n")).await, captured("TKT-1000"));
    let session = stage
        .app
        .text("select id::text from executor_ticket_sessions")
        .await;
    let activity = stage
        .row("select to_jsonb(a) - '{id,created_at}'::text[] as a from ticket_activities a")
        .await;
    assert_eq!(
        activity["a"],
        json!({
            "ticket_id": ticket, "tenant_id": TENANT, "activity_type": "executor_update", "comment": text,
            "created_by": MIKE, "metadata": {"source": "telegram_bot", "session_id": session}
        })
    );
    assert_eq!(states(&stage, ticket).await, json!(["completed"]));
    assert_eq!(
        stage
            .app
            .count("ticket_webhook_queue where activity_id is not null")
            .await,
        1
    );

    assert_eq!(stage.say(CHAT, "And another thing").await, [sent(CHAT, HELP)]);
    assert_eq!(stage.app.count("ticket_activities").await, 1);
}

#[tokio::test]
async fn a_reply_has_to_be_one_to_the_prompt() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    let prompt = stage.prompted(ticket).await;
    assert_eq!(reply(&stage, CARD, "To the card").await, [sent(CHAT, HELP)]);
    assert_eq!(states(&stage, ticket).await, json!(["awaiting_input"]));
    assert_eq!(reply(&stage, prompt, "To the prompt").await, captured("TKT-1000"));
}

#[tokio::test]
async fn of_several_prompts_the_newest_counts_unless_the_text_replies_to_another() {
    let stage = Stage::set().await;
    let (first, second, third) = (
        stage.ticket(json!({})).await,
        stage.ticket(json!({})).await,
        stage.ticket(json!({})).await,
    );
    let to_first = stage.prompted(first).await;
    stage.prompted(second).await;
    stage.prompted(third).await;
    assert_eq!(stage.say(CHAT, "newest").await, captured("TKT-1002"));
    assert_eq!(reply(&stage, to_first, "oldest").await, captured("TKT-1000"));
    assert_eq!(stage.say(CHAT, "left").await, captured("TKT-1001"));
    for ticket in [first, second, third] {
        assert_eq!(states(&stage, ticket).await, json!(["completed"]));
    }
}

#[tokio::test]
async fn a_command_is_a_command_while_the_bot_waits() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    let prompt = stage.prompted(ticket).await;
    assert_eq!(stage.say(CHAT, "/mytickets").await.len(), 2);
    assert_eq!(stage.say(CHAT, "/start").await.len(), 1);
    assert_eq!(stage.say(CHAT, "/help").await, [sent(CHAT, HELP)]);
    assert_eq!(reply(&stage, prompt, "/help").await, [sent(CHAT, HELP)]);
    assert_eq!(stage.app.count("ticket_activities").await, 0);
    assert_eq!(stage.say(CHAT, "Done").await, captured("TKT-1000"));
}

#[tokio::test]
async fn tapping_again_asks_again_and_the_later_prompt_counts() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    let first = stage.prompted(ticket).await;
    let second = stage.prompted(ticket).await;
    assert_eq!(
        states(&stage, ticket).await,
        json!(["cancelled", "awaiting_input"])
    );
    assert_eq!(reply(&stage, first, "Done").await, [sent(CHAT, HELP)]);
    assert_eq!(reply(&stage, second, "Done").await, captured("TKT-1000"));
}

#[tokio::test]
async fn taps_at_once_leave_one_session_open() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    let updates: Vec<_> = (0..10)
        .map(|_| json!({"update_id": stage.next_update(), "callback_query": tap(CHAT, &format!("update|{ticket}"))}))
        .collect();
    futures_util::future::join_all(updates.iter().map(|update| stage.post(update))).await;
    let started = answered("Update session started. Please reply with your update.");
    let calls = stage.telegram.take();
    assert_eq!(calls.iter().filter(|call| **call == started).count(), 10);
    let open = "executor_ticket_sessions where state = 'awaiting_input'";
    assert_eq!(stage.app.count(open).await, 1);
    assert_eq!(stage.app.count("executor_ticket_sessions").await, 10);
}

#[tokio::test]
async fn taps_and_texts_at_once_do_not_deadlock() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    stage.prompted(ticket).await;
    let updates: Vec<_> = (0..40)
        .map(|n| {
            let id = stage.next_update();
            if n % 2 == 0 {
                json!({"update_id": id, "callback_query": tap(CHAT, &format!("update|{ticket}"))})
            } else {
                json!({"update_id": id, "message": message(CHAT, "Done")})
            }
        })
        .collect();
    let answers = futures_util::future::join_all(updates.iter().map(|update| stage.post(update))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let calls = stage.telegram.take();
    let told = |call: &Call| calls.iter().filter(|other| *other == call).count();
    let started = answered("Update session started. Please reply with your update.");
    assert_eq!(told(&started), 20, "{calls:?}");
    // Every text got an answer, and none was told that it was captured when it was not.
    let captured = told(&captured("TKT-1000")[0]);
    assert_eq!(captured + told(&sent(CHAT, HELP)), 20, "{calls:?}");
    let updates = stage.app.count("ticket_activities").await;
    assert_eq!(updates, i64::try_from(captured).unwrap());
}

#[tokio::test]
async fn an_expired_session_says_so_once() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    stage.prompted(ticket).await;
    stage
        .sql("update executor_ticket_sessions set expires_at = now() - interval '1 second'")
        .await;
    assert_eq!(stage.say(CHAT, "Done").await, [sent(CHAT, EXPIRED)]);
    assert_eq!(states(&stage, ticket).await, json!(["expired"]));
    assert_eq!(stage.say(CHAT, "Done").await, [sent(CHAT, HELP)]);
    assert_eq!(stage.app.count("ticket_activities").await, 0);
}

#[tokio::test]
async fn a_ticket_that_went_to_somebody_else_takes_no_update() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    stage.prompted(ticket).await;
    stage
        .sql(&format!(
            "update tickets set executor_id = '{INA}', executor_profile_id = null"
        ))
        .await;
    assert_eq!(stage.say(CHAT, "Done").await, [sent(CHAT, GONE)]);
    assert_eq!(states(&stage, ticket).await, json!(["cancelled"]));
    let updates = "ticket_activities where activity_type = 'executor_update'";
    assert_eq!(stage.app.count(updates).await, 0);
}

#[tokio::test]
async fn a_deleted_ticket_takes_its_session_along() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    stage.prompted(ticket).await;
    stage.sql("delete from tickets").await;
    assert_eq!(stage.say(CHAT, "Done").await, [sent(CHAT, HELP)]);
    assert_eq!(stage.tap("update", ticket).await, [answered("Ticket not found.")]);
}

#[tokio::test]
async fn a_prompt_that_cannot_be_sent_starts_no_session_and_ends_the_one_before() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    stage.prompted(ticket).await;
    let blocked = json!({"ok": false, "description": "Forbidden: bot was blocked by the user"});
    stage.telegram.refuse("sendMessage", 403, blocked);
    let calls = stage.tap("update", ticket).await;
    assert_eq!(calls.last(), Some(&answered("Unable to start update session.")));
    assert_eq!(states(&stage, ticket).await, json!(["cancelled"]));
}

#[tokio::test]
async fn a_session_that_cannot_be_stored_is_told() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    let gate = stage.telegram.hold("sendMessage");
    let update = json!({
        "update_id": stage.next_update(), "callback_query": tap(CHAT, &format!("update|{ticket}"))
    });
    let answer = async {
        stage.telegram.wait_for(1).await;
        // Gone while the executor was being asked.
        stage.sql("delete from tickets").await;
        gate.open();
    };
    let (answer, ()) = tokio::join!(stage.post(&update), answer);
    assert_eq!(answer.status, 200);
    assert_eq!(
        stage.telegram.take(),
        [answered("Could not start update session.")]
    );
}

#[tokio::test]
async fn a_session_belongs_to_its_chat() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    stage.prompted(ticket).await;
    assert_eq!(stage.say(INAS_CHAT, "Mine?").await, [sent(INAS_CHAT, HELP)]);
    assert_eq!(states(&stage, ticket).await, json!(["awaiting_input"]));
}
