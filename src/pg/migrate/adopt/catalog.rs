//! A schema as a value: what a migration makes of it, and what a database has.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio_postgres::{Client, types::Type};

use super::super::{MigrateError, during};

const DESCRIBE: &str = include_str!("../../../../sql/adopt/describe.sql");

/// What a schema consists of, by name.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Catalog {
    pub tables: BTreeMap<String, Table>,
    pub sequences: BTreeMap<String, Sequence>,
    /// The labels of each enum, in order.
    pub enums: BTreeMap<String, Vec<String>>,
    pub functions: Vec<Function>,
}

/// Who besides the owner has which rights: `service_role` to `SELECT, UPDATE`.
pub(super) type Grants = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Table {
    pub comment: Option<String>,
    pub row_security: bool,
    pub columns: Vec<Column>,
    pub constraints: Vec<Constraint>,
    /// Those that no constraint brings along.
    pub indexes: Vec<Index>,
    pub triggers: Vec<Trigger>,
    pub policies: Vec<Policy>,
    pub grants: Grants,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Column {
    pub name: String,
    /// As in a column's definition: `character varying(50)`.
    #[serde(rename = "type")]
    pub kind: String,
    pub not_null: bool,
    pub default: Option<String>,
    /// `a` for `generated always as identity`, `d` for `by default`.
    pub identity: Option<String>,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Constraint {
    pub name: String,
    /// `p` primary key, `u` unique, `c` check, `f` foreign key, `x` exclusion.
    pub kind: String,
    pub definition: String,
    pub columns: Vec<String>,
    /// A check's condition.
    pub check: Option<String>,
    /// What a foreign key refers to.
    pub target: Option<Target>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Target {
    /// Qualified and quoted.
    pub table: String,
    pub columns: Vec<String>,
    /// Whether the reference becomes null when its row is deleted.
    pub clears: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Index {
    pub name: String,
    pub definition: String,
    /// The columns of a unique index over all rows.
    pub unique_over: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Trigger {
    pub name: String,
    pub definition: String,
    /// Qualified.
    pub function: String,
    /// `O` enabled, `D` disabled, `R` on replicas, `A` always.
    pub enabled: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Policy {
    pub name: String,
    pub definition: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sequence {
    #[serde(rename = "type")]
    pub kind: String,
    pub start: i64,
    pub grants: Grants,
    /// Whether it belongs to a column, with which it comes and goes.
    pub of_column: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Function {
    pub name: String,
    /// Qualified, with its argument types.
    pub signature: String,
    pub definition: String,
    pub comment: Option<String>,
    pub grants: Grants,
}

impl Catalog {
    /// Reads schema public. The session's `search_path` must be empty, or names come out unqualified.
    pub async fn read(client: &Client) -> Result<Self, MigrateError> {
        let row = client
            .query_typed_one(DESCRIBE, &[(&"public", Type::TEXT)])
            .await
            .map_err(during("reading the catalog"))?;
        Ok(serde_json::from_str(row.get(0)).expect("describe.sql answers in the shape of a catalog"))
    }
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl Constraint {
    /// Tells whether two constraints say the same. PostgreSQL prints a list of varchar values with other casts and
    /// parentheses once it has been dumped and restored, so these do not count.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.kind == other.kind && bare(&self.definition) == bare(&other.definition)
    }
}

impl Index {
    /// The definition without the name.
    pub fn shape(&self) -> Option<(bool, &str)> {
        let (start, rest) = self.definition.split_once(" ON ")?;
        Some((start.starts_with("CREATE UNIQUE"), rest))
    }
}

fn bare(definition: &str) -> String {
    let mut bare = definition.to_owned();
    for noise in ["::character varying", "::text", "[]", "(", ")", " "] {
        bare = bare.replace(noise, "");
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(definition: &str) -> Constraint {
        Constraint {
            name: "check_operator".to_owned(),
            kind: "c".to_owned(),
            definition: definition.to_owned(),
            columns: Vec::new(),
            check: None,
            target: None,
        }
    }

    #[test]
    fn a_check_is_the_same_before_and_after_a_dump() {
        let created =
            "CHECK (((a)::text = ANY ((ARRAY['x'::character varying, 'y'::character varying])::text[])))";
        let restored = "CHECK (((a)::text = ANY (ARRAY[('x'::character varying)::text, ('y'::character varying)::text])))";
        let other = "CHECK (((a)::text = ANY ((ARRAY['x'::character varying])::text[])))";
        assert!(check(created).says_the_same(&check(restored)));
        assert!(!check(created).says_the_same(&check(other)));
    }
}
