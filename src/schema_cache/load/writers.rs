//! What writes values and rows in another way than PostgreSQL's own JSON: representations and media type handlers.

use std::collections::HashMap;
use tokio_postgres::Row;

use crate::schema_cache::{HandlerTarget, MediaHandler, QualifiedName};

/// Reads rows of `sql/catalog/representations.sql`.
pub(super) fn representations(rows: &[Row]) -> HashMap<(String, String), String> {
    rows.iter()
        .map(|row| ((row.get("source"), row.get("target")), row.get("function")))
        .collect()
}

/// Reads rows of `sql/catalog/media_handlers.sql`.
pub(super) fn media_handlers(rows: &[Row]) -> HashMap<(HandlerTarget, String), MediaHandler> {
    let qualified = |row: &Row, schema: &str, name: &str| {
        QualifiedName::new(row.get::<_, String>(schema), row.get::<_, String>(name))
    };
    rows.iter()
        .map(|row| {
            let relation = qualified(row, "target_schema", "target_name");
            let target = if relation.name.is_empty() {
                HandlerTarget::Any
            } else {
                HandlerTarget::Relation(relation)
            };
            let handler = MediaHandler {
                function: qualified(row, "function_schema", "function_name"),
                target: target.clone(),
                media_type: row.get("resolved"),
            };
            ((target, row.get("media_type")), handler)
        })
        .collect()
}
