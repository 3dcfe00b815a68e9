//! Errors on the wire: status, headers, and the four-key body.
//!
//! One file a stage. Codes, texts and statuses are PostgREST's; `database` has the status of each SQLSTATE.

#![warn(clippy::wildcard_enum_match_arm)]

mod database;
mod plan;
mod request;

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{IdempotencyError, JwtError, RestError, Unavailable};
use crate::rest::settings::RestSettings;

/// A failed request's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    /// The status, from 100 to 999.
    pub status: u16,
    /// The headers, `Content-Type` among them. Their names and values are well formed.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body, JSON.
    pub body: String,
}

impl RestError {
    /// The answer that tells the caller.
    pub fn wire(&self, settings: &RestSettings) -> WireError {
        let answer = match self {
            Self::Request(error) => request::answer(error),
            Self::Plan(error) => plan::answer(error),
            Self::Jwt(error) => jwt(error),
            Self::Idempotency(error) => idempotency(*error),
            Self::Database(error) => database::answer(error),
            Self::Unavailable(error) => unavailable(*error),
            Self::Internal(_) => Answer {
                hint: Some("The server's log has the cause.".into()),
                ..Answer::new(500, "PGRSTX00", "Internal error")
            },
        };
        answer.into_wire(settings.verbose_errors)
    }
}

/// An error in the wire's terms.
struct Answer<'e> {
    status: u16,
    code: Cow<'e, str>,
    message: Cow<'e, str>,
    details: Option<Value>,
    hint: Option<Cow<'e, str>>,
    headers: Vec<(Cow<'static, str>, String)>,
}

impl<'e> Answer<'e> {
    /// An answer without details, hint and further headers.
    fn new(status: u16, code: impl Into<Cow<'e, str>>, message: impl Into<Cow<'e, str>>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            details: None,
            hint: None,
            headers: Vec::new(),
        }
    }

    fn details(self, details: impl Into<String>) -> Self {
        Self {
            details: Some(Value::String(details.into())),
            ..self
        }
    }

    fn hint(self, hint: impl Into<Cow<'e, str>>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((Cow::Borrowed(name), value));
        self
    }

    fn into_wire(self, verbose: bool) -> WireError {
        let has_type = |(name, _): &(Cow<'_, str>, _)| name.eq_ignore_ascii_case("content-type");
        let mut headers = Vec::with_capacity(2 + self.headers.len());
        if !self.headers.iter().any(has_type) {
            let json = "application/json; charset=utf-8".to_owned();
            headers.push((Cow::Borrowed("Content-Type"), json));
        }
        let status = format!("PostgREST; error={}", printable(&self.code));
        headers.push((Cow::Borrowed("Proxy-Status"), status));
        headers.extend(self.headers);

        // Keys in the order of the alphabet, as PostgREST writes them.
        let text = |text: Cow<'_, str>| Value::String(text.into_owned());
        let mut body = Map::new();
        body.insert("code".to_owned(), text(self.code));
        if verbose {
            body.insert("details".to_owned(), self.details.unwrap_or_default());
            body.insert("hint".to_owned(), self.hint.map(text).unwrap_or_default());
        }
        body.insert("message".to_owned(), text(self.message));
        WireError {
            status: self.status,
            headers,
            body: Value::Object(body).to_string(),
        }
    }
}

/// What of a text may stand in a header's value.
fn printable(text: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_graphic() || c == ' ';
    if text.chars().all(fits) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().filter(|c| fits(*c)).collect())
    }
}

fn jwt(error: &JwtError) -> Answer<'_> {
    let invalid = |code, message: &'_ str| {
        let description = printable(message).replace('\\', "\\\\").replace('"', "\\\"");
        Answer::new(401, code, message.to_owned()).header(
            "WWW-Authenticate",
            format!("Bearer error=\"invalid_token\", error_description=\"{description}\""),
        )
    };
    match error {
        JwtError::SecretMissing => Answer::new(500, "PGRST300", "Server lacks JWT secret"),
        JwtError::Decode { message, details } => Answer {
            details: details.clone().map(Value::String),
            ..invalid("PGRST301", message)
        },
        JwtError::TokenRequired => Answer::new(401, "PGRST302", "Anonymous access is disabled")
            .header("WWW-Authenticate", "Bearer".to_owned()),
        JwtError::Claims(message) => invalid("PGRST303", message),
    }
}

fn idempotency(error: IdempotencyError) -> Answer<'static> {
    match error {
        IdempotencyError::Invalid(error) => Answer {
            hint: Some("Leave the header out, or send a UUID.".into()),
            ..Answer::new(400, "idempotency_key_invalid", error.to_string())
        },
        IdempotencyError::Reused => Answer {
            hint: Some(
                "Use a new key for a new request. To hear the first answer again, send the first request again \
                 unchanged."
                    .into(),
            ),
            ..Answer::new(422, "idempotency_key_reused", error.to_string())
                .details("Body, query string, Prefer, Accept, Content-Type, profile and range have to be the same.")
        },
    }
}

fn unavailable(error: Unavailable) -> Answer<'static> {
    let (status, code, message) = match error {
        Unavailable::Connection => (503, "PGRST000", "Database connection error."),
        Unavailable::ConnectionLost => (503, "PGRST001", "Database client error. Retrying the connection."),
        Unavailable::SchemaCache => (
            503,
            "PGRST002",
            "Could not query the database for the schema cache. Retrying.",
        ),
        Unavailable::PoolTimeout => (
            504,
            "PGRST003",
            "Timed out acquiring connection from connection pool.",
        ),
    };
    Answer::new(status, code, message)
}

#[cfg(test)]
mod tests;
