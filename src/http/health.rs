//! `/live` and `/ready`, for supervisors and load balancers.

use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::web::{Data, Json};
use poem::{IntoResponse, Response, handler};
use serde_json::json;

use crate::error::chain;
use crate::rest::state::RestState;

/// Longest wait for the database's answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the process works at all: always 200.
#[handler]
pub fn live() -> Json<serde_json::Value> {
    Json(json!({"status": "live"}))
}

/// Whether requests can be served as they should be: 200 when the database answers and the schema cache is that of
/// its latest reload, else 503.
#[handler]
pub async fn ready(rest: Data<&Arc<RestState>>) -> Response {
    match tokio::time::timeout(PATIENCE, rest.pool.query("select 1", &[])).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return no_database(&chain(&error)),
        Err(_elapsed) => return no_database("the database did not answer in time"),
    }
    let cache = rest.cache_state();
    if cache.is_ready() {
        return Json(json!({"status": "ready"})).into_response();
    }
    tracing::warn!(
        reason = cache.failing,
        "not ready: the schema cache is not loaded"
    );
    let message = match (cache.loads, cache.failing.is_some()) {
        (0, false) => "The schema cache is being loaded",
        (0, true) => "The schema cache could not be loaded; see the server's log",
        _ => "The schema cache could not be reloaded, the old one is being served; see the server's log",
    };
    unavailable(message)
}

fn no_database(why: &str) -> Response {
    tracing::warn!("not ready: {why}");
    unavailable("The database does not answer; see the server's log")
}

fn unavailable(message: &str) -> Response {
    Json(json!({"status": "unavailable", "message": message}))
        .with_status(StatusCode::SERVICE_UNAVAILABLE)
        .into_response()
}
