//! The executors' Telegram bot: what an update does, and what the bot answers.
//!
//! An update is taken in two steps. [`Bot::take`] is the database's: one function of
//! `sql/migrations/0025_executor_bot.sql` records the update and does all of its effect in one transaction, so that an
//! update sent twice acts once. [`Bot::react`] is Telegram's: messages and buttons, which nothing depends on. Their
//! failures are logged, and the executor asks again.

mod card;
mod html;
mod update;

use serde_json::{Value, json};
use tokio_postgres::types::Type;
use uuid::Uuid;

pub use self::update::{InvalidUpdate, Update};

use self::card::Card;
use self::html::escape;
use self::update::{Callback, Content, Message, Said};
use crate::config::TelegramSettings;
use crate::error::chain;
use crate::onboarding::CorrelationId;
use crate::pg::pool::{Pool, PoolError};
use crate::telegram::{Telegram, TelegramError};

const TAKE: &str = include_str!("../sql/bot/take.sql");
const START: &str = include_str!("../sql/bot/start.sql");
const LIST: &str = include_str!("../sql/bot/list.sql");
const TEXT: &str = include_str!("../sql/bot/text.sql");
const ACTION: &str = include_str!("../sql/bot/action.sql");
const OPEN_SESSION: &str = include_str!("../sql/bot/open_session.sql");

// The original's texts.
const CONNECTED: &str =
    "✅ You are now connected to the executor bot. Send /mytickets to view your assigned tickets.";
const NOT_CONNECTED: &str =
    "⚠️ We could not complete your onboarding. Please request a fresh invite from your administrator.";
const ALREADY_CONNECTED: &str = "You are already connected. Send /mytickets to view your assigned tickets.";
const NO_TICKETS: &str = "No open tickets assigned to you right now. Great work!";
const HELP: &str = "Send /mytickets to view your assigned tickets, or update tickets from the dashboard.";
const EXPIRED: &str = "This update session has expired. Please tap \"Update\" on the ticket again.";
const GONE: &str = "Unable to find this ticket. It may have been closed.";

/// The bot over a database. Cheap to clone.
#[derive(Clone)]
pub struct Bot {
    pool: Pool,
    telegram: Telegram,
}

/// What the bot is to do in Telegram once an update is taken.
pub struct Reaction(Reply);

enum Reply {
    /// Nothing: an update that is not for us, or was taken before.
    Nothing,
    /// Say something in a chat.
    Say { chat_id: i64, html: String },
    /// Show a chat's tickets, a card for each.
    List { chat_id: i64, cards: Vec<Card> },
    /// Answer a tap with a fading text.
    Answer { callback: Callback, text: String },
    /// A ticket's status has changed.
    Changed { callback: Callback, card: Card },
    /// Ask for an update on a ticket.
    Prompt {
        callback: Callback,
        card: Card,
        user_id: Uuid,
        profile_id: Option<Uuid>,
    },
}

impl Bot {
    /// The bot with the settings' token; `None` when there is none.
    pub fn new(pool: Pool, settings: &TelegramSettings) -> Option<Self> {
        let telegram = Telegram::new(settings)?;
        if settings.webhook_secret.is_none() {
            tracing::warn!(
                "anybody can send updates to the executors' bot; set DROPWIRE_TELEGRAM_WEBHOOK_SECRET and give \
                 Telegram's setWebhook the same secret_token"
            );
        }
        Some(Self { pool, telegram })
    }

    /// Takes an update: does what it asks for in the database, once.
    ///
    /// An error means that nothing was done and that the update is worth sending again. What will never succeed is
    /// logged and answered.
    pub async fn take(&self, update: Update) -> Result<Reaction, PoolError> {
        let id = update.id;
        let taken = match update.content {
            Content::Nothing => Ok(Reply::Nothing),
            Content::Message(message) => self.take_message(id, &message).await,
            Content::Callback(callback) => self.take_callback(id, callback).await,
        };
        match taken {
            Err(error) if !error.is_unavailable() => {
                tracing::error!(update.id = ?id, error = chain(&error), "taking an update failed");
                Ok(Reaction(Reply::Nothing))
            }
            taken => taken.map(Reaction),
        }
    }

    async fn take_message(&self, id: Option<i64>, message: &Message) -> Result<Reply, PoolError> {
        let chat_id = message.chat_id;
        let html = match &message.said {
            Said::Start(None) => self.first_time(id).await?.then(|| ALREADY_CONNECTED.to_owned()),
            Said::Start(Some(token)) => self.connect(id, message, token).await?,
            Said::MyTickets => return self.list(id, chat_id).await,
            Said::OtherCommand => self.take_text(id, message, None).await?,
            Said::Text(text) => self.take_text(id, message, Some(text)).await?,
        };
        Ok(html.map_or(Reply::Nothing, |html| Reply::Say { chat_id, html }))
    }

    /// Whether this is the first time that the update comes.
    async fn first_time(&self, id: Option<i64>) -> Result<bool, PoolError> {
        let params = &[(&self.telegram.bot_id() as _, Type::TEXT), (&id as _, Type::INT8)];
        Ok(self.pool.query_one(TAKE, params).await?.get(0))
    }

    /// Completes the onboarding that a deep link belongs to.
    async fn connect(
        &self,
        id: Option<i64>,
        message: &Message,
        token: &str,
    ) -> Result<Option<String>, PoolError> {
        let Some(correlation_id) = CorrelationId::parse(token) else {
            return Ok(self.first_time(id).await?.then(|| NOT_CONNECTED.to_owned()));
        };
        let row = self
            .pool
            .query_one(
                START,
                &[
                    (&self.telegram.bot_id(), Type::TEXT),
                    (&id, Type::INT8),
                    (&correlation_id.as_str(), Type::TEXT),
                    (&message.chat_id, Type::INT8),
                    (&message.user_id.to_string(), Type::TEXT),
                    (&message.sent_at, Type::TEXT),
                ],
            )
            .await;
        let html = match row {
            Ok(row) => match row.get(0) {
                "seen" => return Ok(None),
                "received" => CONNECTED,
                outcome => {
                    tracing::info!(outcome, "a deep link led nowhere");
                    NOT_CONNECTED
                }
            },
            Err(error) if error.is_unavailable() => return Err(error),
            Err(error) => {
                tracing::error!(error = chain(&error), "completing an onboarding failed");
                NOT_CONNECTED
            }
        };
        Ok(Some(html.to_owned()))
    }

    async fn list(&self, id: Option<i64>, chat_id: i64) -> Result<Reply, PoolError> {
        let params = &[
            (&self.telegram.bot_id() as _, Type::TEXT),
            (&id as _, Type::INT8),
            (&chat_id as _, Type::INT8),
        ];
        let row = self.pool.query_one(LIST, params).await?;
        Ok(match row.get("outcome") {
            "seen" => Reply::Nothing,
            "no_executor" => Reply::Say {
                chat_id,
                html: unknown(chat_id),
            },
            _listed => Reply::List {
                chat_id,
                cards: Card::read_all(row.get("tickets")),
            },
        })
    }

    /// Takes a text, or without one a command that answers no prompt.
    async fn take_text(
        &self,
        id: Option<i64>,
        message: &Message,
        text: Option<&str>,
    ) -> Result<Option<String>, PoolError> {
        let row = self
            .pool
            .query_one(
                TEXT,
                &[
                    (&self.telegram.bot_id(), Type::TEXT),
                    (&id, Type::INT8),
                    (&message.chat_id, Type::INT8),
                    (&text, Type::TEXT),
                    (&message.reply_to, Type::INT8),
                ],
            )
            .await?;
        Ok(match row.get("outcome") {
            "seen" => None,
            "no_executor" => Some(unknown(message.chat_id)),
            "captured" => {
                let number = escape(row.get("ticket_number"));
                Some(format!("Update captured for ticket {number}. Thank you!"))
            }
            "expired" => Some(EXPIRED.to_owned()),
            "gone" => Some(GONE.to_owned()),
            _nothing => Some(HELP.to_owned()),
        })
    }

    async fn take_callback(&self, id: Option<i64>, callback: Callback) -> Result<Reply, PoolError> {
        let action = callback.action.as_ref();
        let row = self
            .pool
            .query_one(
                ACTION,
                &[
                    (&self.telegram.bot_id(), Type::TEXT),
                    (&id, Type::INT8),
                    (&callback.chat_id, Type::INT8),
                    (&action.map(|action| &action.name), Type::TEXT),
                    (&action.and_then(|action| action.ticket_id), Type::UUID),
                    (&callback.id, Type::TEXT),
                    (&callback.message_id, Type::INT8),
                ],
            )
            .await;
        let row = match row {
            Ok(row) => row,
            Err(error) if error.is_unavailable() => return Err(error),
            Err(error) => {
                tracing::error!(error = chain(&error), "changing a ticket failed");
                let text = "Could not update ticket status.".to_owned();
                return Ok(Reply::Answer { callback, text });
            }
        };
        let card = row.get::<_, Option<Value>>("card").and_then(Card::read);
        let text = match (row.get("outcome"), card) {
            ("seen", _) => return Ok(Reply::Nothing),
            ("changed", Some(card)) => return Ok(Reply::Changed { callback, card }),
            ("prompt", Some(card)) => {
                return Ok(Reply::Prompt {
                    callback,
                    card,
                    user_id: row.get("user_id"),
                    profile_id: row.get("profile_id"),
                });
            }
            ("unchanged", Some(card)) => format!("Ticket already {}.", card.status_label),
            ("no_executor", _) => "Executor account not found.".to_owned(),
            ("malformed", _) => "Action not recognized.".to_owned(),
            ("noop", _) => "Already updated.".to_owned(),
            ("no_ticket", _) => "Ticket not found.".to_owned(),
            ("not_assigned", _) => "You are not assigned to this ticket.".to_owned(),
            _unknown => "Unknown action.".to_owned(),
        };
        Ok(Reply::Answer { callback, text })
    }

    /// Answers in Telegram. May take as long as Telegram does, a call after the other.
    pub async fn react(&self, reaction: Reaction) {
        match reaction.0 {
            Reply::Nothing => {}
            Reply::Say { chat_id, html } => self.say(chat_id, &html).await,
            Reply::List { chat_id, cards } => self.show(chat_id, &cards).await,
            Reply::Answer { callback, text } => self.answer(&callback, &text).await,
            Reply::Changed { callback, card } => self.show_change(&callback, &card).await,
            Reply::Prompt {
                callback,
                card,
                user_id,
                profile_id,
            } => {
                let text = self.prompt(&callback, &card, user_id, profile_id).await;
                self.answer(&callback, text).await;
            }
        }
    }

    async fn show(&self, chat_id: i64, cards: &[Card]) {
        if cards.is_empty() {
            return self.say(chat_id, NO_TICKETS).await;
        }
        let count = cards.len();
        let head = format!("You have {count} ticket(s) awaiting attention. Select an action below:");
        self.say(chat_id, &head).await;
        for card in cards {
            let sent = self
                .telegram
                .send_message(chat_id, &card.html(), Some(&card.keyboard()))
                .await;
            log(sent);
        }
    }

    async fn show_change(&self, callback: &Callback, card: &Card) {
        let chat_id = callback.chat_id;
        if callback.is_resolution() {
            if let Some(message_id) = callback.message_id {
                log(self.telegram.delete_message(chat_id, message_id).await);
            }
            self.answer(callback, "Ticket resolved.").await;
            let number = escape(&card.ticket_number);
            return self
                .say(chat_id, &format!("Ticket {number} marked as Resolved."))
                .await;
        }
        if let Some(message_id) = callback.message_id {
            let edited = self
                .telegram
                .edit_message_text(chat_id, message_id, &card.html())
                .await;
            log(edited);
            let keyboard = card.keyboard();
            let edited = self
                .telegram
                .edit_message_reply_markup(chat_id, message_id, &keyboard)
                .await;
            log(edited);
        }
        self.answer(callback, "Ticket marked In Progress.").await;
    }

    /// Asks for an update and waits for it in a session; answers what to tell the executor who tapped.
    async fn prompt(
        &self,
        callback: &Callback,
        card: &Card,
        user_id: Uuid,
        profile_id: Option<Uuid>,
    ) -> &'static str {
        let number = escape(&card.ticket_number);
        let html = format!("Please reply with your update for ticket {number}.");
        let markup = json!({"force_reply": true});
        let sent = self
            .telegram
            .send_message(callback.chat_id, &html, Some(&markup))
            .await;
        let Some(prompt_id) = log(sent) else {
            return "Unable to start update session.";
        };
        let opened = self
            .pool
            .query_one(
                OPEN_SESSION,
                &[
                    (&card.id, Type::UUID),
                    (&callback.chat_id, Type::INT8),
                    (&user_id, Type::UUID),
                    (&profile_id, Type::UUID),
                    (&callback.id, Type::TEXT),
                    (&callback.message_id, Type::INT8),
                    (&prompt_id, Type::INT8),
                ],
            )
            .await;
        if let Err(error) = opened {
            tracing::error!(error = chain(&error), "opening an update session failed");
            return "Could not start update session.";
        }
        "Update session started. Please reply with your update."
    }

    async fn say(&self, chat_id: i64, html: &str) {
        log(self.telegram.send_message(chat_id, html, None).await);
    }

    async fn answer(&self, callback: &Callback, text: &str) {
        log(self.telegram.answer_callback_query(&callback.id, text).await);
    }
}

/// What a stranger reads.
fn unknown(chat_id: i64) -> String {
    format!(
        "We could not find your executor account (chat id: {chat_id}). If you haven’t onboarded yet, please use the \
         invite link sent to your email."
    )
}

fn log<T>(outcome: Result<T, TelegramError>) -> Option<T> {
    outcome
        .inspect_err(|error| tracing::warn!(error = chain(error), "the bot could not answer"))
        .ok()
}
