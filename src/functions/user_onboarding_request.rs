//! `POST /functions/v1/user-onboarding-request`: a tenant's admin invites a user to the Telegram bot.
//!
//! The caller's token decides who asks ([`SignedIn`]); the checks are the database's, in the contract's order.
//! [`crate::onboarding`] says what happens when two ask at once or a process ends in between.
//!
//! The original's row "environment missing" has no place here: the server does not start without its settings.

mod request;

use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use uuid::Uuid;

use super::body::JsonBody;
use super::error::{Dialect, FunctionError};
use super::signed_in::SignedIn;
use super::{Failure, Failures, Tag, Unauthorized, to_the_end};
use crate::app::AppState;
use crate::onboarding::{Ask, CorrelationId, Refusal, Requested};

/// The function's name in its path.
pub const NAME: &str = "user-onboarding-request";
/// How it words its failures.
pub const DIALECT: Dialect = Dialect::ErrorDetails;

const EXAMPLE_CORRELATION: Uuid = Uuid::from_u128(0x0b7f_6a3e_52c1_4b0e_9d7c_3f1a_2e4d_5c6b);

/// The function's operation.
#[derive(Debug, Clone, Copy)]
pub struct Api;

/// Whom to invite.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct OnboardingRequest {
    /// An executor or complainant of the caller's tenant
    user_id: String,
    /// Comes back in the answer, in Make's payload and in its callbacks; a random one unless given
    correlation_id: Option<Uuid>,
    /// `user_created` unless given; the dashboard also sends `manual_retry`
    #[oai(validator(max_length = 200))]
    reason: Option<String>,
}

impl Example for OnboardingRequest {
    fn example() -> Self {
        Self {
            user_id: "6f9619ff-8b86-d011-b42d-00cf4fc964ff".to_owned(),
            correlation_id: None,
            reason: Some("manual_retry".to_owned()),
        }
    }
}

/// The invitation is on its way.
#[derive(Object)]
#[oai(example)]
struct OnboardingQueued {
    /// Always `queued`
    status: String,
    /// The `start` parameter of the deep link
    correlation_id: String,
}

impl Example for OnboardingQueued {
    fn example() -> Self {
        Self {
            status: "queued".to_owned(),
            correlation_id: EXAMPLE_CORRELATION.to_string(),
        }
    }
}

/// Nothing is to be done.
#[derive(Object)]
#[oai(example)]
struct OnboardingCompleted {
    /// Always `already_completed`
    status: String,
}

impl Example for OnboardingCompleted {
    fn example() -> Self {
        Self {
            status: "already_completed".to_owned(),
        }
    }
}

/// What a request comes to.
#[derive(ApiResponse)]
enum Accepted {
    /// Make took the request
    #[oai(status = 202, content_type = "application/json")]
    Queued(Json<OnboardingQueued>),
    /// The user is connected already
    #[oai(status = 200, content_type = "application/json")]
    AlreadyCompleted(Json<OnboardingCompleted>),
}

impl Accepted {
    fn new(requested: &Requested, correlation_id: &CorrelationId) -> Self {
        match requested {
            Requested::Queued => Self::Queued(Json(OnboardingQueued {
                status: "queued".to_owned(),
                correlation_id: correlation_id.as_str().to_owned(),
            })),
            Requested::AlreadyCompleted => Self::AlreadyCompleted(Json(OnboardingCompleted {
                status: "already_completed".to_owned(),
            })),
        }
    }
}

/// Why nobody was invited.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct OnboardingRefused {
    error: String,
    /// With 500: more about an error of ours
    message: Option<String>,
    /// With 502: the request's id; the user is `failed` now, and a new request tries again
    correlation_id: Option<String>,
    /// With 502: the status that Make answered with, if it did
    status_code: Option<u16>,
    /// With 502: what Make answered, if it did
    response_body: Option<String>,
}

impl Example for OnboardingRefused {
    fn example() -> Self {
        Self {
            error: Refusal::UserIdMissing.to_string(),
            message: None,
            correlation_id: None,
            status_code: None,
            response_body: None,
        }
    }
}

impl Failures for Api {
    type Body = OnboardingRefused;
    const DIALECT: Dialect = DIALECT;
    const UNAUTHORIZED: Unauthorized = Unauthorized::Both;
    fn documented() -> Vec<(FunctionError, &'static str)> {
        let unreachable = Refusal::MakeUnreachable {
            correlation_id: CorrelationId::of(Uuid::from_u128(0x0b7f_6a3e_52c1_4b0e_9d7c_3f1a_2e4d_5c6b)),
        };
        vec![
            (
                FunctionError::Onboarding(Refusal::UserIdMissing),
                "No JSON, a field that is missing or invalid, or a user without an email address",
            ),
            (
                FunctionError::Onboarding(Refusal::CallerNotAdmin),
                "The caller is not an admin of a tenant, or the user is not of that tenant",
            ),
            (
                FunctionError::Onboarding(Refusal::TargetUnknown),
                "No such user, or the user's tenant is gone",
            ),
            (FunctionError::MethodNotAllowed, "Not POST"),
            (FunctionError::BodyTimeout, "The body did not arrive in time"),
            (
                FunctionError::Onboarding(Refusal::TargetRole),
                "The user is neither executor nor complainant, or the given correlation_id is in use",
            ),
            (FunctionError::PayloadTooLarge, "A body over 5 MB"),
            (
                FunctionError::Onboarding(Refusal::NotConfigured),
                "MAKE_USER_ONBOARDING_WEBHOOK_URL is not set, or an error of ours; the log has the cause under the \
                 x-request-id",
            ),
            (
                FunctionError::Onboarding(unreachable),
                "Make did not answer in time, or not with success",
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
    /// Invites a user to the Telegram bot
    ///
    /// Make is called before the answer; it sends the mail with the deep link `https://t.me/<bot>?start=<correlation_id>`.
    /// Each request replaces the one before it: the older link then leads nowhere.
    #[oai(
        path = "/user-onboarding-request",
        method = "post",
        operation_id = "userOnboardingRequest",
        tag = "Tag::Functions"
    )]
    async fn invite(
        &self,
        state: Data<&AppState>,
        caller: SignedIn,
        body: JsonBody<OnboardingRequest>,
    ) -> Result<Accepted, Failure<Self>> {
        let wanted = request::parse(&body.bytes()?)?;
        let ask = Ask {
            caller_id: caller.user_id,
            user_id: wanted.user_id,
            correlation_id: wanted.correlation_id,
            reason: wanted.reason,
        };
        let onboarding = state.onboarding.clone();
        // Not to be cut off between Make and the outcome.
        let run = async move {
            let requested = onboarding.request(&ask).await?;
            Ok::<_, FunctionError>(Accepted::new(&requested, &ask.correlation_id))
        };
        Ok(to_the_end(run).await?)
    }
}
