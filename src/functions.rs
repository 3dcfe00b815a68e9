//! `/functions/v1`: the original's edge functions, one file each, described by OpenAPI.
//!
//! [`endpoint`] is the gate in front of all of them: CORS preflight, unknown names, the key, the method; in this
//! order, as Supabase's gateway and the original's functions answer.

pub mod body;
mod caller;
pub mod create_ticket;
pub mod error;
pub mod executor_ticket_webhook;
pub mod idempotency;
mod javascript;
mod postgresql;
pub mod signed_in;
pub mod telegram_webhook;
pub mod ticket_activity_webhook;
pub mod user_onboarding_callback;
pub mod user_onboarding_request;

use std::sync::Arc;

use poem::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE,
};
use poem::http::{HeaderValue, Method, StatusCode, Uri};
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response};
use poem_openapi::payload::Json;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object, OpenApiService, Tags};
use serde_json::{Value, json};
use tracing::Instrument as _;

use crate::app::AppState;
use crate::auth::AuthContext;
use crate::gateway::{self, GatewayError};
pub use caller::Caller;
use error::{Dialect, FunctionError};

/// What the gate knows of a function.
struct Function {
    name: &'static str,
    dialect: Dialect,
    /// Whether the gateway asks for a key of the project first; otherwise the function sees to its caller itself.
    verify_jwt: bool,
}

const FUNCTIONS: [Function; 6] = [
    Function {
        name: telegram_webhook::NAME,
        dialect: telegram_webhook::DIALECT,
        verify_jwt: true,
    },
    Function {
        name: create_ticket::NAME,
        dialect: create_ticket::DIALECT,
        verify_jwt: true,
    },
    Function {
        name: ticket_activity_webhook::NAME,
        dialect: ticket_activity_webhook::DIALECT,
        verify_jwt: true,
    },
    Function {
        name: user_onboarding_request::NAME,
        dialect: user_onboarding_request::DIALECT,
        verify_jwt: true,
    },
    Function {
        name: user_onboarding_callback::NAME,
        dialect: user_onboarding_callback::DIALECT,
        verify_jwt: false,
    },
    Function {
        name: executor_ticket_webhook::NAME,
        dialect: executor_ticket_webhook::DIALECT,
        verify_jwt: false,
    },
];

/// The headings of the OpenAPI document.
#[derive(Tags)]
enum Tag {
    /// What the original's edge functions do, under their names
    Functions,
}

/// Request headers that browsers may send; the original's list, and the one it lacked.
const ALLOWED_HEADERS: &str = "authorization, x-client-info, apikey, content-type, idempotency-key";

/// The operations of all functions.
type Apis = (
    telegram_webhook::Api,
    create_ticket::Api,
    ticket_activity_webhook::Api,
    user_onboarding_request::Api,
    user_onboarding_callback::Api,
    executor_ticket_webhook::Api,
);

/// The OpenAPI service of all functions.
pub fn service(public_url: &str) -> OpenApiService<Apis, ()> {
    OpenApiService::new(
        (
            telegram_webhook::Api,
            create_ticket::Api,
            ticket_activity_webhook::Api,
            user_onboarding_request::Api,
            user_onboarding_callback::Api,
            executor_ticket_webhook::Api,
        ),
        "Dropwire functions",
        env!("CARGO_PKG_VERSION"),
    )
    .description(
        "The ticket system's edge functions, compatible with the Supabase original. \
         Send the project's anon key, service_role key or a user's token as `Authorization: Bearer …`; \
         an `apikey` header alone, or an `apikey` parameter in the query, is taken too. \
         Every answer has an `x-request-id`, the caller's own if it sent one; the log names it.",
    )
    .server(public_url)
    .url_prefix("/functions/v1")
}

/// Everything below `/functions/v1`.
pub fn endpoint(state: AppState) -> impl Endpoint {
    let service = service(&state.settings.public_url());
    service.data(state.clone()).around(move |functions, req| {
        let state = state.clone();
        async move { Ok::<_, poem::Error>(finish(gate(&state, functions, req).await)) }
    })
}

async fn gate<E: Endpoint>(state: &AppState, functions: Arc<E>, mut req: Request) -> Response {
    let (function, context) = match admit(state, &req) {
        Ok(admitted) => admitted,
        Err(turned_away) => {
            crate::http::body::discard(&mut req, state.settings.http.body_timeout);
            return turned_away.respond();
        }
    };
    if let Some(context) = context {
        req.extensions_mut().insert(context);
    }
    *req.uri_mut() = path_only(function.name);
    match functions.call(req).await {
        Ok(response) => response.into_response(),
        Err(error) => answer_error(error, function.dialect),
    }
}

/// A request that ends at the gate.
enum TurnedAway {
    /// A browser asks before it sends.
    Preflight,
    /// No such function.
    Unknown,
    /// No key, or one that does not verify.
    Unauthorized(GatewayError),
    /// The function takes POST only.
    Method(Dialect),
}

impl TurnedAway {
    fn respond(self) -> Response {
        match self {
            Self::Preflight => "ok".into_response(),
            Self::Unknown => {
                let body = json!({"code": "NOT_FOUND", "message": "Requested function was not found"});
                poem::web::Json(body)
                    .with_status(StatusCode::NOT_FOUND)
                    .into_response()
            }
            Self::Unauthorized(refusal) => {
                let body = json!({"code": 401, "message": refusal.to_string()});
                poem::web::Json(body)
                    .with_status(StatusCode::UNAUTHORIZED)
                    .into_response()
            }
            Self::Method(dialect) => FunctionError::MethodNotAllowed.respond(dialect),
        }
    }
}

fn admit(state: &AppState, req: &Request) -> Result<(&'static Function, Option<AuthContext>), TurnedAway> {
    if req.method() == Method::OPTIONS {
        return Err(TurnedAway::Preflight);
    }
    // What follows the name belongs to the function, as in Supabase's edge runtime.
    let name = req
        .uri()
        .path()
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    let function = FUNCTIONS
        .iter()
        .find(|f| f.name == name)
        .ok_or(TurnedAway::Unknown)?;
    let context = function
        .verify_jwt
        .then(|| gateway::authenticate(req, &state.verifier).map_err(TurnedAway::Unauthorized))
        .transpose()?;
    if req.method() != Method::POST {
        return Err(TurnedAway::Method(function.dialect));
    }
    Ok((function, context))
}

fn path_only(name: &'static str) -> Uri {
    Uri::builder()
        .path_and_query(format!("/{name}"))
        .build()
        .unwrap_or_default()
}

/// Our own errors carry their response; anything else is the framework's, and not for callers to read.
fn answer_error(error: poem::Error, dialect: Dialect) -> Response {
    if error.is_from_response() {
        return error.into_response();
    }
    tracing::error!(%error, "function failed outside of its handler");
    FunctionError::Internal.respond(dialect)
}

/// The headers that every answer of a function carries.
fn finish(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(ALLOWED_HEADERS),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST, OPTIONS"),
    );
    // The original answers plain `application/json`.
    if headers
        .get(CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"application/json"))
    {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

/// What the gateway answers to a missing or invalid key.
#[derive(Object)]
#[oai(example)]
struct GatewayRefusal {
    /// Always 401
    code: u16,
    message: String,
}

impl poem_openapi::types::Example for GatewayRefusal {
    fn example() -> Self {
        Self {
            code: 401,
            message: GatewayError::Missing.to_string(),
        }
    }
}

/// Describes one JSON answer for the OpenAPI document.
fn documented<T: Type>(
    status: StatusCode,
    description: &'static str,
    example: Option<Value>,
) -> MetaResponse {
    let schema = match example {
        // The framework has no place for an example but a schema, so this one wraps the shared one.
        Some(_) => {
            let schema = MetaSchema {
                all_of: vec![T::schema_ref()],
                example,
                ..MetaSchema::ANY
            };
            MetaSchemaRef::Inline(Box::new(schema))
        }
        None => T::schema_ref(),
    };
    MetaResponse {
        description,
        status: Some(status.as_u16()),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: "application/json",
            schema,
        }],
        headers: vec![],
    }
}

/// Runs a function's work on a task of its own, so that a caller who hangs up does not cut it short.
async fn to_the_end<T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, FunctionError>
where
    T: Send + 'static,
    E: Into<FunctionError> + Send + 'static,
{
    let done = tokio::spawn(work.in_current_span()).await;
    done.map_err(|_panicked| FunctionError::Internal)?
        .map_err(Into::into)
}

/// A successful answer of a function: 200 with a JSON body.
pub struct Success<T>(pub T);

impl<T: poem_openapi::types::ToJSON> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

impl<T: Type + poem_openapi::types::ToJSON> ApiResponse for Success<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![documented::<T>(StatusCode::OK, "Done", None)],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// The failures of a function in its dialect, as one type for handlers and the OpenAPI document.
trait Failures {
    /// The body's shape.
    type Body: Type;
    /// Which dialect renders it.
    const DIALECT: Dialect;
    /// What can go wrong, with its meaning; the first of a status is its example. 401 is always there.
    fn documented() -> Vec<(FunctionError, &'static str)>;
    /// Whose body a 401 has.
    const UNAUTHORIZED: Unauthorized = Unauthorized::Gateway;
}

/// Who turns away a caller without the right key.
enum Unauthorized {
    /// The gateway, before the function sees the request.
    Gateway,
    /// The function itself, in its dialect.
    Function,
    /// The gateway without any valid key, then the function without the right one.
    Both,
}

impl Unauthorized {
    /// The shape of the body, where `T` is the function's own.
    fn schema<T: Type>(&self) -> MetaSchemaRef {
        match self {
            Self::Gateway => GatewayRefusal::schema_ref(),
            Self::Function => T::schema_ref(),
            Self::Both => MetaSchemaRef::Inline(Box::new(MetaSchema {
                any_of: vec![GatewayRefusal::schema_ref(), T::schema_ref()],
                ..MetaSchema::ANY
            })),
        }
    }
}

/// A failed call, in the dialect of `F`.
#[derive(Debug)]
pub struct Failure<F> {
    error: FunctionError,
    function: std::marker::PhantomData<fn() -> F>,
}

impl<F> From<FunctionError> for Failure<F> {
    fn from(error: FunctionError) -> Self {
        Self {
            error,
            function: std::marker::PhantomData,
        }
    }
}

impl<F: Failures> From<Failure<F>> for poem::Error {
    fn from(failure: Failure<F>) -> Self {
        poem::Error::from_response(failure.error.respond(F::DIALECT))
    }
}

impl<F: Failures> ApiResponse for Failure<F> {
    fn meta() -> MetaResponses {
        let mut responses: Vec<_> = F::documented()
            .into_iter()
            .map(|(error, text)| MetaResponse {
                headers: documented_headers(&error.respond(F::DIALECT)),
                ..documented::<F::Body>(error.status(), text, Some(error.body(F::DIALECT)))
            })
            .collect();
        let mut unauthorized = documented::<GatewayRefusal>(
            StatusCode::UNAUTHORIZED,
            "No key, or one that does not verify or is not enough",
            None,
        );
        unauthorized.content[0].schema = F::UNAUTHORIZED.schema::<F::Body>();
        responses.push(unauthorized);
        responses.sort_by_key(|response| response.status);
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        F::Body::register(registry);
        GatewayRefusal::register(registry);
    }
}

/// The headers that an answer has beside its content type.
fn documented_headers(response: &Response) -> Vec<MetaHeader> {
    let names = response.headers().keys().filter(|name| **name != CONTENT_TYPE);
    names
        .map(|name| MetaHeader {
            name: name.to_string(),
            description: None,
            required: true,
            deprecated: false,
            schema: String::schema_ref(),
        })
        .collect()
}
