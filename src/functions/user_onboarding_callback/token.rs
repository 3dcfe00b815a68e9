//! The credential of a callback.

use poem::http::header::AUTHORIZATION;
use poem::web::Data;
use poem::{FromRequest as _, Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::app::AppState;
use crate::auth::Role;
use crate::auth::jwt::Verifier;
use crate::config::Secret;
use crate::functions::caller::bearer_scheme;
use crate::functions::error::{Dialect, FunctionError};

const SCHEME: &str = "callbackToken";
/// The scheme as the original compares it: to the letter.
const BEARER: &str = "Bearer ";

/// Shows that the caller holds `MAKE_ONBOARDING_CALLBACK_TOKEN`.
///
/// Where that is not set (empty counts as not set, for whoever reads it), any key or token that verifies as
/// service_role: the original compares with the one key in its environment, but a project may have several.
#[derive(Debug, Clone, Copy)]
pub struct CallbackToken;

impl CallbackToken {
    fn verify(authorization: Option<&str>, expected: Option<&Secret>, verifier: &Verifier) -> Option<Self> {
        let token = authorization?.strip_prefix(BEARER)?;
        let valid = match expected {
            Some(expected) => expected.matches(token),
            None => verifier
                .verify_key(token)
                .or_else(|| verifier.verify(token).ok())
                .is_some_and(|context| context.role == Role::ServiceRole),
        };
        valid.then_some(Self)
    }
}

impl<'a> ApiExtractor<'a> for CallbackToken {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let description = "MAKE_ONBOARDING_CALLBACK_TOKEN; where that is not set, the service_role key";
        registry.create_security_scheme(SCHEME, bearer_scheme(description, None));
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let state = Data::<&AppState>::from_request_without_body(request).await?;
        let expected = state.settings.onboarding.callback_token.as_ref();
        Self::verify(request.header(AUTHORIZATION), expected, &state.verifier).ok_or_else(|| {
            poem::Error::from_response(FunctionError::Unauthorized.respond(Dialect::ErrorDetails))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{ProjectKey, jwt};
    use serde_json::json;

    const SECRET: &str = "a-secret-of-at-least-thirty-two-characters";

    fn verify(authorization: &str, expected: Option<&str>) -> bool {
        let keys = vec![
            ProjectKey::new(Secret::new("sb_publishable_a"), Role::Anon),
            ProjectKey::new(Secret::new("sb_secret_b"), Role::ServiceRole),
        ];
        let verifier = Verifier::new(&Secret::new(SECRET), keys);
        let expected = expected.map(Secret::new);
        CallbackToken::verify(Some(authorization), expected.as_ref(), &verifier).is_some()
    }

    fn bearer(role: &str) -> String {
        let token = jwt::sign(&Secret::new(SECRET), &json!({ "role": role })).unwrap();
        format!("Bearer {token}")
    }

    #[test]
    fn a_configured_token_is_the_only_one() {
        assert!(verify("Bearer opaque token", Some("opaque token")));
        for other in [
            "",
            "Bearer",
            "Bearer ",
            "opaque token",
            "bearer opaque token",
            "Bearer  opaque token",
            "Bearer opaque toke",
            "Bearer opaque tokens",
            "Bearer sb_secret_b",
            &bearer("service_role"),
        ] {
            assert!(!verify(other, Some("opaque token")), "{other}");
        }
    }

    #[test]
    fn else_every_key_of_service_role_and_no_other() {
        for key in ["Bearer sb_secret_b", &bearer("service_role")] {
            assert!(verify(key, None), "{key}");
        }
        for key in [
            "Bearer ",
            "Bearer sb_publishable_a",
            "Bearer sb_secret_x",
            &bearer("anon"),
            &bearer("authenticated"),
        ] {
            assert!(!verify(key, None), "{key}");
        }
    }

    #[test]
    fn no_header_is_no_token() {
        let verifier = Verifier::new(&Secret::new(SECRET), Vec::new());
        assert!(CallbackToken::verify(None, None, &verifier).is_none());
    }
}
