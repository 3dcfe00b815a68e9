//! `definitions`: a schema for each relation's rows, and for each routine's arguments.

use serde_json::{Map, Value, json};

use super::types;
use crate::schema_cache::{Cardinality, Column, Relationship, Routine, SchemaCache, Table};

/// A relation's name and its rows' schema.
pub(super) fn entry<'a>(cache: &SchemaCache, table: &'a Table) -> (&'a str, Value) {
    let properties = table
        .columns
        .iter()
        .map(|column| (column.name.clone(), property(cache, table, column)));
    let required = table.columns.iter().filter(|column| !column.nullable);
    let schema = object(
        table.description.as_deref(),
        required.map(|column| column.name.as_str()),
        properties,
    );
    (&table.name.name, schema)
}

/// The schema of a routine's arguments, as a body.
pub(super) fn arguments(routine: &Routine) -> Value {
    let properties = routine.parameters.iter().map(|parameter| {
        let mut schema = Map::new();
        types::describe(&mut schema, &parameter.sql_type);
        (parameter.name.clone(), Value::Object(schema))
    });
    let required = routine.parameters.iter().filter(|parameter| parameter.required);
    object(
        routine.description.as_deref(),
        required.map(|parameter| parameter.name.as_str()),
        properties,
    )
}

fn object<'a>(
    description: Option<&str>,
    required: impl Iterator<Item = &'a str>,
    properties: impl Iterator<Item = (String, Value)>,
) -> Value {
    let required: Vec<&str> = required.collect();
    let properties: Map<String, Value> = properties.collect();
    let mut schema = Map::new();
    if let Some(description) = description {
        schema.insert("description".to_owned(), json!(description));
    }
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    if !properties.is_empty() {
        schema.insert("properties".to_owned(), Value::Object(properties));
    }
    schema.insert("type".to_owned(), json!("object"));
    Value::Object(schema)
}

fn property(cache: &SchemaCache, table: &Table, column: &Column) -> Value {
    let mut schema = Map::new();
    if let Some(default) = &column.default
        && let Some(default) = types::default(&column.base_type, default)
    {
        schema.insert("default".to_owned(), default);
    }
    if let Some(description) = description(cache, table, column) {
        schema.insert("description".to_owned(), json!(description));
    }
    if !column.enum_labels.is_empty() {
        schema.insert("enum".to_owned(), json!(column.enum_labels));
    }
    if let Some(length) = column.max_length {
        schema.insert("maxLength".to_owned(), json!(length));
    }
    types::describe(&mut schema, &column.base_type);
    Value::Object(schema)
}

/// A column's comment, with notes on keys that tools look for.
fn description(cache: &SchemaCache, table: &Table, column: &Column) -> Option<String> {
    let mut notes = Vec::new();
    if table.primary_key.contains(&column.name) {
        notes.push("This is a Primary Key.<pk/>".to_owned());
    }
    if let Some((target, target_column)) = reference(cache, table, &column.name) {
        notes.push(format!(
            "This is a Foreign Key to `{target}.{target_column}`.<fk table='{target}' column='{target_column}'/>"
        ));
    }
    if notes.is_empty() {
        return column.description.clone();
    }
    let comment = column.description.as_ref();
    let comment = comment.map_or(String::new(), |comment| format!("{comment}\n\n"));
    Some(format!("{comment}Note:\n{}", notes.join("\n")))
}

/// What a column alone is a foreign key to; a table rather than a view of it.
fn reference<'a>(cache: &'a SchemaCache, table: &'a Table, column: &str) -> Option<(&'a str, &'a str)> {
    let mut in_view = None;
    for relationship in cache.relationships_from(&table.name, &table.name.schema) {
        let Relationship::ForeignKey {
            target,
            cardinality,
            target_is_view,
            ..
        } = &**relationship
        else {
            continue;
        };
        let (Cardinality::ManyToOne { columns, .. }
        | Cardinality::OneToOne {
            columns,
            origin_is_parent: false,
            ..
        }) = cardinality
        else {
            continue;
        };
        if let [(own, referenced)] = columns.as_slice()
            && own == column
        {
            let found = Some((target.name.as_str(), referenced.as_str()));
            if !target_is_view {
                return found;
            }
            in_view = in_view.or(found);
        }
    }
    in_view
}
