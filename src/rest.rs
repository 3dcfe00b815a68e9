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
use poem::{Endpoint, Request, Response};

use self::auth::Identity;
use self::auth::gate::Refusal;
use self::cors::Cors;
use self::error::{DatabaseError, RestError, Unavailable};
use self::execute::{Opening, Reading, Transaction};
use self::openapi::{Access, Server};
use self::plan::Plan;
use self::request::RawRequest;
use self::response::Answer;
use self::settings::RestSettings;
use self::state::{Current, RestState};
use self::timing::{Stage, Timing};
use crate::schema_cache::SchemaCache;

/// Bytes that a body may have, unless the wiring says otherwise.
pub const BODY_LIMIT: usize = 50 * 1024 * 1024;

/// Answers every request below a mount point.
pub struct Rest {
    /// What requests share.
    pub state: Arc<RestState>,
    /// The path before it: `/rest/v1`, or nothing.
    pub mount: &'static str,
    /// Where the OpenAPI document says that it is reached.
    pub server: Server,
    /// Bytes that a body may have.
    pub body_limit: usize,
}

impl Endpoint for Rest {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let current = self.state.current();
        let settings = &*current.settings;
        let cors = Cors::of(request.headers(), self.state.surface(), settings);
        let trace = wire::trace(request.headers(), settings);
        let mut response = if let Some(response) = cors.preflight(request.method(), request.headers()) {
            response
        } else {
            let mut response = self.answer(&current, request).await;
            cors.expose(response.headers_mut());
            response
        };
        response.headers_mut().extend(trace);
        Ok(response)
    }
}

impl Rest {
    async fn answer(&self, current: &Current, request: Request) -> Response {
        let settings = &*current.settings;
        let answer = AssertUnwindSafe(self.respond(current, request)).catch_unwind();
        match answer.await {
            Ok(Ok(answer)) => wire::answer(answer),
            Ok(Err(refusal)) => wire::refusal(&refusal, settings),
            Err(_panic) => {
                let error = RestError::Internal("a request panicked".to_owned());
                wire::refusal(&Refusal::Rest(error), settings)
            }
        }
    }

    /// The pipeline.
    async fn respond(&self, current: &Current, mut http: Request) -> Result<Answer, Refusal> {
        let settings = &*current.settings;
        let mut timing = Timing::start();
        let identity = self.state.identify(current, http.headers(), http.uri().query())?;
        timing.end(Stage::Jwt);

        let cache = self
            .state
            .schema_cache()
            .ok_or(RestError::from(Unavailable::SchemaCache))?;
        let body = match wire::read(http.take_body(), self.body_limit).await {
            Ok(body) => body,
            Err(answer) => return Ok(answer),
        };
        timing.resume();
        let request = self.parse(&http, body, settings)?;
        timing.end(Stage::Parse);

        let plan = plan::build(&request, &cache, settings)?;
        timing.end(Stage::Plan);

        let mut answer = match Transaction::of(&plan, &request, settings, &identity) {
            Some(transaction) => {
                let outcome = execute::run(&self.state.pool, transaction).await?;
                timing.end(Stage::Transaction);
                response::build(&plan, &request, settings, outcome)?
            }
            None => {
                self.describe(&plan, &request, &cache, settings, &identity)
                    .await?
            }
        };
        timing.end(Stage::Response);
        if settings.server_timing {
            answer.set_timing(&timing);
        }
        Ok(answer)
    }

    fn parse(
        &self,
        http: &Request,
        body: Bytes,
        settings: &RestSettings,
    ) -> Result<request::Request, RestError> {
        let uri = http.original_uri();
        // Raw, as it came: it is taken apart before it is decoded.
        let path = match uri.path().strip_prefix(self.mount) {
            Some("") => "/",
            Some(path) => path,
            None => uri.path(),
        };
        let raw = RawRequest {
            method: http.method().as_str(),
            path,
            query: &self.state.query(uri.query().unwrap_or_default()),
            headers: http.headers(),
            body,
        };
        Ok(request::parse(&raw, settings)?)
    }

    /// Answers from the schema cache: OPTIONS, and the root.
    async fn describe(
        &self,
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
        let reading = Reading::begin(&self.state.pool, &opening).await?;
        let access = Access::query(reading.client(), schema, settings.openapi_mode).await;
        let access = reading.finish(access).await?;
        let document = openapi::document(cache, &access, settings, schema, &self.server);
        Ok(response::openapi(document, *head, request))
    }
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
