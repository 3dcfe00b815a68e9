//! What stands before a request: PostgREST's bearer token, or Supabase's gateway with its keys.
//!
//! On Supabase's surface the key is looked for in the `apikey` header, then in `?apikey=`, then in Authorization, so
//! that every caller out there is served. Where both are sent, the key lets in and Authorization says as whom.

use std::borrow::Cow;

use poem::http::HeaderMap;
use poem::http::header::AUTHORIZATION;

use super::{Authenticator, Identity, Roles};
use crate::auth::ProjectKey;
use crate::gateway;
use crate::rest::error::{DatabaseError, RestError};

/// What begins an opaque key.
const OPAQUE: &str = "sb_";

/// Which callers are let in, and how they say who they are.
#[derive(Debug, Clone)]
pub enum Gate {
    /// PostgREST's: whoever comes, as the bearer of a token or as nobody.
    Open,
    /// Supabase's: holders of one of these keys, or of a token.
    Keys(Vec<ProjectKey>),
}

/// Why a request was turned away.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Supabase's gateway has no key for it. Status 401, with the body of [`KeyRefusal::body`].
    #[error("no API key, or an invalid one")]
    Gateway(KeyRefusal),
    /// PostgREST's answer.
    #[error(transparent)]
    Rest(#[from] RestError),
}

/// What is wrong with a request's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRefusal {
    /// There is none.
    Missing,
    /// It is none of the project's.
    Invalid,
}

impl KeyRefusal {
    /// The JSON body that goes with status 401.
    pub fn body(self) -> &'static str {
        match self {
            Self::Missing => {
                r#"{"message":"No API key found in request","hint":"No `apikey` request header or url param was found."}"#
            }
            Self::Invalid => {
                r#"{"message":"Invalid API key","hint":"Double check your Supabase `anon` or `service_role` API key."}"#
            }
        }
    }
}

impl Gate {
    /// Tells who is asking. `now` is in seconds since 1970.
    pub fn identify(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        authenticator: &Authenticator,
        roles: &Roles,
        now: i64,
    ) -> Result<Identity, Refusal> {
        let authorization = headers
            .get(AUTHORIZATION)
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        let token = authorization.as_deref().and_then(bearer);
        let as_token = |token: Option<&str>| {
            let identity = authenticator
                .identify(token, now, roles)
                .map_err(RestError::Jwt)?;
            assumable(identity)
        };
        let Self::Keys(keys) = self else {
            return Ok(as_token(token)?);
        };
        let by_key = |key: &str| {
            ProjectKey::role_of(keys, key).map(|role| authenticator.holder_of(role.name(), roles))
        };
        let token = token.filter(|token| !token.is_empty());
        let key = gateway::project_key(headers, query);
        // Whom the key names, unless Authorization names somebody.
        let holder = match &key {
            None => None,
            Some(key) => Some(match by_key(key) {
                Some(holder) => holder,
                None => as_token(Some(key)).map_err(|error| {
                    tracing::debug!(%error, "key refused");
                    Refusal::Gateway(KeyRefusal::Invalid)
                })?,
            }),
        };
        match (token, holder) {
            (None, None) => Err(Refusal::Gateway(KeyRefusal::Missing)),
            (None, Some(holder)) => Ok(holder),
            (Some(token), Some(holder)) if key.as_deref() == Some(token) => Ok(holder),
            (Some(token), holder) => match by_key(token) {
                Some(bearer) => Ok(bearer),
                None if holder.is_none() && token.starts_with(OPAQUE) => {
                    Err(Refusal::Gateway(KeyRefusal::Invalid))
                }
                None => Ok(as_token(Some(token))?),
            },
        }
    }

    /// The query string as it is parsed further: on Supabase's surface without `apikey`.
    pub fn query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        match self {
            Self::Open => Cow::Borrowed(query),
            Self::Keys(_) => gateway::without_project_key(query),
        }
    }
}

/// Refuses `none`, which PostgreSQL takes for "the role that logged in" rather than for a role's name.
fn assumable(identity: Identity) -> Result<Identity, RestError> {
    if identity.role != "none" {
        return Ok(identity);
    }
    Err(RestError::Database(Box::new(DatabaseError {
        code: "22023".to_owned(),
        message: r#"role "none" does not exist"#.to_owned(),
        authenticated: true,
        ..DatabaseError::default()
    })))
}

/// The token of `Bearer <token>`, the scheme in any case; empty when nothing follows it.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization
        .split_once(|c: char| c.is_ascii_whitespace())
        .unwrap_or((authorization, ""));
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_ascii_start())
}
