//! A signed-in user as the caller of a function: the credential of those that act on somebody's behalf.
//!
//! Two doors stand in front of them, as in the original. The gateway's comes first: without any key, or with a token
//! that does not verify, its own 401 answers. What it lets in may still be no user: a key in `apikey` alone, or the
//! project's anon or service_role key, gets the function's 401.

use poem::http::header::AUTHORIZATION;
use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use uuid::Uuid;

use super::caller::bearer_scheme;
use super::error::{Dialect, FunctionError};
use crate::auth::{AuthContext, Role};

const SCHEME: &str = "userToken";

/// The user whose access token came with the request.
///
/// The token is believed until it expires; whether the account still exists, its row in `users` tells.
#[derive(Debug, Clone, Copy)]
pub struct SignedIn {
    /// The account's id, and the id of its row in `users`.
    pub user_id: Uuid,
}

impl SignedIn {
    fn of(request: &Request) -> Result<Self, FunctionError> {
        // Literally so, as the original: it reads the header itself.
        let bearer = request
            .header(AUTHORIZATION)
            .is_some_and(|header| header.starts_with("Bearer "));
        if !bearer {
            return Err(FunctionError::BearerMissing);
        }
        let context = request
            .extensions()
            .get::<AuthContext>()
            .filter(|context| context.role == Role::Authenticated);
        let user_id = context
            .and_then(|context| context.claims.get("sub")?.as_str())
            .and_then(|sub| Uuid::try_parse(sub).ok());
        user_id
            .map(|user_id| Self { user_id })
            .ok_or(FunctionError::Unauthorized)
    }
}

impl<'a> ApiExtractor<'a> for SignedIn {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let description = "A signed-in user's access token; the project's own keys are not enough";
        registry.create_security_scheme(SCHEME, bearer_scheme(description, Some("JWT")));
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Self::of(request).map_err(|error| poem::Error::from_response(error.respond(Dialect::ErrorDetails)))
    }
}
