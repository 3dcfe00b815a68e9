//! `POST /functions/v1/user-onboarding-callback`: Make or the bot says how an invitation goes on.
//!
//! Not behind the gateway: its caller holds a token of its own, which need not be a JWT (`token`).
//!
//! Where the original answers 500 to a caller's mistake, this answers 400 or 404: what is no JSON, a correlation id
//! that is no UUID, a value that the user's row cannot take. And what the original does to a user who has a chat on
//! file (every event completes) or is completed (every event undoes it, each repeat notifies again) is mended:
//! [`crate::onboarding`] has the rules.

mod request;
mod token;

use poem::web::Data;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use super::body::JsonBody;
use super::error::{Dialect, FunctionError};
use super::{Failure, Failures, Success, Tag, Unauthorized, to_the_end};
use crate::app::AppState;
use crate::onboarding::{CorrelationId, Onboarding, Received, Refusal};
use request::Callback;
use token::CallbackToken;

/// The function's name in its path.
pub const NAME: &str = "user-onboarding-callback";
/// How it words its failures.
pub const DIALECT: Dialect = Dialect::ErrorDetails;

const EXAMPLE_CORRELATION: Uuid = Uuid::from_u128(0x0b7f_6a3e_52c1_4b0e_9d7c_3f1a_2e4d_5c6b);
const EXAMPLE_CHAT_ID: &str = "123456789";

/// The function's operation.
#[derive(Debug, Clone, Copy)]
pub struct Api;

/// What happened; anything else counts as `invite_sent`.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
enum CallbackStatus {
    InviteSent,
    AwaitingChat,
    Completed,
    Failed,
    Timeout,
    Cancelled,
}

/// What Make or the bot says.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct OnboardingCallback {
    /// The request's, as the deep link brought it back
    correlation_id: String,
    /// `invite_sent` unless given; a `chat_id` always completes
    status: Option<CallbackStatus>,
    /// Telegram chat id, as a string; a number is accepted too
    chat_id: Option<String>,
    /// Telegram user id, as a string; a number is accepted too
    telegram_user_id: Option<String>,
    /// What went wrong
    error: Option<String>,
    /// The link that was sent to the user
    deep_link: Option<String>,
    /// When the user started the bot, in ISO 8601; now unless given
    joined_at: Option<String>,
    /// With `failed`: attempts so far; one more than before unless given
    retry_count: Option<i32>,
}

impl Example for OnboardingCallback {
    fn example() -> Self {
        Self {
            correlation_id: EXAMPLE_CORRELATION.to_string(),
            status: Some(CallbackStatus::Completed),
            chat_id: Some(EXAMPLE_CHAT_ID.to_owned()),
            telegram_user_id: Some(EXAMPLE_CHAT_ID.to_owned()),
            error: None,
            deep_link: None,
            joined_at: Some("2025-11-13T10:30:00.000Z".to_owned()),
            retry_count: None,
        }
    }
}

/// The user's state after the callback.
#[derive(Object)]
#[oai(example)]
struct OnboardingReceived {
    /// The user's `bot_onboarding_status` now
    status: String,
    user_id: Uuid,
    tenant_id: Uuid,
    /// As it was sent
    correlation_id: String,
}

impl OnboardingReceived {
    fn new(received: Received, correlation_id: &CorrelationId) -> Self {
        Self {
            status: received.status,
            user_id: received.user_id,
            tenant_id: received.tenant_id,
            correlation_id: correlation_id.as_str().to_owned(),
        }
    }
}

impl Example for OnboardingReceived {
    fn example() -> Self {
        Self {
            status: "completed".to_owned(),
            user_id: Uuid::from_u128(0x6f96_19ff_8b86_d011_b42d_00cf_4fc9_64ff),
            tenant_id: Uuid::from_u128(0x3f2a_91c4_7d5e_4a8b_b6c0_1e9f_8a7d_2c35),
            correlation_id: EXAMPLE_CORRELATION.to_string(),
        }
    }
}

/// Why a callback was not taken.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct CallbackRefused {
    error: String,
    /// With 500: more about an error of ours
    message: Option<String>,
}

impl Example for CallbackRefused {
    fn example() -> Self {
        Self {
            error: Refusal::CorrelationIdMissing.to_string(),
            message: None,
        }
    }
}

impl Failures for Api {
    type Body = CallbackRefused;
    const DIALECT: Dialect = DIALECT;
    const UNAUTHORIZED: Unauthorized = Unauthorized::Function;
    fn documented() -> Vec<(FunctionError, &'static str)> {
        vec![
            (
                FunctionError::Onboarding(Refusal::CorrelationIdMissing),
                "No JSON, no correlation_id, completed without a chat_id, or a value that the user cannot have",
            ),
            (
                FunctionError::Onboarding(Refusal::CorrelationUnknown),
                "No user has this correlation id; a newer request may have replaced it",
            ),
            (FunctionError::MethodNotAllowed, "Not POST"),
            (FunctionError::BodyTimeout, "The body did not arrive in time"),
            (FunctionError::PayloadTooLarge, "A body over 5 MB"),
            (
                FunctionError::Onboarding(Refusal::TenantUnreadable),
                "The user has no tenant, two users share the correlation id, or an error of ours; the log has the \
                 cause under the x-request-id",
            ),
            (
                FunctionError::Unavailable,
                "The database is away; try again after the seconds in Retry-After",
            ),
        ]
    }
}

#[OpenApi]
impl Api {
    /// Takes a word from Make or the bot on an invitation
    ///
    /// Safe to repeat. A completed user stays completed, whatever comes late.
    #[oai(
        path = "/user-onboarding-callback",
        method = "post",
        operation_id = "userOnboardingCallback",
        tag = "Tag::Functions"
    )]
    async fn receive(
        &self,
        state: Data<&AppState>,
        _caller: CallbackToken,
        body: JsonBody<OnboardingCallback>,
    ) -> Result<Success<OnboardingReceived>, Failure<Self>> {
        let callback = request::parse(&body.bytes()?)?;
        let onboarding = state.onboarding.clone();
        let received = to_the_end(async move { take(&onboarding, callback).await }).await?;
        Ok(Success(received))
    }
}

async fn take(onboarding: &Onboarding, callback: Callback) -> Result<OnboardingReceived, FunctionError> {
    let id = callback.correlation_id.ok_or(Refusal::CorrelationUnknown)?;
    match callback.report {
        Ok(report) => {
            let received = onboarding.receive(&id, &report).await?;
            Ok(OnboardingReceived::new(received, &id))
        }
        Err(refusal) => {
            // The original finds the user first and then looks at the rest of the body.
            onboarding.find(&id).await?;
            Err(refusal.into())
        }
    }
}
