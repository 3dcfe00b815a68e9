//! Tables, views and their columns.

use super::QualifiedName;

/// A table, view, materialized view, foreign or partitioned table.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other, as the catalog tells them"
)]
pub struct Table {
    /// Schema and name.
    pub name: QualifiedName,
    /// Its comment.
    pub description: Option<String>,
    /// Whether it is a view (of either kind).
    pub is_view: bool,
    /// Whether it is an ordinary table: no view, not partitioned, not foreign. Its rows have system columns.
    pub is_ordinary: bool,
    /// Whether rows can be inserted, whoever asks.
    pub insertable: bool,
    /// Whether rows can be updated, whoever asks.
    pub updatable: bool,
    /// Whether rows can be deleted, whoever asks.
    pub deletable: bool,
    /// Primary key columns, sorted by name, as `Location` and PUT have them; for views those found through their
    /// definition, in the key's order.
    pub primary_key: Vec<String>,
    /// Columns in the table's order.
    pub columns: Vec<Column>,
}

impl Table {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A column.
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its comment.
    pub description: Option<String>,
    /// Whether it takes nulls.
    pub nullable: bool,
    /// The type with domains resolved to their base, as `format_type` spells it (without modifiers for the types of
    /// `pg_catalog`): `character varying`, `integer`, `public.mood`.
    pub base_type: String,
    /// The declared type, domain or not, with modifiers, as `format_type` spells it: `character varying(20)`.
    pub nominal_type: String,
    /// Length limit in characters.
    pub max_length: Option<i32>,
    /// The default's expression as SQL out of the catalog; for identity columns and serials a `nextval(…)`. None for
    /// generated columns.
    pub default: Option<String>,
    /// Labels of an enum type, in order.
    pub enum_labels: Vec<String>,
}
