//! What a database holds, in a form that two of them can be compared by.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio_postgres::Client;

/// What a table holds: how many rows, and a checksum for each column (with the row's key).
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    pub rows: i64,
    pub columns: BTreeMap<String, String>,
}

/// The contents of every table in schema public.
pub async fn contents(db: &Client) -> BTreeMap<String, Contents> {
    let columns = "select table_name::text, column_name::text from information_schema.columns
                    where table_schema = 'public' and table_name in (
                      select table_name from information_schema.tables where table_type = 'BASE TABLE')";
    let mut tables: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in db.query(columns, &[]).await.unwrap() {
        tables
            .entry(row.get(0))
            .or_default()
            .insert(row.get(1), String::new());
    }
    let mut contents = BTreeMap::new();
    for (name, columns) in tables {
        contents.insert(name.clone(), of(db, &name, &columns).await);
    }
    contents
}

/// The contents of the given columns of a table.
pub async fn of(db: &Client, table: &str, columns: &BTreeMap<String, String>) -> Contents {
    let key = if table == "executor_skills" {
        "executor_user_id, executor_skill_id"
    } else {
        "id"
    };
    let sums: Vec<_> = columns
        .keys()
        .map(|column| format!("md5(string_agg(to_jsonb(t.{column})::text || '|', '' order by {key}))"))
        .collect();
    let row = db
        .query_one(
            &format!(
                "select count(*), array[{}]::text[] from {table} t",
                // A column of nulls has no text; its rows still count.
                sums.iter()
                    .map(|sum| format!("coalesce({sum}, '')"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            &[],
        )
        .await
        .unwrap();
    let sums: Vec<String> = row.get(1);
    Contents {
        rows: row.get(0),
        columns: columns.keys().cloned().zip(sums).collect(),
    }
}

/// Every object in public and dropwire with its definition, by path: `public.tickets/columns/title`.
///
/// Left out: the order of columns, how PostgreSQL prints a list of varchar values after a dump (other casts and
/// parentheses, the same meaning), and the sequences that count FMS numbers, one per prefix in use.
pub async fn catalog(db: &Client) -> BTreeMap<String, String> {
    let describe = include_str!("../../../sql/adopt/describe.sql");
    let mut objects = BTreeMap::new();
    db.batch_execute("set search_path = ''").await.unwrap();
    for schema in ["public", "dropwire"] {
        let row = db.query_one(describe, &[&schema]).await.unwrap();
        let described: Value = serde_json::from_str(row.get(0)).unwrap();
        flatten(schema, &described, &mut objects);
    }
    db.batch_execute("reset search_path").await.unwrap();
    objects.retain(|path, _| !path.starts_with("dropwire/sequences/ticket_number_"));
    objects
}

fn flatten(path: &str, value: &Value, objects: &mut BTreeMap<String, String>) {
    let named = |value: &Value| {
        let name = value.get("signature").or(value.get("name"))?;
        Some(name.as_str()?.to_owned())
    };
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                flatten(&format!("{path}/{name}"), value, objects);
            }
        }
        Value::Array(entries) if entries.iter().all(|entry| named(entry).is_some()) => {
            for value in entries {
                flatten(&format!("{path}/{}", named(value).unwrap()), value, objects);
            }
        }
        value => {
            let mut text = value.to_string();
            if path.ends_with("/check") || path.contains("/constraints/") && path.ends_with("/definition") {
                for noise in ["::character varying", "::text", "[]", "(", ")", " "] {
                    text = text.replace(noise, "");
                }
            }
            objects.insert(path.to_owned(), text);
        }
    }
}
