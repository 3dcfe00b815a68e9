//! Why an onboarding request or callback is refused. The texts are the original's where it has one.

use super::CorrelationId;

/// Longest reason of a request, in characters; the dashboard's longest is 14.
pub const REASON_MAX_CHARS: usize = 200;

/// A refusal, in the words that the caller reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Request: no user, or none that is a string.
    #[error("user_id is required")]
    UserIdMissing,
    /// Request: an id that no callback could bring back.
    #[error("correlation_id must be a UUID")]
    CorrelationIdInvalid,
    /// Request: a reason that is no text, or too much of it.
    #[error("reason must be a string of at most {REASON_MAX_CHARS} characters")]
    ReasonInvalid,
    /// Request: an account without a row in `users`.
    #[error("Unable to load profile for authenticated user")]
    CallerUnknown,
    /// Request: not an admin of a tenant.
    #[error("Only tenant admins can trigger onboarding")]
    CallerNotAdmin,
    /// Request: no such user.
    #[error("Target user not found")]
    TargetUnknown,
    /// Request: somebody else's user.
    #[error("User does not belong to your tenant")]
    TargetForeign,
    /// Request: a user whom the bot has nothing to say to.
    #[error("Onboarding is only available for executors or complainants")]
    TargetRole,
    /// Request: nowhere to send the invitation.
    #[error("Target user is missing an email address")]
    TargetEmail,
    /// Request: the user's tenant is gone.
    #[error("Tenant not found for user")]
    TenantUnknown,
    /// Request: `MAKE_USER_ONBOARDING_WEBHOOK_URL` is not set. The user is `failed` now.
    #[error("Make webhook URL is not configured. Contact support.")]
    NotConfigured,
    /// Request: the given id is another user's; a callback could not tell the two apart.
    #[error("correlation_id belongs to another user")]
    CorrelationTaken,
    /// Request: the same one is at Make right now.
    #[error("Onboarding with this correlation_id is already under way")]
    UnderWay,
    /// Request: Make did not answer. The user is `failed` now.
    #[error("Failed to dispatch onboarding webhook")]
    MakeUnreachable {
        /// The request's id.
        correlation_id: CorrelationId,
    },
    /// Request: Make said no. The user is `failed` now.
    #[error("Automation webhook returned status {status}")]
    MakeRefused {
        /// The request's id.
        correlation_id: CorrelationId,
        /// Make's status.
        status: u16,
        /// Make's answer, as far as it was read.
        body: String,
    },
    /// Callback: no id.
    #[error("correlation_id is required")]
    CorrelationIdMissing,
    /// Callback: no user's id, or one that a newer request has replaced.
    #[error("No user found for correlation id")]
    CorrelationUnknown,
    /// Callback: two users have this id; a new request for them mends it.
    #[error("Database error fetching user")]
    CorrelationShared,
    /// Callback: the user has no tenant.
    #[error("Database error fetching tenant")]
    TenantUnreadable,
    /// Callback: completed, without the chat.
    #[error("chat_id is required to mark onboarding completed")]
    ChatIdMissing,
    /// Callback: a value that the user's row cannot take.
    #[error("Failed to update user state")]
    Unstorable,
}

impl Refusal {
    /// Reads an outcome of the functions in `sql/migrations/0007_onboarding.sql`.
    pub(super) fn from_outcome(outcome: &str) -> Self {
        match outcome {
            "caller_unknown" => Self::CallerUnknown,
            "caller_refused" => Self::CallerNotAdmin,
            "target_unknown" => Self::TargetUnknown,
            "target_foreign" => Self::TargetForeign,
            "target_role" => Self::TargetRole,
            "target_email" => Self::TargetEmail,
            "tenant_unknown" => Self::TenantUnknown,
            "unconfigured" => Self::NotConfigured,
            "correlation_taken" => Self::CorrelationTaken,
            "under_way" => Self::UnderWay,
            "correlation_unknown" => Self::CorrelationUnknown,
            "correlation_shared" => Self::CorrelationShared,
            "tenant_unreadable" => Self::TenantUnreadable,
            _invalid => Self::Unstorable,
        }
    }
}
