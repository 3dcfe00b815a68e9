//! `/functions/v1`: the original's edge functions, one file each, described by OpenAPI.
//!
//! [`endpoint`] is the gate in front of all of them: CORS preflight, unknown names, the key, the method; in this
//! order, as Supabase's gateway and the original's functions answer.

pub mod body;
pub mod error;
pub mod idempotency;
mod javascript;
pub mod telegram_webhook;
pub mod ticket_activity_webhook;

use std::sync::Arc;

use poem::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE,
};
use poem::http::{HeaderValue, Method, StatusCode, Uri};
use poem::{Endpoint, EndpointExt, FromRequest, IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::Json;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object, OpenApiService};
use serde_json::json;

use crate::app::AppState;
use crate::auth::AuthContext;
use crate::gateway::{self, GatewayError};
use error::{Dialect, FunctionError};

/// What the gate knows of a function.
struct Function {
    name: &'static str,
    dialect: Dialect,
}

const FUNCTIONS: [Function; 2] = [
    Function {
        name: telegram_webhook::NAME,
        dialect: telegram_webhook::DIALECT,
    },
    Function {
        name: ticket_activity_webhook::NAME,
        dialect: ticket_activity_webhook::DIALECT,
    },
];

/// Request headers that browsers may send; the original's list, and the one it lacked.
const ALLOWED_HEADERS: &str = "authorization, x-client-info, apikey, content-type, idempotency-key";

/// The OpenAPI service of all functions.
pub fn service(
    public_url: &str,
) -> OpenApiService<(telegram_webhook::Api, ticket_activity_webhook::Api), ()> {
    OpenApiService::new(
        (telegram_webhook::Api, ticket_activity_webhook::Api),
        "Dropwire functions",
        env!("CARGO_PKG_VERSION"),
    )
    .description(
        "The ticket system's edge functions, compatible with the Supabase original. \
         Send the project's anon key, service_role key or a user's token as `Authorization: Bearer …`; \
         an `apikey` header alone is taken too.",
    )
    .server(format!("{public_url}/functions/v1"))
    .url_prefix("/functions/v1")
}

/// Everything below `/functions/v1`.
pub fn endpoint(state: AppState) -> impl Endpoint {
    let service = service(&state.settings.public_url);
    service.data(state.clone()).around(move |functions, req| {
        let state = state.clone();
        async move { Ok::<_, poem::Error>(finish(gate(&state, functions, req).await)) }
    })
}

async fn gate<E: Endpoint>(state: &AppState, functions: Arc<E>, mut req: Request) -> Response {
    let (function, context) = match admit(state, &req) {
        Ok(admitted) => admitted,
        Err(turned_away) => {
            body::discard(&mut req, state.settings.http.body_timeout);
            return turned_away.respond();
        }
    };
    req.extensions_mut().insert(context);
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

fn admit(state: &AppState, req: &Request) -> Result<(&'static Function, AuthContext), TurnedAway> {
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
    let context = gateway::authenticate(req, &state.verifier).map_err(TurnedAway::Unauthorized)?;
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

/// The verified caller of a function.
pub struct Caller(pub AuthContext);

impl<'a> FromRequest<'a> for Caller {
    async fn from_request(req: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let context = req.extensions().get::<AuthContext>().cloned();
        context
            .map(Self)
            .ok_or_else(|| poem::Error::from_status(StatusCode::UNAUTHORIZED))
    }
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
fn documented<T: Type>(status: u16, description: &'static str) -> MetaResponse {
    MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: "application/json",
            schema: T::schema_ref(),
        }],
        headers: vec![],
    }
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
            responses: vec![documented::<T>(200, "Done")],
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
    /// Statuses with their meaning; 401 is the gateway's and always there.
    const STATUSES: &'static [(u16, &'static str)];
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
        let mut responses: Vec<_> = F::STATUSES
            .iter()
            .map(|(status, text)| documented::<F::Body>(*status, text))
            .collect();
        responses.push(documented::<GatewayRefusal>(
            401,
            "No key, or one that does not verify",
        ));
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        F::Body::register(registry);
        GatewayRefusal::register(registry);
    }
}
