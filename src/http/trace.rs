//! Request ids, one log line a request, a bound on headers, and the last net for panics and unrouted paths.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use poem::http::{HeaderValue, StatusCode};
use poem::middleware::CatchPanic;
use poem::web::Json;
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response};
use serde_json::json;
use tracing::Instrument as _;
use uuid::Uuid;

/// The header that carries a request's id, both ways.
pub const REQUEST_ID: &str = "x-request-id";
/// Longest id that is taken over from a caller.
const ID_MAX_CHARS: usize = 128;
/// Most bytes of headers that a request may have, four times what Node.js takes. hyper's own bounds are 100 headers
/// and some 400 KB.
const HEADERS_MAX_BYTES: usize = 64 * 1024;

/// Wraps all routes.
pub fn trace(routes: impl Endpoint + 'static) -> impl Endpoint + 'static {
    routes
        .with(CatchPanic::new().with_handler(panicked))
        .around(answer)
}

async fn answer<E: Endpoint>(routes: Arc<E>, req: Request) -> poem::Result<Response> {
    let id = request_id(&req);
    let method = req.method().clone();
    let uri = req.uri().clone();
    let started = Instant::now();
    let span = tracing::info_span!("request", id);
    let mut response = if headers_len(&req) > HEADERS_MAX_BYTES {
        failure(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "Request header fields too large",
        )
    } else {
        match routes.call(req).instrument(span.clone()).await {
            Ok(response) => response.into_response(),
            Err(error) => unrouted(error),
        }
    };
    let status = response.status().as_u16();
    let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
    span.in_scope(|| tracing::debug!(%method, path = uri.path(), status, duration_ms, "answered"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(response)
}

fn headers_len(req: &Request) -> usize {
    req.headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

fn panicked(_payload: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request panicked");
    failure(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
}

/// The caller's id where it is a plain one, else a new one.
fn request_id(req: &Request) -> String {
    let given = req
        .header(REQUEST_ID)
        .filter(|id| !id.is_empty() && id.len() <= ID_MAX_CHARS && id.bytes().all(|b| b.is_ascii_graphic()));
    given.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

fn unrouted(error: poem::Error) -> Response {
    if error.is_from_response() {
        return error.into_response();
    }
    match error.status() {
        StatusCode::NOT_FOUND => failure(StatusCode::NOT_FOUND, "no Route matched with those values"),
        status if status.is_client_error() => {
            failure(status, status.canonical_reason().unwrap_or("Bad request"))
        }
        _ => {
            tracing::error!(%error, "request failed outside of its route");
            failure(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
        }
    }
}

/// The gateway's error shape: `{"message":…}`.
fn failure(status: StatusCode, message: &str) -> Response {
    Json(json!({ "message": message }))
        .with_status(status)
        .into_response()
}
