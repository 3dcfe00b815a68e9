//! Functions that can be called by RPC.

use super::QualifiedName;

/// A function.
#[derive(Debug, Clone)]
pub struct Routine {
    /// Schema and name.
    pub name: QualifiedName,
    /// Its comment.
    pub description: Option<String>,
    /// Input parameters in order.
    pub parameters: Vec<Parameter>,
    /// What it returns.
    pub returns: ReturnKind,
    /// Whether it may write.
    pub volatility: Volatility,
    /// Whether its last parameter is variadic.
    pub is_variadic: bool,
    /// `default_transaction_isolation` of its `SET` clause, lower case: `serializable`, `repeatable read`.
    pub isolation: Option<String>,
    /// Other settings of its `SET` clause that are applied to the whole transaction (`db-hoisted-tx-settings`), the
    /// isolation left out.
    pub settings: Vec<(String, String)>,
}

/// A parameter of a [`Routine`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Parameter {
    /// Its name; empty when it has none.
    pub name: String,
    /// Its type as SQL out of the catalog.
    pub sql_type: String,
    /// The same without a length that would cut values (`bit varying` for `bit`, `character varying` for `character`).
    pub widened_type: String,
    /// Whether it has no default.
    pub required: bool,
    /// Whether it is variadic.
    pub variadic: bool,
}

/// How often a function may be run, and whether it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volatility {
    /// May write.
    Volatile,
    /// Reads only.
    Stable,
    /// Depends on its arguments alone.
    Immutable,
}

/// A function's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnKind {
    /// The type: for a composite of a relation, that relation; `pg_catalog.void` for nothing.
    pub type_name: QualifiedName,
    /// Whether it returns a set.
    pub is_set: bool,
    /// Whether the type is a row: a relation's, a composite type's, or one made of OUT parameters.
    pub is_composite: bool,
    /// Whether a composite is returned by way of a domain.
    pub is_composite_alias: bool,
}

impl Routine {
    /// Whether it returns one value that is no row.
    pub fn returns_scalar(&self) -> bool {
        !self.returns.is_set && !self.returns.is_composite
    }

    /// Whether it returns a set of values that are no rows.
    pub fn returns_set_of_scalar(&self) -> bool {
        self.returns.is_set && !self.returns.is_composite
    }

    /// Whether it returns one row.
    pub fn returns_single_composite(&self) -> bool {
        !self.returns.is_set && self.returns.is_composite
    }

    /// Whether it returns no set.
    pub fn returns_single(&self) -> bool {
        !self.returns.is_set
    }

    /// Whether it returns nothing.
    pub fn returns_void(&self) -> bool {
        self.returns_scalar()
            && self.returns.type_name.schema == "pg_catalog"
            && self.returns.type_name.name == "void"
    }

    /// The relation (or composite type) whose rows it returns.
    pub fn relation(&self) -> Option<&QualifiedName> {
        self.returns.is_composite.then_some(&self.returns.type_name)
    }
}
