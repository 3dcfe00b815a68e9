//! `parameters`: what paths refer to, once for all tables and once for each.

use serde_json::{Map, Value, json};

use super::types;
use crate::schema_cache::{Parameter, Routine, Table};

/// All parameters by their names.
pub(super) fn all<'a>(tables: &'a [&'a Table]) -> impl Iterator<Item = (String, Value)> + 'a {
    let common = common().map(|(name, parameter)| (name.to_owned(), parameter));
    let of_tables = tables.iter().flat_map(|table| {
        let name = table.name.name.as_str();
        let body = (format!("body.{name}"), body(name));
        let filters = table.columns.iter().map(move |column| {
            let mut filter = text(&column.name, "query");
            if let Some(description) = &column.description {
                filter.insert("description".to_owned(), json!(description));
            }
            (filter_name(name, &column.name), Value::Object(filter))
        });
        std::iter::once(body).chain(filters)
    });
    common.into_iter().chain(of_tables)
}

/// The name of a column's filter.
pub(super) fn filter_name(table: &str, column: &str) -> String {
    format!("rowFilter.{table}.{column}")
}

/// A reference to a parameter.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/parameters/{name}")})
}

fn common() -> [(&'static str, Value); 11] {
    let pagination = "Limiting and Pagination";
    let described = |name, place, description| {
        let mut parameter = text(name, place);
        parameter.insert("description".to_owned(), json!(description));
        parameter
    };
    let prefer = |values: &[&str]| {
        let mut parameter = described("Prefer", "header", "Preference");
        if !values.is_empty() {
            parameter.insert("enum".to_owned(), json!(values));
        }
        Value::Object(parameter)
    };
    let plain = |name, place, description| Value::Object(described(name, place, description));
    let mut range_unit = described("Range-Unit", "header", pagination);
    range_unit.insert("default".to_owned(), json!("items"));
    let returned = ["return=representation", "return=minimal", "return=none"];
    let resolved = ["resolution=ignore-duplicates", "resolution=merge-duplicates"];
    [
        ("preferParams", prefer(&[])),
        ("preferReturn", prefer(&returned)),
        ("preferCount", prefer(&["count=none"])),
        ("preferPost", prefer(&[&returned[..], &resolved[..]].concat())),
        ("select", plain("select", "query", "Filtering Columns")),
        ("on_conflict", plain("on_conflict", "query", "On Conflict")),
        ("order", plain("order", "query", "Ordering")),
        ("range", plain("Range", "header", pagination)),
        ("rangeUnit", Value::Object(range_unit)),
        ("offset", plain("offset", "query", pagination)),
        ("limit", plain("limit", "query", pagination)),
    ]
}

/// An optional parameter that is a text.
fn text(name: &str, place: &str) -> Map<String, Value> {
    let members = [
        ("name", json!(name)),
        ("required", json!(false)),
        ("in", json!(place)),
        ("type", json!("string")),
    ];
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// A row as a body.
fn body(table: &str) -> Value {
    json!({
        "name": table,
        "description": table,
        "required": false,
        "in": "body",
        "schema": {"$ref": format!("#/definitions/{table}")},
    })
}

/// A routine's arguments as a query string has them.
pub(super) fn of_query(routine: &Routine) -> Vec<Value> {
    routine.parameters.iter().map(argument).collect()
}

fn argument(parameter: &Parameter) -> Value {
    let sql_type = parameter.sql_type.as_str();
    if parameter.variadic {
        let element = types::element(sql_type);
        let mut items = json!({"format": types::format(element)});
        if let Some(json_type) = types::json_type(element) {
            items["type"] = json!(json_type);
        }
        return json!({
            "name": parameter.name,
            "required": parameter.required,
            "in": "query",
            "type": types::json_type(sql_type).unwrap_or("string"),
            "collectionFormat": "multi",
            "items": items,
        });
    }
    json!({
        "name": parameter.name,
        "required": parameter.required,
        "in": "query",
        "format": types::format(sql_type),
        // An array is written in PostgreSQL's braces, and a parameter must have a type.
        "type": types::json_type(sql_type).filter(|json_type| *json_type != "array").unwrap_or("string"),
    })
}
