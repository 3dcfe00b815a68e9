//! `/live` and `/ready`, for supervisors and load balancers.

use std::time::Duration;

use poem::http::StatusCode;
use poem::web::{Data, Json};
use poem::{IntoResponse, Response, handler};
use serde_json::json;

use crate::app::AppState;
use crate::error::chain;

/// Longest wait for the database's answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the process works at all: always 200.
#[handler]
pub fn live() -> Json<serde_json::Value> {
    Json(json!({"status": "live"}))
}

/// Whether requests can be served: 200 when the database answers, else 503.
#[handler]
pub async fn ready(state: Data<&AppState>) -> Response {
    match tokio::time::timeout(PATIENCE, state.pool.query("select 1", &[])).await {
        Ok(Ok(_)) => Json(json!({"status": "ready"})).into_response(),
        Ok(Err(error)) => not_ready(&chain(&error)),
        Err(_elapsed) => not_ready("the database did not answer in time"),
    }
}

fn not_ready(why: &str) -> Response {
    tracing::warn!("not ready: {why}");
    let body =
        json!({"status": "unavailable", "message": "The database does not answer; see the server's log"});
    Json(body)
        .with_status(StatusCode::SERVICE_UNAVAILABLE)
        .into_response()
}
