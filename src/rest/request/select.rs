//! `select=`: columns, aliases, casts, aggregates, embeds, spreads.

use super::filter::Field;

/// One item of `select`, with the items inside its parentheses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectNode {
    /// The item.
    pub item: SelectItem,
    /// What an embed selects; empty for fields.
    pub children: Vec<SelectNode>,
}

/// One item of `select`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectItem {
    /// `alias:field::cast.aggregate()::cast`
    Field {
        /// The column or path; `*` is a column of that name here.
        field: Field,
        /// The aggregate.
        aggregate: Option<Aggregate>,
        /// The cast behind the aggregate.
        aggregate_cast: Option<String>,
        /// The cast of the field itself.
        cast: Option<String>,
        /// The name in the answer.
        alias: Option<String>,
    },
    /// `alias:relation!hint!inner(…)`
    Relation {
        /// The relation, or what else names the relationship.
        relation: String,
        /// The name in the answer.
        alias: Option<String>,
        /// Constraint, column or junction that settles which relationship is meant.
        hint: Option<String>,
        /// `!inner` or `!left`.
        join: Option<JoinType>,
    },
    /// `...relation!hint!inner(…)`
    Spread {
        /// The relation, or what else names the relationship.
        relation: String,
        /// Constraint, column or junction that settles which relationship is meant.
        hint: Option<String>,
        /// `!inner` or `!left`.
        join: Option<JoinType>,
    },
}

/// Aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// `sum()`
    Sum,
    /// `avg()`
    Avg,
    /// `max()`
    Max,
    /// `min()`
    Min,
    /// `count()`
    Count,
}

impl Aggregate {
    /// Its name, in lower case, in requests and in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Max => "max",
            Self::Min => "min",
            Self::Count => "count",
        }
    }
}

/// Whether rows without an embedded row stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinType {
    /// They go.
    Inner,
    /// They stay.
    Left,
}
