//! `Idempotency-Key` on POST, on Supabase's surface: one key, one effect.
//!
//! The first request with a key runs and its answer is kept, in one transaction with what it wrote; later ones with that
//! key get the answer again, with `Idempotency-Replayed: true`. A key belongs to its caller, which is role and `sub`, and
//! to a path. How it is claimed, and for how long an answer is kept, is in `sql/migrations/0026_rest_idempotency.sql`;
//! the transaction is in [`super::execute::once`].

use bytes::Bytes;
use poem::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::auth::Identity;
use super::error::{IdempotencyError, RestError};
use super::execute::{Body, Kept};
use super::query::Value as Parameter;
use super::response::Answer;
use crate::idempotency::Key;

/// The request's header.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Headers by which equal bodies get different answers.
const SHAPING: [&str; 6] = [
    "accept",
    "content-type",
    "content-profile",
    "prefer",
    "range",
    "range-unit",
];

/// A key as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    id: Bytes,
    fingerprint: Bytes,
}

/// A key on its way to a [`Claim`], which it becomes when the body is there.
#[derive(Debug)]
pub struct Pending {
    id: Bytes,
}

/// Reads the header of a request for `path`.
pub fn read(
    headers: &HeaderMap,
    path: &str,
    identity: &Identity,
) -> Result<Option<Pending>, IdempotencyError> {
    let values = headers.get_all(KEY);
    let key = Key::read(values.iter().map(HeaderValue::as_bytes)).map_err(IdempotencyError::Invalid)?;
    Ok(key.map(|key| {
        let parts = [
            &*identity.role,
            &subject(&identity.claims_json),
            path,
            key.as_str(),
        ];
        Pending {
            id: digest(parts.map(str::as_bytes)),
        }
    }))
}

impl Pending {
    /// Binds the key to what else makes the request.
    pub fn claim(self, headers: &HeaderMap, query: &str, body: &[u8]) -> Claim {
        let mut parts = vec![query.as_bytes(), body];
        for name in SHAPING {
            parts.push(name.as_bytes());
            parts.extend(headers.get_all(name).iter().map(HeaderValue::as_bytes));
        }
        Claim {
            id: self.id,
            fingerprint: digest(parts),
        }
    }
}

impl Claim {
    /// The key, as a parameter of a statement.
    pub fn id(&self) -> Parameter {
        Parameter::Binary(self.id.clone())
    }

    /// The rest of the request, as a parameter of a statement.
    pub fn fingerprint(&self) -> Parameter {
        Parameter::Binary(self.fingerprint.clone())
    }
}

/// Who asks, apart from the role; empty for who has no name.
fn subject(claims: &str) -> String {
    let claims: Option<Value> = serde_json::from_str(claims).ok();
    match claims.as_ref().and_then(|claims| claims.get("sub")) {
        None | Some(Value::Null) => String::new(),
        Some(subject) => subject.to_string(),
    }
}

/// SHA-256 over parts that cannot run into each other.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    Bytes::copy_from_slice(&digest.finalize())
}

/// What is kept of an answer. None of errors, which SQL code may ask for by `response.status`: they may be tried again.
pub fn keep(answer: &Answer) -> Option<Kept> {
    let Body::Whole(body) = &answer.body else {
        return None;
    };
    if answer.status.is_client_error() || answer.status.is_server_error() {
        return None;
    }
    let mut headers = Vec::with_capacity(2 * answer.headers.len());
    for (name, value) in &answer.headers {
        headers.push(name.as_str().to_owned());
        headers.push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    Some(Kept {
        status: answer.status.as_u16(),
        headers,
        body: body.clone(),
    })
}

/// The answer that was kept.
pub fn replay(kept: Kept) -> Result<Answer, RestError> {
    let broken = |_| RestError::Internal("an answer that was kept cannot be read".to_owned());
    let status = StatusCode::from_u16(kept.status).map_err(|error| broken(error.to_string()))?;
    let mut headers = HeaderMap::with_capacity(kept.headers.len() / 2 + 1);
    for pair in kept.headers.chunks_exact(2) {
        let name = HeaderName::from_bytes(pair[0].as_bytes()).map_err(|error| broken(error.to_string()))?;
        let value = HeaderValue::from_bytes(pair[1].as_bytes()).map_err(|error| broken(error.to_string()))?;
        headers.append(name, value);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(Answer {
        status,
        headers,
        body: Body::Whole(kept.body),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn identity(role: &str, claims: &str) -> Identity {
        Identity {
            role: role.to_owned(),
            claims_json: claims.to_owned(),
            authenticated: true,
            role_settings: std::sync::Arc::default(),
            role_isolation: None,
        }
    }

    fn id(role: &str, claims: &str, path: &str, key: &'static str) -> Bytes {
        let pending = read(
            &headers(&[("idempotency-key", key)]),
            path,
            &identity(role, claims),
        );
        pending.unwrap().unwrap().id
    }

    fn fingerprint(pairs: &[(&'static str, &'static str)], query: &str, body: &[u8]) -> Bytes {
        Pending { id: Bytes::new() }
            .claim(&headers(pairs), query, body)
            .fingerprint
    }

    #[test]
    fn a_key_belongs_to_role_subject_and_path() {
        let mine = id("authenticated", r#"{"sub":"1"}"#, "/tickets", "k");
        assert_eq!(
            mine,
            id("authenticated", r#"{"sub":"1","exp":7}"#, "/tickets", "k")
        );
        for other in [
            id("service_role", r#"{"sub":"1"}"#, "/tickets", "k"),
            id("authenticated", r#"{"sub":"2"}"#, "/tickets", "k"),
            id("authenticated", r#"{"sub":1}"#, "/tickets", "k"),
            id("authenticated", "{}", "/tickets", "k"),
            id("authenticated", r#"{"sub":"1"}"#, "/users", "k"),
            id("authenticated", r#"{"sub":"1"}"#, "/tickets", "l"),
            id("authenticated", r#"{"sub":"1"}"#, "/ticket", "sk"),
        ] {
            assert_ne!(mine, other);
        }
    }

    #[test]
    fn the_fingerprint_is_about_what_shapes_the_answer() {
        let first = fingerprint(&[("prefer", "return=minimal")], "a=1", b"{}");
        let traced = [("prefer", "return=minimal"), ("x-request-id", "7")];
        assert_eq!(first, fingerprint(&traced, "a=1", b"{}"));
        for other in [
            fingerprint(&[("prefer", "return=representation")], "a=1", b"{}"),
            fingerprint(&[("accept", "return=minimal")], "a=1", b"{}"),
            fingerprint(&[("prefer", "return=minimal")], "a=2", b"{}"),
            fingerprint(&[("prefer", "return=minimal")], "a=1{}", b""),
            fingerprint(&[("prefer", "return=minimal")], "a=1", b"{ }"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn an_answer_is_replayed_as_it_was() {
        let answer = Answer {
            status: StatusCode::CREATED,
            headers: headers(&[
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("location", "/t?id=eq.1"),
            ]),
            body: Body::Whole(Bytes::from_static(b"[{}]")),
        };
        let again = replay(keep(&answer).unwrap()).unwrap();
        assert_eq!(again.status, answer.status);
        let mut expected = answer.headers.clone();
        expected.insert(REPLAYED, HeaderValue::from_static("true"));
        assert_eq!(again.headers, expected);
        assert!(matches!(again.body, Body::Whole(body) if body == "[{}]"));
    }

    #[test]
    fn errors_are_not_kept() {
        for status in [400, 409, 500] {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Body::default(),
            };
            assert!(keep(&answer).is_none(), "{status}");
        }
    }
}
