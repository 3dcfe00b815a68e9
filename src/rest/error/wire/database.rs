//! PostgreSQL's errors: their own code and texts, and the status that their SQLSTATE has.
//!
//! SQLSTATEs: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use std::borrow::Cow;

use poem::http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use tokio_postgres::error::DbError;

use super::Answer;
use super::request::{RAISE_MESSAGE, raise_unparsable};
use crate::rest::error::DatabaseError;

impl DatabaseError {
    /// What pg-safeupdate says of an `UPDATE` or `DELETE` without a condition.
    pub fn without_where(statement: &str) -> Self {
        Self {
            code: "21000".to_owned(),
            message: format!("{statement} requires a WHERE clause"),
            ..Self::default()
        }
    }

    /// The SQLSTATE by which a function answers what it likes.
    fn is_raised_answer(&self) -> bool {
        self.code == "PGRST"
    }
}

impl From<&DbError> for DatabaseError {
    /// Whether the request had a token is for the caller to say.
    fn from(error: &DbError) -> Self {
        Self {
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
            authenticated: false,
        }
    }
}

pub(super) fn answer(error: &DatabaseError) -> Answer<'_> {
    if error.is_raised_answer() {
        return raised(error).unwrap_or_else(|details| raise_unparsable(&details));
    }
    let status = status(error);
    let answer = Answer {
        details: error.detail.clone().map(Value::String),
        hint: error.hint.as_deref().map(Cow::Borrowed),
        ..Answer::new(status, &error.code, &error.message)
    };
    if status == 401 {
        answer.header("WWW-Authenticate", "Bearer".to_owned())
    } else {
        answer
    }
}

fn status(error: &DatabaseError) -> u16 {
    let code = error.code.as_str();
    let message = error.message.as_str();
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        ("PT", _) => code.get(2..).and_then(requested_status).unwrap_or(500),
        // foreign_key_violation, unique_violation
        (_, "23503" | "23505") => 409,
        // read_only_sql_transaction
        (_, "25006") => 405,
        // cardinality_violation; pg-safeupdate uses it for what the caller did wrong, and so is a key that one upsert has
        // twice (500 in PostgREST)
        (_, "21000")
            if message.ends_with("requires a WHERE clause")
                || message.starts_with("ON CONFLICT DO UPDATE command") =>
        {
            400
        }
        // object_not_in_prerequisite_state: a view that cannot be written to (500 in PostgREST)
        (_, "55000") if message.starts_with("cannot ") && message.contains(" view ") => 405,
        // invalid_parameter_value, also of `set role`: the token names a role that is not there
        (_, "22023") if message.starts_with("role") && message.ends_with("does not exist") => 401,
        // cardinality_violation of the database's own making, configuration_limit_exceeded, a policy's recursion
        (_, "21000" | "53400" | "42P17") => 500,
        // raise_exception; too_many_columns, of a select list that the request wrote (500 in PostgREST)
        (_, "P0001" | "54011") => 400,
        // undefined_function: a type that XML cannot be made of, or a function that is not there
        (_, "42883") if message.starts_with("function xmlagg(") => 406,
        // undefined_function, undefined_table
        (_, "42883" | "42P01") => 404,
        // insufficient_privilege: a token may help, unless there is one
        (_, "42501") => {
            if error.authenticated {
                403
            } else {
                401
            }
        }
        // admin_shutdown; connection, resources
        (_, "57P01") | ("08" | "53", _) => 503,
        // grantor, role, authorization
        ("0L" | "0P" | "28", _) => 403,
        // triggered action, transactions, routines, savepoints, limits, state, intervention, system, configuration,
        // foreign data, PL/pgSQL, internal
        (
            "09" | "25" | "2D" | "38" | "39" | "3B" | "40" | "54" | "55" | "57" | "58" | "F0" | "HV" | "P0"
            | "XX",
            _,
        ) => 500,
        _ => 400,
    }
}

/// A status that HTTP can carry.
fn requested_status(digits: &str) -> Option<u16> {
    let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|status| *status >= 100)
}

/// The answer that a function raised: `code`, `message`, `details` and `hint` in its message, `status` and `headers`
/// in its detail.
fn raised(error: &DatabaseError) -> Result<Answer<'_>, String> {
    let message =
        raised_message(&error.message).ok_or_else(|| format!("{RAISE_MESSAGE}'{}'", error.message))?;
    let detail = error
        .detail
        .as_ref()
        .ok_or("DETAIL is missing in the RAISE statement")?;
    let (status, headers) =
        raised_detail(detail).ok_or_else(|| format!("Invalid JSON value for DETAIL: '{detail}'"))?;
    Ok(Answer {
        status,
        headers,
        ..message
    })
}

fn raised_message(message: &str) -> Option<Answer<'static>> {
    let mut object: Map<String, Value> = serde_json::from_str(message).ok()?;
    let mut optional = |key: &str| match object.remove(key) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => None,
    };
    let code = optional("code")??;
    let message = optional("message")??;
    Some(Answer {
        details: optional("details")?.map(Value::String),
        hint: optional("hint")?.map(Cow::Owned),
        ..Answer::new(400, code, message)
    })
}

type Headers = Vec<(Cow<'static, str>, String)>;

fn raised_detail(detail: &str) -> Option<(u16, Headers)> {
    let object: Map<String, Value> = serde_json::from_str(detail).ok()?;
    let status = object.get("status")?;
    let status = status.as_i64().or_else(|| whole(status.as_f64()?))?;
    if !matches!(
        object.get("status_text"),
        None | Some(Value::Null | Value::String(_))
    ) {
        return None;
    }
    let mut headers = Vec::new();
    for (name, value) in object.get("headers")?.as_object()? {
        let value = value.as_str()?;
        if may_be_set(name, value) {
            headers.push((Cow::Owned(name.clone()), value.to_owned()));
        }
    }
    // HTTP has no room for other numbers.
    let status = u16::try_from(status)
        .ok()
        .filter(|status| (100..1000).contains(status));
    Some((status.unwrap_or(500), headers))
}

/// `404.0` is a whole number as well.
fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    (number.fract() == 0.0 && number.abs() < 1e6).then_some(number as i64)
}

/// Whether a header can be sent, and does not upset how the answer is framed.
fn may_be_set(name: &str, value: &str) -> bool {
    const FRAMING: [&str; 3] = ["content-length", "transfer-encoding", "connection"];
    HeaderName::from_bytes(name.as_bytes()).is_ok()
        && HeaderValue::from_str(value).is_ok()
        && !FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing))
}
