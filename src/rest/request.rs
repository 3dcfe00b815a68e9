//! What the caller asked: the HTTP request as a value. Knows no catalog; pure.
//!
//! One file a grammar. The names are PostgREST's (<https://docs.postgrest.org/en/latest/references/api.html>).

mod field;
pub mod filter;
mod logic;
pub mod media_type;
pub mod order;
mod parser;
pub mod payload;
pub mod preferences;
pub mod query_params;
mod query_string;
pub mod range;
pub mod select;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytes::Bytes;
use poem::http::{HeaderMap, header};

pub use self::filter::{
    Field, Filter, FtsOperator, IsValue, JsonOperand, JsonStep, LogicOperator, LogicTree, OpExpr, Operation,
    QuantifiedOperator, Quantifier, SimpleOperator,
};
pub use self::media_type::{MediaType, PlanFormat, PlanOption};
pub use self::order::{Direction, Nulls, OrderTerm};
pub use self::payload::Payload;
pub use self::preferences::Preferences;
pub use self::query_params::QueryParams;
pub use self::range::Range;
pub use self::select::{Aggregate, JoinType, SelectItem, SelectNode};
use super::error::RequestError;
use super::settings::{OpenApiMode, RestSettings};
use crate::schema_cache::QualifiedName;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct RawRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path below the mount point, encoded; begins with `/`.
    pub path: &'a str,
    /// The query string, encoded, without its `?`.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Reads a request: what is to be done, to what, and all that the caller says about it.
///
/// Of several faults the one is told that PostgREST tells: path, schema, method, query string, ranges, body.
pub fn parse(input: &RawRequest<'_>, settings: &RestSettings) -> Result<Request, RequestError> {
    let header = |name: &str| input.headers.get(name).map(|value| latin1(value.as_bytes()));
    let resource = Resource::parse(input.path, settings)?;
    let (schema, negotiated_by_profile) = choose_schema(input, settings)?;
    let action = resource.action(&schema, input.method)?;

    let range = header("range");
    let context = query_params::Context {
        arguments: matches!(
            action,
            Action::Call {
                method: CallMethod::Get | CallMethod::Head,
                ..
            }
        ),
        ranges: matches!(action, Action::Read { .. } | Action::Call { .. }),
        method: input.method,
        range: range.as_deref(),
    };
    let (query, top_range) = QueryParams::parse(input.query, context)?;
    let content_type = header("content-type").map_or(MediaType::Json, |value| MediaType::parse(&value));
    let (payload, columns) = payload::parse(&input.body, &content_type, query.columns.as_ref(), &action)?;

    let prefer = input.headers.get_all("prefer").iter();
    let prefer: Vec<_> = prefer.map(|value| lossy(value.as_bytes())).collect();
    Ok(Request {
        action,
        schema,
        negotiated_by_profile,
        query,
        top_range,
        payload,
        columns,
        preferences: Preferences::parse(prefer.iter().map(AsRef::as_ref), settings.tx_allow_override),
        accept: header("accept")
            .map_or_else(|| vec![MediaType::Any], |accept| MediaType::parse_accept(&accept)),
        content_type,
        method: input.method.to_owned(),
        path: input.path.to_owned(),
        headers: headers(input.headers),
        cookies: cookies(input.headers),
    })
}

/// What a path addresses.
enum Resource {
    Relation(String),
    Routine(String),
    Root,
}

impl Resource {
    fn parse(path: &str, settings: &RestSettings) -> Result<Self, RequestError> {
        let segments = path.strip_prefix('/').unwrap_or(path);
        if segments.is_empty() {
            return match (settings.openapi_mode, &settings.root_spec) {
                (OpenApiMode::Disabled, _) => Err(RequestError::OpenApiDisabled),
                (OpenApiMode::FollowPrivileges | OpenApiMode::IgnorePrivileges, Some(routine)) => {
                    Ok(Self::Routine(routine.name.clone()))
                }
                (OpenApiMode::FollowPrivileges | OpenApiMode::IgnorePrivileges, None) => Ok(Self::Root),
            };
        }
        let decoded = |segment: &str| {
            let bytes = query_string::decode(segment.as_bytes(), false);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut segments = segments.split('/');
        match (segments.next(), segments.next(), segments.next()) {
            (Some(relation), None, None) => Ok(Self::Relation(decoded(relation))),
            (Some(rpc), Some(routine), None) if decoded(rpc) == "rpc" => Ok(Self::Routine(decoded(routine))),
            _ => Err(RequestError::InvalidPath),
        }
    }

    fn action(self, schema: &str, method: &str) -> Result<Action, RequestError> {
        let qualified = |name| QualifiedName::new(schema, name);
        match self {
            Self::Routine(name) => {
                let routine = qualified(name);
                let method = match method {
                    "GET" => CallMethod::Get,
                    "HEAD" => CallMethod::Head,
                    "POST" => CallMethod::Post,
                    "OPTIONS" => return Ok(Action::RoutineInfo(routine)),
                    other => return Err(RequestError::InvalidRpcMethod(other.to_owned())),
                };
                Ok(Action::Call { routine, method })
            }
            Self::Relation(name) => {
                let relation = qualified(name);
                let mutation = match method {
                    "GET" => {
                        return Ok(Action::Read {
                            relation,
                            head: false,
                        });
                    }
                    "HEAD" => return Ok(Action::Read { relation, head: true }),
                    "OPTIONS" => return Ok(Action::RelationInfo(relation)),
                    "POST" => Mutation::Insert,
                    "PUT" => Mutation::SingleUpsert,
                    "PATCH" => Mutation::Update,
                    "DELETE" => Mutation::Delete,
                    other => return Err(RequestError::UnsupportedMethod(other.to_owned())),
                };
                Ok(Action::Mutate { relation, mutation })
            }
            Self::Root => match method {
                "GET" => Ok(Action::InspectSchema { head: false }),
                "HEAD" => Ok(Action::InspectSchema { head: true }),
                "OPTIONS" => Ok(Action::SchemaInfo),
                other => Err(RequestError::UnsupportedMethod(other.to_owned())),
            },
        }
    }
}

/// The schema, and whether the answer names it. Writes and calls by POST choose it by `Content-Profile`, others by
/// `Accept-Profile`.
fn choose_schema(input: &RawRequest<'_>, settings: &RestSettings) -> Result<(String, bool), RequestError> {
    let profile = match input.method {
        "POST" | "PUT" | "PATCH" | "DELETE" => input.headers.get("content-profile"),
        _ => input.headers.get("accept-profile"),
    };
    let Some(profile) = profile else {
        let default = settings.schemas.first().cloned().unwrap_or_default();
        return Ok((default, settings.schemas.len() != 1));
    };
    let schema = lossy(profile.as_bytes());
    if settings.schemas.iter().any(|exposed| *exposed == schema) {
        return Ok((schema.into_owned(), true));
    }
    Err(RequestError::UnacceptableSchema {
        schema: schema.into_owned(),
        exposed: settings.schemas.clone(),
    })
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| *name != header::COOKIE)
        .map(|(name, value)| (name.as_str().to_owned(), lossy(value.as_bytes()).into_owned()))
        .collect()
}

/// The pairs of the first `Cookie` header.
fn cookies(headers: &HeaderMap) -> Vec<(String, String)> {
    let Some(cookies) = headers.get(header::COOKIE) else {
        return Vec::new();
    };
    let cookies = lossy(cookies.as_bytes());
    let cookies = cookies.strip_suffix(';').unwrap_or(&cookies);
    if cookies.is_empty() {
        return Vec::new();
    }
    cookies
        .split(';')
        .map(|cookie| {
            let (name, value) = cookie.split_once('=').unwrap_or((cookie, ""));
            (name.trim_start_matches(' ').to_owned(), value.to_owned())
        })
        .collect()
}

/// Bytes read as UTF-8, with U+FFFD for what is none.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Bytes read as Latin-1, the encoding of headers of old.
fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

/// A parsed request.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is to be done, to what.
    pub action: Action,
    /// The schema that the profile headers chose, or the first exposed one.
    pub schema: String,
    /// Whether the answer names the schema (`Content-Profile`): a profile header came, or several schemas are exposed.
    pub negotiated_by_profile: bool,
    /// The query string.
    pub query: QueryParams,
    /// Rows asked for at the top level: `limit`, `offset` and `Range` taken together.
    pub top_range: Range,
    /// The body of a write or call.
    pub payload: Option<Payload>,
    /// Columns to write, or arguments to pass: `columns=`, else the payload's keys.
    pub columns: BTreeSet<String>,
    /// `Prefer`.
    pub preferences: Preferences,
    /// `Accept`, best first.
    pub accept: Vec<MediaType>,
    /// `Content-Type`; JSON when there is none.
    pub content_type: MediaType,
    /// The method, as sent.
    pub method: String,
    /// The raw path below the mount point, as `request.path` shows it.
    pub path: String,
    /// Header names (lower case) and values, without `cookie`.
    pub headers: Vec<(String, String)>,
    /// Cookies.
    pub cookies: Vec<(String, String)>,
}

/// What is to be done, to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `GET` or `HEAD` on a relation.
    Read {
        /// The relation.
        relation: QualifiedName,
        /// Whether only headers are wanted.
        head: bool,
    },
    /// A write to a relation.
    Mutate {
        /// The relation.
        relation: QualifiedName,
        /// The kind of write.
        mutation: Mutation,
    },
    /// A call of a function.
    Call {
        /// The function.
        routine: QualifiedName,
        /// How it was called.
        method: CallMethod,
    },
    /// `GET` or `HEAD` on the root: the OpenAPI document.
    InspectSchema {
        /// Whether only headers are wanted.
        head: bool,
    },
    /// `OPTIONS` on a relation.
    RelationInfo(QualifiedName),
    /// `OPTIONS` on a function.
    RoutineInfo(QualifiedName),
    /// `OPTIONS` on the root.
    SchemaInfo,
}

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// `POST`.
    Insert,
    /// `PATCH`.
    Update,
    /// `PUT`: one row by its primary key.
    SingleUpsert,
    /// `DELETE`.
    Delete,
}

/// How a function was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallMethod {
    /// `POST`.
    Post,
    /// `GET`: arguments in the query string, read only.
    Get,
    /// `HEAD`: as `GET`, headers only.
    Head,
}
