//! `/rest/v1`: PostgREST's wire behaviour.
//!
//! ```text
//! HTTP -> auth -> request::parse -> plan::build(&SchemaCache) -> query::render -> execute -> response::build
//!        PGRST3xx  PGRST1xx          PGRST2xx                     (cannot fail)   SQLSTATE   406, 416
//! ```

pub mod auth;
pub mod cors;
pub mod error;
pub mod execute;
pub mod idempotency;
pub mod openapi;
pub mod plan;
pub mod query;
pub mod request;
pub mod response;
pub mod settings;
pub mod state;
pub mod timing;
mod wire;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use poem::http::{Method, Uri};
use poem::{Request, Response};

use self::auth::Identity;
use self::auth::gate::Refusal;
use self::cors::Cors;
use self::error::{DatabaseError, RestError, Unavailable};
use self::execute::{Once, Opening, Reading, Transaction};
use self::idempotency::Claim;
use self::openapi::Access;
use self::plan::Plan;
use self::request::RawRequest;
use self::response::Answer;
use self::settings::{RestSettings, Surface};
use self::state::{Current, RestState};
use self::timing::{Stage, Timing};
use crate::http::body;
use crate::schema_cache::SchemaCache;

/// Answers a request below `mount`, which is `/rest/v1` or empty.
pub async fn handle(state: &RestState, mount: &str, request: Request) -> Response {
    let current = state.current();
    let settings = &*current.settings;
    let cors = Cors::of(request.headers(), state.surface(), settings);
    let trace = wire::trace(request.headers(), settings);
    let version = request.version();
    let mut response = if let Some(response) = cors.preflight(request.method(), request.headers()) {
        response
    } else {
        // Boxed, since it is large and the layers around it hand it on by value.
        let answer = Box::pin(respond(state, &current, mount, request));
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let mut response = match answer.await {
            Ok(Ok(answer)) => wire::answer(answer, version),
            Ok(Err(refusal)) => wire::refusal(&refusal, settings),
            Err(_panic) => wire::refusal(&panicked().into(), settings),
        };
        cors.expose(response.headers_mut());
        response
    };
    response.headers_mut().extend(trace);
    response
}

/// The pipeline.
async fn respond(
    state: &RestState,
    current: &Current,
    mount: &str,
    mut http: Request,
) -> Result<Answer, Refusal> {
    let settings = &*current.settings;
    let mut timing = Timing::start(settings.server_timing);
    let asked = state.identify(current, http.headers(), http.uri().query());
    timing.end(Stage::Jwt);
    let cache = state
        .schema_cache()
        .ok_or(RestError::from(Unavailable::SchemaCache));
    let (identity, cache) = match asked.and_then(|identity| Ok((identity, cache?))) {
        Ok(known) => known,
        Err(refusal) => {
            body::discard(&mut http, state.http.body_timeout);
            return Err(refusal);
        }
    };
    let body = http.take_body();
    let limit = state.http.rest_body_limit;
    let body = match body::read(http.headers(), body, limit, state.http.body_timeout).await {
        Ok(body) => body,
        Err(error) => return Ok(wire::unread(error, limit)),
    };
    timing.resume();
    let claim = claim(state, mount, &http, &body, &identity)?;
    let request = parse(state, mount, &http, body, settings)?;
    timing.end(Stage::Parse);

    let plan = plan::build(&request, &cache, settings)?;
    timing.end(Stage::Plan);

    let mut answer = match Transaction::of(&plan, &request, settings, &identity) {
        Some(transaction) => match claim.filter(|_| transaction.writes()) {
            None => {
                transaction.log(settings.log_query);
                let outcome = execute::run(&state.pool, transaction).await?;
                timing.end(Stage::Transaction);
                response::build(&plan, &request, settings, outcome)?
            }
            Some(claim) => {
                transaction.log(settings.log_query);
                let settings = Arc::clone(&current.settings);
                let build = move |outcome| {
                    let answer = response::build(&plan, &request, &settings, outcome)?;
                    let kept = idempotency::keep(&answer);
                    Ok((answer, kept))
                };
                let once = Box::pin(execute::run_once(&state.pool, transaction, claim, build)).await?;
                timing.end(Stage::Transaction);
                match once {
                    Once::Ran(answer) => answer,
                    Once::Kept(kept) => idempotency::replay(kept)?,
                }
            }
        },
        None => Box::pin(describe(state, &plan, &request, &cache, settings, &identity)).await?,
    };
    timing.end(Stage::Response);
    if settings.server_timing {
        answer.set_timing(&timing);
    }
    Ok(answer)
}

fn parse(
    state: &RestState,
    mount: &str,
    http: &Request,
    body: Bytes,
    settings: &RestSettings,
) -> Result<request::Request, RestError> {
    let uri = http.original_uri();
    let raw = RawRequest {
        method: http.method().as_str(),
        path: path_below(mount, uri),
        query: &state.query(uri.query().unwrap_or_default()),
        headers: http.headers(),
        body,
    };
    Ok(request::parse(&raw, settings)?)
}

/// The path below the mount. Raw, as it came: it is taken apart before it is decoded.
fn path_below<'a>(mount: &str, uri: &'a Uri) -> &'a str {
    match uri.path().strip_prefix(mount) {
        Some("") => "/",
        Some(path) => path,
        None => uri.path(),
    }
}

/// The idempotency key of a POST. On PostgREST's surface the header means nothing: its database keeps no answers.
fn claim(
    state: &RestState,
    mount: &str,
    http: &Request,
    body: &[u8],
    identity: &Identity,
) -> Result<Option<Claim>, RestError> {
    if state.surface() != Surface::Supabase || *http.method() != Method::POST {
        return Ok(None);
    }
    let uri = http.original_uri();
    let pending = idempotency::read(http.headers(), path_below(mount, uri), identity)?;
    let query = state.query(uri.query().unwrap_or_default());
    Ok(pending.map(|pending| pending.claim(http.headers(), &query, body)))
}

/// Answers from the schema cache: OPTIONS, and the root.
async fn describe(
    state: &RestState,
    plan: &Plan,
    request: &request::Request,
    cache: &SchemaCache,
    settings: &RestSettings,
    identity: &Identity,
) -> Result<Answer, RestError> {
    let Plan::InspectSchema { schema, head } = plan else {
        return response::info(plan, cache);
    };
    if !settings.openapi_for_anon && settings.anon_role.as_ref() == Some(&identity.role) {
        return Err(refuse_description());
    }
    let opening = Opening::of(plan, request, settings, identity);
    let reading = Reading::begin(&state.describing, &opening).await?;
    let access = Access::query(reading.client(), schema, settings.openapi_mode).await;
    let access = reading.finish(access).await?;
    let document = openapi::document(cache, &access, settings, schema, &state.server);
    Ok(response::openapi(document, *head, request))
}

/// On Supabase's surface the root is not for everybody.
fn refuse_description() -> RestError {
    RestError::Database(Box::new(DatabaseError {
        code: "42501".to_owned(),
        message: "permission denied for the OpenAPI description".to_owned(),
        detail: None,
        hint: Some("Use the service_role key or the secret key.".to_owned()),
        authenticated: true,
    }))
}

fn panicked() -> RestError {
    RestError::Internal("a request panicked".to_owned())
}
