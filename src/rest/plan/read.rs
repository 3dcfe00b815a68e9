//! Reading: a tree of relations.

use crate::rest::request::{
    Aggregate, Direction, Field, JoinType, JsonStep, LogicOperator, Nulls, OpExpr, Range,
};
use crate::schema_cache::{QualifiedName, Relationship};
use std::sync::Arc;

/// A relation that is read, and what is embedded in its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadNode {
    /// The relation.
    pub plan: ReadPlan,
    /// Its embeds.
    pub children: Vec<ReadNode>,
}

/// One relation that is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadPlan {
    /// Columns.
    pub select: Vec<SelectField>,
    /// The relation; `pgrst_source` below writes and calls.
    pub from: QualifiedName,
    /// The name it has in the statement, if not its own.
    pub from_alias: Option<String>,
    /// Conditions, all of which must hold.
    pub filters: Vec<LogicPlan>,
    /// Order.
    pub order: Vec<OrderPlan>,
    /// Rows.
    pub range: Range,
    /// Whether the conditions name a table's primary key, so that there is one row at most.
    pub by_key: bool,
    /// The name by which the request calls it.
    pub name: String,
    /// How it hangs on its parent; None at the root.
    pub relationship: Option<Arc<Relationship>>,
    /// For a computed relationship: the name of the parent in the statement, which is passed to the function.
    pub computed_argument: Option<QualifiedName>,
    /// The columns that join it to its parent (and to the junction).
    pub join_conditions: Vec<JoinCondition>,
    /// The name in the answer, if the request gave one.
    pub alias: Option<String>,
    /// The name of the joined subquery in the parent's statement.
    pub aggregate_alias: String,
    /// The request's hint.
    pub hint: Option<String>,
    /// `!inner` or `!left`.
    pub join: Option<JoinType>,
    /// Whether its columns stand among the parent's.
    pub spread: Option<Spread>,
    /// What the parent's select list takes from each child.
    pub relation_select: Vec<RelationSelect>,
    /// Steps from the root.
    pub depth: usize,
    /// Whether a parameter named it by its relation although it has an alias.
    pub named_by_relation: bool,
}

impl ReadPlan {
    /// Whether the conditions hold for no more than one value of each of these columns. Never if there are none.
    pub(super) fn names_all_of(&self, columns: &[String]) -> bool {
        let names = |column: &String| {
            self.filters.iter().any(|condition| match condition {
                LogicPlan::Filter(PlannedFilter { field, expr }) => {
                    field.name == *column && field.path.is_empty() && expr.is_equality()
                }
                LogicPlan::Expr { .. } | LogicPlan::NullEmbed { .. } => false,
            })
        };
        !columns.is_empty() && columns.iter().all(names)
    }
}

/// A column with what is known of its type, for one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlannedField {
    /// The column; `*` for all.
    pub name: String,
    /// Steps into it.
    pub path: Vec<JsonStep>,
    /// Whether the path needs `to_jsonb(column)` first.
    pub to_json: bool,
    /// Whether full text search needs `to_tsvector` first.
    pub to_tsvector: Option<ToTsVector>,
    /// The declared type; empty when unknown, and in select lists and orders, where nothing depends on it.
    pub nominal_type: String,
    /// The type below domains; empty as above.
    pub base_type: String,
    /// A cast of the database's between the wire and the type, ready to be written into SQL.
    pub transform: Option<String>,
    /// The default's expression; only for what a payload writes.
    pub default: Option<String>,
    /// The row as a whole, which `count()` of a spread counts.
    pub full_row: bool,
}

impl PlannedField {
    /// The type as which a payload's value is read: JSON where a cast of the database's takes it from there.
    pub fn payload_type(&self) -> &str {
        match self.transform {
            Some(_) => "json",
            None => &self.nominal_type,
        }
    }
}

/// A conversion for full text search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToTsVector {
    /// The text search configuration.
    pub language: Option<String>,
}

/// An item of a select list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectField {
    /// The column.
    pub field: PlannedField,
    /// Its aggregate.
    pub aggregate: Option<Aggregate>,
    /// The cast behind the aggregate. Checked by the request's grammar to be a bare type name.
    pub aggregate_cast: Option<String>,
    /// The cast of the column. Checked likewise.
    pub cast: Option<String>,
    /// The name in the answer.
    pub alias: Option<String>,
}

/// Conditions.
#[expect(clippy::large_enum_variant, reason = "most are filters")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogicPlan {
    /// Several, joined.
    Expr {
        /// NOT before it.
        negated: bool,
        /// How they are joined.
        operator: LogicOperator,
        /// What is joined.
        children: Vec<LogicPlan>,
    },
    /// One, on a column.
    Filter(PlannedFilter),
    /// `embed=is.null` and `embed=not.is.null`.
    NullEmbed {
        /// `not.` stood before it.
        negated: bool,
        /// The embed's [`ReadPlan::aggregate_alias`].
        aggregate_alias: String,
    },
}

/// A condition on a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFilter {
    /// The column.
    pub field: PlannedField,
    /// The operation.
    pub expr: OpExpr,
}

/// A term of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderPlan {
    /// By a column.
    Field {
        /// The column.
        field: PlannedField,
        /// Direction.
        direction: Option<Direction>,
        /// Where nulls stand.
        nulls: Option<Nulls>,
    },
    /// By a column of a to-one embed.
    Relation {
        /// The embed's [`ReadPlan::aggregate_alias`].
        aggregate_alias: String,
        /// The field in it.
        field: Field,
        /// Direction.
        direction: Option<Direction>,
        /// Where nulls stand.
        nulls: Option<Nulls>,
    },
}

/// Two columns that are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinCondition {
    /// One side: relation (or alias) and column.
    pub left: (QualifiedName, String),
    /// The other side.
    pub right: (QualifiedName, String),
}

/// What a parent's select list takes from a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelationSelect {
    /// An object or array.
    Embed {
        /// The name in the answer.
        name: String,
        /// The child's [`ReadPlan::aggregate_alias`].
        aggregate_alias: String,
        /// Object or array.
        mode: EmbedMode,
        /// `rel()`: joined, not shown.
        empty: bool,
    },
    /// Columns.
    Spread {
        /// They.
        select: Vec<SpreadSelect>,
        /// The child's [`ReadPlan::aggregate_alias`].
        aggregate_alias: String,
    },
}

/// Object or array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbedMode {
    /// To-one.
    Object,
    /// To-many.
    Array,
}

/// A column that a spread lifts to its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpreadSelect {
    /// The column's name in the child.
    pub name: String,
    /// An aggregate that the parent applies.
    pub aggregate: Option<Aggregate>,
    /// The cast behind it.
    pub aggregate_cast: Option<String>,
    /// The name in the parent.
    pub alias: Option<String>,
}

/// How a spread is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spread {
    /// Columns of one row.
    ToOne,
    /// An array for each column.
    ToMany {
        /// Columns that only the order needs, with the embed they come from.
        extra_select: Vec<(Option<String>, SelectField)>,
        /// The order of each array.
        order: Vec<OrderPlan>,
    },
}
