//! Writing.

use super::read::{LogicPlan, PlannedField};
use crate::rest::request::preferences::Resolution;
use crate::schema_cache::QualifiedName;
use bytes::Bytes;

/// A write. Bodies are JSON here: CSV and forms were converted.
#[derive(Debug, Clone)]
pub enum MutatePlan {
    /// `insert`, with or without `on conflict`.
    Insert {
        /// The relation.
        into: QualifiedName,
        /// Columns that are written.
        columns: Vec<PlannedField>,
        /// The body.
        body: Option<Bytes>,
        /// Whether the body is one object.
        body_is_object: bool,
        /// What happens to rows that exist, and the columns that tell.
        on_conflict: Option<(Resolution, Vec<String>)>,
        /// PUT: the filters that the body must fulfil.
        put_filters: Vec<LogicPlan>,
        /// Columns to return.
        returning: Vec<String>,
        /// Primary key columns, for `Location`.
        primary_key: Vec<String>,
        /// `missing=default`.
        apply_defaults: bool,
    },
    /// `update`.
    Update {
        /// The relation.
        relation: QualifiedName,
        /// Columns that are written.
        columns: Vec<PlannedField>,
        /// The body.
        body: Option<Bytes>,
        /// Whether the body is one object.
        body_is_object: bool,
        /// Conditions.
        filters: Vec<LogicPlan>,
        /// Columns to return.
        returning: Vec<String>,
        /// `missing=default`.
        apply_defaults: bool,
    },
    /// `delete`.
    Delete {
        /// The relation.
        relation: QualifiedName,
        /// Conditions.
        filters: Vec<LogicPlan>,
        /// Columns to return.
        returning: Vec<String>,
    },
}
