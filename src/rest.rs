//! `/rest/v1`: PostgREST's wire behaviour.
//!
//! ```text
//! HTTP -> auth -> request::parse -> plan::build(&SchemaCache) -> query::render -> execute -> response::build
//!        PGRST3xx  PGRST1xx          PGRST2xx                     (cannot fail)   SQLSTATE   406, 416
//! ```

pub mod auth;
pub mod error;
pub mod plan;
pub mod query;
pub mod request;
pub mod settings;
pub mod state;

use poem::{IntoResponse as _, Request, Response};

use self::auth::gate::Refusal;
use self::state::RestState;

/// Answers a request below `mount`, which is `/rest/v1` or empty.
pub async fn handle(state: &RestState, mount: &str, request: Request) -> Response {
    let current = state.current();
    let (headers, query) = (request.headers(), request.uri().query());
    let _below = mount;
    match state.identify(&current, headers, query) {
        Err(Refusal::Gateway(refusal)) => refusal
            .body()
            .with_content_type("application/json; charset=utf-8")
            .with_status(poem::http::StatusCode::UNAUTHORIZED)
            .into_response(),
        _ => poem::http::StatusCode::NOT_IMPLEMENTED.into_response(),
    }
}
