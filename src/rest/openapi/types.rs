//! PostgreSQL's types in Swagger's words.

use serde_json::{Map, Value, json};

/// The JSON type that values of an SQL type have. None for those that may be any.
pub(super) fn json_type(sql_type: &str) -> Option<&'static str> {
    match sql_type {
        "boolean" => Some("boolean"),
        "smallint" | "integer" | "bigint" => Some("integer"),
        "numeric" | "real" | "double precision" => Some("number"),
        "json" | "jsonb" => None,
        array if array.ends_with("[]") => Some("array"),
        _ => Some("string"),
    }
}

/// The `format` beside it: the SQL type, but for integers their size.
pub(super) fn format(sql_type: &str) -> &str {
    match sql_type {
        "smallint" | "integer" => "int32",
        "bigint" => "int64",
        other => other,
    }
}

/// The type of an array's elements.
pub(super) fn element(sql_type: &str) -> &str {
    sql_type.strip_suffix("[]").unwrap_or(sql_type)
}

/// Adds `format`, `type`, and for an array `items` to a schema.
pub(super) fn describe(schema: &mut Map<String, Value>, sql_type: &str) {
    schema.insert("format".to_owned(), json!(format(sql_type)));
    let Some(json_type) = json_type(sql_type) else {
        return;
    };
    schema.insert("type".to_owned(), json!(json_type));
    if json_type == "array" {
        let items = match self::json_type(element(sql_type)) {
            Some(json_type) => json!({"type": json_type}),
            None => json!({}),
        };
        schema.insert("items".to_owned(), items);
    }
}

/// A default as JSON, if its expression can be told so: a text without its cast, anything else if it is JSON already.
pub(super) fn default(sql_type: &str, expression: &str) -> Option<Value> {
    if json_type(sql_type) != Some("string") {
        return serde_json::from_str(expression).ok();
    }
    let text = expression
        .strip_suffix(sql_type)
        .and_then(|rest| rest.strip_suffix("::"))
        .map_or(expression, |literal| literal.trim_matches('\''));
    // Quotes and backslashes are not escaped on the way, so that an expression with these is mostly none.
    serde_json::from_str(&format!("\"{text}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_told_where_they_are_values() {
        let cases = [
            ("text", "'default'::text", Some(json!("default"))),
            ("text", "now()", Some(json!("now()"))),
            ("text", "'say \"hi\"'::text", None),
            ("uuid", "gen_random_uuid()", Some(json!("gen_random_uuid()"))),
            ("date", "'1900-01-01'::date", Some(json!("1900-01-01"))),
            ("boolean", "false", Some(json!(false))),
            ("integer", "42", Some(json!(42))),
            ("integer", "'-1'::integer", None),
            ("numeric", "42.2", Some(json!(42.2))),
            ("bigint", "nextval('t_id_seq'::regclass)", None),
            ("text[]", "'{}'::text[]", None),
            ("jsonb", "'{}'::jsonb", None),
        ];
        for (sql_type, expression, expected) in cases {
            assert_eq!(default(sql_type, expression), expected, "{sql_type} {expression}");
        }
    }

    #[test]
    fn types_have_their_formats_and_items() {
        let cases = [
            ("text", json!({"format": "text", "type": "string"})),
            ("smallint", json!({"format": "int32", "type": "integer"})),
            ("bigint", json!({"format": "int64", "type": "integer"})),
            ("real", json!({"format": "real", "type": "number"})),
            ("jsonb", json!({"format": "jsonb"})),
            ("api.mood", json!({"format": "api.mood", "type": "string"})),
            (
                "json[]",
                json!({"format": "json[]", "type": "array", "items": {}}),
            ),
            (
                "integer[]",
                json!({"format": "integer[]", "type": "array", "items": {"type": "integer"}}),
            ),
        ];
        for (sql_type, expected) in cases {
            let mut schema = Map::new();
            describe(&mut schema, sql_type);
            assert_eq!(Value::Object(schema), expected, "{sql_type}");
        }
    }
}
