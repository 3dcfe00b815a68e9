//! Tables with their columns and primary keys.

use std::collections::HashMap;
use std::sync::Arc;
use tokio_postgres::Row;

use super::keys::{Key, KeyKind};
use super::views::{Dependency, Part, View};
use crate::schema_cache::{Column, QualifiedName, Table};

/// Bits of `pg_relation_is_updatable`: 1 shifted by PostgreSQL's `CmdType`.
const UPDATE: i32 = 1 << 2;
const INSERT: i32 = 1 << 3;
const DELETE: i32 = 1 << 4;

/// Builds the tables from rows of `sql/catalog/tables.sql` and `columns.sql`.
pub(super) fn build(
    tables: &[Row],
    columns: &[Row],
    keys: &[Key],
    views: &[View],
    dependencies: &[Vec<Dependency>],
) -> HashMap<QualifiedName, Arc<Table>> {
    let mut columns = group_columns(columns);
    let mut primary_keys = primary_keys(keys, views, dependencies);
    tables
        .iter()
        .map(|row| {
            let oid: u32 = row.get("oid");
            let name = QualifiedName::new(row.get::<_, String>("schema"), row.get::<_, String>("name"));
            let events: i32 = row.get("events");
            let table = Table {
                description: row.get("description"),
                is_view: row.get("is_view"),
                is_ordinary: row.get("is_ordinary"),
                insertable: events & INSERT != 0,
                updatable: events & UPDATE != 0,
                deletable: events & DELETE != 0,
                primary_key: primary_keys.remove(&oid).unwrap_or_default(),
                columns: columns.remove(&oid).unwrap_or_default(),
                name: name.clone(),
            };
            (name, Arc::new(table))
        })
        .collect()
}

fn group_columns(rows: &[Row]) -> HashMap<u32, Vec<Column>> {
    let mut columns: HashMap<u32, Vec<Column>> = HashMap::new();
    for row in rows {
        columns.entry(row.get("relation")).or_default().push(Column {
            name: row.get("name"),
            description: row.get("description"),
            nullable: row.get("nullable"),
            base_type: row.get("base_type"),
            nominal_type: row.get("nominal_type"),
            max_length: row.get("max_length"),
            default: row.get("default_value"),
            enum_labels: row.get("enum_labels"),
        });
    }
    // They live as long as the cache.
    for columns in columns.values_mut() {
        columns.shrink_to_fit();
    }
    columns
}

/// Primary keys of tables and views by object id.
///
/// A view has those of every table whose key it shows whole. Where it shows a column twice, either would do, and the
/// first is taken.
fn primary_keys(keys: &[Key], views: &[View], dependencies: &[Vec<Dependency>]) -> HashMap<u32, Vec<String>> {
    let mut primary: Vec<_> = keys
        .iter()
        .zip(dependencies)
        .filter(|(key, _)| key.kind == KeyKind::Primary)
        .collect();
    // The order among several tables' keys is PostgREST's.
    primary.sort_by(|(a, _), (b, _)| b.table.name.cmp(&a.table.name));
    let mut found: HashMap<u32, Vec<String>> = HashMap::new();
    for (key, dependencies) in primary {
        let own = found.entry(key.table.oid).or_default();
        own.extend_from_slice(&key.table.columns);
        own.sort_unstable();
        for dependency in dependencies.iter().filter(|found| found.part == Part::Own) {
            if let Some(view) = views.get(dependency.view) {
                let first = dependency.columns.iter().filter_map(|columns| columns.first());
                found.entry(view.oid).or_default().extend(first.cloned());
            }
        }
    }
    found
}
