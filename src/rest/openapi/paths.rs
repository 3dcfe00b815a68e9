//! `paths`: the root, a path for each relation, a path for each routine.

use serde_json::{Map, Value, json};

use super::{definitions, parameters, split};
use crate::schema_cache::{Routine, Table, Volatility};

/// All paths.
pub(super) fn all<'a>(
    tables: &'a [&'a Table],
    routines: &'a [&'a Routine],
) -> impl Iterator<Item = (String, Value)> + 'a {
    let of_tables = tables
        .iter()
        .map(|table| (format!("/{}", table.name.name), of_table(table)));
    let of_routines = routines
        .iter()
        .map(|routine| (format!("/rpc/{}", routine.name.name), of_routine(routine)));
    std::iter::once(("/".to_owned(), root()))
        .chain(of_tables)
        .chain(of_routines)
}

fn root() -> Value {
    json!({"get": {
        "tags": ["Introspection"],
        "summary": "OpenAPI description (this document)",
        "produces": ["application/openapi+json", "application/json"],
        "responses": {"200": {"description": "OK"}},
    }})
}

fn of_table(table: &Table) -> Value {
    let name = &table.name.name;
    let operation = |references: Vec<Value>, status: &str, response: Value| {
        let mut operation = start(name, table.description.as_deref());
        operation.insert("parameters".to_owned(), json!(references));
        operation.insert("responses".to_owned(), json!({status: response}));
        operation
    };
    let with_filters = |others: &[&str]| {
        let filters = table
            .columns
            .iter()
            .map(|column| parameters::reference(&parameters::filter_name(name, &column.name)));
        let others = others.iter().map(|other| parameters::reference(other));
        filters.chain(others).collect()
    };
    let body = format!("body.{name}");
    let rows = json!({
        "description": "OK",
        "schema": {"type": "array", "items": {"$ref": format!("#/definitions/{name}")}},
    });
    let mut get = operation(
        with_filters(&[
            "select",
            "order",
            "range",
            "rangeUnit",
            "offset",
            "limit",
            "preferCount",
        ]),
        "200",
        rows,
    );
    get["responses"]["206"] = json!({"description": "Partial Content"});
    let mut path = json!({"get": get});
    if table.insertable || table.updatable || table.deletable {
        let post = [body.as_str(), "select", "preferPost"].map(parameters::reference);
        let no_content = json!({"description": "No Content"});
        path["post"] = json!(operation(post.to_vec(), "201", json!({"description": "Created"})));
        path["delete"] = json!(operation(
            with_filters(&["preferReturn"]),
            "204",
            no_content.clone()
        ));
        path["patch"] = json!(operation(
            with_filters(&[&body, "preferReturn"]),
            "204",
            no_content
        ));
    }
    path
}

fn of_routine(routine: &Routine) -> Value {
    let operation = |parameters: Vec<Value>| {
        let tag = format!("(rpc) {}", routine.name.name);
        let mut operation = start(&tag, routine.description.as_deref());
        operation.insert(
            "produces".to_owned(),
            json!([
                "application/json",
                "application/vnd.pgrst.object+json;nulls=stripped",
                "application/vnd.pgrst.object+json",
            ]),
        );
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), json!(parameters));
        }
        operation.insert("responses".to_owned(), json!({"200": {"description": "OK"}}));
        operation
    };
    let mut path = json!({});
    if routine.volatility != Volatility::Volatile {
        path["get"] = json!(operation(parameters::of_query(routine)));
    }
    let body = json!({
        "name": "args",
        "required": true,
        "in": "body",
        "schema": definitions::arguments(routine),
    });
    path["post"] = json!(operation(vec![body, parameters::reference("preferParams")]));
    path
}

/// An operation with its tag, and a comment's first line and rest.
fn start(tag: &str, comment: Option<&str>) -> Map<String, Value> {
    let mut operation = Map::new();
    operation.insert("tags".to_owned(), json!([tag]));
    if let Some(comment) = comment {
        let (summary, description) = split(comment);
        operation.insert("summary".to_owned(), json!(summary));
        if !description.is_empty() {
            operation.insert("description".to_owned(), json!(description));
        }
    }
    operation
}
