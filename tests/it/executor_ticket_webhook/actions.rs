//! Taps on the buttons of a card: every answer, and the change of a ticket's status.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{CARD, CHAT, INAS_CHAT, Stage, answered, keyboard, sent, tap};
use crate::support::Sink;
use crate::support::app::TENANT;
use crate::support::sql::{INA, MIKE, MIKE_PROFILE};
use crate::support::telegram::Call;

fn call(method: &str, body: Value) -> Call {
    Call {
        method: method.to_owned(),
        body,
    }
}

/// All activities, oldest first, without ids and times.
async fn activities(stage: &Stage) -> Value {
    let query = "select coalesce(jsonb_agg(to_jsonb(a) - '{id,ticket_id,created_at}'::text[] order by q.seq), '[]') as all
                   from ticket_activities a join ticket_webhook_queue q on q.activity_id = a.id";
    stage.row(query).await["all"].clone()
}

fn status_change(from: &str, to: &str, comment: &str) -> Value {
    json!({
        "tenant_id": TENANT, "activity_type": "status_change", "created_by": MIKE, "comment": comment,
        "metadata": {"source": "telegram_bot", "previous_status": from, "new_status": to}
    })
}

/// The only session, without ids and times.
async fn session(stage: &Stage) -> Value {
    stage
        .row("select executor_profile_id, executor_user_id, telegram_chat_id, telegram_message_id, prompt_message_id,
                     session_type, state, expires_at, metadata from executor_ticket_sessions")
        .await
}

#[tokio::test]
async fn in_progress_changes_the_ticket_and_redraws_its_card() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    let text = "Ticket TKT-1000\nLeak\nStatus: In-progress\nPriority: high\nLocation: Hall";
    assert_eq!(
        stage.tap("status_in_progress", ticket).await,
        [
            call(
                "editMessageText",
                json!({"chat_id": CHAT, "message_id": CARD, "text": text, "parse_mode": "HTML"})
            ),
            call(
                "editMessageReplyMarkup",
                json!({"chat_id": CHAT, "message_id": CARD, "reply_markup": keyboard(ticket, "in-progress")})
            ),
            answered("Ticket marked In Progress."),
        ]
    );
    assert_eq!(
        stage.row("select status, resolved_at from tickets").await,
        json!({"status": "in-progress", "resolved_at": null})
    );
    let comment = "Status changed from Open to In-progress by Mike Johnson.";
    assert_eq!(
        activities(&stage).await,
        json!([status_change("open", "in-progress", comment)])
    );
    assert_eq!(stage.app.count("ticket_activities").await, 1);
    assert_eq!(
        session(&stage).await,
        json!({
            "executor_profile_id": MIKE_PROFILE, "executor_user_id": MIKE, "telegram_chat_id": CHAT.to_string(),
            "telegram_message_id": CARD, "prompt_message_id": null, "session_type": "status_change",
            "state": "completed", "expires_at": null,
            "metadata": {"action": "status_in_progress", "callback_id": "4382bfdwdsb323b2d9"}
        })
    );
}

#[tokio::test]
async fn resolved_removes_the_card_and_sets_resolved_at() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({"status": "in-progress"})).await;
    assert_eq!(
        stage.tap("status_resolved", ticket).await,
        [
            call("deleteMessage", json!({"chat_id": CHAT, "message_id": CARD})),
            answered("Ticket resolved."),
            sent(CHAT, "Ticket TKT-1000 marked as Resolved."),
        ]
    );
    let row = stage
        .row("select status, now() - resolved_at < interval '1 min' as just_now from tickets")
        .await;
    assert_eq!(row, json!({"status": "resolved", "just_now": true}));
    let comment = "Status changed from In-progress to Resolved by Mike Johnson.";
    assert_eq!(
        activities(&stage).await,
        json!([status_change("in-progress", "resolved", comment)])
    );
}

#[tokio::test]
async fn an_executor_without_a_name_is_executor() {
    let stage = Stage::set().await;
    stage
        .sql("update users set full_name = null; update executor_profiles set full_name = null")
        .await;
    let ticket = stage.ticket(json!({})).await;
    stage.tap("status_resolved", ticket).await;
    let comment = "Status changed from Open to Resolved by executor.";
    assert_eq!(activities(&stage).await[0]["comment"], comment);
}

#[tokio::test]
async fn make_hears_of_a_change_once_and_with_its_author() {
    let stage = Stage::set().await;
    let make = Sink::start().await;
    stage.app.set_webhook(&make.url).await;
    let ticket = stage.ticket(json!({})).await;
    stage.tap("status_resolved", ticket).await;
    stage.app.drain_all().await;
    let received = make.received();
    assert_eq!(received.len(), 2, "the creation's and the change's");
    assert_eq!(received[1].body["status"], "resolved");
    let author = json!({"id": MIKE, "name": "Mike Johnson"});
    assert_eq!(received[1].body["latest_activity"]["created_by"], author);
}

#[tokio::test]
async fn every_answer_to_a_tap_that_changes_nothing() {
    let stage = Stage::set().await;
    let mine = stage.ticket(json!({})).await;
    let progressing = stage.ticket(json!({"status": "in-progress"})).await;
    let inas = stage
        .ticket(json!({"executor_id": INA, "executor_profile_id": null}))
        .await;
    let nobodys = stage
        .ticket(json!({"executor_id": null, "executor_profile_id": null}))
        .await;
    let none = Uuid::from_u128(7);
    for (data, answer) in [
        (String::new(), "Action not recognized."),
        ("update".to_owned(), "Action not recognized."),
        ("update|".to_owned(), "Action not recognized."),
        (format!("|{mine}"), "Action not recognized."),
        (format!("noop|{mine}"), "Already updated."),
        (format!("noop|{none}"), "Already updated."),
        (format!("status_resolved|{none}"), "Ticket not found."),
        ("status_resolved|7".to_owned(), "Ticket not found."),
        (
            format!("status_resolved|{inas}"),
            "You are not assigned to this ticket.",
        ),
        (
            format!("update|{nobodys}"),
            "You are not assigned to this ticket.",
        ),
        (format!("status_closed|{mine}"), "Unknown action."),
        (format!("delete|{mine}"), "Unknown action."),
        (
            format!("status_in_progress|{progressing}"),
            "Ticket already In-progress.",
        ),
    ] {
        let calls = stage.update(json!({"callback_query": tap(CHAT, &data)})).await;
        assert_eq!(calls, [answered(answer)], "{data}");
    }
    let mut without_data = tap(CHAT, "");
    without_data.as_object_mut().unwrap().remove("data");
    assert_eq!(
        stage.update(json!({ "callback_query": without_data })).await,
        [answered("Action not recognized.")]
    );
    let resolved = stage.ticket(json!({"status": "resolved"})).await;
    assert_eq!(
        stage.tap("status_resolved", resolved).await,
        [answered("Ticket already Resolved.")]
    );

    // Who is no executor hears that first.
    for chat in [5, 123_456_789] {
        for data in ["", &format!("noop|{mine}"), &format!("status_resolved|{mine}")] {
            let calls = stage.update(json!({"callback_query": tap(chat, data)})).await;
            assert_eq!(calls, [answered("Executor account not found.")]);
        }
    }
    assert_eq!(stage.app.count("ticket_activities").await, 0);
    assert_eq!(stage.app.count("executor_ticket_sessions").await, 0);
}

#[tokio::test]
async fn a_ticket_of_another_tenant_is_nobodys_here() {
    let stage = Stage::set().await;
    stage
        .sql("insert into tenants (id, name, email) values ('d0000000-0000-4000-8000-000000000002', 'Other', 'o@x.example')")
        .await;
    let foreign = json!({"tenant_id": "d0000000-0000-4000-8000-000000000002", "executor_profile_id": null});
    let foreign = stage.ticket(foreign).await;
    assert_eq!(
        stage.tap("status_resolved", foreign).await,
        [answered("You are not assigned to this ticket.")]
    );
}

#[tokio::test]
async fn a_change_that_the_database_refuses_is_told_and_undone() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    stage
        .sql("alter table tickets add constraint unresolved check (status <> 'resolved')")
        .await;
    assert_eq!(
        stage.tap("status_resolved", ticket).await,
        [answered("Could not update ticket status.")]
    );
    assert_eq!(stage.app.count("tickets where status = 'open'").await, 1);
    assert_eq!(stage.app.count("ticket_activities").await, 0);
    assert_eq!(stage.app.count("executor_ticket_sessions").await, 0);
}

#[tokio::test]
async fn a_tap_without_its_message_changes_the_ticket_all_the_same() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    let mut bare = tap(CHAT, &format!("status_in_progress|{ticket}"));
    bare.as_object_mut().unwrap().remove("message");
    assert_eq!(
        stage.update(json!({ "callback_query": bare })).await,
        [answered("Ticket marked In Progress.")]
    );
    assert_eq!(stage.app.count("tickets where status = 'in-progress'").await, 1);
}

#[tokio::test]
async fn in_two_tenants_a_change_is_made_in_the_name_of_the_one_that_is_assigned() {
    let stage = Stage::set().await;
    let other = "d0000000-0000-4000-8000-000000000002";
    let (older, newer) = (MIKE, "d0000000-0000-4000-8000-0000000000b3");
    stage
        .sql(&format!(
            "insert into tenants (id, name, email) values ('{other}', 'Other', 'o@example.com');
             insert into users (id, tenant_id, email, full_name, role, telegram_chat_id, created_at)
             values ('{newer}', '{other}', 'm@other.example', 'Mike J.', 'executor', {CHAT}, now() + interval '1 h')"
        ))
        .await;
    for (user, tenant, profile) in [(older, TENANT, json!(MIKE_PROFILE)), (newer, other, Value::Null)] {
        let ticket = json!({"tenant_id": tenant, "executor_id": user, "executor_profile_id": profile});
        let ticket = stage.ticket(ticket).await;
        stage.tap("status_resolved", ticket).await;
        let author = format!("ticket_activities where ticket_id = '{ticket}' and created_by = '{user}'");
        assert_eq!(stage.app.count(&author).await, 1, "{user}");
    }
}

#[tokio::test]
async fn taps_at_once_change_a_ticket_once() {
    let stage = Stage::set().await;
    let ticket = stage.ticket(json!({})).await;
    stage
        .sql(&format!(
            "update users set telegram_chat_id = {CHAT} where telegram_chat_id = {INAS_CHAT}"
        ))
        .await;
    let updates: Vec<_> = (0..12)
        .map(|_| json!({"update_id": stage.next_update(), "callback_query": tap(CHAT, &format!("status_resolved|{ticket}"))}))
        .collect();
    let answers = futures_util::future::join_all(updates.iter().map(|update| stage.post(update))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(stage.app.count("ticket_activities").await, 1);
    let calls = stage.telegram.take();
    let told = |text: &str| calls.iter().filter(|call| **call == answered(text)).count();
    assert_eq!(
        (told("Ticket resolved."), told("Ticket already Resolved.")),
        (1, 11)
    );
}
