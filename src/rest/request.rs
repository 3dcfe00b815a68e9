//! What the caller asked: the HTTP request as a value. Knows no catalog; pure.
//!
//! One file a grammar. The names are PostgREST's (<https://docs.postgrest.org/en/latest/references/api.html>).

pub mod filter;
pub mod media_type;
pub mod order;
pub mod payload;
pub mod preferences;
pub mod query_params;
pub mod range;
pub mod select;

use std::collections::BTreeSet;

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
use crate::schema_cache::QualifiedName;

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
