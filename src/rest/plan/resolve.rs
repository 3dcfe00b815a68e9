//! What a name in a request is in the schema cache: its column's type, and the casts that the database defines for it.

use std::collections::HashMap;
use std::sync::Arc;

use super::read::{PlannedField, ToTsVector};
use crate::rest::request::{Field, OpExpr, Operation};
use crate::schema_cache::{Column, QualifiedName, SchemaCache, Table};

/// Name comparisons beyond which an index pays.
const INDEX_FROM: usize = 4096;

/// The columns of one relation. A relation that is not in the cache, such as a function's result, has none.
pub(super) struct Columns<'a> {
    cache: &'a SchemaCache,
    all: &'a [Column],
    known: bool,
    index: Option<HashMap<&'a str, &'a Column>>,
}

impl<'a> Columns<'a> {
    /// The columns of a relation of which about `lookups` will be asked for.
    pub(super) fn of(cache: &'a SchemaCache, relation: &QualifiedName, lookups: usize) -> Self {
        Self::of_table(cache, cache.table(relation), lookups)
    }

    fn of_table(cache: &'a SchemaCache, table: Option<&'a Arc<Table>>, lookups: usize) -> Self {
        let all = table.map_or(&[][..], |table| &table.columns);
        let index = (lookups.saturating_mul(all.len()) > INDEX_FROM)
            .then(|| all.iter().map(|column| (column.name.as_str(), column)).collect());
        Self {
            cache,
            all,
            known: table.is_some(),
            index,
        }
    }

    /// All of them, in the relation's order.
    pub(super) fn all(&self) -> &'a [Column] {
        self.all
    }

    /// Whether the relation is in the cache.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// The column of that name; computed fields are none.
    pub(super) fn get(&self, name: &str) -> Option<&'a Column> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.all.iter().find(|column| column.name == name),
        }
    }

    /// Whether one of them is shown by a cast of the database's.
    pub(super) fn any_represented(&self) -> bool {
        !self.cache.representations.is_empty()
            && self.all.iter().any(|column| self.shown_by(column).is_some())
    }

    /// A field of a select list. Its types are left out, since nothing depends on them.
    pub(super) fn selected(&self, field: &Field) -> PlannedField {
        let column = self.get(&field.name);
        let transform = column
            .filter(|_| field.path.is_empty())
            .and_then(|column| self.shown_by(column));
        PlannedField {
            transform,
            ..path_of(field, column)
        }
    }

    /// A column as `*` selects it.
    pub(super) fn starred(&self, column: &Column) -> PlannedField {
        PlannedField {
            name: column.name.clone(),
            transform: self.shown_by(column),
            ..PlannedField::default()
        }
    }

    /// A field of an order. Its types are left out, since nothing depends on them.
    pub(super) fn ordered(&self, field: &Field) -> PlannedField {
        path_of(field, self.get(&field.name))
    }

    /// A field of a condition.
    pub(super) fn filtered(&self, field: &Field, expr: &OpExpr) -> PlannedField {
        let column = self.get(&field.name);
        let mut planned = path_of(field, column);
        let Some(column) = column else { return planned };
        if let Operation::Fts(_, language, _) = &expr.operation
            && column.base_type != "tsvector"
        {
            planned.to_tsvector = Some(ToTsVector {
                language: language.clone(),
            });
        }
        if field.path.is_empty() {
            planned.transform = self.read_by("text", column);
        }
        planned.nominal_type.clone_from(&column.nominal_type);
        planned.base_type.clone_from(&column.base_type);
        planned
    }

    /// A column that a payload writes; None if there is no such column.
    pub(super) fn written(&self, name: &str) -> Option<PlannedField> {
        let column = self.get(name)?;
        Some(PlannedField {
            name: column.name.clone(),
            nominal_type: column.nominal_type.clone(),
            base_type: column.base_type.clone(),
            transform: self.read_by("json", column),
            default: column.default.clone(),
            ..PlannedField::default()
        })
    }

    fn shown_by(&self, column: &Column) -> Option<String> {
        self.cache
            .representation(&column.nominal_type, "json")
            .map(str::to_owned)
    }

    fn read_by(&self, source: &str, column: &Column) -> Option<String> {
        self.cache
            .representation(source, &column.nominal_type)
            .map(str::to_owned)
    }
}

/// A field with its path. JSON is left as it is, so that indexes on such paths are used; anything else, known or
/// not, becomes JSON first, which makes arrays and composites walkable.
fn path_of(field: &Field, column: Option<&Column>) -> PlannedField {
    let is_json = column.is_some_and(|column| matches!(column.base_type.as_str(), "json" | "jsonb"));
    PlannedField {
        name: field.name.clone(),
        path: field.path.clone(),
        to_json: !field.path.is_empty() && !is_json,
        ..PlannedField::default()
    }
}
