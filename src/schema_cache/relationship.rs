//! Relationships between relations: foreign keys in both directions, through junctions, and computed ones.

use super::QualifiedName;

/// A path from the rows of one relation to those of another.
///
/// The order of variants and fields is the order in which an ambiguous embed lists its candidates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relationship {
    /// By foreign key.
    ForeignKey {
        /// Where it starts.
        origin: QualifiedName,
        /// Where it ends.
        target: QualifiedName,
        /// Whether both are the same relation.
        is_self: bool,
        /// How many rows stand on either side, and the columns that join them.
        cardinality: Cardinality,
        /// Whether the origin is a view.
        origin_is_view: bool,
        /// Whether the target is a view.
        target_is_view: bool,
    },
    /// By a function `f(origin) returns setof target`.
    Computed {
        /// The function.
        function: QualifiedName,
        /// The relation whose row type it takes.
        origin: QualifiedName,
        /// The relation whose rows it returns.
        target: QualifiedName,
        /// Whether it returns one row at most (`rows 1`, or no `setof`).
        to_one: bool,
        /// Whether both are the same relation.
        is_self: bool,
    },
}

impl Relationship {
    /// Where it starts.
    pub fn origin(&self) -> &QualifiedName {
        match self {
            Self::ForeignKey { origin, .. } | Self::Computed { origin, .. } => origin,
        }
    }

    /// Where it ends.
    pub fn target(&self) -> &QualifiedName {
        match self {
            Self::ForeignKey { target, .. } | Self::Computed { target, .. } => target,
        }
    }

    /// The schema in which a request finds it: the target's, or the computing function's.
    pub fn schema(&self) -> &str {
        match self {
            Self::ForeignKey { target, .. } => &target.schema,
            Self::Computed { function, .. } => &function.schema,
        }
    }

    /// Whether both ends are the same relation.
    pub fn is_self(&self) -> bool {
        match self {
            Self::ForeignKey { is_self, .. } | Self::Computed { is_self, .. } => *is_self,
        }
    }

    /// Whether an origin's row has one target row at most, so that an embed is an object.
    pub fn is_to_one(&self) -> bool {
        match self {
            Self::Computed { to_one, .. } => *to_one,
            Self::ForeignKey { cardinality, .. } => {
                matches!(
                    cardinality,
                    Cardinality::ManyToOne { .. } | Cardinality::OneToOne { .. }
                )
            }
        }
    }
}

/// Pairs of (origin column, target column) that are equal.
pub type ColumnPairs = Vec<(String, String)>;

/// How many rows stand on either side of a relationship.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cardinality {
    /// The target holds the foreign key.
    OneToMany {
        /// The constraint's name.
        constraint: String,
        /// The columns that join.
        columns: ColumnPairs,
    },
    /// The origin holds the foreign key.
    ManyToOne {
        /// The constraint's name.
        constraint: String,
        /// The columns that join.
        columns: ColumnPairs,
    },
    /// The foreign key is unique on its side.
    OneToOne {
        /// The constraint's name.
        constraint: String,
        /// The columns that join.
        columns: ColumnPairs,
        /// Whether the origin is the referenced side.
        origin_is_parent: bool,
    },
    /// Two foreign keys of a third relation, whose primary key holds both.
    ManyToMany(Junction),
}

/// The relation between the two sides of a many-to-many relationship.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Junction {
    /// The junction.
    pub table: QualifiedName,
    /// The constraint from the junction to the origin.
    pub origin_constraint: String,
    /// The constraint from the junction to the target.
    pub target_constraint: String,
    /// (origin column, junction column).
    pub origin_columns: ColumnPairs,
    /// (target column, junction column).
    pub target_columns: ColumnPairs,
}
