//! Where the key stands, and what a request without a valid one gets.
//!
//! The rules of Supabase's gateway, hosted flavour, widened so that every caller out there is served: a bearer
//! token wins; else the `apikey` header; else `?apikey=`. Legacy JWT keys and `sb_…` keys are taken in any of them.

use std::borrow::Cow;

use poem::Request;
use poem::http::HeaderMap;
use poem::http::header::AUTHORIZATION;

use crate::auth::AuthContext;
use crate::auth::jwt::Verifier;

/// Why the gateway turned a request away. Always 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// No key anywhere.
    #[error("Missing authorization header")]
    Missing,
    /// An Authorization header that is no bearer token, and no key beside it.
    #[error("Invalid Token or Protected Header formatting")]
    Format,
    /// A key or token that does not verify.
    #[error("Invalid JWT")]
    Invalid,
}

/// Verifies the request's key or token.
pub fn authenticate(req: &Request, verifier: &Verifier) -> Result<AuthContext, GatewayError> {
    let authorization = req
        .headers()
        .get(AUTHORIZATION)
        .map(|v| v.to_str().unwrap_or_default());
    let token = match (authorization.map(bearer), api_key(req)) {
        (Some(Some(token)), _) => token.to_owned(),
        (_, Some(key)) => key,
        (Some(None), None) => return Err(GatewayError::Format),
        (None, None) => return Err(GatewayError::Missing),
    };
    if let Some(context) = verifier.verify_key(&token) {
        return Ok(context);
    }
    verifier.verify(&token).map_err(|error| {
        tracing::debug!(%error, "token refused");
        GatewayError::Invalid
    })
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn api_key(req: &Request) -> Option<String> {
    project_key(req.headers(), req.uri().query())
}

/// The project's key: the `apikey` header's, else `?apikey=`'s.
pub fn project_key(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let header = headers
        .get("apikey")
        .and_then(|v| v.to_str().ok())
        .map(str::to_owned);
    let query = || {
        url::form_urlencoded::parse(query?.as_bytes())
            .find(|(k, _)| k == "apikey")
            .map(|(_, v)| v.into_owned())
    };
    header.or_else(query).filter(|key| !key.is_empty())
}

/// A query string without its `apikey`, which is for the gateway alone.
pub fn without_project_key(query: &str) -> Cow<'_, str> {
    let is_key = |part: &&str| {
        let name = url::form_urlencoded::parse(part.as_bytes()).next();
        name.is_some_and(|(name, _)| name == "apikey")
    };
    if !query.split('&').any(|part| is_key(&part)) {
        return Cow::Borrowed(query);
    }
    let kept: Vec<_> = query.split('&').filter(|part| !is_key(part)).collect();
    Cow::Owned(kept.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{ProjectKey, Role, jwt};
    use crate::config::Secret;
    use serde_json::json;

    const SECRET: &str = "a-secret-of-at-least-thirty-two-characters";

    fn token(role: &str) -> String {
        jwt::sign(&Secret::new(SECRET), &json!({ "role": role })).unwrap()
    }

    fn ask(uri: &str, headers: &[(&str, &str)]) -> Result<Role, GatewayError> {
        let keys = vec![
            ProjectKey::new(Secret::new("sb_publishable_a"), Role::Anon),
            ProjectKey::new(Secret::new("sb_secret_b"), Role::ServiceRole),
        ];
        let mut req = Request::builder().uri_str(uri);
        for (name, value) in headers {
            req = req.header(*name, *value);
        }
        authenticate(&req.finish(), &Verifier::new(&Secret::new(SECRET), keys)).map(|context| context.role)
    }

    #[test]
    fn a_bearer_token_decides_whatever_the_apikey_says() {
        let user = format!("Bearer {}", token("authenticated"));
        let headers = [("authorization", user.as_str()), ("apikey", "sb_secret_b")];
        assert_eq!(ask("/", &headers), Ok(Role::Authenticated));
    }

    #[test]
    fn the_scheme_is_case_insensitive() {
        assert_eq!(
            ask("/", &[("authorization", &format!("bearer {}", token("anon")))]),
            Ok(Role::Anon)
        );
    }

    #[test]
    fn an_apikey_alone_is_enough_in_header_or_query() {
        let service = token("service_role");
        assert_eq!(ask("/", &[("apikey", &service)]), Ok(Role::ServiceRole));
        assert_eq!(ask("/", &[("apikey", "sb_publishable_a")]), Ok(Role::Anon));
        assert_eq!(ask("/?x=1&apikey=sb_secret_b", &[]), Ok(Role::ServiceRole));
    }

    #[test]
    fn an_opaque_key_works_as_bearer_too() {
        assert_eq!(
            ask("/", &[("authorization", "Bearer sb_secret_b")]),
            Ok(Role::ServiceRole)
        );
        assert_eq!(
            ask("/", &[("authorization", "Bearer sb_secret_x")]),
            Err(GatewayError::Invalid)
        );
    }

    #[test]
    fn no_key_a_malformed_header_and_garbage_are_told_apart() {
        assert_eq!(ask("/", &[]), Err(GatewayError::Missing));
        assert_eq!(
            ask("/", &[("authorization", "Basic dTpw")]),
            Err(GatewayError::Format)
        );
        assert_eq!(
            ask("/", &[("authorization", "Bearer")]),
            Err(GatewayError::Format)
        );
        assert_eq!(
            ask("/", &[("authorization", "Bearer nonsense")]),
            Err(GatewayError::Invalid)
        );
        assert_eq!(ask("/", &[("apikey", "nonsense")]), Err(GatewayError::Invalid));
    }

    #[test]
    fn the_key_is_cut_out_of_the_query_and_nothing_else_is() {
        let cases = [
            ("", ""),
            ("a=1&b=%61pikey&apikey2=x", "a=1&b=%61pikey&apikey2=x"),
            ("apikey=x", ""),
            ("a=1&apikey=x&b=2", "a=1&b=2"),
            ("%61pikey=x&apikey&apikey=&a=%26", "a=%26"),
        ];
        for (query, expected) in cases {
            assert_eq!(without_project_key(query), expected, "{query}");
        }
    }

    #[test]
    fn a_garbage_token_is_not_saved_by_a_valid_apikey() {
        let headers = [("authorization", "Bearer nonsense"), ("apikey", "sb_secret_b")];
        assert_eq!(ask("/", &headers), Err(GatewayError::Invalid));
    }
}
