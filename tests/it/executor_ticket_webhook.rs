//! `executor-ticket-webhook`, row by row of contract 1.6 and 7: updates over real HTTP, what the bot does to the
//! database, and every call that it makes to a real HTTP double of Telegram.

mod actions;
mod gate;
mod messages;
mod once;
mod sessions;
mod trouble;

use std::sync::atomic::{AtomicI64, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::{TENANT, read};
use crate::support::sql::{INA, MIKE, MIKE_PROFILE};
use crate::support::telegram::{Call, WEBHOOK_SECRET};
use crate::support::{Answer, Sink, Telegram, TestApp};

const FUNCTION: &str = "executor-ticket-webhook";
const SECRET_HEADER: &str = "x-telegram-bot-api-secret-token";

/// Mike's and Ina's chats.
const CHAT: i64 = 987_654_321;
const INAS_CHAT: i64 = 987_654_322;
/// The message of a card in Mike's chat.
const CARD: i64 = 77;

const HELP: &str = "Send /mytickets to view your assigned tickets, or update tickets from the dashboard.";

/// An application with a bot, its Telegram, and a tenant whose rules assign nothing.
struct Stage {
    app: TestApp,
    telegram: Telegram,
    updates: AtomicI64,
}

impl Stage {
    async fn set() -> Self {
        Self::with(&[]).await
    }

    async fn with(variables: &[(&str, &str)]) -> Self {
        let telegram = Telegram::start().await;
        let mut all = telegram.variables().to_vec();
        all.extend_from_slice(variables);
        let app = TestApp::with(&all).await;
        app.db.batch_execute("delete from rules").await.unwrap();
        Self {
            app,
            telegram,
            updates: AtomicI64::new(500),
        }
    }

    async fn sql(&self, statements: &str) {
        self.app.db.batch_execute(statements).await.unwrap();
    }

    /// A query's one row as JSON.
    async fn row(&self, query: &str) -> Value {
        let row = self
            .app
            .text(&format!("select to_jsonb(r)::text from ({query}) r"))
            .await;
        serde_json::from_str(&row.unwrap()).unwrap()
    }

    /// A ticket of Mike's, with some columns changed.
    async fn ticket(&self, changes: Value) -> Uuid {
        let mut row = json!({
            "title": "Leak", "description": "Leak", "category": "Plumbing", "priority": "high", "type": "Maintenance",
            "location": "Hall", "tenant_id": TENANT, "executor_id": MIKE, "executor_profile_id": MIKE_PROFILE
        });
        row.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let columns: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let columns = columns.join(", ");
        let insert = format!(
            "insert into tickets ({columns})
             select {columns} from jsonb_populate_record(null::tickets, $1) returning id"
        );
        self.app.db.query_one(&insert, &[&row]).await.unwrap().get(0)
    }

    /// Sends an update as Telegram does.
    async fn post(&self, update: &Value) -> Answer {
        self.raw(update.to_string(), Some(WEBHOOK_SECRET)).await
    }

    async fn raw(&self, body: impl Into<reqwest::Body>, secret: Option<&str>) -> Answer {
        let url = format!("{}/functions/v1/{FUNCTION}", self.app.url);
        let mut request = self.app.http.request(Method::POST, url).body(body);
        if let Some(secret) = secret {
            request = request.header(SECRET_HEADER, secret);
        }
        read(request.send().await.unwrap()).await
    }

    fn next_update(&self) -> i64 {
        self.updates.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a new update with some fields, which is taken; answers the calls that follow.
    async fn update(&self, fields: Value) -> Vec<Call> {
        let mut update = json!({"update_id": self.next_update()});
        update
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let answer = self.post(&update).await;
        assert_eq!(
            answer.function_pair(),
            (200, json!({"success": true})),
            "{update}"
        );
        self.telegram.take()
    }

    /// Somebody writes to the bot.
    async fn say(&self, chat_id: i64, text: &str) -> Vec<Call> {
        self.update(json!({"message": message(chat_id, text)})).await
    }

    /// Mike taps a button of a card.
    async fn tap(&self, action: &str, ticket: impl std::fmt::Display) -> Vec<Call> {
        self.update(json!({"callback_query": tap(CHAT, &format!("{action}|{ticket}"))}))
            .await
    }

    /// Mike taps Update and is asked; answers the prompt's message.
    async fn prompted(&self, ticket: Uuid) -> i64 {
        let calls = self.tap("update", ticket).await;
        assert_eq!(
            calls.last(),
            Some(&answered(
                "Update session started. Please reply with your update."
            ))
        );
        self.telegram.newest_message()
    }
}

fn message(chat_id: i64, text: &str) -> Value {
    json!({
        "message_id": 40, "date": 1_763_029_800, "chat": {"id": chat_id, "type": "private"},
        "from": {"id": chat_id, "is_bot": false, "first_name": "M"}, "text": text
    })
}

fn tap(chat_id: i64, data: &str) -> Value {
    json!({
        "id": "4382bfdwdsb323b2d9", "from": {"id": chat_id}, "data": data,
        "message": {"message_id": CARD, "date": 1_763_029_700, "chat": {"id": chat_id}, "text": "Ticket"}
    })
}

/// The call that sends a text.
fn sent(chat_id: i64, text: &str) -> Call {
    Call {
        method: "sendMessage".to_owned(),
        body: json!({"chat_id": chat_id, "text": text, "parse_mode": "HTML"}),
    }
}

/// The call that answers a tap.
fn answered(text: &str) -> Call {
    Call {
        method: "answerCallbackQuery".to_owned(),
        body: json!({"callback_query_id": "4382bfdwdsb323b2d9", "text": text, "show_alert": false}),
    }
}

fn keyboard(ticket: Uuid, status: &str) -> Value {
    let button =
        |text: &str, action: &str| json!({"text": text, "callback_data": format!("{action}|{ticket}")});
    let progress = if status == "in-progress" {
        button("In Progress ✅", "noop")
    } else {
        button("In Progress", "status_in_progress")
    };
    json!({"inline_keyboard": [[progress, button("Resolved", "status_resolved")], [button("Update", "update")]]})
}

/// A day of an executor, from the invitation to the webhook that Make gets.
#[tokio::test]
async fn an_executor_connects_lists_progresses_updates_and_resolves_a_ticket() {
    let stage = Stage::set().await;
    let make = Sink::start().await;
    stage.app.set_webhook(&make.url).await;
    let link = "0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b";
    stage
        .sql(&format!(
            "update users set telegram_chat_id = null, is_active = false, bot_onboarding_status = 'invited',
                    bot_correlation_id = '{link}' where id = '{INA}'"
        ))
        .await;
    let mine = json!({"executor_id": INA, "executor_profile_id": "d0000000-0000-4000-8000-0000000000e2"});
    let ticket = stage.ticket(mine).await;

    let connected =
        "✅ You are now connected to the executor bot. Send /mytickets to view your assigned tickets.";
    assert_eq!(
        stage.say(55, &format!("/start {link}")).await,
        [sent(55, connected)]
    );
    let listed = stage.say(55, "/mytickets").await;
    assert_eq!(listed.len(), 2);
    assert_eq!(
        listed[1].body["reply_markup"],
        keyboard(ticket, "open"),
        "{listed:?}"
    );
    for action in ["status_in_progress", "update"] {
        stage
            .update(json!({"callback_query": tap(55, &format!("{action}|{ticket}"))}))
            .await;
    }
    let captured = "Update captured for ticket TKT-1000. Thank you!";
    assert_eq!(stage.say(55, "Valve replaced").await, [sent(55, captured)]);
    stage
        .update(json!({"callback_query": tap(55, &format!("status_resolved|{ticket}"))}))
        .await;

    stage.app.drain_all().await;
    let story: Vec<_> = make
        .received()
        .iter()
        .map(|webhook| {
            let activity = &webhook.body["latest_activity"];
            json!([
                activity["type"],
                activity["comment"],
                activity["created_by"]["name"]
            ])
        })
        .collect();
    let expected = [
        json!([null, null, null]),
        json!([
            "status_change",
            "Status changed from Open to In-progress by Ina Itkin.",
            "Ina Itkin"
        ]),
        json!(["executor_update", "Valve replaced", "Ina Itkin"]),
        json!([
            "status_change",
            "Status changed from In-progress to Resolved by Ina Itkin.",
            "Ina Itkin"
        ]),
    ];
    assert_eq!(story, expected);
}
