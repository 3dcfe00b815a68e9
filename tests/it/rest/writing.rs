//! Tables of writes. Each case starts from the same rows, because the server rolls every transaction back.

use reqwest::Method;
use serde_json::Value;

use super::app::{RestApp, RestClient};
use super::cases::{Wrong, api_with};
use crate::support::Answer;

pub const SQL: &str = include_str!("writing.sql");

/// A server that answers every write and lets none stay, unless the request prefers `tx=commit`.
pub async fn rolled_back() -> RestApp {
    api_with(SQL, &[("PGRST_DB_TX_END", "rollback-allow-override")]).await
}

/// A request: `POST /items?select=id`, its `Prefer` unless that is empty, and its JSON unless that is empty.
pub async fn send(client: &RestClient<'_>, request: &str, prefer: &str, body: &str) -> Answer {
    let (method, path) = request.split_once(' ').unwrap();
    let mut client = client.clone();
    if !prefer.is_empty() {
        client = client.with("prefer", prefer);
    }
    let body: Option<Value> = if body.is_empty() {
        None
    } else {
        Some(serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {body}")))
    };
    client
        .send(method.parse::<Method>().unwrap(), path, body.as_ref())
        .await
}

/// Sends `(request, prefer, body)` each; expects the status, and the JSON (empty: an empty body).
pub async fn writes(client: &RestClient<'_>, cases: &[(&str, &str, &str, u16, &str)]) {
    let mut wrong = Wrong::default();
    for (request, prefer, body, status, expected) in cases {
        let answer = send(client, request, prefer, body).await;
        let case = format!("{request} {prefer} {body}");
        if expected.is_empty() {
            let found = (answer.status.as_u16(), answer.text.as_str());
            wrong.unless(&case, &found, &(*status, ""));
        } else {
            wrong.unless_json(&case, &answer, *status, expected);
        }
    }
    wrong.none();
}

/// Sends `(request, prefer, body)` each; expects that refusal.
pub async fn refused(client: &RestClient<'_>, cases: &[(&str, &str, &str, u16, &str)]) {
    let mut wrong = Wrong::default();
    for (request, prefer, body, status, code) in cases {
        let answer = send(client, request, prefer, body).await;
        wrong.unless_refused(&format!("{request} {prefer} {body}"), &answer, *status, code);
    }
    wrong.none();
}

/// Sends `(request, prefer, body)` each; expects the status and the value of a header ("" is none).
pub async fn have_header(client: &RestClient<'_>, name: &str, cases: &[(&str, &str, &str, u16, &str)]) {
    let mut wrong = Wrong::default();
    for (request, prefer, body, status, expected) in cases {
        let answer = send(client, request, prefer, body).await;
        let value = answer
            .headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap());
        let case = format!("{request} {prefer} {body}: {}", answer.text);
        wrong.unless(&case, &(answer.status.as_u16(), value), &(*status, *expected));
    }
    wrong.none();
}

/// The rows of the shop's stock as `id name qty`, in order.
pub async fn stock(app: &RestApp) -> String {
    let sql = "select string_agg(concat_ws(' ', id, name, qty), ', ' order by id) from api.items";
    app.db
        .query_one(sql, &[])
        .await
        .unwrap()
        .get::<_, Option<String>>(0)
        .unwrap_or_default()
}

/// The stock before anything is written.
pub const STOCK: &str = "1 bolt 10, 2 nut 20, 3 cloth 30";
