//! Routines.

use std::collections::HashMap;
use std::sync::Arc;
use tokio_postgres::Row;

use crate::schema_cache::{Parameter, QualifiedName, ReturnKind, Routine, Volatility};

/// The query for routines. Its parameters are `text[]` schemas, `text[]` names of settings, `bool` whether only those
/// that the role may execute; its rows are for [`routine`].
pub const ROUTINES: &str = include_str!("../../../sql/catalog/routines.sql");

/// Reads a row of [`ROUTINES`].
pub fn routine(row: &Row) -> Routine {
    let volatility: i8 = row.get("volatility");
    let settings = row
        .get::<_, Vec<String>>("setting_names")
        .into_iter()
        .zip(row.get::<_, Vec<String>>("setting_values"))
        // It has a field of its own, and is applied where the transaction begins.
        .filter(|(name, _)| name != "default_transaction_isolation");
    Routine {
        name: qualified(row, "schema", "name"),
        description: row.get("description"),
        parameters: parameters(row),
        returns: ReturnKind {
            type_name: qualified(row, "return_schema", "return_type"),
            is_set: row.get("returns_set"),
            is_composite: row.get("returns_composite"),
            is_composite_alias: row.get("returns_domain"),
        },
        volatility: match volatility.cast_unsigned() {
            b'i' => Volatility::Immutable,
            b's' => Volatility::Stable,
            _ => Volatility::Volatile,
        },
        is_variadic: row.get("is_variadic"),
        isolation: row.get("isolation"),
        settings: settings.collect(),
    }
}

fn parameters(row: &Row) -> Vec<Parameter> {
    let names: Vec<String> = row.get("names");
    let types: Vec<String> = row.get("types");
    let widened_types: Vec<String> = row.get("widened_types");
    let required: Vec<bool> = row.get("required");
    let variadic: Vec<bool> = row.get("variadic");
    names
        .into_iter()
        .zip(types)
        .zip(widened_types)
        .zip(required)
        .zip(variadic)
        .map(
            |((((name, sql_type), widened_type), required), variadic)| Parameter {
                name,
                sql_type,
                widened_type,
                required,
                variadic,
            },
        )
        .collect()
}

/// Groups overloads. Fewer parameters come first; the rest of the order only has to be the same each time.
pub(super) fn group(routines: impl Iterator<Item = Routine>) -> HashMap<QualifiedName, Vec<Arc<Routine>>> {
    let mut groups: HashMap<QualifiedName, Vec<Arc<Routine>>> = HashMap::new();
    for routine in routines {
        let group = groups.entry(routine.name.clone()).or_default();
        group.push(Arc::new(routine));
    }
    for group in groups.values_mut() {
        group.sort_by(|a, b| {
            let by = |routine: &Routine| routine.parameters.len();
            by(a)
                .cmp(&by(b))
                .then_with(|| a.description.cmp(&b.description))
                .then_with(|| a.parameters.cmp(&b.parameters))
        });
    }
    groups
}

fn qualified(row: &Row, schema: &str, name: &str) -> QualifiedName {
    QualifiedName::new(row.get::<_, String>(schema), row.get::<_, String>(name))
}
