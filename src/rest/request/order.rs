//! `order=`.

use super::filter::Field;

/// One term of `order`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderTerm {
    /// By a field: `col.desc.nullslast`.
    Field {
        /// The field.
        field: Field,
        /// `asc` or `desc`.
        direction: Option<Direction>,
        /// `nullsfirst` or `nullslast`.
        nulls: Option<Nulls>,
    },
    /// By a field of a to-one embed: `rel(col).desc`.
    Relation {
        /// The embed, by its alias or name.
        relation: String,
        /// The field in it.
        field: Field,
        /// `asc` or `desc`.
        direction: Option<Direction>,
        /// `nullsfirst` or `nullslast`.
        nulls: Option<Nulls>,
    },
}

/// Ascending or descending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `asc`
    Asc,
    /// `desc`
    Desc,
}

/// Where nulls stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// `nullsfirst`
    First,
    /// `nullslast`
    Last,
}
