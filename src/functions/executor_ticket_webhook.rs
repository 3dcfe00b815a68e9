//! `POST /functions/v1/executor-ticket-webhook`: an update of the executors' Telegram bot.
//!
//! Not behind the gateway: Telegram holds no key of the project. It shows a secret instead (`secret`), where one is
//! configured. What an update does is in [`crate::bot`].
//!
//! Telegram sends an update again until it is answered with 2xx. So whatever will never succeed is answered 200, as the
//! original does; but where the database is away it is 503 and not 200, since the update would be lost.

mod secret;

use std::time::Duration;

use poem::web::Data;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use tracing::Instrument as _;

use super::body::JsonBody;
use super::error::{Dialect, FunctionError};
use super::{Failure, Failures, Success, Tag, Unauthorized, to_the_end};
use crate::app::AppState;
use crate::bot::Update;
use secret::TelegramSecret;

/// The function's name in its path.
pub const NAME: &str = "executor-ticket-webhook";
/// How it words its failures.
pub const DIALECT: Dialect = Dialect::SuccessError;

/// How long Telegram waits while the bot answers in the chat; after that it goes on beside.
const PATIENCE: Duration = Duration::from_secs(15);

/// The function's operation.
#[derive(Debug, Clone, Copy)]
pub struct Api;

/// An update as Telegram sends it. Other kinds are accepted and ignored.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct TelegramUpdate {
    /// An update with an id that came before does nothing
    update_id: Option<i64>,
    /// What was written to the bot
    message: Option<TelegramMessage>,
    /// A tap on one of its buttons
    callback_query: Option<TelegramCallback>,
}

/// A message of Telegram's, as far as it is read.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
struct TelegramMessage {
    message_id: i64,
    chat: TelegramParty,
    from: Option<TelegramParty>,
    /// Seconds since 1970
    date: Option<i64>,
    /// `/start <correlation_id>`, `/mytickets`, or an update on a ticket
    text: Option<String>,
    reply_to_message: Option<TelegramReference>,
}

/// A chat, or a user.
#[derive(Object)]
struct TelegramParty {
    id: i64,
}

/// The message that another one replies to.
#[derive(Object)]
struct TelegramReference {
    message_id: i64,
}

/// A tap on a button.
#[derive(Object)]
#[oai(skip_serializing_if_is_none)]
struct TelegramCallback {
    id: String,
    from: TelegramParty,
    message: Option<TelegramMessage>,
    /// `status_in_progress`, `status_resolved`, `update` or `noop`, then `|` and the ticket's id
    data: Option<String>,
}

impl Example for TelegramUpdate {
    fn example() -> Self {
        Self {
            update_id: Some(10_000),
            message: Some(TelegramMessage {
                message_id: 1365,
                chat: TelegramParty { id: 987_654_321 },
                from: Some(TelegramParty { id: 987_654_321 }),
                date: Some(1_763_029_800),
                text: Some("/mytickets".to_owned()),
                reply_to_message: None,
            }),
            callback_query: None,
        }
    }
}

/// The update was taken.
#[derive(Object)]
#[oai(example)]
struct UpdateTaken {
    /// Always true
    success: bool,
}

impl Example for UpdateTaken {
    fn example() -> Self {
        Self { success: true }
    }
}

/// Why an update was not taken.
#[derive(Object)]
#[oai(example)]
pub struct UpdateRefused {
    /// Always false
    success: bool,
    error: String,
}

impl Example for UpdateRefused {
    fn example() -> Self {
        Self {
            success: false,
            error: FunctionError::InvalidUpdate.to_string(),
        }
    }
}

impl Failures for Api {
    type Body = UpdateRefused;
    const DIALECT: Dialect = DIALECT;
    const UNAUTHORIZED: Unauthorized = Unauthorized::Function;

    fn documented() -> Vec<(FunctionError, &'static str)> {
        vec![
            (
                FunctionError::InvalidUpdate,
                "No JSON, or no update of Telegram's",
            ),
            (FunctionError::MethodNotAllowed, "Not POST"),
            (FunctionError::BodyTimeout, "The body did not arrive in time"),
            (FunctionError::PayloadTooLarge, "A body over 5 MB"),
            (
                FunctionError::BotTokenMissing,
                "TELEGRAM_BOT_TOKEN is not set, or an error of ours; the log has the cause under the x-request-id",
            ),
            (
                FunctionError::Unavailable,
                "The database is away; Telegram tries again by itself",
            ),
        ]
    }
}

#[OpenApi]
impl Api {
    /// Takes an update of the executors' Telegram bot
    ///
    /// For Telegram to call: give its `setWebhook` this URL, and `DROPWIRE_TELEGRAM_WEBHOOK_SECRET` as `secret_token`.
    /// The bot connects invited users, lists an executor's tickets, changes their status and takes updates on them.
    #[oai(
        path = "/executor-ticket-webhook",
        method = "post",
        operation_id = "executorTicketWebhook",
        tag = "Tag::Functions"
    )]
    async fn take(
        &self,
        state: Data<&AppState>,
        _telegram: TelegramSecret,
        body: JsonBody<TelegramUpdate>,
    ) -> Result<Success<UpdateTaken>, Failure<Self>> {
        let bot = state.bot.clone().ok_or(FunctionError::BotTokenMissing)?;
        let update = Update::parse(&body.bytes()?).map_err(|_no_update| FunctionError::InvalidUpdate)?;
        let taking = {
            let bot = bot.clone();
            async move { bot.take(update).await }
        };
        let reaction = to_the_end(taking).await?;
        state.dispatcher.wake(None);
        let reacting = tokio::spawn(async move { bot.react(reaction).await }.in_current_span());
        // A long list, or a Telegram that is slow: the update itself is done.
        drop(tokio::time::timeout(PATIENCE, reacting).await);
        Ok(Success(UpdateTaken { success: true }))
    }
}
