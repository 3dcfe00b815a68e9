//! Primary, unique and foreign keys, as the catalog has them.

use crate::schema_cache::QualifiedName;
use tokio_postgres::Row;

/// A key of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub kind: KeyKind,
    /// The constraint's name.
    pub name: String,
    /// The table that has it.
    pub table: Side,
}

/// What a key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyKind {
    Primary,
    Unique,
    /// With what it references, column by column.
    Foreign(Side),
}

/// A table and some of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side {
    /// The table's object id.
    pub oid: u32,
    pub name: QualifiedName,
    /// The columns' numbers in the table.
    pub numbers: Vec<i16>,
    /// The columns' names, in the same order.
    pub columns: Vec<String>,
}

impl Side {
    /// Whether these are the same columns of the same table, in whatever order.
    pub fn is_same_set(&self, other: &Self) -> bool {
        self.oid == other.oid
            && self.numbers.len() == other.numbers.len()
            && self.numbers.iter().all(|number| other.numbers.contains(number))
    }
}

impl Key {
    /// Reads a row of `sql/catalog/keys.sql`.
    pub fn from_row(row: &Row) -> Self {
        let side = |oid, schema: &str, table: &str, numbers, columns| Side {
            oid: row.get(oid),
            name: QualifiedName::new(row.get::<_, String>(schema), row.get::<_, String>(table)),
            numbers: row.get(numbers),
            columns: row.get(columns),
        };
        let kind: i8 = row.get("kind");
        Self {
            kind: match kind.cast_unsigned() {
                b'p' => KeyKind::Primary,
                b'u' => KeyKind::Unique,
                _ => KeyKind::Foreign(side(
                    "target",
                    "target_schema",
                    "target_table",
                    "target_numbers",
                    "target_columns",
                )),
            },
            name: row.get("name"),
            table: side("relation", "schema", "table_name", "numbers", "columns"),
        }
    }
}
