//! Refusals of onboarding on the wire: their status, and what their bodies have beside `error`.

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::FunctionError;
use crate::error::chain;
use crate::onboarding::{OnboardingError, Refusal};

/// The HTTP status of a refusal.
pub(super) fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::UserIdMissing
        | Refusal::CorrelationIdInvalid
        | Refusal::ReasonInvalid
        | Refusal::TargetEmail
        | Refusal::CorrelationIdMissing
        | Refusal::ChatIdMissing
        | Refusal::Unstorable => StatusCode::BAD_REQUEST,
        Refusal::CallerUnknown | Refusal::CallerNotAdmin | Refusal::TargetForeign => StatusCode::FORBIDDEN,
        Refusal::TargetUnknown | Refusal::TenantUnknown | Refusal::CorrelationUnknown => {
            StatusCode::NOT_FOUND
        }
        Refusal::TargetRole | Refusal::CorrelationTaken | Refusal::UnderWay => StatusCode::CONFLICT,
        Refusal::NotConfigured | Refusal::CorrelationShared | Refusal::TenantUnreadable => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Refusal::MakeUnreachable { .. } | Refusal::MakeRefused { .. } => StatusCode::BAD_GATEWAY,
    }
}

/// The body of a refusal.
pub(super) fn body(refusal: &Refusal) -> Value {
    let error = refusal.to_string();
    match refusal {
        Refusal::MakeUnreachable { correlation_id } => {
            json!({"error": error, "correlation_id": correlation_id.as_str()})
        }
        Refusal::MakeRefused {
            correlation_id,
            status,
            body,
        } => json!({
            "error": error, "correlation_id": correlation_id.as_str(), "status_code": status, "response_body": body
        }),
        _ => json!({ "error": error }),
    }
}

impl From<Refusal> for FunctionError {
    fn from(refusal: Refusal) -> Self {
        Self::Onboarding(refusal)
    }
}

impl From<OnboardingError> for FunctionError {
    fn from(error: OnboardingError) -> Self {
        match error {
            OnboardingError::Refused(refusal) => refusal.into(),
            OnboardingError::Database(error) => error.into(),
            OnboardingError::Payload(_) => {
                tracing::error!(error = chain(&error), "onboarding failed");
                Self::Internal
            }
        }
    }
}
