//! What can go wrong in a function, mapped once to status and wire body.

mod onboarding;

use poem::http::StatusCode;
use poem::http::header::{ALLOW, RETRY_AFTER};
use poem::{IntoResponse, Response};
use serde_json::{Value, json};

use super::create_ticket;
use crate::error::chain;
use crate::idempotency::InvalidKey;
use crate::onboarding::Refusal;
use crate::pg::pool::PoolError;

/// A refusal or failure of a function. The texts are a contract; the log gets the cause.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// The body is no JSON, or one of the values that the original takes for none.
    #[error("Invalid JSON payload")]
    InvalidJson,
    /// The body is larger than [`super::body::LIMIT`].
    #[error("Payload too large")]
    PayloadTooLarge,
    /// The body did not arrive in time.
    #[error("Request timeout")]
    BodyTimeout,
    /// A required field is absent, falsy or blank.
    #[error("Missing required field: {0}")]
    MissingField(&'static str),
    /// A field that has to be a string is none.
    #[error("Invalid field: {0} must be a string")]
    NotAString(&'static str),
    /// A string that PostgreSQL cannot store.
    #[error("Invalid field: {0} must not contain U+0000")]
    ContainsNul(&'static str),
    /// A priority outside of the enumeration.
    #[error("Invalid priority. Must be one of: critical, high, medium, low")]
    InvalidPriority,
    /// A tenant id that is no UUID.
    #[error("Invalid tenant_id")]
    InvalidTenantId,
    /// A chat id that is no number.
    #[error("Invalid chat_id")]
    InvalidChatId,
    /// An idempotency key that is none.
    #[error(transparent)]
    InvalidIdempotencyKey(#[from] InvalidKey),
    /// An idempotency key that came with another body before.
    #[error("Idempotency-Key was already used with a different request body")]
    IdempotencyKeyReused,
    /// Nobody of the tenant has this chat id. Both values as JavaScript prints them.
    #[error("User not found with chat_id: {chat_id} in tenant: {tenant_id}")]
    UserNotFound {
        /// The chat id that was sent.
        chat_id: String,
        /// The tenant id that was sent.
        tenant_id: String,
    },
    /// The complainant is deactivated.
    #[error("User is not active and cannot create tickets")]
    UserInactive,
    /// create-ticket is against it.
    #[error(transparent)]
    CreateTicket(#[from] create_ticket::Refusal),
    /// What should be an update of Telegram's is none.
    #[error("Invalid Telegram update payload.")]
    InvalidUpdate,
    /// There is no bot to answer as.
    #[error("TELEGRAM_BOT_TOKEN environment variable is not set.")]
    BotTokenMissing,
    /// The key is valid, but not one for this.
    #[error("This route needs the service_role key")]
    ServiceRoleRequired,
    /// A function for signed-in users, without `Authorization: Bearer …`.
    #[error("Missing or invalid authorization header")]
    BearerMissing,
    /// A key or token that is not the one that the function asks for.
    #[error("Unauthorized")]
    Unauthorized,
    /// Onboarding is against it.
    #[error(transparent)]
    Onboarding(Refusal),
    /// A method that the function does not have.
    #[error("Method not allowed")]
    MethodNotAllowed,
    /// The queue could not be read.
    #[error("Failed to load queue entries")]
    QueueUnreadable,
    /// The database refused the row, in its own words: a constraint or trigger of the operator's, perhaps.
    #[error("{0}")]
    Refused(String),
    /// The database is away or busy: try again.
    #[error("The database is unavailable, try again shortly")]
    Unavailable,
    /// Anything else; the cause is in the log under the answer's request id.
    #[error("Internal server error")]
    Internal,
}

impl FunctionError {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::InvalidJson
            | Self::MissingField(_)
            | Self::NotAString(_)
            | Self::ContainsNul(_)
            | Self::InvalidPriority
            | Self::InvalidTenantId
            | Self::InvalidChatId
            | Self::InvalidIdempotencyKey(_)
            | Self::CreateTicket(_)
            | Self::InvalidUpdate => StatusCode::BAD_REQUEST,
            Self::BearerMissing | Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Onboarding(refusal) => onboarding::status(refusal),
            Self::UserInactive | Self::ServiceRoleRequired => StatusCode::FORBIDDEN,
            Self::UserNotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::QueueUnreadable | Self::BotTokenMissing | Self::Refused(_) | Self::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The body in the function's own dialect.
    pub fn body(&self, dialect: Dialect) -> Value {
        let text = self.to_string();
        match dialect {
            Dialect::SuccessErrorStatus => {
                json!({"success": false, "error": text, "status": self.status().as_u16()})
            }
            Dialect::SuccessError => json!({"success": false, "error": text}),
            Dialect::Error => json!({ "error": text }),
            Dialect::ErrorDetails => match self {
                Self::Onboarding(refusal) => onboarding::body(refusal),
                Self::Internal => json!({"error": "Unexpected server error", "message": text}),
                _ => json!({ "error": text }),
            },
        }
    }

    /// The answer in the function's own dialect.
    pub fn respond(&self, dialect: Dialect) -> Response {
        let mut response = poem::web::Json(self.body(dialect))
            .with_status(self.status())
            .into_response();
        if matches!(self, Self::MethodNotAllowed) {
            response
                .headers_mut()
                .insert(ALLOW, poem::http::HeaderValue::from_static("POST, OPTIONS"));
        }
        if matches!(self, Self::Unavailable) {
            response
                .headers_mut()
                .insert(RETRY_AFTER, poem::http::HeaderValue::from_static("1"));
        }
        response
    }
}

impl FunctionError {
    /// Passes on, as `refusal`, what the database says to a row that it does not take; other errors are ours.
    pub(super) fn not_stored(error: PoolError, refusal: impl FnOnce(String) -> Self) -> Self {
        if let PoolError::Query(cause) = &error
            && !error.is_unavailable()
            && let Some(said) = cause.as_db_error()
        {
            tracing::error!(error = %said, "storing a ticket failed");
            return refusal(said.message().to_owned());
        }
        error.into()
    }
}

impl From<PoolError> for FunctionError {
    fn from(error: PoolError) -> Self {
        if error.is_unavailable() {
            tracing::warn!(error = chain(&error), "database unavailable");
            Self::Unavailable
        } else {
            tracing::error!(error = chain(&error), "database call failed");
            Self::Internal
        }
    }
}

/// The shapes of error bodies that the original's functions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `{"success":false,"error":…,"status":…}`; the numeric status is an artefact of the original's.
    SuccessErrorStatus,
    /// `{"success":false,"error":…}`
    SuccessError,
    /// `{"error":…}`
    Error,
    /// As `Error`, with more keys where there is more to say, and `{"error":…,"message":…}` for an error of ours.
    ErrorDetails,
}
