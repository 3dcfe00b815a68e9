//! Answers and refusals as HTTP has them.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use poem::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use poem::{Body, Response};

use super::auth::gate::Refusal;
use super::error::RestError;
use super::execute;
use super::response::Answer;
use super::settings::RestSettings;
use crate::http::abort;
use crate::http::body::BodyError;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// Sends an answer over a connection of that version.
pub(super) fn answer(answer: Answer, version: Version) -> Response {
    let mut response = Response::from(match answer.body {
        execute::Body::Whole(bytes) => Body::from_bytes(bytes),
        execute::Body::Rows(rows) if version == Version::HTTP_2 => Body::from_bytes_stream(rows),
        execute::Body::Rows(rows) => Body::from_bytes_stream(rows.inspect_err(|_late| abort::break_off())),
    });
    response.set_status(answer.status);
    *response.headers_mut() = answer.headers;
    response
}

/// Sends a refusal, and logs it: the caller's mistakes quietly, ours as errors.
pub(super) fn refusal(refusal: &Refusal, settings: &RestSettings) -> Response {
    let error = match refusal {
        Refusal::Rest(error) => error,
        Refusal::Gateway(key) => {
            tracing::debug!(%refusal, "refused");
            return json(StatusCode::UNAUTHORIZED, key.body().to_owned());
        }
    };
    let wire = error.wire(settings);
    let status = StatusCode::from_u16(wire.status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_server_error() {
        tracing::error!(status = status.as_u16(), %error, detail = cause(error), "a request failed");
    } else {
        tracing::debug!(status = status.as_u16(), %error, "refused");
    }
    let mut response = json(status, wire.body);
    for (name, value) in &wire.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().insert(name, value);
        }
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        // A lost connection is replaced by the next request that needs one.
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// What the log needs beside the error's own text.
fn cause(error: &RestError) -> Option<&str> {
    match error {
        RestError::Database(error) => Some(&error.message),
        _ => None,
    }
}

/// The header that joins a request's traces, to be sent back as it came.
pub(super) fn trace(headers: &HeaderMap, settings: &RestSettings) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(settings.trace_header.as_ref()?.as_bytes()).ok()?;
    let value = headers.get(&name).cloned();
    Some((name, value.unwrap_or(HeaderValue::from_static(""))))
}

/// Answers a request whose body could not be read.
pub(super) fn unread(error: BodyError, limit: usize) -> Answer {
    let (status, message) = match error {
        BodyError::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The request body has more than {limit} bytes"),
        ),
        BodyError::Late => (
            StatusCode::REQUEST_TIMEOUT,
            "The request body did not arrive in time".to_owned(),
        ),
        BodyError::BrokenOff => (StatusCode::BAD_REQUEST, "The request body broke off".to_owned()),
    };
    let body = serde_json::json!({ "code": "PGRST102", "details": null, "hint": null, "message": message });
    let body = Bytes::from(body.to_string());
    let headers = [(CONTENT_TYPE, JSON), (CONTENT_LENGTH, body.len().into())];
    Answer {
        status,
        headers: headers.into_iter().collect(),
        body: execute::Body::Whole(body),
    }
}

fn json(status: StatusCode, body: String) -> Response {
    let mut response = Response::from(Body::from_string(body));
    response.set_status(status);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}
