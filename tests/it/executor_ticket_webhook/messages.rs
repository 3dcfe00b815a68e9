//! What the bot says to messages: /start, /mytickets, strangers, and everything else.

use serde_json::{Value, json};

use super::{CHAT, HELP, INAS_CHAT, Stage, keyboard, message, sent};
use crate::support::app::TENANT;
use crate::support::sql::{INA, MIKE, MIKE_PROFILE};
use crate::support::telegram::Call;

const LINK: &str = "0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b";
const NOT_CONNECTED: &str =
    "⚠️ We could not complete your onboarding. Please request a fresh invite from your administrator.";

fn stranger(chat_id: i64) -> Call {
    let text = format!(
        "We could not find your executor account (chat id: {chat_id}). If you haven’t onboarded yet, please use the \
         invite link sent to your email."
    );
    sent(chat_id, &text)
}

/// The texts of the cards that a list shows, once the head is as it should be.
fn cards(calls: &[Call], count: usize) -> Vec<String> {
    let head = format!("You have {count} ticket(s) awaiting attention. Select an action below:");
    assert_eq!(calls[0], sent(CHAT, &head));
    let text = |call: &Call| call.body["text"].as_str().unwrap().to_owned();
    calls[1..].iter().map(text).collect()
}

/// Nina, invited under [`LINK`].
async fn invite_nina(stage: &Stage) {
    stage
        .sql(&format!(
            "insert into users (id, tenant_id, email, full_name, role, is_active, bot_onboarding_status,
                                bot_correlation_id)
             values ('d0000000-0000-4000-8000-0000000000a9', '{TENANT}', 'nina@example.com', 'Nina New', 'executor',
                     false, 'invited', '{LINK}')"
        ))
        .await;
}

#[tokio::test]
async fn start_with_a_links_parameter_completes_the_onboarding() {
    let stage = Stage::set().await;
    invite_nina(&stage).await;
    let mut from_nina = message(700, &format!("/start {LINK}"));
    from_nina["from"] = json!({"id": 701});
    let connected =
        "✅ You are now connected to the executor bot. Send /mytickets to view your assigned tickets.";
    assert_eq!(
        stage.update(json!({ "message": from_nina })).await,
        [sent(700, connected)]
    );

    let nina = stage
        .row("select is_active, bot_onboarding_status as status, telegram_chat_id::text as chat, telegram_user_id,
                     bot_onboarding_completed_at at time zone 'UTC' as at from users where full_name = 'Nina New'")
        .await;
    let expected = json!({
        "is_active": true, "status": "completed", "chat": "700", "telegram_user_id": "701", "at": "2025-11-13T10:30:00"
    });
    assert_eq!(nina, expected);
    let told = "tenant_notifications where type = 'onboarding.completed'";
    assert_eq!(stage.app.count(told).await, 1);
    assert_eq!(
        stage.say(700, "/mytickets").await,
        [sent(
            700,
            "No open tickets assigned to you right now. Great work!"
        )]
    );
}

#[tokio::test]
async fn start_without_a_sender_takes_the_chat_for_the_user() {
    let stage = Stage::set().await;
    invite_nina(&stage).await;
    let from_nobody = json!({"chat": {"id": 700}, "text": format!("/start {LINK}")});
    assert_eq!(stage.update(json!({ "message": from_nobody })).await.len(), 1);
    let user = "select telegram_user_id from users where full_name = 'Nina New'";
    assert_eq!(stage.app.text(user).await.as_deref(), Some("700"));
}

#[tokio::test]
async fn a_link_that_leads_nowhere_is_refused_in_the_chat() {
    let stage = Stage::set().await;
    for parameter in [LINK, "abc", "'; drop table users", &"x".repeat(64)] {
        assert_eq!(
            stage.say(700, &format!("/start {parameter}")).await,
            [sent(700, NOT_CONNECTED)]
        );
    }
    // The user's tenant is gone, so the callback fails.
    invite_nina(&stage).await;
    stage
        .sql("update users set tenant_id = null where full_name = 'Nina New'")
        .await;
    assert_eq!(
        stage.say(700, &format!("/start {LINK}")).await,
        [sent(700, NOT_CONNECTED)]
    );
    let connected = "users where telegram_chat_id = 700";
    assert_eq!(stage.app.count(connected).await, 0);
}

#[tokio::test]
async fn start_alone_points_to_the_tickets_even_in_unknown_chats() {
    let stage = Stage::set().await;
    let text = "You are already connected. Send /mytickets to view your assigned tickets.";
    for chat in [CHAT, 5] {
        assert_eq!(stage.say(chat, "/start").await, [sent(chat, text)]);
        assert_eq!(stage.say(chat, " /start@fms_bot ").await, [sent(chat, text)]);
    }
}

#[tokio::test]
async fn a_stranger_is_told_where_the_invitation_is() {
    let stage = Stage::set().await;
    // John is no executor, Ina has left.
    stage
        .sql(&format!("update users set is_active = false where id = '{INA}'"))
        .await;
    for chat in [5, -100_123, 123_456_789, INAS_CHAT] {
        for text in ["/mytickets", "hello", "/help"] {
            assert_eq!(stage.say(chat, text).await, [stranger(chat)], "{text}");
        }
    }
}

#[tokio::test]
async fn anything_else_gets_a_hint() {
    let stage = Stage::set().await;
    for text in ["hello", "/help", "/mytickets_please", "see /mytickets"] {
        assert_eq!(stage.say(CHAT, text).await, [sent(CHAT, HELP)], "{text}");
    }
}

#[tokio::test]
async fn without_tickets_there_is_praise() {
    let stage = Stage::set().await;
    for status in ["resolved", "closed"] {
        stage.ticket(json!({"status": status})).await;
    }
    stage
        .ticket(json!({"executor_id": INA, "executor_profile_id": null}))
        .await;
    stage
        .ticket(json!({"executor_id": null, "executor_profile_id": null}))
        .await;
    assert_eq!(
        stage.say(CHAT, "/mytickets").await,
        [sent(
            CHAT,
            "No open tickets assigned to you right now. Great work!"
        )]
    );
}

#[tokio::test]
async fn a_card_has_the_tickets_lines_and_buttons() {
    let stage = Stage::set().await;
    let due = json!({"sla_due_date": "2025-11-10T14:00:00Z", "status": "in-progress"});
    let ticket = stage.ticket(due).await;
    let calls = stage.say(CHAT, "/mytickets").await;
    let card = Call {
        method: "sendMessage".to_owned(),
        body: json!({
            "chat_id": CHAT, "parse_mode": "HTML", "reply_markup": keyboard(ticket, "in-progress"),
            "text": "Ticket TKT-1000\nLeak\nStatus: In-progress\nPriority: high\nLocation: Hall\n\
                     SLA: Nov 10, 2025, 02:00 PM"
        }),
    };
    assert_eq!(
        calls,
        [
            sent(
                CHAT,
                "You have 1 ticket(s) awaiting attention. Select an action below:"
            ),
            card
        ]
    );
}

#[tokio::test]
async fn a_card_shows_titles_and_locations_as_they_are() {
    let stage = Stage::set().await;
    stage
        .ticket(json!({"title": "<b>R&D</b> \"lab\" &lt;", "location": "Hall <3"}))
        .await;
    let long = "<&>".repeat(50_000);
    stage.ticket(json!({"title": long, "location": long})).await;
    // The double refuses what is no HTML, and what is too long.
    let texts = cards(&stage.say(CHAT, "/mytickets").await, 2);
    let lines = "Ticket TKT-1000\n&lt;b&gt;R&amp;D&lt;/b&gt; \"lab\" &amp;lt;\nStatus: Open\nPriority: high\n\
                 Location: Hall &lt;3";
    assert_eq!(texts[0], lines);
    assert_eq!(stage.telegram.newest_message(), 1003, "all three went out");
}

#[tokio::test]
async fn tickets_come_by_status_then_age_by_profile_or_user_each_once() {
    let stage = Stage::set().await;
    let ticket = |title: &str, status: &str, minutes: i64, profile: Value, user: Value| {
        let at = chrono::Utc::now() - chrono::Duration::minutes(minutes);
        json!({
            "title": title, "status": status, "created_at": at.to_rfc3339(), "executor_profile_id": profile,
            "executor_id": user
        })
    };
    for row in [
        ticket("fourth", "open", 1, json!(MIKE_PROFILE), json!(MIKE)),
        ticket("second", "in-progress", 1, json!(MIKE_PROFILE), Value::Null),
        ticket("third", "open", 5, Value::Null, json!(MIKE)),
        ticket("first", "in-progress", 5, json!(MIKE_PROFILE), json!(MIKE)),
    ] {
        stage.ticket(row).await;
    }
    let texts = cards(&stage.say(CHAT, "/mytickets@fms_bot").await, 4);
    let titles: Vec<_> = texts.iter().map(|text| text.lines().nth(1).unwrap()).collect();
    assert_eq!(titles, ["first", "second", "third", "fourth"]);
}

#[tokio::test]
async fn an_executor_is_found_by_telegram_user_id_and_without_a_profile_too() {
    let stage = Stage::set().await;
    stage
        .sql(&format!(
            "update users set telegram_chat_id = null, telegram_user_id = '{CHAT}' where id = '{MIKE}'"
        ))
        .await;
    stage.ticket(json!({})).await;
    assert_eq!(cards(&stage.say(CHAT, "/mytickets").await, 1).len(), 1);

    stage
        .sql(&format!(
            "delete from executor_profiles where id = '{MIKE_PROFILE}'"
        ))
        .await;
    assert_eq!(cards(&stage.say(CHAT, "/mytickets").await, 1).len(), 1);

    // A chat id that matches outdoes it.
    stage
        .sql(&format!(
            "update users set telegram_chat_id = {CHAT} where id = '{INA}'"
        ))
        .await;
    assert_eq!(stage.say(CHAT, "/mytickets").await.len(), 1);
}

#[tokio::test]
async fn one_person_in_two_tenants_sees_the_tickets_of_both_and_nobody_elses() {
    let stage = Stage::set().await;
    let other = "d0000000-0000-4000-8000-000000000002";
    stage
        .sql(&format!(
            "insert into tenants (id, name, email) values ('{other}', 'Other', 'o@example.com');
             insert into users (id, tenant_id, email, full_name, role, telegram_chat_id)
             values ('d0000000-0000-4000-8000-0000000000b3', '{other}', 'm@other.example', 'Mike J.', 'executor', {CHAT})"
        ))
        .await;
    stage.ticket(json!({"title": "here"})).await;
    let there = json!({
        "title": "there", "tenant_id": other, "executor_id": "d0000000-0000-4000-8000-0000000000b3",
        "executor_profile_id": null
    });
    stage.ticket(there).await;
    // A ticket of that tenant that names this tenant's Mike.
    stage
        .ticket(json!({"title": "foreign", "tenant_id": other, "executor_profile_id": null}))
        .await;
    let texts = cards(&stage.say(CHAT, "/mytickets").await, 2);
    let titles: Vec<_> = texts.iter().map(|text| text.lines().nth(1).unwrap()).collect();
    assert_eq!(titles, ["here", "there"]);
}
