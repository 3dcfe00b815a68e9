//! The body of `user-onboarding-request`: what is taken, what is refused, and in which order. Plain functions.

use serde_json::Value;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::javascript::{is_falsy, object};
use crate::onboarding::{CorrelationId, REASON_MAX_CHARS, Refusal};

/// The reason when none is given: the dashboard calls right after it has created a user.
const DEFAULT_REASON: &str = "user_created";

/// A checked body.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whom to invite; `None` for a text that is no UUID: there is no such user.
    pub user_id: Option<Uuid>,
    /// As given, else a new one.
    pub correlation_id: CorrelationId,
    /// As given, else `user_created`.
    pub reason: String,
}

/// Parses and checks a body.
///
/// Where the original lost a correlation id that is no UUID without a word, it is refused; an empty one, as a mapped
/// but empty field of Make is sent, counts as absent.
pub fn parse(body: &[u8]) -> Result<Wanted, FunctionError> {
    let fields = object(body).ok_or(FunctionError::InvalidJson)?;
    let user_id = match fields.get("user_id") {
        Some(Value::String(id)) if !id.is_empty() => Uuid::try_parse(id).ok(),
        _ => return Err(Refusal::UserIdMissing.into()),
    };
    let correlation_id = match fields.get("correlation_id") {
        None => CorrelationId::generate(),
        Some(absent) if is_falsy(absent) => CorrelationId::generate(),
        Some(Value::String(id)) => CorrelationId::parse(id).ok_or(Refusal::CorrelationIdInvalid)?,
        Some(_) => return Err(Refusal::CorrelationIdInvalid.into()),
    };
    let reason = match fields.get("reason") {
        None | Some(Value::Null) => DEFAULT_REASON.to_owned(),
        Some(Value::String(reason))
            if reason.chars().count() <= REASON_MAX_CHARS && !reason.contains('\0') =>
        {
            reason.clone()
        }
        Some(_) => return Err(Refusal::ReasonInvalid.into()),
    };
    Ok(Wanted {
        user_id,
        correlation_id,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "0b7f6a3e-52c1-4b0e-9d7c-3f1a2e4d5c6b";

    fn refused(body: &Value) -> String {
        parse(body.to_string().as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_given_is_made_up() {
        for body in [
            json!({"user_id": ID}),
            json!({"user_id": ID, "correlation_id": null, "reason": null}),
            json!({"user_id": ID, "correlation_id": ""}),
        ] {
            let one = parse(body.to_string().as_bytes()).unwrap();
            let other = parse(body.to_string().as_bytes()).unwrap();
            assert_eq!(one.user_id, Some(ID.parse().unwrap()));
            assert_eq!(one.reason, "user_created");
            assert_ne!(one.correlation_id, other.correlation_id);
        }
    }

    #[test]
    fn what_is_given_is_kept() {
        let body = json!({"user_id": "x", "correlation_id": ID.to_uppercase(), "reason": ""});
        let wanted = parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(wanted.user_id, None);
        assert_eq!(wanted.correlation_id.as_str(), ID.to_uppercase());
        assert_eq!(wanted.reason, "");
    }

    #[test]
    fn the_user_id_is_a_string_with_something_in_it() {
        for user_id in [
            json!(null),
            json!(""),
            json!(7),
            json!(true),
            json!([ID]),
            json!({}),
        ] {
            assert_eq!(refused(&json!({"user_id": user_id})), "user_id is required");
        }
        for body in [json!({}), json!([]), json!("x"), json!(1), json!(true)] {
            assert_eq!(refused(&body), "user_id is required", "{body}");
        }
    }

    #[test]
    fn a_correlation_id_that_no_callback_brings_back_is_refused() {
        for id in [
            json!("x"),
            json!(7),
            json!(true),
            json!([ID]),
            json!(format!("{{{ID}}}")),
        ] {
            let text = refused(&json!({"user_id": ID, "correlation_id": id}));
            assert_eq!(text, "correlation_id must be a UUID");
        }
    }

    #[test]
    fn a_reason_is_a_short_text() {
        for reason in [json!(7), json!({}), json!("\0"), json!("x".repeat(201))] {
            let text = refused(&json!({"user_id": ID, "reason": reason}));
            assert_eq!(text, "reason must be a string of at most 200 characters");
        }
        let body = json!({"user_id": ID, "reason": "é".repeat(200)});
        assert!(parse(body.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_json_is_refused_as_such() {
        for body in [
            "",
            "{",
            "null",
            "false",
            "0",
            r#""""#,
            r#"{"user_id":"\ud800"}"#,
            r#"{"user_id":1e400}"#,
            &"[".repeat(100_000),
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert!(matches!(error, FunctionError::InvalidJson), "{error}");
        }
    }
}
