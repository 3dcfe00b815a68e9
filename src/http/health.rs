//! `/live` and `/ready`, for supervisors and load balancers.

use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::web::{Data, Json};
use poem::{IntoResponse, Response, handler};
use serde_json::json;

use crate::error::chain;
use crate::pg::pool::Pool;
use crate::rest::state::RestState;

/// Longest wait for the database's answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the process works at all: always 200.
#[handler]
pub fn live() -> Json<serde_json::Value> {
    Json(json!({"status": "live"}))
}

/// Whether requests can be served as they should be: 200 when the database answers on each pool and the schema cache is
/// that of its latest reload, else 503. `others` is the pool of what is not `/rest/v1`, where there is anything else.
#[handler]
pub async fn ready(rest: Data<&Arc<RestState>>, others: Option<Data<&Pool>>) -> Response {
    let answers = async {
        rest.pool.ping().await.map_err(|error| chain(&error))?;
        match others {
            Some(pool) => pool.execute("select 1", &[]).await.map(drop),
            None => Ok(()),
        }
        .map_err(|error| chain(&error))
    };
    match tokio::time::timeout(PATIENCE, answers).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return no_database(&error),
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
