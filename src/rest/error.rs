//! What can go wrong under `/rest/v1`, by stage. Plain data; [`wire`] says status, code and texts.
//!
//! Codes and texts are PostgREST's (<https://docs.postgrest.org/en/latest/references/errors.html>).

pub mod wire;

use std::sync::Arc;

use crate::idempotency::InvalidKey;
use crate::schema_cache::{Relationship, Routine};

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The request cannot be understood, or is not allowed. `PGRST1xx`.
    #[error("the request was refused: {0}")]
    Request(#[from] RequestError),
    /// It names what the schema cache does not have. `PGRST2xx`.
    #[error("planning failed: {0}")]
    Plan(#[from] PlanError),
    /// Who is asking cannot be told. `PGRST3xx`.
    #[error("authentication failed: {0}")]
    Jwt(#[from] JwtError),
    /// An idempotency key cannot be honoured.
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    /// PostgreSQL refused a statement.
    #[error("the database refused a statement")]
    Database(Box<DatabaseError>),
    /// No database, or no schema cache. `PGRST0xx`.
    #[error("unavailable: {0}")]
    Unavailable(#[from] Unavailable),
    /// A fault of ours; the log has the text, the caller does not.
    #[error("internal: {0}")]
    Internal(String),
}

/// `PGRST1xx`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{self:?}")]
pub enum RequestError {
    /// PGRST100: the query string (or Range, Prefer, …) does not parse. Message and details as PostgREST words them.
    QueryParam {
        /// `"failed to parse filter (…)" (line 1, column 4)`
        message: String,
        /// `unexpected "x" expecting …`
        details: String,
    },
    /// PGRST101: no such method on a function.
    InvalidRpcMethod(String),
    /// PGRST102: the body does not parse.
    InvalidBody(String),
    /// PGRST103: `Range` with its end before its start.
    RangeLowerGreaterUpper,
    /// PGRST103: a negative limit.
    RangeNegativeLimit,
    /// PGRST103: an offset beyond the rows.
    RangeOutOfBounds {
        /// The offset asked for.
        offset: i64,
        /// Rows there are.
        total: i64,
    },
    /// PGRST105: PUT without exactly its primary key filters.
    PutFilters,
    /// PGRST106: not an exposed schema.
    UnacceptableSchema {
        /// The one asked for.
        schema: String,
        /// Those there are.
        exposed: Vec<String>,
    },
    /// PGRST107: none of the accepted media types can be written.
    MediaTypes(Vec<String>),
    /// PGRST108: a parameter names an embed that is not selected.
    NotEmbedded {
        /// The name.
        name: String,
        /// (relation, alias) where the relation is selected under an alias.
        aliased: Option<(String, String)>,
    },
    /// PGRST111: `response.headers` is no array of single-member objects.
    GucHeaders,
    /// PGRST112: `response.status` is no status.
    GucStatus,
    /// PGRST114: PUT with limit or offset.
    PutLimit,
    /// PGRST115: the body's primary key differs from the filters'.
    PutMatchingPk,
    /// PGRST116: not exactly one row.
    NotSingular(i64),
    /// PGRST117: the method is not supported.
    UnsupportedMethod(String),
    /// PGRST118: ordering by an embed that is not to-one.
    RelatedOrderNotToOne {
        /// The parent.
        origin: String,
        /// The embed.
        target: String,
    },
    /// PGRST120: only null tests apply to embeds.
    UnacceptableFilter(String),
    /// PGRST121: a RAISE of SQLSTATE PGRST whose message or detail does not parse.
    RaiseUnparsable {
        /// What did not parse.
        details: String,
    },
    /// PGRST122: strict handling of unknown preferences.
    InvalidPreferences(Vec<String>),
    /// PGRST123: aggregates are switched off.
    AggregatesNotAllowed,
    /// PGRST124: more rows than `max-affected`.
    MaxAffected(i64),
    /// PGRST125: no such path.
    InvalidPath,
    /// PGRST126: the root is switched off.
    OpenApiDisabled,
    /// PGRST127: not implemented; says what.
    NotImplemented(String),
    /// PGRST128: `max-affected` on a function that returns no set.
    MaxAffectedRpc,
}

/// `PGRST2xx`. Hints are found at planning, where the schema cache is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{self:?}")]
pub enum PlanError {
    /// PGRST200.
    NoRelationship {
        /// Where it would start.
        origin: String,
        /// Where it would end.
        target: String,
        /// The request's hint.
        hint: Option<String>,
        /// The schema searched.
        schema: String,
        /// "Perhaps you meant …".
        suggestion: Option<String>,
    },
    /// PGRST201: several relationships fit.
    AmbiguousRelationship {
        /// Where they start.
        origin: String,
        /// Where they end.
        target: String,
        /// They.
        candidates: Vec<Arc<Relationship>>,
    },
    /// PGRST202.
    NoRoutine(Box<NoRoutine>),
    /// PGRST203: several overloads fit.
    AmbiguousRoutine(Vec<RoutineSignature>),
    /// PGRST204.
    ColumnNotFound {
        /// The relation.
        relation: String,
        /// The column.
        column: String,
    },
    /// PGRST205.
    TableNotFound {
        /// Schema and name.
        relation: String,
        /// The nearest name there is, as `schema.name`.
        suggestion: Option<String>,
    },
}

/// Why no function fits a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRoutine {
    /// The schema.
    pub schema: String,
    /// The function.
    pub name: String,
    /// The arguments' names.
    pub arguments: Vec<String>,
    /// The parameter type that would take the body whole: `json/jsonb`, `text`, `xml`, `bytea`; None for GET.
    pub unnamed: Option<&'static str>,
    /// Whether the body alone was searched for (a text, xml or bytea body has no names).
    pub only_unnamed: bool,
    /// "Perhaps you meant to call the function …".
    pub suggestion: Option<String>,
}

/// A function's name with its parameters, for [`PlanError::AmbiguousRoutine`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutineSignature(pub String);

impl From<&Routine> for RoutineSignature {
    /// `schema.name(a => integer, b => text)`
    fn from(routine: &Routine) -> Self {
        let parameters: Vec<String> = routine
            .parameters
            .iter()
            .map(|parameter| format!("{} => {}", parameter.name, parameter.sql_type))
            .collect();
        Self(format!("{}({})", routine.name, parameters.join(", ")))
    }
}

/// `PGRST3xx`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{self:?}")]
pub enum JwtError {
    /// PGRST300: a token came, and there is no secret to check it with.
    SecretMissing,
    /// PGRST301: not decodable or not verifiable.
    Decode {
        /// Why.
        message: String,
        /// More of it.
        details: Option<String>,
    },
    /// PGRST302: no token, and no anonymous role.
    TokenRequired,
    /// PGRST303: a claim refuses the token; says which.
    Claims(String),
}

/// What PostgREST does not know: idempotency keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyError {
    /// The header holds no key.
    #[error(transparent)]
    Invalid(InvalidKey),
    /// The key came with another request before.
    #[error("Idempotency-Key was already used with a different request")]
    Reused,
}

/// `PGRST0xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{self:?}")]
pub enum Unavailable {
    /// PGRST000: the database cannot be reached.
    Connection,
    /// PGRST001: the connection broke, or an internal error of the connection.
    ConnectionLost,
    /// PGRST002: the schema cache is not loaded yet.
    SchemaCache,
    /// PGRST003: every connection stayed busy.
    PoolTimeout,
}

/// What PostgreSQL says of a failed statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabaseError {
    /// SQLSTATE.
    pub code: String,
    /// Message.
    pub message: String,
    /// Detail.
    pub detail: Option<String>,
    /// Hint.
    pub hint: Option<String>,
    /// Whether the request had a token: 42501 is 403 then, else 401.
    pub authenticated: bool,
}
